/* What the fuzz targets of parsers share. A target is one function that gets bytes: libFuzzer calls it for `make fuzz`, replay.c
 * with the stored inputs of corpus/ for `make check`. Whatever the bytes are, what the function calls must end with MM_OK or a
 * documented status and one sentence, within 256 MiB, and leave nothing behind; else the target ends the process. */
#ifndef MM_FUZZ_H
#define MM_FUZZ_H

#include "../../src/base/error.h"
#include "../../src/base/io.h"
#include "../../src/base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define FUZZ_MEMORY ((uint64_t)256 << 20)
#define FUZZ_FILE "input" /* the name of the only file there is */

static inline void fuzz_expect(int ok, const char *what, const mm_error *err)
{
    if (ok) return;
    fprintf(stderr, "FAIL %s: status %d \"%s\"\n", what, err ? err->code : 0, err ? err->text : "");
    abort();
}

/* A status as the header promises it. */
static inline void fuzz_status(mm_status st, const mm_error *err)
{
    fuzz_expect(st != MM_E_INTERNAL && strcmp(mm_status_name(st), "MM_?") != 0, "the status is not documented", err);
    if (st < 0) fuzz_expect(err->code == st && err->text[0], "a failure is not described", err);
}

typedef struct fuzz_case {
    mm__mem *mem;
    mm__files files;
    uint64_t before;
    mm_error err;
} fuzz_case;

/* The request for memory that an input is refused, from 0 on, `fuzz_once` or with all later ones; -1: none. replay.c sets it, counts
 * requests, and sees how the input ended. */
long fuzz_refuse = -1, fuzz_requests;
int fuzz_once;
mm_status fuzz_ended;

static inline void *fuzz_alloc(void *user, size_t bytes, size_t align)
{
    const long i = fuzz_requests++ - 1; /* the first is of the account itself */
    return i >= 0 && (fuzz_once ? i == fuzz_refuse : i >= fuzz_refuse) ? NULL : aligned_alloc(align, bytes);
}

static inline void fuzz_release(void *user, void *ptr, size_t bytes, size_t align)
{
    free(ptr);
}

/* Memory and a file for one input. */
static inline fuzz_case fuzz_begin(const uint8_t *bytes, size_t n)
{
    const mm_allocator host = {.size = sizeof host, .alloc = fuzz_alloc, .release = fuzz_release};
    mm__mem *mem = mm__mem_create(fuzz_refuse < 0 ? NULL : &host, FUZZ_MEMORY);
    if (!mem) abort();
    return (fuzz_case){mem, {.mem = mem, .name = FUZZ_FILE, .bytes = bytes, .n = n}, mm__mem_live(mem), MM_ERROR_INIT};
}

static inline int fuzz_end(fuzz_case *c, mm_status st)
{
    fuzz_ended = st;
    fuzz_status(st, &c->err);
    fuzz_expect(mm__mem_live(c->mem) == c->before, "memory is left", &c->err);
    mm__mem_destroy(c->mem);
    return 0;
}

#endif

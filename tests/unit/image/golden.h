/* Reference data for tests: a safetensors file's tensors by name, JSON documents, files. Fails the test when absent. */
#ifndef TESTS_UNIT_IMAGE_GOLDEN_H
#define TESTS_UNIT_IMAGE_GOLDEN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "../../../src/base/io.h"
#include "../../../src/base/json.h"

typedef struct golden {
    mm__mem *mem;
    char *bytes;
    size_t len;
    const char *data; /* behind the header */
    mm__json_doc *doc;
} golden;

static inline mm__json_doc *golden_json(mm__mem *mem, const char *path)
{
    char *text;
    size_t len;
    mm_error err = {.size = sizeof err};
    mm__json_doc *doc = NULL;
    if (mm__read_file(&(mm__files){.mem = mem}, path, MM__LIMIT_SIDE_FILE_BYTES, &text, &len, &err) != MM_OK || mm__json_parse(mem, text, len, path, &doc, &err) != MM_OK)
        fail_msg("%s", err.text);
    mm__free(mem, text);
    return doc;
}

static inline golden golden_open(mm__mem *mem, const char *path)
{
    golden g = {.mem = mem};
    uint64_t n;
    mm_error err = {.size = sizeof err};
    if (mm__read_file(&(mm__files){.mem = mem}, path, MM__LIMIT_SIDE_FILE_BYTES, &g.bytes, &g.len, &err) != MM_OK) fail_msg("%s", err.text);
    memcpy(&n, g.bytes, 8);
    if (mm__json_parse(mem, g.bytes + 8, n, path, &g.doc, &err) != MM_OK) fail_msg("%s", err.text);
    g.data = g.bytes + 8 + n;
    return g;
}

static inline void golden_close(golden *g)
{
    mm__json_free(g->doc);
    mm__free(g->mem, g->bytes);
}

/* Bytes of a tensor; the test fails when it is not there. */
static inline const void *golden_tensor(const golden *g, const char *name, size_t *bytes)
{
    const mm__json *at = mm__json_get(mm__json_get(mm__json_root(g->doc), name), "data_offsets");
    if (mm__json_count(at) != 2) fail_msg("no tensor %s", name);
    size_t from = (size_t)mm__json_int(mm__json_at(at, 0), 0), to = (size_t)mm__json_int(mm__json_at(at, 1), 0);
    *bytes = to - from;
    return g->data + from;
}

#endif

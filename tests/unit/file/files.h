/* Help for tests of containers: a byte string built field by field, written to a file of its own, and an allocator that
 * fails on order. */
#ifndef MM__TEST_FILES_H
#define MM__TEST_FILES_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../../src/base/alloc.h"
#include "../../../src/base/error.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct bytes {
    uint8_t data[1 << 16];
    size_t n;
} bytes;

static inline void put(bytes *b, const void *p, size_t n)
{
    if (b->n + n > sizeof b->data) abort();
    if (n) memcpy(b->data + b->n, p, n);
    b->n += n;
}

static inline void put_u(bytes *b, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint8_t c = (uint8_t)(v >> (8 * i));
        put(b, &c, 1);
    }
}

static inline void put_zeros(bytes *b, size_t n)
{
    while (n--) put_u(b, 0, 1);
}

/* A file of these bytes in the temporary directory; path holds its name afterwards. */
static inline void write_temp(const void *data, size_t n, char path[64], const char *suffix)
{
    snprintf(path, 64, "/tmp/mm-test-XXXXXX%s", suffix);
    const int fd = mkstemps(path, (int)strlen(suffix));
    if (fd < 0 || write(fd, data, n) != (ssize_t)n || close(fd)) abort();
}

/* Fails request number `fail_at` and all after it. */
typedef struct meter {
    long count, fail_at;
} meter;

static inline void *meter_alloc(void *user, size_t n, size_t align)
{
    meter *m = user;
    if (m->fail_at && ++m->count >= m->fail_at) return NULL;
    return aligned_alloc(align, (n + align - 1) / align * align);
}

static inline void meter_release(void *user, void *p, size_t n, size_t align)
{
    free(p);
}

#endif

/* A backend that keeps what is uploaded to it, and an allocator that fails on purpose. Included after cmocka.h. */
#ifndef MM__TESTS_PART_RECORDER_H
#define MM__TESTS_PART_RECORDER_H

#include "../../../src/backend/backend.h"
#include "../../../src/base/error.h"
#include <stdlib.h>

static mm_status keep_upload(mm__backend *b, const mm__upload *u, mm__tensor **out, mm_error *err)
{
    size_t bytes, row;
    int64_t rows = mm__shape_rows(&u->shape), half = rows / 2;
    assert_true(mm__tensor_bytes(u->dtype, &u->shape, &bytes));
    assert_true(mm__dtype_row_bytes(u->dtype, mm__shape_cols(&u->shape), &row));
    mm__tensor *t = mm__zalloc(b->mem, sizeof *t);
    void *data = mm__alloc(b->mem, bytes);
    mm_status st = t && data ? MM_OK : mm__nomem(err, u->name);
    if (st >= 0 && half) st = u->read(u->ctx, 0, half, data, err);
    if (st >= 0) st = u->read(u->ctx, half, rows - half, (char *)data + (size_t)half * row, err);
    if (st < 0) {
        mm__free(b->mem, data);
        mm__free(b->mem, t);
        return st;
    }
    *t = (mm__tensor){.backend = b, .dtype = u->dtype, .shape = u->shape, .data = data, .bytes = bytes};
    *out = t;
    return MM_OK;
}

static void keep_free(mm__tensor *t)
{
    mm__free(t->backend->mem, t->data);
    mm__free(t->backend->mem, t);
}

static mm_status keep_state(mm__backend *b, mm__where where, mm__dtype type, mm__shape s, mm__tensor **out, mm_error *err)
{
    size_t bytes;
    assert_true(mm__tensor_bytes(type, &s, &bytes));
    mm__tensor *t = mm__zalloc(b->mem, sizeof *t);
    void *data = mm__zalloc(b->mem, bytes);
    if (!t || !data) {
        mm__free(b->mem, data);
        mm__free(b->mem, t);
        return mm__nomem(err, "state");
    }
    *t = (mm__tensor){.backend = b, .dtype = type, .shape = s, .data = data, .bytes = bytes};
    *out = t;
    return MM_OK;
}

static mm_status keep_write(mm__backend *b, void *device, const void *host, size_t bytes, mm_error *err)
{
    memcpy(device, host, bytes);
    return MM_OK;
}

static const mm__backend_ops keep_ops = {
    .name = "recorder", .upload = keep_upload, .state = keep_state, .tensor_free = keep_free, .write = keep_write};

/* ---- a host allocator whose allocation number `left` fails ---- */

typedef struct failing {
    int left;
} failing;
static void *fail_alloc(void *user, size_t bytes, size_t align)
{
    failing *f = user;
    return f->left-- == 0 ? NULL : aligned_alloc(align, (bytes + align - 1) / align * align);
}
static void fail_release(void *user, void *p, size_t bytes, size_t align)
{
    free(p);
}

#endif

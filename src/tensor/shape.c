/* Shapes and views: counting, sizes and addresses. mm__tensor_bytes is the only place in the library that turns a shape
 * into a number of bytes; loaders, planners and allocators all ask here. */
#include "shape.h"
#include "../base/ckd.h"
#include <inttypes.h>
#include <stdio.h>

bool mm__shape_equal(const mm__shape *a, const mm__shape *b)
{
    if (a->n != b->n) return false;
    for (int i = 0; i < a->n; i++)
        if (a->d[i] != b->d[i]) return false;
    return true;
}

bool mm__shape_count(const mm__shape *s, int64_t *out)
{
    int64_t count = 1;
    bool zero = false;
    if (s->n < 0 || s->n > MM__MAX_DIM) return false;
    for (int i = 0; i < s->n; i++) {
        if (s->d[i] < 0) return false;
        zero |= s->d[i] == 0;
    }
    for (int i = 0; i < s->n && !zero; i++)
        if (__builtin_mul_overflow(count, s->d[i], &count)) return false;
    *out = zero ? 0 : count;
    return true;
}

int64_t mm__shape_rows(const mm__shape *s)
{
    int64_t rows = 1;
    for (int i = 0; i + 1 < s->n; i++) rows *= s->d[i];
    return rows;
}

bool mm__tensor_bytes(mm__dtype t, const mm__shape *s, size_t *out)
{
    int64_t count;
    size_t row;
    if (!mm__shape_count(s, &count) || !mm__dtype_row_bytes(t, mm__shape_cols(s), &row)) return false;
    if (count == 0) {
        *out = 0;
        return true;
    }
    return mm__ckd_mul((size_t)(count / mm__shape_cols(s)), row, out);
}

const char *mm__shape_str(const mm__shape *s, char buf[96])
{
    int at = snprintf(buf, 96, "[");
    for (int i = 0; i < s->n && i < MM__MAX_DIM; i++) at += snprintf(buf + at, (size_t)(96 - at), i ? ", %" PRId64 : "%" PRId64, s->d[i]);
    snprintf(buf + at, (size_t)(96 - at), "]");
    return buf;
}

mm__view mm__view_of(mm__dtype t, mm__shape s, void *data)
{
    mm__view v = {.dtype = t, .shape = s, .data = data};
    int64_t stride = 1;
    for (int i = s.n - 1; i >= 0; i--) {
        v.stride[i] = stride;
        stride *= s.d[i];
    }
    return v;
}

float *mm__view_row(const mm__view *v, int64_t r)
{
    int64_t at = 0;
    for (int i = v->shape.n - 2; i >= 0; i--) {
        at += r % v->shape.d[i] * v->stride[i];
        r /= v->shape.d[i];
    }
    return (float *)v->data + at;
}

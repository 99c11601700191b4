/* Shapes are row-major in the order papers and PyTorch write them, [..., rows, columns], at most 4 axes.
 * A view adds strides (in elements) and memory; its last axis is always contiguous. */
#ifndef MM__TENSOR_SHAPE_H
#define MM__TENSOR_SHAPE_H

#include "dtype.h"

#define MM__MAX_DIM 4

typedef struct mm__shape {
    int32_t n;             /* axes in use, 0 (a scalar) .. MM__MAX_DIM */
    int64_t d[MM__MAX_DIM];
} mm__shape;

static inline mm__shape mm__shape1(int64_t a) { return (mm__shape){1, {a}}; }
static inline mm__shape mm__shape2(int64_t a, int64_t b) { return (mm__shape){2, {a, b}}; }
static inline mm__shape mm__shape3(int64_t a, int64_t b, int64_t c) { return (mm__shape){3, {a, b, c}}; }
static inline mm__shape mm__shape4(int64_t a, int64_t b, int64_t c, int64_t d) { return (mm__shape){4, {a, b, c, d}}; }
bool mm__shape_equal(const mm__shape *a, const mm__shape *b);
/* Product of all axes; false on overflow or a negative axis. */
bool mm__shape_count(const mm__shape *s, int64_t *out);
static inline int64_t mm__shape_cols(const mm__shape *s) { return s->n ? s->d[s->n - 1] : 1; }
/* Product of all axes but the last. */
int64_t mm__shape_rows(const mm__shape *s);
/* The one function that computes tensor bytes. */
bool mm__tensor_bytes(mm__dtype t, const mm__shape *s, size_t *out);
/* "[2, 3, 4]" into buf; returns buf. */
const char *mm__shape_str(const mm__shape *s, char buf[96]);

/* A tensor as kernels see it. For quantised types strides count elements of whole rows and data points to blocks. */
typedef struct mm__view {
    mm__dtype dtype;
    mm__shape shape;
    int64_t stride[MM__MAX_DIM]; /* elements; stride[n-1] == 1 */
    void *data;
} mm__view;

/* A contiguous view over `data`. */
mm__view mm__view_of(mm__dtype t, mm__shape s, void *data);
static inline int64_t mm__view_rows(const mm__view *v) { return mm__shape_rows(&v->shape); }
static inline int64_t mm__view_cols(const mm__view *v) { return mm__shape_cols(&v->shape); }
/* Start of row r (all leading axes flattened), F32 tensors only. */
float *mm__view_row(const mm__view *v, int64_t r);

#endif

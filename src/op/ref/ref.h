/* The oracles, mm__ref_<OPERATOR>, one file each. An oracle is the definition of its operator that a reader can check
 * against the paper: scalar, sums in double, one rounding to F32 per result, every stride honoured (the last axis is
 * contiguous, see tensor/shape.h). Where a backend has no kernel it runs these.
 *
 * Units are what mm__ref_units (ref.c) says; each unit writes its own part of the result and reads nothing that another
 * unit writes, except that in-place calls read the elements they overwrite. */
#ifndef MM__OP_REF_H
#define MM__OP_REF_H

#include "../op.h"

#define MM__OP(name, n_in, in_place) void mm__ref_##name(const mm__call *c, int64_t begin, int64_t end);
#include "../op.def"
#undef MM__OP

static inline double mm__ref_dot(const float *a, const float *b, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) sum += (double)a[i] * b[i];
    return sum;
}

/* Row of a 1-D F32 input, or NULL when it is absent. */
static inline const float *mm__ref_vector(const mm__call *c, int i) { return (const float *)c->in[i].data; }

#endif

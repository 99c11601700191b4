/* L2NORM: each row divided by its Euclidean length, or by eps when that is longer. */
#include "ref.h"

#include <math.h>

void mm__ref_L2NORM(const mm__call *c, int64_t begin, int64_t end)
{
    const int64_t d = mm__view_cols(&c->out);
    for (int64_t t = begin; t < end; t++) {
        const float *x = mm__view_row(&c->in[0], t);
        float *out = mm__view_row(&c->out, t);
        const double length = sqrt(mm__ref_dot(x, x, d)), by = length > c->args.eps ? length : c->args.eps;
        for (int64_t i = 0; i < d; i++) out[i] = (float)(by > 0.0 ? x[i] / by : 0.0);
    }
}

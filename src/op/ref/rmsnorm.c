/* RMSNORM: x / sqrt(mean(x^2) + eps) * w (Zhang and Sennrich 2019). */
#include "ref.h"

#include <math.h>

void mm__ref_RMSNORM(const mm__call *c, int64_t begin, int64_t end)
{
    const float *w = mm__ref_vector(c, 1);
    const int64_t d = mm__view_cols(&c->out);
    for (int64_t t = begin; t < end; t++) {
        const float *x = mm__view_row(&c->in[0], t);
        float *out = mm__view_row(&c->out, t);
        const double inv = 1.0 / sqrt(mm__ref_dot(x, x, d) / (double)d + c->args.eps);
        for (int64_t i = 0; i < d; i++) out[i] = (float)(x[i] * inv * (w ? w[i] : 1.0));
    }
}

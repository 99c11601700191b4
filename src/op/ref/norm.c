/* NORM: layer normalisation over the last axis (Ba et al. 2016), biased variance. */
#include "ref.h"

#include <math.h>

void mm__ref_NORM(const mm__call *c, int64_t begin, int64_t end)
{
    const float *w = mm__ref_vector(c, 1), *b = mm__ref_vector(c, 2);
    const int64_t d = mm__view_cols(&c->out);
    for (int64_t t = begin; t < end; t++) {
        const float *x = mm__view_row(&c->in[0], t);
        float *out = mm__view_row(&c->out, t);
        double mean = 0.0, var = 0.0;
        for (int64_t i = 0; i < d; i++) mean += x[i];
        mean /= (double)d;
        for (int64_t i = 0; i < d; i++) var += (x[i] - mean) * (x[i] - mean);
        const double inv = 1.0 / sqrt(var / (double)d + c->args.eps);
        for (int64_t i = 0; i < d; i++) out[i] = (float)((x[i] - mean) * inv * (w ? w[i] : 1.0) + (b ? b[i] : 0.0));
    }
}

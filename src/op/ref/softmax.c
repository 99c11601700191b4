/* SOFTMAX: exp(x_i - max x) / sum over the last axis. */
#include "ref.h"

#include <math.h>

void mm__ref_SOFTMAX(const mm__call *c, int64_t begin, int64_t end)
{
    const int64_t d = mm__view_cols(&c->out);
    for (int64_t t = begin; t < end; t++) {
        const float *x = mm__view_row(&c->in[0], t);
        float *out = mm__view_row(&c->out, t);
        double max = x[0], total = 0.0;
        for (int64_t i = 1; i < d; i++) max = x[i] > max ? x[i] : max;
        for (int64_t i = 0; i < d; i++) total += exp(x[i] - max);
        for (int64_t i = 0; i < d; i++) out[i] = (float)(exp(x[i] - max) / total);
    }
}

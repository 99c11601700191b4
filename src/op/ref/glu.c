/* GLU: act(x[:, :F]) * x[:, F:] (Shazeer 2020), gate first. */
#include "ref.h"

void mm__ref_GLU(const mm__call *c, int64_t begin, int64_t end)
{
    const int64_t f = mm__view_cols(&c->out);
    for (int64_t t = begin; t < end; t++) {
        const float *x = mm__view_row(&c->in[0], t);
        float *out = mm__view_row(&c->out, t);
        for (int64_t i = 0; i < f; i++) out[i] = mm__act_apply(c->args.act, x[i]) * x[f + i];
    }
}

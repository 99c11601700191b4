/* SCALE: x * scale + offset. */
#include "ref.h"

void mm__ref_SCALE(const mm__call *c, int64_t begin, int64_t end)
{
    const int64_t d = mm__view_cols(&c->out);
    for (int64_t t = begin; t < end; t++) {
        const float *x = mm__view_row(&c->in[0], t);
        float *out = mm__view_row(&c->out, t);
        for (int64_t i = 0; i < d; i++) out[i] = x[i] * c->args.scale + c->args.offset;
    }
}

/* UNFOLD1D: the windows of a one-dimensional convolution, so that LINEAR finishes it. out[l, ch * k + j] is
 * x[l * step - pad + j, ch], zero outside x. */
#include "ref.h"

void mm__ref_UNFOLD1D(const mm__call *c, int64_t begin, int64_t end)
{
    const mm__view *x = &c->in[0];
    const mm__args *a = &c->args;
    const int64_t len = a->channels_first ? x->shape.d[1] : x->shape.d[0], chans = a->channels_first ? x->shape.d[0] : x->shape.d[1];
    const int64_t per_pos = a->channels_first ? 1 : x->stride[0], per_chan = a->channels_first ? x->stride[0] : 1;
    for (int64_t l = begin; l < end; l++) {
        float *out = mm__view_row(&c->out, l);
        for (int64_t ch = 0; ch < chans; ch++)
            for (int64_t j = 0; j < a->kernel; j++) {
                const int64_t at = l * a->step - a->pad + j;
                *out++ = at >= 0 && at < len ? ((const float *)x->data)[at * per_pos + ch * per_chan] : 0.0f;
            }
    }
}

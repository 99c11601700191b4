/* PATCHES: the image [C, h, w] cut into squares of p pixels, in raster order; a row of the result is one patch in the
 * order (channel, y, x), that of a convolution kernel. Pixels left over at the right and the bottom are dropped. */
#include "ref.h"

void mm__ref_PATCHES(const mm__call *c, int64_t begin, int64_t end)
{
    const mm__view *x = &c->in[0];
    const int64_t p = c->args.kernel, across = x->shape.d[2] / p;
    for (int64_t t = begin; t < end; t++) {
        float *out = mm__view_row(&c->out, t);
        const int64_t y0 = t / across * p, x0 = t % across * p;
        for (int64_t chan = 0; chan < x->shape.d[0]; chan++)
            for (int64_t py = 0; py < p; py++) {
                const float *src = (const float *)x->data + chan * x->stride[0] + (y0 + py) * x->stride[1] + x0;
                for (int64_t px = 0; px < p; px++) *out++ = src[px];
            }
    }
}

/* RESIZE: bicubic interpolation of a grid [h, w, D] (Keys 1981, a = -0.75), half-pixel centres, borders clamped, no
 * antialiasing: what PyTorch's interpolate(mode="bicubic", align_corners=False) computes. Unit: one output point. */
#include "ref.h"

#include <math.h>

/* Weights of the four neighbours at distances 1 + t, t, 1 - t, 2 - t. */
static void cubic(double t, double w[4])
{
    const double a = -0.75, u = 1.0 - t;
    w[0] = ((a * (t + 1.0) - 5.0 * a) * (t + 1.0) + 8.0 * a) * (t + 1.0) - 4.0 * a;
    w[1] = ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0;
    w[2] = ((a + 2.0) * u - (a + 3.0)) * u * u + 1.0;
    w[3] = ((a * (u + 1.0) - 5.0 * a) * (u + 1.0) + 8.0 * a) * (u + 1.0) - 4.0 * a;
}

/* The four source indices and weights for output index i of n, from a source of `from` points. */
static void taps(int64_t i, int64_t n, int64_t from, int64_t at[4], double w[4])
{
    const double centre = ((double)i + 0.5) * (double)from / (double)n - 0.5, base = floor(centre);
    cubic(centre - base, w);
    for (int k = 0; k < 4; k++) {
        const int64_t p = (int64_t)base - 1 + k;
        at[k] = p < 0 ? 0 : p >= from ? from - 1 : p;
    }
}

void mm__ref_RESIZE(const mm__call *c, int64_t begin, int64_t end)
{
    const mm__view *x = &c->in[0];
    const int64_t d = x->shape.d[2], ow = c->args.out_w;
    for (int64_t r = begin; r < end; r++) {
        float *out = mm__view_row(&c->out, r);
        int64_t ys[4], xs[4];
        double wy[4], wx[4];
        taps(r / ow, c->args.out_h, x->shape.d[0], ys, wy);
        taps(r % ow, ow, x->shape.d[1], xs, wx);
        for (int64_t i = 0; i < d; i++) {
            double sum = 0.0;
            for (int j = 0; j < 4; j++)
                for (int k = 0; k < 4; k++)
                    sum += wy[j] * wx[k] * ((const float *)x->data)[ys[j] * x->stride[0] + xs[k] * x->stride[1] + i];
            out[i] = (float)sum;
        }
    }
}

/* RESIZE: bicubic interpolation of a grid [h, w, D] with half-pixel centres (Keys 1981): what PyTorch's
 * interpolate(mode="bicubic", align_corners=False) computes. Plain: a = -0.75, four points an axis, borders clamped.
 * Antialiased: a = -0.5, the filter widened by the shrinking factor, its weights normalised over the points that exist.
 * Unit: one output point. */
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

static void interpolate(const mm__call *c, int64_t r, float *out)
{
    const mm__view *x = &c->in[0];
    const int64_t d = x->shape.d[2], ow = c->args.out_w;
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

/* One axis of the antialiased filter: output i of n from `from` points takes the points [first, end) around `centre`,
 * weighted by a cubic widened by `wide` whose weights sum to `sum`. */
typedef struct window {
    double centre, wide, sum;
    int64_t first, end;
} window;

static double weight(const window *w, int64_t p)
{
    const double a = -0.5, x = fabs((double)p - w->centre + 0.5) / w->wide;
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    return x < 2.0 ? (((x - 5.0) * x + 8.0) * x - 4.0) * a : 0.0;
}

static window window_of(int64_t i, int64_t n, int64_t from)
{
    const double scale = (double)from / (double)n;
    window w = {.centre = ((double)i + 0.5) * scale, .wide = fmax(scale, 1.0)};
    w.first = (int64_t)fmax(w.centre - 2.0 * w.wide + 0.5, 0.0);
    w.end = (int64_t)fmin(w.centre + 2.0 * w.wide + 0.5, (double)from);
    for (int64_t p = w.first; p < w.end; p++) w.sum += weight(&w, p);
    return w;
}

static void filter(const mm__call *c, int64_t r, float *out)
{
    const mm__view *x = &c->in[0];
    const window wy = window_of(r / c->args.out_w, c->args.out_h, x->shape.d[0]),
                 wx = window_of(r % c->args.out_w, c->args.out_w, x->shape.d[1]);
    const int64_t d = x->shape.d[2];
    for (int64_t i = 0; i < d; i++) out[i] = 0.0f;
    for (int64_t j = wy.first; j < wy.end; j++)
        for (int64_t k = wx.first; k < wx.end; k++) {
            const float w = (float)(weight(&wy, j) * weight(&wx, k) / (wy.sum * wx.sum));
            const float *from = (const float *)x->data + j * x->stride[0] + k * x->stride[1];
            for (int64_t i = 0; i < d; i++) out[i] += w * from[i];
        }
}

void mm__ref_RESIZE(const mm__call *c, int64_t begin, int64_t end)
{
    for (int64_t r = begin; r < end; r++) {
        if (c->args.antialias) filter(c, r, mm__view_row(&c->out, r));
        else interpolate(c, r, mm__view_row(&c->out, r));
    }
}

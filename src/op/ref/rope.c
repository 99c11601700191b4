/* ROPE: rotary positions (Su et al. 2021). The first r dimensions of each head form r/2 pairs; pair j turns by
 * pos * inv_freq[j]. The angle is a product of F32 numbers, as in every reference implementation; its sine and cosine are
 * exact. Pairs are (j, j + r/2), or (2j, 2j + 1) when interleaved; dimensions beyond r are copied. */
#include "ref.h"

#include <math.h>

static void rotate(const mm__call *c, const float *x, float *out, float pos)
{
    const int64_t d = c->out.shape.d[2], half = c->in[2].shape.d[0];
    const float *inv_freq = mm__ref_vector(c, 2);
    for (int64_t j = 0; j < half; j++) {
        const int64_t a = c->args.interleaved ? 2 * j : j, b = c->args.interleaved ? 2 * j + 1 : j + half;
        const double angle = pos * inv_freq[j];
        const double cosine = cos(angle) * c->args.scale, sine = sin(angle) * c->args.scale;
        const double xa = x[a], xb = x[b];
        out[a] = (float)(xa * cosine - xb * sine);
        out[b] = (float)(xb * cosine + xa * sine);
    }
    for (int64_t i = 2 * half; i < d; i++) out[i] = x[i];
}

void mm__ref_ROPE(const mm__call *c, int64_t begin, int64_t end)
{
    const int64_t n_head = c->out.shape.d[1];
    for (int64_t r = begin; r < end; r++) {
        const int32_t pos = ((const int32_t *)c->in[1].data)[r / n_head * c->in[1].stride[0]];
        rotate(c, mm__view_row(&c->in[0], r), mm__view_row(&c->out, r), (float)pos);
    }
}

/* ATTENTION (Vaswani et al. 2017), with grouped queries (Ainslie et al. 2023), score soft-capping and T5's relative bias.
 * Unit: one query of one head. Score of key j: s_j = softcap(scale q.k_j) + bias[bucket(j - pos), h]; the result is
 * sum_j softmax(s)_j v_j over the visible keys. Scores are not stored but computed once for the maximum and the sum, and
 * again for every 128 columns of v. */
#include "ref.h"

#include <math.h>

enum { COLS = 128 };

/* n elements of row j of a head from column i0, a multiple of COLS, on, as floats. */
static void key_part(const mm__view *v, int64_t head, int64_t j, int64_t i0, int64_t n, float *out)
{
    const mm__dtype_info *type = mm__dtype_info_of(v->dtype);
    const int64_t at = head * v->stride[0] + j * v->stride[1] + i0;
    mm__unpack_row(v->dtype, (const uint8_t *)v->data + at / type->block * type->bytes, out, n);
}

static double score(const mm__call *c, const float *q, int64_t t, int64_t h, int64_t hk, int64_t j)
{
    const mm__view *k = &c->in[1], *bias = &c->in[4];
    const int64_t d = k->shape.d[2];
    double s = 0.0;
    for (int64_t i0 = 0; i0 < d; i0 += COLS) {
        const int64_t n = d - i0 < COLS ? d - i0 : COLS;
        float part[COLS];
        key_part(k, hk, j, i0, n, part);
        for (int64_t i = 0; i < n; i++) s += (double)q[i0 + i] * part[i];
    }
    s *= c->args.scale;
    if (c->args.softcap > 0.0f) s = c->args.softcap * tanh(s / c->args.softcap);
    if (mm__call_has(c, 4)) {
        const int64_t pos = ((const int32_t *)c->in[5].data)[t * c->in[5].stride[0]];
        const int32_t b = mm__t5_bucket(j - pos, (int32_t)bias->shape.d[0], c->args.max_distance, c->args.bidirectional);
        s += ((const float *)bias->data)[b * bias->stride[0] + h];
    }
    return s;
}

static void attend(const mm__call *c, int64_t t, int64_t h)
{
    const mm__view *q_view = &c->in[0], *v = &c->in[2], *span = &c->in[3];
    const int64_t hk = h / (q_view->shape.d[1] / c->in[1].shape.d[0]), dv = v->shape.d[2];
    const float *q = (const float *)q_view->data + t * q_view->stride[0] + h * q_view->stride[1];
    float *out = mm__view_row(&c->out, t) + h * dv;
    int64_t first = 0, last = c->in[1].shape.d[1];
    if (mm__call_has(c, 3)) {
        const int32_t *pair = (const int32_t *)span->data + t * span->stride[0];
        first = pair[0] > first ? pair[0] : first;
        last = pair[1] < last ? pair[1] : last;
    }
    double max = -INFINITY, total = 0.0;
    for (int64_t j = first; j < last; j++) {
        const double s = score(c, q, t, h, hk, j);
        if (s > max) {
            total *= exp(max - s);
            max = s;
        }
        total += exp(s - max);
    }
    for (int64_t i0 = 0; i0 < dv; i0 += COLS) {
        const int64_t n = dv - i0 < COLS ? dv - i0 : COLS;
        double sum[COLS] = {0};
        for (int64_t j = first; j < last; j++) {
            const double p = exp(score(c, q, t, h, hk, j) - max) / total;
            float part[COLS];
            key_part(v, hk, j, i0, n, part);
            for (int64_t i = 0; i < n; i++) sum[i] += p * part[i];
        }
        for (int64_t i = 0; i < n; i++) out[i0 + i] = (float)sum[i];
    }
}

void mm__ref_ATTENTION(const mm__call *c, int64_t begin, int64_t end)
{
    const int64_t n_head = c->in[0].shape.d[1];
    for (int64_t u = begin; u < end; u++) attend(c, u / n_head, u % n_head);
}

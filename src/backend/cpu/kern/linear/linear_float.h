/* LINEAR templates in F32: tiles, the panel product, the dot product, and the epilogue with its activations. Included by
 * the file of an ISA after its linear_vec header, which says what a vector is.
 *
 * exp: x = n ln 2 + r, polynomial of degree 6 in r on [-ln 2 / 2, ln 2 / 2] (Taylor's coefficients, 2e-8), times 2^n.
 * erf: Abramowitz and Stegun 7.1.26, |error| <= 1.5e-7; the negative side of gelu uses the complement, so it stays exact
 * to that order there. tanh: odd series below 0.1, 1 - 2 / (exp(2x) + 1) above. */
#ifndef MM__CPU_LINEAR_FLOAT_H
#define MM__CPU_LINEAR_FLOAT_H

#include "linear_layout.h"

V_INLINE vf exp_v(vf x)
{
    x = vf_max(vf_min(x, vf_set(88.0f)), vf_set(-87.0f));
    const vf n = vf_round(vf_mul(x, vf_set(1.44269504088896341f)));
    vf r = vf_fma(n, vf_set(-0.693359375f), x), p = vf_set(1.0f / 720);
    r = vf_fma(n, vf_set(2.12194440e-4f), r);
    p = vf_fma(p, r, vf_set(1.0f / 120));
    p = vf_fma(p, r, vf_set(1.0f / 24));
    p = vf_fma(p, r, vf_set(1.0f / 6));
    p = vf_fma(p, r, vf_set(0.5f));
    p = vf_fma(p, r, vf_set(1.0f));
    p = vf_fma(p, r, vf_set(1.0f));
    return vf_scale2(p, n);
}

V_INLINE vf sigmoid_v(vf x) { return vf_div(vf_set(1.0f), vf_add(vf_set(1.0f), exp_v(vf_sub(vf_zero(), x)))); }

V_INLINE vf tanh_v(vf x)
{
    const vf a = vf_abs(x), s = vf_mul(x, x);
    const vf big = vf_sub(vf_set(1.0f), vf_div(vf_set(2.0f), vf_add(exp_v(vf_add(a, a)), vf_set(1.0f))));
    vf p = vf_fma(s, vf_set(-17.0f / 315), vf_set(2.0f / 15));
    p = vf_fma(p, s, vf_set(-1.0f / 3));
    return vf_if_less(a, vf_set(0.1f), vf_fma(vf_mul(p, s), x, x), vf_sign_of(big, x));
}

/* x / 2 * (1 + erf(x / sqrt 2)) */
V_INLINE vf gelu_v(vf x)
{
    const vf z = vf_mul(vf_abs(x), vf_set(0.70710678118654752f));
    const vf t = vf_div(vf_set(1.0f), vf_fma(z, vf_set(0.3275911f), vf_set(1.0f)));
    vf p = vf_fma(t, vf_set(1.061405429f), vf_set(-1.453152027f));
    p = vf_fma(p, t, vf_set(1.421413741f));
    p = vf_fma(p, t, vf_set(-0.284496736f));
    p = vf_fma(p, t, vf_set(0.254829592f));
    const vf tail = vf_mul(vf_mul(p, t), exp_v(vf_sub(vf_zero(), vf_mul(z, z)))); /* erfc(z) */
    return vf_mul(vf_mul(x, vf_set(0.5f)), vf_if_less(x, vf_zero(), tail, vf_sub(vf_set(2.0f), tail)));
}

V_INLINE vf act_v(mm__act act, vf x)
{
    switch (act) {
    case MM__ACT_RELU: return vf_max(x, vf_zero());
    case MM__ACT_GELU: return gelu_v(x);
    case MM__ACT_GELU_TANH: /* (1 + tanh u) / 2 = sigmoid(2 u) */
        return vf_mul(x, sigmoid_v(vf_mul(vf_mul(x, vf_set(1.59576912160573081f)), vf_fma(vf_mul(x, x), vf_set(0.044715f), vf_set(1.0f)))));
    case MM__ACT_GELU_QUICK: return vf_mul(x, sigmoid_v(vf_mul(x, vf_set(1.702f))));
    case MM__ACT_SILU: return vf_mul(x, sigmoid_v(x));
    case MM__ACT_TANH: return tanh_v(x);
    case MM__ACT_SIGMOID: return sigmoid_v(x);
    default: return x;
    }
}

/* See mm__linear_isa. */
static void finish(const float *sums, const mm__linear_dest *d)
{
    for (int at = 0; at < d->cols; at += V_LANES) {
        const int n = d->cols - at < V_LANES ? d->cols - at : V_LANES;
        const vf bias = d->bias ? vf_load_n(d->bias + at, n) : vf_zero();
        for (int t = 0; t < d->rows; t++) {
            vf y = vf_load(sums + t * MM__LINEAR_PANEL + at);
            if (d->bias) y = vf_add(y, bias);
            y = act_v(d->act, y);
            if (d->residual) y = vf_add(y, vf_load_n(d->residual[t] + at, n));
            vf_store_n(d->out[t] + at, y, n);
        }
    }
}

static float dot(const float *a, const float *b, int64_t n)
{
    vf s[4] = {vf_zero(), vf_zero(), vf_zero(), vf_zero()};
    int64_t i = 0;
    for (; i + 4 * V_LANES <= n; i += 4 * V_LANES)
        for (int j = 0; j < 4; j++) s[j] = vf_fma(vf_load(a + i + j * V_LANES), vf_load(b + i + j * V_LANES), s[j]);
    for (; i < n; i += V_LANES) {
        const int len = (int)(n - i < V_LANES ? n - i : V_LANES);
        s[0] = vf_fma(vf_load_n(a + i, len), vf_load_n(b + i, len), s[0]);
    }
    return vf_sum(vf_add(vf_add(s[0], s[1]), vf_add(s[2], s[3])));
}

static void interleave(const float *const *rows, int n, int width, int64_t k, float *dst)
{
    interleave32((const void *const *)rows, n, width, k, dst);
}

static void convert_f32(const float *const *rows, int n, int width, int64_t k, void *tile)
{
    interleave32((const void *const *)rows, n, width, k, tile);
}

#define F32_VECTORS (MM__LINEAR_PANEL / V_LANES)

V_INLINE void multiply_f32_width(const float *panel, int64_t k, const float *tile, const int width, float *sums)
{
    vf acc[MM__LINEAR_MAX_TILE * F32_VECTORS];
#pragma GCC unroll 32
    for (int i = 0; i < width * F32_VECTORS; i++) acc[i] = vf_zero();
    for (int64_t i = 0; i < k; i++, panel += MM__LINEAR_PANEL, tile += width) {
        vf w[F32_VECTORS];
#pragma GCC unroll 2
        for (int v = 0; v < F32_VECTORS; v++) w[v] = vf_load(panel + v * V_LANES);
#pragma GCC unroll 16
        for (int t = 0; t < width; t++) {
            const vf x = vf_set(tile[t]);
#pragma GCC unroll 2
            for (int v = 0; v < F32_VECTORS; v++) acc[t * F32_VECTORS + v] = vf_fma(w[v], x, acc[t * F32_VECTORS + v]);
        }
    }
#pragma GCC unroll 32
    for (int i = 0; i < width * F32_VECTORS; i++) vf_store(sums + i * V_LANES, acc[i]);
}

#endif

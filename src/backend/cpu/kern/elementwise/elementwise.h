/* Operators that work row by row: sums and products with broadcasting, activations, gated units, the three norms,
 * softmax, rotation, and the write into a cache. Bound by memory or by the elementary functions of vec.h.
 *
 * A unit is a run of whole rows with about UNIT elements, so small calls are one unit and cost no meeting of threads.
 * Rows are independent, and in-place calls are fine: every element is read before it is written, by the same thread.
 *
 * Included once per instruction set, with MM__SUFFIX(name) making the names of the kernels and MM__ISA their set. */
#include "../../kern.h"
#include "../vec.h"

#include <string.h>

#define UNIT 8192

static int64_t row_units(const mm__call *c, int phase)
{
    const int64_t rows = mm__view_rows(&c->out), units = (rows * mm__view_cols(&c->out) + UNIT - 1) / UNIT;
    return units < rows ? units : rows;
}

/* The rows of units begin..end. */
typedef struct range { int64_t first, last; } range;
static range rows_of(const mm__call *c, int64_t begin, int64_t end)
{
    const int64_t rows = mm__view_rows(&c->out), units = row_units(c, 0);
    return (range){rows * begin / units, rows * end / units};
}

static inline vf load(const float *p, int64_t n) { return n >= VL ? v_load(p) : v_load_n(p, n); }
static inline void store(float *p, vf x, int64_t n)
{
    if (n >= VL) v_store(p, x);
    else v_store_n(p, x, n);
}

/* ---- ADD, MUL, SCALE, ACT, GLU ---- */

static inline __attribute__((always_inline)) void combine(const mm__call *c, int64_t begin, int64_t end, bool product)
{
    const mm__view *b_view = &c->in[1];
    const int64_t d = mm__view_cols(&c->out), b_rows = mm__view_rows(b_view);
    const bool one = mm__view_cols(b_view) != d;
    const range g = rows_of(c, begin, end);
    for (int64_t r = g.first; r < g.last; r++) {
        const float *x = mm__view_row(&c->in[0], r);
        float *out = mm__view_row(&c->out, r);
        const float *b = mm__view_row(b_view, r % b_rows);
        for (int64_t i = 0; i < d; i += VL) {
            const vf u = load(x + i, d - i), v = one ? v_set(b[0]) : load(b + i, d - i);
            store(out + i, product ? u * v : u + v, d - i);
        }
    }
}

static void add_run(const mm__call *c, int phase, int64_t begin, int64_t end, void *shared, void *own) { combine(c, begin, end, false); }
static void mul_run(const mm__call *c, int phase, int64_t begin, int64_t end, void *shared, void *own) { combine(c, begin, end, true); }

static void scale_run(const mm__call *c, int phase, int64_t begin, int64_t end, void *shared, void *own)
{
    const int64_t d = mm__view_cols(&c->out);
    const vf scale = v_set(c->args.scale), offset = v_set(c->args.offset);
    const range g = rows_of(c, begin, end);
    for (int64_t r = g.first; r < g.last; r++) {
        const float *x = mm__view_row(&c->in[0], r);
        float *out = mm__view_row(&c->out, r);
        for (int64_t i = 0; i < d; i += VL) store(out + i, load(x + i, d - i) * scale + offset, d - i);
    }
}

static inline __attribute__((always_inline)) void act_rows(const mm__call *c, int64_t begin, int64_t end, mm__act act)
{
    const int64_t d = mm__view_cols(&c->out);
    const range g = rows_of(c, begin, end);
    for (int64_t r = g.first; r < g.last; r++) {
        const float *x = mm__view_row(&c->in[0], r);
        float *out = mm__view_row(&c->out, r);
        for (int64_t i = 0; i < d; i += VL) store(out + i, v_act(act, load(x + i, d - i)), d - i);
    }
}

static inline __attribute__((always_inline)) void glu_rows(const mm__call *c, int64_t begin, int64_t end, mm__act act)
{
    const int64_t f = mm__view_cols(&c->out);
    const range g = rows_of(c, begin, end);
    for (int64_t r = g.first; r < g.last; r++) {
        const float *x = mm__view_row(&c->in[0], r);
        float *out = mm__view_row(&c->out, r);
        for (int64_t i = 0; i < f; i += VL) store(out + i, v_act(act, load(x + i, f - i)) * load(x + f + i, f - i), f - i);
    }
}

/* One loop per activation. */
#define BY_ACT(fn) \
    switch (c->args.act) { \
    case MM__ACT_NONE: fn(c, begin, end, MM__ACT_NONE); break; \
    case MM__ACT_RELU: fn(c, begin, end, MM__ACT_RELU); break; \
    case MM__ACT_GELU: fn(c, begin, end, MM__ACT_GELU); break; \
    case MM__ACT_GELU_TANH: fn(c, begin, end, MM__ACT_GELU_TANH); break; \
    case MM__ACT_GELU_QUICK: fn(c, begin, end, MM__ACT_GELU_QUICK); break; \
    case MM__ACT_SILU: fn(c, begin, end, MM__ACT_SILU); break; \
    case MM__ACT_TANH: fn(c, begin, end, MM__ACT_TANH); break; \
    case MM__ACT_SIGMOID: fn(c, begin, end, MM__ACT_SIGMOID); break; \
    }

static void act_run(const mm__call *c, int phase, int64_t begin, int64_t end, void *shared, void *own) { BY_ACT(act_rows) }
static void glu_run(const mm__call *c, int phase, int64_t begin, int64_t end, void *shared, void *own) { BY_ACT(glu_rows) }

/* ---- NORM, RMSNORM, L2NORM, SOFTMAX ---- */

static inline float sum_of(const float *x, int64_t n)
{
    vf a = v_set(0.0f), b = a;
    int64_t i = 0;
    for (; i + 2 * VL <= n; i += 2 * VL) {
        a = a + v_load(x + i);
        b = b + v_load(x + i + VL);
    }
    for (; i < n; i += VL) a = a + load(x + i, n - i);
    return v_sum(a + b);
}

/* Sum of (x - mean)^2. */
static inline float squares_of(const float *x, int64_t n, float mean)
{
    const vf m = v_set(mean);
    vf a = v_set(0.0f), b = a;
    int64_t i = 0;
    for (; i + 2 * VL <= n; i += 2 * VL) {
        const vf u = v_load(x + i) - m, v = v_load(x + i + VL) - m;
        a = v_fma(u, u, a);
        b = v_fma(v, v, b);
    }
    for (; i + VL <= n; i += VL) {
        const vf u = v_load(x + i) - m;
        a = v_fma(u, u, a);
    }
    float rest = 0.0f;
    for (; i < n; i++) rest += (x[i] - mean) * (x[i] - mean);
    return v_sum(a + b) + rest;
}

static void norm_run(const mm__call *c, int phase, int64_t begin, int64_t end, void *shared, void *own)
{
    const float *w = c->in[1].data, *b = c->in[2].data;
    const int64_t d = mm__view_cols(&c->out);
    const range g = rows_of(c, begin, end);
    for (int64_t r = g.first; r < g.last; r++) {
        const float *x = mm__view_row(&c->in[0], r);
        float *out = mm__view_row(&c->out, r);
        const float mean = sum_of(x, d) / (float)d, inv = 1.0f / sqrtf(squares_of(x, d, mean) / (float)d + c->args.eps);
        for (int64_t i = 0; i < d; i += VL) {
            vf y = (load(x + i, d - i) - v_set(mean)) * v_set(inv);
            if (w) y = y * load(w + i, d - i);
            if (b) y = y + load(b + i, d - i);
            store(out + i, y, d - i);
        }
    }
}

static void rmsnorm_run(const mm__call *c, int phase, int64_t begin, int64_t end, void *shared, void *own)
{
    const float *w = c->in[1].data;
    const int64_t d = mm__view_cols(&c->out);
    const range g = rows_of(c, begin, end);
    for (int64_t r = g.first; r < g.last; r++) {
        const float *x = mm__view_row(&c->in[0], r);
        float *out = mm__view_row(&c->out, r);
        const float inv = 1.0f / sqrtf(squares_of(x, d, 0.0f) / (float)d + c->args.eps);
        for (int64_t i = 0; i < d; i += VL) {
            vf y = load(x + i, d - i) * v_set(inv);
            if (w) y = y * load(w + i, d - i);
            store(out + i, y, d - i);
        }
    }
}

static void l2norm_run(const mm__call *c, int phase, int64_t begin, int64_t end, void *shared, void *own)
{
    const int64_t d = mm__view_cols(&c->out);
    const range g = rows_of(c, begin, end);
    for (int64_t r = g.first; r < g.last; r++) {
        const float *x = mm__view_row(&c->in[0], r);
        float *out = mm__view_row(&c->out, r);
        const float length = sqrtf(squares_of(x, d, 0.0f)), by = length > c->args.eps ? length : c->args.eps;
        const float inv = by > 0.0f ? 1.0f / by : 0.0f;
        for (int64_t i = 0; i < d; i += VL) store(out + i, load(x + i, d - i) * v_set(inv), d - i);
    }
}

static void softmax_run(const mm__call *c, int phase, int64_t begin, int64_t end, void *shared, void *own)
{
    const int64_t d = mm__view_cols(&c->out);
    const range g = rows_of(c, begin, end);
    for (int64_t r = g.first; r < g.last; r++) {
        const float *x = mm__view_row(&c->in[0], r);
        float *out = mm__view_row(&c->out, r);
        float top = x[0];
        for (int64_t i = 0; i < d; i += VL) {
            if (i + VL <= d) top = fmaxf(top, v_top(v_load(x + i)));
            else for (int64_t k = i; k < d; k++) top = fmaxf(top, x[k]);
        }
        for (int64_t i = 0; i < d; i += VL) store(out + i, v_exp_low(load(x + i, d - i) - v_set(top)), d - i);
        const vf inv = v_set(1.0f / sum_of(out, d));
        for (int64_t i = 0; i < d; i += VL) store(out + i, load(out + i, d - i) * inv, d - i);
    }
}

/* ---- ROPE: units are runs of positions; sines and cosines are computed once for all heads ---- */

static int64_t rope_units(const mm__call *c, int phase)
{
    const int64_t n = c->out.shape.d[0], units = (n * c->out.shape.d[1] * c->out.shape.d[2] + UNIT - 1) / UNIT;
    return units < n ? units : n;
}

static size_t rope_bytes(const mm__call *c) { return (size_t)c->in[2].shape.d[0] * 2 * sizeof(float); }

static void rotate_halves(const float *x, float *out, const float *cosine, const float *sine, int64_t half)
{
    for (int64_t i = 0; i < half; i += VL) {
        const int64_t n = half - i;
        const vf a = load(x + i, n), b = load(x + half + i, n), co = load(cosine + i, n), si = load(sine + i, n);
        store(out + i, a * co - b * si, n);
        store(out + half + i, b * co + a * si, n);
    }
}

static void rotate_pairs(const float *x, float *out, const float *cosine, const float *sine, int64_t half)
{
    for (int64_t j = 0; j < half; j++) {
        const float a = x[2 * j], b = x[2 * j + 1];
        out[2 * j] = a * cosine[j] - b * sine[j];
        out[2 * j + 1] = b * cosine[j] + a * sine[j];
    }
}

static void rope_run(const mm__call *c, int phase, int64_t begin, int64_t end, void *shared, void *own)
{
    const mm__view *x_view = &c->in[0], *pos = &c->in[1];
    const int64_t n = c->out.shape.d[0], heads = c->out.shape.d[1], d = c->out.shape.d[2], half = c->in[2].shape.d[0], units = rope_units(c, 0);
    const float *inv_freq = c->in[2].data;
    float *cosine = own, *sine = cosine + half;
    for (int64_t t = n * begin / units; t < n * end / units; t++) {
        const float p = (float)((const int32_t *)pos->data)[t * pos->stride[0]];
        for (int64_t j = 0; j < half; j++) {
            cosine[j] = cosf(p * inv_freq[j]) * c->args.scale;
            sine[j] = sinf(p * inv_freq[j]) * c->args.scale;
        }
        for (int64_t h = 0; h < heads; h++) {
            const float *x = (const float *)x_view->data + t * x_view->stride[0] + h * x_view->stride[1];
            float *out = (float *)c->out.data + t * c->out.stride[0] + h * c->out.stride[1];
            if (c->args.interleaved) rotate_pairs(x, out, cosine, sine, half);
            else rotate_halves(x, out, cosine, sine, half);
            for (int64_t i = 2 * half; i < d; i++) out[i] = x[i];
        }
    }
}

/* ---- KV_WRITE: a unit is a run of heads ---- */

/* A block as mm__pack_row makes it (tensor/quant/q8_0.c), bit for bit. */
static void kv_block(const float *src, uint8_t *dst)
{
    vf most = v_set(0.0f);
    for (int i = 0; i < 32; i += VL) most = v_max(v_abs(v_load(src + i)), most); /* of a NaN, the second */
    const float d = v_top(most) / 127.0f, inverse = d > 0.0f ? 1.0f / d : 0.0f;
    const uint16_t half = _cvtss_sh(d, _MM_FROUND_TO_NEAREST_INT);
    memcpy(dst, &half, sizeof half);
    for (int i = 0; i < 32; i += VL) {
        vf x = v_load(src + i) * v_set(inverse);
        x = v_pick(v_lt(v_set(-1.0f), v_abs(x)), x, v_set(0.0f)); /* NaN is 0 */
        x = v_max(v_min(x, v_set(127.0f)), v_set(-127.0f));
        const vf whole = v_trunc(x), up = v_pick(v_lt(v_abs(x - whole), v_set(0.5f)), v_set(0.0f), v_copysign(v_set(1.0f), x));
        v_store_bytes((int8_t *)dst + 2 + i, whole + up);
    }
}

static int64_t kv_units(const mm__call *c, int phase)
{
    const int64_t heads = c->in[1].shape.d[1], units = (c->in[1].shape.d[0] * heads * c->in[1].shape.d[2] + UNIT - 1) / UNIT;
    return units < heads ? units : heads;
}

static void kv_run(const mm__call *c, int phase, int64_t begin, int64_t end, void *shared, void *own)
{
    const mm__view *cache = &c->in[0], *x = &c->in[1], *slots = &c->in[2];
    const int64_t heads = x->shape.d[1], d = x->shape.d[2], units = kv_units(c, 0);
    for (int64_t h = heads * begin / units; h < heads * end / units; h++)
        for (int64_t t = 0; t < x->shape.d[0]; t++) {
            const int32_t slot = ((const int32_t *)slots->data)[t * slots->stride[0]];
            const float *src = (const float *)x->data + t * x->stride[0] + h * x->stride[1];
            const int64_t at = h * cache->stride[0] + slot * cache->stride[1];
            int64_t i = 0;
            if (slot < 0 || slot >= cache->shape.d[1]) continue;
            if (cache->dtype == MM__F32) {
                for (; i < d; i += VL) store((float *)cache->data + at + i, load(src + i, d - i), d - i);
                continue;
            }
            if (cache->dtype == MM__Q8_0) {
                for (; i < d; i += 32) kv_block(src + i, (uint8_t *)cache->data + (at + i) / 32 * 34);
                continue;
            }
            for (; i + VL <= d; i += VL) v_store_half((uint16_t *)cache->data + at + i, v_load(src + i));
            for (; i < d; i++) ((uint16_t *)cache->data)[at + i] = _cvtss_sh(src[i], _MM_FROUND_TO_NEAREST_INT);
        }
}

#define DEFINE(kern, units_fn, bytes_fn, run_fn) \
    const mm__kern MM__SUFFIX(mm__kern_##kern) = { \
        .name = MM__SUFFIX_NAME(#kern), .isa = MM__ISA, .phases = 1, .units = units_fn, .thread_bytes = bytes_fn, .run = run_fn}

DEFINE(add, row_units, NULL, add_run);
DEFINE(mul, row_units, NULL, mul_run);
DEFINE(scale, row_units, NULL, scale_run);
DEFINE(act, row_units, NULL, act_run);
DEFINE(glu, row_units, NULL, glu_run);
DEFINE(norm, row_units, NULL, norm_run);
DEFINE(rmsnorm, row_units, NULL, rmsnorm_run);
DEFINE(l2norm, row_units, NULL, l2norm_run);
DEFINE(softmax, row_units, NULL, softmax_run);
DEFINE(rope, rope_units, rope_bytes, rope_run);
DEFINE(kv_write, kv_units, NULL, kv_run);

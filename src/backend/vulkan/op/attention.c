/* ATTENTION: how many queries a workgroup takes, and T5's buckets.
 *
 * The shader finds the bucket of a distance by comparing it with the distances at which buckets begin; these are looked up
 * here with the function the oracle uses, so that distances on a border fall to the same side without a logarithm of the
 * device's own. */
#include "../kern.h"

#include <string.h>

enum { MAX_SLOTS = 4, MAX_BORDERS = 16, MAX_DISTANCE = 65535 };

static int64_t in_word(const mm__view *v) { return v->dtype == MM__F16 ? 2 : 1; }

/* Rows and heads of whole words, and not more of them than an invocation has room for. */
static bool fits(const mm__view *v, int64_t lanes)
{
    const int64_t u = in_word(v);
    return v->shape.d[2] % u == 0 && v->stride[0] % u == 0 && v->stride[1] % u == 0 && v->shape.d[2] / u <= MAX_SLOTS * lanes;
}

static int32_t buckets_a_side(const mm__call *c) { return (int32_t)c->in[4].shape.d[0] / (c->args.bidirectional ? 2 : 1); }

static bool bias_fits(const mm__call *c)
{
    const int32_t n = buckets_a_side(c);
    return n % 2 == 0 && n / 2 - 1 < MAX_BORDERS && c->args.max_distance <= MAX_DISTANCE && c->in[4].stride[0] == c->in[4].shape.d[1];
}

/* Queries of a workgroup: as many as there are, up to eight, and as fit shared memory; 0: none does. */
static uint32_t rows_of(const mm__vk_limits *l, const mm__call *c)
{
    const int64_t d = c->in[0].shape.d[2], all = c->in[0].shape.d[0] * (c->in[0].shape.d[1] / c->in[1].shape.d[0]);
    uint32_t rows = 8;
    while (rows > 1 && (rows / 2 >= all || (rows * (d + MM__VK_LANES + 3) + MM__VK_LANES) * 4 > l->shared)) rows /= 2;
    return (rows * (d + MM__VK_LANES + 3) + MM__VK_LANES) * 4 > l->shared ? 0 : rows;
}

static bool accepts(const mm__vk_limits *l, const mm__call *c)
{
    if (mm__vk_has(c, 3) && c->in[3].stride[0] != 2) return false;
    if (mm__vk_has(c, 4) && !bias_fits(c)) return false;
    if (mm__vk_has(c, 5) && c->in[5].stride[0] != 1) return false;
    return rows_of(l, c) && fits(&c->in[1], MM__VK_LANES) && fits(&c->in[2], MM__VK_LANES);
}

/* The smallest distance whose bucket, on a side of n, is at least b. */
static int32_t border(int32_t n, int32_t max_distance, int32_t b)
{
    int32_t lo = 0, hi = max_distance;
    while (lo < hi) {
        const int32_t mid = lo + (hi - lo) / 2;
        if (mm__t5_bucket(-(int64_t)mid, n, max_distance, false) >= b) hi = mid;
        else lo = mid + 1;
    }
    return lo;
}

static void push_buckets(mm__vk_draft *j, const mm__call *c)
{
    const int32_t n = mm__vk_has(c, 4) ? buckets_a_side(c) : 0;
    uint32_t words[MAX_BORDERS / 2] = {0};
    for (int32_t i = 0; i + 1 < n / 2; i++) words[i / 2] |= (uint32_t)border(n, c->args.max_distance, n / 2 + 1 + i) << i % 2 * 16;
    mm__vk_u32(j, n / 2);
    for (int i = 0; i < MAX_BORDERS / 2; i++) mm__vk_u32(j, words[i]);
}

static void push_cache(mm__vk_recorder *r, mm__vk_draft *j, const mm__view *v)
{
    mm__vk_u32(j, mm__vk_bind(r, j, v, NULL));
    mm__vk_u32(j, v->stride[0] / in_word(v));
    mm__vk_u32(j, v->stride[1] / in_word(v));
}

static mm_status record(mm__vk_recorder *r, const mm__call *c, mm_error *err)
{
    const mm__view *q = &c->in[0], *k = &c->in[1], *v = &c->in[2];
    const int64_t t = q->shape.d[0], h = q->shape.d[1], hk = k->shape.d[0], g = h / hk, s = k->shape.d[1], dv = v->shape.d[2];
    const uint32_t rows = rows_of(&r->stream->device->limits, c);
    mm__vk_draft j;
    mm__vk_begin(&j, k->dtype == MM__F16 ? MM__VK_SHADER_attention_f16 : MM__VK_SHADER_attention_f32, MM__VK_LANES);
    mm__vk_spec(&j, 1, rows);
    mm__vk_spec(&j, 2, (uint32_t)q->shape.d[2]);
    mm__vk_spec(&j, 3, (uint32_t)((dv / in_word(v) + MM__VK_LANES - 1) / MM__VK_LANES));
    mm__vk_spec(&j, 4, (mm__vk_has(c, 3) ? 1u : 0u) | (mm__vk_has(c, 4) ? 2u : 0u) | (c->args.bidirectional ? 4u : 0u));
    mm__vk_flat_view(r, &j, &c->out);
    mm__vk_u32(&j, mm__vk_bind(r, &j, q, NULL));
    mm__vk_u32(&j, q->stride[0]);
    mm__vk_u32(&j, q->stride[1]);
    push_cache(r, &j, k);
    push_cache(r, &j, v);
    for (int i = 3; i < 6; i++) mm__vk_u32(&j, mm__vk_bind(r, &j, &c->in[i], NULL));
    mm__vk_u32(&j, t);
    mm__vk_u32(&j, h);
    mm__vk_u32(&j, g);
    mm__vk_u32(&j, s);
    mm__vk_u32(&j, dv);
    mm__vk_f32(&j, c->args.scale);
    mm__vk_f32(&j, c->args.softcap);
    push_buckets(&j, c);
    mm__vk_groups(r, &j, (t * g + rows - 1) / rows, hk, 1);
    return mm__vk_emit(r, &j, (double)t * (double)h * (double)s * (double)(q->shape.d[2] + dv), err);
}

const mm__vk_kern mm__vk_kern_attention = {.name = "attention", .accepts = accepts, .record = record};

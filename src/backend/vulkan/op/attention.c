/* ATTENTION: how many queries a workgroup takes, and T5's buckets.
 *
 * The shader finds the bucket of a distance by comparing it with the distances at which buckets begin; these are looked up
 * here with the function the oracle uses, so that distances on a border fall to the same side without a logarithm of the
 * device's own.
 *
 * Keys are cut into parts where one or few positions meet many keys, and where keys or values are larger than a binding: then
 * heads are cut first, for heads are independent, and a head's keys only if it must be. Parts meet in work memory
 * (attention_join.comp). */
#include "../kern.h"

#include <string.h>

enum {
    MAX_SLOTS = 4, MAX_BORDERS = 16, MAX_DISTANCE = 65535,
    PART_KEYS = MM__VK_LANES,  /* a part has at least so many keys: one tile of the shader */
    MAX_PARTS = 64
};

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

/* Bytes of one part of the result. */
static uint64_t part_bytes(const mm__call *c)
{
    return (uint64_t)(c->in[0].shape.d[0] * c->in[0].shape.d[1] * (c->in[2].shape.d[2] + 2)) * sizeof(float);
}

/* Bytes from the first key or value of a head to the end of the n-th. */
static uint64_t run_bytes(const mm__view *v, int64_t n)
{
    return (uint64_t)((n - 1) * v->stride[1] + v->shape.d[2]) * mm__dtype_info_of(v->dtype)->bytes;
}

/* What is cut to fit bindings: a dispatch each for `heads` of keys and values, and of these for `keys`. */
typedef struct cut { int64_t heads, keys; } cut;

static cut cut_of(const mm__vk_limits *l, const mm__call *c)
{
    const uint64_t room = l->binding - l->align;
    cut out = {c->in[1].shape.d[0], c->in[1].shape.d[1]};
    if (out.heads > l->groups) out.heads = l->groups;
    for (int i = 1; i < 3; i++) {
        const mm__view *v = &c->in[i];
        const uint64_t head = (uint64_t)v->stride[0] * mm__dtype_info_of(v->dtype)->bytes;
        while (out.heads > 1 && (uint64_t)(out.heads - 1) * head + run_bytes(v, out.keys) > room) out.heads--;
        while (out.keys > 1 && (uint64_t)(out.heads - 1) * head + run_bytes(v, out.keys) > room) out.keys = (out.keys + 1) / 2;
    }
    return out;
}

/* Workgroups among which the keys of a dispatch are divided: as many as make up for few positions and heads. */
static int64_t parts_of(const mm__vk_limits *l, const mm__call *c, int64_t keys)
{
    const int64_t heads = c->in[1].shape.d[0], rows = rows_of(l, c), all = c->in[0].shape.d[0] * (c->in[0].shape.d[1] / heads);
    int64_t n = l->parts ? l->parts : l->busy / ((all + rows - 1) / rows * heads), most = l->parts ? keys : keys / PART_KEYS;
    if (most > MAX_PARTS) most = MAX_PARTS;
    if (n > most) n = most;
    return n > 1 ? n : 1;
}

/* Parts that are joined afterwards; 1: the only one writes the result. */
static int64_t all_parts(const mm__vk_limits *l, const mm__call *c)
{
    const int64_t keys = cut_of(l, c).keys, pieces = (c->in[1].shape.d[1] + keys - 1) / keys;
    return pieces * parts_of(l, c, keys);
}

static size_t scratch(const mm__vk_limits *l, const mm__call *c)
{
    const int64_t n = all_parts(l, c);
    return n > 1 ? (size_t)n * part_bytes(c) : 0;
}

static bool accepts(const mm__vk_limits *l, const mm__call *c)
{
    if (mm__dtype_is_quant(c->in[1].dtype)) return false;
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

/* What one dispatch sees: heads [head, head + heads) of keys [key, key + keys), and where its parts go. */
typedef struct piece {
    int64_t head, heads, key, keys;
    const mm__view *parts;     /* NULL: it writes the result */
    int64_t first_part, n_parts;
} piece;

static mm__view piece_of(const mm__view *v, const piece *p)
{
    mm__view out = *v;
    out.data = (unsigned char *)v->data + (uint64_t)(p->head * v->stride[0] + p->key * v->stride[1]) * mm__dtype_info_of(v->dtype)->bytes;
    out.shape.d[0] = p->heads;
    out.shape.d[1] = p->keys;
    return out;
}

static mm_status attend(mm__vk_recorder *r, const mm__call *c, const piece *p, mm_error *err)
{
    const int64_t t = c->in[0].shape.d[0], h = c->in[0].shape.d[1], g = h / c->in[1].shape.d[0], dv = c->in[2].shape.d[2];
    const mm__view k = piece_of(&c->in[1], p), v = piece_of(&c->in[2], p), none = {0}, *q = &c->in[0];
    const uint32_t rows = rows_of(&r->stream->device->limits, c);
    const uint32_t flags = (mm__vk_has(c, 3) ? 1u : 0u) | (mm__vk_has(c, 4) ? 2u : 0u) | (c->args.bidirectional ? 4u : 0u) | (p->parts ? 8u : 0u);
    mm__vk_draft j;
    mm__vk_begin(&j, mm__vk_reducing(r, k.dtype == MM__F16 ? MM__VK_SHADER_attention_f16 : MM__VK_SHADER_attention_f32), MM__VK_LANES);
    mm__vk_spec(&j, 1, rows);
    mm__vk_spec(&j, 2, (uint32_t)q->shape.d[2]);
    mm__vk_spec(&j, 3, (uint32_t)((dv / in_word(&v) + MM__VK_LANES - 1) / MM__VK_LANES));
    mm__vk_spec(&j, 4, flags);
    mm__vk_flat_view(r, &j, &c->out);
    j.job.push[0] += (uint32_t)(p->head * g * dv);
    mm__vk_u32(&j, mm__vk_bind(r, &j, q, NULL) + p->head * g * q->stride[1]);
    mm__vk_u32(&j, q->stride[0]);
    mm__vk_u32(&j, q->stride[1]);
    push_cache(r, &j, &k);
    push_cache(r, &j, &v);
    for (int i = 3; i < 6; i++) mm__vk_u32(&j, mm__vk_bind(r, &j, &c->in[i], NULL) + (i == 4 ? p->head * g : 0));
    mm__vk_u32(&j, t);
    mm__vk_u32(&j, h);
    mm__vk_u32(&j, g);
    mm__vk_u32(&j, p->keys);
    mm__vk_u32(&j, dv);
    mm__vk_f32(&j, c->args.scale);
    mm__vk_f32(&j, c->args.softcap);
    push_buckets(&j, c);
    mm__vk_u32(&j, mm__vk_bind(r, &j, p->parts ? p->parts : &none, NULL) + (p->first_part * t * h + p->head * g) * (dv + 2));
    mm__vk_u32(&j, p->key);
    mm__vk_groups(r, &j, (t * g + rows - 1) / rows, p->heads, p->n_parts);
    return mm__vk_emit(r, &j, (double)t * (double)(g * p->heads) * (double)p->keys * (double)(q->shape.d[2] + dv), err);
}

static mm_status join(mm__vk_recorder *r, const mm__call *c, const mm__view *parts, int64_t n, mm_error *err)
{
    const int64_t t = c->in[0].shape.d[0], h = c->in[0].shape.d[1], dv = c->in[2].shape.d[2];
    mm__vk_draft j;
    const mm_status s = mm__vk_barrier(r->stream, err);
    if (s < 0) return s;
    mm__vk_begin(&j, MM__VK_SHADER_attention_join, MM__VK_LANES);
    mm__vk_flat_view(r, &j, &c->out);
    mm__vk_u32(&j, mm__vk_bind(r, &j, parts, NULL));
    mm__vk_u32(&j, n);
    mm__vk_u32(&j, t);
    mm__vk_u32(&j, h);
    mm__vk_u32(&j, dv);
    mm__vk_by_elements(r, &j, &c->out);
    return mm__vk_emit(r, &j, 3.0 * (double)n * mm__vk_elements(&c->out), err);
}

static mm_status record(mm__vk_recorder *r, const mm__call *c, mm_error *err)
{
    const mm__vk_limits *l = &r->stream->device->limits;
    const int64_t heads = c->in[1].shape.d[0], keys = c->in[1].shape.d[1], all = all_parts(l, c);
    const cut by = cut_of(l, c);
    const mm__view parts = mm__view_of(MM__F32, mm__shape1((int64_t)(part_bytes(c) / sizeof(float)) * all), r->scratch);
    piece p = {.parts = all > 1 ? &parts : NULL};
    mm_status s = all > 1 ? mm__vk_barrier(r->stream, err) : MM_OK; /* another call may use the work memory */
    for (p.head = 0; p.head < heads; p.head += by.heads) {
        p.first_part = 0;
        p.heads = heads - p.head < by.heads ? heads - p.head : by.heads;
        for (p.key = 0; p.key < keys && s >= 0; p.key += by.keys, p.first_part += p.n_parts) {
            p.keys = keys - p.key < by.keys ? keys - p.key : by.keys;
            p.n_parts = parts_of(l, c, p.keys);
            s = attend(r, c, &p, err);
        }
    }
    return s < 0 || all == 1 ? s : join(r, c, &parts, p.first_part, err);
}

const mm__vk_kern mm__vk_kern_attention = {.name = "attention", .accepts = accepts, .record = record, .scratch = scratch, .uses = mm__vk_uses_subgroups};

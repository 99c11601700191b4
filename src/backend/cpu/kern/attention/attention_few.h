/* Attention of one or a few queries over a long cache. Keys and values are read once from memory per query and key head:
 * the heads that share them are served together, so the kernel only has to keep up with the memory.
 *
 * Phase 0. Unit: (pack of at most PACK heads that share keys, chunk of CHUNK keys, query). VL dot products at a time (one
 * accumulator a key and head, reduced together), the softmax of the chunk, then the weighted sum of its rows of v in column
 * strips that stay in registers. Rows of F16 and Q8_0 are widened once for a pack. Rows are read from one end to the other: 16 of
 * them read side by side took three times as long from memory, since the hardware did not run ahead. What a chunk gives - its
 * maximum, the sum of its weights, the sum of its values - goes to shared scratch.
 * Phase 1. Unit: (head, query). Adds the chunks up in their order. A chunk's keys depend on their positions alone, so results
 * depend neither on the cut into units nor on the other queries. Counting units reads the spans, which is safe: no operator
 * makes integers, so they are inputs of the graph and stand before it runs.
 *
 * Included once per instruction set, after attention_tile.h. */

#define FEW 4      /* queries */
#define PACK 4     /* heads */
#define CHUNK 64   /* keys: short contexts still give every thread some */
#define PART_HEAD 16 /* floats ahead of the values of a chunk's part: maximum, sum */

typedef struct few_work {
    float *q, *s;       /* [PACK][d], [PACK][CHUNK] */
    int32_t *bucket;    /* by clamped distance */
} few_work;

static size_t few_cut(const mm__call *c, float *mem, few_work *w)
{
    const int64_t d = c->in[1].shape.d[2], len[] = {PACK * d, PACK * CHUNK, bias_len(c)};
    void *at[3];
    size_t n = 0;
    for (size_t i = 0; i < 3; i++) {
        at[i] = mem ? mem + n : NULL;
        n += ((size_t)len[i] + 15) & ~(size_t)15;
    }
    if (w) *w = (few_work){at[0], at[1], at[2]};
    return n;
}

/* How a call is cut. */
typedef struct few_shape {
    int64_t queries, heads, group, packs; /* group: heads that share keys, in so many packs */
    int64_t first, chunks;                /* those that any query sees */
    int64_t most;                         /* chunks of all keys */
    int64_t part;                         /* floats of a part */
} few_shape;

/* The keys that query t sees. */
static void few_span(const mm__call *c, int64_t t, int64_t *lo, int64_t *hi)
{
    const int64_t n_keys = c->in[1].shape.d[1];
    *lo = 0;
    *hi = n_keys;
    if (!mm__call_has(c, 3)) return;
    const int32_t *pair = (const int32_t *)c->in[3].data + t * c->in[3].stride[0];
    *lo = pair[0] > 0 ? pair[0] : 0;
    *hi = pair[1] < n_keys ? pair[1] : n_keys;
}

/* Without the chunks that are seen. */
static few_shape few_sizes(const mm__call *c)
{
    few_shape f = {.queries = c->in[0].shape.d[0], .heads = c->in[0].shape.d[1]};
    f.group = f.heads / c->in[1].shape.d[0];
    f.packs = (f.group + PACK - 1) / PACK;
    f.most = (c->in[1].shape.d[1] + CHUNK - 1) / CHUNK;
    f.part = PART_HEAD + ((c->in[2].shape.d[2] + 15) & ~(int64_t)15);
    return f;
}

static few_shape few_shape_of(const mm__call *c)
{
    few_shape f = few_sizes(c);
    int64_t lo, hi, begin = INT64_MAX, end = 0;
    for (int64_t t = 0; t < f.queries; t++) {
        few_span(c, t, &lo, &hi);
        if (lo >= hi) continue;
        if (lo < begin) begin = lo;
        if (hi > end) end = hi;
    }
    if (begin < end) {
        f.first = begin / CHUNK;
        f.chunks = (end + CHUNK - 1) / CHUNK - f.first;
    }
    return f;
}

static float *few_part(const few_shape *f, float *parts, int64_t head, int64_t t, int64_t chunk)
{
    return parts + ((head * f->queries + t) * f->most + chunk) * f->part;
}

/* acc[h * per_head + r] = the lanes of q_h . k_r, for `at_once` keys from row r on, none above `last`: these are read side by
 * side, so that q is loaded once for them, and otherwise one behind the other, as they lie in memory. */
static inline __attribute__((always_inline)) void few_dots(mm__dtype type, rows k, int64_t from, int64_t last, const float *q, int64_t d,
                                                           const int n_heads, const int per_head, const int r, const int at_once, vf *acc)
{
    for (int64_t i = 0; i < d; i += VL) {
        vf x[2];
#pragma GCC unroll 2
        for (int a = 0; a < at_once; a++) x[a] = row_load(type, k, from + r + a < last ? from + r + a : last, i, d - i);
#pragma GCC unroll 4
        for (int h = 0; h < n_heads; h++) {
            const vf y = d - i >= VL ? v_load(q + h * d + i) : v_load_n(q + h * d + i, d - i);
#pragma GCC unroll 2
            for (int a = 0; a < at_once; a++) acc[h * per_head + r + a] = v_fma(y, x[a], acc[h * per_head + r + a]);
        }
    }
}

/* The scores of n keys from `first` on for n_heads heads: s[h][..], -inf up to the next multiple of VL. VL sums at a time are
 * added up together: of as many keys as there are lanes for each head. */
static inline __attribute__((always_inline)) void few_scores(mm__dtype type, rows k, int64_t first, int64_t n, const few_work *w, int64_t d,
                                                             const int n_heads)
{
    const int per_head = n_heads == 1 ? VL : n_heads == 2 ? VL / 2 : VL / 4, at_once = n_heads == 1 ? 1 : 2;
    for (int64_t j = 0; j < n; j += per_head) {
        vf acc[VL];
        float sums[VL];
#pragma GCC unroll 16
        for (int a = 0; a < VL; a++) acc[a] = v_set(0.0f);
#pragma GCC unroll 16
        for (int r = 0; r < per_head; r += at_once) few_dots(type, k, first + j, first + n - 1, w->q, d, n_heads, per_head, r, at_once, acc);
        v_store(sums, v_sum_each(acc));
        for (int h = 0; h < n_heads; h++) memcpy(w->s + h * CHUNK + j, sums + h * per_head, (size_t)per_head * sizeof *sums);
    }
    for (int h = 0; h < n_heads; h++)
        for (int64_t j = n; j % VL; j++) w->s[h * CHUNK + j] = -INFINITY;
}

/* o[h][i ..] = sum_j s[h][j] v_j[i ..], `strip` vectors of columns for n_heads heads; `len` columns when strip is 1. */
static inline __attribute__((always_inline)) void few_strip(mm__dtype type, rows v, int64_t first, int64_t n, const float *s, float *const *o,
                                                            int64_t i, const int n_heads, const int strip, int64_t len)
{
    vf acc[PACK][8], x[8];
#pragma GCC unroll 4
    for (int h = 0; h < n_heads; h++)
#pragma GCC unroll 8
        for (int a = 0; a < strip; a++) acc[h][a] = v_set(0.0f);
    for (int64_t j = 0; j < n; j++) {
#pragma GCC unroll 8
        for (int a = 0; a < strip; a++) x[a] = row_load(type, v, first + j, i + a * VL, strip > 1 ? VL : len);
#pragma GCC unroll 4
        for (int h = 0; h < n_heads; h++) {
            const vf p = v_set(s[h * CHUNK + j]);
#pragma GCC unroll 8
            for (int a = 0; a < strip; a++) acc[h][a] = v_fma(p, x[a], acc[h][a]);
        }
    }
#pragma GCC unroll 4
    for (int h = 0; h < n_heads; h++)
#pragma GCC unroll 8
        for (int a = 0; a < strip; a++) {
            if (strip > 1) v_store(o[h] + i + a * VL, acc[h][a]);
            else v_store_n(o[h] + i, acc[h][a], len);
        }
}

/* n_heads and type are constants at every call. Accumulators of a strip: as many as registers hold. */
static inline __attribute__((always_inline)) void few_values(mm__dtype type, rows v, int64_t first, int64_t n, const float *s, float *const *o,
                                                             const int n_heads, int64_t dv)
{
    const int strip = (VL == 16 ? 8 : 4) / (n_heads == 1 ? 1 : 2);
    int64_t i = 0;
    for (; i + strip * VL <= dv; i += strip * VL) few_strip(type, v, first, n, s, o, i, n_heads, strip, VL);
    for (; i < dv; i += VL) few_strip(type, v, first, n, s, o, i, n_heads, 1, dv - i < VL ? dv - i : VL);
}

/* Softcap and bias of the scores of one head. */
static void few_adjust(const mm__call *c, const few_work *w, float *s, int64_t first, int64_t n, int64_t t, int64_t head)
{
    const float cap = c->args.softcap;
    for (int64_t j = 0; cap > 0.0f && j < n; j += VL) v_store(s + j, v_set(cap) * v_tanh(v_load(s + j) / v_set(cap)));
    for (int64_t j = n; cap > 0.0f && j % VL; j++) s[j] = -INFINITY;
    if (!mm__call_has(c, 4)) return;
    const int64_t pos = ((const int32_t *)c->in[5].data)[t * c->in[5].stride[0]], far = c->args.max_distance;
    for (int64_t j = 0; j < n; j++) {
        int64_t at = first + j - pos;
        at = at < -far ? -far : at > far ? far : at;
        s[j] += ((const float *)c->in[4].data)[w->bucket[at + far] * c->in[4].stride[0] + head];
    }
}

/* s[0..n) becomes weights against their maximum; the maximum and the sum of the weights go to part[0] and part[1]. */
static void few_weigh(float *s, int64_t n, float *part)
{
    vf high = v_set(-1e30f), total = v_set(0.0f);
    for (int64_t j = 0; j < n; j += VL) high = v_max(high, v_load(s + j));
    const float top = v_top(high);
    for (int64_t j = 0; j < n; j += VL) {
        const vf p = v_exp_low(v_load(s + j) - v_set(top));
        total = total + p;
        v_store(s + j, p);
    }
    part[0] = top;
    part[1] = v_sum(total);
}

/* n_heads heads from `head` on, which share keys; one chunk; query t. */
static inline __attribute__((always_inline)) void few_chunk(const mm__call *c, const few_shape *f, const few_work *w, float *parts, mm__dtype type,
                                                            int64_t head, const int n_heads, int64_t chunk, int64_t t)
{
    const int64_t d = c->in[1].shape.d[2], dv = c->in[2].shape.d[2];
    const rows k = rows_of(&c->in[1], head / f->group), v = rows_of(&c->in[2], head / f->group);
    float *o[PACK];
    int64_t lo, hi;
    few_span(c, t, &lo, &hi);
    if (lo < chunk * CHUNK) lo = chunk * CHUNK;
    if (hi > (chunk + 1) * CHUNK) hi = (chunk + 1) * CHUNK;
    const int64_t n = hi > lo ? hi - lo : 0;
    for (int h = 0; h < n_heads; h++) {
        const float *src = (const float *)c->in[0].data + t * c->in[0].stride[0] + (head + h) * c->in[0].stride[1];
        for (int64_t i = 0; i < d; i++) w->q[h * d + i] = src[i] * c->args.scale;
        o[h] = few_part(f, parts, head + h, t, chunk) + PART_HEAD;
    }
    few_scores(type, k, lo, n, w, d, n_heads);
    for (int h = 0; h < n_heads; h++) {
        few_adjust(c, w, w->s + h * CHUNK, lo, n, t, head + h);
        few_weigh(w->s + h * CHUNK, n, o[h] - PART_HEAD);
    }
    few_values(type, v, lo, n, w->s, o, n_heads, dv);
}

static inline __attribute__((always_inline)) void few_pack(const mm__call *c, const few_shape *f, const few_work *w, float *parts, mm__dtype type,
                                                           int64_t head, int64_t n_heads, int64_t chunk, int64_t t)
{
    switch (n_heads) {
    case 1: few_chunk(c, f, w, parts, type, head, 1, chunk, t); break;
    case 2: few_chunk(c, f, w, parts, type, head, 2, chunk, t); break;
    case 3: few_chunk(c, f, w, parts, type, head, 3, chunk, t); break;
    default: few_chunk(c, f, w, parts, type, head, PACK, chunk, t); break;
    }
}

/* Adds the chunks of a head and a query up. */
static void few_finish(const mm__call *c, const few_shape *f, float *parts, int64_t head, int64_t t)
{
    const int64_t dv = c->in[2].shape.d[2];
    float top = -1e30f, sum = 0.0f, *out = (float *)c->out.data + t * c->out.stride[0] + head * dv;
    for (int64_t i = 0; i < f->chunks; i++) top = fmaxf(top, few_part(f, parts, head, t, f->first + i)[0]);
    for (int64_t i = 0; i < f->chunks; i++) {
        float *part = few_part(f, parts, head, t, f->first + i);
        part[0] = expf(part[0] - top);
        sum += part[0] * part[1];
    }
    const float by = sum > 0.0f ? 1.0f / sum : 0.0f;
    for (int64_t i = 0; i < dv; i += VL) {
        vf acc = v_set(0.0f);
        for (int64_t j = 0; j < f->chunks; j++) {
            const float *part = few_part(f, parts, head, t, f->first + j);
            acc = v_fma(v_set(part[0]), v_load(part + PART_HEAD + i), acc);
        }
        if (dv - i >= VL) v_store(out + i, acc * v_set(by));
        else v_store_n(out + i, acc * v_set(by), dv - i);
    }
}

static bool few_accepts(const mm__call *c)
{
    return c->in[0].shape.d[0] <= FEW && (!mm__call_has(c, 4) || c->args.max_distance <= MAX_DISTANCE);
}

static int64_t few_units(const mm__call *c, int phase)
{
    const few_shape f = few_shape_of(c);
    return phase == 1 ? f.heads * f.queries : f.heads / f.group * f.packs * f.chunks * f.queries;
}

static size_t few_bytes(const mm__call *c) { return few_cut(c, NULL, NULL) * sizeof(float); }

static size_t few_shared(const mm__call *c)
{
    const few_shape f = few_sizes(c);
    return (size_t)(f.heads * f.queries * f.most * f.part) * sizeof(float);
}

static void few_run(const mm__call *c, int phase, int64_t begin, int64_t end, void *shared, void *own)
{
    const few_shape f = few_shape_of(c);
    few_work w;
    if (phase == 1) {
        for (int64_t u = begin; u < end; u++) few_finish(c, &f, shared, u / f.queries, u % f.queries);
        return;
    }
    few_cut(c, own, &w);
    for (int64_t i = 0; i < bias_len(c); i++)
        w.bucket[i] = mm__t5_bucket(i - c->args.max_distance, (int32_t)c->in[4].shape.d[0], c->args.max_distance, c->args.bidirectional);
    for (int64_t u = begin; u < end; u++) {
        const int64_t t = u % f.queries, chunk = f.first + u / f.queries % f.chunks, pack = u / f.queries / f.chunks;
        const int64_t in_group = pack % f.packs * PACK, head = pack / f.packs * f.group + in_group;
        const int64_t n = f.group - in_group < PACK ? f.group - in_group : PACK;
        switch (c->in[1].dtype) {
        case MM__F32: few_pack(c, &f, &w, shared, MM__F32, head, n, chunk, t); break;
        case MM__F16: few_pack(c, &f, &w, shared, MM__F16, head, n, chunk, t); break;
        default: few_pack(c, &f, &w, shared, MM__Q8_0, head, n, chunk, t); break;
        }
    }
}

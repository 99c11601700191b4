/* Attention of many queries: tiles of up to 64 query rows meet tiles of 96 keys, softmax is updated online (Milakov and
 * Gimelshein 2018; Dao et al. 2022), nothing of the size T x S is ever stored.
 *
 * Everything is kept transposed, with queries along the vector lanes:
 *     S^T [keys, q] = K [keys, d] Q^T [d, q],      O^T [dv, q] = O^T * alpha + V^T [dv, keys] P^T [keys, q]
 * Both products are the same micro-kernel: a block of rows of the left side, read as scalars through any two strides and
 * broadcast, times a panel of queries. So K and V of F32 are used as they lie in memory (others are widened once for a tile of
 * queries), and maximum, sum and scaling of the softmax are plain vector operations without a reduction across lanes.
 *
 * All query heads that share a key head are rows of the same tiles: row r of a key head is query r / G, head r % G of its
 * group of G. Key tiles outside of every span of the query tile are skipped. Unit: (key head, query tile); the order of
 * additions within a row depends on the spans of its tile only.
 *
 * With MM__PAIRS (BF16 dot products) the left sides and the panels hold pairs of BF16 numbers, adjacent along the summed
 * axis, in the place of one float, and the products have half the length; everything else, sums included, stays F32.
 *
 * Included once per instruction set. */
#include "../../kern.h"
#include "../vec.h"

#include <string.h>

#define TILE 64              /* query rows */
#define KEYS 96              /* keys at a time: a multiple of all block heights */
#define GROUPS (TILE / VL)   /* vectors of a full tile */
#define PANEL (VL == 16 ? 4 : 2)  /* vectors that the micro-kernel takes at a time */
#define MAX_DISTANCE 4096    /* of a bias */

typedef struct shape {
    int64_t n_head_kv, group, rows, n_keys, d, dv, vectors, tiles;
} shape;

/* A thread's memory. Panels of q, s, o follow each other; a panel of w vectors has rows of w * VL floats. */
typedef struct work {
    float *q, *s, *o;        /* [d | KEYS | dv][TILE] in panels */
    float *k, *v;            /* [KEYS, d], [KEYS, dv]: contiguous copies, or pairs; k also turns q and o around */
    float *top, *sum, *alpha;/* [TILE] */
    int32_t *lo, *hi, *pos;  /* [TILE] */
    float *bias;             /* by clamped distance, of one head */
    int32_t *bucket;         /* by clamped distance */
} work;

static shape shape_of(const mm__call *c)
{
    shape s = {.n_head_kv = c->in[1].shape.d[0], .n_keys = c->in[1].shape.d[1], .d = c->in[1].shape.d[2], .dv = c->in[2].shape.d[2]};
    s.group = c->in[0].shape.d[1] / s.n_head_kv;
    s.rows = c->in[0].shape.d[0] * s.group;
    s.vectors = (s.rows + VL - 1) / VL;
    s.tiles = (s.vectors + GROUPS - 1) / GROUPS;
    return s;
}

static int64_t bias_len(const mm__call *c) { return mm__call_has(c, 4) ? 2 * (int64_t)c->args.max_distance + 1 : 0; }

/* Cuts mem into w; returns the floats taken. mem NULL: only counts. */
static size_t cut(const mm__call *c, float *mem, work *w)
{
    const shape s = shape_of(c);
    const int64_t turn = s.d > s.dv ? s.d : s.dv, len[] = {TILE * s.d, TILE * KEYS, TILE * s.dv, KEYS * turn, KEYS * s.dv, TILE,
                                                          TILE,       TILE,        TILE,        TILE,        TILE,        bias_len(c), bias_len(c)};
    void *at[sizeof len / sizeof len[0]];
    size_t n = 0;
    for (size_t i = 0; i < sizeof len / sizeof len[0]; i++) {
        at[i] = mem ? mem + n : NULL;
        n += ((size_t)len[i] + 15) & ~(size_t)15;
    }
    if (w) *w = (work){at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7], at[8], at[9], at[10], at[11], at[12]};
    return n;
}

/* ---- rows of keys and values ---- */

#define Q8_BLOCK 32          /* Q8_0: elements, and bytes, of a block; rows and strides are whole blocks */
#define Q8_BYTES 34

/* Rows of keys or values of one head. */
typedef struct rows {
    const uint8_t *data;
    int64_t stride;          /* bytes */
} rows;

static inline int64_t bytes_of(mm__dtype t, int64_t n) { return t == MM__F32 ? 4 * n : t == MM__F16 ? 2 * n : n / Q8_BLOCK * Q8_BYTES; }

static inline rows rows_of(const mm__view *x, int64_t head)
{
    return (rows){(const uint8_t *)x->data + bytes_of(x->dtype, head * x->stride[0]), bytes_of(x->dtype, x->stride[1])};
}

/* Up to VL elements of row j from column i, a multiple of VL, on; n, above 0, are there. */
static inline __attribute__((always_inline)) vf row_load(mm__dtype t, rows x, int64_t j, int64_t i, int64_t n)
{
    const uint8_t *row = x.data + j * x.stride;
    if (t == MM__F32) return n >= VL ? v_load((const float *)row + i) : v_load_n((const float *)row + i, n);
    if (t == MM__F16) return n >= VL ? v_load_half((const uint16_t *)row + i) : v_load_half_n((const uint16_t *)row + i, n);
    const uint8_t *block = row + i / Q8_BLOCK * Q8_BYTES;
    uint16_t scale;
    memcpy(&scale, block, sizeof scale);
    return v_load_bytes((const int8_t *)block + 2 + i % Q8_BLOCK) * v_set(_cvtsh_ss(scale));
}

/* ---- pairs ---- */

#ifdef MM__PAIRS

#define LENGTH(n) (((n) + 1) / 2)  /* of a sum over n */
static inline vf mac(vf a, vf b, vf sum) { return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b); }
/* BF16 of a in the low halves, of b in the high halves of the lanes. */
static inline vf pair_up(vf a, vf b)
{
    const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(b, a), lanes = _mm512_set_epi32(0x1f000f, 0x1e000e, 0x1d000d, 0x1c000c, 0x1b000b,
        0x1a000a, 0x190009, 0x180008, 0x170007, 0x160006, 0x150005, 0x140004, 0x130003, 0x120002, 0x110001, 0x100000);
    return (vf)_mm512_permutexvar_epi16(lanes, both);
}

/* Row j of x as pairs of neighbours; dst may be where it lies. */
static inline __attribute__((always_inline)) void pair_row(mm__dtype t, rows x, int64_t j, int64_t d, float *dst)
{
    for (int64_t i = 0; i < d; i += 2 * VL) {
        const vf next = d - i > VL ? row_load(t, x, j, i + VL, d - i - VL) : v_set(0.0f);
        const vf both = (vf)_mm512_cvtne2ps_pbh(next, row_load(t, x, j, i, d - i));
        if (d - i >= 2 * VL) v_store(dst + i / 2, both);
        else v_store_n(dst + i / 2, both, LENGTH(d - i));
    }
}

static const float *left_of_scores(const mm__view *x, int64_t head, int64_t first, int64_t n, int64_t d, float *copy)
{
    const rows r = rows_of(x, head);
    for (int64_t j = 0; j < n; j++)
        switch (x->dtype) {
        case MM__F32: pair_row(MM__F32, r, first + j, d, copy + j * LENGTH(d)); break;
        case MM__F16: pair_row(MM__F16, r, first + j, d, copy + j * LENGTH(d)); break;
        default: pair_row(MM__Q8_0, r, first + j, d, copy + j * LENGTH(d)); break;
        }
    return copy;
}

/* Pairs of rows; an odd last row is paired with zeros. */
static inline __attribute__((always_inline)) void pair_rows(mm__dtype t, rows x, int64_t first, int64_t n, int64_t d, float *copy)
{
    for (int64_t j = 0; j < n; j += 2)
        for (int64_t i = 0; i < d; i += VL) {
            const vf a = row_load(t, x, first + j, i, d - i), b = j + 1 < n ? row_load(t, x, first + j + 1, i, d - i) : v_set(0.0f);
            if (d - i >= VL) v_store(copy + j / 2 * d + i, pair_up(a, b));
            else v_store_n(copy + j / 2 * d + i, pair_up(a, b), d - i);
        }
}

static const float *left_of_sums(const mm__view *x, int64_t head, int64_t first, int64_t n, int64_t d, float *copy)
{
    switch (x->dtype) {
    case MM__F32: pair_rows(MM__F32, rows_of(x, head), first, n, d, copy); break;
    case MM__F16: pair_rows(MM__F16, rows_of(x, head), first, n, d, copy); break;
    default: pair_rows(MM__Q8_0, rows_of(x, head), first, n, d, copy); break;
    }
    return copy;
}

/* x [n, d] becomes rows of pairs, in place. */
static void pair_queries(float *x, int64_t n, int64_t d)
{
    const rows from = {(const uint8_t *)x, d * (int64_t)sizeof *x};
    for (int64_t r = 0; r < n; r++) pair_row(MM__F32, from, r, d, x + r * LENGTH(d));
}

#else

#define LENGTH(n) (n)
static inline vf mac(vf a, vf b, vf sum) { return v_fma(a, b, sum); }

static inline __attribute__((always_inline)) void widen(mm__dtype t, rows x, int64_t first, int64_t n, int64_t d, float *copy)
{
    for (int64_t j = 0; j < n; j++, copy += d) {
        int64_t i = 0;
        for (; i + VL <= d; i += VL) v_store(copy + i, row_load(t, x, first + j, i, VL));
        if (i < d) v_store_n(copy + i, row_load(t, x, first + j, i, d - i), d - i);
    }
}

/* n rows of a key head from row `first` on, as contiguous F32: in place when they already are. */
static const float *left_of_sums(const mm__view *x, int64_t head, int64_t first, int64_t n, int64_t d, float *copy)
{
    const rows r = rows_of(x, head);
    if (x->dtype == MM__F32 && x->stride[1] == d) return (const float *)(r.data + first * r.stride);
    switch (x->dtype) {
    case MM__F32: widen(MM__F32, r, first, n, d, copy); break;
    case MM__F16: widen(MM__F16, r, first, n, d, copy); break;
    default: widen(MM__Q8_0, r, first, n, d, copy); break;
    }
    return copy;
}

#define left_of_scores left_of_sums
static void pair_queries(float *x, int64_t n, int64_t d) {}

#endif

/* ---- the micro-kernel: c [mr, nv * VL] = (alpha ? c * alpha : 0) + a [mr, n] b [n, nv * VL] ---- */

static inline __attribute__((always_inline)) void block(int mr, int nv, const float *a, int64_t row, int64_t col, int64_t n,
                                                        const float *b, float *c, const float *alpha)
{
    vf acc[12][4];
    for (int i = 0; i < mr; i++)
        for (int v = 0; v < nv; v++) {
            acc[i][v] = v_set(0.0f);
            if (alpha) acc[i][v] = v_load(c + (i * nv + v) * VL) * v_load(alpha + v * VL);
        }
    for (int64_t k = 0; k < n; k++, b += nv * VL, a += col) {
        vf line[4];
        for (int v = 0; v < nv; v++) line[v] = v_load(b + v * VL);
        for (int i = 0; i < mr; i++) {
            const vf x = v_set(a[i * row]);
            for (int v = 0; v < nv; v++) acc[i][v] = mac(x, line[v], acc[i][v]);
        }
    }
    for (int i = 0; i < mr; i++)
        for (int v = 0; v < nv; v++) v_store(c + (i * nv + v) * VL, acc[i][v]);
}

#define BLOCK(nv, mr) \
    static void block_##nv##_##mr(const float *a, int64_t row, int64_t col, int64_t n, const float *b, float *c, const float *alpha) \
    { \
        if (alpha) block(mr, nv, a, row, col, n, b, c, alpha); \
        else block(mr, nv, a, row, col, n, b, c, NULL); \
    }
BLOCK(1, 12) BLOCK(1, 4) BLOCK(1, 2) BLOCK(1, 1)
#if VL == 16
BLOCK(2, 12) BLOCK(2, 4) BLOCK(2, 2) BLOCK(2, 1)
BLOCK(3, 8) BLOCK(3, 4) BLOCK(3, 2) BLOCK(3, 1)
BLOCK(4, 6) BLOCK(4, 4) BLOCK(4, 2) BLOCK(4, 1)
#else
BLOCK(2, 6) BLOCK(2, 4) BLOCK(2, 2) BLOCK(2, 1)
#endif

typedef void (*block_fn)(const float *, int64_t, int64_t, int64_t, const float *, float *, const float *);
static const struct { int height; block_fn tall, four, two, one; } blocks[5] = {
    {0, NULL, NULL, NULL, NULL},
    {12, block_1_12, block_1_4, block_1_2, block_1_1},
#if VL == 16
    {12, block_2_12, block_2_4, block_2_2, block_2_1},
    {8, block_3_8, block_3_4, block_3_2, block_3_1},
    {6, block_4_6, block_4_4, block_4_2, block_4_1},
#else
    {6, block_2_6, block_2_4, block_2_2, block_2_1},
#endif
};

/* c [m, nv * VL] = (alpha ? c * alpha : 0) + a [m, n] b [n, nv * VL]; element (i, k) of a at i * row + k * col. */
static void multiply(int nv, const float *a, int64_t row, int64_t col, int64_t m, int64_t n, const float *b, float *c, const float *alpha)
{
    int h;
    for (; m > 0; m -= h, a += h * row, c += h * nv * VL) {
        h = m >= blocks[nv].height ? blocks[nv].height : m >= 4 ? 4 : m >= 2 ? 2 : 1;
        const block_fn f = h == blocks[nv].height ? blocks[nv].tall : h == 4 ? blocks[nv].four : h == 2 ? blocks[nv].two : blocks[nv].one;
        f(a, row, col, n, b, c, alpha);
    }
}

/* ---- softmax ---- */

/* Soft cap, bias and visibility of n keys from `first` on, for one panel. */
static void adjust(const mm__call *c, const work *w, int nv, int at, int64_t first, int64_t n, float *s, bool partly)
{
    const float cap = c->args.softcap;
    const int32_t far = c->args.max_distance;
    for (int v = 0; v < nv; v++) {
        const int r = at + v * VL;
        const vi lo = v_iload(w->lo + r), hi = v_iload(w->hi + r), pos = v_iload(w->pos + r);
        for (int64_t j = 0; j < n; j++) {
            float *p = s + (j * nv + v) * VL;
            const vi key = v_iset((int32_t)(first + j));
            vf x = v_load(p);
            if (cap > 0.0f) x = v_set(cap) * v_tanh(x / v_set(cap));
            if (w->bias) x = x + v_gather(w->bias + far, v_imax(v_imin(v_isub(key, pos), v_iset(far)), v_iset(-far)));
            if (partly) x = v_pick(v_within(lo, key, hi), x, v_set(-INFINITY));
            v_store(p, x);
        }
    }
}

/* Scores become weights relative to the new maximum; sums are carried on; alpha rescales what was added before. */
static inline __attribute__((always_inline)) void weigh(int nv, int64_t n, float *s, float *top, float *sum, float *alpha)
{
    vf high[4], total[4];
    for (int v = 0; v < nv; v++) high[v] = v_load(top + v * VL);
    for (int64_t j = 0; j < n; j++)
        for (int v = 0; v < nv; v++) high[v] = v_max(high[v], v_load(s + (j * nv + v) * VL));
    for (int v = 0; v < nv; v++) {
        const vf scale = v_exp_low(v_load(top + v * VL) - high[v]);
        v_store(top + v * VL, high[v]);
        v_store(alpha + v * VL, scale);
        total[v] = v_load(sum + v * VL) * scale;
    }
#ifdef MM__PAIRS
    for (int64_t j = 0; j < n; j += 2)
        for (int v = 0; v < nv; v++) {
            const vf p = v_exp_low(v_load(s + (j * nv + v) * VL) - high[v]);
            const vf next = j + 1 < n ? v_exp_low(v_load(s + ((j + 1) * nv + v) * VL) - high[v]) : v_set(0.0f);
            total[v] = total[v] + (p + next);
            v_store(s + (j / 2 * nv + v) * VL, pair_up(p, next));
        }
#else
    for (int64_t j = 0; j < n; j++)
        for (int v = 0; v < nv; v++) {
            const vf p = v_exp_low(v_load(s + (j * nv + v) * VL) - high[v]);
            total[v] = total[v] + p;
            v_store(s + (j * nv + v) * VL, p);
        }
#endif
    for (int v = 0; v < nv; v++) v_store(sum + v * VL, total[v]);
}

static void weigh_panel(int nv, int64_t n, float *s, float *top, float *sum, float *alpha)
{
    switch (nv) {
    case 1: weigh(1, n, s, top, sum, alpha); break;
    case 2: weigh(2, n, s, top, sum, alpha); break;
    case 3: weigh(3, n, s, top, sum, alpha); break;
    default: weigh(4, n, s, top, sum, alpha); break;
    }
}

/* ---- tiles ---- */

/* dst [n, to] = transpose of src [m, n] with rows of `from`; m is a multiple of 8. */
static void transpose(const float *src, int64_t from, int64_t m, int64_t n, float *dst, int64_t to)
{
    int64_t j = 0;
    for (; j + 8 <= n; j += 8)
        for (int64_t i = 0; i < m; i += 8) v_transpose8(src + i * from + j, from, dst + j * to + i, to);
    for (; j < n; j++)
        for (int64_t i = 0; i < m; i++) dst[j * to + i] = src[i * from + j];
}

/* One tile's place among the rows of a key head. */
typedef struct tile {
    int64_t head, first;     /* key head; first row */
    int64_t n;               /* rows in use */
    int vectors;
} tile;

static void load_queries(const mm__call *c, const shape *s, const tile *t, const work *w)
{
    const mm__view *q = &c->in[0], *span = &c->in[3], *pos = &c->in[5];
    for (int64_t r = 0; r < t->vectors * VL; r++) {
        const int64_t row = t->first + (r < t->n ? r : t->n - 1), query = row / s->group;
        const float *src = (const float *)q->data + query * q->stride[0] + (t->head * s->group + row % s->group) * q->stride[1];
        const int32_t *pair = mm__call_has(c, 3) ? (const int32_t *)span->data + query * span->stride[0] : NULL;
        w->lo[r] = pair && pair[0] > 0 ? pair[0] : 0;
        w->hi[r] = pair && pair[1] < s->n_keys ? pair[1] : (int32_t)s->n_keys;
        w->pos[r] = mm__call_has(c, 5) ? ((const int32_t *)pos->data)[query * pos->stride[0]] : 0;
        w->top[r] = -1e30f;
        w->sum[r] = 0.0f;
        for (int64_t i = 0; i < s->d; i++) w->k[r * s->d + i] = src[i] * c->args.scale;
    }
    pair_queries(w->k, t->vectors * VL, s->d);
    for (int v = 0; v < t->vectors; v += PANEL) {
        const int nv = t->vectors - v < PANEL ? t->vectors - v : PANEL;
        const int64_t depth = LENGTH(s->d);
        transpose(w->k + v * VL * depth, depth, nv * VL, depth, w->q + v * VL * depth, nv * VL);
    }
    memset(w->o, 0, (size_t)(t->vectors * VL * s->dv) * sizeof(float));
}

/* The keys that any row of the tile sees, and those that all see. */
static void bounds(const tile *t, const work *w, int64_t any[2], int64_t all[2])
{
    any[0] = all[1] = INT32_MAX;
    any[1] = all[0] = 0;
    for (int64_t r = 0; r < t->n; r++) {
        if (w->lo[r] < w->hi[r]) {
            any[0] = w->lo[r] < any[0] ? w->lo[r] : any[0];
            any[1] = w->hi[r] > any[1] ? w->hi[r] : any[1];
        }
        all[0] = w->lo[r] > all[0] ? w->lo[r] : all[0];
        all[1] = w->hi[r] < all[1] ? w->hi[r] : all[1];
    }
}

static void store_rows(const mm__call *c, const shape *s, const tile *t, const work *w)
{
    for (int v = 0; v < t->vectors; v += PANEL) {
        const int nv = t->vectors - v < PANEL ? t->vectors - v : PANEL;
        const float *o = w->o + v * VL * s->dv;
        float *turned = w->k;
        for (int i = 0; i < nv * VL; i += 8) {
            int64_t j = 0;
            for (; j + 8 <= s->dv; j += 8) v_transpose8(o + j * nv * VL + i, nv * VL, turned + i * s->dv + j, s->dv);
            for (; j < s->dv; j++)
                for (int k = 0; k < 8; k++) turned[(i + k) * s->dv + j] = o[j * nv * VL + i + k];
        }
        for (int64_t r = v * VL; r < t->n && r < (v + nv) * VL; r++) {
            const int64_t row = t->first + r, query = row / s->group, head = t->head * s->group + row % s->group;
            float *out = (float *)c->out.data + query * c->out.stride[0] + head * s->dv;
            const float by = w->lo[r] < w->hi[r] ? 1.0f / w->sum[r] : 0.0f;
            for (int64_t i = 0; i < s->dv; i++) out[i] = turned[(r - v * VL) * s->dv + i] * by;
        }
    }
}

static void attend_tile(const mm__call *c, const shape *s, const tile *t, const work *w)
{
    const int64_t depth = LENGTH(s->d);
    int64_t any[2], all[2];
    load_queries(c, s, t, w);
    bounds(t, w, any, all);
    for (int64_t j = any[0]; j < any[1]; j += KEYS) {
        const int64_t n = any[1] - j < KEYS ? any[1] - j : KEYS;
        const bool partly = j < all[0] || j + n > all[1];
        const float *k = left_of_scores(&c->in[1], t->head, j, n, s->d, w->k), *values = left_of_sums(&c->in[2], t->head, j, n, s->dv, w->v);
        for (int v = 0; v < t->vectors; v += PANEL) {
            const int nv = t->vectors - v < PANEL ? t->vectors - v : PANEL, at = v * VL;
            float *scores = w->s + at * KEYS;
            multiply(nv, k, depth, 1, n, depth, w->q + at * depth, scores, NULL);
            if (partly || w->bias || c->args.softcap > 0.0f) adjust(c, w, nv, at, j, n, scores, partly);
            weigh_panel(nv, n, scores, w->top + at, w->sum + at, w->alpha + at);
            multiply(nv, values, 1, s->dv, s->dv, LENGTH(n), scores, w->o + at * s->dv, w->alpha + at);
        }
    }
    store_rows(c, s, t, w);
}

/* The bias of a head by distance; buckets are the same for all heads. */
static void load_bias(const mm__call *c, const work *w, int64_t head)
{
    for (int64_t i = 0; i < bias_len(c); i++) w->bias[i] = ((const float *)c->in[4].data)[w->bucket[i] * c->in[4].stride[0] + head];
}

static bool tile_accepts(const mm__call *c)
{
    return !mm__call_has(c, 4) || (c->in[0].shape.d[1] == c->in[1].shape.d[0] && c->args.max_distance <= MAX_DISTANCE);
}

static int64_t tile_units(const mm__call *c, int phase)
{
    const shape s = shape_of(c);
    return s.n_head_kv * s.tiles;
}

static size_t tile_bytes(const mm__call *c) { return cut(c, NULL, NULL) * sizeof(float); }

static void tile_run(const mm__call *c, int phase, int64_t begin, int64_t end, void *shared, void *own)
{
    const shape s = shape_of(c);
    work w;
    int64_t biased = -1;
    cut(c, own, &w);
    if (!mm__call_has(c, 4)) w.bias = NULL;
    for (int64_t i = 0; i < bias_len(c); i++)
        w.bucket[i] = mm__t5_bucket(i - c->args.max_distance, (int32_t)c->in[4].shape.d[0], c->args.max_distance, c->args.bidirectional);
    for (int64_t u = begin; u < end; u++) {
        const int64_t i = u % s.tiles, v0 = s.vectors * i / s.tiles, v1 = s.vectors * (i + 1) / s.tiles;
        tile t = {.head = u / s.tiles, .first = v0 * VL, .n = (v1 - v0) * VL, .vectors = (int)(v1 - v0)};
        if (t.n > s.rows - t.first) t.n = s.rows - t.first;
        if (w.bias && biased != t.head) load_bias(c, &w, biased = t.head);
        attend_tile(c, &s, &t, &w);
    }
}

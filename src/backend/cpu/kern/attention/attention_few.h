/* Attention of one or a few queries over a long cache: each key and value is read once from memory per query and head, so
 * the kernel only has to keep up with the memory. Unit: (head, query), heads that share keys next to each other.
 *
 * Blocks of 256 keys: VL dot products at a time (one accumulator a key, reduced together), then softmax against the
 * running maximum, then the weighted sum of the rows of v in column strips that stay in registers. F16 rows are widened
 * as they are loaded.
 *
 * Included once per instruction set, after attention_tile.h. */

#define FEW 4      /* queries */
#define BLOCK_KEYS 256
#define STRIP 4    /* vectors of a column strip */

typedef struct few_work {
    float *q, *s, *o;   /* [d], [BLOCK_KEYS], [dv] */
    int32_t *bucket;    /* by clamped distance */
} few_work;

static size_t few_cut(const mm__call *c, float *mem, few_work *w)
{
    const int64_t len[] = {c->in[1].shape.d[2], BLOCK_KEYS, c->in[2].shape.d[2], bias_len(c)};
    void *at[4];
    size_t n = 0;
    for (size_t i = 0; i < 4; i++) {
        at[i] = mem ? mem + n : NULL;
        n += ((size_t)len[i] + 15) & ~(size_t)15;
    }
    if (w) *w = (few_work){at[0], at[1], at[2], at[3]};
    return n;
}

/* Rows of keys or values of one head. */
typedef struct rows {
    const void *data;
    int64_t stride;
} rows;

static inline rows rows_of(const mm__view *x, int64_t head)
{
    const size_t at = (size_t)(head * x->stride[0]);
    return (rows){x->dtype == MM__F16 ? (const void *)((const uint16_t *)x->data + at) : (const void *)((const float *)x->data + at), x->stride[1]};
}

static inline __attribute__((always_inline)) vf row_load(bool half, rows x, int64_t j, int64_t i, int64_t n)
{
    const int64_t at = j * x.stride + i;
    if (n >= VL) return half ? v_load_half((const uint16_t *)x.data + at) : v_load((const float *)x.data + at);
    return half ? v_load_half_n((const uint16_t *)x.data + at, n) : v_load_n((const float *)x.data + at, n);
}

/* s[j] = q . k_j for n keys from `first` on; -inf up to the next multiple of VL. */
static inline __attribute__((always_inline)) void few_scores(bool half, rows k, int64_t first, int64_t n, const float *q, int64_t d, float *s)
{
    for (int64_t j = 0; j < n; j += VL) {
        vf acc[VL];
        int64_t i = 0;
        for (int a = 0; a < VL; a++) acc[a] = v_set(0.0f);
        if (j + VL <= n) {
            for (; i + VL <= d; i += VL) {
                const vf x = v_load(q + i);
                for (int a = 0; a < VL; a++) acc[a] = v_fma(x, row_load(half, k, first + j + a, i, VL), acc[a]);
            }
            if (i < d)
                for (int a = 0; a < VL; a++) acc[a] = v_fma(v_load_n(q + i, d - i), row_load(half, k, first + j + a, i, d - i), acc[a]);
            v_store(s + j, v_sum_each(acc));
            continue;
        }
        for (; i < d; i += VL)
            for (int64_t a = 0; a < n - j; a++) {
                const int64_t len = d - i < VL ? d - i : VL;
                acc[a] = v_fma(v_load_n(q + i, len), row_load(half, k, first + j + a, i, len), acc[a]);
            }
        v_store(s + j, v_set(-INFINITY));
        v_store_n(s + j, v_sum_each(acc), n - j);
    }
}

/* o = o * alpha + sum_j p[j] v_j */
static inline __attribute__((always_inline)) void few_values(bool half, rows v, int64_t first, int64_t n, const float *p, float alpha,
                                                             float *o, int64_t dv)
{
    int64_t i = 0;
    for (; i + STRIP * VL <= dv; i += STRIP * VL) {
        vf acc[STRIP];
        for (int a = 0; a < STRIP; a++) acc[a] = v_load(o + i + a * VL) * v_set(alpha);
        for (int64_t j = 0; j < n; j++) {
            const vf w = v_set(p[j]);
            for (int a = 0; a < STRIP; a++) acc[a] = v_fma(w, row_load(half, v, first + j, i + a * VL, VL), acc[a]);
        }
        for (int a = 0; a < STRIP; a++) v_store(o + i + a * VL, acc[a]);
    }
    for (; i < dv; i += VL) {
        const int64_t len = dv - i < VL ? dv - i : VL;
        vf acc = v_load_n(o + i, len) * v_set(alpha);
        for (int64_t j = 0; j < n; j++) acc = v_fma(v_set(p[j]), row_load(half, v, first + j, i, len), acc);
        v_store_n(o + i, acc, len);
    }
}

static void few_adjust(const mm__call *c, const few_work *w, int64_t first, int64_t n, int64_t t, int64_t head)
{
    const float cap = c->args.softcap;
    for (int64_t j = 0; cap > 0.0f && j < n; j += VL) v_store(w->s + j, v_set(cap) * v_tanh(v_load(w->s + j) / v_set(cap)));
    for (int64_t j = n; cap > 0.0f && j % VL; j++) w->s[j] = -INFINITY;
    if (!mm__call_has(c, 4)) return;
    const int64_t pos = ((const int32_t *)c->in[5].data)[t * c->in[5].stride[0]], far = c->args.max_distance;
    for (int64_t j = 0; j < n; j++) {
        int64_t at = first + j - pos;
        at = at < -far ? -far : at > far ? far : at;
        w->s[j] += ((const float *)c->in[4].data)[w->bucket[at + far] * c->in[4].stride[0] + head];
    }
}

/* s[0..n) becomes weights; carries the maximum and the sum, returns what rescales the sums so far. */
static float few_weigh(float *s, int64_t n, float *top, float *sum)
{
    vf high = v_set(*top), total = v_set(0.0f);
    for (int64_t j = 0; j < n; j += VL) high = v_max(high, v_load(s + j));
    const float now = v_top(high), alpha = expf(*top - now);
    for (int64_t j = 0; j < n; j += VL) {
        const vf p = v_exp_low(v_load(s + j) - v_set(now));
        total = total + p;
        v_store(s + j, p);
    }
    *top = now;
    *sum = *sum * alpha + v_sum(total);
    return alpha;
}

static inline __attribute__((always_inline)) void attend_row(const mm__call *c, const few_work *w, bool half, int64_t t, int64_t head)
{
    const mm__view *q = &c->in[0], *span = &c->in[3];
    const int64_t n_keys = c->in[1].shape.d[1], d = c->in[1].shape.d[2], dv = c->in[2].shape.d[2];
    const int64_t shared = head / (q->shape.d[1] / c->in[1].shape.d[0]);
    const float *src = (const float *)q->data + t * q->stride[0] + head * q->stride[1];
    const rows k = rows_of(&c->in[1], shared), v = rows_of(&c->in[2], shared);
    int64_t lo = 0, hi = n_keys;
    float top = -1e30f, sum = 0.0f, *out = (float *)c->out.data + t * c->out.stride[0] + head * dv;
    if (mm__call_has(c, 3)) {
        const int32_t *pair = (const int32_t *)span->data + t * span->stride[0];
        lo = pair[0] > 0 ? pair[0] : 0;
        hi = pair[1] < n_keys ? pair[1] : n_keys;
    }
    for (int64_t i = 0; i < d; i++) w->q[i] = src[i] * c->args.scale;
    memset(w->o, 0, (size_t)dv * sizeof(float));
    for (int64_t j = lo; j < hi; j += BLOCK_KEYS) {
        const int64_t n = hi - j < BLOCK_KEYS ? hi - j : BLOCK_KEYS;
        few_scores(half, k, j, n, w->q, d, w->s);
        few_adjust(c, w, j, n, t, head);
        const float alpha = few_weigh(w->s, n, &top, &sum);
        few_values(half, v, j, n, w->s, alpha, w->o, dv);
    }
    const float by = sum > 0.0f ? 1.0f / sum : 0.0f;
    for (int64_t i = 0; i < dv; i++) out[i] = w->o[i] * by;
}

static bool few_accepts(const mm__call *c)
{
    return c->in[0].shape.d[0] <= FEW && (!mm__call_has(c, 4) || c->args.max_distance <= MAX_DISTANCE);
}

static int64_t few_units(const mm__call *c, int phase) { return c->in[0].shape.d[0] * c->in[0].shape.d[1]; }
static size_t few_bytes(const mm__call *c) { return few_cut(c, NULL, NULL) * sizeof(float); }

static void few_run(const mm__call *c, int phase, int64_t begin, int64_t end, void *shared, void *own)
{
    const int64_t n_query = c->in[0].shape.d[0];
    few_work w;
    few_cut(c, own, &w);
    for (int64_t i = 0; i < bias_len(c); i++)
        w.bucket[i] = mm__t5_bucket(i - c->args.max_distance, (int32_t)c->in[4].shape.d[0], c->args.max_distance, c->args.bidirectional);
    for (int64_t u = begin; u < end; u++) {
        if (c->in[1].dtype == MM__F16) attend_row(c, &w, true, u % n_query, u / n_query);
        else attend_row(c, &w, false, u % n_query, u / n_query);
    }
}

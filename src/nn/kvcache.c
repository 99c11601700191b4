/* The key-value cache and the inputs of one step. A cache is zeroed at creation; rows are valid up to what the caller has
 * written, and the spans of a step never reach beyond that. All values of a step are small integers, written per step. */
#include "kvcache.h"
#include "../base/ckd.h"
#include "../base/error.h"

#include <string.h>

mm__dtype mm__kv_default(const mm__backend *backend)
{
    return backend->exact ? MM__F32 : MM__F16;
}

bool mm__kv_named(const char *name, mm__dtype *out)
{
    static const struct { const char *name; mm__dtype type; } all[] = {{"f32", MM__F32}, {"f16", MM__F16}, {"q8_0", MM__Q8_0}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i].name, name) == 0) {
            *out = all[i].type;
            return true;
        }
    return false;
}

mm_status mm__kv_check(mm__dtype t, const mm__kv_layer *layers, int32_t n_layer, mm_error *err)
{
    const mm__dtype_info *type = mm__dtype_info_of(t);
    for (int32_t i = 0; i < n_layer; i++)
        if (layers[i].n_head_kv && layers[i].head_dim % (int32_t)type->block != 0)
            return mm__fail(err, MM_E_UNSUPPORTED, "a cache of %s holds heads in blocks of %u numbers, and this model's have %d; take F16 or F32",
                            type->name, type->block, layers[i].head_dim);
    return MM_OK;
}

typedef mm_status (*make_state)(mm__backend *backend, mm__where where, mm__dtype t, mm__shape s, mm__tensor **out, mm_error *err);

static mm_status sketch_state(mm__backend *backend, mm__where where, mm__dtype t, mm__shape s, mm__tensor **out, mm_error *err)
{
    size_t bytes;
    if (!mm__tensor_bytes(t, &s, &bytes)) return mm__fail(err, MM_E_LIMIT, "key-value cache: its size exceeds the address space");
    if (!(*out = mm__zalloc(backend->mem, sizeof **out))) return mm__nomem(err, "key-value cache");
    **out = (mm__tensor){.dtype = t, .shape = s, .bytes = bytes};
    return MM_OK;
}

static void state_free(mm__mem *mem, mm__tensor *t)
{
    if (!t) return;
    if (t->backend) t->backend->ops->tensor_free(t);
    else mm__free(mem, t);
}

static mm_status create(mm__backend *backend, mm__dtype t, const mm__kv_layer *layers, int32_t n_layer, int32_t n_ctx,
                        make_state make, mm__kv **out, mm_error *err)
{
    *out = NULL;
    if (n_layer < 1 || n_ctx < 1)
        return mm__fail(err, MM_E_ARG, "cache of %d layers and %d positions: both must be positive", n_layer, n_ctx);
    mm_status st = mm__kv_check(t, layers, n_layer, err);
    if (st != MM_OK) return st;
    mm__kv *kv = mm__zalloc(backend->mem, sizeof *kv);
    if (!kv) return mm__nomem(err, "key-value cache");
    kv->mem = backend->mem;
    kv->n_layer = n_layer;
    kv->n_ctx = n_ctx;
    kv->k = mm__calloc(kv->mem, (size_t)n_layer, sizeof *kv->k);
    kv->v = mm__calloc(kv->mem, (size_t)n_layer, sizeof *kv->v);
    if (!kv->k || !kv->v) {
        st = mm__nomem(err, "key-value cache");
        goto done;
    }
    for (int32_t i = 0; i < n_layer; i++) {
        if (layers[i].n_head_kv == 0) continue;
        const mm__where where = {MM__PART_DECODER, i};
        mm__shape s = mm__shape3(layers[i].n_head_kv, n_ctx, layers[i].head_dim);
        st = make(backend, where, t, s, &kv->k[i], err);
        if (st < 0) goto done;
        st = make(backend, where, t, s, &kv->v[i], err);
        if (st < 0) goto done;
        kv->bytes += kv->k[i]->bytes + kv->v[i]->bytes;
    }
    *out = kv;
    kv = NULL;
done:
    mm__kv_destroy(kv);
    return st;
}

mm_status mm__kv_create(mm__backend *backend, mm__dtype t, const mm__kv_layer *layers, int32_t n_layer, int32_t n_ctx, mm__kv **out,
                        mm_error *err)
{
    return create(backend, t, layers, n_layer, n_ctx, backend->ops->state, out, err);
}

mm_status mm__kv_sketch(mm__backend *backend, mm__dtype t, const mm__kv_layer *layers, int32_t n_layer, int32_t n_ctx, mm__kv **out,
                        mm_error *err)
{
    return create(backend, t, layers, n_layer, n_ctx, sketch_state, out, err);
}

void mm__kv_destroy(mm__kv *kv)
{
    if (!kv) return;
    for (int32_t i = 0; i < kv->n_layer; i++) {
        if (kv->k) state_free(kv->mem, kv->k[i]);
        if (kv->v) state_free(kv->mem, kv->v[i]);
    }
    mm__free(kv->mem, kv->k);
    mm__free(kv->mem, kv->v);
    mm__free(kv->mem, kv);
}

size_t mm__kv_row_bytes(mm__dtype t, const mm__kv_layer *layers, int32_t n_layer)
{
    const mm__dtype_info *type = mm__dtype_info_of(t);
    size_t sum = 0;
    for (int32_t i = 0; i < n_layer; i++) sum += 2 * (size_t)layers[i].n_head_kv * ((size_t)layers[i].head_dim / type->block * type->bytes);
    return sum;
}

/* Runs are counted layer by layer, keys before values, head by head. */
size_t mm__kv_runs(const mm__kv *kv)
{
    size_t n = 0;
    for (int32_t i = 0; i < kv->n_layer; i++)
        if (kv->k[i]) n += 2 * (size_t)kv->k[i]->shape.d[0];
    return n;
}

mm__kv_run mm__kv_run_at(const mm__kv *kv, size_t i, int32_t n)
{
    int32_t layer = 0;
    while (!kv->k[layer] || i >= 2 * (size_t)kv->k[layer]->shape.d[0]) {
        if (kv->k[layer]) i -= 2 * (size_t)kv->k[layer]->shape.d[0];
        layer++;
    }
    const size_t heads = (size_t)kv->k[layer]->shape.d[0];
    const mm__tensor *t = i < heads ? kv->k[layer] : kv->v[layer];
    const size_t head = t->bytes / heads, row = head / (size_t)kv->n_ctx;
    return (mm__kv_run){(unsigned char *)t->data + i % heads * head, row * (size_t)n};
}

mm_status mm__step_emit(mm__graph *g, mm__kv *kv, mm__kv *cross, int32_t n_rows, bool with_window, mm__step *out, mm_error *err)
{
    *out = (mm__step){.n_rows = n_rows, .kv = kv, .cross = cross};
    if (n_rows < 1) return mm__fail(err, MM_E_ARG, "a step of %d rows", n_rows);
    out->pos = mm__input(g, MM__I32, mm__shape1(n_rows), "pos");
    out->slot = mm__input(g, MM__I32, mm__shape1(n_rows), "slot");
    out->span = mm__input(g, MM__I32, mm__shape2(n_rows, 2), "span");
    if (with_window) out->window = mm__input(g, MM__I32, mm__shape2(n_rows, 2), "window");
    if (cross) out->cross_span = mm__input(g, MM__I32, mm__shape2(n_rows, 2), "cross_span");
    return mm__graph_status(g, err);
}

/* Rows of two integers, filled by one of the functions below and written to `node`. */
typedef struct span_rule {
    int32_t first, prefix, window, n_rows;
} span_rule;

static void fill_spans(const span_rule *r, int32_t *pairs)
{
    int32_t written = r->first + r->n_rows;
    for (int32_t t = 0; t < r->n_rows; t++) {
        int32_t pos = r->first + t, end = pos + 1, begin = 0;
        if (end < r->prefix) end = r->prefix < written ? r->prefix : written;
        if (r->window > 0 && pos + 1 > r->window) begin = pos + 1 - r->window;
        pairs[2 * t] = begin;
        pairs[2 * t + 1] = end;
    }
}

static mm_status write_i32(mm__graph *g, mm__node *node, const int32_t *v, size_t n, mm_error *err)
{
    return node ? mm__graph_write(g, node, v, n * sizeof *v, err) : MM_OK;
}

static mm_status check_cross_spans(const int32_t *pairs, int32_t n_rows, int32_t n_ctx, mm_error *err)
{
    for (int32_t t = 0; t < n_rows; t++)
        if (pairs[2 * t] < 0 || pairs[2 * t + 1] > n_ctx)
            return mm__fail(err, MM_E_ARG, "cross span %d..%d of row %d lies outside the %d rows of the memory", pairs[2 * t],
                            pairs[2 * t + 1], t, n_ctx);
    return MM_OK;
}

static mm_status write_step(mm__graph *g, const mm__step *s, const span_rule *rule, int32_t n_cross, const int32_t *cross_span,
                            int32_t *v, mm_error *err)
{
    size_t n = (size_t)s->n_rows;
    mm_status st;
    for (int32_t t = 0; t < s->n_rows; t++) v[t] = rule->first + t;
    if ((st = write_i32(g, s->pos, v, n, err)) < 0 || (st = write_i32(g, s->slot, v, n, err)) < 0) return st;
    span_rule full = *rule;
    full.window = 0;
    fill_spans(&full, v);
    if ((st = write_i32(g, s->span, v, 2 * n, err)) < 0) return st;
    fill_spans(rule, v);
    if ((st = write_i32(g, s->window, v, 2 * n, err)) < 0) return st;
    if (!s->cross) return MM_OK;
    for (int32_t t = 0; t < s->n_rows; t++) {
        v[2 * t] = cross_span ? cross_span[2 * t] : 0;
        v[2 * t + 1] = cross_span ? cross_span[2 * t + 1] : n_cross;
    }
    if ((st = check_cross_spans(v, s->n_rows, s->cross->n_ctx, err)) < 0) return st;
    return write_i32(g, s->cross_span, v, 2 * n, err);
}

mm_status mm__step_write(mm__graph *g, const mm__step *s, int32_t first, int32_t prefix, int32_t window, int32_t n_cross,
                         const int32_t *cross_span, mm_error *err)
{
    int32_t few[32], *v = few, *many = NULL;
    span_rule rule = {first, prefix, window, s->n_rows};
    size_t n;
    if (first < 0 || first > s->kv->n_ctx - s->n_rows)
        return mm__fail(err, MM_E_CONTEXT, "%d rows at position %d do not fit the context of %d", s->n_rows, first,
                        s->kv->n_ctx);
    if (s->n_rows > 16) {
        if (!mm__ckd_mul((size_t)s->n_rows, 2 * sizeof *many, &n)) return mm__nomem(err, "step");
        v = many = mm__alloc(s->kv->mem, n);
        if (!many) return mm__nomem(err, "step");
    }
    mm_status st = write_step(g, s, &rule, n_cross, cross_span, v, err);
    mm__free(s->kv->mem, many);
    return st;
}

mm__node *mm__attend_cached(mm__graph *g, const mm__step *s, int32_t layer, mm__node *q, mm__node *k, mm__node *v, bool local,
                            mm__node *bias, const mm__args *args)
{
    mm__node *kc = mm__kv_write(g, mm__tensor_node(g, s->kv->k[layer]), k, s->slot);
    mm__node *vc = mm__kv_write(g, mm__tensor_node(g, s->kv->v[layer]), v, s->slot);
    mm__node *span = local && s->window ? s->window : s->span;
    return mm__attend(g, q, kc, vc, span, bias, bias ? s->pos : NULL, args);
}

mm__node *mm__attend_cross(mm__graph *g, const mm__step *s, int32_t layer, mm__node *q, const mm__args *args)
{
    if (!s->cross) return mm__graph_fail(g, MM_E_INTERNAL, "cross-attention without a cross cache");
    mm__node *k = mm__tensor_node(g, s->cross->k[layer]), *v = mm__tensor_node(g, s->cross->v[layer]);
    return mm__attend(g, q, k, v, s->cross_span, NULL, NULL, args);
}

void mm__cross_write(mm__graph *g, mm__kv *cross, int32_t layer, mm__node *k, mm__node *v, mm__node *slot)
{
    mm__output(g, mm__kv_write(g, mm__tensor_node(g, cross->k[layer]), k, slot));
    mm__output(g, mm__kv_write(g, mm__tensor_node(g, cross->v[layer]), v, slot));
}

/* Memory and running. Pointers of calls are computed when the arena moved and only then, so binding again before each
 * token costs two comparisons. */
#include "graph_impl.h"

#include "../base/ckd.h"
#include "../base/error.h"

/* Where x lies; NULL for tensors that exist only packed. */
static void *address(const mm__graph *g, const mm__node *x)
{
    const mm__node *root = x->root;
    unsigned char *base = root->tensor ? root->tensor->data : (unsigned char *)g->base + root->home->at;
    return base ? base + mm__node_byte_offset(x) : NULL;
}

mm_status mm__graph_bind(mm__graph *g, mm__arena *arena, mm_error *err)
{
    if (!g->planned || !g->calls || g->error.code != MM_OK) return mm__fail(err, MM_E_STATE, "graph: bound before it was planned");
    if (g->arena == arena && g->base == arena->data && arena->bytes >= g->bytes) return MM_OK;
    const mm_status s = g->backend->ops->arena_reserve(g->backend, arena, g->bytes, err);
    if (s < 0) return s;
    g->arena = arena;
    g->base = arena->data;
    for (size_t i = 0; i < g->n_calls; i++) {
        const mm__node *x = g->call_nodes[i];
        mm__call *c = &g->calls[i];
        c->out.data = address(g, x);
        for (int k = 0; k < MM__MAX_IN; k++)
            if (x->in[k]) c->in[k].data = address(g, x->in[k]);
    }
    return MM_OK;
}

/* The arena may have been moved on behalf of another graph. */
static mm_status check_bound(const mm__graph *g, mm_error *err)
{
    if (!g->arena || g->arena->data != g->base) return mm__fail(err, MM_E_STATE, "graph: used before it was bound to its memory");
    return MM_OK;
}

mm_status mm__graph_write(mm__graph *g, mm__node *input, const void *data, size_t bytes, mm_error *err)
{
    if (!input || input->kind != MM__NODE_INPUT) return mm__fail(err, MM_E_ARG, "graph: written value is not an input");
    if (bytes != input->bytes)
        return mm__fail(err, MM_E_ARG, "graph: input %s takes %zu bytes, %zu were given", input->name, input->bytes, bytes);
    const mm_status s = check_bound(g, err);
    return s < 0 ? s : g->backend->ops->write(g->backend, address(g, input), data, bytes, err);
}

mm_status mm__graph_run(mm__graph *g, const atomic_int *cancel, mm_error *err)
{
    const mm_status s = check_bound(g, err);
    if (s < 0) return s;
    return g->backend->ops->run(g->backend, g->calls, g->n_calls, (unsigned char *)g->base + g->scratch_at, cancel, err);
}

static mm_status read_rows(mm__graph *g, mm__node *x, int64_t first, int64_t n, unsigned char *dst, size_t row, mm_error *err)
{
    const unsigned char *src = address(g, x);
    const mm__dtype_info *type = mm__dtype_info_of(x->dtype);
    mm_status s = MM_OK;
    if (!src) return mm__fail(err, MM_E_ARG, "graph: the value read exists only packed");
    if (mm__node_contiguous(x)) return g->backend->ops->read(g->backend, src + (size_t)first * row, dst, (size_t)n * row, err);
    for (int64_t r = first; r < first + n && s == MM_OK; r++, dst += row) {
        int64_t at = 0, rest = r;
        for (int i = x->shape.n - 2; i >= 0; i--) {
            at += rest % x->shape.d[i] * x->stride[i];
            rest /= x->shape.d[i];
        }
        s = g->backend->ops->read(g->backend, src + (size_t)(at / type->block) * type->bytes, dst, row, err);
    }
    return s;
}

mm_status mm__graph_read_rows(mm__graph *g, mm__node *x, int64_t first, int64_t n, void *dst, size_t bytes, mm_error *err)
{
    size_t row, need;
    const mm_status s = check_bound(g, err);
    if (s < 0) return s;
    if (!x || (!x->root->tensor && x->root->kind == MM__NODE_CALL && !x->root->pinned))
        return mm__fail(err, MM_E_ARG, "graph: the value read is no output");
    if (first < 0 || n < 0 || n > mm__shape_rows(&x->shape) - first)
        return mm__fail(err, MM_E_ARG, "graph: rows %lld and %lld on were asked for, the value read has %lld", (long long)first, (long long)n,
                        (long long)mm__shape_rows(&x->shape));
    if (!mm__dtype_row_bytes(x->dtype, mm__shape_cols(&x->shape), &row) || !mm__ckd_mul(row, (size_t)n, &need) || bytes != need)
        return mm__fail(err, MM_E_ARG, "graph: the value read has not the %zu bytes that were asked for", bytes);
    return read_rows(g, x, first, n, dst, row, err);
}

mm_status mm__graph_read(mm__graph *g, mm__node *x, void *dst, size_t bytes, mm_error *err)
{
    return mm__graph_read_rows(g, x, 0, x ? mm__shape_rows(&x->shape) : 0, dst, bytes, err);
}

/* Operators: each function fills a call node, has its shape inferred by op/infer.c and returns it. A value that is absent
 * because an earlier emission failed cannot be told from one left out on purpose, but then the graph has failed and
 * nothing is emitted any more. */
#include "graph_impl.h"

#include <string.h>

/* The next node of operator op over n inputs. */
static mm__node *emit(mm__graph *g, mm__op op, const mm__args *args, mm__node *const *in, int n)
{
    const mm__shape *shapes[MM__MAX_IN] = {0};
    mm__dtype types[MM__MAX_IN] = {0};
    mm__shape out;
    mm_error why = {.size = sizeof why};
    if (!mm__graph_open(g)) return NULL;
    for (int i = 0; i < n; i++) {
        if (!in[i]) continue;
        if (mm__only_packed(in[i]->root->tensor) && op != MM__OP_LINEAR)
            return mm__graph_fail(g, MM_E_ARG, "%s reads a tensor that exists only packed", mm__op_name(op));
        shapes[i] = &in[i]->shape;
        types[i] = in[i]->dtype;
    }
    const mm_status s = mm__op_infer(op, args, shapes, types, &out, &why);
    if (s < 0) return mm__graph_fail(g, s, "%s", why.text);
    mm__node *x = mm__node_new(g, MM__NODE_CALL, MM__F32, &out);
    if (!x) return NULL;
    x->op = op;
    x->args = *args;
    for (int i = 0; i < n; i++) x->in[i] = in[i];
    return x;
}

static mm__node *emit1(mm__graph *g, mm__op op, const mm__args *args, mm__node *a) { return emit(g, op, args, &a, 1); }

static mm__node *emit2(mm__graph *g, mm__op op, const mm__args *args, mm__node *a, mm__node *b)
{
    mm__node *const in[] = {a, b};
    return emit(g, op, args, in, 2);
}

static mm__node *emit3(mm__graph *g, mm__op op, const mm__args *args, mm__node *a, mm__node *b, mm__node *c)
{
    mm__node *const in[] = {a, b, c};
    return emit(g, op, args, in, 3);
}

mm__node *mm__linear_node(mm__graph *g, mm__node *x, mm__node *const *w, int n_w, mm__node *bias, mm__act act, mm__node *residual)
{
    const mm__args args = {.act = act};
    mm__node *in[MM__MAX_IN] = {x, bias, residual};
    for (int i = 0; i < n_w && i < 3; i++) in[3 + i] = w[i];
    return emit(g, MM__OP_LINEAR, &args, in, MM__MAX_IN);
}

mm__node *mm__matmul(mm__graph *g, mm__node *a, mm__node *b, float scale)
{
    return emit2(g, MM__OP_MATMUL, &(mm__args){.scale = scale}, a, b);
}

mm__node *mm__gather(mm__graph *g, mm__node *table, mm__node *ids, float scale)
{
    return emit2(g, MM__OP_ROWS, &(mm__args){.scale = scale}, table, ids);
}

mm__node *mm__layer_norm(mm__graph *g, mm__node *x, mm__node *w, mm__node *b, float eps)
{
    return emit3(g, MM__OP_NORM, &(mm__args){.eps = eps}, x, w, b);
}

mm__node *mm__rms_norm(mm__graph *g, mm__node *x, mm__node *w, float eps)
{
    return emit2(g, MM__OP_RMSNORM, &(mm__args){.eps = eps}, x, w);
}

mm__node *mm__add(mm__graph *g, mm__node *a, mm__node *b) { return emit2(g, MM__OP_ADD, &(mm__args){0}, a, b); }
mm__node *mm__mul(mm__graph *g, mm__node *a, mm__node *b) { return emit2(g, MM__OP_MUL, &(mm__args){0}, a, b); }

mm__node *mm__scale(mm__graph *g, mm__node *x, float scale, float offset)
{
    return emit1(g, MM__OP_SCALE, &(mm__args){.scale = scale, .offset = offset}, x);
}

mm__node *mm__activate(mm__graph *g, mm__node *x, mm__act act) { return emit1(g, MM__OP_ACT, &(mm__args){.act = act}, x); }
mm__node *mm__glu(mm__graph *g, mm__node *x, mm__act act) { return emit1(g, MM__OP_GLU, &(mm__args){.act = act}, x); }

mm__node *mm__rotate(mm__graph *g, mm__node *x, mm__node *pos, mm__node *inv_freq, bool interleaved, float scale)
{
    return emit3(g, MM__OP_ROPE, &(mm__args){.interleaved = interleaved, .scale = scale}, x, pos, inv_freq);
}

/* The result is the cache itself, as it stands after the write. */
mm__node *mm__kv_write(mm__graph *g, mm__node *cache, mm__node *x, mm__node *slot)
{
    mm__node *y = emit3(g, MM__OP_KV_WRITE, &(mm__args){0}, cache, x, slot);
    if (!y) return NULL;
    if (!cache->root->tensor) return mm__graph_fail(g, MM_E_ARG, "KV_WRITE into something that is not a state");
    y->dtype = cache->dtype;
    y->root = cache->root;
    y->offset = cache->offset;
    memcpy(y->stride, cache->stride, sizeof y->stride);
    return y;
}

mm__node *mm__attend(mm__graph *g, mm__node *q, mm__node *k, mm__node *v, mm__node *span, mm__node *bias, mm__node *pos,
                     const mm__args *args)
{
    mm__node *const in[] = {q, k, v, span, bias, pos};
    return emit(g, MM__OP_ATTENTION, args, in, 6);
}

mm__node *mm__patches(mm__graph *g, mm__node *image, int32_t patch)
{
    return emit1(g, MM__OP_PATCHES, &(mm__args){.kernel = patch, .step = patch}, image);
}

mm__node *mm__unfold1d(mm__graph *g, mm__node *x, int32_t kernel, int32_t step, int32_t pad, bool channels_first)
{
    return emit1(g, MM__OP_UNFOLD1D, &(mm__args){.kernel = kernel, .step = step, .pad = pad, .channels_first = channels_first}, x);
}

mm__node *mm__concat(mm__graph *g, mm__node *const *x, int n)
{
    if (n < 1 || n > 4) return mm__graph_fail(g, MM_E_ARG, "CONCAT of %d values, 1 to 4 are possible", n);
    return emit(g, MM__OP_CONCAT, &(mm__args){0}, x, n);
}

mm__node *mm__splice(mm__graph *g, mm__node *x, mm__node *rows, mm__node *index)
{
    return emit3(g, MM__OP_SPLICE, &(mm__args){0}, x, rows, index);
}

mm__node *mm__resize_grid(mm__graph *g, mm__node *x, int32_t out_h, int32_t out_w, bool antialias)
{
    return emit1(g, MM__OP_RESIZE, &(mm__args){.out_h = out_h, .out_w = out_w, .antialias = antialias}, x);
}

mm__node *mm__mean_rows(mm__graph *g, mm__node *x) { return emit1(g, MM__OP_MEAN, &(mm__args){0}, x); }
mm__node *mm__l2_norm(mm__graph *g, mm__node *x, float eps) { return emit1(g, MM__OP_L2NORM, &(mm__args){.eps = eps}, x); }
mm__node *mm__softmax(mm__graph *g, mm__node *x) { return emit1(g, MM__OP_SOFTMAX, &(mm__args){0}, x); }

mm__node *mm__contiguous(mm__graph *g, mm__node *x)
{
    if (x && mm__node_contiguous(x)) return x;
    return emit1(g, MM__OP_COPY, &(mm__args){0}, x);
}

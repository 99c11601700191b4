/* The graph of stack.h. Residual additions are fused into the linear layer that ends a branch, unless a norm or a gate
 * stands between, or somebody watches the branch. */
#include "stack.h"

static bool has_norm(const mm__norm *n)
{
    return n->w || n->b || n->eps != 0.0f;
}

/* residual + post(l(y)) */
static mm__node *close_branch(mm__graph *g, const mm__linear *l, const mm__norm *post, mm__node *y, mm__node *residual,
                              const char *stage)
{
    if (!has_norm(post)) return mm__linear_staged(g, l, y, residual, stage);
    y = mm__stage(g, mm__linear_fwd(g, l, y, MM__ACT_NONE, NULL), "%s", stage);
    return mm__add(g, mm__norm_fwd(g, post, y), residual);
}

/* residual + gate * l(y) */
static mm__node *close_gated(mm__graph *g, const mm__linear *l, const mm__tensor *gate, mm__node *y, mm__node *residual)
{
    if (!gate) return mm__linear_fwd(g, l, y, MM__ACT_NONE, residual);
    return mm__add(g, mm__mul(g, mm__linear_fwd(g, l, y, MM__ACT_NONE, NULL), mm__tensor_node(g, gate)), residual);
}

static mm__node *cross_attention(mm__graph *g, const mm__stack *s, const mm__cross *c, int32_t i, mm__node *x,
                                 const mm__step *step)
{
    mm__args args = {.scale = s->cross_shape.scale, .softcap = s->cross_shape.softcap};
    mm__node *q = mm__linear_fwd(g, &c->q, mm__norm_fwd(g, &c->norm, x), MM__ACT_NONE, NULL);
    q = mm__norm_fwd(g, &c->q_norm, mm__heads(g, q, s->cross_shape.n_head));
    return mm__attend_cross(g, step, i, q, &args);
}

static mm__node *gated_cross(mm__graph *g, const mm__stack *s, const mm__cross *c, int32_t i, mm__node *x, const mm__step *step)
{
    x = close_gated(g, &c->out, c->gate, cross_attention(g, s, c, i, x, step), x);
    mm__node *y = mm__mlp_hidden(g, &c->mlp, mm__norm_fwd(g, &c->mlp_norm, x));
    return close_gated(g, &c->mlp.down, c->mlp_gate, y, x);
}

/* Queries and keys of qkv [T, (H + 2 Hk) d], normalised per head where the layer does so, rotated: both in one call when
 * nothing else happens to them. */
static void rotated(mm__graph *g, const mm__attn_shape *a, const mm__layer *l, const mm__rope *rope, mm__node *qkv,
                    mm__node *pos, mm__node **q, mm__node **k)
{
    const int64_t nq = (int64_t)a->n_head * a->head_dim, nk = (int64_t)a->n_head_kv * a->head_dim;
    if (rope->inv_freq && !has_norm(&l->q_norm) && !has_norm(&l->k_norm)) {
        mm__node *both = mm__heads(g, mm__split_cols(g, qkv, 0, nq + nk), a->n_head + a->n_head_kv);
        both = mm__reshape(g, mm__rope_fwd(g, rope, both, pos), mm__shape2(qkv ? mm__rows(qkv) : 1, nq + nk));
        *q = mm__heads(g, mm__split_cols(g, both, 0, nq), a->n_head);
        *k = mm__heads(g, mm__split_cols(g, both, nq, nk), a->n_head_kv);
        return;
    }
    *q = mm__heads(g, mm__split_cols(g, qkv, 0, nq), a->n_head);
    *k = mm__heads(g, mm__split_cols(g, qkv, nq, nk), a->n_head_kv);
    *q = mm__rope_fwd(g, rope, mm__norm_fwd(g, &l->q_norm, *q), pos);
    *k = mm__rope_fwd(g, rope, mm__norm_fwd(g, &l->k_norm, *k), pos);
}

static mm__node *self_attention(mm__graph *g, const mm__stack *s, const mm__layer *l, int32_t i, mm__node *x,
                                const mm__step *step)
{
    const mm__attn_shape *a = &s->shape;
    const int64_t nk = (int64_t)a->n_head_kv * a->head_dim;
    mm__args args = {.scale = a->scale, .softcap = a->softcap, .max_distance = s->bias_distance};
    mm__node *qkv = mm__linear_fwd(g, &l->qkv, x, MM__ACT_NONE, NULL), *q, *k;
    rotated(g, a, l, &s->rope[l->local][step->long_context], qkv, step->pos, &q, &k);
    mm__node *v = mm__heads(g, mm__split_cols(g, qkv, l->qkv.out - nk, nk), a->n_head_kv);
    return mm__attend_cached(g, step, i, q, k, v, l->local, mm__tensor_node(g, s->bias), &args);
}

static mm__node *layer_fwd(mm__graph *g, const mm__stack *s, const mm__layer *l, int32_t i, mm__node *x, const mm__step *step)
{
    mm__node *y = s->post_norm ? x : mm__norm_fwd(g, &l->attn_norm, x);
    x = close_branch(g, &l->out, &l->attn_post, self_attention(g, s, l, i, y, step), x, "attn");
    if (s->post_norm) x = mm__norm_fwd(g, &l->attn_norm, x);
    if (l->cross.place == MM__CROSS_AFTER)
        x = mm__linear_staged(g, &l->cross.out, cross_attention(g, s, &l->cross, i, x, step), x, "cross");
    y = mm__mlp_hidden(g, &l->mlp, s->post_norm ? x : mm__norm_fwd(g, &l->mlp_norm, x));
    x = close_branch(g, &l->mlp.down, &l->mlp_post, y, x, "mlp");
    return s->post_norm ? mm__norm_fwd(g, &l->mlp_norm, x) : x;
}

mm__node *mm__stack_embed(mm__graph *g, const mm__stack *s, mm__node *ids)
{
    return mm__gather(g, mm__tensor_node(g, s->embed), ids, s->embed_scale);
}

mm__node *mm__stack_forward(mm__graph *g, const mm__stack *s, mm__node *x, const mm__step *step)
{
    int32_t n_gated = 0;
    if (s->project_in.n_w) x = mm__linear_fwd(g, &s->project_in, x, MM__ACT_NONE, NULL);
    if (s->positions) x = mm__add(g, x, mm__gather(g, mm__tensor_node(g, s->positions), step->pos, 1.0f));
    for (int32_t i = 0; i < s->n_layer; i++) {
        const mm__layer *l = &s->layer[i];
        x = mm__stage(g, x, "hidden_states.%d", i);
        if (l->cross.place == MM__CROSS_GATED) {
            mm__scope_push(g, "xattn%d", n_gated);
            x = gated_cross(g, s, &l->cross, i, x, step);
            mm__scope_pop(g);
            x = mm__stage(g, x, "xattn.%d", n_gated++);
        }
        mm__scope_push(g, "layer%d", i);
        x = layer_fwd(g, s, l, i, x, step);
        mm__scope_pop(g);
        x = mm__stage(g, x, "layer%d", i);
    }
    if (has_norm(&s->final_norm)) x = mm__stage(g, mm__norm_fwd(g, &s->final_norm, x), "final_norm");
    if (s->project_out.n_w) x = mm__linear_fwd(g, &s->project_out, x, MM__ACT_NONE, NULL);
    return mm__stage(g, mm__stage(g, x, "hidden_states.%d", s->n_layer), "out");
}

mm__node *mm__stack_head(mm__graph *g, const mm__stack *s, mm__node *hidden)
{
    if (s->head_scale != 1.0f) hidden = mm__scale(g, hidden, s->head_scale, 0.0f);
    mm__node *y = mm__linear_fwd(g, &s->head, hidden, MM__ACT_NONE, NULL);
    if (s->logit_cap > 0)
        y = mm__scale(g, mm__activate(g, mm__scale(g, y, 1.0f / s->logit_cap, 0.0f), MM__ACT_TANH), s->logit_cap, 0.0f);
    return mm__stage(g, y, "logits");
}

void mm__stack_cross(mm__graph *g, const mm__stack *s, mm__node *memory, mm__kv *cross, mm__node *slot)
{
    int64_t nk = (int64_t)s->cross_shape.n_head_kv * s->cross_shape.head_dim;
    for (int32_t i = 0; i < s->n_layer; i++) {
        const mm__cross *c = &s->layer[i].cross;
        if (c->place == MM__CROSS_NONE) continue;
        mm__node *kv = mm__linear_fwd(g, &c->kv, memory, MM__ACT_NONE, NULL);
        mm__node *k = mm__heads(g, mm__split_cols(g, kv, 0, nk), s->cross_shape.n_head_kv);
        mm__node *v = mm__heads(g, mm__split_cols(g, kv, nk, nk), s->cross_shape.n_head_kv);
        mm__cross_write(g, cross, i, mm__norm_fwd(g, &c->k_norm, k), v, slot);
    }
}

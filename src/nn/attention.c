/* Attention over values, for encoders and bridges: nothing is cached. Queries, keys and values come as columns of fused
 * projections; heads are views of them, so no data move before the kernel. */
#include "nn.h"

static mm__node *attend(mm__graph *g, const mm__attn_shape *a, mm__node *q, mm__node *k, mm__node *v, mm__node *span)
{
    mm__args args = {.scale = a->scale, .softcap = a->softcap};
    q = mm__heads(g, q, a->n_head);
    k = mm__swap01(g, mm__heads(g, k, a->n_head_kv));
    v = mm__swap01(g, mm__heads(g, v, a->n_head_kv));
    return mm__attend(g, q, k, v, span, NULL, NULL, &args);
}

mm__node *mm__self_attention(mm__graph *g, const mm__attn_shape *a, mm__node *qkv, mm__node *span)
{
    int64_t nq = (int64_t)a->n_head * a->head_dim, nk = (int64_t)a->n_head_kv * a->head_dim;
    return attend(g, a, mm__split_cols(g, qkv, 0, nq), mm__split_cols(g, qkv, nq, nk), mm__split_cols(g, qkv, nq + nk, nk),
                  span);
}

mm__node *mm__cross_attention(mm__graph *g, const mm__attn_shape *a, mm__node *q, mm__node *kv, mm__node *span)
{
    int64_t nk = (int64_t)a->n_head_kv * a->head_dim;
    return attend(g, a, q, mm__split_cols(g, kv, 0, nk), mm__split_cols(g, kv, nk, nk), span);
}

/* A decoder as data: token table, positions, layers, final norm, head. Every autoregressive text model of this library is
 * this graph with some members empty, so a part states sizes, names and options, and no graph is written twice.
 *
 * One layer, x the residual stream:
 *     x = x + g1 cross(n x);  x = x + g2 mlp(n x)       gated cross-attention before the layer (Alayrac et al. 2022)
 *     x = x + p(out(attention(n x)))                    n: norm before, p: optional norm after (post_norm: n(x + ..))
 *     x = x + cross(n x)                                encoder-decoder (Vaswani et al. 2017)
 *     x = x + p(mlp(n x)) */
#ifndef MM__NN_STACK_H
#define MM__NN_STACK_H

#include "kvcache.h"

typedef enum mm__cross_place { MM__CROSS_NONE, MM__CROSS_GATED, MM__CROSS_AFTER } mm__cross_place;

typedef struct mm__cross {
    mm__cross_place place;
    mm__norm norm;
    mm__linear q, kv, out;             /* kv: rows of keys first */
    mm__norm q_norm, k_norm;           /* per head */
    const mm__tensor *gate, *mlp_gate; /* gated: factors of the branches, [1] or [D] */
    mm__norm mlp_norm;
    mm__mlp mlp;
} mm__cross;

typedef struct mm__layer {
    mm__cross cross;
    mm__norm attn_norm, attn_post;
    mm__linear qkv, out;
    mm__norm q_norm, k_norm; /* per head, before rotation */
    bool local;              /* sees the sliding window only */
    mm__norm mlp_norm, mlp_post;
    mm__mlp mlp;
} mm__layer;

typedef struct mm__stack {
    int32_t n_layer;
    mm__layer *layer;
    mm__attn_shape shape, cross_shape;
    mm__rope rope[2][2];    /* [layer is local][context is long] */
    const mm__tensor *bias; /* relative position table [buckets, H] of all layers, or NULL */
    int32_t bias_distance;
    bool post_norm;          /* norms act on the sum instead of the branch's input */
    const mm__tensor *embed; /* [V, E] */
    float embed_scale;
    const mm__tensor *positions;        /* learned, row = position, or NULL */
    mm__linear project_in, project_out; /* n_w 0: none */
    mm__norm final_norm;
    float head_scale; /* of the hidden rows before the head */
    mm__linear head;
    float logit_cap; /* c tanh(l / c), 0: none */
} mm__stack;

mm__node *mm__stack_embed(mm__graph *g, const mm__stack *s, mm__node *ids);
mm__node *mm__stack_forward(mm__graph *g, const mm__stack *s, mm__node *x, const mm__step *step);
mm__node *mm__stack_head(mm__graph *g, const mm__stack *s, mm__node *hidden);
/* K and V of every cross layer from memory [M, width]. */
void mm__stack_cross(mm__graph *g, const mm__stack *s, mm__node *memory, mm__kv *cross, mm__node *slot);

#endif

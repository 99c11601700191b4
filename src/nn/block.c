/* Transformer blocks of encoders. Pre-norm (ViT, Dosovitskiy et al. 2021):
 *     x = x + s1 * out(attention(norm1 x));   x = x + s2 * mlp(norm2 x)
 * where s1, s2 are the optional LayerScale vectors (Touvron et al. 2021). Post-norm (BERT, Devlin et al. 2019):
 *     x = norm1(x + out(attention(x)));       x = norm2(x + mlp(x)) */
#include "nn.h"

/* x + scale * (l applied to y); without a scale the addition is fused into the linear layer. */
static mm__node *add_scaled(mm__graph *g, const mm__linear *l, mm__node *y, const mm__tensor *scale, mm__node *x)
{
    if (!scale) return mm__linear_fwd(g, l, y, MM__ACT_NONE, x);
    return mm__add(g, mm__mul(g, mm__linear_fwd(g, l, y, MM__ACT_NONE, NULL), mm__tensor_node(g, scale)), x);
}

mm__node *mm__block_pre(mm__graph *g, const mm__block *b, const mm__attn_shape *a, mm__node *x, mm__node *span)
{
    mm__node *y = mm__linear_fwd(g, &b->qkv, mm__norm_fwd(g, &b->norm1, x), MM__ACT_NONE, NULL);
    x = add_scaled(g, &b->out, mm__self_attention(g, a, y, span), b->scale1, x);
    return add_scaled(g, &b->mlp.down, mm__mlp_hidden(g, &b->mlp, mm__norm_fwd(g, &b->norm2, x)), b->scale2, x);
}

mm__node *mm__block_post(mm__graph *g, const mm__block *b, const mm__attn_shape *a, mm__node *x, mm__node *span)
{
    mm__node *qkv = mm__linear_fwd(g, &b->qkv, x, MM__ACT_NONE, NULL);
    x = mm__norm_fwd(g, &b->norm1, mm__linear_fwd(g, &b->out, mm__self_attention(g, a, qkv, span), MM__ACT_NONE, x));
    return mm__norm_fwd(g, &b->norm2, mm__mlp_fwd(g, &b->mlp, x, x));
}

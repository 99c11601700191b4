/* The image tower of SigLIP (Zhai et al. 2023): patches with bias, no class row, pre-norm blocks, a norm on all rows. The
 * pooled vector comes from an attention head: one learned probe attends over all rows, then y + mlp(norm(y)). Files that
 * serve as the eye of a language model may lack the head. */
#include "tower.h"

#define B "encoder.layers.%d."

static const mm__names names[] = {
    {"patch", {"embeddings.patch_embedding"}},
    {"pos", {"embeddings.position_embedding.weight"}},
    {"norm1", {B "layer_norm1"}},
    {"attn_q", {B "self_attn.q_proj"}},
    {"attn_k", {B "self_attn.k_proj"}},
    {"attn_v", {B "self_attn.v_proj"}},
    {"attn_out", {B "self_attn.out_proj"}},
    {"norm2", {B "layer_norm2"}},
    {"mlp_up", {B "mlp.fc1"}},
    {"mlp_down", {B "mlp.fc2"}},
    {"post_norm", {"post_layernorm"}},
    {"probe", {"head.probe"}},
    {"head_qkv", {"head.attention.in_proj_weight"}},
    {"head_qkv_bias", {"head.attention.in_proj_bias"}},
    {"head_out", {"head.attention.out_proj"}},
    {"head_norm", {"head.layernorm"}},
    {"head_up", {"head.mlp.fc1"}},
    {"head_down", {"head.mlp.fc2"}},
    {NULL, {NULL}}};

typedef struct siglip_vision {
    mm__tower t;
    mm__norm post_norm;
    const mm__tensor *probe;  /* [1, D] or NULL: no head */
    mm__linear head_q, head_kv, head_out;
    mm__norm head_norm;
    mm__mlp head_mlp;
} siglip_vision;

/* Rows [from, from + n) of the head's stacked projection. */
static mm__linear load_head_part(mm__loader *ld, int64_t d, int64_t from, int64_t n)
{
    mm__linear l = {.n_w = 1, .in = d, .out = n};
    l.w[0] = mm__load_part(ld, "head_qkv", 0, "", mm__shape2(n, d), from, 3 * d, MM__USE_LINEAR, 0);
    l.bias = mm__load_part(ld, "head_qkv_bias", 0, "", mm__shape1(n), from, 3 * d, MM__USE_VECTOR, 0);
    return l;
}

static void load_head(mm__loader *ld, siglip_vision *v)
{
    const int64_t d = v->t.width;
    if (!mm__loader_has(ld, "probe", 0, "")) return;
    v->probe = mm__load(ld, "probe", 0, "", mm__shape2(1, d), MM__USE_VECTOR, MM__LOAD_RESHAPE);
    v->head_q = load_head_part(ld, d, 0, d);
    v->head_kv = load_head_part(ld, d, d, 2 * d);
    v->head_out = mm__load_linear(ld, "head_out", 0, d, d, 0);
    v->head_norm = mm__load_norm(ld, "head_norm", 0, MM__NORM_LAYER, d, v->t.eps, 0);
    v->head_mlp = (mm__mlp){.act = v->t.act};
    v->head_mlp.up = mm__load_linear(ld, "head_up", 0, d, v->t.ffn, 0);
    v->head_mlp.down = mm__load_linear(ld, "head_down", 0, v->t.ffn, d, 0);
    v->t.base.info.projected = (int32_t)d;
}

static mm_status create(mm__loader *ld, mm__encoder **out, mm_error *err)
{
    mm__tower z = {.width = 768, .ffn = 3072, .n_layer = 12, .n_head = 12, .eps = 1e-6f, .normed_last = true,
                   .base.info = {.image_size = 224, .patch = 16}};
    ld->names = names;
    ld->roots[0] = "vision_model.";
    ld->roots[1] = "";
    ld->roots[2] = NULL;
    mm__tower_read(ld, &z, "hidden_size", "gelu_pytorch_tanh");
    siglip_vision *v = mm__tower_new(ld, &mm__encoder_siglip_vision, sizeof *v, &z);
    if (v) {
        mm__tower_load_stem(ld, &v->t, false);
        mm__tower_load_blocks(ld, &v->t);
        v->post_norm = mm__load_norm(ld, "post_norm", 0, MM__NORM_LAYER, z.width, z.eps, 0);
        load_head(ld, v);
    }
    return mm__tower_finish(ld, v ? &v->t : NULL, out, err);
}

static mm__node *pool(const siglip_vision *v, mm__graph *g, mm__node *x)
{
    mm__node *q = mm__linear_fwd(g, &v->head_q, mm__tensor_node(g, v->probe), MM__ACT_NONE, NULL);
    mm__node *kv = mm__linear_fwd(g, &v->head_kv, x, MM__ACT_NONE, NULL);
    mm__node *y = mm__linear_fwd(g, &v->head_out, mm__cross_attention(g, &v->t.attn, q, kv, NULL), MM__ACT_NONE, NULL);
    return mm__mlp_fwd(g, &v->head_mlp, mm__norm_fwd(g, &v->head_norm, y), y);
}

static mm_status forward(mm__encoder *e, mm__graph *g, const mm__encoder_in *in, mm__features *out)
{
    const siglip_vision *v = (const siglip_vision *)e;
    *out = (mm__features){0};
    mm__node *x = mm__tower_blocks(&v->t, g, mm__tower_embed(&v->t, g, in->pixels), in, &out->layer);
    out->last = mm__tower_norm_last(g, &v->post_norm, x, in, "post_ln", &out->layer);
    if (v->probe) out->pooled = out->projected = mm__stage(g, pool(v, g, out->last), "pool_head");
    return mm__graph_status(g, NULL);
}

static const char *const types[] = {"siglip_vision_model", NULL};
const mm__encoder_ops mm__encoder_siglip_vision = {"siglip_vision", MM__ENC_IMAGE, types, NULL, create, mm__tower_destroy, forward, NULL};

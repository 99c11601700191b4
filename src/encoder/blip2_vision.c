/* The image tower of BLIP-2 (Li et al. 2023), the EVA variant of a ViT: patches with bias, class row, query, key and value
 * in one matrix, no norm before the blocks, and a norm on all rows after them. The reference applies that norm a second
 * time to the class row for its pooled output; `pooled` follows it. */
#include "tower.h"

#define B "encoder.layers.%d."

static const mm__names names[] = {
    {"patch", {"embeddings.patch_embedding"}},
    {"cls", {"embeddings.class_embedding"}},
    {"pos", {"embeddings.position_embedding"}},
    {"norm1", {B "layer_norm1"}},
    {"attn_qkv", {B "self_attn.qkv"}},
    {"attn_q", {B "self_attn.q_proj"}},
    {"attn_k", {B "self_attn.k_proj"}},
    {"attn_v", {B "self_attn.v_proj"}},
    {"attn_out", {B "self_attn.projection"}},
    {"norm2", {B "layer_norm2"}},
    {"mlp_up", {B "mlp.fc1"}},
    {"mlp_down", {B "mlp.fc2"}},
    {"post_norm", {"post_layernorm"}},
    {NULL, {NULL}}};

typedef struct blip2_vision {
    mm__tower t;
    mm__norm post_norm;
} blip2_vision;

static mm_status create(mm__loader *ld, mm__encoder **out, mm_error *err)
{
    mm__tower z = {.width = 1408, .ffn = 6144, .n_layer = 39, .n_head = 16, .eps = 1e-6f,
                   .base.info = {.image_size = 224, .patch = 14}};
    ld->names = names;
    ld->roots[0] = "vision_model.";
    ld->roots[1] = "";
    ld->roots[2] = NULL;
    mm__tower_read(ld, &z, "hidden_size", "gelu");
    blip2_vision *v = mm__tower_new(ld, &mm__encoder_blip2_vision, sizeof *v, &z);
    if (v) {
        mm__tower_load_stem(ld, &v->t, true);
        mm__tower_load_blocks(ld, &v->t);
        v->post_norm = mm__load_norm(ld, "post_norm", 0, MM__NORM_LAYER, z.width, z.eps, 0);
    }
    return mm__tower_finish(ld, v ? &v->t : NULL, out, err);
}

static mm_status forward(mm__encoder *e, mm__graph *g, const mm__encoder_in *in, mm__features *out)
{
    const blip2_vision *v = (const blip2_vision *)e;
    *out = (mm__features){0};
    mm__node *x = mm__tower_blocks(&v->t, g, mm__tower_embed(&v->t, g, in->pixels), in, &out->layer);
    out->last = mm__stage(g, mm__norm_fwd(g, &v->post_norm, x), "post_ln.0");
    out->pooled = mm__stage(g, mm__norm_fwd(g, &v->post_norm, mm__split_rows(g, out->last, 0, 1)), "post_ln.1");
    return mm__graph_status(g, NULL);
}

static const char *const types[] = {"blip_2_vision_model", NULL};
const mm__encoder_ops mm__encoder_blip2_vision = {"blip2_vision", MM__ENC_IMAGE, types, NULL, create, mm__tower_destroy, forward, NULL};

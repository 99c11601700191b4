/* DINOv2 (Oquab et al. 2023): a ViT whose branches are scaled per channel (LayerScale) before they are added; the largest
 * size has a gated SiLU MLP. Positions are resampled (bicubic) to the grid of the picture, which is the usual case: the
 * stored table is for 518 pixels. Register rows (Darcet et al. 2023) follow the class row and carry no positions; with
 * them, other picture sizes are refused, because those weights expect a resampling with antialias. */
#include "tower.h"

#define B "encoder.layer.%d."

static const mm__names names[] = {
    {"patch", {"embeddings.patch_embeddings.projection"}},
    {"cls", {"embeddings.cls_token"}},
    {"registers", {"embeddings.register_tokens"}},
    {"pos", {"embeddings.position_embeddings"}},
    {"norm1", {B "norm1"}},
    {"attn_q", {B "attention.attention.query"}},
    {"attn_k", {B "attention.attention.key"}},
    {"attn_v", {B "attention.attention.value"}},
    {"attn_out", {B "attention.output.dense"}},
    {"scale1", {B "layer_scale1.lambda1"}},
    {"norm2", {B "norm2"}},
    {"mlp_up", {B "mlp.fc1|" B "mlp.weights_in"}},
    {"mlp_down", {B "mlp.fc2|" B "mlp.weights_out"}},
    {"scale2", {B "layer_scale2.lambda1"}},
    {"final_norm", {"layernorm"}},
    {NULL, {NULL}}};

typedef struct dinov2 {
    mm__tower t;
    mm__norm final_norm;
} dinov2;

static mm_status create(mm__loader *ld, mm__encoder **out, mm_error *err)
{
    mm__tower z = {.interpolate = true, .base.info = {.image_size = 224, .patch = 14}};
    ld->names = names;
    ld->roots[0] = "dinov2.";
    ld->roots[1] = "dinov2_with_registers.";
    ld->roots[2] = "";
    ld->roots[3] = NULL;
    z.width = mm__loader_int(ld, "hidden_size", NULL, 768, 1, 1 << 16);
    z.n_layer = mm__loader_int(ld, "num_hidden_layers", NULL, 12, 1, 1024);
    z.n_head = mm__loader_int(ld, "num_attention_heads", NULL, 12, 1, z.width);
    z.eps = (float)mm__loader_num(ld, "layer_norm_eps", NULL, 1e-6, 0, 1);
    z.act = mm__loader_act(ld, "hidden_act", "gelu");
    mm__tower_picture(ld, &z.base.info);
    z.ffn = z.width * mm__loader_int(ld, "mlp_ratio", NULL, 4, 1, 64);
    z.gated = mm__config_bool(&ld->config, "use_swiglu_ffn", NULL, false);
    if (z.gated) {
        z.act = MM__ACT_SILU;
        z.ffn = (z.ffn * 2 / 3 + 7) / 8 * 8;
    }
    dinov2 *v = mm__tower_new(ld, &mm__encoder_dinov2, sizeof *v, &z);
    if (v) {
        mm__tower_load_stem(ld, &v->t, true);
        mm__tower_load_blocks(ld, &v->t);
        v->final_norm = mm__load_norm(ld, "final_norm", 0, MM__NORM_LAYER, z.width, z.eps, 0);
    }
    return mm__tower_finish(ld, v ? &v->t : NULL, out, err);
}

static mm_status forward(mm__encoder *e, mm__graph *g, const mm__encoder_in *in, mm__features *out)
{
    const dinov2 *v = (const dinov2 *)e;
    *out = (mm__features){0};
    mm__node *x = mm__tower_blocks(&v->t, g, mm__tower_embed(&v->t, g, in->pixels), in, &out->layer);
    out->last = mm__stage(g, mm__norm_fwd(g, &v->final_norm, x), "final_ln");
    out->pooled = mm__split_rows(g, out->last, 0, 1);
    return mm__graph_status(g, NULL);
}

static const char *const types[] = {"dinov2", "dinov2_with_registers", NULL};
const mm__encoder_ops mm__encoder_dinov2 = {"dinov2", MM__ENC_IMAGE, types, NULL, create, mm__tower_destroy, forward, NULL};

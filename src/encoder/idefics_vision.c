/* The image tower of IDEFICS-1 (Laurencon et al. 2023), a CLIP tower of size H under its own configuration names: all
 * rows, class row included and without a final norm, go to the resampler. `pooled` is the post-norm of the class row. */
#include "tower.h"

#define B "encoder.layers.%d."

static const mm__names names[] = {
    {"patch", {"embeddings.patch_embedding"}},
    {"cls", {"embeddings.class_embedding"}},
    {"pos", {"embeddings.position_embedding.weight"}},
    {"pre_norm", {"pre_layrnorm"}},
    {"norm1", {B "layer_norm1"}},
    {"attn_q", {B "self_attn.q_proj"}},
    {"attn_k", {B "self_attn.k_proj"}},
    {"attn_v", {B "self_attn.v_proj"}},
    {"attn_out", {B "self_attn.out_proj"}},
    {"norm2", {B "layer_norm2"}},
    {"mlp_up", {B "mlp.fc1"}},
    {"mlp_down", {B "mlp.fc2"}},
    {"post_norm", {"post_layernorm"}},
    {NULL, {NULL}}};

typedef struct idefics_vision {
    mm__tower t;
    mm__norm pre_norm, post_norm;
} idefics_vision;

static mm_status create(mm__loader *ld, mm__encoder **out, mm_error *err)
{
    mm__tower z = {.width = 768, .ffn = 5120, .n_layer = 32, .n_head = 16, .eps = 1e-5f,
                   .base.info = {.image_size = 224, .patch = 14}};
    ld->names = names;
    ld->roots[0] = "vision_model.";
    ld->roots[1] = "";
    ld->roots[2] = NULL;
    mm__tower_read(ld, &z, "embed_dim", "gelu");
    idefics_vision *v = mm__tower_new(ld, &mm__encoder_idefics_vision, sizeof *v, &z);
    if (v) {
        mm__tower_load_stem(ld, &v->t, true);
        v->pre_norm = mm__load_norm(ld, "pre_norm", 0, MM__NORM_LAYER, z.width, z.eps, 0);
        mm__tower_load_blocks(ld, &v->t);
        v->post_norm = mm__load_norm(ld, "post_norm", 0, MM__NORM_LAYER, z.width, z.eps, 0);
    }
    return mm__tower_finish(ld, v ? &v->t : NULL, out, err);
}

static mm_status forward(mm__encoder *e, mm__graph *g, const mm__encoder_in *in, mm__features *out)
{
    const idefics_vision *v = (const idefics_vision *)e;
    *out = (mm__features){0};
    mm__node *x = mm__norm_fwd(g, &v->pre_norm, mm__tower_embed(&v->t, g, in->pixels));
    out->last = mm__stage(g, mm__tower_blocks(&v->t, g, mm__stage(g, x, "pre_ln"), in, &out->layer), "last");
    out->pooled = mm__stage(g, mm__norm_fwd(g, &v->post_norm, mm__split_rows(g, out->last, 0, 1)), "post_ln");
    return mm__graph_status(g, NULL);
}

static const char *const types[] = {"idefics_vision", "idefics", NULL};
const mm__encoder_ops mm__encoder_idefics_vision = {"idefics_vision", MM__ENC_IMAGE, types, NULL, create, mm__tower_destroy, forward, NULL};

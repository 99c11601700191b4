/* ViT (Dosovitskiy et al. 2021): a class row and projected patches with learned positions, pre-norm blocks, a final norm.
 * Optional: a pooler, act(dense(class row)) with tanh unless stated, and a classifier on the class row. Positions are resampled (bicubic) to the
 * grid of a picture of another size. */
#include "tower.h"

#define B "encoder.layer.%d."

static const mm__names names[] = {
    {"patch", {"embeddings.patch_embeddings.projection"}},
    {"cls", {"embeddings.cls_token"}},
    {"pos", {"embeddings.position_embeddings"}},
    {"norm1", {B "layernorm_before"}},
    {"attn_q", {B "attention.attention.query"}},
    {"attn_k", {B "attention.attention.key"}},
    {"attn_v", {B "attention.attention.value"}},
    {"attn_out", {B "attention.output.dense"}},
    {"norm2", {B "layernorm_after"}},
    {"mlp_up", {B "intermediate.dense"}},
    {"mlp_down", {B "output.dense"}},
    {"final_norm", {"layernorm"}},
    {"pooler", {"pooler.dense"}},
    {"classifier", {"classifier"}},
    {NULL, {NULL}}};

typedef struct vit {
    mm__tower t;
    mm__norm final_norm;
    mm__linear pooler, classifier; /* n_w 0: absent */
    mm__act pooler_act;
} vit;

static mm_status create(mm__loader *ld, mm__encoder **out, mm_error *err)
{
    mm__tower z = {.width = 768, .ffn = 3072, .n_layer = 12, .n_head = 12, .eps = 1e-12f, .interpolate = true, .normed_last = true,
                   .base.info = {.image_size = 224, .patch = 16}};
    ld->names = names;
    ld->roots[0] = "vit.";
    ld->roots[1] = "";
    ld->roots[2] = NULL;
    mm__tower_read(ld, &z, "hidden_size", "gelu");
    vit *v = mm__tower_new(ld, &mm__encoder_vit, sizeof *v, &z);
    if (v) {
        int64_t d = z.width, classes = mm__tower_stored_rows(ld, "classifier");
        mm__tower_load_stem(ld, &v->t, true);
        mm__tower_load_blocks(ld, &v->t);
        v->final_norm = mm__load_norm(ld, "final_norm", 0, MM__NORM_LAYER, d, z.eps, 0);
        if (mm__loader_has(ld, "pooler", 0, ".weight"))
            v->pooler = mm__load_linear(ld, "pooler", 0, d, mm__tower_stored_rows(ld, "pooler"), 0);
        v->pooler_act = mm__loader_act(ld, "pooler_act", "tanh");
        if (classes > 0 && classes <= INT32_MAX) {
            v->classifier = mm__load_linear(ld, "classifier", 0, d, classes, 0);
            v->t.base.info.projected = (int32_t)classes;
        }
    }
    return mm__tower_finish(ld, v ? &v->t : NULL, out, err);
}

static mm_status forward(mm__encoder *e, mm__graph *g, const mm__encoder_in *in, mm__features *out)
{
    const vit *v = (const vit *)e;
    *out = (mm__features){0};
    mm__node *x = mm__tower_blocks(&v->t, g, mm__tower_embed(&v->t, g, in->pixels), in, &out->layer);
    out->last = mm__tower_norm_last(g, &v->final_norm, x, in, "final_ln", &out->layer);
    mm__node *cls = mm__split_rows(g, out->last, 0, 1);
    if (v->pooler.n_w) out->pooled = mm__linear_fwd(g, &v->pooler, cls, v->pooler_act, NULL);
    if (v->classifier.n_w) out->projected = mm__linear_fwd(g, &v->classifier, cls, MM__ACT_NONE, NULL);
    return mm__graph_status(g, NULL);
}

static const char *const types[] = {"vit", NULL};
const mm__encoder_ops mm__encoder_vit = {"vit", MM__ENC_IMAGE, types, NULL, create, mm__tower_destroy, forward, NULL};

/* The text tower of CLIP (Radford et al. 2021): learned positions, causal pre-norm blocks, a final norm. A text is pooled
 * at its first end-of-text token and projected. Old configurations state 2 as end token and mean the largest id of the
 * text, which is the last of the vocabulary. */
#include "tower.h"

#define B "encoder.layers.%d."

static const mm__names names[] = {
    {"embed", {"embeddings.token_embedding"}},
    {"pos", {"embeddings.position_embedding.weight"}},
    {"norm1", {B "layer_norm1"}},
    {"attn_q", {B "self_attn.q_proj"}},
    {"attn_k", {B "self_attn.k_proj"}},
    {"attn_v", {B "self_attn.v_proj"}},
    {"attn_out", {B "self_attn.out_proj"}},
    {"norm2", {B "layer_norm2"}},
    {"mlp_up", {B "mlp.fc1"}},
    {"mlp_down", {B "mlp.fc2"}},
    {"final_norm", {"final_layer_norm"}},
    {"projection", {"text_projection"}},
    {NULL, {NULL}}};

#define LEGACY_END 2

typedef struct clip_text {
    mm__tower t;
    const mm__tensor *embed, *pos;
    mm__norm final_norm;
    mm__linear projection;    /* n_w 0: absent */
} clip_text;

static void load(mm__loader *ld, clip_text *v)
{
    mm__encoder_info *info = &v->t.base.info;
    const int64_t d = v->t.width, n_vocab = mm__tower_stored_rows(ld, "embed"), projected = mm__tower_stored_rows(ld, "projection");
    int32_t end = mm__loader_int(ld, "eos_token_id", NULL, LEGACY_END, 0, INT32_MAX);
    info->max_rows = mm__loader_int(ld, "max_position_embeddings", NULL, 77, 1, 1 << 20);
    info->pool_id = end == LEGACY_END && n_vocab > 0 && n_vocab <= INT32_MAX ? (int32_t)n_vocab - 1 : end;
    v->embed = mm__load(ld, "embed", 0, ".weight", mm__shape2(n_vocab, d), MM__USE_ROWS, 0);
    v->pos = mm__load(ld, "pos", 0, "", mm__shape2(info->max_rows, d), MM__USE_VECTOR, 0);
    mm__tower_make_causal(ld, &v->t, info->max_rows);
    mm__tower_load_blocks(ld, &v->t);
    v->final_norm = mm__load_norm(ld, "final_norm", 0, MM__NORM_LAYER, d, v->t.eps, 0);
    if (projected > 0 && projected <= INT32_MAX) {
        v->projection = mm__load_linear(ld, "projection", 0, d, projected, MM__LOAD_NO_BIAS);
        info->projected = (int32_t)projected;
    }
}

static mm_status create(mm__loader *ld, mm__encoder **out, mm_error *err)
{
    mm__tower z = {.width = 512, .ffn = 2048, .n_layer = 12, .n_head = 8, .eps = 1e-5f};
    ld->names = names;
    ld->roots[0] = "text_model.";
    ld->roots[1] = "";
    ld->roots[2] = NULL;
    mm__tower_read(ld, &z, "hidden_size", "quick_gelu");
    clip_text *v = mm__tower_new(ld, &mm__encoder_clip_text, sizeof *v, &z);
    if (v) load(ld, v);
    return mm__tower_finish(ld, v ? &v->t : NULL, out, err);
}

static mm_status forward(mm__encoder *e, mm__graph *g, const mm__encoder_in *in, mm__features *out)
{
    const clip_text *v = (const clip_text *)e;
    *out = (mm__features){0};
    mm__node *x = mm__stage(g, mm__tower_text(&v->t, g, in, v->embed, v->pos), "embeddings");
    x = mm__tower_blocks(&v->t, g, x, in, &out->layer);
    out->last = mm__stage(g, mm__norm_fwd(g, &v->final_norm, x), "final_ln");
    if (!out->last) return mm__graph_status(g, NULL);
    out->pooled = in->pool_row ? mm__gather(g, out->last, in->pool_row, 1.0f) : mm__split_rows(g, out->last, mm__rows(out->last) - 1, 1);
    if (v->projection.n_w) out->projected = mm__linear_fwd(g, &v->projection, out->pooled, MM__ACT_NONE, NULL);
    return mm__graph_status(g, NULL);
}

static const char *const types[] = {"clip_text_model", NULL};
const mm__encoder_ops mm__encoder_clip_text = {"clip_text", MM__ENC_TEXT, types, NULL, create, mm__tower_destroy, forward, NULL};

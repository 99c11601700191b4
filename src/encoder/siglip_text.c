/* The text tower of SigLIP (Zhai et al. 2023): bidirectional, always padded to its full length; the last row after the
 * final norm, usually padding, goes through a linear head. Released models attend to padding like to text; where a
 * tokenizer's settings ask for a mask, the caller hides it with in->span. */
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
    {"head", {"head"}},
    {NULL, {NULL}}};

typedef struct siglip_text {
    mm__tower t;
    const mm__tensor *embed, *pos;
    mm__norm final_norm;
    mm__linear head;
} siglip_text;

static void load(mm__loader *ld, siglip_text *v)
{
    mm__encoder_info *info = &v->t.base.info;
    const int64_t d = v->t.width, n_vocab = mm__tower_stored_rows(ld, "embed");
    info->max_rows = mm__loader_int(ld, "max_position_embeddings", NULL, 64, 1, 1 << 20);
    info->pad_to = info->max_rows;
    info->pad_id = mm__loader_int(ld, "pad_token_id", NULL, 1, 0, INT32_MAX);
    info->pool_id = -1;
    info->projected = mm__loader_int(ld, "projection_size", NULL, v->t.width, 1, 1 << 16);
    v->embed = mm__load(ld, "embed", 0, ".weight", mm__shape2(n_vocab, d), MM__USE_ROWS, 0);
    v->pos = mm__load(ld, "pos", 0, "", mm__shape2(info->max_rows, d), MM__USE_VECTOR, 0);
    mm__tower_load_blocks(ld, &v->t);
    v->final_norm = mm__load_norm(ld, "final_norm", 0, MM__NORM_LAYER, d, v->t.eps, 0);
    v->head = mm__load_linear(ld, "head", 0, d, info->projected, 0);
}

static mm_status create(mm__loader *ld, mm__encoder **out, mm_error *err)
{
    mm__tower z = {.width = 768, .ffn = 3072, .n_layer = 12, .n_head = 12, .eps = 1e-6f};
    ld->names = names;
    ld->roots[0] = "text_model.";
    ld->roots[1] = "";
    ld->roots[2] = NULL;
    mm__tower_read(ld, &z, "hidden_size", "gelu_pytorch_tanh");
    siglip_text *v = mm__tower_new(ld, &mm__encoder_siglip_text, sizeof *v, &z);
    if (v) load(ld, v);
    return mm__tower_finish(ld, v ? &v->t : NULL, out, err);
}

static mm_status forward(mm__encoder *e, mm__graph *g, const mm__encoder_in *in, mm__features *out)
{
    const siglip_text *v = (const siglip_text *)e;
    *out = (mm__features){0};
    mm__node *x = mm__stage(g, mm__tower_text(&v->t, g, in, v->embed, v->pos), "embeddings");
    x = mm__tower_blocks(&v->t, g, x, in, &out->layer);
    out->last = mm__stage(g, mm__norm_fwd(g, &v->final_norm, x), "final_ln");
    if (!out->last) return mm__graph_status(g, NULL);
    mm__node *row = in->pool_row ? mm__gather(g, out->last, in->pool_row, 1.0f) : mm__split_rows(g, out->last, mm__rows(out->last) - 1, 1);
    out->pooled = out->projected = mm__stage(g, mm__linear_fwd(g, &v->head, row, MM__ACT_NONE, NULL), "head");
    return mm__graph_status(g, NULL);
}

static const char *const types[] = {"siglip_text_model", NULL};
const mm__encoder_ops mm__encoder_siglip_text = {"siglip_text", MM__ENC_TEXT, types, NULL, create, mm__tower_destroy, forward, NULL};

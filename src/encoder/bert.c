/* BERT (Devlin et al. 2019) and its distilled kin (MiniLM): word, position and segment embeddings under one norm, then
 * post-norm blocks; the last block's rows are the result. The pooler, tanh(dense(first row)), is optional. Texts come one
 * at a time and unpadded, so there is no mask. */
#include "tower.h"
#include <string.h>

#define B "encoder.layer.%d."
#define G "blk.%d."

static const mm__names names[] = {
    {"embed", {"embeddings.word_embeddings", "token_embd"}},
    {"pos", {"embeddings.position_embeddings", "position_embd"}},
    {"types", {"embeddings.token_type_embeddings", "token_types"}},
    {"embed_norm", {"embeddings.LayerNorm", "token_embd_norm"}},
    {"attn_q", {B "attention.self.query", G "attn_q"}},
    {"attn_k", {B "attention.self.key", G "attn_k"}},
    {"attn_v", {B "attention.self.value", G "attn_v"}},
    {"attn_out", {B "attention.output.dense", G "attn_output"}},
    {"norm1", {B "attention.output.LayerNorm", G "attn_output_norm"}},
    {"mlp_up", {B "intermediate.dense", G "ffn_up"}},
    {"mlp_down", {B "output.dense", G "ffn_down"}},
    {"norm2", {B "output.LayerNorm", G "layer_output_norm"}},
    {"pooler", {"pooler.dense", NULL}},
    {NULL, {NULL}}};

typedef struct bert {
    mm__tower t;
    const mm__tensor *embed, *pos;
    const mm__tensor *types;  /* [n_types, D] */
    const mm__tensor *type0;  /* [1, D]: its first row */
    mm__norm embed_norm;
    mm__linear pooler;        /* n_w 0: absent */
} bert;

static void load(mm__loader *ld, bert *v)
{
    mm__encoder_info *info = &v->t.base.info;
    const int64_t d = v->t.width, n_vocab = mm__tower_stored_rows(ld, "embed"), n_types = mm__tower_stored_rows(ld, "types");
    info->max_rows = mm__loader_int(ld, "max_position_embeddings", ".context_length", 512, 1, 1 << 20);
    info->pool_id = -2;
    v->embed = mm__load(ld, "embed", 0, ".weight", mm__shape2(n_vocab, d), MM__USE_ROWS, 0);
    v->pos = mm__load(ld, "pos", 0, ".weight", mm__shape2(info->max_rows, d), MM__USE_VECTOR, 0);
    v->types = mm__load(ld, "types", 0, ".weight", mm__shape2(n_types, d), MM__USE_ROWS, 0);
    v->type0 = mm__load_part(ld, "types", 0, ".weight", mm__shape2(1, d), 0, n_types, MM__USE_VECTOR, 0);
    v->embed_norm = mm__load_norm(ld, "embed_norm", 0, MM__NORM_LAYER, d, v->t.eps, 0);
    mm__tower_load_blocks(ld, &v->t);
    if (mm__loader_has(ld, "pooler", 0, ".weight")) v->pooler = mm__load_linear(ld, "pooler", 0, d, d, 0);
}

static mm_status create(mm__loader *ld, mm__encoder **out, mm_error *err)
{
    mm__tower z = {.post_norm = true};
    const bool json = !ld->config.gguf;
    ld->names = names;
    ld->roots[0] = "";
    ld->roots[1] = "bert.";
    ld->roots[2] = NULL;
    z.width = mm__loader_int(ld, "hidden_size", ".embedding_length", json ? 768 : 0, 1, 1 << 16);
    z.ffn = mm__loader_int(ld, "intermediate_size", ".feed_forward_length", json ? 3072 : 0, 1, 1 << 18);
    z.n_layer = mm__loader_int(ld, "num_hidden_layers", ".block_count", json ? 12 : 0, 1, 1024);
    z.n_head = mm__loader_int(ld, "num_attention_heads", ".attention.head_count", json ? 12 : 0, 1, z.width);
    z.eps = (float)mm__loader_num(ld, "layer_norm_eps", ".attention.layer_norm_epsilon", 1e-12, 0, 1);
    z.act = mm__loader_act(ld, "hidden_act", "gelu");
    const char *positions = mm__config_str(&ld->config, "position_embedding_type", NULL, "absolute");
    if (strcmp(positions, "absolute") != 0)
        mm__loader_fail(ld, MM_E_UNSUPPORTED, "position_embedding_type '%s' is not supported, only absolute positions are", positions);
    bert *v = mm__tower_new(ld, &mm__encoder_bert, sizeof *v, &z);
    if (v) load(ld, v);
    return mm__tower_finish(ld, v ? &v->t : NULL, out, err);
}

static mm_status forward(mm__encoder *e, mm__graph *g, const mm__encoder_in *in, mm__features *out)
{
    const bert *v = (const bert *)e;
    *out = (mm__features){0};
    mm__node *x = mm__tower_text(&v->t, g, in, v->embed, v->pos);
    mm__node *type = in->types ? mm__gather(g, mm__tensor_node(g, v->types), in->types, 1.0f) : mm__tensor_node(g, v->type0);
    x = mm__stage(g, mm__norm_fwd(g, &v->embed_norm, mm__add(g, x, type)), "embeddings");
    out->last = mm__tower_blocks(&v->t, g, x, in, &out->layer);
    if (v->pooler.n_w) out->pooled = mm__linear_fwd(g, &v->pooler, mm__split_rows(g, out->last, 0, 1), MM__ACT_TANH, NULL);
    return mm__graph_status(g, NULL);
}

static const char *const types[] = {"bert", NULL};
const mm__encoder_ops mm__encoder_bert = {"bert", MM__ENC_TEXT, types, types, create, mm__tower_destroy, forward, NULL};

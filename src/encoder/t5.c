/* The encoder of T5 (Raffel et al. 2020), whose rows feed the decoder's cross-attention: RMSNorm before each branch, no
 * biases, scores without 1/sqrt(d) but with a learned bias by relative position in both directions. The bias table, stored
 * in the first layer, serves all. Rows may come from the token table or from elsewhere (pictures), so embedding and layers
 * are separate. Positions are unlimited in principle; a table 0 .. MAX_ROWS - 1 on the device bounds them here. */
#include "../base/error.h"
#include "../part/registry.h"
#include <string.h>

#define MAX_ROWS 8192

#define BLK "enc.blk.%d."
#define B0 "encoder.block.%d.layer.0."
#define B1 "encoder.block.%d.layer.1."

static const mm__names names[] = {{"embed", {"shared|encoder.embed_tokens", "token_embd"}},
                                  {"final_norm", {"encoder.final_layer_norm", "enc.output_norm"}},
                                  {"bias", {B0 "SelfAttention.relative_attention_bias", BLK "attn_rel_b"}},
                                  {"attn_norm", {B0 "layer_norm", BLK "attn_norm"}},
                                  {"attn_q", {B0 "SelfAttention.q", BLK "attn_q"}},
                                  {"attn_k", {B0 "SelfAttention.k", BLK "attn_k"}},
                                  {"attn_v", {B0 "SelfAttention.v", BLK "attn_v"}},
                                  {"attn_out", {B0 "SelfAttention.o", BLK "attn_o"}},
                                  {"ffn_norm", {B1 "layer_norm", BLK "ffn_norm"}},
                                  {"ffn_gate", {B1 "DenseReluDense.wi_0", BLK "ffn_gate"}},
                                  {"ffn_up", {B1 "DenseReluDense.wi_1|" B1 "DenseReluDense.wi", BLK "ffn_up"}},
                                  {"ffn_down", {B1 "DenseReluDense.wo", BLK "ffn_down"}},
                                  {NULL, {NULL}}};

typedef struct t5_layer {
    mm__norm attn_norm, mlp_norm;
    mm__linear qkv, out;
    mm__mlp mlp;
} t5_layer;

typedef struct t5_encoder {
    mm__encoder base;
    int32_t n_head, head_dim, n_ff, distance;
    t5_layer *layer;
    const mm__tensor *embed, *bias;
    mm__norm final_norm;
    mm__tensor *positions; /* I32 [MAX_ROWS]: 0, 1, ... */
} t5_encoder;

static mm__node *attention(mm__graph *g, const t5_encoder *e, const t5_layer *l, mm__node *x, mm__node *pos, mm__node *span)
{
    int64_t n = (int64_t)e->n_head * e->head_dim;
    mm__args args = {.scale = 1.0f, .bidirectional = 1, .max_distance = e->distance};
    mm__node *qkv = mm__linear_fwd(g, &l->qkv, mm__norm_fwd(g, &l->attn_norm, x), MM__ACT_NONE, NULL);
    mm__node *q = mm__heads(g, mm__split_cols(g, qkv, 0, n), e->n_head);
    mm__node *k = mm__swap01(g, mm__heads(g, mm__split_cols(g, qkv, n, n), e->n_head));
    mm__node *v = mm__swap01(g, mm__heads(g, mm__split_cols(g, qkv, 2 * n, n), e->n_head));
    return mm__attend(g, q, k, v, span, mm__tensor_node(g, e->bias), pos, &args);
}

static mm__node *embed(mm__encoder *enc, mm__graph *g, mm__node *ids)
{
    return mm__gather(g, mm__tensor_node(g, ((t5_encoder *)enc)->embed), ids, 1.0f);
}

static mm_status forward(mm__encoder *enc, mm__graph *g, const mm__encoder_in *in, mm__features *out)
{
    const t5_encoder *e = (t5_encoder *)enc;
    const int32_t n = enc->info.n_layer, wanted = in->layer < 0 ? n + 1 + in->layer : in->layer;
    mm__node *x = in->rows ? in->rows : embed(enc, g, in->ids);
    *out = (mm__features){0};
    if (!x) return mm__graph_status(g, NULL);
    if (mm__rows(x) > MAX_ROWS) {
        mm__graph_fail(g, MM_E_CONTEXT, "%lld rows exceed the %d this encoder takes", (long long)mm__rows(x), MAX_ROWS);
        return MM_E_CONTEXT;
    }
    mm__node *pos = mm__split_rows(g, mm__tensor_node(g, e->positions), 0, mm__rows(x));
    for (int32_t i = 0; i < n; i++) {
        const t5_layer *l = &e->layer[i];
        x = mm__stage(g, x, "hidden_states.%d", i);
        mm__scope_push(g, "layer%d", i);
        x = mm__linear_staged(g, &l->out, attention(g, e, l, x, pos, in->span), x, "attn");
        x = mm__linear_staged(g, &l->mlp.down, mm__mlp_hidden(g, &l->mlp, mm__norm_fwd(g, &l->mlp_norm, x)), x, "mlp");
        mm__scope_pop(g);
        x = mm__stage(g, x, "layer%d", i);
        if (i + 1 == wanted) out->layer = x;
    }
    x = mm__stage(g, mm__norm_fwd(g, &e->final_norm, x), "final_norm");
    out->last = mm__stage(g, mm__stage(g, x, "hidden_states.%d", n), "out");
    return mm__graph_status(g, NULL);
}

static void load_layers(mm__loader *ld, t5_encoder *e, double eps)
{
    static const char *const qkv[] = {"attn_q", "attn_k", "attn_v"}, *const gate_up[] = {"ffn_gate", "ffn_up"};
    const int64_t d = e->base.info.width, n = (int64_t)e->n_head * e->head_dim, outs[3] = {n, n, n},
                  halves[2] = {e->n_ff, e->n_ff};
    bool gated = mm__loader_has(ld, "ffn_gate", 0, ".weight");
    const char *act = mm__config_str(&ld->config, "feed_forward_proj", NULL, gated ? "gated-gelu" : "relu");
    mm__act fn = MM__ACT_NONE;
    mm_error err = {.size = sizeof err};
    if (strcmp(act, "gated-gelu") == 0) act = "gelu_new"; /* what this architecture calls gated gelu */
    if (strncmp(act, "gated-", 6) == 0) act += 6;
    if (mm__act_from_name(act, &fn, &err) < 0) mm__loader_fail(ld, MM_E_UNSUPPORTED, "feed_forward_proj: %s", err.text);
    for (int32_t i = 0; i < e->base.info.n_layer && ld->status >= 0; i++) {
        t5_layer *l = &e->layer[i];
        l->attn_norm = mm__load_norm(ld, "attn_norm", i, MM__NORM_RMS, d, eps, 0);
        l->qkv = mm__load_linear_stack(ld, NULL, qkv, 3, i, d, outs, MM__LOAD_NO_BIAS);
        l->out = mm__load_linear(ld, "attn_out", i, n, d, MM__LOAD_NO_BIAS);
        l->mlp_norm = mm__load_norm(ld, "ffn_norm", i, MM__NORM_RMS, d, eps, 0);
        l->mlp.gated = gated;
        l->mlp.act = fn;
        l->mlp.up = gated ? mm__load_linear_stack(ld, NULL, gate_up, 2, i, d, halves, MM__LOAD_NO_BIAS)
                          : mm__load_linear(ld, "ffn_up", i, d, e->n_ff, MM__LOAD_NO_BIAS);
        l->mlp.down = mm__load_linear(ld, "ffn_down", i, e->n_ff, d, MM__LOAD_NO_BIAS);
    }
}

/* The table of positions, written once. */
static void make_positions(mm__loader *ld, t5_encoder *e)
{
    mm__backend *b = mm__store_backend(ld->store);
    mm_error err = {.size = sizeof err};
    const size_t bytes = MAX_ROWS * sizeof(int32_t);
    int32_t *v = ld->status < 0 ? NULL : mm__alloc(ld->mem, bytes);
    mm_status st = v ? b->ops->state(b, (mm__where){MM__PART_ENCODER, 0}, MM__I32, mm__shape1(MAX_ROWS), &e->positions, &err) : mm__nomem(&err, "positions");
    for (int32_t i = 0; st >= 0 && i < MAX_ROWS; i++) v[i] = i;
    if (st >= 0) st = b->ops->write(b, e->positions->data, v, bytes, &err);
    if (st < 0) mm__loader_fail(ld, st, "%s", err.text);
    mm__free(ld->mem, v);
}

static void destroy(mm__encoder *enc)
{
    t5_encoder *e = (t5_encoder *)enc;
    if (e->positions) e->positions->backend->ops->tensor_free(e->positions);
    mm__free(enc->mem, e->layer);
    mm__free(enc->mem, e);
}

static t5_encoder *read_sizes(mm__loader *ld, double *eps)
{
    bool json = !ld->config.gguf;
    t5_encoder *e = mm__zalloc(ld->mem, sizeof *e);
    if (!e) {
        mm__loader_fail(ld, MM_E_NOMEM, "out of memory for an encoder");
        return NULL;
    }
    e->base = (mm__encoder){.ops = &mm__encoder_t5, .mem = ld->mem};
    e->base.info = (mm__encoder_info){.kind = MM__ENC_TEXT, .max_rows = MAX_ROWS, .pool_id = -2};
    e->base.info.width = mm__loader_int(ld, "d_model", ".embedding_length", json ? 512 : 0, 1, 1 << 20);
    e->base.info.n_layer = mm__loader_int(ld, "num_layers", ".block_count", json ? 6 : 0, 1, 4096);
    e->n_head = mm__loader_int(ld, "num_heads", ".attention.head_count", json ? 8 : 0, 1, 65536);
    e->head_dim = mm__loader_int(ld, "d_kv", ".attention.key_length", json ? 64 : 0, 1, 65536);
    e->n_ff = mm__loader_int(ld, "d_ff", ".feed_forward_length", json ? 2048 : 0, 1, 1 << 20);
    e->distance = mm__loader_int(ld, "relative_attention_max_distance", NULL, 128, 2, 1 << 24);
    *eps = mm__loader_num(ld, "layer_norm_epsilon", ".attention.layer_norm_rms_epsilon", 1e-6, 0, 1);
    return e;
}

static mm_status create(mm__loader *ld, mm__encoder **out, mm_error *err)
{
    double eps;
    ld->names = names;
    ld->roots[0] = "";
    ld->roots[1] = NULL;
    *out = NULL;
    t5_encoder *e = read_sizes(ld, &eps);
    if (!e) return mm__loader_status(ld, err);
    int32_t buckets = mm__loader_int(ld, "relative_attention_num_buckets", ".attention.relative_buckets_count", 32, 4, 4096);
    const int64_t d = e->base.info.width;
    const mm__weight *table = mm__loader_find(ld, "embed", 0, ".weight");
    int64_t n_vocab = table && table->shape.n == 2 ? table->shape.d[0] : 1;
    e->layer = mm__calloc(ld->mem, (size_t)e->base.info.n_layer, sizeof *e->layer);
    if (!e->layer) mm__loader_fail(ld, MM_E_NOMEM, "out of memory for an encoder");
    e->embed = mm__load(ld, "embed", 0, ".weight", mm__shape2(n_vocab, d), MM__USE_ROWS, 0);
    e->bias = mm__load(ld, "bias", 0, ".weight", mm__shape2(buckets, e->n_head), MM__USE_VECTOR, 0);
    e->final_norm = mm__load_norm(ld, "final_norm", 0, MM__NORM_RMS, d, eps, 0);
    load_layers(ld, e, eps);
    make_positions(ld, e);
    if (ld->status < 0) {
        destroy(&e->base);
        return mm__loader_status(ld, err);
    }
    *out = &e->base;
    return MM_OK;
}

static const char *const types[] = {"t5", NULL};
const mm__encoder_ops mm__encoder_t5 = {"t5", MM__ENC_TEXT, types, types, create, destroy, forward, embed};

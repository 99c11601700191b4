/* The text half of IDEFICS-1 (Laurencon et al. 2023), an open Flamingo (Alayrac et al. 2022): a LLaMA decoder that reads
 * resampled pictures through gated cross-attention before every cross_layer_interval-th layer. Each branch is scaled by
 * the tanh of a learned number (or vector), computed here once. A row sees only the picture rows its cross span names; an
 * empty span contributes nothing. Token table and head are stored in two parts, base vocabulary and added tokens. */
#include "../part/plain.h"
#include <math.h>

#define LAYER "layers.%d."
#define CROSS "gated_cross_attn_layers.%d."

static const mm__names names[] = {{"embed", {"embed_tokens"}},
                                  {"embed_more", {"embed_tokens.additional_embedding"}},
                                  {"head", {"lm_head"}},
                                  {"head_more", {"lm_head.additional_fc"}},
                                  {"final_norm", {"norm"}},
                                  {"attn_norm", {LAYER "input_layernorm"}},
                                  {"attn_q", {LAYER "self_attn.q_proj"}},
                                  {"attn_k", {LAYER "self_attn.k_proj"}},
                                  {"attn_v", {LAYER "self_attn.v_proj"}},
                                  {"attn_out", {LAYER "self_attn.o_proj"}},
                                  {"ffn_norm", {LAYER "post_attention_layernorm"}},
                                  {"ffn_gate", {LAYER "mlp.gate_proj"}},
                                  {"ffn_up", {LAYER "mlp.up_proj"}},
                                  {"ffn_down", {LAYER "mlp.down_proj"}},
                                  {"cross_norm", {CROSS "input_layernorm"}},
                                  {"cross_q", {CROSS "cross_attn.q_proj"}},
                                  {"cross_k", {CROSS "cross_attn.k_proj"}},
                                  {"cross_v", {CROSS "cross_attn.v_proj"}},
                                  {"cross_out", {CROSS "cross_attn.o_proj"}},
                                  {"cross_q_norm", {CROSS "cross_attn.q_layer_norm"}},
                                  {"cross_k_norm", {CROSS "cross_attn.k_layer_norm"}},
                                  {"cross_gate", {CROSS "alpha_cross_attn"}},
                                  {"cross_ffn_norm", {CROSS "post_attention_layernorm"}},
                                  {"cross_ffn_gate", {CROSS "mlp.gate_proj"}},
                                  {"cross_ffn_up", {CROSS "mlp.up_proj"}},
                                  {"cross_ffn_down", {CROSS "mlp.down_proj"}},
                                  {"cross_ffn_scale", {CROSS "alpha_dense"}},
                                  {NULL, {NULL}}};

/* tanh(alpha), one number or one per column. */
static const mm__tensor *gate(mm__loader *ld, const char *key, int32_t i, int32_t n_embd)
{
    int64_t n = 1;
    const mm__weight *w = mm__loader_find(ld, key, i, "");
    if (w && (!mm__shape_count(&w->shape, &n) || n != 1)) n = n_embd;
    float *a = mm__load_host(ld, key, i, "", n, 0);
    for (int64_t k = 0; a && k < n; k++) a[k] = tanhf(a[k]);
    const mm__tensor *t = a ? mm__store_vector(ld, key, i, a, mm__shape1(n)) : NULL;
    mm__free(ld->mem, a);
    return t;
}

static void load_gated(mm__loader *ld, mm__cross *c, int32_t i, const mm__sizes *s, int32_t width, bool qk_norm, mm__act act)
{
    static const char *const kv[] = {"cross_k", "cross_v"}, *const gate_up[] = {"cross_ffn_gate", "cross_ffn_up"};
    const int64_t n = (int64_t)s->n_head * s->head_dim, kv_rows[2] = {n, n}, ff_rows[2] = {s->n_ff, s->n_ff};
    c->place = MM__CROSS_GATED;
    c->norm = mm__load_norm(ld, "cross_norm", i, MM__NORM_RMS, s->n_embd, s->eps, 0);
    c->q = mm__load_linear(ld, "cross_q", i, s->n_embd, n, MM__LOAD_NO_BIAS);
    c->kv = mm__load_linear_stack(ld, NULL, kv, 2, i, width, kv_rows, MM__LOAD_NO_BIAS);
    c->out = mm__load_linear(ld, "cross_out", i, n, s->n_embd, MM__LOAD_NO_BIAS);
    if (qk_norm) {
        c->q_norm = mm__load_norm(ld, "cross_q_norm", i, MM__NORM_RMS, s->head_dim, s->eps, 0);
        c->k_norm = mm__load_norm(ld, "cross_k_norm", i, MM__NORM_RMS, s->head_dim, s->eps, 0);
    }
    c->gate = gate(ld, "cross_gate", i, s->n_embd);
    c->mlp_norm = mm__load_norm(ld, "cross_ffn_norm", i, MM__NORM_RMS, s->n_embd, s->eps, 0);
    c->mlp.gated = true;
    c->mlp.act = act;
    c->mlp.up = mm__load_linear_stack(ld, NULL, gate_up, 2, i, s->n_embd, ff_rows, MM__LOAD_NO_BIAS);
    c->mlp.down = mm__load_linear(ld, "cross_ffn_down", i, s->n_ff, s->n_embd, MM__LOAD_NO_BIAS);
    c->mlp_gate = gate(ld, "cross_ffn_scale", i, s->n_embd);
}

static void load_cross(mm__loader *ld, mm__plain *p, const mm__sizes *s, mm__act act)
{
    int32_t every = mm__loader_int(ld, "cross_layer_interval", NULL, 1, 1, 4096);
    int32_t width = mm__loader_int(ld, "vision_config.embed_dim", NULL, s->n_embd, 1, 1 << 20);
    bool qk_norm = mm__config_bool(&ld->config, "qk_layer_norms", NULL, false);
    if (!mm__plain_begin_cross(ld, p, s, width)) return;
    for (int32_t i = 0; i < s->n_layer && ld->status >= 0; i += every) {
        p->base.info.cross[i] = (mm__kv_layer){s->n_head, s->head_dim};
        load_gated(ld, &p->stack.layer[i].cross, i / every, s, width, qk_norm, act);
    }
}

/* Rows of the base table and of the added one. */
static int64_t rows_of(mm__loader *ld, const char *key)
{
    const mm__weight *w = mm__loader_find(ld, key, 0, ".weight");
    return w && w->shape.n == 2 && w->shape.d[0] < (1 << 27) ? w->shape.d[0] : 0;
}

static void load_ends(mm__loader *ld, mm__plain *p, const mm__sizes *s)
{
    static const char *const embed[] = {"embed", "embed_more"}, *const head[] = {"head", "head_more"};
    const int64_t rows[2] = {rows_of(ld, "embed"), rows_of(ld, "embed_more")};
    int n = rows[1] > 0 ? 2 : 1;
    mm__linear table = mm__load_linear_stack(ld, NULL, embed, n, 0, s->n_embd, rows, MM__LOAD_NO_BIAS | MM__LOAD_ROWS);
    if (ld->status >= 0 && table.n_w != 1)
        mm__loader_fail(ld, MM_E_UNSUPPORTED, "the two parts of the token table differ in type");
    p->stack.embed = table.w[0];
    p->base.info.n_vocab = (int32_t)(rows[0] + rows[1]);
    p->stack.head = mm__loader_has(ld, "head", 0, ".weight")
                        ? mm__load_linear_stack(ld, NULL, head, n, 0, s->n_embd, rows, MM__LOAD_NO_BIAS)
                        : table;
}

static mm_status create(mm__loader *ld, mm__decoder **out, mm_error *err)
{
    mm__sizes s = {32, 4096, 11008, 32, 0, 0, 2048, 1e-6, 10000};
    ld->names = names;
    ld->roots[0] = "model.";
    ld->roots[1] = "";
    mm__plain_sizes(ld, &s);
    mm__layout y = {
        .norm = MM__NORM_RMS, .linear_flags = MM__LOAD_NO_BIAS, .gated = true, .act = mm__loader_act(ld, "hidden_act", "silu")};
    mm__plain *p = mm__plain_new(ld, &mm__decoder_idefics, &s);
    if (p) {
        mm__plain_set_rope(p, mm__plain_rope(ld, &s, s.head_dim, false));
        load_ends(ld, p, &s);
        mm__plain_load_layers(ld, p, &s, &y);
        load_cross(ld, p, &s, y.act);
        p->stack.final_norm = mm__load_norm(ld, "final_norm", 0, MM__NORM_RMS, s.n_embd, s.eps, 0);
    }
    return mm__plain_finish(ld, p, out, err);
}

static const char *const types[] = {"idefics", NULL};
const mm__decoder_ops mm__decoder_idefics = {
    "idefics", types, NULL, create, mm__plain_destroy, mm__plain_embed, mm__plain_forward, mm__plain_head, mm__plain_cross};

/* The decoder of T5 (Raffel et al. 2020): RMSNorm, no biases, scores without 1/sqrt(d) but with a learned bias by relative
 * position whose table, stored in the first layer, serves all. Version 1.0 has a ReLU MLP and a head tied to the token
 * table, fed with rows times width^-0.5; version 1.1 and Flan-T5 have a gated GELU MLP and a head of their own. */
#include "../part/plain.h"
#include <math.h>
#include <string.h>

/* Relative positions have no end: n_positions tells how long the texts of the training were. This is as far as encoders go. */
#define MAX_CONTEXT 8192

#define BLK "dec.blk.%d."
#define B0 "decoder.block.%d.layer.0."
#define B1 "decoder.block.%d.layer.1."
#define B2 "decoder.block.%d.layer.2."

static const mm__names names[] = {{"embed", {"shared|decoder.embed_tokens", "token_embd"}},
                                  {"head", {"lm_head", "output"}},
                                  {"final_norm", {"decoder.final_layer_norm", "dec.output_norm"}},
                                  {"bias", {B0 "SelfAttention.relative_attention_bias", BLK "attn_rel_b"}},
                                  {"attn_norm", {B0 "layer_norm", BLK "attn_norm"}},
                                  {"attn_q", {B0 "SelfAttention.q", BLK "attn_q"}},
                                  {"attn_k", {B0 "SelfAttention.k", BLK "attn_k"}},
                                  {"attn_v", {B0 "SelfAttention.v", BLK "attn_v"}},
                                  {"attn_out", {B0 "SelfAttention.o", BLK "attn_o"}},
                                  {"cross_norm", {B1 "layer_norm", BLK "cross_attn_norm"}},
                                  {"cross_q", {B1 "EncDecAttention.q", BLK "cross_attn_q"}},
                                  {"cross_k", {B1 "EncDecAttention.k", BLK "cross_attn_k"}},
                                  {"cross_v", {B1 "EncDecAttention.v", BLK "cross_attn_v"}},
                                  {"cross_out", {B1 "EncDecAttention.o", BLK "cross_attn_o"}},
                                  {"ffn_norm", {B2 "layer_norm", BLK "ffn_norm"}},
                                  {"ffn_gate", {B2 "DenseReluDense.wi_0", BLK "ffn_gate"}},
                                  {"ffn_up", {B2 "DenseReluDense.wi_1|" B2 "DenseReluDense.wi", BLK "ffn_up"}},
                                  {"ffn_down", {B2 "DenseReluDense.wo", BLK "ffn_down"}},
                                  {NULL, {NULL}}};

static mm_status create(mm__loader *ld, mm__decoder **out, mm_error *err)
{
    mm__sizes s = {.eps = 1e-6};
    bool json = !ld->config.gguf;
    ld->names = names;
    ld->roots[0] = "";
    ld->roots[1] = NULL;
    s.n_embd = mm__loader_int(ld, "d_model", ".embedding_length", json ? 512 : 0, 1, 1 << 20);
    int32_t n_enc = mm__loader_int(ld, "num_layers", ".block_count", json ? 6 : 0, 1, 4096);
    s.n_layer = mm__loader_int(ld, "num_decoder_layers", ".decoder_block_count", n_enc, 1, 4096);
    s.n_head = mm__loader_int(ld, "num_heads", ".attention.head_count", json ? 8 : 0, 1, 65536);
    s.head_dim = mm__loader_int(ld, "d_kv", ".attention.key_length", json ? 64 : 0, 1, 65536);
    s.n_ff = mm__loader_int(ld, "d_ff", ".feed_forward_length", json ? 2048 : 0, 1, 1 << 20);
    s.n_ctx = MAX_CONTEXT;
    s.eps = mm__loader_num(ld, "layer_norm_epsilon", ".attention.layer_norm_rms_epsilon", 1e-6, 0, 1);
    s.n_head_kv = s.n_head;
    int32_t buckets = mm__loader_int(ld, "relative_attention_num_buckets", ".attention.relative_buckets_count", 32, 4, 4096);
    int32_t distance = mm__loader_int(ld, "relative_attention_max_distance", NULL, 128, 2, 1 << 24);
    mm__layout y = {.norm = MM__NORM_RMS, .linear_flags = MM__LOAD_NO_BIAS};
    y.gated = mm__loader_has(ld, "ffn_gate", 0, ".weight");
    const char *act = mm__config_str(&ld->config, "feed_forward_proj", NULL, y.gated ? "gated-gelu" : "relu");
    mm_error e = {.size = sizeof e};
    if (strcmp(act, "gated-gelu") == 0) act = "gelu_new"; /* what this architecture calls gated gelu */
    if (strncmp(act, "gated-", 6) == 0) act += 6;
    if (mm__act_from_name(act, &y.act, &e) < 0) mm__loader_fail(ld, MM_E_UNSUPPORTED, "feed_forward_proj: %s", e.text);
    mm__plain *p = mm__plain_new(ld, &mm__decoder_t5, &s);
    if (p) {
        p->base.info.start_id = mm__loader_int(ld, "decoder_start_token_id", ".decoder_start_token_id", 0, 0, INT32_MAX);
        p->stack.shape.scale = 1.0f;
        mm__plain_load_ends(ld, p, s.n_embd, true);
        if (p->stack.head.w[0] == p->stack.embed) p->stack.head_scale = (float)(1.0 / sqrt(s.n_embd));
        p->stack.bias = mm__load(ld, "bias", 0, ".weight", mm__shape2(buckets, s.n_head), MM__USE_VECTOR, 0);
        p->stack.bias_distance = distance;
        mm__plain_load_layers(ld, p, &s, &y);
        mm__plain_load_cross(ld, p, &s, &y, s.n_embd);
        p->stack.final_norm = mm__load_norm(ld, "final_norm", 0, MM__NORM_RMS, s.n_embd, s.eps, 0);
    }
    return mm__plain_finish(ld, p, out, err);
}

static const char *const types[] = {"t5", NULL};
const mm__decoder_ops mm__decoder_t5 = {
    "t5", types, types, create, mm__plain_destroy, mm__plain_embed, mm__plain_forward, mm__plain_head, mm__plain_cross};

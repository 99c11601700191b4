/* The text decoder of Whisper (Radford et al. 2022): LayerNorm before each branch, learned positions, erf GELU, keys
 * without bias, cross-attention over the audio encoder's rows, head tied to the token table. Four containers name its
 * tensors differently; the ggml and CT2 names come without a configuration, which the caller states in Hugging Face terms. */
#include "../part/plain.h"

#define HF "decoder.layers.%d."
#define GGML "decoder.blocks.%d."
#define CT2 "decoder/layer_%d/"

static const mm__names names[] = {
    {"embed", {"decoder.embed_tokens", NULL, "decoder.token_embedding", "decoder/embeddings"}},
    {"head", {"proj_out", NULL, NULL, NULL}},
    {"positions", {"decoder.embed_positions", NULL, "decoder.positional_embedding=", "decoder/position_encodings/encodings="}},
    {"final_norm", {"decoder.layer_norm", NULL, "decoder.ln", "decoder/layer_norm"}},
    {"attn_norm", {HF "self_attn_layer_norm", NULL, GGML "attn_ln", CT2 "self_attention/layer_norm"}},
    {"attn_qkv", {NULL, NULL, NULL, CT2 "self_attention/linear_0"}},
    {"attn_q", {HF "self_attn.q_proj", NULL, GGML "attn.query", NULL}},
    {"attn_k", {HF "self_attn.k_proj", NULL, GGML "attn.key", NULL}},
    {"attn_v", {HF "self_attn.v_proj", NULL, GGML "attn.value", NULL}},
    {"attn_out", {HF "self_attn.out_proj", NULL, GGML "attn.out", CT2 "self_attention/linear_1"}},
    {"cross_norm", {HF "encoder_attn_layer_norm", NULL, GGML "cross_attn_ln", CT2 "attention/layer_norm"}},
    {"cross_q", {HF "encoder_attn.q_proj", NULL, GGML "cross_attn.query", CT2 "attention/linear_0"}},
    {"cross_kv", {NULL, NULL, NULL, CT2 "attention/linear_1"}},
    {"cross_k", {HF "encoder_attn.k_proj", NULL, GGML "cross_attn.key", NULL}},
    {"cross_v", {HF "encoder_attn.v_proj", NULL, GGML "cross_attn.value", NULL}},
    {"cross_out", {HF "encoder_attn.out_proj", NULL, GGML "cross_attn.out", CT2 "attention/linear_2"}},
    {"ffn_norm", {HF "final_layer_norm", NULL, GGML "mlp_ln", CT2 "ffn/layer_norm"}},
    {"ffn_up", {HF "fc1", NULL, GGML "mlp.0", CT2 "ffn/linear_0"}},
    {"ffn_down", {HF "fc2", NULL, GGML "mlp.2", CT2 "ffn/linear_1"}},
    {NULL, {NULL}}};

static mm_status create(mm__loader *ld, mm__decoder **out, mm_error *err)
{
    mm__sizes s = {.eps = 1e-5};
    ld->names = names;
    ld->roots[0] = "model.";
    ld->roots[1] = "";
    s.n_embd = mm__loader_int(ld, "d_model", NULL, 0, 1, 1 << 20);
    s.n_layer = mm__loader_int(ld, "decoder_layers", NULL, 0, 1, 4096);
    s.n_head = mm__loader_int(ld, "decoder_attention_heads", NULL, 0, 1, s.n_embd);
    s.n_ff = mm__loader_int(ld, "decoder_ffn_dim", NULL, s.n_embd * 4, 1, 1 << 22);
    s.n_ctx = mm__loader_int(ld, "max_target_positions", NULL, 448, 1, 1 << 20);
    s.n_head_kv = s.n_head;
    s.head_dim = s.n_embd / s.n_head;
    if (mm__config_bool(&ld->config, "scale_embedding", NULL, false))
        mm__loader_fail(ld, MM_E_UNSUPPORTED, "scale_embedding is not supported");
    mm__layout y = {.norm = MM__NORM_LAYER, .act = mm__loader_act(ld, "activation_function", "gelu")};
    mm__plain *p = mm__plain_new(ld, &mm__decoder_whisper, &s);
    if (p) {
        p->base.info.start_id = mm__loader_int(ld, "decoder_start_token_id", NULL, -1, -1, INT32_MAX);
        mm__plain_load_ends(ld, p, s.n_embd, true);
        p->stack.positions = mm__load(ld, "positions", 0, ".weight", mm__shape2(s.n_ctx, s.n_embd), MM__USE_ROWS, 0);
        mm__plain_load_layers(ld, p, &s, &y);
        mm__plain_load_cross(ld, p, &s, &y, s.n_embd);
        p->stack.final_norm = mm__load_norm(ld, "final_norm", 0, MM__NORM_LAYER, s.n_embd, s.eps, 0);
    }
    return mm__plain_finish(ld, p, out, err);
}

static const char *const types[] = {"whisper", NULL};
const mm__decoder_ops mm__decoder_whisper = {
    "whisper", types, NULL, create, mm__plain_destroy, mm__plain_embed, mm__plain_forward, mm__plain_head, mm__plain_cross};

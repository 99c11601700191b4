/* Qwen2 and Qwen2.5 (Yang et al. 2024): the LLaMA block with biases on query, key and value. Qwen3 (Yang et al. 2025): no
 * biases, an explicit head size, and an RMSNorm over each query and key head before rotation. A sliding window exists in
 * both configurations but is off in released models; when on, it covers the layers named by layer_types, or those from
 * max_window_layers on. */
#include "../part/plain.h"

#define BLK "blk.%d."
#define LAYER "layers.%d."

static const mm__names names[] = {{"embed", {"embed_tokens", "token_embd"}},
                                  {"head", {"lm_head", "output"}},
                                  {"final_norm", {"norm", "output_norm"}},
                                  {"attn_norm", {LAYER "input_layernorm", BLK "attn_norm"}},
                                  {"attn_q", {LAYER "self_attn.q_proj", BLK "attn_q"}},
                                  {"attn_k", {LAYER "self_attn.k_proj", BLK "attn_k"}},
                                  {"q_norm", {LAYER "self_attn.q_norm", BLK "attn_q_norm"}},
                                  {"k_norm", {LAYER "self_attn.k_norm", BLK "attn_k_norm"}},
                                  {"attn_v", {LAYER "self_attn.v_proj", BLK "attn_v"}},
                                  {"attn_out", {LAYER "self_attn.o_proj", BLK "attn_output"}},
                                  {"ffn_norm", {LAYER "post_attention_layernorm", BLK "ffn_norm"}},
                                  {"ffn_gate", {LAYER "mlp.gate_proj", BLK "ffn_gate"}},
                                  {"ffn_up", {LAYER "mlp.up_proj", BLK "ffn_up"}},
                                  {"ffn_down", {LAYER "mlp.down_proj", BLK "ffn_down"}},
                                  {NULL, {NULL}}};

static void set_windows(mm__loader *ld, mm__plain *p)
{
    if (!mm__config_bool(&ld->config, "use_sliding_window", NULL, false)) return;
    int32_t first = mm__loader_int(ld, "max_window_layers", NULL, 28, 0, INT32_MAX);
    mm__plain_window(p, mm__loader_int(ld, "sliding_window", NULL, 0, 0, INT32_MAX));
    for (int32_t i = 0; i < first && i < p->stack.n_layer; i++) p->stack.layer[i].local = false;
    mm__plain_window_types(ld, p);
}

static mm_status create(mm__loader *ld, const mm__decoder_ops *ops, bool qk_norm, int32_t head_dim, mm__decoder **out,
                        mm_error *err)
{
    mm__sizes s = {32, 4096, 22016, 32, 32, head_dim, 32768, 1e-6, 10000};
    ld->names = names;
    ld->roots[0] = "model.";
    ld->roots[1] = "";
    mm__plain_sizes(ld, &s);
    mm__layout y = {.norm = MM__NORM_RMS, .gated = true, .qk_norm = qk_norm, .act = mm__loader_act(ld, "hidden_act", "silu")};
    mm__plain *p = mm__plain_new(ld, ops, &s);
    if (p) {
        mm__plain_set_rope(p, mm__plain_rope(ld, &s, s.head_dim, false));
        set_windows(ld, p);
        mm__plain_load_ends(ld, p, s.n_embd, false);
        mm__plain_load_layers(ld, p, &s, &y);
        p->stack.final_norm = mm__load_norm(ld, "final_norm", 0, MM__NORM_RMS, s.n_embd, s.eps, 0);
    }
    return mm__plain_finish(ld, p, out, err);
}

static mm_status create_2(mm__loader *ld, mm__decoder **out, mm_error *err)
{
    return create(ld, &mm__decoder_qwen2, false, 0, out, err);
}
static mm_status create_3(mm__loader *ld, mm__decoder **out, mm_error *err)
{
    return create(ld, &mm__decoder_qwen3, true, 128, out, err);
}

static const char *const types_2[] = {"qwen2", NULL}, *const types_3[] = {"qwen3", NULL};
const mm__decoder_ops mm__decoder_qwen2 = {"qwen2",         types_2,           types_2,        create_2, mm__plain_destroy,
                                           mm__plain_embed, mm__plain_forward, mm__plain_head, NULL};
const mm__decoder_ops mm__decoder_qwen3 = {"qwen3",         types_3,           types_3,        create_3, mm__plain_destroy,
                                           mm__plain_embed, mm__plain_forward, mm__plain_head, NULL};

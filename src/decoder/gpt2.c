/* GPT-2 (Radford et al. 2019): LayerNorm before each branch, learned positions, tanh GELU, biases everywhere, head tied to
 * the token table. Hugging Face files store linear weights as [in, out]; GGUF files as [out, in]. */
#include "../part/plain.h"

#define BLK "blk.%d."
#define LAYER "h.%d."

static const mm__names names[] = {{"embed", {"wte", "token_embd"}},
                                  {"positions", {"wpe", "position_embd"}},
                                  {"head", {"lm_head", "output"}},
                                  {"final_norm", {"ln_f", "output_norm"}},
                                  {"attn_norm", {LAYER "ln_1", BLK "attn_norm"}},
                                  {"attn_qkv", {LAYER "attn.c_attn", BLK "attn_qkv"}},
                                  {"attn_out", {LAYER "attn.c_proj", BLK "attn_output"}},
                                  {"ffn_norm", {LAYER "ln_2", BLK "ffn_norm"}},
                                  {"ffn_up", {LAYER "mlp.c_fc", BLK "ffn_up"}},
                                  {"ffn_down", {LAYER "mlp.c_proj", BLK "ffn_down"}},
                                  {NULL, {NULL}}};

static mm_status create(mm__loader *ld, mm__decoder **out, mm_error *err)
{
    mm__sizes s = {.eps = 1e-5};
    bool json = !ld->config.gguf;
    ld->names = names;
    ld->roots[0] = "transformer.";
    ld->roots[1] = "";
    s.n_embd = mm__loader_int(ld, "n_embd", ".embedding_length", json ? 768 : 0, 1, 1 << 20);
    s.n_layer = mm__loader_int(ld, "n_layer", ".block_count", json ? 12 : 0, 1, 4096);
    s.n_head = mm__loader_int(ld, "n_head", ".attention.head_count", json ? 12 : 0, 1, s.n_embd);
    s.n_ff = mm__loader_int(ld, "n_inner", ".feed_forward_length", s.n_embd * 4, 1, 1 << 22);
    s.n_ctx = mm__loader_int(ld, "n_positions|n_ctx", ".context_length", json ? 1024 : 0, 1, 1 << 24);
    s.eps = mm__loader_num(ld, "layer_norm_epsilon", ".attention.layer_norm_epsilon", 1e-5, 0, 1);
    s.n_head_kv = s.n_head;
    s.head_dim = s.n_embd / s.n_head;
    if (mm__config_bool(&ld->config, "scale_attn_by_inverse_layer_idx", NULL, false))
        mm__loader_fail(ld, MM_E_UNSUPPORTED, "scale_attn_by_inverse_layer_idx is not supported");
    mm__layout y = {.norm = MM__NORM_LAYER,
                    .linear_flags = MM__LOAD_TRANSPOSE,
                    .act = mm__loader_act(ld, "activation_function", "gelu_new")};
    mm__plain *p = mm__plain_new(ld, &mm__decoder_gpt2, &s);
    if (p) {
        if (!mm__config_bool(&ld->config, "scale_attn_weights", NULL, true)) p->stack.shape.scale = 1.0f;
        mm__plain_load_ends(ld, p, s.n_embd, true);
        p->stack.positions = mm__load(ld, "positions", 0, ".weight", mm__shape2(s.n_ctx, s.n_embd), MM__USE_ROWS, 0);
        mm__plain_load_layers(ld, p, &s, &y);
        p->stack.final_norm = mm__load_norm(ld, "final_norm", 0, MM__NORM_LAYER, s.n_embd, s.eps, 0);
    }
    return mm__plain_finish(ld, p, out, err);
}

static const char *const types[] = {"gpt2", NULL};
const mm__decoder_ops mm__decoder_gpt2 = {
    "gpt2", types, types, create, mm__plain_destroy, mm__plain_embed, mm__plain_forward, mm__plain_head, NULL};

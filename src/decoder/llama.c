/* LLaMA and its kin (Touvron et al. 2023; Jiang et al. 2023): RMSNorm before each branch, rotary positions over the whole
 * head, grouped key-value heads, SwiGLU. Options: biases, a sliding window in every layer, a head size of its own.
 * Hugging Face files rotate pairs (j, j + d/2); GGUF files hold query and key rows permuted for pairs (2j, 2j + 1). */
#include "../part/plain.h"

#define BLK "blk.%d."
#define LAYER "layers.%d."

static const mm__names names[] = {{"embed", {"embed_tokens", "token_embd"}},
                                  {"head", {"lm_head", "output"}},
                                  {"final_norm", {"norm", "output_norm"}},
                                  {"rope_freqs", {NULL, "rope_freqs"}},
                                  {"attn_norm", {LAYER "input_layernorm", BLK "attn_norm"}},
                                  {"attn_q", {LAYER "self_attn.q_proj", BLK "attn_q"}},
                                  {"attn_k", {LAYER "self_attn.k_proj", BLK "attn_k"}},
                                  {"attn_v", {LAYER "self_attn.v_proj", BLK "attn_v"}},
                                  {"attn_out", {LAYER "self_attn.o_proj", BLK "attn_output"}},
                                  {"ffn_norm", {LAYER "post_attention_layernorm", BLK "ffn_norm"}},
                                  {"ffn_gate", {LAYER "mlp.gate_proj", BLK "ffn_gate"}},
                                  {"ffn_up", {LAYER "mlp.up_proj", BLK "ffn_up"}},
                                  {"ffn_down", {LAYER "mlp.down_proj", BLK "ffn_down"}},
                                  {NULL, {NULL}}};

static const mm__sizes llama_defaults = {32, 4096, 11008, 32, 0, 0, 2048, 1e-6, 10000};
static const mm__sizes mistral_defaults = {32, 4096, 14336, 32, 8, 0, 131072, 1e-6, 10000};

static mm_status create(mm__loader *ld, const mm__decoder_ops *ops, mm__sizes s, int32_t window, mm__decoder **out,
                        mm_error *err)
{
    ld->names = names;
    ld->roots[0] = "model.";
    ld->roots[1] = "";
    mm__plain_sizes(ld, &s);
    mm__layout y = {.norm = MM__NORM_RMS, .gated = true, .act = mm__loader_act(ld, "hidden_act", "silu")};
    int32_t n_rot = mm__loader_int(ld, NULL, ".rope.dimension_count", s.head_dim, 2, s.head_dim);
    /* An explicit null means no window, an absent key the default of the architecture. */
    bool null_window = mm__json_get(ld->config.json, "sliding_window") != NULL;
    window = mm__loader_int(ld, "sliding_window", ".attention.sliding_window", null_window ? 0 : window, 0, INT32_MAX);
    mm__plain *p = mm__plain_new(ld, ops, &s);
    if (p) {
        mm__plain_set_rope(p, mm__plain_rope(ld, &s, n_rot, ld->scheme == MM__NAMES_GGUF));
        mm__plain_window(p, window);
        mm__plain_load_ends(ld, p, s.n_embd, false);
        mm__plain_load_layers(ld, p, &s, &y);
        p->stack.final_norm = mm__load_norm(ld, "final_norm", 0, MM__NORM_RMS, s.n_embd, s.eps, 0);
    }
    return mm__plain_finish(ld, p, out, err);
}

static mm_status create_llama(mm__loader *ld, mm__decoder **out, mm_error *err)
{
    return create(ld, &mm__decoder_llama, llama_defaults, 0, out, err);
}

static mm_status create_mistral(mm__loader *ld, mm__decoder **out, mm_error *err)
{
    return create(ld, &mm__decoder_mistral, mistral_defaults, 4096, out, err);
}

static const char *const llama_types[] = {"llama", NULL};
static const char *const llama_archs[] = {"llama", NULL};
const mm__decoder_ops mm__decoder_llama = {"llama",         llama_types,       llama_archs,    create_llama, mm__plain_destroy,
                                           mm__plain_embed, mm__plain_forward, mm__plain_head, NULL};

static const char *const mistral_types[] = {"mistral", NULL};
const mm__decoder_ops mm__decoder_mistral = {"mistral",         mistral_types,     NULL,
                                             create_mistral,    mm__plain_destroy, mm__plain_embed,
                                             mm__plain_forward, mm__plain_head,    NULL};

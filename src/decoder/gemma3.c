/* Gemma 3 (Gemma Team 2025): four RMSNorms per layer, two before and two after the branches, whose weights are offsets from
 * one; RMSNorm over each query and key head; embeddings times sqrt(width), for text only; GeGLU. Most layers see a sliding
 * window and rotate with a base of their own; every sixth sees everything. */
#include "../part/plain.h"
#include <math.h>
#include <string.h>

#define BLK "blk.%d."
#define LAYER "layers.%d."
#define FULL "rope_parameters.full_attention."

static const mm__names names[] = {{"embed", {"embed_tokens", "token_embd"}},
                                  {"head", {"lm_head", "output"}},
                                  {"final_norm", {"norm", "output_norm"}},
                                  {"attn_norm", {LAYER "input_layernorm", BLK "attn_norm"}},
                                  {"attn_q", {LAYER "self_attn.q_proj", BLK "attn_q"}},
                                  {"attn_k", {LAYER "self_attn.k_proj", BLK "attn_k"}},
                                  {"attn_v", {LAYER "self_attn.v_proj", BLK "attn_v"}},
                                  {"attn_out", {LAYER "self_attn.o_proj", BLK "attn_output"}},
                                  {"q_norm", {LAYER "self_attn.q_norm", BLK "attn_q_norm"}},
                                  {"k_norm", {LAYER "self_attn.k_norm", BLK "attn_k_norm"}},
                                  {"attn_post", {LAYER "post_attention_layernorm", BLK "post_attention_norm"}},
                                  {"ffn_norm", {LAYER "pre_feedforward_layernorm", BLK "ffn_norm"}},
                                  {"ffn_gate", {LAYER "mlp.gate_proj", BLK "ffn_gate"}},
                                  {"ffn_up", {LAYER "mlp.up_proj", BLK "ffn_up"}},
                                  {"ffn_down", {LAYER "mlp.down_proj", BLK "ffn_down"}},
                                  {"ffn_post", {LAYER "post_feedforward_layernorm", BLK "post_ffw_norm"}},
                                  {NULL, {NULL}}};

/* A rotation with `base`; linear scaling by factor 1 changes nothing. */
static mm__rope rope(mm__loader *ld, const mm__sizes *s, double base, double factor)
{
    mm__rope r = {.scale = 1.0f};
    float *f = ld->status < 0 ? NULL : mm__calloc(ld->mem, (size_t)s->head_dim, sizeof *f);
    if (!f) {
        mm__loader_fail(ld, MM_E_NOMEM, "out of memory for rotary frequencies");
        return r;
    }
    mm__rope_freqs(f, s->head_dim, base);
    mm__rope_scale_linear(f, s->head_dim, factor);
    r = mm__rope_constant(ld, f, s->head_dim, false, 1.0);
    mm__free(ld->mem, f);
    return r;
}

static void set_ropes(mm__loader *ld, mm__plain *p, const mm__sizes *s)
{
    double global = mm__loader_num(ld, "rope_theta|" FULL "rope_theta", ".rope.freq_base", 1e6, 1, 1e12);
    double local = mm__loader_num(ld, "rope_local_base_freq|rope_parameters.sliding_attention.rope_theta",
                                  ".rope.freq_base_swa", 1e4, 1, 1e12);
    const char *type = mm__config_str(&ld->config, "rope_scaling.rope_type|rope_scaling.type|" FULL "rope_type",
                                      ".rope.scaling.type", "default");
    double factor = 1.0;
    if (strcmp(type, "linear") == 0)
        factor = mm__loader_num(ld, "rope_scaling.factor|" FULL "factor", ".rope.scaling.factor", NAN, 1e-3, 1e6);
    else if (strcmp(type, "default") != 0 && strcmp(type, "none") != 0)
        mm__loader_fail(ld, MM_E_UNSUPPORTED, "rotary positions scaled by '%s' are not supported here", type);
    p->stack.rope[0][0] = p->stack.rope[0][1] = rope(ld, s, global, factor);
    p->stack.rope[1][0] = p->stack.rope[1][1] = rope(ld, s, local, 1.0);
}

static void set_windows(mm__loader *ld, mm__plain *p)
{
    int32_t window = mm__loader_int(ld, "sliding_window", ".attention.sliding_window", 4096, 0, INT32_MAX);
    int32_t period = mm__loader_int(ld, "sliding_window_pattern|_sliding_window_pattern", ".attention.sliding_window_pattern",
                                    6, 1, INT32_MAX);
    mm__plain_window(p, window);
    for (int32_t i = 0; i < p->stack.n_layer; i++) p->stack.layer[i].local = (i + 1) % period != 0;
    mm__plain_window_types(ld, p);
}

/* Scores are scaled by query_pre_attn_scalar^-0.5. GGUF files do not state it: it is the head size, but the embedding
 * width per head in the model of 62 layers. */
static double score_scale(mm__loader *ld, const mm__sizes *s)
{
    double scalar = ld->config.gguf ? (s->n_layer == 62 ? (double)s->n_embd / s->n_head : s->head_dim) : 256;
    double q = mm__loader_num(ld, "query_pre_attn_scalar", NULL, scalar, 1e-3, 1e9);
    return mm__loader_num(ld, NULL, ".attention.scale", 1.0 / sqrt(q), 0, 1e3);
}

static mm_status create(mm__loader *ld, mm__decoder **out, mm_error *err)
{
    mm__sizes s = {26, 2304, 9216, 8, 4, 256, 131072, 1e-6, 1e6};
    if (mm__config_has(&ld->config, "text_config", NULL)) ld->config = mm__config_sub(&ld->config, "text_config");
    ld->names = names;
    ld->roots[0] = "model.";
    ld->roots[1] = "";
    mm__plain_sizes(ld, &s);
    mm__layout y = {.norm = MM__NORM_RMS, .norm_flags = MM__LOAD_ADD_ONE, .gated = true, .qk_norm = true, .branch_norms = true};
    y.act = mm__loader_act(ld, "hidden_activation", "gelu_pytorch_tanh");
    mm__plain *p = mm__plain_new(ld, &mm__decoder_gemma3, &s);
    if (p) {
        set_ropes(ld, p, &s);
        set_windows(ld, p);
        p->stack.shape.scale = (float)score_scale(ld, &s);
        p->stack.logit_cap = (float)mm__loader_num(ld, "final_logit_softcapping", ".final_logit_softcapping", 0, 0, 1e6);
        p->stack.embed_scale = (float)sqrt(s.n_embd);
        mm__plain_load_ends(ld, p, s.n_embd, true);
        mm__plain_load_layers(ld, p, &s, &y);
        p->stack.final_norm = mm__load_norm(ld, "final_norm", 0, MM__NORM_RMS, s.n_embd, s.eps, MM__LOAD_ADD_ONE);
    }
    return mm__plain_finish(ld, p, out, err);
}

static const char *const types[] = {"gemma3_text", "gemma3", NULL};
static const char *const archs[] = {"gemma3", NULL};
const mm__decoder_ops mm__decoder_gemma3 = {
    "gemma3", types, archs, create, mm__plain_destroy, mm__plain_embed, mm__plain_forward, mm__plain_head, NULL};

/* Phi-3 (Abdin et al. 2024): the LLaMA block with query, key and value in one matrix and gate and up in another (gate rows
 * first), a sliding window in every layer, and optionally "longrope" positions (Ding et al. 2024): frequency j is divided
 * by short_factor[j] or, beyond the original context, long_factor[j]; cosine and sine are scaled by
 * sqrt(1 + ln(s) / ln(original context)), s the ratio of the two contexts. */
#include "../part/plain.h"
#include <math.h>
#include <string.h>

#define BLK "blk.%d."
#define LAYER "layers.%d."

static const mm__names names[] = {{"embed", {"embed_tokens", "token_embd"}},
                                  {"head", {"lm_head", "output"}},
                                  {"final_norm", {"norm", "output_norm"}},
                                  {"rope_short", {NULL, "rope_factors_short"}},
                                  {"rope_long", {NULL, "rope_factors_long"}},
                                  {"attn_norm", {LAYER "input_layernorm", BLK "attn_norm"}},
                                  {"attn_qkv", {LAYER "self_attn.qkv_proj", BLK "attn_qkv"}},
                                  {"attn_q", {NULL, BLK "attn_q"}},
                                  {"attn_k", {NULL, BLK "attn_k"}},
                                  {"attn_v", {NULL, BLK "attn_v"}},
                                  {"attn_out", {LAYER "self_attn.o_proj", BLK "attn_output"}},
                                  {"ffn_norm", {LAYER "post_attention_layernorm", BLK "ffn_norm"}},
                                  {"ffn_gate_up", {LAYER "mlp.gate_up_proj", BLK "ffn_up"}},
                                  {"ffn_down", {LAYER "mlp.down_proj", BLK "ffn_down"}},
                                  {NULL, {NULL}}};

/* The factors of one table, from the configuration or, in GGUF, a tensor. */
static bool read_factors(mm__loader *ld, const char *json, const char *key, float *to, int32_t n)
{
    if (ld->config.gguf) {
        float *v = mm__load_host(ld, key, 0, ".weight", n, 0);
        if (v) memcpy(to, v, (size_t)n * sizeof *v);
        mm__free(ld->mem, v);
    } else {
        double *v = mm__calloc(ld->mem, (size_t)n + 1, sizeof *v);
        if (!v) mm__loader_fail(ld, MM_E_NOMEM, "out of memory for rotary factors");
        size_t have = v ? mm__config_array(&ld->config, json, NULL, v, (size_t)n + 1) : 0;
        if (v && have != (size_t)n)
            mm__loader_fail(ld, MM_E_FORMAT, "%s has %zu numbers where %d are expected", json, have, (int)n);
        for (int32_t i = 0; v && i < n; i++) to[i] = (float)v[i];
        mm__free(ld->mem, v);
    }
    for (int32_t i = 0; ld->status >= 0 && i < n; i++)
        if (!(to[i] > 0))
            mm__loader_fail(ld, MM_E_FORMAT, "%s: factor %d of the rotary positions is not positive", json, (int)i);
    return ld->status >= 0;
}

static mm__rope factored(mm__loader *ld, const mm__sizes *s, int32_t n_rot, const char *json, const char *key, double scale)
{
    mm__rope r = {.scale = 1.0f};
    float *f = ld->status < 0 ? NULL : mm__calloc(ld->mem, (size_t)n_rot, sizeof *f); /* frequencies, then factors */
    if (!f) {
        mm__loader_fail(ld, MM_E_NOMEM, "out of memory for rotary frequencies");
        return r;
    }
    mm__rope_freqs(f, n_rot, s->rope_base);
    if (read_factors(ld, json, key, f + n_rot / 2, n_rot / 2)) {
        mm__rope_scale_each(f, n_rot, f + n_rot / 2);
        r = mm__rope_constant(ld, f, n_rot, false, scale);
    }
    mm__free(ld->mem, f);
    return r;
}

static void set_longrope(mm__loader *ld, mm__plain *p, const mm__sizes *s, int32_t n_rot)
{
    int32_t orig = mm__loader_int(ld, "original_max_position_embeddings|rope_scaling.original_max_position_embeddings",
                                  ".rope.scaling.original_context_length", 4096, 2, INT32_MAX);
    double ratio = (double)s->n_ctx / orig, scale = ratio > 1 ? sqrt(1 + log(ratio) / log(orig)) : 1.0;
    scale = mm__loader_num(ld, "rope_scaling.attention_factor|rope_parameters.attention_factor", ".rope.scaling.attn_factor",
                           scale, 0, 1e3);
    mm__rope near = factored(ld, s, n_rot, "rope_scaling.short_factor|rope_parameters.short_factor", "rope_short", scale);
    mm__rope far = factored(ld, s, n_rot, "rope_scaling.long_factor|rope_parameters.long_factor", "rope_long", scale);
    p->base.info.ctx_original = orig;
    p->stack.rope[0][0] = p->stack.rope[1][0] = near;
    p->stack.rope[0][1] = p->stack.rope[1][1] = far;
}

static bool is_longrope(mm__loader *ld)
{
    const char *type = mm__config_str(&ld->config, "rope_scaling.type|rope_scaling.rope_type|rope_parameters.rope_type",
                                      ".rope.scaling.type", "");
    return strcmp(type, "longrope") == 0 || strcmp(type, "su") == 0 || mm__loader_has(ld, "rope_long", 0, ".weight");
}

static mm_status create(mm__loader *ld, mm__decoder **out, mm_error *err)
{
    mm__sizes s = {32, 3072, 8192, 32, 0, 0, 4096, 1e-5, 10000};
    ld->names = names;
    ld->roots[0] = "model.";
    ld->roots[1] = "";
    mm__plain_sizes(ld, &s);
    mm__layout y = {.norm = MM__NORM_RMS, .gated = true, .act = mm__loader_act(ld, "hidden_act", "silu")};
    double part = mm__loader_num(ld, "partial_rotary_factor", NULL, 1.0, 1e-3, 1);
    int32_t n_rot = mm__loader_int(ld, NULL, ".rope.dimension_count", (int32_t)(part * s.head_dim), 2, s.head_dim);
    mm__plain *p = mm__plain_new(ld, &mm__decoder_phi3, &s);
    if (p) {
        if (is_longrope(ld))
            set_longrope(ld, p, &s, n_rot);
        else
            mm__plain_set_rope(p, mm__plain_rope(ld, &s, n_rot, false));
        mm__plain_window(p, mm__loader_int(ld, "sliding_window", ".attention.sliding_window", 0, 0, INT32_MAX));
        mm__plain_load_ends(ld, p, s.n_embd, false);
        mm__plain_load_layers(ld, p, &s, &y);
        p->stack.final_norm = mm__load_norm(ld, "final_norm", 0, MM__NORM_RMS, s.n_embd, s.eps, 0);
    }
    return mm__plain_finish(ld, p, out, err);
}

static const char *const types[] = {"phi3", NULL};
const mm__decoder_ops mm__decoder_phi3 = {
    "phi3", types, types, create, mm__plain_destroy, mm__plain_embed, mm__plain_forward, mm__plain_head, NULL};

/* OPT (Zhang et al. 2022): LayerNorm before each branch, ReLU, biases, learned positions whose table starts with two unused
 * rows, head tied to the token table. The 350M model alone normalises after the branches, has no final norm, and its token
 * table is narrower than the residual stream: project_in and project_out lie between. Rows enter before project_in, so
 * n_embd is the width of the token table. */
#include "../part/plain.h"

#define LAYER "layers.%d."

static const mm__names names[] = {{"embed", {"embed_tokens"}},
                                  {"positions", {"embed_positions"}},
                                  {"head", {"lm_head"}},
                                  {"final_norm", {"final_layer_norm"}},
                                  {"project_in", {"project_in"}},
                                  {"project_out", {"project_out"}},
                                  {"attn_norm", {LAYER "self_attn_layer_norm"}},
                                  {"attn_q", {LAYER "self_attn.q_proj"}},
                                  {"attn_k", {LAYER "self_attn.k_proj"}},
                                  {"attn_v", {LAYER "self_attn.v_proj"}},
                                  {"attn_out", {LAYER "self_attn.out_proj"}},
                                  {"ffn_norm", {LAYER "final_layer_norm"}},
                                  {"ffn_up", {LAYER "fc1"}},
                                  {"ffn_down", {LAYER "fc2"}},
                                  {NULL, {NULL}}};

static mm_status create(mm__loader *ld, mm__decoder **out, mm_error *err)
{
    mm__sizes s = {.eps = 1e-5};
    ld->names = names;
    ld->roots[0] = "model.decoder.";
    ld->roots[1] = "decoder.";
    ld->roots[2] = "";
    s.n_embd = mm__loader_int(ld, "hidden_size", NULL, 768, 1, 1 << 20);
    s.n_layer = mm__loader_int(ld, "num_hidden_layers", NULL, 12, 1, 4096);
    s.n_head = mm__loader_int(ld, "num_attention_heads", NULL, 12, 1, s.n_embd);
    s.n_ff = mm__loader_int(ld, "ffn_dim", NULL, 3072, 1, 1 << 22);
    s.n_ctx = mm__loader_int(ld, "max_position_embeddings", NULL, 2048, 1, 1 << 24);
    s.n_head_kv = s.n_head;
    s.head_dim = s.n_embd / s.n_head;
    int32_t width = mm__loader_int(ld, "word_embed_proj_dim", NULL, s.n_embd, 1, 1 << 20);
    bool pre = mm__config_bool(&ld->config, "do_layer_norm_before", NULL, true);
    mm__layout y = {.norm = MM__NORM_LAYER, .act = mm__loader_act(ld, "activation_function", "relu")};
    mm__plain *p = mm__plain_new(ld, &mm__decoder_opt, &s);
    if (p) {
        p->base.info.n_embd = width;
        p->stack.post_norm = !pre;
        mm__plain_load_ends(ld, p, width, true);
        p->stack.positions =
            mm__load_part(ld, "positions", 0, ".weight", mm__shape2(s.n_ctx, s.n_embd), 2, s.n_ctx + 2, MM__USE_ROWS, 0);
        if (width != s.n_embd) {
            p->stack.project_in = mm__load_linear(ld, "project_in", 0, width, s.n_embd, MM__LOAD_NO_BIAS);
            p->stack.project_out = mm__load_linear(ld, "project_out", 0, s.n_embd, width, MM__LOAD_NO_BIAS);
        }
        mm__plain_load_layers(ld, p, &s, &y);
        if (pre && !mm__config_bool(&ld->config, "_remove_final_layer_norm", NULL, false))
            p->stack.final_norm = mm__load_norm(ld, "final_norm", 0, MM__NORM_LAYER, s.n_embd, s.eps, 0);
    }
    return mm__plain_finish(ld, p, out, err);
}

static const char *const types[] = {"opt", NULL};
const mm__decoder_ops mm__decoder_opt = {
    "opt", types, NULL, create, mm__plain_destroy, mm__plain_embed, mm__plain_forward, mm__plain_head, NULL};

/* Loading and operations of decoders that are a stack (plain.h). Sizes come from the configuration with ranges that keep
 * every derived size far from overflow; shapes of tensors are then checked against them, so nothing here trusts a file. */
#include "plain.h"
#include <math.h>
#include <string.h>

#define MAX_LAYERS 4096
#define MAX_WIDTH (1 << 20)
#define MAX_HEADS 65536
#define MAX_CTX (1 << 27)
#define MAX_ROT 65536

/* ---- sizes ---- */

/* A fallback that counts for JSON only: GGUF files state everything. */
static int32_t json_only(const mm__loader *ld, int32_t fallback)
{
    return ld->config.gguf ? 0 : fallback;
}

void mm__plain_sizes(mm__loader *ld, mm__sizes *s)
{
    s->n_layer = mm__loader_int(ld, "num_hidden_layers", ".block_count", json_only(ld, s->n_layer), 1, MAX_LAYERS);
    s->n_embd = mm__loader_int(ld, "hidden_size", ".embedding_length", json_only(ld, s->n_embd), 1, MAX_WIDTH);
    s->n_ff = mm__loader_int(ld, "intermediate_size", ".feed_forward_length", json_only(ld, s->n_ff), 1, MAX_WIDTH);
    s->n_head = mm__loader_int(ld, "num_attention_heads", ".attention.head_count", json_only(ld, s->n_head), 1, MAX_HEADS);
    int32_t kv = s->n_head_kv > 0 && !ld->config.gguf ? s->n_head_kv : s->n_head;
    s->n_head_kv = mm__loader_int(ld, "num_key_value_heads", ".attention.head_count_kv", kv, 1, s->n_head);
    int32_t dim = s->head_dim > 0 && !ld->config.gguf ? s->head_dim : s->n_embd / s->n_head;
    s->head_dim = mm__loader_int(ld, "head_dim", ".attention.key_length", dim, 1, MAX_ROT);
    s->n_ctx = mm__loader_int(ld, "max_position_embeddings", ".context_length", json_only(ld, s->n_ctx), 1, MAX_CTX);
    s->eps = mm__loader_num(ld, "rms_norm_eps", ".attention.layer_norm_rms_epsilon", s->eps, 0, 1);
    s->rope_base = mm__loader_num(ld, "rope_theta|rope_parameters.rope_theta|rope_scaling.rope_theta", ".rope.freq_base",
                                  ld->config.gguf ? 10000 : s->rope_base, 1, 1e12);
    if (s->n_head % s->n_head_kv != 0)
        mm__loader_fail(ld, MM_E_FORMAT, "%s: %d heads cannot share %d key-value heads",
                        ld->config.source ? ld->config.source : "model", s->n_head, s->n_head_kv);
}

/* ---- construction ---- */

mm__plain *mm__plain_new(mm__loader *ld, const mm__decoder_ops *ops, const mm__sizes *s)
{
    if (ld->status < 0) return NULL;
    mm__plain *p = mm__zalloc(ld->mem, sizeof *p);
    mm__layer *layer = mm__calloc(ld->mem, (size_t)s->n_layer, sizeof *layer);
    mm__kv_layer *kv = mm__calloc(ld->mem, (size_t)s->n_layer, sizeof *kv);
    if (!p || !layer || !kv) {
        mm__loader_fail(ld, MM_E_NOMEM, "out of memory for a decoder of %d layers", s->n_layer);
        mm__free(ld->mem, layer);
        mm__free(ld->mem, kv);
        mm__free(ld->mem, p);
        return NULL;
    }
    for (int32_t i = 0; i < s->n_layer; i++) kv[i] = (mm__kv_layer){s->n_head_kv, s->head_dim};
    mm__attn_shape shape = {s->n_head, s->n_head_kv, s->head_dim, (float)(1.0 / sqrt(s->head_dim)), 0.0f};
    p->base = (mm__decoder){.ops = ops, .mem = ld->mem};
    p->base.info = (mm__lm_info){.n_embd = s->n_embd, .n_layer = s->n_layer, .n_ctx = s->n_ctx, .kv = kv, .start_id = -1};
    p->stack = (mm__stack){.n_layer = s->n_layer, .layer = layer, .shape = shape, .embed_scale = 1.0f, .head_scale = 1.0f};
    return p;
}

static void release(mm__plain *p)
{
    if (!p) return;
    mm__mem *mem = p->base.mem;
    mm__free(mem, p->stack.layer);
    mm__free(mem, p->base.info.kv);
    mm__free(mem, p->base.info.cross);
    mm__free(mem, p);
}

mm_status mm__plain_finish(mm__loader *ld, mm__plain *p, mm__decoder **out, mm_error *err)
{
    *out = NULL;
    if (ld->status < 0) {
        release(p);
        return mm__loader_status(ld, err);
    }
    *out = &p->base;
    return MM_OK;
}

void mm__plain_load_embed(mm__loader *ld, mm__plain *p, int32_t n_embd, unsigned use)
{
    const mm__weight *w = mm__loader_find(ld, "embed", 0, ".weight");
    int64_t n_vocab = w && w->shape.n == 2 ? w->shape.d[0] : 1;
    if (n_vocab < 1 || n_vocab > (1 << 27)) {
        mm__loader_fail(ld, MM_E_FORMAT, "tensor '%s' has %lld rows; 1 to 2^27 are possible", w->name, (long long)n_vocab);
        return;
    }
    p->stack.embed = mm__load(ld, "embed", 0, ".weight", mm__shape2(n_vocab, n_embd), use, 0);
    p->base.info.n_vocab = (int32_t)n_vocab;
}

void mm__plain_load_ends(mm__loader *ld, mm__plain *p, int32_t n_embd, bool tie)
{
    bool tied = !mm__loader_has(ld, "head", 0, ".weight") ||
                (!ld->config.gguf && mm__config_bool(&ld->config, "tie_word_embeddings", NULL, tie));
    mm__plain_load_embed(ld, p, n_embd, MM__USE_ROWS | (tied ? MM__USE_LINEAR : 0u));
    int32_t n_vocab = p->base.info.n_vocab;
    if (tied)
        p->stack.head = (mm__linear){.w = {p->stack.embed}, .n_w = 1, .in = n_embd, .out = n_vocab};
    else
        p->stack.head = mm__load_linear(ld, "head", 0, n_embd, n_vocab, 0);
}

static void load_mlp(mm__loader *ld, mm__mlp *m, int32_t i, const mm__sizes *s, const mm__layout *y)
{
    static const char *const gate_up[] = {"ffn_gate", "ffn_up"};
    const int64_t halves[2] = {s->n_ff, s->n_ff};
    m->act = y->act;
    m->gated = y->gated;
    m->up = y->gated ? mm__load_linear_stack(ld, "ffn_gate_up", gate_up, 2, i, s->n_embd, halves, y->linear_flags)
                     : mm__load_linear(ld, "ffn_up", i, s->n_embd, s->n_ff, y->linear_flags);
    m->down = mm__load_linear(ld, "ffn_down", i, s->n_ff, s->n_embd, y->linear_flags);
}

void mm__plain_load_layers(mm__loader *ld, mm__plain *p, const mm__sizes *s, const mm__layout *y)
{
    static const char *const qkv[] = {"attn_q", "attn_k", "attn_v"};
    const int64_t nq = (int64_t)s->n_head * s->head_dim, nk = (int64_t)s->n_head_kv * s->head_dim, outs[3] = {nq, nk, nk};
    for (int32_t i = 0; i < s->n_layer && ld->status >= 0; i++) {
        mm__layer *l = &p->stack.layer[i];
        l->attn_norm = mm__load_norm(ld, "attn_norm", i, y->norm, s->n_embd, s->eps, y->norm_flags);
        l->qkv = mm__load_linear_stack(ld, "attn_qkv", qkv, 3, i, s->n_embd, outs, y->linear_flags);
        l->out = mm__load_linear(ld, "attn_out", i, nq, s->n_embd, y->linear_flags);
        if (y->qk_norm) {
            l->q_norm = mm__load_norm(ld, "q_norm", i, y->norm, s->head_dim, s->eps, y->norm_flags);
            l->k_norm = mm__load_norm(ld, "k_norm", i, y->norm, s->head_dim, s->eps, y->norm_flags);
        }
        l->mlp_norm = mm__load_norm(ld, "ffn_norm", i, y->norm, s->n_embd, s->eps, y->norm_flags);
        load_mlp(ld, &l->mlp, i, s, y);
        if (y->branch_norms) {
            l->attn_post = mm__load_norm(ld, "attn_post", i, y->norm, s->n_embd, s->eps, y->norm_flags);
            l->mlp_post = mm__load_norm(ld, "ffn_post", i, y->norm, s->n_embd, s->eps, y->norm_flags);
        }
    }
}

bool mm__plain_begin_cross(mm__loader *ld, mm__plain *p, const mm__sizes *s, int32_t width)
{
    p->base.info.cross = mm__calloc(ld->mem, (size_t)s->n_layer, sizeof *p->base.info.cross);
    if (!p->base.info.cross) {
        mm__loader_fail(ld, MM_E_NOMEM, "out of memory for the cross-attention of a decoder");
        return false;
    }
    p->base.info.cross_width = width;
    p->stack.cross_shape = p->stack.shape;
    p->stack.cross_shape.n_head_kv = s->n_head;
    return true;
}

void mm__plain_load_cross(mm__loader *ld, mm__plain *p, const mm__sizes *s, const mm__layout *y, int32_t width)
{
    static const char *const kv[] = {"cross_k", "cross_v"};
    const int64_t n = (int64_t)s->n_head * s->head_dim, outs[2] = {n, n};
    if (ld->status < 0 || !mm__plain_begin_cross(ld, p, s, width)) return;
    for (int32_t i = 0; i < s->n_layer && ld->status >= 0; i++) {
        mm__cross *c = &p->stack.layer[i].cross;
        p->base.info.cross[i] = (mm__kv_layer){s->n_head, s->head_dim};
        c->place = MM__CROSS_AFTER;
        c->norm = mm__load_norm(ld, "cross_norm", i, y->norm, s->n_embd, s->eps, y->norm_flags);
        c->q = mm__load_linear(ld, "cross_q", i, s->n_embd, n, y->linear_flags);
        c->kv = mm__load_linear_stack(ld, "cross_kv", kv, 2, i, width, outs, y->linear_flags);
        c->out = mm__load_linear(ld, "cross_out", i, n, s->n_embd, y->linear_flags);
    }
}

void mm__plain_window(mm__plain *p, int32_t window)
{
    if (!p) return;
    p->base.info.window = window;
    for (int32_t i = 0; i < p->stack.n_layer; i++) p->stack.layer[i].local = window > 0;
}

void mm__plain_window_types(mm__loader *ld, mm__plain *p)
{
    for (int32_t i = 0; p->base.info.window > 0 && i < p->stack.n_layer; i++) {
        const char *type = mm__config_str_at(&ld->config, "layer_types", NULL, (size_t)i);
        if (type) p->stack.layer[i].local = strcmp(type, "sliding_attention") == 0;
        if (type && !p->stack.layer[i].local && strcmp(type, "full_attention") != 0)
            mm__loader_fail(ld, MM_E_UNSUPPORTED, "layer_types: '%s' in layer %d is not supported", type, (int)i);
    }
}

/* ---- rotary positions ---- */

mm__rope mm__rope_constant(mm__loader *ld, const float *inv_freq, int32_t n_rot, bool interleaved, double scale)
{
    mm__rope r = {.interleaved = interleaved, .scale = (float)scale};
    if (n_rot < 2 || n_rot % 2) {
        mm__loader_fail(ld, MM_E_FORMAT, "%s: rotary positions turn pairs of columns, and %d is no such number",
                        ld->config.source ? ld->config.source : "model", n_rot);
        return r;
    }
    r.inv_freq = mm__store_vector(ld, "rope_freqs", 0, inv_freq, mm__shape1(n_rot / 2));
    return r;
}

void mm__plain_set_rope(mm__plain *p, mm__rope rope)
{
    if (!p) return;
    p->stack.rope[0][0] = p->stack.rope[0][1] = p->stack.rope[1][0] = p->stack.rope[1][1] = rope;
}

#define SCALING(name) "rope_scaling." name "|rope_parameters." name

static double yarn_magnitude(double factor, double m)
{
    return factor > 1 ? 0.1 * m * log(factor) + 1.0 : 1.0;
}

/* YaRN on the frequencies; returns the factor of cosine and sine. GGUF files state a factor beside the usual one, JSON files
 * the whole, or two weights whose ratio it is. */
static double scale_yarn(mm__loader *ld, const mm__sizes *s, float *f, int32_t n_rot)
{
    double factor = mm__loader_num(ld, SCALING("factor"), ".rope.scaling.factor", NAN, 1e-3, 1e6);
    double orig = mm__loader_num(ld, SCALING("original_max_position_embeddings"), ".rope.scaling.original_context_length",
                                 s->n_ctx, 1, 1e9);
    double fast = mm__loader_num(ld, SCALING("beta_fast"), ".rope.scaling.yarn_beta_fast", 32, 1e-6, 1e6);
    double slow = mm__loader_num(ld, SCALING("beta_slow"), ".rope.scaling.yarn_beta_slow", 1, 1e-6, 1e6);
    double m = mm__loader_num(ld, SCALING("mscale"), NULL, 0, 0, 1e3), all = mm__loader_num(ld, SCALING("mscale_all_dim"), NULL, 0, 0, 1e3);
    double usual = m > 0 && all > 0 ? yarn_magnitude(factor, m) / yarn_magnitude(factor, all) : yarn_magnitude(factor, 1);
    if (ld->config.gguf) usual *= mm__loader_num(ld, NULL, ".rope.scaling.yarn_attn_factor", 1, 0, 1e3);
    bool whole = mm__config_bool(&ld->config, SCALING("truncate"), NULL, true);
    if (s->rope_base <= 1) mm__loader_fail(ld, MM_E_FORMAT, "rotary positions scaled by 'yarn' need a base above 1");
    if (ld->status >= 0) mm__rope_scale_yarn(f, n_rot, s->rope_base, factor, orig, fast, slow, whole);
    return mm__loader_num(ld, SCALING("attention_factor"), NULL, usual, 0, 1e3);
}

/* Applies the scaling that the configuration or a table in the file asks for; returns the factor of cosine and sine.
 * 'dynamic' changes the frequencies of longer contexts than the model was made for only, and those are refused. */
static double scale_freqs(mm__loader *ld, const mm__sizes *s, float *f, int32_t n_rot)
{
    double scale = 1.0;
    const char *type = mm__config_str(&ld->config, SCALING("rope_type") "|rope_scaling.type", ".rope.scaling.type", "default");
    if (mm__loader_has(ld, "rope_freqs", 0, ".weight")) {
        float *factor = mm__load_host(ld, "rope_freqs", 0, ".weight", n_rot / 2, 0);
        if (factor) mm__rope_scale_each(f, n_rot, factor);
        mm__free(ld->mem, factor);
    } else if (strcmp(type, "linear") == 0) {
        mm__rope_scale_linear(f, n_rot, mm__loader_num(ld, SCALING("factor"), ".rope.scaling.factor", NAN, 1e-3, 1e6));
    } else if (strcmp(type, "llama3") == 0) {
        double factor = mm__loader_num(ld, SCALING("factor"), NULL, NAN, 1e-3, 1e6);
        double low = mm__loader_num(ld, SCALING("low_freq_factor"), NULL, NAN, 1e-3, 1e6);
        double high = mm__loader_num(ld, SCALING("high_freq_factor"), NULL, NAN, 1e-3, 1e6);
        double orig = mm__loader_num(ld, SCALING("original_max_position_embeddings"), NULL, NAN, 1, 1e9);
        mm__rope_scale_llama3(f, n_rot, factor, low, high, orig);
    } else if (strcmp(type, "yarn") == 0) {
        scale = scale_yarn(ld, s, f, n_rot);
    } else if (strcmp(type, "default") != 0 && strcmp(type, "none") != 0 && strcmp(type, "dynamic") != 0) {
        mm__loader_fail(ld, MM_E_UNSUPPORTED, "%s: rotary positions scaled by '%s' are not supported",
                        ld->config.source ? ld->config.source : "model", type);
    }
    return scale;
}

mm__rope mm__plain_rope(mm__loader *ld, const mm__sizes *s, int32_t n_rot, bool interleaved)
{
    mm__rope r = {.scale = 1.0f};
    if (ld->status < 0) return r;
    float *f = mm__calloc(ld->mem, (size_t)n_rot, sizeof *f);
    if (!f) {
        mm__loader_fail(ld, MM_E_NOMEM, "out of memory for rotary frequencies");
        return r;
    }
    mm__rope_freqs(f, n_rot, s->rope_base);
    const double scale = scale_freqs(ld, s, f, n_rot);
    if (ld->status >= 0) r = mm__rope_constant(ld, f, n_rot, interleaved, scale);
    mm__free(ld->mem, f);
    return r;
}

/* ---- operations ---- */

static mm__plain *plain(mm__decoder *d)
{
    return (mm__plain *)d;
} /* base is the first member */

void mm__plain_destroy(mm__decoder *d)
{
    release(plain(d));
}
mm__node *mm__plain_embed(mm__decoder *d, mm__graph *g, mm__node *ids)
{
    return mm__stack_embed(g, &plain(d)->stack, ids);
}
mm__node *mm__plain_head(mm__decoder *d, mm__graph *g, mm__node *hidden)
{
    return mm__stack_head(g, &plain(d)->stack, hidden);
}

mm__node *mm__plain_forward(mm__decoder *d, mm__graph *g, mm__node *x, const mm__step *s)
{
    return mm__stack_forward(g, &plain(d)->stack, x, s);
}

void mm__plain_cross(mm__decoder *d, mm__graph *g, mm__node *memory, mm__kv *cross, mm__node *slot)
{
    mm__stack_cross(g, &plain(d)->stack, memory, cross, slot);
}

/* The perceiver resampler of IDEFICS-1 (Laurencon et al. 2023; Flamingo, Alayrac et al. 2022): a fixed number of learned
 * latents reads the rows of an image encoder. In a block
 *     c = norm_c(rows), l = norm_l(latents); q from l, k and v from [c; l]; heads of q and k normalised when the file says so
 *     latents += out(attention(q, k, v));   latents += down(relu(up(norm(latents))))
 * without biases in the matrices, and a final norm.
 *
 * Configuration: the whole of the model, with perceiver_config and vision_config inside. */
#include "../part/registry.h"
#include "../base/error.h"
#include <math.h>

#define A "blocks.%d.0."
#define F "blocks.%d.1."
#define EPS 1e-5 /* the norms have no setting */

static const mm__names names[] = {
    {"latents", {"latents"}},
    {"norm_context", {A "context_layer_norm"}},
    {"norm_latents", {A "latents_layer_norm"}},
    {"q", {A "q_proj"}},
    {"k", {A "k_proj"}},
    {"v", {A "v_proj"}},
    {"q_norm", {A "q_layer_norm"}},
    {"k_norm", {A "k_layer_norm"}},
    {"out", {A "output_proj"}},
    {"mlp_norm", {F "ln"}},
    {"mlp_up", {F "fc"}},
    {"mlp_down", {F "c_proj"}},
    {"norm", {"layer_norm"}},
    {NULL, {NULL}}};

typedef struct block {
    mm__norm norm_context, norm_latents, q_norm, k_norm, mlp_norm;
    mm__linear q, k, v, out;
    mm__mlp mlp;
} block;

typedef struct perceiver {
    mm__bridge base;
    int32_t depth, n_head, head_dim;
    bool qk_norm;
    const mm__tensor *latents; /* [Q, D] */
    block *blocks;
    mm__norm norm;
} perceiver;

static void destroy(mm__bridge *base)
{
    perceiver *b = (perceiver *)base;
    if (!b) return;
    mm__free(b->base.mem, b->blocks);
    mm__free(b->base.mem, b);
}

static void load_block(mm__loader *ld, const perceiver *b, int32_t i, block *l)
{
    const int64_t d = b->base.info.in, inner = (int64_t)b->n_head * b->head_dim;
    l->norm_context = mm__load_norm(ld, "norm_context", i, MM__NORM_LAYER, d, EPS, 0);
    l->norm_latents = mm__load_norm(ld, "norm_latents", i, MM__NORM_LAYER, d, EPS, 0);
    l->q = mm__load_linear(ld, "q", i, d, inner, MM__LOAD_NO_BIAS);
    l->k = mm__load_linear(ld, "k", i, d, inner, MM__LOAD_NO_BIAS);
    l->v = mm__load_linear(ld, "v", i, d, inner, MM__LOAD_NO_BIAS);
    if (b->qk_norm) {
        l->q_norm = mm__load_norm(ld, "q_norm", i, MM__NORM_LAYER, b->head_dim, EPS, 0);
        l->k_norm = mm__load_norm(ld, "k_norm", i, MM__NORM_LAYER, b->head_dim, EPS, 0);
    }
    l->out = mm__load_linear(ld, "out", i, inner, d, MM__LOAD_NO_BIAS);
    l->mlp_norm = mm__load_norm(ld, "mlp_norm", i, MM__NORM_LAYER, d, EPS, 0);
    l->mlp = (mm__mlp){.act = MM__ACT_RELU};
    const mm__weight *up = mm__loader_find(ld, "mlp_up", i, ".weight");
    const int64_t ffn = up && up->shape.n == 2 ? up->shape.d[0] : 4 * d;
    l->mlp.up = mm__load_linear(ld, "mlp_up", i, d, ffn, MM__LOAD_NO_BIAS);
    l->mlp.down = mm__load_linear(ld, "mlp_down", i, ffn, d, MM__LOAD_NO_BIAS);
}

static void load(mm__loader *ld, perceiver *b)
{
    mm__bridge_info *info = &b->base.info;
    info->in = info->out = mm__loader_int(ld, "vision_config.embed_dim", NULL, 768, 1, 1 << 16);
    info->n_query = mm__loader_int(ld, "perceiver_config.resampler_n_latents", NULL, 64, 1, 65536);
    b->depth = mm__loader_int(ld, "perceiver_config.resampler_depth", NULL, 6, 1, 1024);
    b->n_head = mm__loader_int(ld, "perceiver_config.resampler_n_heads", NULL, 16, 1, 4096);
    b->head_dim = mm__loader_int(ld, "perceiver_config.resampler_head_dim", NULL, 96, 1, 4096);
    b->qk_norm = mm__config_bool(&ld->config, "perceiver_config.qk_layer_norms_perceiver", NULL, false);
    if (ld->status < 0) return;
    b->blocks = mm__calloc(ld->mem, (size_t)b->depth, sizeof *b->blocks);
    if (!b->blocks) {
        mm__loader_fail(ld, MM_E_NOMEM, "out of memory for the blocks of a bridge");
        return;
    }
    b->latents = mm__load(ld, "latents", 0, "", mm__shape2(info->n_query, info->in), MM__USE_VECTOR, 0);
    for (int32_t i = 0; i < b->depth && ld->status >= 0; i++) load_block(ld, b, i, &b->blocks[i]);
    b->norm = mm__load_norm(ld, "norm", 0, MM__NORM_LAYER, info->in, EPS, 0);
}

static mm_status create(mm__loader *ld, mm__bridge **out, mm_error *err)
{
    *out = NULL;
    ld->names = names;
    ld->roots[0] = "perceiver_resampler.";
    ld->roots[1] = "";
    ld->roots[2] = NULL;
    perceiver *b = mm__zalloc(ld->mem, sizeof *b);
    if (!b) return mm__nomem(err, "a bridge");
    b->base.ops = &mm__bridge_perceiver;
    b->base.mem = ld->mem;
    load(ld, b);
    mm_status st = mm__loader_status(ld, err);
    if (st < 0) destroy(&b->base);
    else *out = &b->base;
    return st;
}

static mm__node *attention(mm__graph *g, const perceiver *b, const block *l, mm__node *rows, mm__node *latents)
{
    mm__args args = {.scale = 1.0f / sqrtf((float)b->head_dim)};
    mm__node *lat = mm__norm_fwd(g, &l->norm_latents, latents);
    mm__node *both[2] = {mm__norm_fwd(g, &l->norm_context, rows), lat};
    mm__node *from = mm__concat(g, both, 2);
    mm__node *q = mm__heads(g, mm__linear_fwd(g, &l->q, lat, MM__ACT_NONE, NULL), b->n_head);
    mm__node *k = mm__heads(g, mm__linear_fwd(g, &l->k, from, MM__ACT_NONE, NULL), b->n_head);
    mm__node *v = mm__heads(g, mm__linear_fwd(g, &l->v, from, MM__ACT_NONE, NULL), b->n_head);
    q = mm__norm_fwd(g, &l->q_norm, q);
    k = mm__norm_fwd(g, &l->k_norm, k);
    mm__node *y = mm__attend(g, q, mm__swap01(g, k), mm__swap01(g, v), NULL, NULL, NULL, &args);
    return mm__linear_fwd(g, &l->out, y, MM__ACT_NONE, latents);
}

static mm__node *forward(mm__bridge *base, mm__graph *g, mm__node *rows, mm__node *text_ids)
{
    const perceiver *b = (const perceiver *)base;
    if (text_ids) return mm__graph_fail(g, MM_E_ARG, "a resampler reads no text");
    mm__node *x = mm__tensor_node(g, b->latents);
    for (int32_t i = 0; i < b->depth; i++) {
        const block *l = &b->blocks[i];
        x = attention(g, b, l, rows, x);
        x = mm__stage(g, mm__mlp_fwd(g, &l->mlp, mm__norm_fwd(g, &l->mlp_norm, x), x), "perceiver.block%d", i);
    }
    return mm__stage(g, mm__norm_fwd(g, &b->norm, x), "perceiver");
}

const mm__bridge_ops mm__bridge_perceiver = {"perceiver", create, destroy, forward};

/* The Q-Former of BLIP-2 (Li et al. 2023): learned queries go through the blocks of a BERT whose every n-th layer also
 * attends to the rows of an image encoder; a linear layer takes the result to the decoder's columns. In a layer
 *     x = norm(x + out(self-attention(x)))
 *     x = norm(x + cross_out(cross-attention(x, picture)))      layers 0, n, 2 n, ..
 *     x = norm(x + mlp_query(x))
 *
 * Reading text. Variants that are given an instruction append its embedded ids to the queries: self-attention then runs
 * over all rows jointly, cross-attention over the query rows only, and text rows have an MLP of their own ("intermediate",
 * "output" beside "intermediate_query", "output_query"); the first n_query rows are the result. `forward` below splits
 * where that enters: x holds queries first, layer() touches text rows in the MLP only. Files with such tensors are not
 * read yet, and text is refused.
 *
 * Configuration: the whole of the model (qformer_config inside) or the Q-Former's own object; the number of queries and the
 * encoder's width may be left to the stored tensors. */
#include "../part/registry.h"
#include "../base/error.h"
#include <math.h>
#include <string.h>

#define B "encoder.layer.%d."
#define CFG(key) "qformer_config." key "|" key

static const mm__names names[] = {
    {"queries", {"query_tokens"}},
    {"norm", {"layernorm"}},
    {"q", {B "attention.attention.query"}},
    {"k", {B "attention.attention.key"}},
    {"v", {B "attention.attention.value"}},
    {"out", {B "attention.output.dense"}},
    {"out_norm", {B "attention.output.LayerNorm"}},
    {"cross_q", {B "crossattention.attention.query"}},
    {"cross_k", {B "crossattention.attention.key"}},
    {"cross_v", {B "crossattention.attention.value"}},
    {"cross_out", {B "crossattention.output.dense"}},
    {"cross_norm", {B "crossattention.output.LayerNorm"}},
    {"mlp_up", {B "intermediate_query.dense"}},
    {"mlp_down", {B "output_query.dense"}},
    {"mlp_norm", {B "output_query.LayerNorm"}},
    {"proj", {"language_projection|llama_proj"}},
    {NULL, {NULL}}};

typedef struct layer {
    mm__linear qkv, out;
    mm__norm out_norm;
    mm__linear cross_q, cross_kv, cross_out; /* cross_q.n_w 0: no cross-attention here */
    mm__norm cross_norm;
    mm__mlp mlp;
    mm__norm mlp_norm;
} layer;

typedef struct qformer {
    mm__bridge base;
    int32_t width, n_layer, n_head, ffn, every;
    double eps;
    mm__act act;
    mm__attn_shape attn;
    const mm__tensor *queries; /* [Q, D] */
    mm__norm norm;
    layer *layers;
    mm__linear proj;
} qformer;

static void destroy(mm__bridge *base)
{
    qformer *b = (qformer *)base;
    if (!b) return;
    mm__free(b->base.mem, b->layers);
    mm__free(b->base.mem, b);
}

static void load_layer(mm__loader *ld, const qformer *b, int32_t i, layer *l)
{
    static const char *const qkv[] = {"q", "k", "v"}, *const kv[] = {"cross_k", "cross_v"};
    const int64_t d = b->width, outs[] = {d, d, d};
    l->qkv = mm__load_linear_stack(ld, NULL, qkv, 3, i, d, outs, 0);
    l->out = mm__load_linear(ld, "out", i, d, d, 0);
    l->out_norm = mm__load_norm(ld, "out_norm", i, MM__NORM_LAYER, d, b->eps, 0);
    if (i % b->every == 0) {
        l->cross_q = mm__load_linear(ld, "cross_q", i, d, d, 0);
        l->cross_kv = mm__load_linear_stack(ld, NULL, kv, 2, i, b->base.info.in, outs, 0);
        l->cross_out = mm__load_linear(ld, "cross_out", i, d, d, 0);
        l->cross_norm = mm__load_norm(ld, "cross_norm", i, MM__NORM_LAYER, d, b->eps, 0);
    }
    l->mlp = (mm__mlp){.act = b->act};
    l->mlp.up = mm__load_linear(ld, "mlp_up", i, d, b->ffn, 0);
    l->mlp.down = mm__load_linear(ld, "mlp_down", i, b->ffn, d, 0);
    l->mlp_norm = mm__load_norm(ld, "mlp_norm", i, MM__NORM_LAYER, d, b->eps, 0);
}

static void read_sizes(mm__loader *ld, qformer *b)
{
    b->width = mm__loader_int(ld, CFG("hidden_size"), NULL, 768, 1, 1 << 16);
    b->n_layer = mm__loader_int(ld, CFG("num_hidden_layers"), NULL, 12, 1, 1024);
    b->n_head = mm__loader_int(ld, CFG("num_attention_heads"), NULL, 12, 1, b->width);
    b->ffn = mm__loader_int(ld, CFG("intermediate_size"), NULL, 3072, 1, 1 << 18);
    b->every = mm__loader_int(ld, CFG("cross_attention_frequency"), NULL, 2, 1, 1024);
    b->eps = mm__loader_num(ld, CFG("layer_norm_eps"), NULL, 1e-12, 0, 1);
    b->act = mm__loader_act(ld, CFG("hidden_act"), "gelu");
    const char *positions = mm__config_str(&ld->config, CFG("position_embedding_type"), NULL, "absolute");
    if (strcmp(positions, "absolute") != 0)
        mm__loader_fail(ld, MM_E_UNSUPPORTED, "qformer: position_embedding_type '%s' is not supported, only absolute positions are", positions);
    const mm__weight *k = mm__loader_find(ld, "cross_k", 0, ".weight"), *queries = mm__loader_find(ld, "queries", 0, "");
    const int64_t in = k && k->shape.n == 2 ? k->shape.d[1] : 0, n = queries && queries->shape.n >= 2 ? queries->shape.d[queries->shape.n - 2] : 0;
    b->base.info.in = mm__loader_int(ld, CFG("encoder_hidden_size"), NULL, in <= 1 << 16 ? (int32_t)in : 0, 1, 1 << 16);
    b->base.info.n_query = mm__loader_int(ld, "num_query_tokens", NULL, n <= 65536 ? (int32_t)n : 0, 1, 65536);
    if (b->width % b->n_head != 0)
        mm__loader_fail(ld, MM_E_FORMAT, "qformer: %d attention heads do not divide a width of %d", b->n_head, b->width);
    int32_t d = b->width / b->n_head;
    b->attn = (mm__attn_shape){.n_head = b->n_head, .n_head_kv = b->n_head, .head_dim = d, .scale = 1.0f / sqrtf((float)d)};
}

static void load(mm__loader *ld, qformer *b)
{
    const int64_t d = b->width;
    const mm__weight *proj = mm__loader_find(ld, "proj", 0, ".weight");
    if (ld->status < 0) return;
    if (!proj || proj->shape.n != 2 || proj->shape.d[0] > 1 << 20) {
        mm__loader_fail(ld, MM_E_FORMAT, "qformer: the projection to the decoder's columns is missing or no matrix");
        return;
    }
    b->base.info.out = (int32_t)proj->shape.d[0];
    b->layers = mm__calloc(ld->mem, (size_t)b->n_layer, sizeof *b->layers);
    if (!b->layers) {
        mm__loader_fail(ld, MM_E_NOMEM, "out of memory for the layers of a bridge");
        return;
    }
    b->queries = mm__load(ld, "queries", 0, "", mm__shape2(b->base.info.n_query, d), MM__USE_VECTOR, MM__LOAD_RESHAPE);
    b->norm = mm__load_norm(ld, "norm", 0, MM__NORM_LAYER, d, b->eps, 0);
    for (int32_t i = 0; i < b->n_layer && ld->status >= 0; i++) load_layer(ld, b, i, &b->layers[i]);
    b->proj = mm__load_linear(ld, "proj", 0, d, b->base.info.out, 0);
}

static mm_status create(mm__loader *ld, mm__bridge **out, mm_error *err)
{
    *out = NULL;
    ld->names = names;
    ld->roots[0] = "qformer.";
    ld->roots[1] = "";
    ld->roots[2] = NULL;
    qformer *b = mm__zalloc(ld->mem, sizeof *b);
    if (!b) return mm__nomem(err, "a bridge");
    b->base.ops = &mm__bridge_qformer;
    b->base.mem = ld->mem;
    read_sizes(ld, b);
    load(ld, b);
    mm_status st = mm__loader_status(ld, err);
    if (st < 0) destroy(&b->base);
    else *out = &b->base;
    return st;
}

/* x [Q, D], picture [N, in]. */
static mm__node *layer_fwd(mm__graph *g, const qformer *b, const layer *l, mm__node *x, mm__node *picture)
{
    mm__node *y = mm__self_attention(g, &b->attn, mm__linear_fwd(g, &l->qkv, x, MM__ACT_NONE, NULL), NULL);
    x = mm__norm_fwd(g, &l->out_norm, mm__linear_fwd(g, &l->out, y, MM__ACT_NONE, x));
    if (l->cross_q.n_w) {
        mm__node *kv = mm__linear_fwd(g, &l->cross_kv, picture, MM__ACT_NONE, NULL);
        y = mm__cross_attention(g, &b->attn, mm__linear_fwd(g, &l->cross_q, x, MM__ACT_NONE, NULL), kv, NULL);
        x = mm__norm_fwd(g, &l->cross_norm, mm__linear_fwd(g, &l->cross_out, y, MM__ACT_NONE, x));
    }
    return mm__norm_fwd(g, &l->mlp_norm, mm__mlp_fwd(g, &l->mlp, x, x));
}

static mm__node *forward(mm__bridge *base, mm__graph *g, mm__node *picture, mm__node *text_ids)
{
    const qformer *b = (const qformer *)base;
    if (text_ids) return mm__graph_fail(g, MM_E_UNSUPPORTED, "this bridge's file has no text half: it reads pictures only");
    mm__node *x = mm__norm_fwd(g, &b->norm, mm__tensor_node(g, b->queries));
    for (int32_t i = 0; i < b->n_layer; i++) x = mm__stage(g, layer_fwd(g, b, &b->layers[i], x, picture), "qformer.layer%d", i);
    x = mm__stage(g, x, "qformer");
    return mm__stage(g, mm__linear_fwd(g, &b->proj, x, MM__ACT_NONE, NULL), "projected");
}

const mm__bridge_ops mm__bridge_qformer = {"qformer", create, destroy, forward};

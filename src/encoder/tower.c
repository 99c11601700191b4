/* Blocks and stems of encoders; tower.h is the contract. The maths of the blocks is in nn/block.c.
 *
 * Class token and position table are combined when loading: row 0 of the table belongs to the class and is added to it
 * once, the other rows stay a [grid * grid, D] table that the patch projection adds as its residual. */
#include "tower.h"
#include "../base/error.h"
#include <math.h>

void mm__tower_read(mm__loader *ld, mm__tower *z, const char *width_key, const char *act)
{
    mm__encoder_info *info = &z->base.info;
    z->width = mm__loader_int(ld, width_key, NULL, z->width, 1, 1 << 16);
    z->ffn = mm__loader_int(ld, "intermediate_size", NULL, z->ffn, 1, 1 << 18);
    z->n_layer = mm__loader_int(ld, "num_hidden_layers", NULL, z->n_layer, 1, 1024);
    z->n_head = mm__loader_int(ld, "num_attention_heads", NULL, z->n_head, 1, z->width);
    z->eps = (float)mm__loader_num(ld, "layer_norm_eps", NULL, (double)z->eps, 0, 1);
    z->act = mm__loader_act(ld, "hidden_act", act);
    if (!info->image_size) return;
    mm__tower_picture(ld, info);
}

void mm__tower_picture(mm__loader *ld, mm__encoder_info *info)
{
    double sides[2];
    if (mm__config_array(&ld->config, "image_size", NULL, sides, 2) == 2 || mm__config_array(&ld->config, "patch_size", NULL, sides, 2) == 2)
        mm__loader_fail(ld, MM_E_UNSUPPORTED, "image_size or patch_size with two sides is not supported, only squares are");
    info->image_size = mm__loader_int(ld, "image_size", NULL, info->image_size, 1, 16384);
    info->patch = mm__loader_int(ld, "patch_size", NULL, info->patch, 1, 1024);
}

void *mm__tower_new(mm__loader *ld, const mm__encoder_ops *ops, size_t bytes, const mm__tower *sizes)
{
    if (ld->status < 0) return NULL;
    if (sizes->width % sizes->n_head != 0) {
        mm__loader_fail(ld, MM_E_FORMAT, "%s: %d attention heads do not divide a width of %d", ops->name, sizes->n_head, sizes->width);
        return NULL;
    }
    mm__tower *t = mm__zalloc(ld->mem, bytes);
    if (!t) {
        mm__loader_fail(ld, MM_E_NOMEM, "out of memory for the encoder");
        return NULL;
    }
    *t = *sizes;
    t->base.ops = ops;
    t->base.mem = ld->mem;
    t->base.info.kind = ops->kind;
    t->base.info.width = t->width;
    t->base.info.n_layer = t->n_layer;
    int32_t d = t->width / t->n_head;
    t->attn = (mm__attn_shape){.n_head = t->n_head, .n_head_kv = t->n_head, .head_dim = d, .scale = 1.0f / sqrtf((float)d)};
    return t;
}

void mm__tower_destroy(mm__encoder *e)
{
    mm__tower *t = (mm__tower *)e;
    if (!t) return;
    if (t->causal) t->causal->backend->ops->tensor_free(t->causal);
    mm__free(t->base.mem, t->blocks);
    mm__free(t->base.mem, t);
}

mm_status mm__tower_finish(mm__loader *ld, mm__tower *t, mm__encoder **out, mm_error *err)
{
    mm_status st = mm__loader_status(ld, err);
    *out = st < 0 ? NULL : &t->base;
    if (st < 0 && t) mm__tower_destroy(&t->base);
    return st;
}

int64_t mm__tower_stored_rows(const mm__loader *ld, const char *key)
{
    const mm__weight *w = mm__loader_find(ld, key, 0, ".weight");
    return w && w->shape.n == 2 ? w->shape.d[0] : 0;
}

/* Some converters wrote the two matrices of the MLP under each other's names; their shapes tell. */
static bool mlp_is_swapped(const mm__loader *ld, const mm__tower *t)
{
    const mm__weight *down = mm__loader_find(ld, "mlp_down", 0, ".weight");
    return !t->gated && t->ffn != t->width && down && down->shape.n == 2 && down->shape.d[0] == t->ffn && down->shape.d[1] == t->width;
}

static void load_block(mm__loader *ld, const mm__tower *t, int32_t i, bool swapped, mm__block *b)
{
    static const char *const qkv[] = {"attn_q", "attn_k", "attn_v"};
    const int64_t w = t->width, outs[] = {w, w, w}, up = t->gated ? 2 * (int64_t)t->ffn : t->ffn;
    const unsigned coarse = t->base.info.kind == MM__ENC_TEXT ? 0 : MM__LOAD_COARSE;
    b->norm1 = mm__load_norm(ld, "norm1", i, MM__NORM_LAYER, w, t->eps, 0);
    b->qkv = mm__load_linear_stack(ld, "attn_qkv", qkv, 3, i, w, outs, coarse);
    b->out = mm__load_linear(ld, "attn_out", i, w, w, coarse);
    b->norm2 = mm__load_norm(ld, "norm2", i, MM__NORM_LAYER, w, t->eps, 0);
    b->mlp = (mm__mlp){.act = t->act, .gated = t->gated};
    b->mlp.up = mm__load_linear(ld, swapped ? "mlp_down" : "mlp_up", i, w, up, coarse);
    b->mlp.down = mm__load_linear(ld, swapped ? "mlp_up" : "mlp_down", i, t->ffn, w, coarse);
    b->scale1 = mm__load(ld, "scale1", i, "", mm__shape1(w), MM__USE_VECTOR, MM__LOAD_OPTIONAL);
    b->scale2 = mm__load(ld, "scale2", i, "", mm__shape1(w), MM__USE_VECTOR, MM__LOAD_OPTIONAL);
}

void mm__tower_load_blocks(mm__loader *ld, mm__tower *t)
{
    if (ld->status < 0) return;
    t->blocks = mm__calloc(ld->mem, (size_t)t->n_layer, sizeof *t->blocks);
    if (!t->blocks) {
        mm__loader_fail(ld, MM_E_NOMEM, "out of memory for %d blocks", t->n_layer);
        return;
    }
    bool swapped = mlp_is_swapped(ld, t);
    for (int32_t i = 0; i < t->n_layer && ld->status >= 0; i++) load_block(ld, t, i, swapped, &t->blocks[i]);
}

/* Class embedding plus row 0 of the table; the rest of the table. */
static void load_positions(mm__loader *ld, mm__tower *t, bool with_cls)
{
    const int64_t d = t->width, n = (int64_t)t->grid * t->grid;
    float *cls = NULL, *pos = mm__load_host(ld, "pos", 0, "", (n + with_cls) * d, 0);
    if (with_cls) cls = mm__load_host(ld, "cls", 0, "", d, 0);
    for (int64_t i = 0; cls && pos && i < d; i++) cls[i] += pos[i];
    if (cls) t->cls = mm__store_vector(ld, "class embedding", 0, cls, mm__shape2(1, d));
    if (pos) t->pos = mm__store_vector(ld, "positions", 0, pos + (with_cls ? d : 0), mm__shape2(n, d));
    mm__free(ld->mem, cls);
    mm__free(ld->mem, pos);
}

void mm__tower_load_stem(mm__loader *ld, mm__tower *t, bool with_cls)
{
    mm__encoder_info *info = &t->base.info;
    const int64_t d = t->width;
    if (ld->status < 0) return;
    if (info->patch > info->image_size) {
        mm__loader_fail(ld, MM_E_FORMAT, "patches of %d do not fit a picture of %d", info->patch, info->image_size);
        return;
    }
    t->grid = info->image_size / info->patch;
    info->has_cls = with_cls;
    t->patch = mm__load_linear(ld, "patch", 0, 3 * (int64_t)info->patch * info->patch, d, MM__LOAD_RESHAPE);
    load_positions(ld, t, with_cls);
    const mm__weight *r = mm__loader_find(ld, "registers", 0, "");
    if (r && r->shape.n == 3)
        t->registers = mm__load(ld, "registers", 0, "", mm__shape2(r->shape.d[1], d), MM__USE_VECTOR, MM__LOAD_RESHAPE);
}

void mm__tower_make_causal(mm__loader *ld, mm__tower *t, int32_t n)
{
    mm__backend *b = mm__store_backend(ld->store);
    mm_error e = {.size = sizeof e};
    if (ld->status < 0) return;
    int32_t *span = mm__calloc(ld->mem, (size_t)n, 2 * sizeof *span);
    mm_status st = span ? b->ops->state(b, (mm__where){MM__PART_ENCODER, 0}, MM__I32, mm__shape2(n, 2), &t->causal, &e) : mm__nomem(&e, "attention spans");
    for (int32_t i = 0; span && i < n; i++) span[2 * i + 1] = i + 1;
    if (st >= 0) st = b->ops->write(b, t->causal->data, span, (size_t)n * 2 * sizeof *span, &e);
    if (st < 0) mm__loader_fail(ld, st, "%s", e.text);
    mm__free(ld->mem, span);
}

/* Positions for a grid of gh x gw patches: [gh * gw, D]. */
static mm__node *grid_positions(const mm__tower *t, mm__graph *g, int64_t gh, int64_t gw)
{
    mm__node *pos = mm__tensor_node(g, t->pos);
    if (gh == t->grid && gw == t->grid) return pos;
    if (!t->interpolate)
        return mm__graph_fail(g, MM_E_ARG, "the picture gives %lld x %lld patches, but this encoder takes %d x %d only: resize it to %d x %d",
                              (long long)gh, (long long)gw, t->grid, t->grid, t->base.info.image_size, t->base.info.image_size);
    pos = mm__resize_grid(g, mm__reshape(g, pos, mm__shape3(t->grid, t->grid, t->width)), (int32_t)gh, (int32_t)gw, t->registers != NULL);
    return mm__reshape(g, pos, mm__shape2(gh * gw, t->width));
}

mm__node *mm__tower_embed(const mm__tower *t, mm__graph *g, mm__node *pixels)
{
    const int32_t p = t->base.info.patch;
    if (!pixels) return NULL;
    const mm__shape *s = mm__node_shape(pixels);
    if (s->n != 3 || s->d[0] != 3) return mm__graph_fail(g, MM_E_ARG, "pictures enter as [3, height, width]");
    mm__node *x = mm__patches(g, pixels, p);
    if (!x) return NULL;
    x = mm__linear_fwd(g, &t->patch, x, MM__ACT_NONE, grid_positions(t, g, s->d[1] / p, s->d[2] / p));
    mm__node *parts[3];
    int n = 0;
    if (t->cls) parts[n++] = mm__tensor_node(g, t->cls);
    if (t->registers) parts[n++] = mm__tensor_node(g, t->registers);
    parts[n++] = x;
    return mm__stage(g, n > 1 ? mm__concat(g, parts, n) : x, "embeddings");
}

mm__node *mm__tower_blocks(const mm__tower *t, mm__graph *g, mm__node *x, const mm__encoder_in *in, mm__node **feature)
{
    const int32_t layer = in->layer, wanted = layer < 0 ? t->n_layer + 1 + layer : layer;
    mm__node *span = in->span;
    if (!x) return NULL;
    if (wanted < 0 || wanted > t->n_layer)
        return mm__graph_fail(g, MM_E_ARG, "feature layer %d of an encoder with %d layers", layer, t->n_layer);
    if (!span && t->causal) span = mm__split_rows(g, mm__tensor_node(g, t->causal), 0, mm__rows(x));
    x = mm__stage(g, x, "hidden_states.0");
    if (layer < 0 && wanted == 0) *feature = mm__stage(g, x, "layer_feature(%d)", layer);
    for (int32_t i = 0; i < t->n_layer; i++) {
        x = t->post_norm ? mm__block_post(g, &t->blocks[i], &t->attn, x, span) : mm__block_pre(g, &t->blocks[i], &t->attn, x, span);
        x = mm__stage(g, mm__stage(g, x, "layer%d", i), "hidden_states.%d", i + 1);
        if (wanted == i + 1 && !(t->normed_last && wanted == t->n_layer)) *feature = mm__stage(g, x, "layer_feature(%d)", layer);
    }
    return mm__stage(g, mm__stage(g, x, "encoder"), "hidden_last");
}

mm__node *mm__tower_norm_last(mm__graph *g, const mm__norm *norm, mm__node *x, const mm__encoder_in *in, const char *name, mm__node **feature)
{
    x = mm__stage(g, mm__norm_fwd(g, norm, x), "%s", name);
    if (in->layer && !*feature) *feature = mm__stage(g, x, "layer_feature(%d)", in->layer);
    return x;
}

mm__node *mm__tower_text(const mm__tower *t, mm__graph *g, const mm__encoder_in *in, const mm__tensor *table, const mm__tensor *pos)
{
    mm__node *x = in->rows ? in->rows : mm__gather(g, mm__tensor_node(g, table), in->ids, 1.0f);
    if (!x) return NULL;
    if (mm__rows(x) > t->base.info.max_rows)
        return mm__graph_fail(g, MM_E_CONTEXT, "a text of %lld tokens does not fit the %d positions of this encoder",
                              (long long)mm__rows(x), t->base.info.max_rows);
    return mm__add(g, x, mm__split_rows(g, mm__tensor_node(g, pos), 0, mm__rows(x)));
}

/* The image tower of CLIP (Radford et al. 2021), also where it serves as the eye of a language model: patches without
 * bias, a class row, a norm before the first block, pre-norm blocks. As in the reference, the rows come out without a
 * final norm; `pooled` is the post-norm of the class row, `projected` its place in the space shared with texts. Both
 * norm and projection may be missing in files that only need the rows.
 *
 * GGUF files (architecture "clip") state the activation by flags: use_gelu, use_silu, or neither for quick_gelu. gelu is
 * the exact one here, which is what the weights were trained with. */
#include "tower.h"

#define B "encoder.layers.%d."
#define V "v.blk.%d."

static const mm__names names[] = {
    {"patch", {"embeddings.patch_embedding", "v.patch_embd"}},
    {"cls", {"embeddings.class_embedding", "v.class_embd"}},
    {"pos", {"embeddings.position_embedding.weight", "v.position_embd.weight"}},
    {"pre_norm", {"pre_layrnorm|pre_layernorm", "v.pre_ln"}},
    {"norm1", {B "layer_norm1", V "ln1"}},
    {"attn_qkv", {NULL, V "attn_qkv"}},
    {"attn_q", {B "self_attn.q_proj", V "attn_q"}},
    {"attn_k", {B "self_attn.k_proj", V "attn_k"}},
    {"attn_v", {B "self_attn.v_proj", V "attn_v"}},
    {"attn_out", {B "self_attn.out_proj", V "attn_out"}},
    {"norm2", {B "layer_norm2", V "ln2"}},
    {"mlp_up", {B "mlp.fc1", V "ffn_up"}},
    {"mlp_down", {B "mlp.fc2", V "ffn_down"}},
    {"post_norm", {"post_layernorm", "v.post_ln"}},
    {"projection", {"visual_projection", NULL}},
    {NULL, {NULL}}};

typedef struct clip_vision {
    mm__tower t;
    mm__norm pre_norm, post_norm;
    mm__linear projection;    /* n_w 0: absent */
} clip_vision;

static mm__act activation(mm__loader *ld)
{
    if (!ld->config.gguf) return mm__loader_act(ld, "hidden_act", "quick_gelu");
    if (mm__config_bool(&ld->config, NULL, "clip.use_gelu", false)) return MM__ACT_GELU;
    return mm__config_bool(&ld->config, NULL, "clip.use_silu", false) ? MM__ACT_SILU : MM__ACT_GELU_QUICK;
}

static void read_sizes(mm__loader *ld, mm__tower *z)
{
    const bool json = !ld->config.gguf; /* only JSON configurations leave out what equals the defaults */
    z->width = mm__loader_int(ld, "hidden_size", "clip.vision.embedding_length", json ? 768 : 0, 1, 1 << 16);
    z->ffn = mm__loader_int(ld, "intermediate_size", "clip.vision.feed_forward_length", json ? 3072 : 0, 1, 1 << 18);
    z->n_layer = mm__loader_int(ld, "num_hidden_layers", "clip.vision.block_count", json ? 12 : 0, 1, 1024);
    z->n_head = mm__loader_int(ld, "num_attention_heads", "clip.vision.attention.head_count", json ? 12 : 0, 1, z->width);
    z->eps = (float)mm__loader_num(ld, "layer_norm_eps", "clip.vision.attention.layer_norm_epsilon", 1e-5, 0, 1);
    z->act = activation(ld);
    z->base.info.image_size = mm__loader_int(ld, "image_size", "clip.vision.image_size", json ? 224 : 0, 1, 16384);
    z->base.info.patch = mm__loader_int(ld, "patch_size", "clip.vision.patch_size", json ? 32 : 0, 1, 1024);
}

static mm_status create(mm__loader *ld, mm__encoder **out, mm_error *err)
{
    mm__tower z = {0};
    ld->names = names;
    ld->roots[0] = "vision_model.";
    ld->roots[1] = "";
    ld->roots[2] = NULL;
    read_sizes(ld, &z);
    clip_vision *v = mm__tower_new(ld, &mm__encoder_clip_vision, sizeof *v, &z);
    if (v) {
        int64_t projected = mm__tower_stored_rows(ld, "projection");
        mm__tower_load_stem(ld, &v->t, true);
        v->pre_norm = mm__load_norm(ld, "pre_norm", 0, MM__NORM_LAYER, z.width, z.eps, 0);
        mm__tower_load_blocks(ld, &v->t);
        v->post_norm = mm__load_norm(ld, "post_norm", 0, MM__NORM_LAYER, z.width, z.eps, MM__LOAD_OPTIONAL);
        if (projected > 0 && projected <= INT32_MAX) {
            v->projection = mm__load_linear(ld, "projection", 0, z.width, projected, MM__LOAD_NO_BIAS);
            v->t.base.info.projected = (int32_t)projected;
        }
    }
    return mm__tower_finish(ld, v ? &v->t : NULL, out, err);
}

static mm_status forward(mm__encoder *e, mm__graph *g, const mm__encoder_in *in, mm__features *out)
{
    const clip_vision *v = (const clip_vision *)e;
    *out = (mm__features){0};
    mm__node *x = mm__tower_embed(&v->t, g, in->pixels);
    x = mm__stage(g, mm__norm_fwd(g, &v->pre_norm, x), "pre_ln");
    out->last = mm__tower_blocks(&v->t, g, x, in, &out->layer);
    if (v->post_norm.w) out->pooled = mm__stage(g, mm__norm_fwd(g, &v->post_norm, mm__split_rows(g, out->last, 0, 1)), "post_ln");
    if (v->projection.n_w) out->projected = mm__linear_fwd(g, &v->projection, out->pooled, MM__ACT_NONE, NULL);
    return mm__graph_status(g, NULL);
}

static const char *const types[] = {"clip_vision_model", NULL};
static const char *const archs[] = {"clip", NULL};
const mm__encoder_ops mm__encoder_clip_vision = {"clip_vision", MM__ENC_IMAGE, types, archs, create, mm__tower_destroy, forward, NULL};

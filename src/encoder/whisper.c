/* The audio encoder of Whisper (Radford et al. 2022): two convolutions over a log-mel spectrogram (kernel 3, the second
 * with step 2), each followed by GELU, then sinusoidal positions, pre-norm blocks whose keys have no bias, a final norm.
 *
 * A convolution is UNFOLD1D (windows as rows, order channel, tap) and a LINEAR over the weight [D, C, 3] read as
 * [D, 3 C]. The recorded stages "conv1" and "conv2" are channels first and before GELU, so a watched graph computes them
 * beside the fused way. Four containers name the tensors differently; what they state is given to this part in Hugging
 * Face terms. The ggml container stores convolution biases as [D, 1]. */
#include "tower.h"

#define HF "encoder.layers.%d."
#define GGML "encoder.blocks.%d."
#define CT2 "encoder/layer_%d/"

static const mm__names names[] = {
    {"conv1", {"encoder.conv1", NULL, "encoder.conv1", "encoder/conv1"}},
    {"conv2", {"encoder.conv2", NULL, "encoder.conv2", "encoder/conv2"}},
    {"pos", {"encoder.embed_positions.weight", NULL, "encoder.positional_embedding", "encoder/position_encodings/encodings"}},
    {"norm1", {HF "self_attn_layer_norm", NULL, GGML "attn_ln", CT2 "self_attention/layer_norm"}},
    {"attn_qkv", {NULL, NULL, NULL, CT2 "self_attention/linear_0"}},
    {"attn_q", {HF "self_attn.q_proj", NULL, GGML "attn.query", NULL}},
    {"attn_k", {HF "self_attn.k_proj", NULL, GGML "attn.key", NULL}},
    {"attn_v", {HF "self_attn.v_proj", NULL, GGML "attn.value", NULL}},
    {"attn_out", {HF "self_attn.out_proj", NULL, GGML "attn.out", CT2 "self_attention/linear_1"}},
    {"norm2", {HF "final_layer_norm", NULL, GGML "mlp_ln", CT2 "ffn/layer_norm"}},
    {"mlp_up", {HF "fc1", NULL, GGML "mlp.0", CT2 "ffn/linear_0"}},
    {"mlp_down", {HF "fc2", NULL, GGML "mlp.2", CT2 "ffn/linear_1"}},
    {"final_norm", {"encoder.layer_norm", NULL, "encoder.ln_post", "encoder/layer_norm"}},
    {NULL, {NULL}}};

typedef struct whisper {
    mm__tower t;
    mm__linear conv1, conv2;
    const mm__tensor *pos;    /* [max_rows, D] */
    mm__norm final_norm;
} whisper;

static void load(mm__loader *ld, whisper *v)
{
    mm__encoder_info *info = &v->t.base.info;
    const int64_t d = v->t.width;
    v->conv1 = mm__load_linear(ld, "conv1", 0, 3 * (int64_t)info->n_mels, d, MM__LOAD_RESHAPE | MM__LOAD_NEED_BIAS);
    v->conv2 = mm__load_linear(ld, "conv2", 0, 3 * d, d, MM__LOAD_RESHAPE | MM__LOAD_NEED_BIAS);
    v->pos = mm__load(ld, "pos", 0, "", mm__shape2(info->max_rows, d), MM__USE_VECTOR, 0);
    mm__tower_load_blocks(ld, &v->t);
    v->final_norm = mm__load_norm(ld, "final_norm", 0, MM__NORM_LAYER, d, v->t.eps, 0);
}

static mm_status create(mm__loader *ld, mm__encoder **out, mm_error *err)
{
    mm__tower z = {.eps = 1e-5f};
    ld->names = names;
    ld->roots[0] = "model.";
    ld->roots[1] = "";
    ld->roots[2] = NULL;
    z.width = mm__loader_int(ld, "d_model", NULL, 0, 1, 1 << 16);
    z.n_layer = mm__loader_int(ld, "encoder_layers", NULL, 0, 1, 1024);
    z.n_head = mm__loader_int(ld, "encoder_attention_heads", NULL, 0, 1, z.width);
    z.ffn = mm__loader_int(ld, "encoder_ffn_dim", NULL, 4 * z.width, 1, 1 << 18);
    z.act = mm__loader_act(ld, "activation_function", "gelu");
    z.base.info.n_mels = mm__loader_int(ld, "num_mel_bins", NULL, 80, 1, 1024);
    z.base.info.max_rows = mm__loader_int(ld, "max_source_positions", NULL, 1500, 1, 1 << 20);
    whisper *v = mm__tower_new(ld, &mm__encoder_whisper, sizeof *v, &z);
    if (v) load(ld, v);
    return mm__tower_finish(ld, v ? &v->t : NULL, out, err);
}

/* act(convolution) as rows [L', D]; stage `name` is the convolution alone, [D, L']. */
static mm__node *convolve(mm__graph *g, const mm__linear *w, mm__node *x, int32_t step, bool channels_first, mm__act act, const char *name)
{
    mm__node *windows = mm__unfold1d(g, x, 3, step, 1, channels_first);
    if (windows && mm__graph_watching(g)) {
        mm__node *y = mm__linear_fwd(g, w, windows, MM__ACT_NONE, NULL);
        mm__node *turned = mm__swap01(g, mm__reshape(g, y, mm__shape3(mm__rows(windows), w->out, 1)));
        mm__stage(g, mm__reshape(g, mm__contiguous(g, turned), mm__shape2(w->out, mm__rows(windows))), "%s", name);
    }
    return mm__linear_fwd(g, w, windows, act, NULL);
}

static mm_status forward(mm__encoder *e, mm__graph *g, const mm__encoder_in *in, mm__features *out)
{
    const whisper *v = (const whisper *)e;
    *out = (mm__features){0};
    mm__node *x = convolve(g, &v->conv1, in->mel, 1, true, MM__ACT_GELU, "conv1");
    x = convolve(g, &v->conv2, x, 2, false, MM__ACT_GELU, "conv2");
    if (x && mm__rows(x) > e->info.max_rows)
        mm__graph_fail(g, MM_E_ARG, "a spectrogram that gives %lld rows does not fit the %d positions of this encoder",
                       (long long)mm__rows(x), e->info.max_rows);
    else if (x)
        x = mm__add(g, x, mm__split_rows(g, mm__tensor_node(g, v->pos), 0, mm__rows(x)));
    x = mm__tower_blocks(&v->t, g, mm__stage(g, x, "embeddings"), in, &out->layer);
    out->last = mm__stage(g, mm__norm_fwd(g, &v->final_norm, x), "out");
    return mm__graph_status(g, NULL);
}

static const char *const types[] = {"whisper", NULL};
const mm__encoder_ops mm__encoder_whisper = {"whisper", MM__ENC_AUDIO, types, NULL, create, mm__tower_destroy, forward, NULL};

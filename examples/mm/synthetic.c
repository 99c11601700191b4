/* The made-up models: shapes of real ones in a table, their tensors' names as the real files have them, and the folder that
 * holds their files, as the library's mm_files sees it. */
#include "synthetic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct shape shape;
struct shape {
    const char *name, *what;
    void (*make)(const shape *s);
    uint32_t layers, width, ffn, heads, kv_heads, vocab, context;
    element type;
    uint32_t picture, patch;                       /* a picture encoder: sides */
};

static void make_llama(const shape *s);
static void make_llava(const shape *s);
static void make_vit(const shape *s);
static void make_whisper(const shape *s);
static void make_blip2(const shape *s);

static const shape shapes[] = {
    {"tiny", "LLaMA of one layer, for tests", make_llama, 1, 256, 512, 4, 2, 512, 512, Q4_K, 0, 0},
    {"tiny-llava", "LLaVA of one layer, for tests", make_llava, 1, 256, 512, 4, 4, 512, 512, Q4_K, 28, 14},
    {"tiny-vit", "ViT of one layer, for tests", make_vit, 1, 64, 128, 2, 2, 0, 0, F32, 64, 32},
    {"tiny-whisper", "Whisper of one layer, for tests", make_whisper, 1, 64, 256, 1, 1, 51865, 448, F16, 0, 0},
    {"smollm2-135m-q8_0", "SmolLM2-135M, Q8_0", make_llama, 30, 576, 1536, 9, 3, 49152, 8192, Q8_0, 0, 0},
    {"smollm2-1.7b-q4_k", "SmolLM2-1.7B, Q4_K", make_llama, 24, 2048, 8192, 32, 32, 49152, 8192, Q4_K, 0, 0},
    {"llama-7b-q4_k", "LLaMA 7B, Q4_K with a Q6_K head", make_llama, 32, 4096, 11008, 32, 32, 32000, 16384, Q4_K, 0, 0},
    {"llama-7b-q4_0", "LLaMA 7B, Q4_0", make_llama, 32, 4096, 11008, 32, 32, 32000, 16384, Q4_0, 0, 0},
    {"llama-7b-q8_0", "LLaMA 7B, Q8_0", make_llama, 32, 4096, 11008, 32, 32, 32000, 16384, Q8_0, 0, 0},
    {"llama-3.1-8b-q4_k", "LLaMA 3.1 8B, Q4_K with a Q6_K head", make_llama, 32, 4096, 14336, 32, 8, 128256, 16384, Q4_K, 0, 0},
    {"llava-1.5-7b-q4_k", "LLaVA 1.5 7B, Q4_K, with CLIP ViT-L/14 at 336 pixels, F16", make_llava, 32, 4096, 11008, 32, 32, 32064, 4096, Q4_K, 336, 14},
    {"vit-b-32", "ViT-B/32 at 224 pixels, F32", make_vit, 12, 768, 3072, 12, 12, 0, 0, F32, 224, 32},
    {"vit-l-14-336", "ViT-L/14 at 336 pixels, F32", make_vit, 24, 1024, 4096, 16, 16, 0, 0, F32, 336, 14},
    {"whisper-base", "Whisper base, F16, whisper.cpp's container", make_whisper, 6, 512, 2048, 8, 8, 51865, 448, F16, 0, 0},
    {"whisper-small", "Whisper small, F16, whisper.cpp's container", make_whisper, 12, 768, 3072, 12, 12, 51865, 448, F16, 0, 0},
    {"blip-2-opt-2.7b", "BLIP-2: EVA ViT-g, Q-Former, OPT-2.7B, F16", make_blip2, 32, 2560, 10240, 32, 32, 50304, 2048, F16, 224, 14},
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes, MAX_FILES = 4 };

/* What is made up now: one model. */
static char folder[64], opened[128];
static made_file files[MAX_FILES];
static int n_files;

static made_file *new_file(const char *name)
{
    made_file *f = &files[n_files++];
    snprintf(f->name, sizeof f->name, "%s", name);
    return f;
}

#define SHAPE(...) ((const uint64_t[4]){__VA_ARGS__})

/* A matrix [rows, cols] with a bias of zeros, and a norm's two vectors; small things in `small`. */
static void linear(tensors *t, element type, element small, uint64_t rows, uint64_t cols, const char *name)
{
    add_tensor(t, type, NOISE, SHAPE(rows, cols), "%s.weight", name);
    add_tensor(t, small, ZEROS, SHAPE(rows), "%s.bias", name);
}

static void norm(tensors *t, element small, uint64_t n, const char *name)
{
    add_tensor(t, small, ONES, SHAPE(n), "%s.weight", name);
    add_tensor(t, small, ZEROS, SHAPE(n), "%s.bias", name);
}

/* A printed name, good until the next but three. */
static const char *in(const char *fmt, uint32_t layer, const char *rest)
{
    static char buf[4][96];
    static int at;
    char *s = buf[at++ & 3];
    const int n = snprintf(s, sizeof buf[0], fmt, layer);
    snprintf(s + n, sizeof buf[0] - (size_t)n, "%s", rest);
    return s;
}

/* ---- LLaMA in GGUF ---- */

/* Three special tokens, the bytes, then words that nobody says. Returns the number of keys. */
static uint64_t llama_vocabulary(blob *head, uint32_t n)
{
    char word[32];
    gguf_key_text(head, "tokenizer.ggml.model", "llama");
    gguf_key_array(head, "tokenizer.ggml.tokens", 8, n);
    for (uint32_t i = 0; i < n; i++) {
        snprintf(word, sizeof word, i < 259 ? "<0x%02X>" : "\xe2\x96\x81w%u", i < 259 ? i - 3 : i);
        gguf_text(head, i == 0 ? "<unk>" : i == 1 ? "<s>" : i == 2 ? "</s>" : word);
    }
    gguf_key_array(head, "tokenizer.ggml.scores", 6, n);
    for (uint32_t i = 0; i < n; i++) {
        const float score = -(float)i;
        blob_put(head, &score, sizeof score);
    }
    gguf_key_array(head, "tokenizer.ggml.token_type", 5, n);
    for (uint32_t i = 0; i < n; i++) blob_u32(head, i == 0 ? 2 : i < 3 ? 3 : i < 259 ? 6 : 1);
    gguf_key_u32(head, "tokenizer.ggml.bos_token_id", 1);
    gguf_key_u32(head, "tokenizer.ggml.eos_token_id", 2);
    return 6;
}

static void make_llama(const shape *s)
{
    const uint64_t d = s->width, kv = d / s->heads * s->kv_heads;
    const element head_type = s->type == Q4_K ? Q6_K : s->type;
    blob head = {0};
    tensors t = {0};
    gguf_key_text(&head, "general.architecture", "llama");
    gguf_key_text(&head, "general.name", s->name);
    gguf_key_u32(&head, "llama.block_count", s->layers);
    gguf_key_u32(&head, "llama.embedding_length", s->width);
    gguf_key_u32(&head, "llama.feed_forward_length", s->ffn);
    gguf_key_u32(&head, "llama.attention.head_count", s->heads);
    gguf_key_u32(&head, "llama.attention.head_count_kv", s->kv_heads);
    gguf_key_u32(&head, "llama.context_length", s->context);
    gguf_key_u32(&head, "llama.rope.dimension_count", s->width / s->heads);
    gguf_key_f32(&head, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    const uint64_t n_keys = 10 + llama_vocabulary(&head, s->vocab);
    add_tensor(&t, s->type, NOISE, SHAPE(s->vocab, d), "token_embd.weight");
    for (uint32_t i = 0; i < s->layers; i++) {
        add_tensor(&t, F32, ONES, SHAPE(d), "blk.%u.attn_norm.weight", i);
        add_tensor(&t, s->type, NOISE, SHAPE(d, d), "blk.%u.attn_q.weight", i);
        add_tensor(&t, s->type, NOISE, SHAPE(kv, d), "blk.%u.attn_k.weight", i);
        add_tensor(&t, s->type, NOISE, SHAPE(kv, d), "blk.%u.attn_v.weight", i);
        add_tensor(&t, s->type, NOISE, SHAPE(d, d), "blk.%u.attn_output.weight", i);
        add_tensor(&t, F32, ONES, SHAPE(d), "blk.%u.ffn_norm.weight", i);
        add_tensor(&t, s->type, NOISE, SHAPE(s->ffn, d), "blk.%u.ffn_gate.weight", i);
        add_tensor(&t, s->type, NOISE, SHAPE(s->ffn, d), "blk.%u.ffn_up.weight", i);
        add_tensor(&t, s->type, NOISE, SHAPE(d, s->ffn), "blk.%u.ffn_down.weight", i);
    }
    add_tensor(&t, F32, ONES, SHAPE(d), "output_norm.weight");
    add_tensor(&t, head_type, NOISE, SHAPE(s->vocab, d), "output.weight");
    finish_gguf(new_file("model.gguf"), &head, n_keys, &t);
    snprintf(opened, sizeof opened, "%s/model.gguf", folder);
}

/* ---- LLaVA: the same, and a picture part beside it ---- */

static void clip_keys(blob *head, const shape *s, uint32_t layers, uint32_t width)
{
    static const float mean[] = {0.48145466f, 0.4578275f, 0.40821073f}, std[] = {0.26862954f, 0.26130258f, 0.27577711f};
    gguf_key_text(head, "general.architecture", "clip");
    gguf_key_bool(head, "clip.has_vision_encoder", true);
    gguf_key_text(head, "clip.projector_type", "mlp");
    gguf_key_bool(head, "clip.use_gelu", false);
    gguf_key_u32(head, "clip.vision.image_size", s->picture);
    gguf_key_u32(head, "clip.vision.patch_size", s->patch);
    gguf_key_u32(head, "clip.vision.embedding_length", width);
    gguf_key_u32(head, "clip.vision.feed_forward_length", 4 * width);
    gguf_key_u32(head, "clip.vision.projection_dim", s->width);
    gguf_key_u32(head, "clip.vision.block_count", layers);
    gguf_key_u32(head, "clip.vision.attention.head_count", width / 64);
    gguf_key_f32(head, "clip.vision.attention.layer_norm_epsilon", 1e-5f);
    gguf_key_array(head, "clip.vision.image_mean", 6, 3);
    blob_put(head, mean, sizeof mean);
    gguf_key_array(head, "clip.vision.image_std", 6, 3);
    blob_put(head, std, sizeof std);
}

static void make_llava(const shape *s)
{
    const uint32_t width = s->layers > 1 ? 1024 : 64, layers = s->layers > 1 ? 23 : 1, side = s->picture / s->patch;
    const char *const b = "v.blk.%u.";
    blob head = {0};
    tensors t = {0};
    make_llama(s);
    clip_keys(&head, s, layers, width);
    add_tensor(&t, F32, NOISE, SHAPE(width), "v.class_embd");
    add_tensor(&t, F16, NOISE, SHAPE(width, 3, s->patch, s->patch), "v.patch_embd.weight");
    add_tensor(&t, F32, NOISE, SHAPE(side * side + 1, width), "v.position_embd.weight");
    norm(&t, F32, width, "v.pre_ln");
    for (uint32_t i = 0; i < layers; i++) {
        norm(&t, F32, width, in(b, i, "ln1"));
        linear(&t, F16, F32, width, width, in(b, i, "attn_q"));
        linear(&t, F16, F32, width, width, in(b, i, "attn_k"));
        linear(&t, F16, F32, width, width, in(b, i, "attn_v"));
        linear(&t, F16, F32, width, width, in(b, i, "attn_out"));
        norm(&t, F32, width, in(b, i, "ln2"));
        linear(&t, F16, F32, 4 * width, width, in(b, i, "ffn_up"));
        linear(&t, F16, F32, width, 4 * width, in(b, i, "ffn_down"));
    }
    linear(&t, F16, F32, s->width, width, "mm.0");
    linear(&t, F16, F32, s->width, s->width, "mm.2");
    finish_gguf(new_file("mmproj-model.gguf"), &head, 14, &t);
}

/* ---- Hugging Face folders ---- */

static void picture_preparation(uint32_t side)
{
    blob b = {0};
    blob_text(&b, "{\"do_resize\":true,\"do_normalize\":true,\"do_rescale\":true,\"resample\":3,\"rescale_factor\":0.00392156862745098,"
                  "\"image_mean\":[0.5,0.5,0.5],\"image_std\":[0.5,0.5,0.5],\"size\":{\"height\":%u,\"width\":%u}}", side, side);
    finish_plain(new_file("preprocessor_config.json"), &b);
}

static void make_vit(const shape *s)
{
    const uint32_t d = s->width, side = s->picture / s->patch;
    const char *const l = "vit.encoder.layer.%u.";
    blob config = {0};
    tensors t = {0};
    blob_text(&config, "{\"model_type\":\"vit\",\"architectures\":[\"ViTModel\"],\"hidden_act\":\"gelu\",\"qkv_bias\":true,\"hidden_size\":%u,"
                       "\"intermediate_size\":%u,\"num_hidden_layers\":%u,\"num_attention_heads\":%u,\"image_size\":%u,\"patch_size\":%u}",
              d, s->ffn, s->layers, s->heads, s->picture, s->patch);
    finish_plain(new_file("config.json"), &config);
    picture_preparation(s->picture);
    add_tensor(&t, F32, NOISE, SHAPE(1, 1, d), "vit.embeddings.cls_token");
    add_tensor(&t, F32, NOISE, SHAPE(1, side * side + 1, d), "vit.embeddings.position_embeddings");
    add_tensor(&t, F32, NOISE, SHAPE(d, 3, s->patch, s->patch), "vit.embeddings.patch_embeddings.projection.weight");
    add_tensor(&t, F32, ZEROS, SHAPE(d), "vit.embeddings.patch_embeddings.projection.bias");
    for (uint32_t i = 0; i < s->layers; i++) {
        norm(&t, F32, d, in(l, i, "layernorm_before"));
        linear(&t, F32, F32, d, d, in(l, i, "attention.attention.query"));
        linear(&t, F32, F32, d, d, in(l, i, "attention.attention.key"));
        linear(&t, F32, F32, d, d, in(l, i, "attention.attention.value"));
        linear(&t, F32, F32, d, d, in(l, i, "attention.output.dense"));
        norm(&t, F32, d, in(l, i, "layernorm_after"));
        linear(&t, F32, F32, s->ffn, d, in(l, i, "intermediate.dense"));
        linear(&t, F32, F32, d, s->ffn, in(l, i, "output.dense"));
    }
    norm(&t, F32, d, "vit.layernorm");
    finish_safetensors(new_file("model.safetensors"), &t);
    snprintf(opened, sizeof opened, "%s", folder);
}

/* A byte-level tokenizer of printable characters and words that nobody says. */
static void byte_level_tokenizer(uint32_t n)
{
    blob b = {0};
    blob_text(&b, "{\"version\":\"1.0\",\"added_tokens\":[");
    for (uint32_t i = 0; i < 4; i++)
        blob_text(&b, "%s{\"id\":%u,\"content\":\"%s\",\"special\":true,\"normalized\":false,\"single_word\":false,\"lstrip\":false,\"rstrip\":false}",
                  i ? "," : "", i < 3 ? i : n - 1, i == 0 ? "<s>" : i == 1 ? "<pad>" : i == 2 ? "</s>" : "<image>");
    blob_text(&b, "],\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true},"
                  "\"post_processor\":null,\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"unk_token\":null,\"merges\":[],\"vocab\":{"
                  "\"<s>\":0,\"<pad>\":1,\"</s>\":2,\"\xc4\xa0\":3");
    for (uint32_t i = 4; i < n; i++) {
        const uint32_t c = 33 + i - 4;
        if (i == n - 1) blob_text(&b, ",\"<image>\":%u", i);
        else if (c < 127 && c != '"' && c != '\\') blob_text(&b, ",\"%c\":%u", (int)c, i);
        else blob_text(&b, ",\"w%u\":%u", i, i);
    }
    blob_text(&b, "}}}");
    finish_plain(new_file("tokenizer.json"), &b);
}

static void qformer(tensors *t, uint32_t eye, uint32_t out)
{
    const uint32_t d = 768;
    const char *const l = "qformer.encoder.layer.%u.";
    add_tensor(t, F16, NOISE, SHAPE(1, 32, d), "query_tokens");
    norm(t, F16, d, "qformer.layernorm");
    for (uint32_t i = 0; i < 12; i++) {
        linear(t, F16, F16, d, d, in(l, i, "attention.attention.query"));
        linear(t, F16, F16, d, d, in(l, i, "attention.attention.key"));
        linear(t, F16, F16, d, d, in(l, i, "attention.attention.value"));
        linear(t, F16, F16, d, d, in(l, i, "attention.output.dense"));
        norm(t, F16, d, in(l, i, "attention.output.LayerNorm"));
        if (i % 2 == 0) {
            linear(t, F16, F16, d, d, in(l, i, "crossattention.attention.query"));
            linear(t, F16, F16, d, eye, in(l, i, "crossattention.attention.key"));
            linear(t, F16, F16, d, eye, in(l, i, "crossattention.attention.value"));
            linear(t, F16, F16, d, d, in(l, i, "crossattention.output.dense"));
            norm(t, F16, d, in(l, i, "crossattention.output.LayerNorm"));
        }
        linear(t, F16, F16, 4 * d, d, in(l, i, "intermediate_query.dense"));
        linear(t, F16, F16, d, 4 * d, in(l, i, "output_query.dense"));
        norm(t, F16, d, in(l, i, "output_query.LayerNorm"));
    }
    linear(t, F16, F16, out, d, "language_projection");
}

static void eva_vision(tensors *t, uint32_t layers, uint32_t d, uint32_t ffn, uint32_t patch, uint32_t rows)
{
    const char *const l = "vision_model.encoder.layers.%u.";
    add_tensor(t, F16, NOISE, SHAPE(1, 1, d), "vision_model.embeddings.class_embedding");
    add_tensor(t, F16, NOISE, SHAPE(1, rows, d), "vision_model.embeddings.position_embedding");
    add_tensor(t, F16, NOISE, SHAPE(d, 3, patch, patch), "vision_model.embeddings.patch_embedding.weight");
    add_tensor(t, F16, ZEROS, SHAPE(d), "vision_model.embeddings.patch_embedding.bias");
    for (uint32_t i = 0; i < layers; i++) {
        norm(t, F16, d, in(l, i, "layer_norm1"));
        linear(t, F16, F16, 3 * d, d, in(l, i, "self_attn.qkv"));
        linear(t, F16, F16, d, d, in(l, i, "self_attn.projection"));
        norm(t, F16, d, in(l, i, "layer_norm2"));
        linear(t, F16, F16, ffn, d, in(l, i, "mlp.fc1"));
        linear(t, F16, F16, d, ffn, in(l, i, "mlp.fc2"));
    }
    norm(t, F16, d, "vision_model.post_layernorm");
}

static void opt_text(tensors *t, const shape *s)
{
    const char *const root = "language_model.model.decoder.", *const l = "language_model.model.decoder.layers.%u.";
    add_tensor(t, F16, NOISE, SHAPE(s->vocab, s->width), "%sembed_tokens.weight", root);
    add_tensor(t, F16, NOISE, SHAPE(s->context + 2, s->width), "%sembed_positions.weight", root);
    norm(t, F16, s->width, "language_model.model.decoder.final_layer_norm");
    for (uint32_t i = 0; i < s->layers; i++) {
        norm(t, F16, s->width, in(l, i, "self_attn_layer_norm"));
        linear(t, F16, F16, s->width, s->width, in(l, i, "self_attn.q_proj"));
        linear(t, F16, F16, s->width, s->width, in(l, i, "self_attn.k_proj"));
        linear(t, F16, F16, s->width, s->width, in(l, i, "self_attn.v_proj"));
        linear(t, F16, F16, s->width, s->width, in(l, i, "self_attn.out_proj"));
        norm(t, F16, s->width, in(l, i, "final_layer_norm"));
        linear(t, F16, F16, s->ffn, s->width, in(l, i, "fc1"));
        linear(t, F16, F16, s->width, s->ffn, in(l, i, "fc2"));
    }
}

static void make_blip2(const shape *s)
{
    const uint32_t eye = 1408, side = s->picture / s->patch;
    blob config = {0};
    tensors t = {0};
    blob_text(&config, "{\"model_type\":\"blip-2\",\"num_query_tokens\":32,\"image_token_index\":%u,\"use_decoder_only_language_model\":true,"
                       "\"qformer_config\":{\"model_type\":\"blip_2_qformer\",\"encoder_hidden_size\":%u},"
                       "\"vision_config\":{\"model_type\":\"blip_2_vision_model\",\"hidden_size\":%u,\"num_hidden_layers\":39,\"intermediate_size\":6144,"
                       "\"num_attention_heads\":16,\"image_size\":%u,\"patch_size\":%u},",
              s->vocab - 1, eye, eye, s->picture, s->patch);
    blob_text(&config, "\"text_config\":{\"model_type\":\"opt\",\"hidden_size\":%u,\"word_embed_proj_dim\":%u,\"ffn_dim\":%u,\"num_hidden_layers\":%u,"
                       "\"num_attention_heads\":%u,\"max_position_embeddings\":%u,\"vocab_size\":%u,\"eos_token_id\":2}}",
              s->width, s->width, s->ffn, s->layers, s->heads, s->context, s->vocab);
    finish_plain(new_file("config.json"), &config);
    picture_preparation(s->picture);
    byte_level_tokenizer(s->vocab);
    eva_vision(&t, 39, eye, 6144, s->patch, side * side + 1);
    qformer(&t, eye, s->width);
    opt_text(&t, s);
    finish_safetensors(new_file("model.safetensors"), &t);
    snprintf(opened, sizeof opened, "%s", folder);
}

/* ---- Whisper in whisper.cpp's container ---- */

static void whisper_head(blob *b, const shape *s)
{
    enum { MELS = 80, FREQUENCIES = 201, TOKENS = 50257 };
    const uint32_t sizes[] = {0x67676d6c, s->vocab, 1500, s->width, s->heads, s->layers, s->context, s->width, s->heads, s->layers, MELS, 1};
    char word[32];
    blob_put(b, sizes, sizeof sizes);
    blob_u32(b, MELS);
    blob_u32(b, FREQUENCIES);
    for (int m = 0; m < MELS; m++) /* triangles, each 5 frequencies wide */
        for (int f = 0; f < FREQUENCIES; f++) {
            const int off = abs(2 * f - 5 * m);
            const float w = off < 5 ? 0.02f * (float)(5 - off) / 5 : 0;
            blob_put(b, &w, sizeof w);
        }
    blob_u32(b, TOKENS);
    for (uint32_t i = 0; i < TOKENS; i++) {
        const int n = i < 256 ? snprintf(word, sizeof word, "%c", (int)i) : snprintf(word, sizeof word, " w%u", i);
        blob_u32(b, (uint32_t)n);
        blob_put(b, word, (size_t)n);
    }
}

/* Query, value and output have biases, the key has none. */
static void whisper_attention(tensors *t, uint32_t d, const char *name)
{
    char part[128];
    for (const char *const *p = (const char *const[]){"query", "value", "out", NULL}; *p; p++) {
        snprintf(part, sizeof part, "%s.%s", name, *p);
        linear(t, F16, F32, d, d, part);
    }
    add_tensor(t, F16, NOISE, SHAPE(d, d), "%s.key.weight", name);
}

static void whisper_side(tensors *t, const shape *s, const char *side, bool cross)
{
    char b[64];
    snprintf(b, sizeof b, "%s.blocks.%%u.", side);
    for (uint32_t i = 0; i < s->layers; i++) {
        norm(t, F32, s->width, in(b, i, "attn_ln"));
        whisper_attention(t, s->width, in(b, i, "attn"));
        if (cross) {
            norm(t, F32, s->width, in(b, i, "cross_attn_ln"));
            whisper_attention(t, s->width, in(b, i, "cross_attn"));
        }
        norm(t, F32, s->width, in(b, i, "mlp_ln"));
        linear(t, F16, F32, s->ffn, s->width, in(b, i, "mlp.0"));
        linear(t, F16, F32, s->width, s->ffn, in(b, i, "mlp.2"));
    }
}

static void make_whisper(const shape *s)
{
    const uint32_t d = s->width;
    blob head = {0};
    tensors t = {0};
    whisper_head(&head, s);
    add_tensor(&t, F32, NOISE, SHAPE(1500, d), "encoder.positional_embedding");
    add_tensor(&t, F16, NOISE, SHAPE(d, 80, 3), "encoder.conv1.weight");
    add_tensor(&t, F32, ZEROS, SHAPE(d, 1), "encoder.conv1.bias");
    add_tensor(&t, F16, NOISE, SHAPE(d, d, 3), "encoder.conv2.weight");
    add_tensor(&t, F32, ZEROS, SHAPE(d, 1), "encoder.conv2.bias");
    whisper_side(&t, s, "encoder", false);
    norm(&t, F32, d, "encoder.ln_post");
    add_tensor(&t, F32, NOISE, SHAPE(s->context, d), "decoder.positional_embedding");
    add_tensor(&t, F16, NOISE, SHAPE(s->vocab, d), "decoder.token_embedding.weight");
    whisper_side(&t, s, "decoder", true);
    norm(&t, F32, d, "decoder.ln");
    finish_ggml_bin(new_file("ggml-model.bin"), &head, &t);
    snprintf(opened, sizeof opened, "%s/ggml-model.bin", folder);
}

/* ---- the folder ---- */

static made_file *find(const char *path)
{
    const size_t n = strlen(folder);
    for (int i = 0; i < n_files; i++)
        if (strncmp(path, folder, n) == 0 && path[n] == '/' && strcmp(path + n + 1, files[i].name) == 0) return &files[i];
    return NULL;
}

static int32_t file_kind(void *user, const char *path)
{
    return strcmp(path, folder) == 0 ? MM_FILE_DIRECTORY : find(path) ? MM_FILE_REGULAR : MM_FILE_NONE;
}

static mm_status file_open(void *user, const char *path, void **file, uint64_t *bytes)
{
    made_file *f = find(path);
    if (!f) return MM_E_IO;
    *file = f;
    *bytes = f->bytes;
    return MM_OK;
}

static mm_status file_read(void *user, void *file, uint64_t offset, void *dst, size_t n)
{
    read_made(file, offset, dst, n);
    return MM_OK;
}

static void file_close(void *user, void *file) {}

static mm_status file_list(void *user, const char *directory, uint32_t index, char *name, size_t cap)
{
    if (strcmp(directory, folder) != 0 || index >= (uint32_t)n_files) return MM_END;
    snprintf(name, cap, "%s", files[index].name);
    return MM_OK;
}

/* ---- */

void synthetic_list(FILE *to)
{
    for (int i = 0; i < N_SHAPES; i++) fprintf(to, "  %-20s %s\n", shapes[i].name, shapes[i].what);
}

static bool make(const char *name)
{
    for (int i = 0; i < N_SHAPES; i++) {
        if (strcmp(shapes[i].name, name) != 0) continue;
        snprintf(folder, sizeof folder, "%s", name);
        shapes[i].make(&shapes[i]);
        return true;
    }
    fprintf(stderr, "mm: --synthetic %s: there is no such shape; mm bench --synthetic ? lists those there are\n", name);
    return false;
}

const mm_files *synthetic_files(const char *name, const char **path)
{
    static const mm_files calls = {.size = sizeof calls, .kind = file_kind, .open = file_open, .read = file_read, .close = file_close, .list = file_list};
    if (!make(name)) return NULL;
    *path = opened;
    return &calls;
}

static bool write_file(const made_file *f, const char *path)
{
    enum { STEP = 1 << 20 };
    uint8_t *buf = malloc(STEP);
    FILE *to = buf ? fopen(path, "wb") : NULL;
    bool ok = to != NULL;
    for (uint64_t at = 0; ok && at < f->bytes; at += STEP) {
        const size_t n = f->bytes - at < STEP ? (size_t)(f->bytes - at) : STEP;
        read_made(f, at, buf, n);
        ok = fwrite(buf, 1, n, to) == n;
    }
    if (to && fclose(to) != 0) ok = false;
    free(buf);
    return ok;
}

int synthetic_keep(const char *name, const char *to, char *path, size_t cap)
{
    char file[1024];
    struct stat st;
    if (!make(name)) return EXIT_USAGE;
    if (mkdir(to, 0777) != 0 && errno != EEXIST) {
        fprintf(stderr, "mm: --keep %s: %s\n", to, strerror(errno));
        return EXIT_RUN;
    }
    for (int i = 0; i < n_files; i++) {
        snprintf(file, sizeof file, "%s/%s", to, files[i].name);
        if (stat(file, &st) == 0 && (uint64_t)st.st_size == files[i].bytes) continue; /* of an earlier run */
        if (write_file(&files[i], file)) continue;
        fprintf(stderr, "mm: %s: cannot be written: %s\n", file, strerror(errno));
        return EXIT_RUN;
    }
    const char *name_in = strchr(opened, '/');
    snprintf(path, cap, "%s%s", to, name_in ? name_in : "");
    return 0;
}

void synthetic_free(void)
{
    for (int i = 0; i < n_files; i++) free_file(&files[i]);
    n_files = 0;
}

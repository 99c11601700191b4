/* Two encoders and a dot product: CLIP (Radford et al. 2021, softmax over texts) and SigLIP (Zhai et al. 2023, a sigmoid
 * for each pair). */
#include "assembly.h"

#include "../base/error.h"

#include <math.h>
#include <string.h>

static bool is_sigmoid(const mm__source *s)
{
    return strcmp(mm__source_type(s), "siglip") == 0;
}

static bool match(const mm__source *s)
{
    return s->kind == MM__SRC_HF && (strcmp(mm__source_type(s), "clip") == 0 || is_sigmoid(s));
}

static mm__node *image_rows(mm__assembly *a, mm__graph *g, mm__node *pixels)
{
    mm__encoder_in in = {.pixels = pixels};
    mm__features f = {0};
    mm__scope_push(g, "vision");
    mm_status st = a->vision->ops->forward(a->vision, g, &in, &f);
    mm__scope_pop(g);
    if (st != MM_OK) return mm__graph_fail(g, st, "the image encoder failed");
    return f.projected ? f.projected : f.pooled;
}

static const mm__names scalar_names[] = {
    {"logit_scale", {[MM__NAMES_HF] = "logit_scale"}},
    {"logit_bias", {[MM__NAMES_HF] = "logit_bias"}},
    {NULL, {NULL}},
};

static mm_status load_scalars(mm__assembly *a, const mm__source *s, bool sigmoid, mm_error *err)
{
    static const char *const prefixes[] = {"", NULL};
    mm__loader ld = mm__assembly_loader(a, s, "", prefixes);
    ld.names = scalar_names;
    float *scale = mm__load_host(&ld, "logit_scale", 0, "", 1, 0);
    float *bias = sigmoid ? mm__load_host(&ld, "logit_bias", 0, "", 1, 0) : NULL;
    if (scale) a->score.scale = expf(*scale);
    if (bias) a->score.bias = *bias;
    a->score.sigmoid = sigmoid;
    mm__free(a->mem, scale);
    mm__free(a->mem, bias);
    return mm__loader_status(&ld, err);
}

static mm__loader tower(mm__assembly *a, const mm__source *s, const char *path, const char *type)
{
    static const char *const prefixes[] = {"", NULL};
    mm__loader ld = mm__assembly_loader(a, s, path, prefixes);
    ld.config.arch = type;
    return ld;
}

/* Checkpoints trained without a padding mask say so by naming the ids as their only text input. */
static bool reads_mask(const mm__source *s)
{
    const mm__json *names = mm__json_get(s->tokenizer_config.root, "model_input_names");
    for (size_t i = 0; i < mm__json_count(names); i++)
        if (strcmp(mm__json_str(mm__json_at(names, i), NULL, ""), "attention_mask") == 0) return true;
    return mm__json_kind(names) != MM__JSON_ARRAY;
}

static mm_status create(mm__assembly *a, mm__source *s, mm_error *err)
{
    const bool sigmoid = is_sigmoid(s);
    a->hide_padding = sigmoid && reads_mask(s);
    a->plain_text = sigmoid && strcmp(mm__json_str(mm__json_get(s->tokenizer_config.root, "tokenizer_class"), NULL, ""), "SiglipTokenizer") == 0;
    a->tasks = MM__TASK_SCORE | MM__TASK_EMBED;
    a->modalities = MM__IN_TEXT | MM__IN_IMAGE;
    mm__loader vision = tower(a, s, "vision_config", sigmoid ? "siglip_vision_model" : "clip_vision_model");
    mm__loader text = tower(a, s, "text_config", sigmoid ? "siglip_text_model" : "clip_text_model");
    mm_status st = mm__encoder_create(&vision, MM__ENC_IMAGE, &a->vision, err);
    if (st == MM_OK) st = mm__encoder_create(&text, MM__ENC_TEXT, &a->text, err);
    if (st == MM_OK) st = load_scalars(a, s, sigmoid, err);
    if (st == MM_OK) st = mm__assembly_text(a, s, err);
    if (st != MM_OK) return st;
    const int32_t size = a->vision->info.image_size;
    const mm__image_policy fallback = sigmoid ? mm__assembly_policy(MM__FIT_EXACT, size, MM__STATS_HALF)
                                              : mm__assembly_policy(MM__FIT_SHORTEST, size, MM__STATS_WEB);
    return mm__assembly_image_policy(a, s, &fallback, err);
}

const mm__assembly_ops mm__assembly_dual_encoder = {
    .name = "dual_encoder", .match = match, .create = create, .image_rows = image_rows};

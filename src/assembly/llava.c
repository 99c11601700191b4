/* LLaVA-1.5 (Liu et al. 2023): a CLIP tower read at its last-but-one layer without the class row, a linear or two-layer
 * projector, and a decoder; the projected patches take the places of the "<image>" tokens.
 *
 * Sources: a Hugging Face directory, or a decoder GGUF with its mmproj beside it. */
#include "assembly.h"

#include "../base/error.h"

#include <string.h>

static const char chat_template[] =
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ m['content'] + ' ' }}{% else %}{{ m['role'].upper() + ': ' }}"
    "{% if m['content'] is string %}{{ m['content'] + ' ' }}{% else %}"
    "{% for c in m['content'] if c['type'] == 'image' %}{{ '<image>\n' }}{% endfor %}"
    "{% for c in m['content'] if c['type'] == 'text' %}{{ c['text'] + ' ' }}{% endfor %}{% endif %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}";

static const char *projector_type(const mm__source *mmproj)
{
    mm__gguf_value v = mm__gguf_get(mmproj->gguf, "clip.projector_type");
    return v.kind == MM__GGUF_STR ? v.s : "mlp";
}

static bool match(const mm__source *s)
{
    if (s->kind == MM__SRC_HF) return strcmp(mm__source_type(s), "llava") == 0;
    return s->kind == MM__SRC_GGUF && s->mmproj && s->mmproj->gguf && strcmp(projector_type(s->mmproj), "mlp") == 0;
}

static mm_status gguf_normalisation(const mm__source *mmproj, mm__image_policy *p, mm_error *err)
{
    mm__gguf_value mean = mm__gguf_get(mmproj->gguf, "clip.vision.image_mean");
    mm__gguf_value std = mm__gguf_get(mmproj->gguf, "clip.vision.image_std");
    if (mean.kind != MM__GGUF_ARRAY || std.kind != MM__GGUF_ARRAY || mean.n != 3 || std.n != 3) return MM_OK;
    for (size_t i = 0; i < 3; i++) {
        p->mean[i] = (float)mm__gguf_elem(&mean, i).f;
        p->std[i] = (float)mm__gguf_elem(&std, i).f;
    }
    return mm__image_policy_check(p, mmproj->path, err);
}

static mm_status create_from_gguf(mm__assembly *a, mm__source *s, mm_error *err)
{
    static const char *const prefixes[] = {"", NULL};
    mm__loader vision = mm__assembly_loader(a, s->mmproj, "", prefixes);
    mm__loader bridge = vision, text = mm__assembly_loader(a, s, "", prefixes);
    const bool two_layers = mm__weights_find(s->mmproj->weights, "mm.2.weight") != NULL;
    mm_status st = mm__encoder_create(&vision, MM__ENC_IMAGE, &a->vision, err);
    if (st == MM_OK) st = mm__bridge_create(&bridge, two_layers ? "mlp" : "linear", &a->bridge, err);
    if (st == MM_OK) st = mm__decoder_create(&text, &a->decoder, err);
    if (st != MM_OK) return st;
    a->image = mm__assembly_policy(MM__FIT_SHORTEST, a->vision->info.image_size, MM__STATS_WEB);
    if ((st = gguf_normalisation(s->mmproj, &a->image, err)) != MM_OK) return st;
    a->drop_first = a->vision->info.has_cls;
    /* Converters either leave out the blocks behind the feature layer, or keep them and name the layer. */
    mm__gguf_value layer = mm__gguf_get(s->mmproj->gguf, "clip.vision.feature_layer");
    if (layer.kind == MM__GGUF_ARRAY && layer.n == 1) layer = mm__gguf_elem(&layer, 0);
    a->feature_layer = layer.kind == MM__GGUF_INT && layer.i > 0 && layer.i <= a->vision->info.n_layer ? (int32_t)layer.i : -1;
    return MM_OK;
}

static mm_status create_from_hf(mm__assembly *a, mm__source *s, mm_error *err)
{
    static const char *const vision_prefixes[] = {"vision_tower.", "model.vision_tower.", NULL};
    static const char *const bridge_prefixes[] = {"", "model.", NULL};
    static const char *const text_prefixes[] = {"language_model.", "model.language_model.", "", NULL};
    mm__loader vision = mm__assembly_loader(a, s, "vision_config", vision_prefixes);
    mm__loader bridge = mm__assembly_loader(a, s, "", bridge_prefixes);
    mm__loader text = mm__assembly_loader(a, s, "text_config", text_prefixes);
    if (!vision.config.arch[0]) vision.config.arch = "clip_vision_model";
    if (!text.config.arch[0]) text.config.arch = "llama";
    const bool two_layers = mm__weights_find(s->weights, "multi_modal_projector.linear_2.weight") ||
                            mm__weights_find(s->weights, "model.multi_modal_projector.linear_2.weight");
    mm_status st = mm__encoder_create(&vision, MM__ENC_IMAGE, &a->vision, err);
    if (st == MM_OK) st = mm__bridge_create(&bridge, two_layers ? "mlp" : "linear", &a->bridge, err);
    if (st == MM_OK) st = mm__decoder_create(&text, &a->decoder, err);
    if (st != MM_OK) return st;
    const mm__image_policy fallback = mm__assembly_policy(MM__FIT_SHORTEST, a->vision->info.image_size, MM__STATS_WEB);
    if ((st = mm__assembly_image_policy(a, s, &fallback, err)) != MM_OK) return st;
    mm__config config = mm__source_config(s);
    int64_t layer;
    double layers[2];
    if (mm__config_array(&config, "vision_feature_layer", NULL, layers, 2) == 2)
        return mm__fail(err, MM_E_UNSUPPORTED, "%s: vision_feature_layer with several layers is not supported, only one is", s->path);
    const int64_t n = a->vision->info.n_layer;
    st = mm__config_int(&config, "vision_feature_layer", NULL, -2, -n - 1, n, &layer, err);
    a->feature_layer = layer ? (int32_t)layer : (int32_t)-n - 1; /* 0: before the first block */
    const char *rows = mm__config_str(&config, "vision_feature_select_strategy", NULL, "default");
    a->drop_first = strcmp(rows, "default") == 0;
    if (st == MM_OK && !a->drop_first && strcmp(rows, "full") != 0)
        return mm__fail(err, MM_E_UNSUPPORTED, "%s: vision_feature_select_strategy is \"default\" or \"full\", not \"%s\"", s->path, rows);
    return st;
}

static mm_status create(mm__assembly *a, mm__source *s, mm_error *err)
{
    a->tasks = MM__TASK_GENERATE;
    a->modalities = MM__IN_TEXT | MM__IN_IMAGE;
    mm_status st = s->gguf ? create_from_gguf(a, s, err) : create_from_hf(a, s, err);
    if (st != MM_OK) return st;
    const mm__encoder_info *v = &a->vision->info;
    const int32_t side = v->image_size / v->patch;
    a->prompt.media = MM__MEDIA_SPLICE;
    a->prompt.placeholder = "<image>";
    a->prompt.rows_per_image = side * side + v->has_cls - a->drop_first;
    a->prompt.chat_template = chat_template;
    if ((st = mm__assembly_text(a, s, err)) != MM_OK) return st;
    a->prompt.placeholder_id = mm__tokenizer_id(a->tokenizer, "<image>", 7);
    return MM_OK;
}

const mm__assembly_ops mm__assembly_llava = {.name = "llava", .match = match, .create = create};

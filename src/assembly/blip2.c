/* BLIP-2 (Li et al. 2023): a vision transformer with a final norm on all rows, a Q-Former whose learned queries read them,
 * one linear layer, and a language model - a decoder (OPT, LLaMA) or an encoder-decoder (Flan-T5). With a LLaMA text part
 * it is MiniGPT-4's shape. The query rows precede the whole prompt, begin-of-text included.
 *
 * Sources: a Hugging Face directory, or a manifest with parts "vision", "bridge" and "text"; there "prompt" may name the
 * placeholder token and say that the rows take its place ("media": "splice"). */
#include "assembly.h"

#include "../base/error.h"

#include <string.h>

static bool match(const mm__source *s)
{
    return s->kind == MM__SRC_HF && strcmp(mm__source_type(s), "blip-2") == 0;
}

/* Loader of one part: of the manifest's source of that role, or of the nested configuration of one directory. */
static mm_status part_loader(mm__assembly *a, const mm__source *s, const char *role, const char *json_path,
                             const char *const *prefixes, mm__loader *out, mm_error *err)
{
    if (s->kind != MM__SRC_MANIFEST) {
        *out = mm__assembly_loader(a, s, json_path, prefixes);
        return MM_OK;
    }
    const int i = mm__source_part(s, role);
    if (i < 0) return mm__fail(err, MM_E_FORMAT, "%s: the manifest has no part \"%s\"", s->path, role);
    const char *path = mm__json_str(mm__json_get(s->part_json[i], "config_path"), NULL, json_path);
    *out = mm__assembly_loader(a, s->part[i], path, prefixes);
    return MM_OK;
}

static mm_status create_parts(mm__assembly *a, mm__source *s, mm_error *err)
{
    static const char *const own_prefixes[] = {"", NULL};
    static const char *const text_prefixes[] = {"language_model.", "model.language_model.", "", NULL};
    mm__loader vision, bridge, text;
    mm_status st = part_loader(a, s, "vision", "vision_config", own_prefixes, &vision, err);
    if (st == MM_OK) st = part_loader(a, s, "bridge", "", own_prefixes, &bridge, err);
    if (st == MM_OK) st = part_loader(a, s, "text", "text_config", text_prefixes, &text, err);
    if (st != MM_OK) return st;
    if (!vision.config.arch[0]) vision.config.arch = "blip_2_vision_model";
    if (!text.config.arch[0]) text.config.arch = "opt";
    if ((st = mm__encoder_create(&vision, MM__ENC_IMAGE, &a->vision, err)) != MM_OK) return st;
    if ((st = mm__bridge_create(&bridge, "qformer", &a->bridge, err)) != MM_OK) return st;
    mm__loader memory = text;
    if (strcmp(text.config.arch, "t5") == 0 && (st = mm__encoder_create(&memory, MM__ENC_TEXT, &a->memory, err)) != MM_OK)
        return st;
    return mm__decoder_create(&text, &a->decoder, err);
}

/* Where the rows go, from the manifest's "prompt" or the directory's image token. */
static mm_status layout(mm__assembly *a, const mm__source *s, mm_error *err)
{
    mm__prompt_policy *p = &a->prompt;
    p->media = MM__MEDIA_FIRST;
    p->rows_per_image = a->bridge->info.n_query;
    if (s->kind != MM__SRC_MANIFEST) {
        const mm__json *c = s->config.root;
        const mm__json *id = mm__json_get(c, "image_token_index") ? mm__json_get(c, "image_token_index")
                                                                  : mm__json_get(c, "image_token_id");
        const int64_t i = mm__json_int(id, -1);
        const char *token = i >= 0 && i <= INT32_MAX ? mm__tokenizer_token(a->tokenizer, (int32_t)i, NULL) : NULL;
        const bool spelled = token && token[0];
        p->placeholder = spelled ? token : "<image>";
        if (spelled) p->placeholder_id = (int32_t)i;
        return MM_OK;
    }
    const mm__json *spec = mm__json_get(s->config.root, "prompt");
    p->placeholder = mm__json_str(mm__json_get(spec, "placeholder"), NULL, "<image>");
    if (!p->placeholder[0]) return mm__fail(err, MM_E_FORMAT, "%s: prompt.placeholder is empty; leave it out, or name a token", s->path);
    p->placeholder_id = mm__tokenizer_id(a->tokenizer, p->placeholder, strlen(p->placeholder));
    const char *media = mm__json_str(mm__json_get(spec, "media"), NULL, "first");
    if (strcmp(media, "splice") == 0) p->media = MM__MEDIA_SPLICE;
    else if (strcmp(media, "first") != 0)
        return mm__fail(err, MM_E_FORMAT, "%s: prompt.media is \"splice\" or \"first\", not \"%s\"", s->path, media);
    return MM_OK;
}

static mm_status create(mm__assembly *a, mm__source *s, mm_error *err)
{
    a->tasks = MM__TASK_GENERATE;
    a->modalities = MM__IN_TEXT | MM__IN_IMAGE;
    mm_status st = create_parts(a, s, err);
    if (st != MM_OK) return st;
    mm__source *text = s;
    if (s->kind == MM__SRC_MANIFEST) text = s->part[mm__source_part(s, "text")];
    if ((st = mm__assembly_text(a, text, err)) != MM_OK) return st;
    if ((st = layout(a, s, err)) != MM_OK) return st;
    const mm__image_policy fallback = mm__assembly_policy(MM__FIT_EXACT, a->vision->info.image_size, MM__STATS_WEB);
    return mm__assembly_image_policy(a, s, &fallback, err);
}

const mm__assembly_ops mm__assembly_blip2 = {.name = "blip2", .match = match, .create = create};

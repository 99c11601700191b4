/* IDEFICS-1 (Laurencon et al. 2023), the open Flamingo (Alayrac et al. 2022): a CLIP-style tower, a perceiver resampler, and
 * a decoder with gated cross-attention layers. Pictures are memory, not prompt rows: the "<image>" token stays a token, and
 * every text row attends to the picture before it. */
#include "assembly.h"

#include <string.h>

static const char chat_template[] =
    "{% for m in messages %}{{ 'User: ' if m['role'] == 'user' else m['role'].capitalize() + ': ' }}"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for c in m['content'] %}"
    "{{ '<image>' if c['type'] == 'image' else c['text'] }}{% endfor %}{% endif %}"
    "{{ '<end_of_utterance>\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}";

static bool match(const mm__source *s)
{
    return s->kind == MM__SRC_HF && strcmp(mm__source_type(s), "idefics") == 0;
}

static mm_status create(mm__assembly *a, mm__source *s, mm_error *err)
{
    static const char *const prefixes[] = {"", "model.", NULL};
    mm__loader vision = mm__assembly_loader(a, s, "vision_config", prefixes);
    mm__loader bridge = mm__assembly_loader(a, s, "", prefixes);
    mm__loader text = mm__assembly_loader(a, s, "", prefixes);
    vision.config.arch = "idefics_vision";
    a->tasks = MM__TASK_GENERATE;
    a->modalities = MM__IN_TEXT | MM__IN_IMAGE;
    mm_status st = mm__encoder_create(&vision, MM__ENC_IMAGE, &a->vision, err);
    if (st == MM_OK && mm__json_bool(mm__json_get(s->config.root, "use_resampler"), true))
        st = mm__bridge_create(&bridge, "perceiver", &a->bridge, err);
    if (st == MM_OK) st = mm__decoder_create(&text, &a->decoder, err);
    if (st != MM_OK) return st;
    a->prompt = (mm__prompt_policy){.media = MM__MEDIA_CROSS, .placeholder = "<image>", .placeholder_id = -1,
                                    .rows_per_image = 1, .before = "<fake_token_around_image>",
                                    .after = "<fake_token_around_image>", .chat_template = chat_template};
    if ((st = mm__assembly_text(a, s, err)) != MM_OK) return st;
    a->prompt.placeholder_id = mm__tokenizer_id(a->tokenizer, "<image>", 7);
    mm__image_policy fallback = mm__assembly_policy(MM__FIT_EXACT, a->vision->info.image_size, MM__STATS_WEB);
    fallback.rgb = MM__RGB_OVER_WHITE;
    return mm__assembly_image_policy(a, s, &fallback, err);
}

const mm__assembly_ops mm__assembly_idefics = {.name = "idefics", .match = match, .create = create};

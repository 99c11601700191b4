/* A decoder and its tokenizer: a plain language model. Takes every source no other product wants, so an unknown
 * architecture is named by the decoder lookup. */
#include "assembly.h"

static bool match(const mm__source *s)
{
    return s->kind == MM__SRC_HF || s->kind == MM__SRC_GGUF;
}

static mm_status create(mm__assembly *a, mm__source *s, mm_error *err)
{
    static const char *const prefixes[] = {"", NULL};
    mm__loader ld = mm__assembly_loader(a, s, "", prefixes);
    a->tasks = MM__TASK_GENERATE;
    a->modalities = MM__IN_TEXT;
    mm_status st = mm__decoder_create(&ld, &a->decoder, err);
    return st == MM_OK ? mm__assembly_text(a, s, err) : st;
}

const mm__assembly_ops mm__assembly_lm = {.name = "lm", .match = match, .create = create};

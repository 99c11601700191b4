/* Text in, text out through an encoder and a cross-attending decoder of one file (Raffel et al. 2020). */
#include "assembly.h"

#include <string.h>

static bool match(const mm__source *s)
{
    return (s->kind == MM__SRC_HF || s->kind == MM__SRC_GGUF) && strcmp(mm__source_type(s), "t5") == 0;
}

static mm_status create(mm__assembly *a, mm__source *s, mm_error *err)
{
    static const char *const prefixes[] = {"", NULL};
    mm__loader ld = mm__assembly_loader(a, s, "", prefixes);
    a->tasks = MM__TASK_GENERATE;
    a->modalities = MM__IN_TEXT;
    mm_status st = mm__encoder_create(&ld, MM__ENC_TEXT, &a->memory, err);
    if (st == MM_OK) st = mm__decoder_create(&ld, &a->decoder, err);
    return st == MM_OK ? mm__assembly_text(a, s, err) : st;
}

const mm__assembly_ops mm__assembly_seq2seq = {.name = "seq2seq", .match = match, .create = create};

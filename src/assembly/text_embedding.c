/* Sentence vectors: a bidirectional text encoder, pooled over all rows (sentence-transformers' 1_Pooling/config.json may
 * ask for the first row instead) and scaled to unit length. */
#include "assembly.h"

#include "../base/error.h"

#include <string.h>

static bool match(const mm__source *s)
{
    return strcmp(mm__source_type(s), "bert") == 0;
}

static mm_status read_pooling(mm__assembly *a, const mm__source *s, mm_error *err)
{
    a->pool = 1;
    if (s->gguf) {
        mm__gguf_value v = mm__gguf_get(s->gguf, "bert.pooling_type"); /* 0 none, 1 mean, 2 first row */
        if (v.kind == MM__GGUF_INT && v.i == 2) a->pool = 2;
        return MM_OK;
    }
    char *text, *path = mm__path_join(a->mem, s->dir, "1_Pooling/config.json");
    if (!path) return mm__nomem(err, "a path");
    mm_status st = MM_OK;
    size_t len;
    if (mm__path_kind(&s->files, path) == MM__PATH_FILE && (st = mm__read_file(&s->files, path, 1 << 20, &text, &len, err)) == MM_OK) {
        mm__json_doc *doc;
        if ((st = mm__json_parse(a->mem, text, len, path, &doc, err)) == MM_OK) {
            if (mm__json_bool(mm__json_get(mm__json_root(doc), "pooling_mode_cls_token"), false)) a->pool = 2;
            mm__json_free(doc);
        }
        mm__free(a->mem, text);
    }
    mm__free(a->mem, path);
    return st;
}

static mm_status create(mm__assembly *a, mm__source *s, mm_error *err)
{
    static const char *const prefixes[] = {"", NULL};
    mm__loader ld = mm__assembly_loader(a, s, "", prefixes);
    a->tasks = MM__TASK_EMBED;
    a->modalities = MM__IN_TEXT;
    mm_status st = mm__encoder_create(&ld, MM__ENC_TEXT, &a->text, err);
    if (st == MM_OK) st = mm__assembly_text(a, s, err);
    return st == MM_OK ? read_pooling(a, s, err) : st;
}

const mm__assembly_ops mm__assembly_text_embedding = {.name = "text_embedding", .match = match, .create = create};

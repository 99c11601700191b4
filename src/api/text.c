/* A model's tokens and chat template without a session. */
#include "handles.h"

#include "../base/buf.h"

#include <string.h>

static mm_status check_tokenizer(const mm_model *m, uint32_t flags, mm_error *err)
{
    const uint32_t unknown = flags & ~(MM_TOKENIZE_AROUND | MM_TOKENIZE_SPECIAL);
    if (unknown) return mm__fail(err, MM_E_UNSUPPORTED, "flags 0x%x are not known to this library", unknown);
    return m->assembly->tokenizer ? MM_OK : mm__fail(err, MM_E_UNSUPPORTED, "this model has no tokenizer");
}

static mm_status tokenize(const mm_model *m, const char *text, size_t len, uint32_t flags, int32_t *ids, size_t cap, size_t *need,
                          mm_error *err)
{
    mm__ids out;
    mm_status st = check_tokenizer(m, flags, err);
    if (st != MM_OK) return st;
    mm__ids_init(&out, m->engine->mem);
    const unsigned f = (flags & MM_TOKENIZE_AROUND ? MM__TOKENIZE_AROUND : 0) | (flags & MM_TOKENIZE_SPECIAL ? MM__TOKENIZE_SPECIAL : 0);
    st = mm__tokenize(m->assembly->tokenizer, text, len, f, &out, err);
    if (st == MM_OK && need) *need = out.len;
    if (st == MM_OK && ids && cap < out.len) st = mm__fail(err, MM_E_SPACE, "%zu ids do not fit %zu places", out.len, cap);
    if (st == MM_OK && ids && out.len) memcpy(ids, out.data, out.len * sizeof *ids);
    mm__ids_free(&out);
    return st;
}

mm_status mm_model_tokenize(const mm_model *model, const char *text, size_t len, uint32_t flags, int32_t *ids, size_t cap,
                            size_t *need, mm_error *err)
{
    if (need) *need = 0;
    const mm_status st = mm__enter_model(model, (text || !len) && (ids || !cap), "model, text and ids", &err);
    return st == MM_OK ? mm__leave_model(model, tokenize(model, text, len, flags, ids, cap, need, err)) : st;
}

static mm_status detokenize(const mm_model *m, const int32_t *ids, size_t n, uint32_t flags, mm__buf *b, mm_error *err)
{
    mm_status st = check_tokenizer(m, flags, err);
    if (st != MM_OK) return st;
    st = mm__detokenize(m->assembly->tokenizer, ids, n, flags & MM_TOKENIZE_SPECIAL ? MM__TOKENIZE_SPECIAL : 0, b);
    return st == MM_OK ? st : mm__fail(err, st, "the ids cannot be turned into text");
}

mm_status mm_model_detokenize(const mm_model *model, const int32_t *ids, size_t n, uint32_t flags, char *buf, size_t cap,
                              size_t *need, mm_error *err)
{
    if (need) *need = 0;
    mm__buf b;
    mm_status st = mm__enter_model(model, ids || !n, "model and ids", &err);
    if (st != MM_OK) return st;
    mm__buf_init(&b, model->engine->mem);
    st = detokenize(model, ids, n, flags, &b, err);
    return mm__leave_model(model, mm__give_buf(&b, st, buf, cap, need, err));
}

mm_status mm_model_apply_template(const mm_model *model, const char *json, size_t len, int32_t add_generation_prompt, char *buf,
                                  size_t cap, size_t *need, mm_error *err)
{
    if (need) *need = 0;
    mm__buf b;
    mm_status st = mm__enter_model(model, json != NULL, "model and json", &err);
    if (st != MM_OK) return st;
    mm__buf_init(&b, model->engine->mem);
    st = mm__render_messages(model->engine->mem, model->assembly, json, len, add_generation_prompt != 0, &b, err);
    return mm__leave_model(model, mm__give_buf(&b, st, buf, cap, need, err));
}

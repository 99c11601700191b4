/* From conversation to rows. The text's placeholders are written out (one token for each media row, with what the model
 * puts around a medium), the whole is tokenised at once so that the ids equal the reference's, and each run of placeholder
 * ids is matched with its medium. Where the vocabulary has no placeholder token, the pieces around it are tokenised apart
 * and rows without ids stand between them. */
#include "session.h"

#include "../base/error.h"

#include <string.h>

static bool push_row(mm__session *s, mm__row row)
{
    if (!mm__grow(s->mem, &s->rows, s->n_rows, &s->cap_rows, sizeof *s->rows)) return false;
    s->rows[s->n_rows++] = row;
    return true;
}

/* Copies text, writing out the first order->len placeholders. A mark the text already carries around one is not doubled,
 * and one mark serves two media that touch. */
static void write_out(const mm__prompt_policy *p, const char *text, size_t len, size_t n_media, mm__buf *out)
{
    const char *end = text + len;
    const size_t mark = p->placeholder ? strlen(p->placeholder) : 0;
    for (size_t used = 0; used < n_media && mark; used++) {
        const char *hit = strstr(text, p->placeholder);
        if (!hit) break;
        mm__buf_put(out, text, (size_t)(hit - text));
        const size_t before = p->before ? strlen(p->before) : 0, after = p->after ? strlen(p->after) : 0;
        const bool open = before && out->len >= before && memcmp(out->data + out->len - before, p->before, before) == 0;
        if (before && !open) mm__buf_puts(out, p->before);
        for (int32_t i = 0; i < p->rows_per_image; i++) mm__buf_puts(out, p->placeholder);
        text = hit + mark;
        const bool closed = after && (size_t)(end - text) >= after && memcmp(text, p->after, after) == 0;
        if (after && !closed) mm__buf_puts(out, p->after);
    }
    mm__buf_put(out, text, (size_t)(end - text));
}

static unsigned tokenize_flags(const mm__session *s)
{
    const bool rendered = s->a->chat && !(s->opt.flags & MM_SESSION_RAW);
    return MM__TOKENIZE_SPECIAL | (rendered ? 0 : MM__TOKENIZE_AROUND);
}

/* A rendered template usually writes the begin-of-text token itself. Where it does not, GGUF models and models that take
 * pictures (whose references tokenize the rendered text as any other) still get it from the tokenizer. */
static mm_status tokenize(mm__session *s, const char *text, size_t len, mm__ids *ids, mm_error *err)
{
    unsigned flags = tokenize_flags(s);
    const char *bos = s->a->bos_token;
    const bool wanted = s->a->source->gguf || (s->a->modalities & MM__IN_IMAGE);
    if (!(flags & MM__TOKENIZE_AROUND) && wanted && mm__tokenizer_adds_bos(s->a->tokenizer) && bos &&
        strncmp(text, bos, strlen(bos)) != 0) {
        const int32_t id = mm__tokenizer_special(s->a->tokenizer, "bos");
        if (id >= 0 && !mm__ids_push(ids, id)) return mm__nomem(err, "token ids");
    }
    return mm__tokenize(s->a->tokenizer, text, len, flags, ids, err);
}

/* ---- the three layouts ---- */

/* Ids whose runs of placeholders take the media in order. */
static mm_status rows_from_ids(mm__session *s, const mm__ids *ids, const mm__ids *order, mm_error *err)
{
    const mm__prompt_policy *p = &s->a->prompt;
    size_t medium = 0;
    int32_t in_medium = 0, sees = -1;
    for (size_t i = 0; i < ids->len; i++) {
        mm__row row = {ids->data[i], -1, 0, sees};
        if (p->media != MM__MEDIA_NONE && row.id == p->placeholder_id && p->placeholder_id >= 0 && medium < order->len) {
            if (p->media == MM__MEDIA_CROSS) row.sees = sees = order->data[medium];
            else {
                row.medium = order->data[medium];
                row.media_row = in_medium;
            }
            if (++in_medium == p->rows_per_image) {
                in_medium = 0;
                medium++;
            }
        }
        if (!push_row(s, row)) return mm__nomem(err, "prompt rows");
    }
    if (medium < order->len)
        return mm__fail(err, MM_E_ARG, "the prompt has places for %zu of %zu media; write \"%s\" where each belongs", medium,
                        order->len, p->placeholder ? p->placeholder : "<image>");
    return MM_OK;
}

static bool push_medium(mm__session *s, int32_t medium)
{
    const mm__prompt_policy *p = &s->a->prompt;
    bool ok = true;
    for (int32_t i = 0; ok && i < p->rows_per_image; i++) ok = push_row(s, (mm__row){p->placeholder_id, medium, i, -1});
    return ok;
}

static bool push_ids(mm__session *s, const mm__ids *ids)
{
    bool ok = true;
    for (size_t i = 0; ok && i < ids->len; i++) ok = push_row(s, (mm__row){ids->data[i], -1, 0, -1});
    return ok;
}

/* Placeholder is no token: pieces are tokenised apart, the first as the beginning of the text. */
static mm_status rows_from_pieces(mm__session *s, const char *text, size_t len, const mm__ids *order, mm_error *err)
{
    const char *end = text + len, *mark = s->a->prompt.placeholder;
    mm_status st = MM_OK;
    for (size_t i = 0; st == MM_OK && i <= order->len; i++) {
        const char *hit = i < order->len ? strstr(text, mark) : NULL;
        const char *stop = hit ? hit : end;
        mm__ids ids;
        mm__ids_init(&ids, s->mem);
        if (i == 0) st = tokenize(s, text, (size_t)(stop - text), &ids, err);
        else st = mm__tokenize(s->a->tokenizer, text, (size_t)(stop - text), MM__TOKENIZE_SPECIAL, &ids, err);
        if (st == MM_OK && !push_ids(s, &ids)) st = mm__nomem(err, "prompt rows");
        if (st == MM_OK && hit && !push_medium(s, order->data[i])) st = mm__nomem(err, "prompt rows");
        mm__ids_free(&ids);
        if (!hit) {
            if (st == MM_OK && i < order->len)
                st = mm__fail(err, MM_E_ARG, "the prompt has places for %zu of %zu media; write \"%s\" where each belongs", i,
                              order->len, mark);
            break;
        }
        text = hit + strlen(mark);
    }
    return st;
}

static mm_status rows_from_text(mm__session *s, const mm__buf *text, const mm__ids *order, mm_error *err)
{
    const mm__prompt_policy *p = &s->a->prompt;
    const bool placed = p->placeholder && strstr(mm__buf_str(text), p->placeholder);
    if (p->media == MM__MEDIA_FIRST && !placed)
        for (size_t i = 0; i < order->len; i++)
            if (!push_medium(s, order->data[i])) return mm__nomem(err, "prompt rows");
    const mm__ids none = {0};
    const mm__ids *in_text = p->media == MM__MEDIA_FIRST && !placed ? &none : order;
    if (in_text->len && p->placeholder_id < 0) return rows_from_pieces(s, mm__buf_str(text), text->len, in_text, err);
    mm__buf full;
    mm__ids ids;
    mm__buf_init(&full, s->mem);
    mm__ids_init(&ids, s->mem);
    write_out(p, mm__buf_str(text), text->len, in_text->len, &full);
    mm_status st = full.failed ? mm__nomem(err, "a prompt") : tokenize(s, mm__buf_str(&full), full.len, &ids, err);
    if (st == MM_OK) st = rows_from_ids(s, &ids, in_text, err);
    mm__ids_free(&ids);
    mm__buf_free(&full);
    return st;
}

/* A raw prompt of ids. */
static mm_status rows_from_given(mm__session *s, mm_error *err)
{
    for (size_t i = 0; i < s->given_ids.len; i++)
        if (!push_row(s, (mm__row){s->given_ids.data[i], -1, 0, -1})) return mm__nomem(err, "prompt rows");
    return MM_OK;
}

/* Too long a text prompt loses its middle: the beginning holds instructions, the end the question. */
static mm_status fit(mm__session *s, size_t limit, mm_error *err)
{
    if (s->n_rows <= limit) return MM_OK;
    if (!limit) return mm__fail(err, MM_E_CONTEXT, "a context of one position has no room for a prompt and an answer; open a larger one");
    if (!s->truncate || s->n_media)
        return mm__fail(err, MM_E_CONTEXT, "the prompt takes %zu positions and the context has room for %zu; open a session with a larger context",
                        s->n_rows, limit);
    const size_t head = limit / 4, tail = limit - head;
    memmove(s->rows + head, s->rows + s->n_rows - tail, tail * sizeof *s->rows);
    s->n_rows = limit;
    return MM_OK;
}

mm_status mm__prompt_rows(mm__session *s, mm_error *err)
{
    mm__buf text;
    mm__ids order;
    s->n_rows = 0;
    if (s->given_ids.len) {
        mm_status st = rows_from_given(s, err);
        return st == MM_OK ? fit(s, s->opt.n_ctx - 1, err) : st;
    }
    mm__buf_init(&text, s->mem);
    mm__ids_init(&order, s->mem);
    mm_status st = mm__conversation_text(s, &text, &order, err);
    if (st == MM_OK) st = rows_from_text(s, &text, &order, err);
    if (st == MM_OK && !s->n_rows) st = mm__fail(err, MM_E_ARG, "the prompt is empty; feed some text");
    if (st == MM_OK) st = fit(s, s->a->memory ? s->opt.n_ctx : s->opt.n_ctx - 1, err);
    mm__ids_free(&order);
    mm__buf_free(&text);
    return st;
}

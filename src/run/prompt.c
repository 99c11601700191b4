/* From the timeline's pieces to its rows. A stretch of text is tokenised at once, so that the ids equal the reference's, with
 * the media in it written out: one placeholder for each row, and what the model puts around a medium. Places are known by
 * their offsets, never by what a text spells: a placeholder that no medium stands behind is text, or, in raw sessions, the
 * token of that name. Where the vocabulary has no placeholder token, the text around a medium is tokenised apart and rows
 * without ids stand between.
 *
 * Token ids are taken as they are and end the stretch before them. A timeline with ids gets nothing around its texts but the
 * begin-of-text token in front of a text that begins it. */
#include "session.h"

#include "../base/error.h"

#include <string.h>

typedef struct place { size_t at; int32_t medium; } place; /* offset of a placeholder in the text */

typedef struct layout {
    mm__session *s;
    mm__plain plain;          /* stand-ins in the text */
    mm__buf text;             /* the stretch at hand */
    place *places;            /* its media, ascending */
    size_t n_places, cap_places;
    bool begun;               /* another stretch stands before this one */
    bool has_ids;             /* there are ids in the timeline */
    int32_t sees;             /* cross-attended media: the most recent one, -1: none */
} layout;

static mm_status add_place(layout *l, size_t at, int32_t medium, mm_error *err)
{
    if (!mm__grow(l->s->mem, &l->places, l->n_places, &l->cap_places, sizeof *l->places)) return mm__nomem(err, "prompt places");
    l->places[l->n_places++] = (place){at, medium};
    return MM_OK;
}

static mm_status push_row(mm__session *s, mm__row row, mm_error *err)
{
    mm__timeline *t = &s->line;
    if (!mm__grow(s->mem, &t->rows, t->n_rows, &t->cap_rows, sizeof *t->rows)) return mm__nomem(err, "prompt rows");
    t->rows[t->n_rows++] = row;
    return MM_OK;
}

static mm_status push_ids(layout *l, const int32_t *ids, size_t n, mm_error *err)
{
    mm_status st = MM_OK;
    for (size_t i = 0; st == MM_OK && i < n; i++) st = push_row(l->s, (mm__row){ids[i], -1, 0, l->sees}, err);
    return st;
}

static mm_status push_medium(layout *l, int32_t medium, mm_error *err)
{
    const mm__prompt_policy *p = &l->s->a->prompt;
    mm_status st = MM_OK;
    for (int32_t i = 0; st == MM_OK && i < p->rows_per_image; i++) st = push_row(l->s, (mm__row){p->placeholder_id, medium, i, -1}, err);
    return st;
}

/* Every medium in front of all else. */
static mm_status push_media(layout *l, const mm__ids *order, mm_error *err)
{
    mm_status st = MM_OK;
    for (size_t i = 0; st == MM_OK && i < order->len; i++) st = push_medium(l, order->data[i], err);
    return st;
}

/* The media in the order of their pieces. */
static mm_status order_media(layout *l, mm__ids *order, mm_error *err)
{
    const mm__timeline *t = &l->s->line;
    for (size_t i = 0; i < t->n_messages; i++)
        for (size_t j = 0; j < t->messages[i].n; j++) {
            const mm__piece *p = &t->messages[i].pieces[j];
            if (p->kind == MM__PIECE_MEDIUM && !mm__ids_push(order, p->medium)) return mm__nomem(err, "prompt places");
        }
    return MM_OK;
}

/* ---- text to ids ---- */

/* A rendered template usually writes the begin-of-text token itself. Where it does not, GGUF models and models that take
 * pictures (whose references tokenize the rendered text as any other) still get it from the tokenizer. */
static bool lacks_bos(const layout *l, const char *text)
{
    const mm__assembly *a = l->s->a;
    if (l->begun || !mm__tokenizer_adds_bos(a->tokenizer)) return false;
    if (!mm__session_is_chat(l->s)) return l->has_ids; /* without ids the tokenizer adds it */
    if (!a->source->gguf && !(a->modalities & MM__IN_IMAGE)) return false;
    return a->bos_token && strncmp(text, a->bos_token, strlen(a->bos_token)) != 0;
}

/* `begins`: the text opens its stretch. */
static mm_status tokenize(layout *l, const char *text, size_t len, bool begins, mm__ids *ids, mm_error *err)
{
    const mm__tokenizer *t = l->s->a->tokenizer;
    const bool around = begins && !l->has_ids && !mm__session_is_chat(l->s);
    if (begins && lacks_bos(l, text) && !mm__ids_push(ids, mm__tokenizer_special(t, "bos"))) return mm__nomem(err, "token ids");
    return mm__tokenize_plain(t, text, len, MM__TOKENIZE_SPECIAL | (around ? MM__TOKENIZE_AROUND : 0), &l->plain, ids, err);
}

/* ---- with a placeholder token ---- */

/* Copies text [from, to) and notes the placeholders it spells as media of nobody. */
static void copy_text(const layout *l, size_t from, size_t to, mm__buf *out, mm__ids *owners)
{
    const char *text = mm__buf_str(&l->text), *mark = l->s->a->prompt.placeholder, *p = text + from, *hit;
    mm__buf_put(out, text + from, to - from);
    if (!mark || !mark[0]) return;
    for (; (hit = memmem(p, (size_t)(text + to - p), mark, strlen(mark))); p = hit + strlen(mark)) mm__ids_push(owners, -1);
}

/* Writes the media out. A mark the text already carries around one is not doubled, and one mark serves two media that touch.
 * owners: the medium of every placeholder spelled in the text, a medium's own rows counted once. */
static void write_out(const layout *l, mm__buf *out, mm__ids *owners)
{
    const mm__prompt_policy *p = &l->s->a->prompt;
    const size_t before = p->before ? strlen(p->before) : 0, after = p->after ? strlen(p->after) : 0;
    size_t at = 0;
    for (size_t i = 0; i < l->n_places; i++) {
        copy_text(l, at, l->places[i].at, out, owners);
        at = l->places[i].at + strlen(p->placeholder);
        const bool open = before && out->len >= before && memcmp(out->data + out->len - before, p->before, before) == 0;
        const bool closed = after && l->text.len - at >= after && memcmp(l->text.data + at, p->after, after) == 0;
        if (before && !open) mm__buf_puts(out, p->before);
        for (int32_t k = 0; k < p->rows_per_image; k++) mm__buf_puts(out, p->placeholder);
        if (after && !closed) mm__buf_puts(out, p->after);
        mm__ids_push(owners, l->places[i].medium);
    }
    copy_text(l, at, l->text.len, out, owners);
}

/* Placeholder ids take the media in order. */
static mm_status rows_from_ids(layout *l, const mm__ids *ids, const mm__ids *owners, mm_error *err)
{
    const mm__prompt_policy *p = &l->s->a->prompt;
    size_t k = 0, placed = 0;
    int32_t in_medium = 0;
    mm_status st = MM_OK;
    for (size_t i = 0; st == MM_OK && i < ids->len; i++) {
        mm__row row = {ids->data[i], -1, 0, l->sees};
        if (p->placeholder_id >= 0 && row.id == p->placeholder_id && k < owners->len) {
            const int32_t medium = owners->data[k];
            if (p->media == MM__MEDIA_CROSS && medium >= 0) row.sees = l->sees = medium;
            else if (medium >= 0) {
                row.medium = medium;
                row.media_row = in_medium;
            }
            if (medium < 0 || ++in_medium == p->rows_per_image) {
                placed += medium >= 0;
                in_medium = 0;
                k++;
            }
        }
        st = push_row(l->s, row, err);
    }
    if (st == MM_OK && placed < l->n_places)
        st = mm__fail(err, MM_E_FORMAT, "the tokenizer made %zu of %zu pictures' places; the model's placeholder \"%s\" is no token of its own",
                      placed, l->n_places, p->placeholder);
    return st;
}

static mm_status rows_at_once(layout *l, mm_error *err)
{
    mm__buf full;
    mm__ids ids, owners;
    mm__buf_init(&full, l->s->mem);
    mm__ids_init(&ids, l->s->mem);
    mm__ids_init(&owners, l->s->mem);
    write_out(l, &full, &owners);
    mm_status st = full.failed || owners.failed ? mm__nomem(err, "a prompt") : tokenize(l, mm__buf_str(&full), full.len, true, &ids, err);
    if (st == MM_OK) st = rows_from_ids(l, &ids, &owners, err);
    mm__ids_free(&owners);
    mm__ids_free(&ids);
    mm__buf_free(&full);
    return st;
}

/* ---- without one ---- */

static mm_status rows_apart(layout *l, mm_error *err)
{
    const char *text = mm__buf_str(&l->text);
    size_t at = 0;
    mm_status st = MM_OK;
    for (size_t i = 0; st == MM_OK && i <= l->n_places; i++) {
        const size_t stop = i < l->n_places ? l->places[i].at : l->text.len;
        mm__ids ids;
        mm__ids_init(&ids, l->s->mem);
        st = tokenize(l, text + at, stop - at, i == 0, &ids, err);
        if (st == MM_OK) st = push_ids(l, ids.data, ids.len, err);
        if (st == MM_OK && i < l->n_places) st = push_medium(l, l->places[i].medium, err);
        mm__ids_free(&ids);
        if (i < l->n_places) at = stop + strlen(l->s->a->prompt.placeholder);
    }
    return st;
}

/* ---- stretches ---- */

/* Lays out the text at hand and begins a new one. */
static mm_status end_stretch(layout *l, mm_error *err)
{
    if (l->text.failed) return mm__nomem(err, "a prompt");
    if (l->has_ids && !l->text.len) return MM_OK;
    mm_status st = l->n_places && l->s->a->prompt.placeholder_id < 0 ? rows_apart(l, err) : rows_at_once(l, err);
    mm__buf_clear(&l->text);
    l->n_places = 0;
    l->begun = true;
    return st;
}

static mm_status add_raw_piece(layout *l, const mm__piece *p, mm_error *err)
{
    const mm__prompt_policy *policy = &l->s->a->prompt;
    mm_status st = MM_OK;
    switch (p->kind) {
    case MM__PIECE_TEXT: mm__buf_put(&l->text, p->text, p->len); break;
    case MM__PIECE_MEDIUM:
        if (policy->media == MM__MEDIA_FIRST) break;
        st = add_place(l, l->text.len, p->medium, err);
        mm__buf_puts(&l->text, policy->placeholder);
        break;
    case MM__PIECE_IDS:
        st = end_stretch(l, err);
        l->begun = true;
        if (st == MM_OK) st = push_ids(l, p->ids, p->len, err);
        break;
    }
    return st;
}

static mm_status lay_out_raw(layout *l, const mm__ids *media, mm_error *err)
{
    const mm__timeline *t = &l->s->line;
    mm_status st = l->s->a->prompt.media == MM__MEDIA_FIRST ? push_media(l, media, err) : MM_OK;
    l->has_ids = mm__conversation_has_ids(l->s);
    for (size_t i = 0; st == MM_OK && i < t->n_messages; i++)
        for (size_t j = 0; st == MM_OK && j < t->messages[i].n; j++) st = add_raw_piece(l, &t->messages[i].pieces[j], err);
    return st == MM_OK ? end_stretch(l, err) : st;
}

/* Placeholders in a rendered conversation are the media, in order. */
static mm_status lay_out_rendered(layout *l, const mm__ids *media, mm_error *err)
{
    const mm__prompt_policy *p = &l->s->a->prompt;
    const size_t mark = p->placeholder ? strlen(p->placeholder) : 0;
    mm_status st = mm__render_conversation(l->s, &l->plain, &l->text, err);
    size_t at = 0;
    while (st == MM_OK && mark && l->n_places < media->len) {
        const char *hit = memmem(mm__buf_str(&l->text) + at, l->text.len - at, p->placeholder, mark);
        if (!hit) break;
        at = (size_t)(hit - l->text.data);
        st = add_place(l, at, media->data[l->n_places], err);
        at += mark;
    }
    if (st == MM_OK && p->media == MM__MEDIA_FIRST && !l->n_places) st = push_media(l, media, err);
    else if (st == MM_OK && l->n_places < media->len)
        st = mm__fail(err, MM_E_ARG, "the prompt has places for %zu of %zu media; the chat template leaves the others out",
                      l->n_places, media->len);
    return st == MM_OK ? end_stretch(l, err) : st;
}

/* Positions that a prompt which may be shortened leaves to the answer. */
static size_t room_for_answer(const mm__session *s)
{
    const size_t n = s->opt.n_ctx, want = s->opt.max_tokens ? s->opt.max_tokens : n / 4, most = n / 2;
    return want > most ? most : want ? want : 1;
}

/* Too long a text prompt loses its middle: the beginning holds instructions and the opening of the template, the end the
 * question and the header of the answer. The positions of an encoder-decoder model hold the prompt alone. */
static mm_status fit(mm__session *s, mm_error *err)
{
    const bool alone = s->a->memory != NULL;
    size_t limit = s->opt.n_ctx - !alone;
    if (s->truncate && !s->line.n_media && !alone && limit) limit = s->opt.n_ctx - room_for_answer(s);
    if (s->line.n_rows <= limit) return MM_OK;
    if (!limit) return mm__fail(err, MM_E_CONTEXT, "a context of one position has no room for a prompt and an answer; open a larger one");
    if (!s->truncate || s->line.n_media)
        return mm__fail(err, MM_E_CONTEXT, "the prompt takes %zu positions and the context has room for %zu; open a session with a larger context",
                        s->line.n_rows, limit);
    const size_t head = limit / 4, tail = limit - head;
    memmove(s->line.rows + head, s->line.rows + s->line.n_rows - tail, tail * sizeof *s->line.rows);
    s->line.n_rows = limit;
    return MM_OK;
}

mm_status mm__prompt_lay_out(mm__session *s, mm_error *err)
{
    layout l = {.s = s, .sees = -1};
    mm__ids media;
    s->line.n_rows = 0;
    mm__buf_init(&l.text, s->mem);
    mm__ids_init(&media, s->mem);
    mm_status st = order_media(&l, &media, err);
    if (st == MM_OK) st = s->opt.flags & MM_SESSION_RAW ? lay_out_raw(&l, &media, err) : lay_out_rendered(&l, &media, err);
    if (st == MM_OK && !s->line.n_rows) st = mm__fail(err, MM_E_ARG, "the prompt is empty; feed some text");
    mm__ids_free(&media);
    mm__buf_free(&l.text);
    mm__free(s->mem, l.places);
    return st;
}

mm_status mm__prompt_rows(mm__session *s, mm_error *err)
{
    const mm_status st = mm__prompt_lay_out(s, err);
    return st == MM_OK ? fit(s, err) : st;
}

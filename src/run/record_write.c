/* Writing a session's record; its layout is in record.h. */
#include "record.h"

#include "../base/error.h"

#include <string.h>

static void put_u32(mm__buf *b, uint32_t v)
{
    const unsigned char p[4] = {(unsigned char)v, (unsigned char)(v >> 8), (unsigned char)(v >> 16), (unsigned char)(v >> 24)};
    mm__buf_put(b, p, sizeof p);
}

static void put_u64(mm__buf *b, uint64_t v)
{
    put_u32(b, (uint32_t)v);
    put_u32(b, (uint32_t)(v >> 32));
}

static void put_f32(mm__buf *b, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    put_u32(b, bits);
}

static void put_text(mm__buf *b, const char *text, size_t len)
{
    put_u64(b, len);
    mm__buf_put(b, text, len);
}

static void put_ids(mm__buf *b, const int32_t *ids, size_t n)
{
    put_u64(b, n);
    for (size_t i = 0; i < n; i++) put_u32(b, (uint32_t)ids[i]);
}

/* Floats lie in memory as they lie in the record: the platforms of the library are little-endian. */
static void put_floats(mm__buf *b, const float *v, size_t n)
{
    put_u64(b, n);
    mm__buf_put(b, v, n * sizeof *v);
}

static void put_options(mm__buf *b, const mm__session *s)
{
    const mm__session_options *o = &s->opt;
    const uint32_t counts[] = {o->n_ctx, o->max_tokens, o->top_k, o->top_logprobs, o->flags};
    const float numbers[] = {o->temperature, o->top_p, o->min_p, o->repeat_penalty};
    for (size_t i = 0; i < 5; i++) put_u32(b, counts[i]);
    put_u64(b, o->seed);
    for (size_t i = 0; i < 4; i++) put_f32(b, numbers[i]);
    put_u64(b, s->n_keys);
    for (size_t i = 0; i < s->n_keys; i++) put_text(b, s->keys[i], strlen(s->keys[i]));
    put_u32(b, s->state);
}

static void put_piece(mm__buf *b, const mm__piece *p)
{
    put_u32(b, p->kind);
    switch (p->kind) {
    case MM__PIECE_TEXT: put_text(b, p->text, p->len); break;
    case MM__PIECE_MEDIUM: put_u32(b, (uint32_t)p->medium); break;
    case MM__PIECE_IDS: put_ids(b, p->ids, p->len); break;
    }
}

static void put_message(mm__buf *b, const mm__message *m)
{
    put_text(b, m->role, strlen(m->role));
    put_u32(b, m->extra != NULL);
    if (m->extra) put_text(b, m->extra, strlen(m->extra));
    put_u64(b, m->n);
    for (size_t i = 0; i < m->n; i++) put_piece(b, &m->pieces[i]);
}

static void put_medium(mm__buf *b, const mm__medium *m)
{
    put_u32(b, m->kind);
    if (m->kind == MM__ITEM_IMAGE) {
        const mm__pixels *p = m->pixels;
        put_u32(b, (uint32_t)p->width);
        put_u32(b, (uint32_t)p->height);
        put_u32(b, (uint32_t)p->channels);
        put_text(b, (const char *)p->data, (size_t)p->width * (size_t)p->height * (size_t)p->channels);
    } else {
        put_u32(b, (uint32_t)m->samples->rate);
        put_floats(b, m->samples->data, (size_t)m->samples->n);
    }
    put_u32(b, m->rows ? (uint32_t)m->n_rows : 0);
    put_u32(b, (uint32_t)m->width);
    put_floats(b, m->rows, m->rows ? (size_t)m->n_rows * (size_t)m->width : 0);
}

static void put_timeline(mm__buf *b, const mm__timeline *t, size_t n_held)
{
    put_u64(b, t->n_messages);
    for (size_t i = 0; i < t->n_messages; i++) put_message(b, &t->messages[i]);
    put_u64(b, t->fed_messages);
    put_u64(b, t->fed_media);
    put_u64(b, t->n_media);
    for (size_t i = 0; i < t->n_media; i++) put_medium(b, &t->media[i]);
    put_u64(b, n_held);
    for (size_t i = 0; i < n_held; i++) {
        const mm__row *r = &t->held[i];
        const int32_t fields[] = {r->id, r->medium, r->media_row, r->sees};
        for (size_t k = 0; k < 4; k++) put_u32(b, (uint32_t)fields[k]);
    }
}

mm_status mm__record_write(const mm__session *s, mm__buf *out, mm_error *err)
{
    if (mm__session_answering(s))
        return mm__fail(err, MM_E_STATE, "an answer is being given; take its events, or cancel it, before copying or saving the session");
    put_options(out, s);
    put_timeline(out, &s->line, mm__session_held(s));
    return out->failed ? mm__nomem(err, "a copy of the session") : MM_OK;
}

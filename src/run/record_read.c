/* Reading a session's record, which may be anybody's: every count is checked against the bytes that are left before anything
 * is allocated for it, every index against what it points into, and options go through the checks a host's go through. The
 * cursor's failure is sticky, so that a run of reads is checked once. */
#include "record.h"

#include "../base/ckd.h"
#include "../base/error.h"

#include <string.h>

typedef struct cursor {
    const unsigned char *p;
    size_t left;
    bool bad;
} cursor;

static const unsigned char *take(cursor *c, size_t n)
{
    if (c->bad || n > c->left) {
        c->bad = true;
        return NULL;
    }
    const unsigned char *p = c->p;
    c->p += n;
    c->left -= n;
    return p;
}

static uint32_t get_u32(cursor *c)
{
    const unsigned char *p = take(c, 4);
    return p ? (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24 : 0;
}

static uint64_t get_u64(cursor *c)
{
    const uint64_t low = get_u32(c);
    return low | (uint64_t)get_u32(c) << 32;
}

static float get_f32(cursor *c)
{
    const uint32_t bits = get_u32(c);
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* A count of things of at least `each` bytes, which are still to come. */
static size_t get_count(cursor *c, size_t each)
{
    const uint64_t n = get_u64(c);
    if (c->bad || n > c->left / each) {
        c->bad = true;
        return 0;
    }
    return (size_t)n;
}

/* A text in a new block. With `len` it may hold NUL, which a model can say; else it must not. */
static char *get_text(mm__mem *mem, cursor *c, size_t *len, mm_status *st, mm_error *err)
{
    const size_t n = get_count(c, 1);
    const unsigned char *p = take(c, n);
    if (len) *len = p ? n : 0;
    if (!p || (!len && memchr(p, 0, n))) {
        c->bad = true;
        return NULL;
    }
    char *text = mm__strndup(mem, (const char *)p, n);
    if (!text) *st = mm__nomem(err, "a text of the session");
    return text;
}

static mm_status damaged(mm_error *err, const char *what)
{
    return mm__fail(err, MM_E_FORMAT, "snapshot: %s is damaged; save the session again", what);
}

/* ---- options ---- */

static void get_options(cursor *c, mm__session_options *o)
{
    uint32_t *const counts[] = {&o->n_ctx, &o->max_tokens, &o->top_k, &o->top_logprobs, &o->flags};
    float *const numbers[] = {&o->temperature, &o->top_p, &o->min_p, &o->repeat_penalty};
    for (size_t i = 0; i < 5; i++) *counts[i] = get_u32(c);
    o->seed = get_u64(c);
    for (size_t i = 0; i < 4; i++) *numbers[i] = get_f32(c);
}

static mm_status read_keys(mm__session *s, cursor *c, mm_error *err)
{
    const size_t n = get_count(c, 8);
    mm_status st = n % 2 ? damaged(err, "the list of options") : MM_OK;
    for (size_t i = 0; st == MM_OK && !c->bad && i < n; i += 2) {
        char *key = get_text(s->mem, c, NULL, &st, err), *value = st == MM_OK ? get_text(s->mem, c, NULL, &st, err) : NULL;
        if (key && value) st = mm__session_set(s, key, value, err);
        mm__free(s->mem, key);
        mm__free(s->mem, value);
    }
    return st;
}

/* ---- messages ---- */

static mm_status read_ids(mm__session *s, cursor *c, mm__piece *p, mm_error *err)
{
    p->len = get_count(c, 4);
    if (c->bad || !p->len || !(s->opt.flags & MM_SESSION_RAW)) return damaged(err, "a list of token ids");
    if (!(p->ids = mm__calloc(s->mem, p->len, sizeof *p->ids))) return mm__nomem(err, "token ids");
    for (size_t i = 0; i < p->len; i++) p->ids[i] = (int32_t)get_u32(c);
    return mm__session_check_ids(s, p->ids, p->len, err);
}

static mm_status read_piece(mm__session *s, cursor *c, mm__message *m, mm_error *err)
{
    mm__piece p = {.kind = (mm__piece_kind)get_u32(c), .medium = -1};
    mm_status st = MM_OK;
    switch (p.kind) {
    case MM__PIECE_TEXT: p.text = get_text(s->mem, c, &p.len, &st, err); break;
    case MM__PIECE_MEDIUM: p.medium = (int32_t)get_u32(c); break;
    case MM__PIECE_IDS: st = read_ids(s, c, &p, err); break;
    default: c->bad = true;
    }
    if (st == MM_OK && c->bad) st = damaged(err, "a message");
    if (st != MM_OK) {
        mm__free(s->mem, p.text);
        mm__free(s->mem, p.ids);
        return st;
    }
    return mm__conversation_piece(s, m, p) ? MM_OK : mm__nomem(err, "a message");
}

static mm_status read_message(mm__session *s, cursor *c, mm_error *err)
{
    mm_status st = MM_OK;
    char *role = get_text(s->mem, c, NULL, &st, err), *extra = NULL;
    if (st == MM_OK && get_u32(c)) extra = get_text(s->mem, c, NULL, &st, err);
    mm__message *m = NULL;
    if (st == MM_OK && c->bad) st = damaged(err, "a message");
    if (st == MM_OK && !(m = mm__conversation_message(s, role, extra))) st = mm__nomem(err, "a message");
    mm__free(s->mem, role);
    mm__free(s->mem, extra);
    const size_t n = st == MM_OK ? get_count(c, 8) : 0;
    for (size_t i = 0; st == MM_OK && i < n; i++) st = read_piece(s, c, m, err);
    return st;
}

/* ---- media ---- */

static mm_status read_pixels(mm__session *s, cursor *c, mm__medium *m, mm_error *err)
{
    const uint32_t w = get_u32(c), h = get_u32(c), channels = get_u32(c);
    const size_t n = get_count(c, 1);
    const unsigned char *p = take(c, n);
    if (!p || !w || !h || w > 16384 || h > 16384 || channels < 1 || channels > 4 || n != (size_t)w * h * channels ||
        !(s->a->modalities & MM__IN_IMAGE))
        return damaged(err, "a picture");
    mm_status st = mm__pixels_create(s->mem, (int32_t)w, (int32_t)h, (int32_t)channels, &m->pixels, err);
    if (st == MM_OK) memcpy(m->pixels->data, p, n);
    return st;
}

static mm_status read_floats(mm__mem *mem, cursor *c, float **out, size_t *n, mm_error *err)
{
    *n = get_count(c, sizeof **out);
    const unsigned char *p = take(c, *n * sizeof **out);
    if (!p) return damaged(err, "a medium");
    if (!(*out = mm__calloc(mem, *n, sizeof **out))) return mm__nomem(err, "a medium");
    memcpy(*out, p, *n * sizeof **out);
    return MM_OK;
}

static mm_status read_samples(mm__session *s, cursor *c, mm__medium *m, mm_error *err)
{
    const uint32_t rate = get_u32(c);
    float *data = NULL;
    size_t n;
    if (rate < 1000 || rate > 768000 || !(s->a->modalities & MM__IN_AUDIO)) return damaged(err, "a recording");
    mm_status st = read_floats(s->mem, c, &data, &n, err);
    if (st == MM_OK) st = mm__audio_from_pcm(s->mem, data, NULL, (int64_t)n, 1, (int32_t)rate, 0, &m->samples, err);
    mm__free(s->mem, data);
    return st == MM_E_MEDIA || st == MM_E_ARG ? damaged(err, "a recording") : st;
}

/* Rows have the form that the model's encoder would give. */
static bool rows_fit(const mm__session *s, const mm__medium *m, uint32_t n_rows, uint32_t width, size_t n)
{
    const mm__prompt_policy *p = &s->a->prompt;
    if (!n_rows) return n == 0;
    if (m->kind != MM__ITEM_IMAGE || !s->a->decoder || n_rows > 1u << 20 || n != (size_t)n_rows * width) return false;
    return width == (uint32_t)mm__assembly_media_width(s->a) && (p->media == MM__MEDIA_CROSS || n_rows == (uint32_t)p->rows_per_image);
}

static mm_status read_rows(mm__session *s, cursor *c, mm__medium *m, mm_error *err)
{
    const uint32_t n_rows = get_u32(c), width = get_u32(c);
    float *rows = NULL;
    size_t n = 0;
    mm_status st = read_floats(s->mem, c, &rows, &n, err);
    if (st == MM_OK && !rows_fit(s, m, n_rows, width, n)) st = damaged(err, "an encoded medium");
    if (st == MM_OK && n_rows) {
        m->rows = rows;
        m->n_rows = (int32_t)n_rows;
        m->width = (int32_t)width;
        return MM_OK;
    }
    mm__free(s->mem, rows);
    return st;
}

static mm_status read_medium(mm__session *s, cursor *c, mm_error *err)
{
    mm__timeline *t = &s->line;
    if (!mm__grow(s->mem, &t->media, t->n_media, &t->cap_media, sizeof *t->media)) return mm__nomem(err, "a medium");
    mm__medium *m = &t->media[t->n_media++];
    *m = (mm__medium){.kind = (mm__item_kind)get_u32(c)};
    mm_status st = m->kind == MM__ITEM_IMAGE   ? read_pixels(s, c, m, err)
                   : m->kind == MM__ITEM_AUDIO ? read_samples(s, c, m, err)
                                               : damaged(err, "a medium");
    return st == MM_OK ? read_rows(s, c, m, err) : st;
}

/* The media of a message lie side by side, in some order, behind those of the messages before it; each is named once. */
static bool media_fit(const mm__timeline *t, unsigned char *named)
{
    size_t first = 0, fed = 0;
    for (size_t i = 0; i < t->n_messages; i++) {
        const mm__message *m = &t->messages[i];
        size_t n = 0;
        for (size_t j = 0; j < m->n; j++) n += m->pieces[j].kind == MM__PIECE_MEDIUM;
        if (n > t->n_media - first) return false;
        for (size_t j = 0; j < m->n; j++) {
            const mm__piece *p = &m->pieces[j];
            if (p->kind != MM__PIECE_MEDIUM) continue;
            if (p->medium < 0 || (size_t)p->medium < first || (size_t)p->medium >= first + n || named[p->medium]) return false;
            named[p->medium] = 1;
        }
        first += n;
        if (i + 1 == t->fed_messages) fed = first;
    }
    return first == t->n_media && t->fed_messages <= t->n_messages && t->fed_media == fed;
}

static mm_status check_media(const mm__session *s, mm_error *err)
{
    unsigned char *named = mm__zalloc(s->mem, s->line.n_media);
    if (!named) return mm__nomem(err, "a timeline");
    const bool fits = media_fit(&s->line, named);
    mm__free(s->mem, named);
    return fits ? MM_OK : damaged(err, "the timeline");
}

/* ---- what the cache holds ---- */

static bool row_fits(const mm__session *s, const mm__row *r)
{
    const mm__timeline *t = &s->line;
    const int32_t n_media = (int32_t)t->n_media;
    if (r->id < -1 || r->id >= s->a->decoder->info.n_vocab || r->medium < -1 || r->medium >= n_media || r->sees < -1 || r->sees >= n_media)
        return false;
    return r->media_row >= 0 && (r->medium < 0 ? r->id >= 0 : r->media_row < t->media[r->medium].n_rows);
}

static mm_status read_held(mm__session *s, cursor *c, mm_error *err)
{
    mm__timeline *t = &s->line;
    const size_t n = get_count(c, 16);
    if (c->bad || (n && (!s->lm || n > (size_t)mm__lm_context(s->lm)))) return damaged(err, "the list of positions");
    for (size_t i = 0; i < n; i++) {
        if (!mm__grow(s->mem, &t->held, t->n_held, &t->cap_held, sizeof *t->held)) return mm__nomem(err, "a timeline");
        mm__row r = {(int32_t)get_u32(c), (int32_t)get_u32(c), (int32_t)get_u32(c), (int32_t)get_u32(c)};
        if (!row_fits(s, &r)) return damaged(err, "a position");
        t->held[t->n_held++] = r;
    }
    return MM_OK;
}

static mm_status read_timeline(mm__session *s, cursor *c, mm_error *err)
{
    mm_status st = MM_OK;
    size_t n = get_count(c, 20);
    for (size_t i = 0; st == MM_OK && i < n; i++) st = read_message(s, c, err);
    s->line.fed_messages = (size_t)get_u64(c);
    s->line.fed_media = (size_t)get_u64(c);
    n = st == MM_OK ? get_count(c, 20) : 0;
    for (size_t i = 0; st == MM_OK && i < n; i++) st = read_medium(s, c, err);
    if (st == MM_OK && c->bad) st = damaged(err, "the timeline");
    if (st == MM_OK) st = check_media(s, err);
    if (st == MM_OK) st = read_held(s, c, err);
    return st == MM_OK && (c->bad || c->left) ? damaged(err, "its end") : st;
}

static mm_status read_all(mm__mem *mem, const mm__log *log, mm__assembly *a, cursor *c, mm__session **out, mm_error *err)
{
    mm__session_options o = {0};
    get_options(c, &o);
    if (c->bad) return damaged(err, "its beginning");
    mm__session *s;
    mm_status st = mm__session_create(mem, log, a, &o, &s, err);
    if (st != MM_OK) return st;
    st = read_keys(s, c, err);
    const uint32_t state = get_u32(c);
    if (st == MM_OK && (c->bad || (state != MM__IDLE && state != MM__FED && state != MM__DONE))) st = damaged(err, "the list of options");
    if (st == MM_OK) st = read_timeline(s, c, err);
    if (st == MM_OK && state == MM__FED && s->line.fed_messages == s->line.n_messages) st = damaged(err, "its state");
    if (st == MM_OK) s->state = (mm__state)state;
    if (st == MM_OK) *out = s;
    else mm__session_destroy(s);
    return st;
}

/* What a host would be told of its own options is here said of the bytes: an option of a later library is unsupported, all else
 * that does not fit is damage. */
static mm_status judge(mm_status st, mm_error *err)
{
    if (st == MM_OK || st == MM_E_NOMEM || st == MM_E_LIMIT || st == MM_E_UNSUPPORTED || st == MM_E_FORMAT || st == MM_E_INTERNAL) return st;
    const mm_status told = st == MM_E_KEY ? MM_E_UNSUPPORTED : MM_E_FORMAT;
    if (err) err->code = told;
    return mm__fail_prefix(err, told, "snapshot");
}

mm_status mm__record_read(mm__mem *mem, const mm__log *log, mm__assembly *a, const void *bytes, size_t len, mm__session **out,
                          mm_error *err)
{
    cursor c = {bytes, len, false};
    *out = NULL;
    return judge(read_all(mem, log, a, &c, out, err), err);
}

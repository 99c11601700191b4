/* The upper layer of the timeline: messages as the host fed them, media beside them, and the answers that were given.
 *
 * "<image>" and "<audio>" in a text place the next medium of that kind of the same message; media without a place come
 * first. In raw sessions the model's own placeholder places pictures, too. Whatever is spelled once a message has no medium
 * left to place is text. */
#include "session.h"

#include "../base/error.h"

#include <string.h>

static const char *const marks[] = {"<image>", "<audio>"};

static void message_free(mm__mem *mem, mm__message *m)
{
    for (size_t i = 0; i < m->n; i++) {
        mm__free(mem, m->pieces[i].text);
        mm__free(mem, m->pieces[i].ids);
    }
    mm__free(mem, m->pieces);
    mm__free(mem, m->extra);
    mm__free(mem, m->role);
}

static void medium_free(mm__mem *mem, mm__medium *m)
{
    mm__pixels_free(m->pixels);
    mm__samples_free(m->samples);
    mm__free(mem, m->rows);
}

static void drop(mm__session *s, size_t n_messages, size_t n_media)
{
    while (s->line.n_messages > n_messages) message_free(s->mem, &s->line.messages[--s->line.n_messages]);
    while (s->line.n_media > n_media) medium_free(s->mem, &s->line.media[--s->line.n_media]);
}

void mm__conversation_rollback(mm__session *s)
{
    drop(s, s->line.fed_messages, s->line.fed_media);
}

void mm__conversation_keep(mm__session *s, size_t n_messages)
{
    int32_t last = -1;
    for (size_t i = 0; i < n_messages; i++)
        for (size_t j = 0; j < s->line.messages[i].n; j++)
            if (s->line.messages[i].pieces[j].medium > last) last = s->line.messages[i].pieces[j].medium;
    drop(s, n_messages, (size_t)(last + 1));
    s->line.fed_messages = s->line.n_messages;
    s->line.fed_media = s->line.n_media;
}

void mm__conversation_forget(mm__session *s, size_t n_messages, size_t n_media)
{
    mm__timeline *t = &s->line;
    for (size_t i = 0; i < n_messages; i++) message_free(s->mem, &t->messages[i]);
    for (size_t i = 0; i < n_media; i++) medium_free(s->mem, &t->media[i]);
    t->n_messages -= n_messages;
    t->n_media -= n_media;
    if (t->n_messages) memmove(t->messages, t->messages + n_messages, t->n_messages * sizeof *t->messages);
    if (t->n_media) memmove(t->media, t->media + n_media, t->n_media * sizeof *t->media);
    for (size_t i = 0; i < t->n_messages; i++)
        for (size_t j = 0; j < t->messages[i].n; j++)
            if (t->messages[i].pieces[j].kind == MM__PIECE_MEDIUM) t->messages[i].pieces[j].medium -= (int32_t)n_media;
    t->fed_messages -= n_messages;
    t->fed_media -= n_media;
}

void mm__conversation_free(mm__session *s)
{
    drop(s, 0, 0);
    mm__free(s->mem, s->line.messages);
    mm__free(s->mem, s->line.media);
    mm__free(s->mem, s->line.rows);
    mm__free(s->mem, s->line.held);
}

/* ---- adding ---- */

mm__message *mm__conversation_message(mm__session *s, const char *role, const char *extra)
{
    if (!mm__grow(s->mem, &s->line.messages, s->line.n_messages, &s->line.cap_messages, sizeof *s->line.messages)) return NULL;
    mm__message m = {.role = mm__strdup(s->mem, role), .extra = extra ? mm__strdup(s->mem, extra) : NULL};
    if (!m.role || (extra && !m.extra)) {
        message_free(s->mem, &m);
        return NULL;
    }
    s->line.messages[s->line.n_messages] = m;
    return &s->line.messages[s->line.n_messages++];
}

bool mm__conversation_piece(mm__session *s, mm__message *m, mm__piece p)
{
    const bool ok = (p.text || p.ids || p.kind == MM__PIECE_MEDIUM) && mm__grow(s->mem, &m->pieces, m->n, &m->cap, sizeof *m->pieces);
    if (ok) {
        m->pieces[m->n++] = p;
        return true;
    }
    mm__free(s->mem, p.text);
    mm__free(s->mem, p.ids);
    return false;
}

static bool add_text(mm__session *s, mm__message *m, const char *text, size_t len)
{
    const bool prompt = s->task == MM__TASK_GENERATE || s->task == MM__TASK_TRANSCRIBE;
    if (len == 0 && prompt) return true; /* an empty text still has a vector */
    return mm__conversation_piece(s, m, (mm__piece){MM__PIECE_TEXT, mm__strndup(s->mem, text, len), NULL, len, -1});
}

static bool add_medium(mm__session *s, mm__message *m, int32_t medium)
{
    return mm__conversation_piece(s, m, (mm__piece){.kind = MM__PIECE_MEDIUM, .medium = medium});
}

static bool add_ids(mm__session *s, mm__message *m, const int32_t *ids, size_t n)
{
    int32_t *copy = mm__calloc(s->mem, n, sizeof *copy);
    if (copy) memcpy(copy, ids, n * sizeof *ids);
    return mm__conversation_piece(s, m, (mm__piece){MM__PIECE_IDS, NULL, copy, n, -1});
}

static mm_status clone_medium(mm__session *s, const mm__item *it, mm_error *err)
{
    if (!mm__grow(s->mem, &s->line.media, s->line.n_media, &s->line.cap_media, sizeof *s->line.media)) return mm__nomem(err, "a medium");
    mm__medium m = {.kind = it->kind};
    mm_status st = MM_OK;
    if (it->kind == MM__ITEM_IMAGE) {
        const mm__pixels *p = it->pixels;
        st = mm__pixels_create(s->mem, p->width, p->height, p->channels, &m.pixels, err);
        if (st == MM_OK) memcpy(m.pixels->data, p->data, (size_t)p->width * (size_t)p->height * (size_t)p->channels);
    } else {
        const int32_t rate = s->a->audio.rate ? s->a->audio.rate : it->samples->rate;
        st = mm__audio_from_pcm(s->mem, it->samples->data, NULL, it->samples->n, 1, it->samples->rate, rate, &m.samples, err);
    }
    if (st == MM_OK) s->line.media[s->line.n_media++] = m;
    return st;
}

static mm_status check_modality(const mm__session *s, mm__item_kind kind, mm_error *err)
{
    const unsigned need = kind == MM__ITEM_IMAGE ? MM__IN_IMAGE : kind == MM__ITEM_AUDIO ? MM__IN_AUDIO : MM__IN_TEXT;
    if (s->a->modalities & need) return MM_OK;
    return mm__fail(err, MM_E_UNSUPPORTED, "this model takes no %s",
                    need == MM__IN_IMAGE ? "pictures" : need == MM__IN_AUDIO ? "sound" : "text");
}

static mm_status check_ids(const mm__session *s, const mm__item *it, mm_error *err)
{
    if (!(s->opt.flags & MM_SESSION_RAW)) return mm__fail(err, MM_E_ARG, "token ids are for raw sessions (MM_SESSION_RAW)");
    if (s->task != MM__TASK_GENERATE) return mm__fail(err, MM_E_ARG, "token ids are for the task \"generate\"");
    if (!it->len) return mm__fail(err, MM_E_ARG, "a list of token ids is empty");
    return mm__session_check_ids(s, it->ids, it->len, err);
}

/* Items [from, to) of one message. First the media that no mark places, then the rest, texts cut at marks. */

/* The first mark of a kind (0: pictures, 1: sound) in a text. */
static const char *find_mark(const mm__session *s, const char *text, int kind, size_t *len)
{
    const char *own = kind == 0 && (s->opt.flags & MM_SESSION_RAW) ? s->a->prompt.placeholder : NULL;
    const char *hit = strstr(text, marks[kind]), *other = own ? strstr(text, own) : NULL;
    const bool take = other && (!hit || other < hit);
    *len = strlen(take ? own : marks[kind]);
    return take ? other : hit;
}

static size_t count_marks(const mm__session *s, const mm__feed *in, size_t from, size_t to, int kind)
{
    size_t n = 0, len;
    for (size_t i = from; i < to; i++) {
        if (in->items[i].kind != MM__ITEM_TEXT) continue;
        for (const char *p = in->items[i].text; (p = find_mark(s, p, kind, &len)); p += len) n++;
    }
    return n;
}

static bool add_marked_text(mm__session *s, mm__message *m, const mm__item *it, const int32_t *const queue[2], const size_t n[2],
                            size_t used[2])
{
    const char *p = it->text, *end = it->text + it->len;
    if (p == end) return add_text(s, m, p, 0);
    while (p < end) {
        const char *hit = NULL;
        size_t len = 0, l;
        int kind = 0;
        for (int k = 0; k < 2; k++) {
            const char *h = used[k] < n[k] ? find_mark(s, p, k, &l) : NULL;
            if (!h || (hit && hit < h)) continue;
            hit = h;
            len = l;
            kind = k;
        }
        if (!hit) return add_text(s, m, p, (size_t)(end - p));
        if (!add_text(s, m, p, (size_t)(hit - p)) || !add_medium(s, m, queue[kind][used[kind]])) return false;
        used[kind]++;
        p = hit + len;
    }
    return true;
}

static mm_status add_pieces(mm__session *s, mm__message *m, const mm__feed *in, size_t from, size_t to, mm_error *err)
{
    mm_status st = MM_OK;
    int32_t *queue[2] = {mm__calloc(s->mem, to - from, sizeof(int32_t)), mm__calloc(s->mem, to - from, sizeof(int32_t))};
    size_t n[2] = {0}, used[2] = {0};
    if (!queue[0] || !queue[1]) st = mm__nomem(err, "a message");
    for (size_t i = from; st == MM_OK && i < to; i++) {
        const mm__item *it = &in->items[i];
        if (it->kind == MM__ITEM_ROLE) continue;
        if (it->kind == MM__ITEM_IDS) {
            st = check_ids(s, it, err);
            continue;
        }
        if ((st = check_modality(s, it->kind, err)) != MM_OK || it->kind == MM__ITEM_TEXT) continue;
        const int k = it->kind == MM__ITEM_AUDIO;
        queue[k][n[k]++] = (int32_t)s->line.n_media;
        st = clone_medium(s, it, err);
    }
    bool ok = true;
    /* Interleaved inputs without marks keep their order; with marks, media go to the marks. */
    const bool marked = st == MM_OK && (count_marks(s, in, from, to, 0) > 0 || count_marks(s, in, from, to, 1) > 0);
    for (int k = 0; st == MM_OK && marked && k < 2; k++)
        for (size_t places = count_marks(s, in, from, to, k); ok && n[k] - used[k] > places; used[k]++)
            ok = add_medium(s, m, queue[k][used[k]]);
    for (size_t i = from; st == MM_OK && ok && i < to; i++) {
        const mm__item *it = &in->items[i];
        if (it->kind == MM__ITEM_TEXT) ok = add_marked_text(s, m, it, (const int32_t *const *)queue, n, used);
        else if (it->kind == MM__ITEM_IDS) ok = add_ids(s, m, it->ids, it->len);
        else if (!marked && (it->kind == MM__ITEM_IMAGE || it->kind == MM__ITEM_AUDIO)) {
            const int k = it->kind == MM__ITEM_AUDIO;
            ok = add_medium(s, m, queue[k][used[k]]);
            used[k]++;
        }
    }
    if (st == MM_OK && !ok) st = mm__nomem(err, "a message");
    mm__free(s->mem, queue[0]);
    mm__free(s->mem, queue[1]);
    return st;
}

mm_status mm__conversation_add(mm__session *s, const mm__feed *in, mm_error *err)
{
    const size_t fed_messages = s->line.fed_messages, fed_media = s->line.fed_media;
    mm_status st = MM_OK;
    s->line.fed_messages = s->line.n_messages;
    s->line.fed_media = s->line.n_media;
    for (size_t i = 0; st == MM_OK && i < in->n;) {
        const bool has_role = in->items[i].kind == MM__ITEM_ROLE;
        size_t end = i + 1;
        while (end < in->n && in->items[end].kind != MM__ITEM_ROLE) end++;
        mm__message *m = mm__conversation_message(s, has_role ? in->items[i].text : "user", in->items[i].extra);
        st = m ? add_pieces(s, m, in, i, end, err) : mm__nomem(err, "a message");
        i = end;
    }
    if (st == MM_OK) return MM_OK;
    mm__conversation_rollback(s);
    s->line.fed_messages = fed_messages;
    s->line.fed_media = fed_media;
    return st;
}

bool mm__conversation_has_ids(const mm__session *s)
{
    for (size_t i = 0; i < s->line.n_messages; i++)
        for (size_t j = 0; j < s->line.messages[i].n; j++)
            if (s->line.messages[i].pieces[j].kind == MM__PIECE_IDS) return true;
    return false;
}

mm_status mm__conversation_answer(mm__session *s, mm_error *err)
{
    const bool exact = mm__conversation_has_ids(s);
    mm__message *m = mm__conversation_message(s, "assistant", NULL);
    const bool ok = m && (exact ? add_ids(s, m, s->answer.data, s->answer.len)
                                : add_text(s, m, mm__buf_str(&s->out.text), s->out.text.len));
    return ok ? MM_OK : mm__nomem(err, "a message");
}

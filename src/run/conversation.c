/* The conversation: messages as the host fed them, media beside them, and the text a template makes of both.
 *
 * "<image>" and "<audio>" in a text place the next medium of that kind of the same message; media without a place come
 * first. Templates come in two kinds: those that walk over content parts get parts, the others get one string with the
 * model's placeholder written into it. */
#include "session.h"

#include "../base/error.h"
#include "../base/os/os.h"

#include <string.h>

static const char *const marks[] = {"<image>", "<audio>"};

static void message_free(mm__mem *mem, mm__message *m)
{
    for (size_t i = 0; i < m->n; i++) mm__free(mem, m->pieces[i].text);
    mm__free(mem, m->pieces);
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
    while (s->n_messages > n_messages) message_free(s->mem, &s->messages[--s->n_messages]);
    while (s->n_media > n_media) medium_free(s->mem, &s->media[--s->n_media]);
}

void mm__conversation_rollback(mm__session *s)
{
    drop(s, s->fed_messages, s->fed_media);
}

void mm__conversation_clear(mm__session *s)
{
    drop(s, 0, 0);
    s->fed_messages = s->fed_media = 0;
}

void mm__conversation_free(mm__session *s)
{
    drop(s, 0, 0);
    mm__free(s->mem, s->messages);
    mm__free(s->mem, s->media);
}

/* ---- adding ---- */

static mm__message *new_message(mm__session *s, const char *role)
{
    if (!mm__grow(s->mem, &s->messages, s->n_messages, &s->cap_messages, sizeof *s->messages)) return NULL;
    mm__message m = {.role = mm__strdup(s->mem, role)};
    if (!m.role) return NULL;
    s->messages[s->n_messages] = m;
    return &s->messages[s->n_messages++];
}

static bool add_piece(mm__session *s, mm__message *m, const char *text, size_t len, int32_t medium)
{
    const bool prompt = s->task == MM__TASK_GENERATE || s->task == MM__TASK_TRANSCRIBE;
    if (medium < 0 && len == 0 && prompt) return true; /* an empty text still has a vector */
    if (!mm__grow(s->mem, &m->pieces, m->n, &m->cap, sizeof *m->pieces)) return false;
    mm__piece p = {.text = mm__strndup(s->mem, text ? text : "", len), .len = len, .medium = medium};
    if (!p.text) return false;
    m->pieces[m->n++] = p;
    return true;
}

static mm_status clone_medium(mm__session *s, const mm__item *it, mm_error *err)
{
    if (!mm__grow(s->mem, &s->media, s->n_media, &s->cap_media, sizeof *s->media)) return mm__nomem(err, "a medium");
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
    if (st == MM_OK) s->media[s->n_media++] = m;
    return st;
}

static mm_status check_modality(const mm__session *s, mm__item_kind kind, mm_error *err)
{
    const unsigned need = kind == MM__ITEM_IMAGE ? MM__IN_IMAGE : kind == MM__ITEM_AUDIO ? MM__IN_AUDIO : MM__IN_TEXT;
    if (s->a->modalities & need) return MM_OK;
    return mm__fail(err, MM_E_UNSUPPORTED, "this model takes no %s",
                    need == MM__IN_IMAGE ? "pictures" : need == MM__IN_AUDIO ? "sound" : "text");
}

/* Items [from, to) of one message. First the media that no mark places, then texts, cut at marks. */

static size_t count_marks(const mm__feed *in, size_t from, size_t to, int kind)
{
    size_t n = 0;
    for (size_t i = from; i < to; i++) {
        if (in->items[i].kind != MM__ITEM_TEXT) continue;
        for (const char *p = in->items[i].text; (p = strstr(p, marks[kind])); p += strlen(marks[kind])) n++;
    }
    return n;
}

static bool add_marked_text(mm__session *s, mm__message *m, const mm__item *it, const int32_t *const queue[2], const size_t n[2],
                            size_t used[2])
{
    const char *p = it->text, *end = it->text + it->len;
    if (p == end) return add_piece(s, m, p, 0, -1);
    while (p < end) {
        const char *hit = NULL;
        int kind = 0;
        for (int k = 0; k < 2; k++) {
            const char *h = used[k] < n[k] ? strstr(p, marks[k]) : NULL;
            if (h && (!hit || h < hit)) {
                hit = h;
                kind = k;
            }
        }
        if (!hit) return add_piece(s, m, p, (size_t)(end - p), -1);
        if (!add_piece(s, m, p, (size_t)(hit - p), -1) || !add_piece(s, m, NULL, 0, queue[kind][used[kind]])) return false;
        used[kind]++;
        p = hit + strlen(marks[kind]);
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
        if (it->kind == MM__ITEM_ROLE || it->kind == MM__ITEM_IDS) continue;
        if ((st = check_modality(s, it->kind, err)) != MM_OK || it->kind == MM__ITEM_TEXT) continue;
        const int k = it->kind == MM__ITEM_AUDIO;
        queue[k][n[k]++] = (int32_t)s->n_media;
        st = clone_medium(s, it, err);
    }
    bool ok = true;
    /* Interleaved inputs without marks keep their order; with marks, media go to the marks. */
    const bool marked = st == MM_OK && (count_marks(in, from, to, 0) > 0 || count_marks(in, from, to, 1) > 0);
    for (int k = 0; st == MM_OK && marked && k < 2; k++)
        for (size_t places = count_marks(in, from, to, k); ok && n[k] - used[k] > places; used[k]++)
            ok = add_piece(s, m, NULL, 0, queue[k][used[k]]);
    for (size_t i = from; st == MM_OK && ok && i < to; i++) {
        const mm__item *it = &in->items[i];
        if (it->kind == MM__ITEM_TEXT) ok = add_marked_text(s, m, it, (const int32_t *const *)queue, n, used);
        else if (!marked && (it->kind == MM__ITEM_IMAGE || it->kind == MM__ITEM_AUDIO)) {
            const int k = it->kind == MM__ITEM_AUDIO;
            ok = add_piece(s, m, NULL, 0, queue[k][used[k]]);
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
    mm_status st = MM_OK;
    s->fed_messages = s->n_messages;
    s->fed_media = s->n_media;
    for (size_t i = 0; st == MM_OK && i < in->n;) {
        const bool has_role = in->items[i].kind == MM__ITEM_ROLE;
        size_t end = i + 1;
        while (end < in->n && in->items[end].kind != MM__ITEM_ROLE) end++;
        mm__message *m = new_message(s, has_role ? in->items[i].text : "user");
        st = m ? add_pieces(s, m, in, i, end, err) : mm__nomem(err, "a message");
        i = end;
    }
    if (st != MM_OK) mm__conversation_rollback(s);
    return st;
}

mm_status mm__conversation_answer(mm__session *s, const char *text, size_t len, mm_error *err)
{
    mm__message *m = new_message(s, "assistant");
    return m && add_piece(s, m, text, len, -1) ? MM_OK : mm__nomem(err, "a message");
}

/* ---- rendering ---- */

/* Whether the template walks over content parts. */
static bool wants_parts(const mm__assembly *a, bool has_media)
{
    const char *t = a->chat_text;
    const bool parts = strstr(t, "['type']") || strstr(t, ".type") || strstr(t, "[\"type\"]") || strstr(t, "'type',");
    const bool strings = strstr(t, "is string") || strstr(t, "is iterable");
    return parts && (has_media || !strings);
}

static void write_content(mm__session *s, const mm__message *m, bool parts, mm__buf *b)
{
    mm__buf flat;
    mm__buf_init(&flat, s->mem);
    if (parts) mm__buf_putc(b, '[');
    for (size_t i = 0; i < m->n; i++) {
        const mm__piece *p = &m->pieces[i];
        if (!parts) {
            if (p->medium < 0) mm__buf_put(&flat, p->text, p->len);
            else mm__buf_puts(&flat, s->a->prompt.placeholder ? s->a->prompt.placeholder : "");
            continue;
        }
        if (i) mm__buf_putc(b, ',');
        if (p->medium >= 0) {
            mm__buf_puts(b, s->media[p->medium].kind == MM__ITEM_IMAGE ? "{\"type\":\"image\"}" : "{\"type\":\"audio\"}");
            continue;
        }
        mm__buf_puts(b, "{\"type\":\"text\",\"text\":");
        mm__buf_json_string(b, p->text, p->len);
        mm__buf_putc(b, '}');
    }
    if (parts) mm__buf_putc(b, ']');
    else mm__buf_json_string(b, mm__buf_str(&flat), flat.len);
    b->failed |= flat.failed;
    mm__buf_free(&flat);
}

static void write_named(mm__buf *b, const char *name, const char *value)
{
    mm__buf_printf(b, ",\"%s\":", name);
    mm__buf_json_string(b, value ? value : "", value ? strlen(value) : 0);
}

/* The template's variables around an array of messages in JSON. */
mm_status mm__render_messages(mm__mem *mem, mm__assembly *a, const char *json, size_t len, bool add_prompt, mm__buf *out, mm_error *err)
{
    if (!a->chat) return mm__fail(err, MM_E_UNSUPPORTED, "this model has no chat template");
    mm__buf context;
    mm__json_doc *doc = NULL;
    mm__buf_init(&context, mem);
    mm__buf_printf(&context, "{\"add_generation_prompt\":%s", add_prompt ? "true" : "false");
    write_named(&context, "bos_token", a->bos_token);
    write_named(&context, "eos_token", a->eos_token);
    mm__buf_puts(&context, ",\"messages\":");
    mm__buf_put(&context, json, len);
    mm__buf_putc(&context, '}');
    mm_status st = context.failed ? mm__nomem(err, "messages")
                                  : mm__json_parse(mem, mm__buf_str(&context), context.len, "messages", &doc, err);
    if (st == MM_OK) st = mm__template_render(a->chat, mm__json_root(doc), mm__os_wall(), out, err);
    mm__json_free(doc);
    mm__buf_free(&context);
    return st;
}

static mm_status render(mm__session *s, mm__buf *out, mm_error *err)
{
    const bool parts = wants_parts(s->a, s->n_media > 0);
    mm__buf b;
    mm__buf_init(&b, s->mem);
    mm__buf_putc(&b, '[');
    for (size_t i = 0; i < s->n_messages; i++) {
        mm__buf_puts(&b, i ? ",{\"role\":" : "{\"role\":");
        mm__buf_json_string(&b, s->messages[i].role, strlen(s->messages[i].role));
        mm__buf_puts(&b, ",\"content\":");
        write_content(s, &s->messages[i], parts, &b);
        mm__buf_putc(&b, '}');
    }
    mm__buf_putc(&b, ']');
    mm_status st = b.failed ? mm__nomem(err, "a conversation")
                            : mm__render_messages(s->mem, s->a, mm__buf_str(&b), b.len, true, out, err);
    mm__buf_free(&b);
    return st;
}

mm_status mm__conversation_text(mm__session *s, mm__buf *out, mm__ids *order, mm_error *err)
{
    const bool raw = !s->a->chat || (s->opt.flags & MM_SESSION_RAW);
    mm_status st = MM_OK;
    for (size_t i = 0; i < s->n_messages; i++)
        for (size_t j = 0; j < s->messages[i].n; j++) {
            const mm__piece *p = &s->messages[i].pieces[j];
            if (p->medium >= 0) mm__ids_push(order, p->medium);
            if (!raw) continue;
            if (p->medium < 0) mm__buf_put(out, p->text, p->len);
            else if (s->a->prompt.media != MM__MEDIA_FIRST) mm__buf_puts(out, s->a->prompt.placeholder);
        }
    if (!raw) st = render(s, out, err);
    if (st == MM_OK && (out->failed || order->failed)) st = mm__nomem(err, "a conversation");
    return st;
}

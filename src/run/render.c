/* The text of a conversation: what the chat template makes of the messages, or the messages one behind the other where the
 * model has none.
 *
 * Templates come in two kinds: those that walk over content parts get parts, the others get one string with the model's
 * placeholder written into it. Either way a placeholder in the result is a medium's place, and a special token is the
 * template's: what the host's texts spell, those in JSON too, is hidden behind stand-ins (text/plain.h).
 *
 * The values go to the template as JSON text, the form in which mm_model_apply_template() gets them from the host: one way
 * in, with one place that repairs and limits what comes. */
#include "session.h"

#include "../base/error.h"
#include "../base/os/os.h"

#include <string.h>

bool mm__session_is_chat(const mm__session *s)
{
    return s->a->chat && !(s->opt.flags & MM_SESSION_RAW);
}

/* ---- hiding ---- */

static bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* Chooses how to write a text: *hide is NULL, or stand-ins where `probe`, the text or more than it, spells a special token.
 * They are chosen when the first text needs them. */
static mm_status choose_hiding(mm__session *s, const char *probe, size_t len, mm__plain *plain, const mm__plain **hide, mm_error *err)
{
    bool yes = false;
    mm_status st = mm__plain_spells(s->a->tokenizer, s->a->prompt.placeholder, probe, len, &yes, err);
    if (st == MM_OK && yes && !plain->open) st = mm__plain_open(plain, s->a->tokenizer, s->a->prompt.placeholder, err);
    *hide = st == MM_OK && yes ? plain : NULL;
    return st;
}

/* The same for the texts of a message: as they stand, joined, or joined without the blanks a template may trim from each. */
static mm_status hide_message(mm__session *s, const mm__message *m, mm__plain *plain, const mm__plain **hide, mm_error *err)
{
    mm__buf probe;
    mm__buf_init(&probe, s->mem);
    for (int trim = 0; trim < (m->n > 1 ? 2 : 1); trim++) {
        for (size_t i = 0; i < m->n; i++) {
            if (m->pieces[i].kind != MM__PIECE_TEXT) continue;
            const char *p = m->pieces[i].text, *end = p + m->pieces[i].len;
            while (trim && p < end && is_blank(*p)) p++;
            while (trim && p < end && is_blank(end[-1])) end--;
            mm__buf_put(&probe, p, (size_t)(end - p));
        }
        mm__buf_putc(&probe, '\n');
    }
    mm_status st = probe.failed ? mm__nomem(err, "a conversation") : choose_hiding(s, probe.data, probe.len, plain, hide, err);
    mm__buf_free(&probe);
    return st;
}

static void note_text(mm__plain *plain, const char *text)
{
    if (text) mm__plain_note(plain, text, strlen(text));
}

static void note_texts(const mm__session *s, mm__plain *plain)
{
    note_text(plain, s->a->chat_text);
    note_text(plain, s->tools);
    note_text(plain, s->variables);
    for (size_t i = 0; i < s->line.n_messages; i++) {
        const mm__message *m = &s->line.messages[i];
        note_text(plain, m->role);
        note_text(plain, m->extra);
        for (size_t j = 0; j < m->n; j++)
            if (m->pieces[j].kind == MM__PIECE_TEXT) mm__plain_note(plain, m->pieces[j].text, m->pieces[j].len);
    }
}

static void put_text(const mm__plain *hide, const char *text, size_t len, mm__buf *out)
{
    if (hide) mm__plain_hide(hide, text, len, out);
    else mm__buf_put(out, text, len);
}

/* ---- through the template ---- */

/* Whether the template walks over content parts. */
static bool wants_parts(const mm__assembly *a, bool has_media)
{
    const char *t = a->chat_text;
    const bool parts = strstr(t, "['type']") || strstr(t, ".type") || strstr(t, "[\"type\"]") || strstr(t, "'type',");
    const bool strings = strstr(t, "is string") || strstr(t, "is iterable");
    return parts && (has_media || !strings);
}

static void write_string(mm__buf *b, const mm__plain *hide, const char *text, size_t len)
{
    mm__buf hidden;
    mm__buf_init(&hidden, b->mem);
    put_text(hide, text, len, &hidden);
    mm__buf_json_string(b, mm__buf_str(&hidden), hidden.len);
    b->failed |= hidden.failed;
    mm__buf_free(&hidden);
}

/* The strings of a JSON value and the keys in it, a line each. No deeper than JSON may be nested. */
static void gather_strings(const mm__json *v, mm__buf *out)
{
    const bool object = mm__json_kind(v) == MM__JSON_OBJECT;
    const char *text;
    size_t len;
    for (size_t i = 0; i < mm__json_count(v); i++) {
        const mm__json *kid = object ? mm__json_member(v, i, &text, &len) : mm__json_at(v, i);
        if (object) {
            mm__buf_put(out, text, len);
            mm__buf_putc(out, '\n');
        }
        gather_strings(kid, out);
    }
    if (!(text = mm__json_str(v, &len, NULL))) return;
    mm__buf_put(out, text, len);
    mm__buf_putc(out, '\n');
}

/* The value with its strings and keys hidden, and nothing but these: what opens a special token may be JSON's own bracket. */
static void write_value(mm__buf *b, const mm__plain *hide, const mm__json *v)
{
    const int kind = mm__json_kind(v);
    const char *text;
    size_t len;
    if ((text = mm__json_str(v, &len, NULL))) {
        write_string(b, hide, text, len);
        return;
    }
    if (kind != MM__JSON_ARRAY && kind != MM__JSON_OBJECT) {
        mm__json_write(v, b);
        return;
    }
    mm__buf_putc(b, kind == MM__JSON_ARRAY ? '[' : '{');
    for (size_t i = 0; i < mm__json_count(v); i++) {
        const mm__json *kid = kind == MM__JSON_OBJECT ? mm__json_member(v, i, &text, &len) : mm__json_at(v, i);
        if (i) mm__buf_putc(b, ',');
        if (kind == MM__JSON_OBJECT) {
            write_string(b, hide, text, len);
            mm__buf_putc(b, ':');
        }
        write_value(b, hide, kid);
    }
    mm__buf_putc(b, kind == MM__JSON_ARRAY ? ']' : '}');
}

/* Appends what the host gave as JSON, behind a comma: the members of an object, or one value by `name`. */
static mm_status write_json(mm__session *s, const char *name, const char *json, mm__plain *plain, mm__buf *b, mm_error *err)
{
    const mm__plain *hide;
    mm__json_doc *doc = NULL;
    mm__buf whole, strings;
    if (!json) return MM_OK;
    mm__buf_init(&whole, s->mem);
    mm__buf_init(&strings, s->mem);
    if (name) mm__buf_printf(&whole, "{\"%s\":%s}", name, json);
    else mm__buf_printf(&whole, "{%s}", json);
    mm_status st = whole.failed ? mm__nomem(err, "a conversation") : mm__json_parse(s->mem, whole.data, whole.len, "messages", &doc, err);
    if (st == MM_OK) gather_strings(mm__json_root(doc), &strings);
    if (st == MM_OK && strings.failed) st = mm__nomem(err, "a conversation");
    if (st == MM_OK) st = choose_hiding(s, mm__buf_str(&strings), strings.len, plain, &hide, err);
    if (st == MM_OK) {
        mm__buf_clear(&whole);
        write_value(&whole, hide, mm__json_root(doc));
        if (whole.len > 2) {
            mm__buf_putc(b, ',');
            mm__buf_put(b, whole.data + 1, whole.len - 2);
        }
        b->failed |= whole.failed;
    }
    mm__json_free(doc);
    mm__buf_free(&strings);
    mm__buf_free(&whole);
    return st;
}

/* Pieces as text, media as the placeholder. */
static void put_flat(const mm__message *m, const mm__plain *hide, const char *placeholder, mm__buf *out)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->pieces[i].kind == MM__PIECE_TEXT) put_text(hide, m->pieces[i].text, m->pieces[i].len, out);
        else mm__buf_puts(out, placeholder);
}

static void write_parts(const mm__session *s, const mm__message *m, const mm__plain *hide, mm__buf *b)
{
    mm__buf_putc(b, '[');
    for (size_t i = 0; i < m->n; i++) {
        const mm__piece *p = &m->pieces[i];
        if (i) mm__buf_putc(b, ',');
        if (p->kind == MM__PIECE_MEDIUM) {
            mm__buf_puts(b, s->line.media[p->medium].kind == MM__ITEM_IMAGE ? "{\"type\":\"image\"}" : "{\"type\":\"audio\"}");
            continue;
        }
        mm__buf_puts(b, "{\"type\":\"text\",\"text\":");
        write_string(b, hide, p->text, p->len);
        mm__buf_putc(b, '}');
    }
    mm__buf_putc(b, ']');
}

static mm_status write_message(mm__session *s, const mm__message *m, mm__plain *plain, bool parts, mm__buf *b, mm_error *err)
{
    const mm__plain *role, *hide = NULL;
    mm_status st = choose_hiding(s, m->role, strlen(m->role), plain, &role, err);
    if (st == MM_OK) st = hide_message(s, m, plain, &hide, err);
    if (st != MM_OK) return st;
    mm__buf flat;
    mm__buf_init(&flat, s->mem);
    mm__buf_puts(b, "{\"role\":");
    write_string(b, role, m->role, strlen(m->role));
    mm__buf_puts(b, ",\"content\":");
    if (parts) write_parts(s, m, hide, b);
    else {
        put_flat(m, hide, s->a->prompt.placeholder ? s->a->prompt.placeholder : "", &flat);
        mm__buf_json_string(b, mm__buf_str(&flat), flat.len);
    }
    st = write_json(s, NULL, m->extra, plain, b, err);
    mm__buf_putc(b, '}');
    b->failed |= flat.failed;
    mm__buf_free(&flat);
    return st;
}

static void write_named(mm__buf *b, const char *name, const char *value)
{
    mm__buf_printf(b, ",\"%s\":", name);
    mm__buf_json_string(b, value ? value : "", value ? strlen(value) : 0);
}

/* Renders with `members`, the inside of a JSON object, among the variables. */
static mm_status render(mm__mem *mem, mm__assembly *a, const char *members, size_t len, bool add_prompt, mm__buf *out, mm_error *err)
{
    mm__buf context;
    mm__json_doc *doc = NULL;
    mm__buf_init(&context, mem);
    mm__buf_printf(&context, "{\"add_generation_prompt\":%s", add_prompt ? "true" : "false");
    write_named(&context, "bos_token", a->bos_token);
    write_named(&context, "eos_token", a->eos_token);
    mm__buf_putc(&context, ',');
    mm__buf_put(&context, members, len);
    mm__buf_putc(&context, '}');
    mm_status st = context.failed ? mm__nomem(err, "messages")
                                  : mm__json_parse(mem, mm__buf_str(&context), context.len, "messages", &doc, err);
    if (st == MM_OK) st = mm__template_render(a->chat, mm__json_root(doc), mm__os_wall(), out, err);
    mm__json_free(doc);
    mm__buf_free(&context);
    return st;
}

/* The members of what a host wrote: an object's, or an array's as "messages". */
mm_status mm__render_messages(mm__mem *mem, mm__assembly *a, const char *json, size_t len, bool add_prompt, mm__buf *out, mm_error *err)
{
    if (!a->chat) return mm__fail(err, MM_E_UNSUPPORTED, "this model has no chat template");
    mm__json_doc *doc;
    mm__buf b;
    mm_status st = mm__json_parse(mem, json, len, "messages", &doc, err);
    if (st != MM_OK) return st;
    const mm__json *root = mm__json_root(doc);
    mm__buf_init(&b, mem);
    if (mm__json_kind(root) == MM__JSON_ARRAY) {
        mm__buf_puts(&b, "\"messages\":");
        mm__json_write(root, &b);
    } else if (mm__json_kind(mm__json_get(root, "messages")) == MM__JSON_ARRAY) {
        mm__json_write_members(root, &b);
    } else {
        st = mm__fail(err, MM_E_FORMAT, "messages: expected an array of {\"role\", \"content\"} objects, or an object with \"messages\"");
    }
    mm__json_free(doc);
    if (st == MM_OK && b.failed) st = mm__nomem(err, "messages");
    if (st == MM_OK) st = render(mem, a, b.data, b.len, add_prompt, out, err);
    mm__buf_free(&b);
    return st;
}

static mm_status render_chat(mm__session *s, mm__plain *plain, mm__buf *out, mm_error *err)
{
    const bool parts = wants_parts(s->a, s->line.n_media > 0);
    mm_status st = MM_OK;
    mm__buf b;
    mm__buf_init(&b, s->mem);
    mm__buf_puts(&b, "\"messages\":[");
    for (size_t i = 0; st == MM_OK && i < s->line.n_messages; i++) {
        if (i) mm__buf_putc(&b, ',');
        st = write_message(s, &s->line.messages[i], plain, parts, &b, err);
    }
    mm__buf_putc(&b, ']');
    if (st == MM_OK) st = write_json(s, "tools", s->tools, plain, &b, err);
    if (st == MM_OK) st = write_json(s, NULL, s->variables, plain, &b, err);
    if (st == MM_OK && b.failed) st = mm__nomem(err, "a conversation");
    if (st == MM_OK) st = render(s->mem, s->a, mm__buf_str(&b), b.len, true, out, err);
    mm__buf_free(&b);
    return st;
}

mm_status mm__render_conversation(mm__session *s, mm__plain *plain, mm__buf *out, mm_error *err)
{
    const char *place = s->a->prompt.media == MM__MEDIA_FIRST || !s->a->prompt.placeholder ? "" : s->a->prompt.placeholder;
    mm_status st = MM_OK;
    note_texts(s, plain);
    if (mm__session_is_chat(s)) return render_chat(s, plain, out, err);
    for (size_t i = 0; st == MM_OK && i < s->line.n_messages; i++) {
        const mm__plain *hide;
        st = hide_message(s, &s->line.messages[i], plain, &hide, err);
        if (st == MM_OK) put_flat(&s->line.messages[i], hide, place, out);
    }
    return st == MM_OK && out->failed ? mm__nomem(err, "a conversation") : st;
}

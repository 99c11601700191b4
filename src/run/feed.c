/* Building inputs. The OpenAI message layout is read here once, into the same items the single calls make. */
#include "feed.h"

#include "../base/digits.h"
#include "../base/error.h"

#include <string.h>

void mm__feed_init(mm__feed *in, const mm__files *files)
{
    *in = (mm__feed){.mem = files->mem, .files = files};
}

static void item_free(mm__mem *mem, mm__item *it)
{
    mm__free(mem, it->text);
    mm__free(mem, it->extra);
    mm__free(mem, it->ids);
    mm__pixels_free(it->pixels);
    mm__samples_free(it->samples);
}

void mm__feed_drop(mm__feed *in, size_t keep)
{
    while (in->n > keep) item_free(in->mem, &in->items[--in->n]);
}

void mm__feed_free(mm__feed *in)
{
    mm__feed_drop(in, 0);
    mm__free(in->mem, in->items);
    *in = (mm__feed){0};
}

static mm__item *add(mm__feed *in, mm__item_kind kind)
{
    if (!mm__grow(in->mem, &in->items, in->n, &in->cap, sizeof *in->items)) return NULL;
    in->items[in->n] = (mm__item){.kind = kind};
    return &in->items[in->n++];
}

mm_status mm__feed_add_text(mm__feed *in, mm__item_kind kind, const char *text, size_t len, mm_error *err)
{
    char *copy = mm__strndup(in->mem, text, len);
    mm__item *it = copy ? add(in, kind) : NULL;
    if (!it) {
        mm__free(in->mem, copy);
        return mm__nomem(err, "an input");
    }
    it->text = copy;
    it->len = len;
    return MM_OK;
}

mm_status mm__feed_add_ids(mm__feed *in, const int32_t *ids, size_t n, mm_error *err)
{
    int32_t *copy = mm__calloc(in->mem, n, sizeof *copy);
    mm__item *it = copy ? add(in, MM__ITEM_IDS) : NULL;
    if (!it) {
        mm__free(in->mem, copy);
        return mm__nomem(err, "an input");
    }
    if (n) memcpy(copy, ids, n * sizeof *ids);
    it->ids = copy;
    it->len = n;
    return MM_OK;
}

mm_status mm__feed_add_pixels(mm__feed *in, mm__pixels *p, mm_error *err)
{
    mm__item *it = add(in, MM__ITEM_IMAGE);
    if (!it) {
        mm__pixels_free(p);
        return mm__nomem(err, "an input");
    }
    it->pixels = p;
    return MM_OK;
}

mm_status mm__feed_add_samples(mm__feed *in, mm__samples *s, mm_error *err)
{
    mm__item *it = add(in, MM__ITEM_AUDIO);
    if (!it) {
        mm__samples_free(s);
        return mm__nomem(err, "an input");
    }
    it->samples = s;
    return MM_OK;
}

mm_status mm__feed_add_media(mm__feed *in, mm__item_kind kind, const void *bytes, size_t len, const char *what, mm_error *err)
{
    mm_status st;
    if (kind == MM__ITEM_IMAGE) {
        mm__pixels *p;
        if ((st = mm__image_decode(in->mem, bytes, len, what, &p, err)) != MM_OK) return st;
        return mm__feed_add_pixels(in, p, err);
    }
    mm__samples *s;
    if ((st = mm__audio_decode(in->mem, bytes, len, what, 0, &s, err)) != MM_OK) return st;
    if (s->cut)
        mm__logf(in->log, MM_LOG_WARN, "media", "%s: the sound file ends early or is damaged; the %.1f s that can be read are used", what,
                 (double)s->n / s->rate);
    return mm__feed_add_samples(in, s, err);
}

mm_status mm__feed_add_file(mm__feed *in, mm__item_kind kind, const char *path, mm_error *err)
{
    char *bytes;
    size_t len;
    mm_status st = mm__read_file(in->files, path, MM__LIMIT_MEDIA_BYTES, &bytes, &len, err);
    if (st != MM_OK) return st;
    st = mm__feed_add_media(in, kind, bytes, len, path, err);
    mm__free(in->mem, bytes);
    return st;
}

/* ---- OpenAI message layout ---- */

/* RFC 4648; white space and padding are skipped, anything else is refused. */
static mm_status base64(mm__mem *mem, const char *s, size_t n, uint8_t **out, size_t *len, mm_error *err)
{
    uint8_t *p = mm__alloc(mem, n / 4 * 3 + 3);
    if (!p) return mm__nomem(err, "media bytes");
    uint32_t acc = 0;
    int bits = 0;
    *len = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '=' || s[i] == '\n' || s[i] == '\r' || s[i] == ' ') continue;
        const int v = mm__base64_value(s[i]);
        if (v < 0) {
            mm__free(mem, p);
            return mm__fail(err, MM_E_FORMAT, "messages: byte %zu of a data URL is no base64", i);
        }
        acc = acc << 6 | (uint32_t)v;
        if ((bits += 6) >= 8) p[(*len)++] = (uint8_t)(acc >> (bits -= 8));
    }
    *out = p;
    return MM_OK;
}

static mm_status add_base64(mm__feed *in, mm__item_kind kind, const char *s, size_t n, mm_error *err)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    mm_status st = base64(in->mem, s, n, &bytes, &len, err);
    if (st != MM_OK) return st;
    st = mm__feed_add_media(in, kind, bytes, len, "messages: embedded medium", err);
    mm__free(in->mem, bytes);
    return st;
}

/* "data:[type][;parameter]*;base64,bytes" (RFC 2397). The type is not asked: the bytes say what they are. */
static mm_status add_data_url(mm__feed *in, mm__item_kind kind, const char *url, size_t len, mm_error *err)
{
    static const char mark[] = ";base64";
    const size_t n_mark = sizeof mark - 1;
    const char *comma = memchr(url, ',', len);
    if (!comma) return mm__fail(err, MM_E_FORMAT, "messages: a data URL lacks its comma");
    if ((size_t)(comma - url) < n_mark || memcmp(comma - n_mark, mark, n_mark) != 0)
        return mm__fail(err, MM_E_UNSUPPORTED, "messages: a data URL is not in base64; write data:TYPE;base64,BYTES");
    return add_base64(in, kind, comma + 1, len - (size_t)(comma + 1 - url), err);
}

/* The path in a file URL (RFC 8089), its %XX decoded in place; `url` starts after "file://". Without a host or with
 * "localhost" the path is absolute; what begins otherwise is read as a relative path, for people write that. */
static mm_status file_url_path(char *url, const char **path, mm_error *err)
{
    static const char here[] = "localhost/";
    if (strncmp(url, here, sizeof here - 1) == 0) url += sizeof here - 2;
    char *to = url;
    *path = url;
    for (const char *from = url; *from; from++) {
        if (*from != '%') {
            *to++ = *from;
            continue;
        }
        const int high = mm__hex_value(from[1]), low = high < 0 ? -1 : mm__hex_value(from[2]);
        if (low < 0 || (high | low) == 0)
            return mm__fail(err, MM_E_FORMAT, "messages: a file URL holds a %% that no two digits of a character follow");
        *to++ = (char)(high << 4 | low);
        from += 2;
    }
    *to = 0;
    return MM_OK;
}

static mm_status add_path(mm__feed *in, mm__item_kind kind, const char *path, const char *base_dir, mm_error *err)
{
    if (!base_dir || path[0] == '/') return mm__feed_add_file(in, kind, path, err);
    char *full = mm__path_join(in->mem, base_dir, path);
    if (!full) return mm__nomem(err, "a path");
    mm_status st = mm__feed_add_file(in, kind, full, err);
    mm__free(in->mem, full);
    return st;
}

static mm_status add_file_url(mm__feed *in, mm__item_kind kind, const char *rest, const char *base_dir, mm_error *err)
{
    const char *path;
    char *copy = mm__strdup(in->mem, rest);
    if (!copy) return mm__nomem(err, "a path");
    mm_status st = file_url_path(copy, &path, err);
    if (st == MM_OK) st = add_path(in, kind, path, base_dir, err);
    mm__free(in->mem, copy);
    return st;
}

/* A local path, file URL or data URL. */
static mm_status add_url(mm__feed *in, mm__item_kind kind, const char *url, size_t len, const char *base_dir, mm_error *err)
{
    if (memchr(url, 0, len)) return mm__fail(err, MM_E_FORMAT, "messages: the name of a file holds a NUL character");
    if (len > 5 && memcmp(url, "data:", 5) == 0) return add_data_url(in, kind, url, len, err);
    if (len > 7 && memcmp(url, "file://", 7) == 0) return add_file_url(in, kind, url + 7, base_dir, err);
    if (strstr(url, "://")) return mm__fail(err, MM_E_UNSUPPORTED, "messages: \"%.80s\" is not a local file", url);
    return add_path(in, kind, url, base_dir, err);
}

/* Texts go on as C strings: a NUL inside would cut them. */
static mm_status add_string(mm__feed *in, mm__item_kind kind, const char *text, size_t len, mm_error *err)
{
    if (memchr(text, 0, len)) return mm__fail(err, MM_E_FORMAT, "messages: a text holds a NUL character");
    return mm__feed_add_text(in, kind, text, len, err);
}

/* {"type":"image_url","image_url":{"url":..}|".."}, {"type":"image","image"|"path"|"url":..}, {"type":"input_audio",
 * "input_audio":{"data":base64}|{"path":..}}, {"type":"audio", ..}. */
static mm_status add_part(mm__feed *in, const mm__json *part, const char *base_dir, mm_error *err)
{
    const char *type = mm__json_str(mm__json_get(part, "type"), NULL, "");
    size_t len;
    if (strcmp(type, "text") == 0) {
        const char *text = mm__json_str(mm__json_get(part, "text"), &len, NULL);
        if (!text) return mm__fail(err, MM_E_FORMAT, "messages: a text part has no \"text\"");
        return add_string(in, MM__ITEM_TEXT, text, len, err);
    }
    const bool image = strcmp(type, "image_url") == 0 || strcmp(type, "image") == 0;
    if (!image && strcmp(type, "input_audio") != 0 && strcmp(type, "audio") != 0 && strcmp(type, "audio_url") != 0)
        return mm__fail(err, MM_E_UNSUPPORTED, "messages: parts of type \"%.40s\" are not supported", type);
    const mm__item_kind kind = image ? MM__ITEM_IMAGE : MM__ITEM_AUDIO;
    const mm__json *v = mm__json_get(part, type);
    static const char *const keys[] = {"image", "audio", "path", "url"};
    for (size_t i = 0; !v && i < 4; i++) v = mm__json_get(part, keys[i]);
    const char *data = mm__json_str(mm__json_get(v, "data"), &len, NULL);
    if (data) return add_base64(in, kind, data, len, err);
    if (mm__json_kind(v) == MM__JSON_OBJECT) v = mm__json_get(v, "url") ? mm__json_get(v, "url") : mm__json_get(v, "path");
    const char *url = mm__json_str(v, &len, NULL);
    if (!url) return mm__fail(err, MM_E_FORMAT, "messages: a part of type \"%.40s\" names no file", type);
    return add_url(in, kind, url, len, base_dir, err);
}

/* Members but role and content ("tool_calls", "name" ...) are for the chat template. */
static mm_status add_extra(mm__feed *in, const mm__json *m, mm_error *err)
{
    const char *key;
    size_t len;
    mm__buf b;
    mm__buf_init(&b, in->mem);
    for (size_t i = 0; i < mm__json_count(m); i++) {
        const mm__json *v = mm__json_member(m, i, &key, &len);
        if (strcmp(key, "role") == 0 || strcmp(key, "content") == 0) continue;
        if (b.len) mm__buf_putc(&b, ',');
        mm__buf_json_string(&b, key, len);
        mm__buf_putc(&b, ':');
        mm__json_write(v, &b);
    }
    in->items[in->n - 1].extra = b.len ? mm__buf_take(&b, NULL) : NULL;
    mm_status st = b.failed ? mm__nomem(err, "a message") : MM_OK;
    mm__buf_free(&b);
    return st;
}

static mm_status add_message(mm__feed *in, const mm__json *m, const char *base_dir, mm_error *err)
{
    size_t len;
    const char *role = mm__json_str(mm__json_get(m, "role"), &len, NULL);
    if (!role || !len) return mm__fail(err, MM_E_FORMAT, "messages: every message needs a \"role\"");
    mm_status st = add_string(in, MM__ITEM_ROLE, role, len, err);
    if (st == MM_OK) st = add_extra(in, m, err);
    const mm__json *content = mm__json_get(m, "content");
    const char *text = mm__json_str(content, &len, NULL);
    if (st == MM_OK && text) return add_string(in, MM__ITEM_TEXT, text, len, err);
    if (st == MM_OK && content && mm__json_kind(content) != MM__JSON_ARRAY && mm__json_kind(content) != MM__JSON_NULL)
        return mm__fail(err, MM_E_FORMAT, "messages: \"content\" is a text or a list of parts");
    for (size_t i = 0; st == MM_OK && i < mm__json_count(content); i++)
        st = add_part(in, mm__json_at(content, i), base_dir, err);
    return st;
}

mm_status mm__feed_add_messages(mm__feed *in, const char *json, size_t len, const char *base_dir, mm_error *err)
{
    mm__json_doc *doc;
    mm_status st = mm__json_parse(in->mem, json, len, "messages", &doc, err);
    if (st != MM_OK) return st;
    const mm__json *root = mm__json_root(doc);
    if (mm__json_kind(root) == MM__JSON_OBJECT) root = mm__json_get(root, "messages");
    if (mm__json_kind(root) != MM__JSON_ARRAY)
        st = mm__fail(err, MM_E_FORMAT, "messages: expected an array of {\"role\", \"content\"} objects");
    const size_t before = in->n;
    for (size_t i = 0; st == MM_OK && i < mm__json_count(root); i++) st = add_message(in, mm__json_at(root, i), base_dir, err);
    if (st != MM_OK) mm__feed_drop(in, before);
    mm__json_free(doc);
    return st;
}

/* Options by key. What was set is remembered as it was written, so that a fork or a snapshot sets it again; a key that
 * replaces its value is remembered once, "stop" and "watch" once for each value. */
#include "session.h"

#include "../base/ckd.h"
#include "../base/error.h"
#include "../base/json.h"

#include <string.h>

static void strings_free(mm__mem *mem, char **list, size_t n)
{
    for (size_t i = 0; i < n; i++) mm__free(mem, list[i]);
    mm__free(mem, list);
}

void mm__keys_free(mm__session *s)
{
    strings_free(s->mem, s->keys, s->n_keys);
    strings_free(s->mem, s->stop, s->n_stop);
    strings_free(s->mem, s->watch, s->n_watch);
    mm__ids_free(&s->forced);
    mm__free(s->mem, s->decoder_prompt);
    mm__free(s->mem, s->tools);
    mm__free(s->mem, s->variables);
}

static mm_status add_string(mm__session *s, char ***list, size_t *n, size_t *cap, const char *value, mm_error *err)
{
    if (!value[0]) return mm__fail(err, MM_E_ARG, "an empty string cannot be watched for");
    char *copy = mm__strdup(s->mem, value);
    if (!copy || !mm__grow(s->mem, list, *n, cap, sizeof **list)) {
        mm__free(s->mem, copy);
        return mm__nomem(err, "an option");
    }
    (*list)[(*n)++] = copy;
    return MM_OK;
}

static mm_status set_task(mm__session *s, const char *value, mm_error *err)
{
    static const char *const names[] = {"generate", "embed", "score", "transcribe"};
    for (unsigned i = 0; i < 4; i++) {
        if (strcmp(names[i], value) != 0) continue;
        if (!(s->a->tasks & 1u << i)) return mm__fail(err, MM_E_UNSUPPORTED, "this model cannot %s", value);
        const unsigned was = s->task;
        s->task = 1u << i;
        mm_status st = mm__session_open_decoder(s, err);
        if (st != MM_OK) s->task = was;
        return st;
    }
    return mm__fail(err, MM_E_ARG, "\"%s\" is no task; use generate, embed, score or transcribe", value);
}

static mm_status read_ids(const char *value, mm__ids *ids, mm_error *err)
{
    for (const char *p = value; *p;) {
        int64_t v = 0;
        size_t n = 0;
        for (; p[n] >= '0' && p[n] <= '9' && v <= INT32_MAX; n++) v = 10 * v + (p[n] - '0');
        if (!n || v > INT32_MAX || (p[n] && p[n] != ' '))
            return mm__fail(err, MM_E_ARG, "\"%s\" is no list of token ids; write numbers with spaces between them", value);
        if (!mm__ids_push(ids, (int32_t)v)) return mm__nomem(err, "token ids");
        for (p += n; *p == ' '; p++) {}
    }
    return MM_OK;
}

static mm_status set_ids(mm__session *s, mm__ids *ids, const char *value, mm_error *err)
{
    mm__ids fresh;
    mm__ids_init(&fresh, s->mem);
    mm_status st = read_ids(value + strspn(value, " "), &fresh, err);
    if (st == MM_OK) st = mm__session_check_ids(s, fresh.data, fresh.len, err);
    if (st == MM_OK) {
        const mm__ids old = *ids;
        *ids = fresh;
        fresh = old;
    }
    mm__ids_free(&fresh);
    return st;
}

static mm_status set_flag(bool *flag, const char *key, const char *value, mm_error *err)
{
    if (strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
        return mm__fail(err, MM_E_ARG, "\"%s\" takes \"0\" or \"1\", not \"%s\"", key, value);
    *flag = value[0] == '1';
    return MM_OK;
}

static mm_status set_lookup(mm__session *s, const char *value, mm_error *err)
{
    uint64_t n;
    if (!mm__ckd_whole(value, &n) || n > MM__LOOKUP_MOST)
        return mm__fail(err, MM_E_ARG, "\"lookup\" takes a whole number up to %d, not \"%s\"", MM__LOOKUP_MOST, value);
    s->lookup.most = (uint32_t)n;
    return MM_OK;
}

static mm_status set_text(mm__session *s, char **field, const char *value, mm_error *err)
{
    char *copy = mm__strdup(s->mem, value);
    if (!copy) return mm__nomem(err, "an option");
    mm__free(s->mem, *field);
    *field = copy;
    return MM_OK;
}

static mm_status set_language(mm__session *s, const char *value, mm_error *err)
{
    const size_t n = strlen(value);
    if (n >= sizeof s->language) return mm__fail(err, MM_E_ARG, "\"%s\" is no language code", value);
    memcpy(s->language, value, n + 1);
    return MM_OK;
}

/* What the session itself gives the template cannot be given twice. */
static mm_status check_variables(const mm__json *root, mm_error *err)
{
    static const char *const own[] = {"messages", "tools", "add_generation_prompt", "bos_token", "eos_token"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (mm__json_get(root, own[i]))
            return mm__fail(err, MM_E_ARG, "\"%s\" is no further variable of the chat template: the session sets it; leave it out", own[i]);
    return MM_OK;
}

/* A JSON document of one kind, as text: an array whole, an object as its members. */
static mm_status read_json(mm__session *s, int kind, const char *key, const char *value, mm__buf *out, mm_error *err)
{
    mm__json_doc *doc;
    mm_status st = mm__json_parse(s->mem, value, strlen(value), key, &doc, err);
    if (st == MM_E_FORMAT) { /* the value is the host's, no file's */
        st = MM_E_ARG;
        if (err) err->code = st;
    }
    if (st != MM_OK) return st;
    const mm__json *root = mm__json_root(doc);
    if (mm__json_kind(root) != kind)
        st = mm__fail(err, MM_E_ARG, "\"%s\" takes a JSON %s", key, kind == MM__JSON_ARRAY ? "array" : "object");
    else if (kind == MM__JSON_ARRAY) mm__json_write(root, out);
    else if ((st = check_variables(root, err)) == MM_OK) mm__json_write_members(root, out);
    mm__json_free(doc);
    return st == MM_OK && out->failed ? mm__nomem(err, "an option") : st;
}

/* "" and an empty object are none. */
static mm_status set_json(mm__session *s, char **field, int kind, const char *key, const char *value, mm_error *err)
{
    mm__buf b;
    mm__buf_init(&b, s->mem);
    const mm_status st = value[0] ? read_json(s, kind, key, value, &b, err) : MM_OK;
    if (st == MM_OK) {
        mm__free(s->mem, *field);
        *field = b.len ? mm__buf_take(&b, NULL) : NULL;
    }
    mm__buf_free(&b);
    return st;
}

static mm_status set_kv_type(mm__session *s, const char *value, mm_error *err)
{
    mm__dtype t;
    if (!mm__kv_named(value, &t)) return mm__fail(err, MM_E_ARG, "\"%s\" is no type of a cache; use f32, f16 or q8_0", value);
    if (!s->a->decoder) return mm__fail(err, MM_E_UNSUPPORTED, "this model keeps no cache of keys and values");
    return mm__session_keep_in(s, t, err);
}

static mm_status set_timestamps(mm__session *s, const char *value, mm_error *err)
{
    bool on = !s->no_timestamps;
    const mm_status st = set_flag(&on, "timestamps", value, err);
    if (st == MM_OK) s->no_timestamps = !on;
    return st;
}

static mm_status apply(mm__session *s, const char *key, const char *value, mm_error *err)
{
    if (strcmp(key, "task") == 0) return set_task(s, value, err);
    if (strcmp(key, "stop") == 0) return add_string(s, &s->stop, &s->n_stop, &s->cap_stop, value, err);
    if (strcmp(key, "watch") == 0) return add_string(s, &s->watch, &s->n_watch, &s->cap_watch, value, err);
    if (strcmp(key, "tools") == 0) return set_json(s, &s->tools, MM__JSON_ARRAY, key, value, err);
    if (strcmp(key, "variables") == 0) return set_json(s, &s->variables, MM__JSON_OBJECT, key, value, err);
    if (strcmp(key, "language") == 0) return set_language(s, value, err);
    if (strcmp(key, "translate") == 0) return set_flag(&s->translate, key, value, err);
    if (strcmp(key, "timestamps") == 0) return set_timestamps(s, value, err);
    if (strcmp(key, "truncate") == 0) return set_flag(&s->truncate, key, value, err);
    if (strcmp(key, "single_pass") == 0) return set_flag(&s->single_pass, key, value, err);
    if (strcmp(key, "history") == 0) return set_flag(&s->use_history, key, value, err);
    if (strcmp(key, "lookup") == 0) return set_lookup(s, value, err);
    if (strcmp(key, "decoder_prompt") == 0) return set_text(s, &s->decoder_prompt, value, err);
    if (strcmp(key, "kv_type") == 0) return set_kv_type(s, value, err);
    if (strcmp(key, "force_ids") == 0) return set_ids(s, &s->forced, value, err);
    return mm__fail(err, MM_E_KEY, "\"%s\" is no session option", key);
}

/* Where a pair is remembered: an earlier value of the key, or the end. */
static size_t place_of(const mm__session *s, const char *key)
{
    size_t i = 0;
    if (strcmp(key, "stop") == 0 || strcmp(key, "watch") == 0) return s->n_keys;
    while (i < s->n_keys && strcmp(s->keys[i], key) != 0) i += 2;
    return i;
}

/* Room and copies first, so that nothing can fail once the option is set. */
mm_status mm__session_set(mm__session *s, const char *key, const char *value, mm_error *err)
{
    if (mm__session_answering(s) || s->state == MM__FED)
        return mm__fail(err, MM_E_STATE, "option \"%s\" cannot change while an answer is being given", key);
    const size_t at = place_of(s, key);
    char *k = mm__strdup(s->mem, key), *v = mm__strdup(s->mem, value);
    const bool room = k && v && mm__grow(s->mem, &s->keys, s->n_keys, &s->cap_keys, sizeof *s->keys) &&
                      mm__grow(s->mem, &s->keys, s->n_keys + 1, &s->cap_keys, sizeof *s->keys);
    mm_status st = room ? apply(s, key, value, err) : mm__nomem(err, "an option");
    if (st != MM_OK) {
        mm__free(s->mem, k);
        mm__free(s->mem, v);
        return st;
    }
    if (at < s->n_keys) {
        mm__free(s->mem, s->keys[at]);
        mm__free(s->mem, s->keys[at + 1]);
    } else {
        s->n_keys += 2;
    }
    s->keys[at] = k;
    s->keys[at + 1] = v;
    return MM_OK;
}

/* Looking up hyper-parameters. A key may list alternatives separated by '|'; the first that is present counts. In a JSON
 * object null counts as absent, because configuration files write null for "the default". GGUF keys that start with '.'
 * get the architecture in front. Nothing is cached: a lookup is a walk of a few hash tables. */
#include "config.h"
#include "../base/error.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_KEY = 320 };

/* What a lookup found: at most one of the two. */
typedef struct found {
    const mm__json *json;
    mm__gguf_value gguf;
} found;

/* Copies the alternative that starts at *at and steps behind it; false at the end. Too long a key matches nothing. */
static bool next_key(const char **at, const char *prefix, char key[MAX_KEY])
{
    if (!*at || !**at) return false;
    const size_t n = strcspn(*at, "|");
    const int len = snprintf(key, MAX_KEY, "%s%.*s", **at == '.' && prefix ? prefix : "", (int)n, *at);
    if (len < 0 || len >= MAX_KEY) key[0] = 0;
    *at += n + ((*at)[n] == '|');
    return true;
}

static const mm__json *find_json(const mm__json *obj, const char *keys)
{
    char key[MAX_KEY];
    while (obj && next_key(&keys, NULL, key)) {
        const mm__json *v = mm__json_path(obj, key);
        if (mm__json_kind(v) != MM__JSON_NULL) return v;
    }
    return NULL;
}

static found find(const mm__config *c, const char *json, const char *gguf)
{
    found f = {.json = find_json(c->json, json), .gguf = {.kind = MM__GGUF_ABSENT}};
    char key[MAX_KEY];
    while (!f.json && c->gguf && f.gguf.kind == MM__GGUF_ABSENT && next_key(&gguf, c->arch ? c->arch : "", key)) f.gguf = mm__gguf_get(c->gguf, key);
    return f;
}

static bool present(const found *f)
{
    return f->json || f->gguf.kind != MM__GGUF_ABSENT;
}

/* The keys as a message should show them. */
static const char *shown(const mm__config *c, const char *json, const char *gguf, char text[MAX_KEY])
{
    const bool from_json = c->json || !c->gguf;
    const char *key = from_json ? json : gguf;
    if (!key) key = json ? json : gguf ? gguf : "?";
    snprintf(text, MAX_KEY, "%s%s", !from_json && key[0] == '.' && c->arch ? c->arch : "", key);
    return text;
}

static const char *source(const mm__config *c)
{
    return c->source ? c->source : "configuration";
}

static bool is_whole(double v)
{
    return v >= -0x1p53 && v <= 0x1p53 && floor(v) == v;
}

/* A single number; false for anything else. */
static bool as_number(const found *f, double *num, int64_t *whole, bool *is_int)
{
    const int kind = mm__json_kind(f->json);
    *is_int = kind == MM__JSON_INT || f->gguf.kind == MM__GGUF_INT;
    if (!*is_int && kind != MM__JSON_REAL && f->gguf.kind != MM__GGUF_REAL) return false;
    *num = f->json ? mm__json_num(f->json, 0) : f->gguf.f;
    if (*is_int)
        *whole = f->json ? mm__json_int(f->json, 0) : f->gguf.i;
    else if ((*is_int = is_whole(*num)))
        *whole = (int64_t)*num;
    return true;
}

mm__config mm__config_sub(const mm__config *c, const char *path)
{
    mm__config sub = *c;
    if (!c->json) return sub;
    sub.json = find_json(c->json, path);
    if (mm__json_kind(sub.json) != MM__JSON_OBJECT) sub.json = NULL;
    sub.arch = mm__json_str(mm__json_get(sub.json, "model_type"), NULL, "");
    return sub;
}

bool mm__config_has(const mm__config *c, const char *json, const char *gguf)
{
    const found f = find(c, json, gguf);
    return present(&f);
}

mm_status mm__config_int(const mm__config *c, const char *json, const char *gguf, int64_t fallback, int64_t lo, int64_t hi,
                         int64_t *out, mm_error *err)
{
    const found f = find(c, json, gguf);
    char text[MAX_KEY];
    double num;
    int64_t v = 0;
    bool is_int;
    *out = fallback;
    if (!present(&f)) return fallback < lo ? mm__fail(err, MM_E_FORMAT, "%s: %s is missing", source(c), shown(c, json, gguf, text)) : MM_OK;
    if (!as_number(&f, &num, &v, &is_int) || !is_int)
        return mm__fail(err, MM_E_FORMAT, "%s: %s is not a whole number", source(c), shown(c, json, gguf, text));
    if (v < lo || v > hi)
        return mm__fail(err, MM_E_FORMAT, "%s: %s is %" PRId64 ", outside %" PRId64 "..%" PRId64, source(c), shown(c, json, gguf, text), v, lo, hi);
    *out = v;
    return MM_OK;
}

mm_status mm__config_num(const mm__config *c, const char *json, const char *gguf, double fallback, double lo, double hi,
                         double *out, mm_error *err)
{
    const found f = find(c, json, gguf);
    char text[MAX_KEY];
    double v;
    int64_t whole;
    bool is_int;
    *out = fallback;
    if (!present(&f)) return isnan(fallback) ? mm__fail(err, MM_E_FORMAT, "%s: %s is missing", source(c), shown(c, json, gguf, text)) : MM_OK;
    if (!as_number(&f, &v, &whole, &is_int)) return mm__fail(err, MM_E_FORMAT, "%s: %s is not a number", source(c), shown(c, json, gguf, text));
    if (!(v >= lo && v <= hi))
        return mm__fail(err, MM_E_FORMAT, "%s: %s is %g, outside %g..%g", source(c), shown(c, json, gguf, text), v, lo, hi);
    *out = v;
    return MM_OK;
}

bool mm__config_bool(const mm__config *c, const char *json, const char *gguf, bool fallback)
{
    const found f = find(c, json, gguf);
    if (mm__json_kind(f.json) == MM__JSON_BOOL) return mm__json_bool(f.json, fallback);
    if (mm__json_kind(f.json) == MM__JSON_INT) return mm__json_int(f.json, 0) != 0;
    if (f.gguf.kind == MM__GGUF_BOOL || f.gguf.kind == MM__GGUF_INT) return f.gguf.i != 0;
    return fallback;
}

const char *mm__config_str(const mm__config *c, const char *json, const char *gguf, const char *fallback)
{
    const found f = find(c, json, gguf);
    return f.gguf.kind == MM__GGUF_STR ? f.gguf.s : mm__json_str(f.json, NULL, fallback);
}

size_t mm__config_array(const mm__config *c, const char *json, const char *gguf, double *out, size_t cap)
{
    const found f = find(c, json, gguf);
    const bool is_array = f.gguf.kind == MM__GGUF_ARRAY || mm__json_kind(f.json) == MM__JSON_ARRAY;
    const size_t n = !present(&f) ? 0 : !is_array ? 1 : f.json ? mm__json_count(f.json) : f.gguf.n;
    size_t got = 0;
    while (got < n && got < cap) {
        found e = f;
        int64_t whole;
        bool is_int;
        if (is_array && f.json) e.json = mm__json_at(f.json, got);
        else if (is_array) e.gguf = mm__gguf_elem(&f.gguf, got);
        if (!as_number(&e, &out[got], &whole, &is_int)) break;
        got++;
    }
    return got;
}

const char *mm__config_str_at(const mm__config *c, const char *json, const char *gguf, size_t i)
{
    const found f = find(c, json, gguf);
    if (!f.json) return mm__gguf_elem(&f.gguf, i).s;
    return mm__json_str(mm__json_at(f.json, i), NULL, NULL);
}

/* Values of templates with Python's manners: truth, equality, order, str() and repr(), JSON, case, containers. */
#include "template_impl.h"
#include "../base/error.h"
#include "../base/utf8.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#define MAX_INPUT_DEPTH 64 /* of what the host passes in */

const char *mm__tval_kind(const tval *v)
{
    static const char *const names[] = {"undefined", "none",      "a boolean",   "a number", "a number", "a string",
                                        "a list",    "a mapping", "a namespace", "loop",     "a macro",  "a function"};
    return names[v->kind];
}

bool mm__tval_truth(const tval *v)
{
    switch (v->kind) {
    case T_UNDEF:
    case T_NONE:
        return false;
    case T_BOOL:
        return v->u.b;
    case T_INT:
        return v->u.i != 0;
    case T_REAL:
        return v->u.d != 0;
    case T_STR:
    case T_LIST:
        return v->n != 0;
    case T_DICT:
        return v->u.dict->n != 0;
    default:
        return true;
    }
}

bool mm__tval_number(const tval *v, double *d)
{
    if (v->kind == T_BOOL)
        *d = v->u.b;
    else if (v->kind == T_INT)
        *d = (double)v->u.i;
    else if (v->kind == T_REAL)
        *d = v->u.d;
    else
        return false;
    return true;
}

static bool whole(const tval *v, int64_t *i)
{
    if (v->kind == T_BOOL)
        *i = v->u.b;
    else if (v->kind == T_INT)
        *i = v->u.i;
    else
        return false;
    return true;
}

static bool frame(trun *r)
{
    if (r->frames >= MM__TMPL_MAX_FRAMES) {
        mm__tmpl_limit(r, "values are nested too deep");
        return false;
    }
    r->frames++;
    return true;
}

static bool equal_dicts(trun *r, const tdict *a, const tdict *b)
{
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++) {
        const tval *v = mm__tval_dict_find(r, b, &a->keys[i]);
        if (!v || !mm__tval_equal(r, &a->vals[i], v)) return false;
    }
    return true;
}

bool mm__tval_equal(trun *r, const tval *a, const tval *b)
{
    int64_t i, j;
    double x, y;
    if (whole(a, &i) && whole(b, &j)) return i == j;
    if (mm__tval_number(a, &x) && mm__tval_number(b, &y)) return x == y;
    if (a->kind != b->kind || !mm__tmpl_step(r, 1)) return false;
    switch (a->kind) {
    case T_UNDEF:
    case T_NONE:
        return true;
    case T_STR:
        return a->n == b->n && mm__tmpl_step(r, a->n / 1024) && memcmp(a->u.s, b->u.s, a->n) == 0;
    case T_LIST:
    case T_DICT: {
        bool same = a->kind == T_DICT || a->n == b->n;
        if (!same || !frame(r)) return false;
        if (a->kind == T_DICT) same = equal_dicts(r, a->u.dict, b->u.dict);
        for (size_t k = 0; a->kind == T_LIST && same && k < a->n; k++) same = mm__tval_equal(r, &a->u.items[k], &b->u.items[k]);
        r->frames--;
        return same && r->st == MM_OK;
    }
    case T_FUNC:
        return a->u.i == b->u.i;
    default:
        return a->u.dict == b->u.dict;
    }
}

int mm__tval_order(trun *r, const tval *a, const tval *b, bool fold_case)
{
    int64_t i, j;
    double x, y;
    if (!mm__tmpl_step(r, 1)) return 0;
    if (whole(a, &i) && whole(b, &j)) return (i > j) - (i < j);
    if (mm__tval_number(a, &x) && mm__tval_number(b, &y)) return (x > y) - (x < y);
    if (a->kind == T_STR && b->kind == T_STR) {
        const tval s = fold_case ? mm__tval_fold(r, a, 'l') : *a, t = fold_case ? mm__tval_fold(r, b, 'l') : *b;
        const size_t n = s.n < t.n ? s.n : t.n;
        if (!mm__tmpl_step(r, n / 1024)) return 0;
        const int c = n ? memcmp(s.u.s, t.u.s, n) : 0;
        return c ? c : (s.n > t.n) - (s.n < t.n);
    }
    if (a->kind == T_LIST && b->kind == T_LIST && frame(r)) {
        int c = 0;
        for (size_t k = 0; k < a->n && k < b->n && !c && r->st == MM_OK; k++)
            if (!mm__tval_equal(r, &a->u.items[k], &b->u.items[k]))
                c = mm__tval_order(r, &a->u.items[k], &b->u.items[k], fold_case);
        r->frames--;
        return c ? c : (a->n > b->n) - (a->n < b->n);
    }
    mm__tmpl_error(r, "%s and %s have no order", mm__tval_kind(a), mm__tval_kind(b));
    return 0;
}

/* ---- text ----------------------------------------------------------------------------------------------------- */

void mm__tval_buf(trun *r, mm__buf *b)
{
    mm__buf_init(b, r->mem);
    b->limit = (size_t)mm__limit(r->mem, MM__LIMIT_TEMPLATE_OUTPUT);
}

tval mm__tval_take(trun *r, mm__buf *b)
{
    if (b->failed && r->st == MM_OK) {
        if (b->over_limit)
            mm__tmpl_exceed(r, MM__LIMIT_TEMPLATE_OUTPUT);
        else
            r->st = mm__nomem(r->err, "chat template");
    }
    char *s = mm__tmpl_get(r, b->len + 1, 1);
    const size_t n = b->len;
    if (s && n) memcpy(s, b->data, n);
    mm__buf_free(b);
    return s ? tv_str(s, n) : tv_undef();
}

/* Shortest decimal that reads back as the same number, in Python's layout; independent of the host's locale. */
static void write_real(mm__buf *b, double d)
{
    char text[40];
    int digits = 1;
    if (isnan(d) || isinf(d)) {
        mm__buf_puts(b, isnan(d) ? "nan" : d > 0 ? "inf" : "-inf");
        return;
    }
    do snprintf(text, sizeof text, "%.*e", digits - 1, d);
    while (strtod(text, NULL) != d && ++digits <= 17);
    const char *e = strchr(text, 'e');
    const int exponent = atoi(e + 1);
    char plain[20] = {0};
    int n = 0;
    for (const char *p = text; p < e; p++)
        if (*p >= '0' && *p <= '9') plain[n++] = *p;
    if (text[0] == '-') mm__buf_putc(b, '-');
    if (exponent < -4 || exponent >= 16) {
        mm__buf_putc(b, plain[0]);
        if (n > 1) mm__buf_putc(b, '.');
        mm__buf_put(b, plain + 1, (size_t)n - 1);
        mm__buf_printf(b, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
        return;
    }
    if (exponent < 0) {
        mm__buf_puts(b, "0.");
        for (int i = -1; i > exponent; i--) mm__buf_putc(b, '0');
        mm__buf_put(b, plain, (size_t)n);
        return;
    }
    for (int i = 0; i < n || i <= exponent; i++) {
        mm__buf_putc(b, i < n ? plain[i] : '0');
        if (i == exponent) mm__buf_putc(b, '.');
    }
    if (n <= exponent + 1) mm__buf_putc(b, '0');
}

static void write_quoted(mm__buf *b, const tval *v)
{
    const bool single = memchr(v->u.s, '\'', v->n) && !memchr(v->u.s, '"', v->n);
    const char quote = single ? '"' : '\'';
    mm__buf_putc(b, quote);
    for (size_t i = 0; i < v->n; i++) {
        const char c = v->u.s[i];
        if (c == quote || c == '\\')
            mm__buf_printf(b, "\\%c", c);
        else if (c == '\n')
            mm__buf_puts(b, "\\n");
        else if (c == '\r')
            mm__buf_puts(b, "\\r");
        else if (c == '\t')
            mm__buf_puts(b, "\\t");
        else if ((unsigned char)c < 32 || c == 127)
            mm__buf_printf(b, "\\x%02x", (unsigned char)c);
        else
            mm__buf_putc(b, c);
    }
    mm__buf_putc(b, quote);
}

static void write_container(trun *r, mm__buf *b, const tval *v)
{
    const bool list = v->kind == T_LIST;
    const size_t n = list ? v->n : v->u.dict->n;
    if (!frame(r)) return;
    mm__buf_putc(b, v->tuple ? '(' : list ? '[' : '{');
    for (size_t i = 0; i < n && mm__tmpl_step(r, 1) && !b->failed; i++) {
        if (i) mm__buf_puts(b, ", ");
        if (!list) {
            mm__tval_write(r, b, &v->u.dict->keys[i], true);
            mm__buf_puts(b, ": ");
        }
        mm__tval_write(r, b, list ? &v->u.items[i] : &v->u.dict->vals[i], true);
    }
    if (v->tuple && n == 1) mm__buf_putc(b, ',');
    mm__buf_putc(b, v->tuple ? ')' : list ? ']' : '}');
    r->frames--;
}

void mm__tval_write(trun *r, mm__buf *b, const tval *v, bool quoted)
{
    switch (v->kind) {
    case T_UNDEF:
        if (quoted) mm__buf_puts(b, "Undefined");
        break;
    case T_NONE:
        mm__buf_puts(b, "None");
        break;
    case T_BOOL:
        mm__buf_puts(b, v->u.b ? "True" : "False");
        break;
    case T_INT:
        mm__buf_printf(b, "%" PRId64, v->u.i);
        break;
    case T_REAL:
        write_real(b, v->u.d);
        break;
    case T_STR:
        if (!mm__tmpl_step(r, v->n / 1024)) break;
        if (quoted)
            write_quoted(b, v);
        else
            mm__buf_put(b, v->u.s, v->n);
        break;
    case T_LIST:
    case T_DICT:
        write_container(r, b, v);
        break;
    default:
        mm__tmpl_error(r, "%s has no text form", mm__tval_kind(v));
        break;
    }
}

tval mm__tval_to_str(trun *r, const tval *v)
{
    mm__buf b;
    if (v->kind == T_STR) return *v;
    mm__tval_buf(r, &b);
    mm__tval_write(r, &b, v, false);
    return mm__tval_take(r, &b);
}

static void json_string(mm__buf *b, const tval *v, bool ascii)
{
    static const char plain[] = "\"\\\n\r\t\b\f", letter[] = "\"\\nrtbf";
    mm__buf_putc(b, '"');
    for (size_t i = 0, from = 0; i <= v->n;) {
        uint32_t cp = i < v->n ? (unsigned char)v->u.s[i] : 0;
        if (i < v->n && cp >= 32 && cp != '"' && cp != '\\' && (cp < 127 || !ascii)) {
            i++;
            continue;
        }
        mm__buf_put(b, v->u.s + from, i - from);
        if (i == v->n) break;
        i += ascii ? mm__utf8_decode(v->u.s + i, v->n - i, &cp, NULL) : 1;
        from = i;
        const char *at = cp && cp < 127 ? strchr(plain, (int)cp) : NULL;
        if (at)
            mm__buf_printf(b, "\\%c", letter[at - plain]);
        else if (cp > 0xffff) /* two surrogates */
            mm__buf_printf(b, "\\u%04x\\u%04x", (unsigned)(0xd7c0 + (cp >> 10)), (unsigned)(0xdc00 + (cp & 0x3ff)));
        else
            mm__buf_printf(b, "\\u%04x", (unsigned)cp);
    }
    mm__buf_putc(b, '"');
}

static void json_line(mm__buf *b, int64_t indent, int64_t level)
{
    mm__buf_putc(b, '\n');
    for (int64_t i = 0; i < indent * level && !b->failed; i++) mm__buf_putc(b, ' ');
}

static void json_value(trun *r, mm__buf *b, const tval *v, const tjson *how, int64_t level);

static void json_container(trun *r, mm__buf *b, const tval *v, const tjson *how, int64_t level)
{
    const bool list = v->kind == T_LIST;
    const tdict *d = list ? NULL : v->u.dict;
    const size_t n = list ? v->n : d->n;
    size_t *order = mm__tmpl_get(r, n + 1, sizeof *order);
    if (!order || !frame(r)) return;
    for (size_t i = 0; i < n; i++) order[i] = i;
    for (size_t i = 1; i < n && how->sort && !list; i++)
        for (size_t j = i; j > 0 && mm__tval_order(r, &d->keys[order[j - 1]], &d->keys[order[j]], false) > 0; j--) {
            const size_t t = order[j];
            order[j] = order[j - 1];
            order[j - 1] = t;
        }
    mm__buf_putc(b, list ? '[' : '{');
    for (size_t i = 0; i < n && mm__tmpl_step(r, 1) && !b->failed; i++) {
        if (i) mm__buf_put(b, how->comma.u.s, how->comma.n);
        if (how->indent >= 0) json_line(b, how->indent, level + 1);
        if (!list) {
            const tval key = mm__tval_to_str(r, &d->keys[order[i]]);
            if (r->st != MM_OK) break;
            json_string(b, &key, how->ascii);
            mm__buf_put(b, how->colon.u.s, how->colon.n);
        }
        json_value(r, b, list ? &v->u.items[i] : &d->vals[order[i]], how, level + 1);
    }
    if (how->indent >= 0 && n) json_line(b, how->indent, level);
    mm__buf_putc(b, list ? ']' : '}');
    r->frames--;
}

static void json_value(trun *r, mm__buf *b, const tval *v, const tjson *how, int64_t level)
{
    switch (v->kind) {
    case T_NONE:
        mm__buf_puts(b, "null");
        break;
    case T_BOOL:
        mm__buf_puts(b, v->u.b ? "true" : "false");
        break;
    case T_INT:
    case T_REAL:
        mm__tval_write(r, b, v, false);
        break;
    case T_STR:
        if (mm__tmpl_step(r, v->n / 1024)) json_string(b, v, how->ascii);
        break;
    case T_LIST:
    case T_DICT:
        json_container(r, b, v, how, level);
        break;
    default:
        mm__tmpl_error(r, "%s has no JSON form", mm__tval_kind(v));
        break;
    }
}

tval mm__tval_to_json(trun *r, const tval *v, const tjson *how)
{
    mm__buf b;
    if (how->indent > 64) return mm__tmpl_error(r, "an indent of more than 64");
    mm__tval_buf(r, &b);
    json_value(r, &b, v, how, 0);
    return mm__tval_take(r, &b);
}

bool mm__tval_is_space(const char *s, size_t n, size_t *len)
{
    uint32_t cp;
    *len = mm__utf8_decode(s, n, &cp, NULL);
    return (cp >= 9 && cp <= 13) || (cp >= 28 && cp <= 32) || cp == 0x85 || cp == 0xa0 || cp == 0x1680 ||
           (cp >= 0x2000 && cp <= 0x200a) || cp == 0x2028 || cp == 0x2029 || cp == 0x202f || cp == 0x205f || cp == 0x3000;
}

size_t mm__tval_chars(const tval *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) n += ((unsigned char)s->u.s[i] & 0xc0) != 0x80;
    return n;
}

tval mm__tval_fold(trun *r, const tval *s, int how)
{
    mm__buf b;
    bool first = true;
    mm__tval_buf(r, &b);
    if (!mm__tmpl_step(r, s->n / 64)) return tv_undef();
    for (size_t i = 0; i < s->n;) {
        uint32_t cp;
        char to[4];
        bool valid;
        const size_t n = mm__utf8_decode(s->u.s + i, s->n - i, &cp, &valid);
        const bool cased = utf8proc_toupper((utf8proc_int32_t)cp) != (utf8proc_int32_t)cp ||
                           utf8proc_tolower((utf8proc_int32_t)cp) != (utf8proc_int32_t)cp;
        const bool up = how == 'u' || (how != 'l' && first);
        const utf8proc_int32_t made = up ? utf8proc_toupper((utf8proc_int32_t)cp) : utf8proc_tolower((utf8proc_int32_t)cp);
        if (valid)
            mm__buf_put(&b, to, mm__utf8_encode((uint32_t)made, to));
        else
            mm__buf_put(&b, s->u.s + i, n);
        first = how == 't' ? !cased : how == 'T' ? cp < 128 && strchr("-({[< \t\n\v\f\r", (int)cp) != NULL : false;
        i += n;
    }
    return mm__tval_take(r, &b);
}

/* ---- containers ----------------------------------------------------------------------------------------------- */

tval mm__tval_list(trun *r, size_t n)
{
    tval *items = mm__tmpl_get(r, n + 1, sizeof *items);
    return items ? (tval){.kind = T_LIST, .n = n, .u.items = items} : tv_undef();
}

tval mm__tval_dict(trun *r, size_t cap, int kind)
{
    tdict *d = mm__tmpl_get(r, 1, sizeof *d);
    if (!d) return tv_undef();
    d->cap = cap;
    d->keys = mm__tmpl_get(r, cap + 1, sizeof *d->keys);
    d->vals = mm__tmpl_get(r, cap + 1, sizeof *d->vals);
    return d->keys && d->vals ? (tval){.kind = kind, .u.dict = d} : tv_undef();
}

/* Where the key is; d->n when it is not there, or the budget is spent. */
static size_t dict_place(trun *r, const tdict *d, const tval *key)
{
    if (!mm__tmpl_step(r, 1 + d->n / 16)) return d->n;
    for (size_t i = 0; i < d->n; i++) {
        const tval *k = &d->keys[i];
        const bool same_size = k->kind == T_STR && key->kind == T_STR && k->n == key->n;
        if (same_size && !mm__tmpl_step(r, k->n / 1024)) return d->n;
        if (same_size ? memcmp(k->u.s, key->u.s, k->n) == 0 : k->kind != T_STR && mm__tval_equal(r, k, key)) return i;
    }
    return d->n;
}

const tval *mm__tval_dict_find(trun *r, const tdict *d, const tval *key)
{
    const size_t i = dict_place(r, d, key);
    return i < d->n ? &d->vals[i] : NULL;
}

const tval *mm__tval_dict_str(trun *r, const tdict *d, const char *key, size_t n)
{
    const tval k = tv_str(key, n);
    return mm__tval_dict_find(r, d, &k);
}

void mm__tval_dict_set(trun *r, tdict *d, tval key, tval v)
{
    const size_t at = dict_place(r, d, &key);
    if (r->st != MM_OK) return;
    if (at < d->n) {
        d->vals[at] = v;
        return;
    }
    if (d->n == d->cap) {
        const size_t cap = d->cap * 2 + 4;
        tval *keys = mm__tmpl_get(r, cap, sizeof *keys), *vals = mm__tmpl_get(r, cap, sizeof *vals);
        if (!keys || !vals) return;
        if (d->n) {
            memcpy(keys, d->keys, d->n * sizeof *keys);
            memcpy(vals, d->vals, d->n * sizeof *vals);
        }
        d->keys = keys;
        d->vals = vals;
        d->cap = cap;
    }
    d->keys[d->n] = key;
    d->vals[d->n++] = v;
}

tval mm__tval_items(trun *r, const tval *v)
{
    tval list;
    switch (v->kind) {
    case T_LIST:
        return *v;
    case T_UNDEF:
        return mm__tval_list(r, 0);
    case T_DICT:
        list = mm__tval_list(r, v->u.dict->n);
        for (size_t i = 0; i < list.n; i++) list.u.items[i] = v->u.dict->keys[i];
        return list;
    case T_STR:
        list = mm__tval_list(r, mm__tval_chars(v));
        for (size_t i = 0, at = 0; i < list.n; i++) {
            size_t n = 1;
            while (at + n < v->n && ((unsigned char)v->u.s[at + n] & 0xc0) == 0x80) n++;
            list.u.items[i] = tv_str(v->u.s + at, n);
            at += n;
        }
        return list;
    default:
        return mm__tmpl_error(r, "%s cannot be gone through", mm__tval_kind(v));
    }
}

tval mm__tval_from_json(trun *r, const mm__json *j, int depth)
{
    const size_t n = mm__json_count(j);
    size_t len;
    tval v;
    if (depth > MAX_INPUT_DEPTH) return mm__tmpl_limit(r, "its input is nested too deep");
    switch (mm__json_kind(j)) {
    case MM__JSON_BOOL:
        return tv_bool(mm__json_bool(j, false));
    case MM__JSON_INT:
        return tv_int(mm__json_int(j, 0));
    case MM__JSON_REAL:
        return tv_real(mm__json_num(j, 0));
    case MM__JSON_STRING: {
        const char *s = mm__json_str(j, &len, "");
        return tv_str(s, len);
    }
    case MM__JSON_ARRAY:
        v = mm__tval_list(r, n);
        for (size_t i = 0; i < n && r->st == MM_OK; i++) v.u.items[i] = mm__tval_from_json(r, mm__json_at(j, i), depth + 1);
        return v;
    case MM__JSON_OBJECT:
        v = mm__tval_dict(r, n, T_DICT);
        for (size_t i = 0; i < n && r->st == MM_OK; i++) {
            const char *key;
            const mm__json *m = mm__json_member(j, i, &key, &len);
            v.u.dict->keys[i] = tv_str(key, len);
            v.u.dict->vals[i] = mm__tval_from_json(r, m, depth + 1);
            v.u.dict->n = i + 1;
        }
        return v;
    default:
        return tv_none();
    }
}

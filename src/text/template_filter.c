/* Filters that turn one value into another; those that sort, select or fold lists are in template_test.c. */
#include "template_impl.h"
#include "../base/error.h"
#include "../base/os/os.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef tval (*filter_fn)(trun *, const tval *, const targs *);

static bool given(tval v)
{
    return v.kind != T_UNDEF;
}
static bool flag(tval v)
{
    return mm__tval_truth(&v);
}
static int64_t whole_or(tval v, int64_t otherwise)
{
    return v.kind == T_INT ? v.u.i : v.kind == T_BOOL ? v.u.b : otherwise;
}

static tval cased(trun *r, const tval *v, int how)
{
    const tval s = mm__tval_to_str(r, v);
    return r->st == MM_OK ? mm__tval_fold(r, &s, how) : s;
}

static tval f_upper(trun *r, const tval *v, const targs *a)
{
    return cased(r, v, 'u');
}
static tval f_lower(trun *r, const tval *v, const targs *a)
{
    return cased(r, v, 'l');
}
static tval f_title(trun *r, const tval *v, const targs *a)
{
    return cased(r, v, 'T');
}
static tval f_capitalize(trun *r, const tval *v, const targs *a)
{
    return cased(r, v, 'c');
}
static tval f_string(trun *r, const tval *v, const targs *a)
{
    return mm__tval_to_str(r, v);
}
static tval f_safe(trun *r, const tval *v, const targs *a)
{
    return *v;
}
static tval f_list(trun *r, const tval *v, const targs *a)
{
    return mm__tval_items(r, v);
}

static tval f_trim(trun *r, const tval *v, const targs *a)
{
    const tval s = mm__tval_to_str(r, v), chars = mm__tmpl_arg(r, a, 0, "chars");
    return r->st == MM_OK ? mm__tmpl_strip(r, &s, &chars, true, true) : s;
}

static tval f_length(trun *r, const tval *v, const targs *a)
{
    switch (v->kind) {
    case T_UNDEF:
        return tv_int(0);
    case T_STR:
        return mm__tmpl_step(r, v->n / 64) ? tv_int((int64_t)mm__tval_chars(v)) : tv_undef();
    case T_LIST:
        return tv_int((int64_t)v->n);
    case T_DICT:
        return tv_int((int64_t)v->u.dict->n);
    default:
        return mm__tmpl_error(r, "%s has no length", mm__tval_kind(v));
    }
}

static tval f_default(trun *r, const tval *v, const targs *a)
{
    const tval otherwise = mm__tmpl_arg(r, a, 0, "default_value");
    const bool use = v->kind == T_UNDEF || (flag(mm__tmpl_arg(r, a, 1, "boolean")) && !mm__tval_truth(v));
    return !use ? *v : given(otherwise) ? otherwise : tv_str("", 0);
}

static tval f_replace(trun *r, const tval *v, const targs *a)
{
    const tval s = mm__tval_to_str(r, v), from = mm__tmpl_arg(r, a, 0, "old"), to = mm__tmpl_arg(r, a, 1, "new");
    return r->st == MM_OK ? mm__tmpl_replace(r, &s, &from, &to, whole_or(mm__tmpl_arg(r, a, 2, "count"), -1)) : s;
}

static tval f_join(trun *r, const tval *v, const targs *a)
{
    const tval list = mm__tval_items(r, v), by = mm__tmpl_arg(r, a, 0, "d"), path = mm__tmpl_arg(r, a, 1, "attribute");
    mm__buf b;
    mm__tval_buf(r, &b);
    for (size_t i = 0; i < list.n && mm__tmpl_step(r, 1) && !b.failed; i++) {
        if (i && given(by)) mm__tval_write(r, &b, &by, false);
        const tval item = given(path) ? mm__tmpl_path(r, &list.u.items[i], &path) : list.u.items[i];
        mm__tval_write(r, &b, &item, false);
    }
    return mm__tval_take(r, &b);
}

static tval end_of(trun *r, const tval *v, bool last)
{
    const tval list = mm__tval_items(r, v);
    return list.n ? list.u.items[last ? list.n - 1 : 0] : tv_undef();
}

static tval f_first(trun *r, const tval *v, const targs *a)
{
    return end_of(r, v, false);
}
static tval f_last(trun *r, const tval *v, const targs *a)
{
    return end_of(r, v, true);
}

static tval f_reverse(trun *r, const tval *v, const targs *a)
{
    const tval list = mm__tval_items(r, v), none = tv_str("", 0);
    tval out = mm__tval_list(r, list.n);
    const targs join = {.n = 1, .name = {-1}, .v = {none}};
    for (size_t i = 0; i < out.n; i++) out.u.items[i] = list.u.items[list.n - 1 - i];
    return v->kind == T_STR ? f_join(r, &out, &join) : out;
}

static tval f_items(trun *r, const tval *v, const targs *a)
{
    if (v->kind == T_UNDEF) return mm__tval_list(r, 0);
    if (v->kind != T_DICT) return mm__tmpl_error(r, "%s has no items", mm__tval_kind(v));
    const tdict *d = v->u.dict;
    tval out = mm__tval_list(r, d->n);
    for (size_t i = 0; i < out.n; i++) {
        tval pair = mm__tval_list(r, 2);
        if (r->st != MM_OK) break;
        pair.tuple = true;
        pair.u.items[0] = d->keys[i];
        pair.u.items[1] = d->vals[i];
        out.u.items[i] = pair;
    }
    return out;
}

static tval f_tojson(trun *r, const tval *v, const targs *a)
{
    /* as Hugging Face sets it up: (value, ensure_ascii, indent, separators, sort_keys); the plain form puts indent first */
    const tval first = mm__tmpl_arg(r, a, 0, "ensure_ascii"), second = mm__tmpl_arg(r, a, 1, "indent");
    const tval indent = first.kind == T_INT ? first : second, marks = mm__tmpl_arg(r, a, 2, "separators");
    tjson how = {indent.kind == T_INT && indent.u.i >= 0 ? indent.u.i : -1, flag(mm__tmpl_arg(r, a, 3, "sort_keys")),
                 first.kind != T_INT && flag(first), tv_str(", ", 2), tv_str(": ", 2)};
    if (how.indent >= 0) how.comma.n = 1;
    if (given(marks) && marks.kind != T_NONE) {
        if (marks.kind != T_LIST || marks.n != 2 || marks.u.items[0].kind != T_STR || marks.u.items[1].kind != T_STR)
            return mm__tmpl_error(r, "separators are two strings");
        how.comma = marks.u.items[0];
        how.colon = marks.u.items[1];
    }
    return mm__tval_to_json(r, v, &how);
}

static tval f_indent(trun *r, const tval *v, const targs *a)
{
    const tval s = mm__tval_to_str(r, v), width = mm__tmpl_arg(r, a, 0, "width");
    const bool first = flag(mm__tmpl_arg(r, a, 1, "first")), blank = flag(mm__tmpl_arg(r, a, 2, "blank"));
    const int64_t n = whole_or(width, 4);
    mm__buf b;
    if (r->st != MM_OK || n < 0 || n > 256) return mm__tmpl_error(r, "indent of more than 256 characters");
    mm__tval_buf(r, &b);
    for (size_t i = 0; i < s.n && mm__tmpl_step(r, 1) && !b.failed;) {
        const char *end = memchr(s.u.s + i, '\n', s.n - i);
        const size_t len = end ? (size_t)(end - s.u.s) - i : s.n - i;
        if (i ? len || blank : first) {
            if (width.kind == T_STR)
                mm__buf_put(&b, width.u.s, width.n);
            else
                for (int64_t k = 0; k < n; k++) mm__buf_putc(&b, ' ');
        }
        mm__buf_put(&b, s.u.s + i, len + (end != NULL));
        i += len + (end != NULL);
    }
    return mm__tval_take(r, &b);
}

static tval f_escape(trun *r, const tval *v, const targs *a)
{
    static const char marks[] = "&<>'\"";
    static const char *const names[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    const tval s = mm__tval_to_str(r, v);
    mm__buf b;
    if (!mm__tmpl_step(r, s.n / 64)) return tv_undef();
    mm__tval_buf(r, &b);
    for (size_t i = 0; i < s.n; i++) {
        const char *at = s.u.s[i] ? strchr(marks, s.u.s[i]) : NULL;
        if (at)
            mm__buf_puts(&b, names[at - marks]);
        else
            mm__buf_putc(&b, s.u.s[i]);
    }
    return mm__tval_take(r, &b);
}

/* ---- numbers -------------------------------------------------------------------------------------------------- */

/* A decimal number in a string, blanks around it allowed. */
static bool read_number(const tval *s, bool only_whole, int64_t *i, double *d)
{
    size_t at = 0, end = s->n;
    double v = 0;
    int scale = 0, exponent = 0, digits = 0;
    bool fits = true;
    *i = 0;
    while (at < end && (s->u.s[at] == ' ' || (s->u.s[at] >= 9 && s->u.s[at] <= 13))) at++;
    while (end > at && (s->u.s[end - 1] == ' ' || (s->u.s[end - 1] >= 9 && s->u.s[end - 1] <= 13))) end--;
    const bool minus = at < end && s->u.s[at] == '-';
    if (at < end && (minus || s->u.s[at] == '+')) at++;
    for (; at < end && s->u.s[at] >= '0' && s->u.s[at] <= '9'; at++, digits++) {
        const int c = s->u.s[at] - '0';
        fits = fits && !__builtin_mul_overflow(*i, 10, i) && !__builtin_sub_overflow(*i, c, i);
        v = v * 10 + c;
    }
    if (fits && !minus) fits = !__builtin_sub_overflow((int64_t)0, *i, i);
    if (only_whole) return digits && fits && at == end;
    if (at < end && s->u.s[at] == '.')
        for (at++; at < end && s->u.s[at] >= '0' && s->u.s[at] <= '9'; at++, digits++, scale++) v = v * 10 + (s->u.s[at] - '0');
    if (digits && at + 1 < end && (s->u.s[at] == 'e' || s->u.s[at] == 'E')) {
        at++;
        const bool down = s->u.s[at] == '-';
        if (down || s->u.s[at] == '+') at++;
        if (at == end) return false;
        for (; at < end && s->u.s[at] >= '0' && s->u.s[at] <= '9'; at++)
            if (exponent < 1000) exponent = exponent * 10 + (s->u.s[at] - '0');
        if (down) exponent = -exponent;
    }
    exponent -= scale;
    *d = (minus ? -1 : 1) * (exponent < 0 ? v / pow(10, -exponent) : v * pow(10, exponent));
    return digits && at == end;
}

static tval f_int(trun *r, const tval *v, const targs *a)
{
    const tval otherwise = mm__tmpl_arg(r, a, 0, "default");
    int64_t i;
    double d;
    if (v->kind == T_STR && !mm__tmpl_step(r, v->n / 64)) return tv_undef();
    if (v->kind == T_STR && read_number(v, true, &i, &d)) return tv_int(i);
    if (v->kind == T_INT || v->kind == T_BOOL) return tv_int(whole_or(*v, 0));
    if ((v->kind == T_REAL ? (d = v->u.d, true) : v->kind == T_STR && read_number(v, false, &i, &d)) && d > -9.2e18 &&
        d < 9.2e18)
        return tv_int((int64_t)d);
    return given(otherwise) ? otherwise : tv_int(0);
}

static tval f_float(trun *r, const tval *v, const targs *a)
{
    const tval otherwise = mm__tmpl_arg(r, a, 0, "default");
    int64_t i;
    double d;
    if (v->kind == T_STR && !mm__tmpl_step(r, v->n / 64)) return tv_undef();
    if (mm__tval_number(v, &d) || (v->kind == T_STR && read_number(v, false, &i, &d))) return tv_real(d);
    return given(otherwise) ? otherwise : tv_real(0);
}

static tval f_abs(trun *r, const tval *v, const targs *a)
{
    const tval zero = tv_int(0);
    if (v->kind == T_REAL) return tv_real(fabs(v->u.d));
    if (v->kind == T_INT && v->u.i < 0) return mm__tmpl_math(r, O_SUB, &zero, v);
    return v->kind == T_INT || v->kind == T_BOOL ? tv_int(whole_or(*v, 0)) : mm__tmpl_error(r, "abs of %s", mm__tval_kind(v));
}

static tval f_round(trun *r, const tval *v, const targs *a)
{
    const tval method = mm__tmpl_arg(r, a, 1, "method");
    const int64_t places = whole_or(mm__tmpl_arg(r, a, 0, "precision"), 0);
    double d;
    char text[400];
    int64_t i;
    if (!mm__tval_number(v, &d) || places < 0 || places > 15)
        return mm__tmpl_error(r, "round takes a number and 0 to 15 places");
    const double scale = pow(10, (double)places);
    if (method.kind == T_STR && mm__tmpl_named(method.u.s, method.n, "ceil")) return tv_real(ceil(d * scale) / scale);
    if (method.kind == T_STR && mm__tmpl_named(method.u.s, method.n, "floor")) return tv_real(floor(d * scale) / scale);
    if (v->kind == T_INT) return *v;
    if (fabs(d) > 1e15 || !isfinite(d)) return tv_real(d);
    if (places == 0) return tv_real(nearbyint(d));
    void *locale = mm__os_point_begin();
    snprintf(text, sizeof text, "%.*f", (int)places, d);
    mm__os_point_end(locale);
    const tval s = tv_str(text, strlen(text));
    return read_number(&s, false, &i, &d) ? tv_real(d) : tv_undef();
}

/* ---- the table ------------------------------------------------------------------------------------------------ */

tval mm__tmpl_filter(trun *r, const char *name, size_t n, const tval *v, const targs *args)
{
    static const struct {
        const char *name;
        filter_fn run;
    } table[] = {{"trim", f_trim},       {"length", f_length},
                 {"count", f_length},    {"upper", f_upper},
                 {"lower", f_lower},     {"title", f_title},
                 {"string", f_string},   {"safe", f_safe},
                 {"list", f_list},       {"capitalize", f_capitalize},
                 {"default", f_default}, {"d", f_default},
                 {"replace", f_replace}, {"join", f_join},
                 {"first", f_first},     {"last", f_last},
                 {"reverse", f_reverse}, {"items", f_items},
                 {"tojson", f_tojson},   {"indent", f_indent},
                 {"escape", f_escape},   {"e", f_escape},
                 {"int", f_int},         {"float", f_float},
                 {"abs", f_abs},         {"round", f_round}};
    bool known;
    if (!mm__tmpl_step(r, 1)) return tv_undef();
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (mm__tmpl_named(name, n, table[i].name)) return table[i].run(r, v, args);
    const tval out = mm__tmpl_order_filter(r, name, n, v, args, &known);
    if (!known && r->st == MM_OK)
        r->st = mm__fail(r->err, MM_E_UNSUPPORTED, "chat template, line %d: filter \"%.*s\" is not supported", r->line,
                         (int)(n < 40 ? n : 40), name);
    return out;
}

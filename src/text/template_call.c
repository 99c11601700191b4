/* What templates can call: five functions, methods of strings, mappings and lists, and macros. Nothing here changes a value:
 * methods that would (append, update, pop) do not exist. */
#include "template_impl.h"
#include "../base/error.h"
#include <stdlib.h>
#include <string.h>

enum { F_RANGE, F_NAMESPACE, F_RAISE, F_STRFTIME, F_DICT };

int mm__tmpl_function(const char *name, size_t n)
{
    static const char *const names[] = {"range", "namespace", "raise_exception", "strftime_now", "dict"};
    for (int i = 0; i < 5; i++)
        if (mm__tmpl_named(name, n, names[i])) return i;
    return -1;
}

tval mm__tmpl_arg(const trun *r, const targs *args, size_t i, const char *name)
{
    for (size_t k = 0, at = 0; k < args->n; k++) {
        const int id = args->name[k];
        if (id < 0 ? at++ == i : mm__tmpl_named(r->t->names[id], r->t->name_lens[id], name)) return args->v[k];
    }
    return tv_undef();
}

static tval range(trun *r, const targs *args)
{
    int64_t v[3] = {0, 0, 1};
    if (args->n < 1 || args->n > 3) return mm__tmpl_error(r, "range takes one to three numbers");
    for (size_t i = 0; i < args->n; i++) {
        if (args->v[i].kind != T_INT && args->v[i].kind != T_BOOL)
            return mm__tmpl_error(r, "range takes whole numbers, not %s", mm__tval_kind(&args->v[i]));
        v[i] = args->v[i].kind == T_INT ? args->v[i].u.i : args->v[i].u.b;
    }
    if (args->n == 1) {
        v[1] = v[0];
        v[0] = 0;
    }
    if (v[2] == 0) return mm__tmpl_error(r, "range with step 0");
    if (v[2] == INT64_MIN) return mm__tmpl_limit(r, "range has too many numbers");
    const uint64_t span =
        v[2] > 0 ? (v[1] > v[0] ? (uint64_t)v[1] - (uint64_t)v[0] : 0) : (v[0] > v[1] ? (uint64_t)v[0] - (uint64_t)v[1] : 0);
    const uint64_t step = (uint64_t)(v[2] > 0 ? v[2] : -v[2]), n = span / step + (span % step != 0);
    if (n > MM__TMPL_MAX_RANGE) return mm__tmpl_limit(r, "range has more than 65536 numbers");
    tval list = mm__tval_list(r, (size_t)n);
    for (size_t i = 0; i < list.n; i++) list.u.items[i] = tv_int(v[0] + (int64_t)i * v[2]);
    return list;
}

/* namespace(a=1), dict(a=1), also from a mapping. */
static tval make_dict(trun *r, const targs *args, int kind)
{
    tval d = mm__tval_dict(r, args->n + 4, kind);
    for (size_t i = 0; i < args->n && r->st == MM_OK; i++) {
        const tval *v = &args->v[i];
        if (args->name[i] >= 0)
            mm__tval_dict_set(r, d.u.dict, tv_str(r->t->names[args->name[i]], r->t->name_lens[args->name[i]]), *v);
        else if (v->kind == T_DICT)
            for (size_t k = 0; k < v->u.dict->n && r->st == MM_OK; k++)
                mm__tval_dict_set(r, d.u.dict, v->u.dict->keys[k], v->u.dict->vals[k]);
        else
            return mm__tmpl_error(r, "a mapping cannot be made from %s", mm__tval_kind(v));
    }
    return d;
}

static tval stop(trun *r, const targs *args)
{
    const tval v = args->n ? args->v[0] : tv_str("", 0), s = mm__tval_to_str(r, &v);
    if (r->st == MM_OK) r->st = mm__fail(r->err, MM_E_ARG, "chat template: %.*s", (int)(s.n < 400 ? s.n : 400), s.u.s);
    return tv_undef();
}

/* Civil date of a day count since 1970-01-01 (proleptic Gregorian; the era method of H. Hinnant's date algorithms). */
static void civil(int64_t days, int64_t *y, int *m, int *d)
{
    days += 719468;
    const int64_t era = (days >= 0 ? days : days - 146096) / 146097, doe = days - era * 146097;
    const int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    const int64_t mp = (5 * doy + 2) / 153;
    *d = (int)(doy - (153 * mp + 2) / 5 + 1);
    *m = (int)(mp < 10 ? mp + 3 : mp - 9);
    *y = yoe + era * 400 + (*m <= 2);
}

static tval strftime_now(trun *r, const targs *args)
{
    static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                         "July",    "August",   "September", "October", "November", "December"};
    static const char *const week[] = {"Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"};
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    const tval f = mm__tmpl_arg(r, args, 0, "format");
    if (f.kind != T_STR) return mm__tmpl_error(r, "strftime_now takes a string");
    const int64_t now = r->now < 0 ? 0 : r->now > 253402300799 ? 253402300799 : r->now, days = now / 86400;
    const int second = (int)(now % 60), minute = (int)(now / 60 % 60), hour = (int)(now / 3600 % 24);
    int64_t y;
    int m, d;
    mm__buf b;
    civil(days, &y, &m, &d);
    const bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    const char *day = week[days % 7];
    mm__tval_buf(r, &b);
    for (size_t i = 0; i < f.n; i++) {
        if (f.u.s[i] != '%' || i + 1 == f.n) {
            mm__buf_putc(&b, f.u.s[i]);
            continue;
        }
        const bool bare = f.u.s[i + 1] == '-' && i + 2 < f.n; /* %-d: without the leading zero */
        if (bare) i++;
        const char *two = bare ? "%d" : "%02d";
        switch (f.u.s[++i]) {
        case 'Y':
            mm__buf_printf(&b, "%d", (int)y);
            break;
        case 'y':
            mm__buf_printf(&b, two, (int)(y % 100));
            break;
        case 'm':
            mm__buf_printf(&b, two, m);
            break;
        case 'd':
            mm__buf_printf(&b, two, d);
            break;
        case 'j':
            mm__buf_printf(&b, bare ? "%d" : "%03d", before[m - 1] + d + (leap && m > 2));
            break;
        case 'B':
            mm__buf_puts(&b, months[m - 1]);
            break;
        case 'b':
        case 'h':
            mm__buf_put(&b, months[m - 1], 3);
            break;
        case 'A':
            mm__buf_puts(&b, day);
            break;
        case 'a':
            mm__buf_put(&b, day, 3);
            break;
        case 'w':
            mm__buf_printf(&b, "%d", (int)((days + 4) % 7));
            break;
        case 'H':
            mm__buf_printf(&b, two, hour);
            break;
        case 'I':
            mm__buf_printf(&b, two, hour % 12 ? hour % 12 : 12);
            break;
        case 'p':
            mm__buf_puts(&b, hour < 12 ? "AM" : "PM");
            break;
        case 'M':
            mm__buf_printf(&b, two, minute);
            break;
        case 'S':
            mm__buf_printf(&b, two, second);
            break;
        case 'F':
            mm__buf_printf(&b, "%d-%02d-%02d", (int)y, m, d);
            break;
        case 'T':
            mm__buf_printf(&b, "%02d:%02d:%02d", hour, minute, second);
            break;
        case 'Z':
            mm__buf_puts(&b, "UTC");
            break;
        case 'z':
            mm__buf_puts(&b, "+0000");
            break;
        case '%':
            mm__buf_putc(&b, '%');
            break;
        default:
            mm__tmpl_error(r, "strftime_now does not know %%%c", f.u.s[i]);
            break;
        }
    }
    return mm__tval_take(r, &b);
}

static tval call_macro(trun *r, const tmacro *m, const targs *args)
{
    targs locals = {.n = 0};
    tscope *before = r->scope;
    size_t at = 0, given = 0;
    r->scope = m->scope;
    for (const tnode *p = m->node->a; p && r->st == MM_OK; p = p->next, at++) {
        const tval *v = NULL;
        for (size_t k = 0, pos = 0; k < args->n && !v; k++) {
            if (args->name[k] < 0 ? pos == at : args->name[k] == p->name) v = &args->v[k];
            pos += args->name[k] < 0;
        }
        given += v != NULL;
        locals.name[locals.n] = p->name;
        locals.v[locals.n++] = v ? *v : p->a ? mm__tmpl_eval(r, p->a) : tv_undef();
    }
    r->scope = before;
    if (r->st != MM_OK) return tv_undef();
    if (given < args->n) {
        const int name = m->node->name;
        return mm__tmpl_error(r, "macro \"%.*s\" does not take these arguments", (int)(r->t->name_lens[name] & 63),
                              r->t->names[name]);
    }
    return mm__tmpl_capture(r, m->node->b, m->scope, &locals);
}

tval mm__tmpl_call(trun *r, const tval *f, const targs *args)
{
    if (r->st != MM_OK) return tv_undef();
    if (f->kind == T_MACRO) return call_macro(r, f->u.macro, args);
    if (f->kind != T_FUNC) return mm__tmpl_error(r, "%s cannot be called", mm__tval_kind(f));
    switch (f->u.i) {
    case F_RANGE:
        return range(r, args);
    case F_NAMESPACE:
        return make_dict(r, args, T_NAMESPACE);
    case F_RAISE:
        return stop(r, args);
    case F_STRFTIME:
        return strftime_now(r, args);
    default:
        return make_dict(r, args, T_DICT);
    }
}

/* ---- methods of strings --------------------------------------------------------------------------------------- */

static bool in_set(const tval *set, const char *c, size_t n)
{
    return set->n >= n && memmem(set->u.s, set->n, c, n) != NULL;
}

tval mm__tmpl_strip(trun *r, const tval *s, const tval *chars, bool left, bool right)
{
    size_t from = 0, to = s->n, n;
    const bool space = chars->kind != T_STR;
    if (!space && !mm__tmpl_step(r, (1 + s->n / 64) * (1 + chars->n / 16))) return tv_undef();
    while (left && from < to) {
        n = 1;
        while (from + n < to && ((unsigned char)s->u.s[from + n] & 0xc0) == 0x80) n++;
        size_t unused;
        if (space ? !mm__tval_is_space(s->u.s + from, to - from, &unused) : !in_set(chars, s->u.s + from, n)) break;
        from += n;
    }
    while (right && to > from) {
        n = 1;
        while (to - n > from && ((unsigned char)s->u.s[to - n] & 0xc0) == 0x80) n++;
        size_t unused;
        if (space ? !mm__tval_is_space(s->u.s + to - n, n, &unused) : !in_set(chars, s->u.s + to - n, n)) break;
        to -= n;
    }
    if (!mm__tmpl_step(r, (s->n - (to - from)) / 64)) return tv_undef();
    return tv_str(s->u.s + from, to - from);
}

tval mm__tmpl_replace(trun *r, const tval *s, const tval *from, const tval *to, int64_t count)
{
    mm__buf b;
    size_t at = 0;
    if (from->kind != T_STR || to->kind != T_STR) return mm__tmpl_error(r, "replace takes strings");
    if (!mm__tmpl_step(r, s->n / 64)) return tv_undef();
    mm__tval_buf(r, &b);
    while (count != 0 && !b.failed) {
        const char *hit = from->n ? memmem(s->u.s + at, s->n - at, from->u.s, from->n) : s->u.s + at;
        if (!hit) break;
        const size_t before = (size_t)(hit - s->u.s) - at;
        mm__buf_put(&b, s->u.s + at, before);
        mm__buf_put(&b, to->u.s, to->n);
        at += before + from->n;
        count--;
        if (from->n == 0) { /* between all characters */
            if (at == s->n || !mm__tmpl_step(r, 1)) break;
            do mm__buf_putc(&b, s->u.s[at++]);
            while (at < s->n && ((unsigned char)s->u.s[at] & 0xc0) == 0x80);
        }
    }
    if (at < s->n) mm__buf_put(&b, s->u.s + at, s->n - at);
    return mm__tval_take(r, &b);
}

static tval split(trun *r, const tval *s, const tval *sep, int64_t limit)
{
    tval list = mm__tval_list(r, 8);
    size_t n = 0, cap = 8, at = 0, len;
    const bool space = sep->kind != T_STR;
    if (!space && sep->n == 0) return mm__tmpl_error(r, "split at an empty string");
    if (!mm__tmpl_step(r, s->n / 64)) return tv_undef();
    while (r->st == MM_OK && mm__tmpl_step(r, 1)) {
        if (n == cap) {
            tval grown = mm__tval_list(r, cap * 2);
            if (r->st != MM_OK) break;
            memcpy(grown.u.items, list.u.items, n * sizeof list);
            list = grown;
            cap *= 2;
        }
        while (space && at < s->n && mm__tval_is_space(s->u.s + at, s->n - at, &len)) at += len;
        if (space && at == s->n) break;
        size_t end = at, next = s->n + 1;
        if (limit >= 0 && (int64_t)n == limit) {
            end = s->n;
        } else if (space) {
            while (end < s->n && !mm__tval_is_space(s->u.s + end, s->n - end, &len)) end += len;
            next = end;
        } else {
            const char *hit = memmem(s->u.s + at, s->n - at, sep->u.s, sep->n);
            end = hit ? (size_t)(hit - s->u.s) : s->n;
            if (hit) next = end + sep->n;
        }
        list.u.items[n++] = tv_str(s->u.s + at, end - at);
        if (next > s->n) break;
        at = next;
    }
    list.n = n;
    return list;
}

static tval split_lines(trun *r, const tval *s)
{
    const tval newline = tv_str("\n", 1);
    tval list = split(r, s, &newline, -1);
    if (r->st == MM_OK && list.n && list.u.items[list.n - 1].n == 0) list.n--;
    for (size_t i = 0; r->st == MM_OK && i < list.n; i++) {
        tval *v = &list.u.items[i];
        if (v->n && v->u.s[v->n - 1] == '\r') v->n--;
    }
    return list;
}

/* startswith, endswith: a string, or a list of which one must fit. */
static tval has_end(trun *r, const tval *s, const tval *what, bool start)
{
    const tval one = {.kind = T_LIST, .n = 1, .u.items = (tval *)what}, *list = what->kind == T_LIST ? what : &one;
    for (size_t i = 0; i < list->n && mm__tmpl_step(r, 1); i++) {
        const tval *w = &list->u.items[i];
        if (w->kind != T_STR) return mm__tmpl_error(r, "startswith and endswith take strings");
        if (w->n <= s->n && mm__tmpl_step(r, w->n / 1024) && memcmp(start ? s->u.s : s->u.s + s->n - w->n, w->u.s, w->n) == 0) return tv_bool(true);
    }
    return tv_bool(false);
}

static tval without_end(trun *r, const tval *s, const tval *what, bool start)
{
    const tval has = has_end(r, s, what, start);
    if (what->kind != T_STR || !has.u.b) return *s;
    return tv_str(s->u.s + (start ? what->n : 0), s->n - what->n);
}

static tval find(trun *r, const tval *s, const tval *what, bool last)
{
    if (what->kind != T_STR) return mm__tmpl_error(r, "find takes a string");
    if (!mm__tmpl_step(r, s->n / 64)) return tv_undef();
    const char *hit = NULL, *p = s->u.s;
    while ((p = what->n ? memmem(p, (size_t)(s->u.s + s->n - p), what->u.s, what->n) : s->u.s + (last ? s->n : 0))) {
        hit = p++;
        if (!last || !what->n || !mm__tmpl_step(r, 1 + what->n / 64)) break; /* each search reads what it looks for */
    }
    const tval before = tv_str(s->u.s, hit ? (size_t)(hit - s->u.s) : 0);
    return tv_int(hit ? (int64_t)mm__tval_chars(&before) : -1);
}

static tval count(trun *r, const tval *s, const tval *what)
{
    int64_t n = 0;
    if (what->kind != T_STR || !what->n) return mm__tmpl_error(r, "count takes a string");
    if (!mm__tmpl_step(r, s->n / 64)) return tv_undef();
    for (const char *p = s->u.s; (p = memmem(p, (size_t)(s->u.s + s->n - p), what->u.s, what->n)) && mm__tmpl_step(r, 1);
         p += what->n)
        n++;
    return tv_int(n);
}

static tval all_of(trun *r, const tval *s, int how)
{
    if (!mm__tmpl_step(r, s->n / 64)) return tv_undef();
    for (size_t i = 0; i < s->n; i++) {
        const unsigned char c = (unsigned char)s->u.s[i];
        const bool is_digit = c >= '0' && c <= '9', lower = c >= 'a' && c <= 'z', upper = c >= 'A' && c <= 'Z';
        if (how == 'd'   ? !is_digit
            : how == 'a' ? !lower && !upper && c < 128
            : how == 's' ? !(c == ' ' || (c >= 9 && c <= 13))
                         : !is_digit && !lower && !upper && c < 128)
            return tv_bool(false);
    }
    return tv_bool(s->n > 0);
}

static int64_t whole_or(tval v, int64_t otherwise)
{
    return v.kind == T_INT ? v.u.i : otherwise;
}

static bool string_method(trun *r, const tval *s, const char *name, size_t n, const targs *args, tval *out)
{
    enum {
        STRIP,
        LSTRIP,
        RSTRIP,
        SPLIT,
        LINES,
        STARTS,
        ENDS,
        UPPER,
        LOWER,
        TITLE,
        CAPITALIZE,
        REPLACE,
        FIND,
        RFIND,
        COUNT,
        JOIN,
        DIGIT,
        ALPHA,
        ALNUM,
        SPACE,
        PREFIX,
        SUFFIX
    };
    static const char *const names[] = {"strip",    "lstrip",  "rstrip",       "split",       "splitlines", "startswith",
                                        "endswith", "upper",   "lower",        "title",       "capitalize", "replace",
                                        "find",     "rfind",   "count",        "join",        "isdigit",    "isalpha",
                                        "isalnum",  "isspace", "removeprefix", "removesuffix"};
    int which = 0;
    const int known = sizeof names / sizeof *names;
    while (which < known && !mm__tmpl_named(name, n, names[which])) which++;
    const tval a = mm__tmpl_arg(r, args, 0, which == SPLIT ? "sep" : "chars"),
               b = mm__tmpl_arg(r, args, 1, which == SPLIT ? "maxsplit" : "new");
    targs list = {.n = 1, .name = {-1}, .v = {*s}};
    switch (which) {
    case STRIP:
        *out = mm__tmpl_strip(r, s, &a, true, true);
        break;
    case LSTRIP:
        *out = mm__tmpl_strip(r, s, &a, true, false);
        break;
    case RSTRIP:
        *out = mm__tmpl_strip(r, s, &a, false, true);
        break;
    case SPLIT:
        *out = split(r, s, &a, whole_or(b, -1));
        break;
    case LINES:
        *out = split_lines(r, s);
        break;
    case STARTS:
        *out = has_end(r, s, &a, true);
        break;
    case ENDS:
        *out = has_end(r, s, &a, false);
        break;
    case UPPER:
        *out = mm__tval_fold(r, s, 'u');
        break;
    case LOWER:
        *out = mm__tval_fold(r, s, 'l');
        break;
    case TITLE:
        *out = mm__tval_fold(r, s, 't');
        break;
    case CAPITALIZE:
        *out = mm__tval_fold(r, s, 'c');
        break;
    case REPLACE:
        *out = mm__tmpl_replace(r, s, &a, &b, whole_or(mm__tmpl_arg(r, args, 2, "count"), -1));
        break;
    case FIND:
        *out = find(r, s, &a, false);
        break;
    case RFIND:
        *out = find(r, s, &a, true);
        break;
    case COUNT:
        *out = count(r, s, &a);
        break;
    case JOIN:
        *out = mm__tmpl_filter(r, "join", 4, &a, &list);
        break;
    case DIGIT:
        *out = all_of(r, s, 'd');
        break;
    case ALPHA:
        *out = all_of(r, s, 'a');
        break;
    case ALNUM:
        *out = all_of(r, s, 'n');
        break;
    case SPACE:
        *out = all_of(r, s, 's');
        break;
    case PREFIX:
        *out = without_end(r, s, &a, true);
        break;
    case SUFFIX:
        *out = without_end(r, s, &a, false);
        break;
    default:
        return false;
    }
    return true;
}

static bool dict_method(trun *r, const tval *v, const char *name, size_t n, const targs *args, tval *out)
{
    const tdict *d = v->u.dict;
    if (mm__tmpl_named(name, n, "keys")) {
        *out = mm__tval_items(r, v);
    } else if (mm__tmpl_named(name, n, "values")) {
        *out = mm__tval_list(r, d->n);
        for (size_t i = 0; i < out->n; i++) out->u.items[i] = d->vals[i];
    } else if (mm__tmpl_named(name, n, "items")) {
        const targs none = {.n = 0};
        *out = mm__tmpl_filter(r, "items", 5, v, &none);
    } else if (mm__tmpl_named(name, n, "get")) {
        const tval key = mm__tmpl_arg(r, args, 0, "key"), otherwise = mm__tmpl_arg(r, args, 1, "default"),
                   *found = mm__tval_dict_find(r, d, &key);
        *out = found ? *found : otherwise.kind == T_UNDEF ? tv_none() : otherwise;
    } else {
        return false;
    }
    return true;
}

static bool list_method(trun *r, const tval *v, const char *name, size_t n, const targs *args, tval *out)
{
    const tval what = mm__tmpl_arg(r, args, 0, "value");
    const bool index = mm__tmpl_named(name, n, "index");
    int64_t hits = 0;
    if (!index && !mm__tmpl_named(name, n, "count")) return false;
    for (size_t i = 0; i < v->n && mm__tmpl_step(r, 1); i++)
        if (mm__tval_equal(r, &v->u.items[i], &what)) {
            *out = tv_int((int64_t)i);
            if (index) return true;
            hits++;
        }
    *out = index ? mm__tmpl_error(r, "the value is not in the list") : tv_int(hits);
    return true;
}

bool mm__tmpl_method(trun *r, const tval *v, const char *name, size_t n, const targs *args, tval *out)
{
    *out = tv_undef();
    if (v->kind == T_STR) return string_method(r, v, name, n, args, out);
    if (v->kind == T_DICT) return dict_method(r, v, name, n, args, out);
    if (v->kind == T_LIST) return list_method(r, v, name, n, args, out);
    if (v->kind == T_LOOP && mm__tmpl_named(name, n, "cycle") && args->n) {
        *out = args->v[v->u.loop->at % args->n];
        return true;
    }
    return false;
}

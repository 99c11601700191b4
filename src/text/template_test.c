/* Tests ("is ..."), and the filters that order, select, map and fold lists, some of them by a test. */
#include "template_impl.h"
#include "../base/error.h"
#include <string.h>

enum {
    I_DEFINED,
    I_UNDEFINED,
    I_NONE,
    I_STRING,
    I_MAPPING,
    I_ITERABLE,
    I_SEQUENCE,
    I_NUMBER,
    I_INTEGER,
    I_FLOAT,
    I_BOOLEAN,
    I_TRUE,
    I_FALSE,
    I_CALLABLE,
    I_EVEN,
    I_ODD,
    I_LOWER,
    I_UPPER,
    I_WITH_VALUE, /* those below take a value */
    I_EQ = I_WITH_VALUE,
    I_EQUALTO,
    I_SIGN_EQ,
    I_NE,
    I_LT,
    I_LE,
    I_GT,
    I_GE,
    I_IN,
    I_SAMEAS,
    I_DIVISIBLE,
    I_COUNT
};

static const char *const tests[] = {
    "defined", "undefined", "none",  "string",   "mapping", "iterable", "sequence", "number", "integer",    "float",
    "boolean", "true",      "false", "callable", "even",    "odd",      "lower",    "upper",  "eq",         "equalto",
    "==",      "ne",        "lt",    "le",       "gt",      "ge",       "in",       "sameas", "divisibleby"};

static int test_number(const char *name, size_t n)
{
    for (int i = 0; i < I_COUNT; i++)
        if (mm__tmpl_named(name, n, tests[i])) return i;
    return -1;
}

bool mm__tmpl_test_takes_value(const char *name, size_t n)
{
    return test_number(name, n) >= I_WITH_VALUE;
}

static int64_t remainder_of(trun *r, const tval *v, const tval *by)
{
    const tval m = mm__tmpl_math(r, O_MOD, v, by);
    double d = 1;
    mm__tval_number(&m, &d);
    return d != 0;
}

static bool cased_as(trun *r, const tval *v, int how)
{
    const tval folded = v->kind == T_STR ? mm__tval_fold(r, v, how) : tv_undef(),
               other = v->kind == T_STR ? mm__tval_fold(r, v, how == 'u' ? 'l' : 'u') : tv_undef();
    return r->st == MM_OK && v->kind == T_STR && mm__tval_equal(r, v, &folded) && !mm__tval_equal(r, v, &other);
}

bool mm__tmpl_test(trun *r, const char *name, size_t n, const tval *v, const targs *args)
{
    const int which = test_number(name, n), k = v->kind;
    const tval two = tv_int(2), other = mm__tmpl_arg(r, args, 0, "other");
    if (!mm__tmpl_step(r, 1)) return false;
    switch (which) {
    case I_DEFINED:
        return k != T_UNDEF;
    case I_UNDEFINED:
        return k == T_UNDEF;
    case I_NONE:
        return k == T_NONE;
    case I_STRING:
        return k == T_STR;
    case I_MAPPING:
        return k == T_DICT;
    case I_ITERABLE:
        return k == T_STR || k == T_LIST || k == T_DICT || k == T_UNDEF || k == T_LOOP;
    case I_SEQUENCE:
        return k == T_STR || k == T_LIST || k == T_DICT || k == T_UNDEF;
    case I_NUMBER:
        return k == T_INT || k == T_REAL || k == T_BOOL;
    case I_INTEGER:
        return k == T_INT;
    case I_FLOAT:
        return k == T_REAL;
    case I_BOOLEAN:
        return k == T_BOOL;
    case I_TRUE:
        return k == T_BOOL && v->u.b;
    case I_FALSE:
        return k == T_BOOL && !v->u.b;
    case I_CALLABLE:
        return k == T_MACRO || k == T_FUNC;
    case I_EVEN:
        return !remainder_of(r, v, &two);
    case I_ODD:
        return remainder_of(r, v, &two);
    case I_LOWER:
        return cased_as(r, v, 'l');
    case I_UPPER:
        return cased_as(r, v, 'u');
    case I_EQ:
    case I_EQUALTO:
    case I_SIGN_EQ:
        return mm__tval_equal(r, v, &other);
    case I_NE:
        return !mm__tval_equal(r, v, &other);
    case I_LT:
        return mm__tval_order(r, v, &other, false) < 0;
    case I_LE:
        return mm__tval_order(r, v, &other, false) <= 0;
    case I_GT:
        return mm__tval_order(r, v, &other, false) > 0;
    case I_GE:
        return mm__tval_order(r, v, &other, false) >= 0;
    case I_IN:
        return mm__tmpl_contains(r, &other, v);
    case I_SAMEAS:
        return k == other.kind && mm__tval_equal(r, v, &other);
    case I_DIVISIBLE:
        return !remainder_of(r, v, &other);
    default:
        break;
    }
    if (r->st == MM_OK)
        r->st = mm__fail(r->err, MM_E_UNSUPPORTED, "chat template, line %d: test \"%.*s\" is not supported", r->line,
                         (int)(n < 40 ? n : 40), name);
    return false;
}

/* ---- filters over lists --------------------------------------------------------------------------------------- */

static bool given(tval v)
{
    return v.kind != T_UNDEF;
}

tval mm__tmpl_path(trun *r, const tval *v, const tval *path)
{
    tval at = *v;
    if (path->kind != T_STR) return mm__tmpl_item(r, v, path);
    for (size_t i = 0; i <= path->n && r->st == MM_OK;) {
        const char *dot = memchr(path->u.s + i, '.', path->n - i);
        const size_t n = dot ? (size_t)(dot - path->u.s) - i : path->n - i;
        int64_t index = 0;
        size_t d = 0;
        for (; d < n && d < 9 && path->u.s[i + d] >= '0' && path->u.s[i + d] <= '9'; d++)
            index = index * 10 + (path->u.s[i + d] - '0');
        const tval key = n > 0 && d == n ? tv_int(index) : tv_str(path->u.s + i, n);
        at = mm__tmpl_item(r, &at, &key);
        i += n + 1;
    }
    return at;
}

/* The rest of an argument list, from positional argument `from` on. */
static targs rest_of(const targs *args, size_t from)
{
    targs out = {.n = 0};
    for (size_t k = from; k < args->n; k++) {
        out.name[out.n] = args->name[k];
        out.v[out.n++] = args->v[k];
    }
    return out;
}

/* What map, select and their kin go through: nothing for any false value. */
static tval elements(trun *r, const tval *v)
{
    return mm__tval_truth(v) ? mm__tval_items(r, v) : mm__tval_list(r, 0);
}

/* map('filter', args...) or map(attribute='path', default=...). */
static tval map(trun *r, const tval *v, const targs *args)
{
    const tval list = elements(r, v), path = mm__tmpl_arg(r, args, MM__TMPL_MAX_ARGS, "attribute"),
               otherwise = mm__tmpl_arg(r, args, MM__TMPL_MAX_ARGS, "default");
    const tval filter = mm__tmpl_arg(r, args, 0, "");
    const targs rest = rest_of(args, 1);
    tval out = mm__tval_list(r, list.n);
    if (r->st == MM_OK && !given(path) && filter.kind != T_STR)
        return mm__tmpl_error(r, "map needs a filter's name or attribute=");
    for (size_t i = 0; i < out.n && mm__tmpl_step(r, 1); i++) {
        const tval x = given(path) ? mm__tmpl_path(r, &list.u.items[i], &path)
                                   : mm__tmpl_filter(r, filter.u.s, filter.n, &list.u.items[i], &rest);
        out.u.items[i] = given(x) || !given(path) ? x : otherwise;
    }
    return out;
}

/* select, reject: by a test of the element; selectattr, rejectattr: of its attribute. */
static tval choose(trun *r, const tval *v, const targs *args, bool keep, bool attribute)
{
    const tval list = elements(r, v), path = attribute ? mm__tmpl_arg(r, args, 0, "") : tv_undef(),
               test = mm__tmpl_arg(r, args, attribute, "");
    const targs rest = rest_of(args, attribute + 1);
    tval out = mm__tval_list(r, list.n);
    size_t m = 0;
    if (r->st == MM_OK && ((attribute && path.kind != T_STR) || (given(test) && test.kind != T_STR)))
        return mm__tmpl_error(r, "a list cannot be chosen from by this");
    for (size_t i = 0; i < out.n && mm__tmpl_step(r, 1); i++) {
        const tval x = attribute ? mm__tmpl_path(r, &list.u.items[i], &path) : list.u.items[i];
        if ((given(test) ? mm__tmpl_test(r, test.u.s, test.n, &x, &rest) : mm__tval_truth(&x)) == keep)
            out.u.items[m++] = list.u.items[i];
    }
    out.n = m;
    return out;
}

typedef struct order {
    tval path; /* of the key in an element; undefined: the element */
    bool fold, reverse;
} order;

static int compare(trun *r, const order *o, const tval *a, const tval *b)
{
    const tval x = given(o->path) ? mm__tmpl_path(r, a, &o->path) : *a, y = given(o->path) ? mm__tmpl_path(r, b, &o->path) : *b;
    const int c = r->st == MM_OK ? mm__tval_order(r, &x, &y, o->fold) : 0;
    return o->reverse ? -c : c;
}

/* Stable merge sort, bottom up; equal elements keep their order, also in reverse. */
static tval sorted(trun *r, const tval *list, const order *o)
{
    tval from = mm__tval_list(r, list->n), to = mm__tval_list(r, list->n);
    if (r->st != MM_OK) return tv_undef();
    if (list->n) memcpy(from.u.items, list->u.items, list->n * sizeof from);
    for (size_t width = 1; width < list->n && r->st == MM_OK; width *= 2) {
        for (size_t lo = 0; lo < list->n; lo += 2 * width) {
            const size_t mid = lo + width < list->n ? lo + width : list->n,
                         hi = lo + 2 * width < list->n ? lo + 2 * width : list->n;
            for (size_t i = lo, j = mid, k = lo; k < hi; k++) {
                const bool left = i < mid && (j >= hi || compare(r, o, &from.u.items[i], &from.u.items[j]) <= 0);
                to.u.items[k] = from.u.items[left ? i++ : j++];
            }
        }
        const tval t = from;
        from = to;
        to = t;
    }
    return from;
}

static bool flag(trun *r, const targs *args, size_t i, const char *name)
{
    const tval v = mm__tmpl_arg(r, args, i, name);
    return mm__tval_truth(&v);
}

static tval sort(trun *r, const tval *v, const targs *args)
{
    const tval list = mm__tval_items(r, v);
    const order o = {mm__tmpl_arg(r, args, 2, "attribute"), !flag(r, args, 1, "case_sensitive"), flag(r, args, 0, "reverse")};
    return r->st == MM_OK ? sorted(r, &list, &o) : tv_undef();
}

static tval dictsort(trun *r, const tval *v, const targs *args)
{
    const targs none = {.n = 0};
    const tval pairs = mm__tmpl_filter(r, "items", 5, v, &none), by = mm__tmpl_arg(r, args, 1, "by");
    const bool value = by.kind == T_STR && mm__tmpl_named(by.u.s, by.n, "value");
    const order o = {tv_int(value), !flag(r, args, 0, "case_sensitive"), flag(r, args, 2, "reverse")};
    return r->st == MM_OK ? sorted(r, &pairs, &o) : tv_undef();
}

static tval unique(trun *r, const tval *v, const targs *args)
{
    const tval list = mm__tval_items(r, v), path = mm__tmpl_arg(r, args, 1, "attribute");
    const bool fold = !flag(r, args, 0, "case_sensitive");
    tval out = mm__tval_list(r, list.n), seen = mm__tval_list(r, list.n);
    size_t m = 0;
    for (size_t i = 0; i < list.n && r->st == MM_OK; i++) {
        tval key = given(path) ? mm__tmpl_path(r, &list.u.items[i], &path) : list.u.items[i];
        if (fold && key.kind == T_STR) key = mm__tval_fold(r, &key, 'l');
        bool known = false;
        for (size_t k = 0; k < m && !known && mm__tmpl_step(r, 1); k++) known = mm__tval_equal(r, &seen.u.items[k], &key);
        if (known || r->st != MM_OK) continue;
        seen.u.items[m] = key;
        out.u.items[m++] = list.u.items[i];
    }
    out.n = m;
    return out;
}

static tval extreme(trun *r, const tval *v, const targs *args, bool max)
{
    const tval list = mm__tval_items(r, v);
    const order o = {mm__tmpl_arg(r, args, 1, "attribute"), !flag(r, args, 0, "case_sensitive"), max};
    tval best = list.n ? list.u.items[0] : tv_undef();
    for (size_t i = 1; i < list.n && r->st == MM_OK; i++)
        if (compare(r, &o, &list.u.items[i], &best) < 0) best = list.u.items[i];
    return best;
}

static tval sum(trun *r, const tval *v, const targs *args)
{
    const tval list = mm__tval_items(r, v), path = mm__tmpl_arg(r, args, 0, "attribute"),
               start = mm__tmpl_arg(r, args, 1, "start");
    tval total = given(start) ? start : tv_int(0);
    for (size_t i = 0; i < list.n && mm__tmpl_step(r, 1); i++) {
        const tval x = given(path) ? mm__tmpl_path(r, &list.u.items[i], &path) : list.u.items[i];
        total = mm__tmpl_math(r, O_ADD, &total, &x);
    }
    return total;
}

tval mm__tmpl_order_filter(trun *r, const char *name, size_t n, const tval *v, const targs *args, bool *known)
{
    static const char *const names[] = {"map",      "select", "reject", "selectattr", "rejectattr", "sort",
                                        "dictsort", "unique", "min",    "max",        "sum"};
    int which = 0;
    while (which < 11 && !mm__tmpl_named(name, n, names[which])) which++;
    *known = which < 11;
    /* filters call filters (map) and tests: count the nesting */
    if (*known && r->frames >= MM__TMPL_MAX_FRAMES) return mm__tmpl_limit(r, "filters are nested too deep");
    tval out = tv_undef();
    r->frames++;
    switch (which) {
    case 0:
        out = map(r, v, args);
        break;
    case 1:
        out = choose(r, v, args, true, false);
        break;
    case 2:
        out = choose(r, v, args, false, false);
        break;
    case 3:
        out = choose(r, v, args, true, true);
        break;
    case 4:
        out = choose(r, v, args, false, true);
        break;
    case 5:
        out = sort(r, v, args);
        break;
    case 6:
        out = dictsort(r, v, args);
        break;
    case 7:
        out = unique(r, v, args);
        break;
    case 8:
        out = extreme(r, v, args, false);
        break;
    case 9:
        out = extreme(r, v, args, true);
        break;
    case 10:
        out = sum(r, v, args);
        break;
    default:
        break;
    }
    r->frames--;
    return r->st == MM_OK ? out : tv_undef();
}

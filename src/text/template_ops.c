/* Expressions at run time: operators, subscripts, slices, and the walk over the tree. */
#include "template_impl.h"
#include "../base/error.h"
#include <math.h>
#include <string.h>

static tval overflow(trun *r)
{
    return mm__tmpl_limit(r, "a number does not fit 64 bits");
}

static bool whole(const tval *v, int64_t *i)
{
    if (v->kind != T_INT && v->kind != T_BOOL) return false;
    *i = v->kind == T_INT ? v->u.i : v->u.b;
    return true;
}

static tval whole_power(trun *r, int64_t base, int64_t exponent)
{
    int64_t v = 1;
    if (exponent < 0) return tv_real(pow((double)base, (double)exponent));
    for (; exponent > 0; exponent >>= 1) {
        if ((exponent & 1) && __builtin_mul_overflow(v, base, &v)) return overflow(r);
        if (exponent > 1 && __builtin_mul_overflow(base, base, &base)) return overflow(r);
    }
    return tv_int(v);
}

/* Python's division of whole numbers rounds down. */
static tval whole_math(trun *r, int op, int64_t a, int64_t b)
{
    int64_t v = 0;
    bool bad = false;
    switch (op) {
    case O_ADD:
        bad = __builtin_add_overflow(a, b, &v);
        break;
    case O_SUB:
        bad = __builtin_sub_overflow(a, b, &v);
        break;
    case O_MUL:
        bad = __builtin_mul_overflow(a, b, &v);
        break;
    case O_POW:
        return whole_power(r, a, b);
    default:
        if (b == 0) return mm__tmpl_error(r, "division by zero");
        if (op == O_DIV) return tv_real((double)a / (double)b);
        if (b == -1) {
            bad = op == O_FLOOR && __builtin_sub_overflow((int64_t)0, a, &v);
            break;
        }
        v = op == O_FLOOR ? a / b : a % b;
        if (a % b != 0 && (a % b < 0) != (b < 0)) v = op == O_FLOOR ? v - 1 : v + b;
    }
    return bad ? overflow(r) : tv_int(v);
}

static tval real_math(trun *r, int op, double a, double b)
{
    switch (op) {
    case O_ADD:
        return tv_real(a + b);
    case O_SUB:
        return tv_real(a - b);
    case O_MUL:
        return tv_real(a * b);
    case O_POW:
        return tv_real(pow(a, b));
    default:
        break;
    }
    if (b == 0) return mm__tmpl_error(r, "division by zero");
    if (op == O_DIV) return tv_real(a / b);
    if (op == O_FLOOR) return tv_real(floor(a / b));
    const double m = fmod(a, b);
    return tv_real(m != 0 && (m < 0) != (b < 0) ? m + b : m);
}

static tval join_strings(trun *r, const tval *a, const tval *b)
{
    if (a->n + b->n > mm__limit(r->mem, MM__LIMIT_TEMPLATE_OUTPUT)) return mm__tmpl_exceed(r, MM__LIMIT_TEMPLATE_OUTPUT);
    char *s = mm__tmpl_get(r, a->n + b->n + 1, 1);
    if (!s) return tv_undef();
    memcpy(s, a->u.s, a->n);
    memcpy(s + a->n, b->u.s, b->n);
    return tv_str(s, a->n + b->n);
}

static tval join_lists(trun *r, const tval *a, const tval *b)
{
    tval v = mm__tval_list(r, a->n + b->n);
    if (r->st != MM_OK) return v;
    if (a->n) memcpy(v.u.items, a->u.items, a->n * sizeof v);
    if (b->n) memcpy(v.u.items + a->n, b->u.items, b->n * sizeof v);
    return v;
}

static tval repeat(trun *r, const tval *v, int64_t times)
{
    const size_t each = v->kind == T_STR ? 1 : sizeof(tval);
    if (times <= 0 || v->n == 0) return v->kind == T_STR ? tv_str("", 0) : mm__tval_list(r, 0);
    if ((uint64_t)times > mm__limit(r->mem, MM__LIMIT_TEMPLATE_OUTPUT) / (v->n * each)) return mm__tmpl_exceed(r, MM__LIMIT_TEMPLATE_OUTPUT);
    const size_t n = v->n * (size_t)times;
    char *to = mm__tmpl_get(r, n + 1, each);
    for (size_t i = 0; to && i < (size_t)times; i++)
        memcpy(to + i * v->n * each, v->kind == T_STR ? (const void *)v->u.s : v->u.items, v->n * each);
    if (!to) return tv_undef();
    return v->kind == T_STR ? tv_str(to, n) : (tval){.kind = T_LIST, .n = n, .u.items = (tval *)(void *)to};
}

tval mm__tmpl_math(trun *r, int op, const tval *a, const tval *b)
{
    int64_t i, j;
    double x, y;
    if (op == O_CONCAT) {
        const tval s = mm__tval_to_str(r, a), t = mm__tval_to_str(r, b);
        return r->st == MM_OK ? join_strings(r, &s, &t) : tv_undef();
    }
    if (whole(a, &i) && whole(b, &j)) return whole_math(r, op, i, j);
    if (mm__tval_number(a, &x) && mm__tval_number(b, &y)) return real_math(r, op, x, y);
    if (op == O_ADD && a->kind == T_STR && b->kind == T_STR) return join_strings(r, a, b);
    if (op == O_ADD && a->kind == T_LIST && b->kind == T_LIST) return join_lists(r, a, b);
    if (op == O_MUL && (a->kind == T_STR || a->kind == T_LIST) && whole(b, &j)) return repeat(r, a, j);
    if (op == O_MUL && (b->kind == T_STR || b->kind == T_LIST) && whole(a, &i)) return repeat(r, b, i);
    static const char *const signs[] = {"+", "-", "*", "/", "//", "%", "**"};
    return mm__tmpl_error(r, "%s between %s and %s is not possible", signs[op - O_ADD], mm__tval_kind(a), mm__tval_kind(b));
}

bool mm__tmpl_contains(trun *r, const tval *in, const tval *what)
{
    if (in->kind == T_STR) {
        if (what->kind != T_STR) {
            mm__tmpl_error(r, "%s cannot be looked for in a string", mm__tval_kind(what));
            return false;
        }
        return mm__tmpl_step(r, in->n / 64) && (what->n == 0 || memmem(in->u.s, in->n, what->u.s, what->n) != NULL);
    }
    if (in->kind == T_DICT) return mm__tval_dict_find(r, in->u.dict, what) != NULL;
    if (in->kind == T_UNDEF) return false;
    if (in->kind != T_LIST) {
        mm__tmpl_error(r, "%s contains nothing", mm__tval_kind(in));
        return false;
    }
    for (size_t i = 0; i < in->n && mm__tmpl_step(r, 1); i++)
        if (mm__tval_equal(r, &in->u.items[i], what)) return true;
    return false;
}

/* ---- subscripts ----------------------------------------------------------------------------------------------- */

static tval loop_attr(const tloop *l, const char *name, size_t n)
{
    const int64_t at = (int64_t)l->at, count = (int64_t)l->n;
    if (mm__tmpl_named(name, n, "index")) return tv_int(at + 1);
    if (mm__tmpl_named(name, n, "index0")) return tv_int(at);
    if (mm__tmpl_named(name, n, "revindex")) return tv_int(count - at);
    if (mm__tmpl_named(name, n, "revindex0")) return tv_int(count - at - 1);
    if (mm__tmpl_named(name, n, "first")) return tv_bool(at == 0);
    if (mm__tmpl_named(name, n, "last")) return tv_bool(at + 1 == count);
    if (mm__tmpl_named(name, n, "length")) return tv_int(count);
    if (mm__tmpl_named(name, n, "depth")) return tv_int(1);
    if (mm__tmpl_named(name, n, "depth0")) return tv_int(0);
    if (mm__tmpl_named(name, n, "previtem") && at > 0) return l->items[at - 1];
    if (mm__tmpl_named(name, n, "nextitem") && at + 1 < count) return l->items[at + 1];
    return tv_undef();
}

tval mm__tmpl_attr(trun *r, const tval *v, const char *name, size_t n)
{
    if (v->kind == T_UNDEF) return mm__tmpl_error(r, "\"%.*s\" of something undefined", (int)(n < 40 ? n : 40), name);
    if (v->kind == T_LOOP) return loop_attr(v->u.loop, name, n);
    if (v->kind != T_DICT && v->kind != T_NAMESPACE) return tv_undef();
    const tval *found = mm__tval_dict_str(r, v->u.dict, name, n);
    return found ? *found : tv_undef();
}

static size_t char_offset(const tval *s, size_t chars)
{
    size_t i = 0;
    for (; i < s->n && chars > 0; chars--) {
        i++;
        while (i < s->n && ((unsigned char)s->u.s[i] & 0xc0) == 0x80) i++;
    }
    return i;
}

tval mm__tmpl_item(trun *r, const tval *v, const tval *key)
{
    int64_t i;
    if (v->kind == T_DICT || v->kind == T_NAMESPACE) {
        const tval *found = mm__tval_dict_find(r, v->u.dict, key);
        return found ? *found : tv_undef();
    }
    if ((v->kind == T_LIST || v->kind == T_STR) && whole(key, &i)) {
        if (v->kind == T_STR && !mm__tmpl_step(r, v->n / 64)) return tv_undef(); /* characters are counted */
        const int64_t n = (int64_t)(v->kind == T_LIST ? v->n : mm__tval_chars(v));
        if (i < 0) i += n;
        if (i < 0 || i >= n) return tv_undef();
        if (v->kind == T_LIST) return v->u.items[i];
        const size_t from = char_offset(v, (size_t)i);
        tval rest = tv_str(v->u.s + from, v->n - from);
        return tv_str(rest.u.s, char_offset(&rest, 1));
    }
    if (key->kind == T_STR || v->kind == T_UNDEF) {
        const tval name = key->kind == T_STR ? *key : tv_str("an element", 10);
        return mm__tmpl_attr(r, v, name.u.s, name.n);
    }
    return tv_undef();
}

static bool slice_part(trun *r, const tnode *e, int64_t *to, bool *given)
{
    *given = false;
    if (!e) return true;
    const tval v = mm__tmpl_eval(r, e);
    if (r->st != MM_OK) return false;
    if (v.kind == T_NONE) return true;
    if (!whole(&v, to)) {
        mm__tmpl_error(r, "a slice needs whole numbers");
        return false;
    }
    *given = true;
    return true;
}

static int64_t clamp(int64_t i, int64_t n, int64_t lo, int64_t hi)
{
    if (i < 0) i = i < -n ? -1 : i + n; /* before the start stays below every bound */
    return i < lo ? lo : i > hi ? hi : i;
}

static tval eval_slice(trun *r, const tnode *e)
{
    int64_t from = 0, to = 0, step = 1;
    bool has_from, has_to, has_step;
    const tval v = mm__tmpl_eval(r, e->a);
    if (!slice_part(r, e->b, &from, &has_from) || !slice_part(r, e->c, &to, &has_to) || !slice_part(r, e->d, &step, &has_step))
        return tv_undef();
    if (v.kind == T_UNDEF) return mm__tmpl_error(r, "a slice of something undefined");
    if (v.kind != T_LIST && v.kind != T_STR) return mm__tmpl_error(r, "%s cannot be sliced", mm__tval_kind(&v));
    if (has_step && step == 0) return mm__tmpl_error(r, "a slice with step 0");
    const tval items = mm__tval_items(r, &v);
    const int64_t n = (int64_t)items.n;
    if (r->st != MM_OK) return tv_undef();
    from = has_from ? clamp(from, n, step > 0 ? 0 : -1, step > 0 ? n : n - 1) : step > 0 ? 0 : n - 1;
    to = has_to ? clamp(to, n, step > 0 ? 0 : -1, step > 0 ? n : n - 1) : step > 0 ? n : -1;
    tval out = mm__tval_list(r, items.n);
    size_t m = 0;
    if (r->st != MM_OK) return out;
    for (int64_t i = from; step > 0 ? i < to : i > to;) {
        out.u.items[m++] = items.u.items[i];
        if (__builtin_add_overflow(i, step, &i)) break;
    }
    out.n = m;
    if (v.kind == T_LIST) return out;
    mm__buf b;
    mm__tval_buf(r, &b);
    for (size_t i = 0; i < m; i++) mm__buf_put(&b, out.u.items[i].u.s, out.u.items[i].n);
    return mm__tval_take(r, &b);
}

/* ---- the walk ------------------------------------------------------------------------------------------------- */

static bool eval_args(trun *r, const tnode *list, targs *out)
{
    out->n = 0;
    for (const tnode *a = list; a && r->st == MM_OK; a = a->next) {
        out->v[out->n] = mm__tmpl_eval(r, a->a);
        out->name[out->n++] = a->name;
    }
    return r->st == MM_OK;
}

static tval eval_call(trun *r, const tnode *e)
{
    targs args;
    tval out;
    if (e->a->kind == N_ATTR) {
        const tval of = mm__tmpl_eval(r, e->a->a);
        const char *name = r->t->names[e->a->name];
        const size_t n = r->t->name_lens[e->a->name];
        if (!eval_args(r, e->b, &args)) return tv_undef();
        r->line = e->line;
        if (mm__tmpl_method(r, &of, name, n, &args, &out)) return out;
        const tval f = mm__tmpl_attr(r, &of, name, n);
        if (r->st == MM_OK && f.kind == T_UNDEF)
            return mm__tmpl_error(r, "%s has no method \"%.*s\"", mm__tval_kind(&of), (int)(n < 40 ? n : 40), name);
        return mm__tmpl_call(r, &f, &args);
    }
    const tval f = mm__tmpl_eval(r, e->a);
    if (!eval_args(r, e->b, &args)) return tv_undef();
    r->line = e->line;
    if (f.kind == T_UNDEF && e->a->kind == N_NAME)
        return mm__tmpl_error(r, "there is no function \"%.*s\"", (int)(r->t->name_lens[e->a->name] & 63),
                              r->t->names[e->a->name]);
    return mm__tmpl_call(r, &f, &args);
}

static tval eval_filter(trun *r, const tnode *e)
{
    targs args;
    const tval v = mm__tmpl_eval(r, e->a);
    const char *name = r->t->names[e->name];
    const size_t n = r->t->name_lens[e->name];
    if (!eval_args(r, e->b, &args)) return tv_undef();
    if (e->kind == N_FILTER) return mm__tmpl_filter(r, name, n, &v, &args);
    return tv_bool(mm__tmpl_test(r, name, n, &v, &args) != (e->op == 1));
}

static bool compare(trun *r, int op, const tval *a, const tval *b)
{
    switch (op) {
    case O_EQ:
        return mm__tval_equal(r, a, b);
    case O_NE:
        return !mm__tval_equal(r, a, b);
    case O_IN:
        return mm__tmpl_contains(r, b, a);
    case O_NOT_IN:
        return !mm__tmpl_contains(r, b, a);
    default:
        break;
    }
    double x, y;
    if (mm__tval_number(a, &x) && mm__tval_number(b, &y) && (isnan(x) || isnan(y))) return false;
    const int c = mm__tval_order(r, a, b, false);
    return op == O_LT ? c < 0 : op == O_LE ? c <= 0 : op == O_GT ? c > 0 : c >= 0;
}

static tval eval_chain(trun *r, const tnode *e)
{
    tval left = mm__tmpl_eval(r, e->a);
    for (const tnode *o = e->b; o && r->st == MM_OK; o = o->next) {
        const tval right = mm__tmpl_eval(r, o->a);
        if (r->st != MM_OK) break;
        if (e->kind == N_MATH) {
            left = mm__tmpl_math(r, o->op, &left, &right);
        } else {
            if (!compare(r, o->op, &left, &right)) return tv_bool(false);
            left = right;
        }
    }
    return e->kind == N_MATH ? left : tv_bool(true);
}

static tval eval_logical(trun *r, const tnode *e)
{
    tval v = tv_undef();
    for (const tnode *o = e->a; o && r->st == MM_OK; o = o->next) {
        v = mm__tmpl_eval(r, o);
        if (mm__tval_truth(&v) == (e->kind == N_OR)) break;
    }
    return v;
}

static tval eval_literal(trun *r, const tnode *e)
{
    size_t n = 0;
    for (const tnode *k = e->a; k; k = k->next) n++;
    tval v = e->kind == N_LIST ? mm__tval_list(r, n) : mm__tval_dict(r, n / 2, T_DICT);
    tval key = tv_undef();
    v.tuple = e->op == 1;
    n = 0;
    for (const tnode *k = e->a; k && r->st == MM_OK; k = k->next, n++) {
        const tval x = mm__tmpl_eval(r, k);
        if (r->st != MM_OK) break;
        if (e->kind == N_LIST) v.u.items[n] = x;
        else if (n % 2 == 0) key = x;
        else mm__tval_dict_set(r, v.u.dict, key, x);
    }
    return v;
}

static tval eval_sign(trun *r, const tnode *e)
{
    const tval v = mm__tmpl_eval(r, e->a), zero = tv_int(0);
    if (v.kind == T_REAL) return tv_real(e->kind == N_NEG ? -v.u.d : v.u.d);
    return r->st == MM_OK ? mm__tmpl_math(r, e->kind == N_NEG ? O_SUB : O_ADD, &zero, &v) : tv_undef();
}

static tval eval_cond(trun *r, const tnode *e)
{
    const tval c = mm__tmpl_eval(r, e->b);
    if (mm__tval_truth(&c)) return mm__tmpl_eval(r, e->a);
    return e->c ? mm__tmpl_eval(r, e->c) : tv_undef();
}

static tval eval_node(trun *r, const tnode *e)
{
    tval v, key;
    switch (e->kind) {
    case N_CONST:
        return e->value;
    case N_NAME:
        return mm__tmpl_lookup(r, e->name);
    case N_LIST:
    case N_DICT:
        return eval_literal(r, e);
    case N_ATTR:
        v = mm__tmpl_eval(r, e->a);
        r->line = e->line;
        return mm__tmpl_attr(r, &v, r->t->names[e->name], r->t->name_lens[e->name]);
    case N_ITEM:
        v = mm__tmpl_eval(r, e->a);
        key = mm__tmpl_eval(r, e->b);
        return mm__tmpl_item(r, &v, &key);
    case N_SLICE:
        return eval_slice(r, e);
    case N_CALL:
        return eval_call(r, e);
    case N_FILTER:
    case N_TEST:
        return eval_filter(r, e);
    case N_NEG:
    case N_POS:
        return eval_sign(r, e);
    case N_NOT:
        v = mm__tmpl_eval(r, e->a);
        return tv_bool(!mm__tval_truth(&v));
    case N_AND:
    case N_OR:
        return eval_logical(r, e);
    case N_COND:
        return eval_cond(r, e);
    default:
        return eval_chain(r, e);
    }
}

tval mm__tmpl_eval(trun *r, const tnode *e)
{
    tval v = tv_undef();
    if (!mm__tmpl_step(r, 1)) return v;
    if (r->frames >= MM__TMPL_MAX_FRAMES) return mm__tmpl_limit(r, "expressions and macros are nested too deep");
    r->frames++;
    v = eval_node(r, e);
    r->frames--;
    return r->st == MM_OK ? v : tv_undef();
}

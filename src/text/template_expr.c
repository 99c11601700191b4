/* Expressions of templates: recursive descent with Jinja's precedence, loosest first:
 *
 *     a if c else b | or | and | not | == != < <= > >= in, not in | + - | ~ | * / // % | ** | unary, then . [] () and | is
 *
 * A filter or test binds tighter than any operator. Chains of one level (a + b - c ...) become one node with a list, so the
 * tree's height, and with it every recursion over it, is bounded by the nesting the depth counter allows. */
#include "template_impl.h"
#include "../base/error.h"
#include <string.h>

static tnode *parse_or(tparser *p);
static tnode *parse_unary(tparser *p, bool filters);

static void append(tnode **list, tnode **last, tnode *n)
{
    if (*last)
        (*last)->next = n;
    else
        *list = n;
    *last = n;
}

/* a OP b OP c: `operand` parses one level tighter; ops maps words to O_*. */
typedef struct level {
    const char *op;
    int code;
} level;

static tnode *chain(tparser *p, int kind, const level *ops, size_t n_ops, tnode *(*operand)(tparser *))
{
    tnode *first = operand(p), *node = NULL, *last = NULL;
    while (first && p->st == MM_OK) {
        size_t i = 0;
        while (i < n_ops && !mm__tmpl_is_op(p, ops[i].op)) i++;
        if (i == n_ops) break;
        p->tok++;
        tnode *right = operand(p), *link = mm__tmpl_node(p, N_OPERAND);
        if (!right || !link) return NULL;
        if (!node) {
            node = mm__tmpl_node(p, kind);
            if (!node) return NULL;
            node->a = first;
        }
        link->op = ops[i].code;
        link->a = right;
        append(&node->b, &last, link);
    }
    return node ? node : first;
}

static tnode *unary_operand(tparser *p)
{
    return parse_unary(p, true);
}

static tnode *parse_pow(tparser *p)
{
    static const level ops[] = {{"**", O_POW}};
    return chain(p, N_MATH, ops, 1, unary_operand);
}

static tnode *parse_product(tparser *p)
{
    static const level ops[] = {{"*", O_MUL}, {"/", O_DIV}, {"//", O_FLOOR}, {"%", O_MOD}};
    return chain(p, N_MATH, ops, 4, parse_pow);
}

static tnode *parse_concat(tparser *p)
{
    static const level ops[] = {{"~", O_CONCAT}};
    return chain(p, N_MATH, ops, 1, parse_product);
}

static tnode *parse_sum(tparser *p)
{
    static const level ops[] = {{"+", O_ADD}, {"-", O_SUB}};
    return chain(p, N_MATH, ops, 2, parse_concat);
}

static int compare_op(tparser *p)
{
    static const level ops[] = {{"==", O_EQ}, {"!=", O_NE}, {"<", O_LT}, {"<=", O_LE}, {">", O_GT}, {">=", O_GE}};
    for (size_t i = 0; i < 6; i++)
        if (mm__tmpl_take_op(p, ops[i].op)) return ops[i].code;
    if (mm__tmpl_take_word(p, "in")) return O_IN;
    if (mm__tmpl_is_word(p, "not") && p->tok[1].kind == K_NAME && mm__tmpl_named(p->tok[1].s, p->tok[1].n, "in")) {
        p->tok += 2;
        return O_NOT_IN;
    }
    return -1;
}

static tnode *parse_compare(tparser *p)
{
    tnode *first = parse_sum(p), *node = NULL, *last = NULL;
    int op;
    while (first && p->st == MM_OK && (op = compare_op(p)) >= 0) {
        tnode *right = parse_sum(p), *link = mm__tmpl_node(p, N_OPERAND);
        if (!right || !link) return NULL;
        if (!node && !(node = mm__tmpl_node(p, N_COMPARE))) return NULL;
        node->a = first;
        link->op = op;
        link->a = right;
        append(&node->b, &last, link);
    }
    return node ? node : first;
}

static tnode *parse_not(tparser *p)
{
    if (!mm__tmpl_take_word(p, "not")) return parse_compare(p);
    if (!mm__tmpl_enter(p)) return NULL;
    tnode *a = parse_not(p), *n = mm__tmpl_node(p, N_NOT);
    p->depth--;
    if (!a || !n) return NULL;
    n->a = a;
    return n;
}

/* a WORD b WORD c as one node with the operands as list. */
static tnode *logical(tparser *p, int kind, const char *word, tnode *(*operand)(tparser *))
{
    tnode *first = operand(p), *node = NULL, *last = NULL;
    while (first && mm__tmpl_take_word(p, word)) {
        tnode *right = operand(p);
        if (!right) return NULL;
        if (!node) {
            if (!(node = mm__tmpl_node(p, kind))) return NULL;
            append(&node->a, &last, first);
        }
        append(&node->a, &last, right);
    }
    return node ? node : first;
}

static tnode *parse_and(tparser *p)
{
    return logical(p, N_AND, "and", parse_not);
}
static tnode *parse_or(tparser *p)
{
    return logical(p, N_OR, "or", parse_and);
}

tnode *mm__tmpl_parse_expr(tparser *p)
{
    if (!mm__tmpl_enter(p)) return NULL;
    tnode *a = parse_or(p);
    if (a && mm__tmpl_take_word(p, "if")) {
        tnode *n = mm__tmpl_node(p, N_COND), *b = parse_or(p), *c = NULL;
        if (b && mm__tmpl_take_word(p, "else") && !(c = mm__tmpl_parse_expr(p))) b = NULL;
        if (n) *n = (tnode){.kind = N_COND, .line = n->line, .name = -1, .a = a, .b = b, .c = c};
        a = b ? n : NULL;
    }
    p->depth--;
    return a;
}

tnode *mm__tmpl_parse_tuple(tparser *p, bool ternary)
{
    tnode *first = ternary ? mm__tmpl_parse_expr(p) : parse_or(p), *list, *last = NULL;
    if (!first || !mm__tmpl_is_op(p, ",")) return first;
    if (!(list = mm__tmpl_node(p, N_LIST))) return NULL;
    append(&list->a, &last, first);
    while (mm__tmpl_take_op(p, ",")) {
        if (p->tok->kind == K_BLOCK_END || p->tok->kind == K_VAR_END || mm__tmpl_is_op(p, ")") || mm__tmpl_is_op(p, "=")) break;
        tnode *e = ternary ? mm__tmpl_parse_expr(p) : parse_or(p);
        if (!e) return NULL;
        append(&list->a, &last, e);
    }
    list->op = 1;
    return list;
}

/* Arguments behind "(", up to and with ")". */
static bool parse_args(tparser *p, tnode **out)
{
    tnode *last = NULL;
    size_t n = 0;
    *out = NULL;
    while (!mm__tmpl_take_op(p, ")")) {
        if (n > 0 && !mm__tmpl_expect_op(p, ",")) return false;
        if (mm__tmpl_take_op(p, ")")) break;
        tnode *arg = mm__tmpl_node(p, N_ARG);
        if (!arg) return false;
        if (p->tok->kind == K_NAME && p->tok[1].kind == K_OP && mm__tmpl_named(p->tok[1].s, p->tok[1].n, "=")) {
            arg->name = mm__tmpl_intern(p, p->tok->s, p->tok->n);
            p->tok += 2;
        }
        if (!(arg->a = mm__tmpl_parse_expr(p))) return false;
        if (++n > MM__TMPL_MAX_ARGS) {
            mm__tmpl_syntax(p, "too many arguments");
            return false;
        }
        append(out, &last, arg);
    }
    return p->st == MM_OK;
}

static tnode *parse_subscript(tparser *p, tnode *of)
{
    tnode *n = mm__tmpl_node(p, N_ITEM), *part[3] = {NULL, NULL, NULL};
    int colons = 0;
    if (!n) return NULL;
    while (!mm__tmpl_is_op(p, "]")) {
        if (mm__tmpl_take_op(p, ":")) {
            if (++colons > 2) return mm__tmpl_syntax(p, "a slice has at most three parts");
        } else if (part[colons]) {
            return mm__tmpl_syntax(p, "\"]\" is missing");
        } else if (!(part[colons] = mm__tmpl_parse_expr(p))) {
            return NULL;
        }
    }
    p->tok++;
    if (!colons && !part[0]) return mm__tmpl_syntax(p, "[] without an index");
    n->kind = colons ? N_SLICE : N_ITEM;
    n->a = of;
    n->b = part[0];
    n->c = part[1];
    n->d = part[2];
    return n;
}

/* . [] () behind a value; each is one level of height. */
static tnode *parse_postfix(tparser *p, tnode *n, int *levels)
{
    while (n && p->st == MM_OK) {
        if (mm__tmpl_is_op(p, ".") || mm__tmpl_is_op(p, "[") || mm__tmpl_is_op(p, "(")) {
            ++*levels;
            if (!mm__tmpl_enter(p)) return NULL;
        }
        if (mm__tmpl_take_op(p, ".")) {
            if (p->tok->kind != K_NAME) return mm__tmpl_syntax(p, "a name is missing after \".\"");
            tnode *a = mm__tmpl_node(p, N_ATTR);
            if (!a) return NULL;
            a->name = mm__tmpl_intern(p, p->tok->s, p->tok->n);
            a->a = n;
            n = a;
            p->tok++;
        } else if (mm__tmpl_take_op(p, "[")) {
            n = parse_subscript(p, n);
        } else if (mm__tmpl_take_op(p, "(")) {
            tnode *c = mm__tmpl_node(p, N_CALL);
            if (!c || !parse_args(p, &c->b)) return NULL;
            c->a = n;
            n = c;
        } else {
            break;
        }
    }
    return n;
}

static tnode *parse_filter(tparser *p, tnode *operand)
{
    tnode *f = mm__tmpl_node(p, N_FILTER);
    if (p->tok->kind != K_NAME) return mm__tmpl_syntax(p, "a filter's name is missing after \"|\"");
    if (!f) return NULL;
    f->name = mm__tmpl_intern(p, p->tok->s, p->tok->n);
    f->a = operand;
    p->tok++;
    if (mm__tmpl_take_op(p, "(") && !parse_args(p, &f->b)) return NULL;
    return p->st == MM_OK ? f : NULL;
}

static tnode *parse_primary(tparser *p);

static tnode *parse_test(tparser *p, tnode *operand)
{
    tnode *t = mm__tmpl_node(p, N_TEST);
    const bool negated = mm__tmpl_take_word(p, "not");
    const ttoken *name = p->tok;
    int levels = 0;
    if (!t) return NULL;
    if (name->kind != K_NAME && !mm__tmpl_is_op(p, "==")) return mm__tmpl_syntax(p, "a test's name is missing after \"is\"");
    t->name = mm__tmpl_intern(p, name->s, name->n);
    t->op = negated;
    t->a = operand;
    p->tok++;
    if (mm__tmpl_take_op(p, "(")) {
        if (!parse_args(p, &t->b)) return NULL;
    } else if (mm__tmpl_test_takes_value(name->s, name->n)) {
        tnode *arg = mm__tmpl_node(p, N_ARG), *v = parse_postfix(p, parse_primary(p), &levels);
        p->depth -= levels;
        if (!arg || !v) return NULL;
        arg->a = v;
        t->b = arg;
    }
    return p->st == MM_OK ? t : NULL;
}

tnode *mm__tmpl_parse_filters(tparser *p, tnode *n)
{
    int levels = 0;
    while (p->st == MM_OK) {
        const bool filter = mm__tmpl_take_op(p, "|");
        if (!filter && !mm__tmpl_take_word(p, "is")) break;
        levels++;
        n = !mm__tmpl_enter(p) ? NULL : filter ? parse_filter(p, n) : parse_test(p, n);
        if (!n) break;
    }
    p->depth -= levels;
    return p->st == MM_OK ? n : NULL;
}

static tnode *parse_unary(tparser *p, bool filters)
{
    const bool minus = mm__tmpl_is_op(p, "-");
    tnode *n;
    int levels = 0;
    if (minus || mm__tmpl_is_op(p, "+")) {
        p->tok++;
        if (!mm__tmpl_enter(p)) return NULL;
        tnode *a = parse_unary(p, false);
        p->depth--;
        if (!a || !(n = mm__tmpl_node(p, minus ? N_NEG : N_POS))) return NULL;
        n->a = a;
    } else {
        n = parse_primary(p);
    }
    n = parse_postfix(p, n, &levels);
    if (n && filters) n = mm__tmpl_parse_filters(p, n);
    p->depth -= levels;
    return n;
}

static tnode *parse_bracketed(tparser *p, const char *close)
{
    tnode *list = mm__tmpl_node(p, N_LIST), *last = NULL;
    bool comma = false;
    if (!list) return NULL;
    while (!mm__tmpl_take_op(p, close)) {
        if (last && !mm__tmpl_expect_op(p, ",")) return NULL;
        comma = comma || last;
        if (mm__tmpl_take_op(p, close)) break;
        tnode *e = mm__tmpl_parse_expr(p);
        if (!e) return NULL;
        append(&list->a, &last, e);
    }
    /* (x) is x; (x,) and () are lists */
    list->op = *close == ')';
    return list->op && !comma && last ? last : list;
}

static tnode *parse_dict(tparser *p)
{
    tnode *d = mm__tmpl_node(p, N_DICT), *last = NULL;
    if (!d) return NULL;
    while (!mm__tmpl_take_op(p, "}")) {
        if (last && !mm__tmpl_expect_op(p, ",")) return NULL;
        if (mm__tmpl_take_op(p, "}")) break;
        tnode *k = mm__tmpl_parse_expr(p), *v;
        if (!k || !mm__tmpl_expect_op(p, ":") || !(v = mm__tmpl_parse_expr(p))) return NULL;
        append(&d->a, &last, k);
        append(&d->a, &last, v);
    }
    return d;
}

static tnode *constant(tparser *p, tval v)
{
    tnode *n = mm__tmpl_node(p, N_CONST);
    if (n) n->value = v;
    return n;
}

/* Neighbouring string literals are one string. */
static tnode *parse_string(tparser *p)
{
    size_t n = 0, at = 0, count = 0;
    for (; p->tok[count].kind == K_STR; count++) n += p->tok[count].n;
    if (count == 1) {
        p->tok++;
        return constant(p, tv_str(p->tok[-1].s, p->tok[-1].n));
    }
    char *s = mm__arena_get(&p->t->arena, n + 1);
    if (!s) return mm__tmpl_syntax(p, "out of memory");
    for (; p->tok->kind == K_STR; p->tok++) {
        memcpy(s + at, p->tok->s, p->tok->n);
        at += p->tok->n;
    }
    return constant(p, tv_str(s, n));
}

static tnode *parse_name(tparser *p)
{
    const ttoken *t = p->tok++;
    static const char *const words[] = {"true", "True", "false", "False", "none", "None"};
    for (size_t i = 0; i < 6; i++)
        if (mm__tmpl_named(t->s, t->n, words[i])) return constant(p, i < 4 ? tv_bool(i < 2) : tv_none());
    tnode *n = mm__tmpl_node(p, N_NAME);
    if (n) n->name = mm__tmpl_intern(p, t->s, t->n);
    return p->st == MM_OK ? n : NULL;
}

static tnode *parse_primary(tparser *p)
{
    const ttoken *t = p->tok;
    tnode *n = NULL;
    switch (t->kind) {
    case K_NAME:
        return parse_name(p);
    case K_STR:
        return parse_string(p);
    case K_INT:
        p->tok++;
        return constant(p, tv_int(t->i));
    case K_REAL:
        p->tok++;
        return constant(p, tv_real(t->d));
    default:
        break;
    }
    if (!mm__tmpl_enter(p)) return NULL;
    if (mm__tmpl_take_op(p, "("))
        n = parse_bracketed(p, ")");
    else if (mm__tmpl_take_op(p, "["))
        n = parse_bracketed(p, "]");
    else if (mm__tmpl_take_op(p, "{"))
        n = parse_dict(p);
    else
        mm__tmpl_syntax(p, "an expression is missing");
    p->depth--;
    return p->st == MM_OK ? n : NULL;
}

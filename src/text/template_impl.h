/* What the files of the template engine share: arena, values, syntax tree, tokens, the running state.
 *
 *     template_lex.c     text -> tokens, whitespace control
 *     template_parse.c   tokens -> statements         template_expr.c   tokens -> expressions
 *     template_eval.c    statements, scopes           template_value.c  values: truth, order, text, JSON
 *     template_ops.c     expressions                  template_call.c   functions, methods, macros
 *     template_filter.c  filters                      template_test.c   tests, filters that sort or select
 *
 * A compiled template is immutable; everything a rendering makes lives in an arena of its own that is dropped at the end. */
#ifndef MM__TEXT_TEMPLATE_IMPL_H
#define MM__TEXT_TEMPLATE_IMPL_H

#include "../base/limits.h"
#include "../base/map.h"
#include "template.h"

#define MM__TMPL_MAX_FRAMES 400 /* nested evaluations of any kind */
#define MM__TMPL_MAX_RANGE 65536
#define MM__TMPL_MAX_NAMES 4096

/* ---- arena ---- */
typedef struct mm__arena {
    mm__mem *mem;
    struct mm__arena_chunk *head;
    size_t total, limit;
    bool over_limit;
} mm__arena;

void *mm__arena_get(mm__arena *a, size_t bytes); /* zeroed, 16-byte aligned; NULL: no memory, or over_limit */
void mm__arena_free(mm__arena *a);

/* ---- values ---- */
enum { T_UNDEF, T_NONE, T_BOOL, T_INT, T_REAL, T_STR, T_LIST, T_DICT, T_NAMESPACE, T_LOOP, T_MACRO, T_FUNC };

typedef struct tval {
    int kind;
    bool tuple; /* a list that prints with round brackets */
    size_t n;   /* bytes of a string, elements of a list */
    union {
        bool b;
        int64_t i; /* also the number of a function */
        double d;
        const char *s;
        struct tval *items;
        struct tdict *dict;
        struct tloop *loop;
        struct tmacro *macro;
    } u;
} tval;

typedef struct tdict {
    tval *keys, *vals;
    size_t n, cap;
} tdict;

typedef struct tloop {
    const tval *items;
    size_t n, at;
} tloop;

/* ---- tokens ---- */
enum { K_END, K_TEXT, K_VAR, K_VAR_END, K_BLOCK, K_BLOCK_END, K_NAME, K_INT, K_REAL, K_STR, K_OP };

typedef struct ttoken {
    int kind, line;
    const char *s; /* text, name, string content, operator */
    size_t n;
    int64_t i;
    double d;
} ttoken;

mm_status mm__tmpl_lex(mm__arena *a, const char *text, size_t len, ttoken **out, size_t *n, mm_error *err);

/* ---- syntax tree ---- */
enum {
    /* expressions */
    N_CONST,
    N_NAME,
    N_LIST,
    N_DICT,
    N_ATTR,
    N_ITEM,
    N_SLICE,
    N_CALL,
    N_FILTER,
    N_TEST,
    N_NEG,
    N_POS,
    N_NOT,
    N_AND,
    N_OR,
    N_COND,
    N_COMPARE,
    N_MATH,
    /* statements */
    N_TEXT,
    N_PRINT,
    N_IF,
    N_FOR,
    N_SET,
    N_SET_BLOCK,
    N_MACRO,
    N_BREAK,
    N_CONTINUE,
    /* parts */
    N_BRANCH,
    N_PARAM,
    N_ARG,
    N_OPERAND
};

typedef struct tnode {
    int kind, line;
    int op;   /* of N_OPERAND: see O_*; of N_TEST: 1 when negated; of N_LIST: 1 for a tuple; of N_CALL, N_FILTER, N_TEST: unused
               */
    int name; /* interned; -1: none */
    tval value; /* N_CONST, N_TEXT */
    struct tnode *a, *b, *c, *d, *next;
} tnode;
/* N_LIST a = first element (next); N_DICT a = key, value, key, value ... (next); N_ATTR a.name; N_ITEM a[b]; N_SLICE a[b:c:d];
 * N_CALL a(b = args); N_FILTER a|name(b); N_TEST a is name(b); N_AND, N_OR a = operands; N_COND a if b else c;
 * N_COMPARE, N_MATH a = first, b = N_OPERAND list (op, a); N_ARG a with name for keywords; N_PRINT a;
 * N_IF a = N_BRANCH list (a = condition or NULL, b = body); N_FOR a = targets (N_NAME list), b = iterable, c = body, d =
 * N_BRANCH of (a = filter, b = else body); N_SET a = targets (N_NAME or N_ATTR), b = value; N_SET_BLOCK a = target, b = body, c
 * = filters' N_FILTER chain ending in NULL a; N_MACRO name, a = N_PARAM list (name, a = default), b = body */

enum { O_EQ, O_NE, O_LT, O_LE, O_GT, O_GE, O_IN, O_NOT_IN, O_ADD, O_SUB, O_MUL, O_DIV, O_FLOOR, O_MOD, O_POW, O_CONCAT };

struct mm__template {
    mm__mem *mem;
    mm__arena arena;
    tnode *body;
    const char **names; /* interned */
    size_t *name_lens;
    size_t n_names, cap_names;
};

/* ---- parsing ---- */
typedef struct tparser {
    mm__template *t;
    const ttoken *tok; /* current */
    mm__map *seen;     /* name -> its number */
    int depth, loops;
    mm_status st;
    mm_error *err;
} tparser;

/* MM_E_LIMIT that names a limit of the engine and the template's line. */
mm_status mm__tmpl_over(const mm__mem *mem, mm__limit_id which, int line, mm_error *err);
int mm__tmpl_intern(tparser *p, const char *s, size_t n); /* -1 after an error */
tnode *mm__tmpl_node(tparser *p, int kind);
tnode *mm__tmpl_syntax(tparser *p, const char *what); /* reports at the current token; NULL */
bool mm__tmpl_enter(tparser *p);                      /* one level deeper, or an error */
bool mm__tmpl_is_op(const tparser *p, const char *op);
bool mm__tmpl_is_word(const tparser *p, const char *word);
bool mm__tmpl_take_op(tparser *p, const char *op);
bool mm__tmpl_take_word(tparser *p, const char *word);
bool mm__tmpl_expect_op(tparser *p, const char *op);
tnode *mm__tmpl_parse_expr(tparser *p);                /* with the ternary form */
tnode *mm__tmpl_parse_tuple(tparser *p, bool ternary); /* a, b, c without brackets: a list; one alone: itself */
tnode *mm__tmpl_parse_filters(tparser *p, tnode *operand);

/* ---- running ---- */
typedef struct tscope {
    struct tscope *parent;
    int *names;
    tval *vals;
    size_t n, cap;
} tscope;

typedef struct tmacro {
    const tnode *node;
    tscope *scope;
} tmacro;

#define MM__TMPL_MAX_ARGS 16

typedef struct targs {
    tval v[MM__TMPL_MAX_ARGS];
    int name[MM__TMPL_MAX_ARGS]; /* -1: positional */
    size_t n;
} targs;

typedef struct trun {
    const mm__template *t;
    mm__mem *mem;
    mm__arena arena;
    tval *globals; /* by name number */
    tscope *scope; /* innermost */
    mm__buf *out;
    int64_t now;
    uint64_t steps; /* left */
    int depth, frames, line;
    int jump; /* N_BREAK or N_CONTINUE while one is under way */
    mm_status st;
    mm_error *err;
} trun;

tval mm__tmpl_error(trun *r, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* MM_E_FORMAT with the line */
tval mm__tmpl_limit(trun *r, const char *what);
tval mm__tmpl_exceed(trun *r, mm__limit_id which);        /* the same, ending the run */
bool mm__tmpl_step(trun *r, size_t n); /* pays n steps; false when they are used up or the run has failed */
void *mm__tmpl_get(trun *r, size_t n, size_t each);
tval mm__tmpl_eval(trun *r, const tnode *e);
void mm__tmpl_exec(trun *r, const tnode *body);
/* Runs a body in a scope of its own and returns what it writes. */
tval mm__tmpl_capture(trun *r, const tnode *body, tscope *parent, const targs *locals);
tval mm__tmpl_lookup(trun *r, int name);
void mm__tmpl_assign(trun *r, int name, tval v);

/* values */
static inline tval tv_undef(void)
{
    return (tval){.kind = T_UNDEF};
}
static inline tval tv_none(void)
{
    return (tval){.kind = T_NONE};
}
static inline tval tv_bool(bool b)
{
    return (tval){.kind = T_BOOL, .u.b = b};
}
static inline tval tv_int(int64_t i)
{
    return (tval){.kind = T_INT, .u.i = i};
}
static inline tval tv_real(double d)
{
    return (tval){.kind = T_REAL, .u.d = d};
}
static inline tval tv_str(const char *s, size_t n)
{
    return (tval){.kind = T_STR, .n = n, .u.s = s};
}
bool mm__tval_truth(const tval *v);
bool mm__tval_equal(trun *r, const tval *a, const tval *b);
/* <0, 0, >0; reports values that have no order. */
int mm__tval_order(trun *r, const tval *a, const tval *b, bool fold_case);
bool mm__tval_number(const tval *v, double *d);
const char *mm__tval_kind(const tval *v);
tval mm__tval_to_str(trun *r, const tval *v);                         /* str() */
void mm__tval_write(trun *r, mm__buf *b, const tval *v, bool quoted); /* str() or repr() */
/* JSON as Python writes it. indent < 0: on one line; ascii: other characters as \u; the separators are strings. */
typedef struct tjson { int64_t indent; bool sort, ascii; tval comma, colon; } tjson;
tval mm__tval_to_json(trun *r, const tval *v, const tjson *how);
tval mm__tval_take(trun *r, mm__buf *b); /* the buffer as a string; frees it */
void mm__tval_buf(trun *r, mm__buf *b);
tval mm__tval_list(trun *r, size_t n); /* elements undefined */
tval mm__tval_dict(trun *r, size_t cap, int kind);
void mm__tval_dict_set(trun *r, tdict *d, tval key, tval v);
const tval *mm__tval_dict_find(trun *r, const tdict *d, const tval *key);
const tval *mm__tval_dict_str(trun *r, const tdict *d, const char *key, size_t n);
tval mm__tval_items(trun *r, const tval *v); /* what iterating gives, as a list */
tval mm__tval_from_json(trun *r, const mm__json *j, int depth);
size_t mm__tval_chars(const tval *s); /* characters of a string */
tval mm__tval_fold(trun *r, const tval *s,
                   int how); /* 'u' upper, 'l' lower, 'c' capitalize, 't' title by cased letters, 'T' by words */
bool mm__tval_is_space(const char *s, size_t n, size_t *len);

/* operators and calls */
tval mm__tmpl_math(trun *r, int op, const tval *a, const tval *b);
bool mm__tmpl_contains(trun *r, const tval *in, const tval *what);
tval mm__tmpl_attr(trun *r, const tval *v, const char *name, size_t n);
tval mm__tmpl_item(trun *r, const tval *v, const tval *key);
int mm__tmpl_function(const char *name, size_t n); /* number of a global function, -1 */
tval mm__tmpl_call(trun *r, const tval *f, const targs *args);
/* Calls a method of a value's kind; false when there is none of that name. */
bool mm__tmpl_method(trun *r, const tval *v, const char *name, size_t n, const targs *args, tval *out);
/* "a.b.0" from a value, as the attribute arguments of filters mean it. */
tval mm__tmpl_path(trun *r, const tval *v, const tval *path);
tval mm__tmpl_filter(trun *r, const char *name, size_t n, const tval *v, const targs *args);
bool mm__tmpl_test(trun *r, const char *name, size_t n, const tval *v, const targs *args);
tval mm__tmpl_order_filter(trun *r, const char *name, size_t n, const tval *v, const targs *args, bool *known);
bool mm__tmpl_test_takes_value(const char *name, size_t n);
/* Positional argument i or keyword `name`; undefined when not given. */
tval mm__tmpl_arg(const trun *r, const targs *args, size_t i, const char *name);
tval mm__tmpl_strip(trun *r, const tval *s, const tval *chars, bool left, bool right);
tval mm__tmpl_replace(trun *r, const tval *s, const tval *from, const tval *to, int64_t count);

static inline bool mm__tmpl_named(const char *s, size_t n, const char *name)
{
    return __builtin_strlen(name) == n && __builtin_memcmp(s, name, n) == 0;
}

#endif

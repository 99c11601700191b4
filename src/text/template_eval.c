/* Statements at run time: scopes, loops, macros' bodies, budgets.
 *
 * A loop's iterations share one scope that is emptied each time, so what an iteration sets is gone in the next; conditions
 * open no scope. A name is looked up from the innermost scope outwards, then among the template's variables, then among the
 * built-in functions. Every evaluation pays a step, and string and list work pays by size, so no template runs longer than
 * the budget; a failed run leaves its status in `st` and everything returns quickly after that. */
#include "template_impl.h"
#include "../base/ckd.h"
#include "../base/error.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CHUNK ((size_t)16 * 1024)
#define STEP_BYTES 256 /* bytes of string work one step pays for */

struct mm__arena_chunk {
    struct mm__arena_chunk *next;
    size_t used, cap, pad;
    char bytes[];
};

void *mm__arena_get(mm__arena *a, size_t bytes)
{
    size_t n;
    if (!mm__ckd_align(bytes ? bytes : 1, 16, &n)) return NULL;
    if (!a->head || n > a->head->cap - a->head->used) {
        size_t cap = n > CHUNK ? n : CHUNK;
        if (cap > a->limit || a->total > a->limit - cap) {
            a->over_limit = true;
            return NULL;
        }
        struct mm__arena_chunk *c = mm__zalloc(a->mem, sizeof *c + cap);
        if (!c) return NULL;
        c->cap = cap;
        a->total += cap;
        /* a big block goes behind the current one, whose room is still good */
        if (a->head && n > CHUNK) {
            c->used = n;
            c->next = a->head->next;
            a->head->next = c;
            return c->bytes;
        }
        c->next = a->head;
        a->head = c;
    }
    void *p = a->head->bytes + a->head->used;
    a->head->used += n;
    return p;
}

void mm__arena_free(mm__arena *a)
{
    while (a->head) {
        struct mm__arena_chunk *c = a->head;
        a->head = c->next;
        mm__free(a->mem, c);
    }
}

tval mm__tmpl_error(trun *r, const char *fmt, ...)
{
    char text[256];
    va_list args;
    if (r->st != MM_OK) return tv_undef();
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    r->st = mm__fail(r->err, MM_E_FORMAT, "chat template, line %d: %s", r->line, text);
    return tv_undef();
}

tval mm__tmpl_limit(trun *r, const char *what)
{
    if (r->st == MM_OK) r->st = mm__fail(r->err, MM_E_LIMIT, "chat template, line %d: %s", r->line, what);
    return tv_undef();
}

mm_status mm__tmpl_over(const mm__mem *mem, mm__limit_id which, int line, mm_error *err)
{
    char what[48];
    snprintf(what, sizeof what, "chat template, line %d", line);
    return mm__limit_fail(mem, which, what, err);
}

tval mm__tmpl_exceed(trun *r, mm__limit_id which)
{
    if (r->st == MM_OK) r->st = mm__tmpl_over(r->mem, which, r->line, r->err);
    return tv_undef();
}

bool mm__tmpl_step(trun *r, size_t n)
{
    if (r->st != MM_OK) return false;
    if (n <= r->steps) {
        r->steps -= n;
        return true;
    }
    mm__tmpl_exceed(r, MM__LIMIT_TEMPLATE_STEPS);
    return false;
}

void *mm__tmpl_get(trun *r, size_t n, size_t each)
{
    size_t bytes;
    if (r->st != MM_OK || !mm__ckd_mul(n, each, &bytes) || !mm__tmpl_step(r, bytes / STEP_BYTES)) return NULL;
    void *p = mm__arena_get(&r->arena, bytes);
    if (p) return p;
    if (r->arena.over_limit)
        mm__tmpl_exceed(r, MM__LIMIT_TEMPLATE_MEMORY);
    else
        r->st = mm__nomem(r->err, "chat template");
    return NULL;
}

/* ---- scopes --------------------------------------------------------------------------------------------------- */

/* NULL: no such name, or the steps are used up. */
static const tval *find(trun *r, int name)
{
    for (const tscope *s = r->scope; s && mm__tmpl_step(r, s->n / 64); s = s->parent)
        for (size_t i = 0; i < s->n; i++)
            if (s->names[i] == name) return &s->vals[i];
    return NULL;
}

tval mm__tmpl_lookup(trun *r, int name)
{
    const tval *v = find(r, name);
    if (v) return *v;
    if (r->globals[name].kind != T_UNDEF) return r->globals[name];
    const int f = mm__tmpl_function(r->t->names[name], r->t->name_lens[name]);
    return f < 0 ? tv_undef() : (tval){.kind = T_FUNC, .u.i = f};
}

static void bind(trun *r, tscope *s, int name, tval v)
{
    if (!mm__tmpl_step(r, s->n / 64)) return;
    for (size_t i = 0; i < s->n; i++)
        if (s->names[i] == name) {
            s->vals[i] = v;
            return;
        }
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 8;
        int *names = mm__tmpl_get(r, cap, sizeof *names);
        tval *vals = mm__tmpl_get(r, cap, sizeof *vals);
        if (!names || !vals) return;
        if (s->n) {
            memcpy(names, s->names, s->n * sizeof *names);
            memcpy(vals, s->vals, s->n * sizeof *vals);
        }
        s->names = names;
        s->vals = vals;
        s->cap = cap;
    }
    s->names[s->n] = name;
    s->vals[s->n++] = v;
}

void mm__tmpl_assign(trun *r, int name, tval v)
{
    if (r->scope)
        bind(r, r->scope, name, v);
    else
        r->globals[name] = v;
}

static void assign_target(trun *r, const tnode *target, tval v)
{
    if (target->kind == N_NAME) {
        mm__tmpl_assign(r, target->name, v);
        return;
    }
    const tval ns = mm__tmpl_lookup(r, target->a->name);
    if (ns.kind != T_NAMESPACE) {
        mm__tmpl_error(r, "only attributes of a namespace can be set");
        return;
    }
    mm__tval_dict_set(r, ns.u.dict, tv_str(r->t->names[target->name], r->t->name_lens[target->name]), v);
}

/* One name takes the value; several take the elements. */
static void assign_targets(trun *r, const tnode *targets, tval v)
{
    if (!targets->next) {
        assign_target(r, targets, v);
        return;
    }
    size_t n = 0;
    for (const tnode *t = targets; t; t = t->next) n++;
    const tval items = mm__tval_items(r, &v);
    if (r->st != MM_OK) return;
    if (items.n != n) {
        mm__tmpl_error(r, "%zu values for %zu names", items.n, n);
        return;
    }
    n = 0;
    for (const tnode *t = targets; t; t = t->next) assign_target(r, t, items.u.items[n++]);
}

/* ---- statements ----------------------------------------------------------------------------------------------- */

tval mm__tmpl_capture(trun *r, const tnode *body, tscope *parent, const targs *locals)
{
    mm__buf text, *out = r->out;
    tscope *before = r->scope, *s = mm__tmpl_get(r, 1, sizeof *s);
    if (!s) return tv_undef();
    s->parent = parent;
    for (size_t i = 0; locals && i < locals->n; i++) bind(r, s, locals->name[i], locals->v[i]);
    mm__tval_buf(r, &text);
    r->scope = s;
    r->out = &text;
    mm__tmpl_exec(r, body);
    r->out = out;
    r->scope = before;
    return mm__tval_take(r, &text);
}

static void run_if(trun *r, const tnode *n)
{
    for (const tnode *b = n->a; b; b = b->next) {
        tval v = b->a ? mm__tmpl_eval(r, b->a) : tv_bool(true);
        if (r->st != MM_OK) return;
        if (mm__tval_truth(&v)) {
            mm__tmpl_exec(r, b->b);
            return;
        }
    }
}

/* The elements for which the loop's condition holds. */
static tval filtered(trun *r, const tnode *n, tval items, tscope *s)
{
    tval kept = mm__tval_list(r, items.n);
    size_t m = 0;
    for (size_t i = 0; i < items.n && mm__tmpl_step(r, 1); i++) {
        s->n = 0;
        assign_targets(r, n->a, items.u.items[i]);
        const tval v = mm__tmpl_eval(r, n->d->a);
        if (r->st == MM_OK && mm__tval_truth(&v)) kept.u.items[m++] = items.u.items[i];
    }
    kept.n = m;
    return kept;
}

static int loop_name(const trun *r)
{
    for (size_t i = 0; i < r->t->n_names; i++)
        if (mm__tmpl_named(r->t->names[i], r->t->name_lens[i], "loop")) return (int)i;
    return -1;
}

static void run_for(trun *r, const tnode *n)
{
    tval over = mm__tmpl_eval(r, n->b), items = mm__tval_items(r, &over);
    tscope *s = mm__tmpl_get(r, 1, sizeof *s);
    tloop *loop = mm__tmpl_get(r, 1, sizeof *loop);
    if (!s || !loop || r->st != MM_OK) return;
    s->parent = r->scope;
    r->scope = s;
    if (n->d->a) items = filtered(r, n, items, s);
    *loop = (tloop){.items = items.u.items, .n = items.n};
    const int name = loop_name(r);
    for (size_t i = 0; i < items.n && mm__tmpl_step(r, 1); i++) {
        s->n = 0;
        loop->at = i;
        if (name >= 0) bind(r, s, name, (tval){.kind = T_LOOP, .u.loop = loop});
        assign_targets(r, n->a, items.u.items[i]);
        mm__tmpl_exec(r, n->c);
        const int jump = r->jump;
        r->jump = 0;
        if (jump == N_BREAK) break;
    }
    s->n = 0;
    if (r->st == MM_OK && items.n == 0) mm__tmpl_exec(r, n->d->b);
    r->scope = s->parent;
}

/* {% set x | f | g %}: the chain ends in an operand of NULL, which stands for the block's text. */
static tval filter_block(trun *r, const tnode *f, tval text)
{
    if (!f) return text;
    const tval inner = filter_block(r, f->a, text);
    targs args = {.n = 0};
    for (const tnode *a = f->b; a && r->st == MM_OK; a = a->next) {
        args.v[args.n] = mm__tmpl_eval(r, a->a);
        args.name[args.n++] = a->name;
    }
    if (f->kind != N_FILTER) return mm__tmpl_error(r, "a test cannot follow a block");
    return r->st == MM_OK ? mm__tmpl_filter(r, r->t->names[f->name], r->t->name_lens[f->name], &inner, &args) : tv_undef();
}

static void define_macro(trun *r, const tnode *n)
{
    tmacro *m = mm__tmpl_get(r, 1, sizeof *m);
    if (!m) return;
    *m = (tmacro){n, r->scope};
    mm__tmpl_assign(r, n->name, (tval){.kind = T_MACRO, .u.macro = m});
}

static void run_statement(trun *r, const tnode *n)
{
    tval v;
    switch (n->kind) {
    case N_TEXT:
        mm__buf_put(r->out, n->value.u.s, n->value.n);
        break;
    case N_PRINT:
        v = mm__tmpl_eval(r, n->a);
        if (r->st == MM_OK) mm__tval_write(r, r->out, &v, false);
        break;
    case N_IF:
        run_if(r, n);
        break;
    case N_FOR:
        run_for(r, n);
        break;
    case N_SET:
        v = mm__tmpl_eval(r, n->b);
        if (r->st == MM_OK) assign_targets(r, n->a, v);
        break;
    case N_SET_BLOCK:
        v = mm__tmpl_capture(r, n->b, r->scope, NULL);
        v = filter_block(r, n->c, v);
        if (r->st == MM_OK) assign_target(r, n->a, v);
        break;
    case N_MACRO:
        define_macro(r, n);
        break;
    default:
        r->jump = n->kind;
        break;
    }
    if (r->out->failed && r->st == MM_OK) {
        if (r->out->over_limit)
            mm__tmpl_exceed(r, MM__LIMIT_TEMPLATE_OUTPUT);
        else
            r->st = mm__nomem(r->err, "chat template");
    }
}

void mm__tmpl_exec(trun *r, const tnode *body)
{
    if ((uint64_t)++r->depth > mm__limit(r->mem, MM__LIMIT_TEMPLATE_DEPTH)) mm__tmpl_exceed(r, MM__LIMIT_TEMPLATE_DEPTH);
    for (const tnode *n = body; n && !r->jump && mm__tmpl_step(r, 1); n = n->next) {
        r->line = n->line;
        run_statement(r, n);
    }
    r->depth--;
}

mm_status mm__template_render(const mm__template *t, const mm__json *context, int64_t now, mm__buf *out, mm_error *err)
{
    mm__buf text;
    trun r = {.t = t, .mem = t->mem, .now = now, .err = err, .out = &text, .line = 1};
    r.arena = (mm__arena){.mem = t->mem, .limit = (size_t)mm__limit(t->mem, MM__LIMIT_TEMPLATE_MEMORY)};
    r.steps = mm__limit(t->mem, MM__LIMIT_TEMPLATE_STEPS);
    mm__tval_buf(&r, &text);
    r.globals = mm__tmpl_get(&r, t->n_names + 1, sizeof *r.globals);
    for (size_t i = 0; i < t->n_names && r.st == MM_OK; i++)
        for (size_t j = 0, n = mm__json_count(context); j < n && mm__json_kind(context) == MM__JSON_OBJECT; j++) {
            const char *key;
            size_t len;
            const mm__json *v = mm__json_member(context, j, &key, &len);
            if (len == t->name_lens[i] && memcmp(key, t->names[i], len) == 0) r.globals[i] = mm__tval_from_json(&r, v, 0);
        }
    if (r.st == MM_OK) mm__tmpl_exec(&r, t->body);
    if (r.st == MM_OK) {
        mm__buf_put(out, text.data ? text.data : "", text.len);
        if (out->failed) r.st = mm__nomem(err, "chat template");
    }
    mm__buf_free(&text);
    mm__arena_free(&r.arena);
    return r.st;
}

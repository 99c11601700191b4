/* Statements of templates, interning of names, and the parser's small helpers. Errors are reported once, with the line;
 * after one, every function returns at its next step because the status is set. */
#include "template_impl.h"
#include "../base/error.h"
#include <string.h>

tnode *mm__tmpl_syntax(tparser *p, const char *what)
{
    if (p->st == MM_OK) p->st = mm__fail(p->err, MM_E_FORMAT, "chat template, line %d: %s", p->tok->line, what);
    return NULL;
}

tnode *mm__tmpl_node(tparser *p, int kind)
{
    if (p->st != MM_OK) return NULL;
    tnode *n = mm__arena_get(&p->t->arena, sizeof *n);
    if (!n) {
        p->st = mm__nomem(p->err, "chat template");
        return NULL;
    }
    n->kind = kind;
    n->line = p->tok->line;
    n->name = -1;
    return n;
}

bool mm__tmpl_enter(tparser *p)
{
    const bool deep = (uint64_t)++p->depth > mm__limit(p->t->mem, MM__LIMIT_TEMPLATE_DEPTH);
    if (deep && p->st == MM_OK) p->st = mm__tmpl_over(p->t->mem, MM__LIMIT_TEMPLATE_DEPTH, p->tok->line, p->err);
    return p->st == MM_OK;
}

static bool grow_names(mm__template *t)
{
    const size_t cap = t->cap_names ? t->cap_names * 2 : 64;
    const char **names = mm__arena_get(&t->arena, cap * sizeof *names);
    size_t *lens = mm__arena_get(&t->arena, cap * sizeof *lens);
    if (!names || !lens) return false;
    if (t->n_names) {
        memcpy(names, t->names, t->n_names * sizeof *names);
        memcpy(lens, t->name_lens, t->n_names * sizeof *lens);
    }
    t->names = names;
    t->name_lens = lens;
    t->cap_names = cap;
    return true;
}

int mm__tmpl_intern(tparser *p, const char *s, size_t n)
{
    mm__template *t = p->t;
    uint64_t known;
    if (p->st != MM_OK) return -1;
    if (mm__map_get(p->seen, s, n, &known)) return (int)known;
    if (t->n_names >= MM__TMPL_MAX_NAMES) {
        p->st = mm__fail(p->err, MM_E_LIMIT, "chat template: more than %d names", MM__TMPL_MAX_NAMES);
        return -1;
    }
    if ((t->n_names == t->cap_names && !grow_names(t)) || !mm__map_put(p->seen, s, n, t->n_names, NULL)) {
        p->st = mm__nomem(p->err, "chat template");
        return -1;
    }
    t->names[t->n_names] = s;
    t->name_lens[t->n_names] = n;
    return (int)t->n_names++;
}

bool mm__tmpl_is_op(const tparser *p, const char *op)
{
    return p->tok->kind == K_OP && mm__tmpl_named(p->tok->s, p->tok->n, op);
}
bool mm__tmpl_is_word(const tparser *p, const char *w)
{
    return p->tok->kind == K_NAME && mm__tmpl_named(p->tok->s, p->tok->n, w);
}

bool mm__tmpl_take_op(tparser *p, const char *op)
{
    if (p->st != MM_OK || !mm__tmpl_is_op(p, op)) return false;
    p->tok++;
    return true;
}

bool mm__tmpl_take_word(tparser *p, const char *word)
{
    if (p->st != MM_OK || !mm__tmpl_is_word(p, word)) return false;
    p->tok++;
    return true;
}

bool mm__tmpl_expect_op(tparser *p, const char *op)
{
    if (mm__tmpl_take_op(p, op)) return true;
    if (p->st == MM_OK)
        p->st = mm__fail(p->err, MM_E_FORMAT, "chat template, line %d: \"%s\" expected before \"%.*s\"", p->tok->line, op,
                         (int)(p->tok->n < 20 ? p->tok->n : 20), p->tok->s);
    return false;
}

/* The end of a block tag. */
static bool close_tag(tparser *p)
{
    if (p->st != MM_OK) return false;
    if (p->tok->kind != K_BLOCK_END) return mm__tmpl_syntax(p, "\"%}\" expected");
    p->tok++;
    return true;
}

/* Whether the next tag is {% word ...; leaves the position. */
static bool next_is(const tparser *p, const char *word)
{
    return p->tok->kind == K_BLOCK && p->tok[1].kind == K_NAME && mm__tmpl_named(p->tok[1].s, p->tok[1].n, word);
}

static bool take_tag(tparser *p, const char *word)
{
    if (p->st != MM_OK || !next_is(p, word)) return false;
    p->tok += 2;
    return true;
}

static tnode *parse_body(tparser *p, const char *const *ends);

/* A body closed by {% end %}. */
static bool body_until(tparser *p, const char *end, tnode **out)
{
    const char *const ends[] = {end, NULL};
    *out = parse_body(p, ends);
    return take_tag(p, end) && close_tag(p);
}

static tnode *parse_if(tparser *p)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    tnode *n = mm__tmpl_node(p, N_IF), **to = n ? &n->a : NULL;
    bool last = false;
    for (bool more = n != NULL; more && p->st == MM_OK;) {
        tnode *branch = mm__tmpl_node(p, N_BRANCH);
        if (!branch) return NULL;
        if (!last && !(branch->a = mm__tmpl_parse_tuple(p, true))) return NULL;
        if (!close_tag(p)) return NULL;
        branch->b = parse_body(p, ends);
        *to = branch;
        to = &branch->next;
        if (take_tag(p, "endif")) return close_tag(p) ? n : NULL;
        if (last) return mm__tmpl_syntax(p, "\"endif\" expected");
        last = take_tag(p, "else");
        more = last || take_tag(p, "elif");
    }
    return NULL;
}

/* Names (or, for set, ns.attr) separated by commas. */
static tnode *parse_targets(tparser *p, bool attributes)
{
    tnode *first = NULL, **to = &first;
    const bool bracket = mm__tmpl_take_op(p, "(");
    do {
        tnode *n = mm__tmpl_node(p, N_NAME);
        if (!n) return NULL;
        if (p->tok->kind != K_NAME) return mm__tmpl_syntax(p, "a name is missing");
        n->name = mm__tmpl_intern(p, p->tok->s, p->tok->n);
        p->tok++;
        if (attributes && mm__tmpl_take_op(p, ".")) {
            tnode *a = mm__tmpl_node(p, N_ATTR);
            if (p->tok->kind != K_NAME) return mm__tmpl_syntax(p, "a name is missing after \".\"");
            if (!a) return NULL;
            a->a = n;
            a->name = mm__tmpl_intern(p, p->tok->s, p->tok->n);
            p->tok++;
            n = a;
        }
        *to = n;
        to = &n->next;
    } while (mm__tmpl_take_op(p, ","));
    if (bracket && !mm__tmpl_expect_op(p, ")")) return NULL;
    return p->st == MM_OK ? first : NULL;
}

static tnode *parse_for(tparser *p)
{
    static const char *const ends[] = {"else", "endfor", NULL};
    tnode *n = mm__tmpl_node(p, N_FOR), *extra = mm__tmpl_node(p, N_BRANCH);
    if (!n || !extra || !(n->a = parse_targets(p, false))) return NULL;
    n->d = extra;
    if (!mm__tmpl_take_word(p, "in")) return mm__tmpl_syntax(p, "\"in\" expected");
    if (!(n->b = mm__tmpl_parse_tuple(p, false))) return NULL;
    if (mm__tmpl_take_word(p, "if") && !(extra->a = mm__tmpl_parse_expr(p))) return NULL;
    if (mm__tmpl_is_word(p, "recursive")) return mm__tmpl_syntax(p, "recursive loops are not supported");
    if (!close_tag(p)) return NULL;
    p->loops++;
    n->c = parse_body(p, ends);
    p->loops--;
    if (take_tag(p, "else")) {
        if (!close_tag(p)) return NULL;
        return body_until(p, "endfor", &extra->b) ? n : NULL;
    }
    return take_tag(p, "endfor") && close_tag(p) ? n : NULL;
}

static tnode *parse_set(tparser *p)
{
    tnode *n = mm__tmpl_node(p, N_SET);
    if (!n || !(n->a = parse_targets(p, true))) return NULL;
    if (mm__tmpl_take_op(p, "=")) {
        n->b = mm__tmpl_parse_tuple(p, true);
        return n->b && close_tag(p) ? n : NULL;
    }
    n->kind = N_SET_BLOCK;
    if (n->a->next) return mm__tmpl_syntax(p, "a block can be set to one name only");
    n->c = mm__tmpl_parse_filters(p, NULL);
    return close_tag(p) && body_until(p, "endset", &n->b) ? n : NULL;
}

static tnode *parse_macro(tparser *p)
{
    tnode *n = mm__tmpl_node(p, N_MACRO), **to = n ? &n->a : NULL;
    size_t count = 0;
    if (!n) return NULL;
    if (p->tok->kind != K_NAME) return mm__tmpl_syntax(p, "a macro's name is missing");
    n->name = mm__tmpl_intern(p, p->tok->s, p->tok->n);
    p->tok++;
    if (!mm__tmpl_expect_op(p, "(")) return NULL;
    while (!mm__tmpl_take_op(p, ")")) {
        if (count && !mm__tmpl_expect_op(p, ",")) return NULL;
        tnode *param = mm__tmpl_node(p, N_PARAM);
        if (p->tok->kind != K_NAME || ++count > MM__TMPL_MAX_ARGS)
            return mm__tmpl_syntax(p, "a macro's parameter is not usable");
        if (!param) return NULL;
        param->name = mm__tmpl_intern(p, p->tok->s, p->tok->n);
        p->tok++;
        if (mm__tmpl_take_op(p, "=") && !(param->a = mm__tmpl_parse_expr(p))) return NULL;
        *to = param;
        to = &param->next;
    }
    const int loops = p->loops;
    p->loops = 0;
    const bool ok = close_tag(p) && body_until(p, "endmacro", &n->b);
    p->loops = loops;
    return ok ? n : NULL;
}

static tnode *parse_jump(tparser *p, int kind)
{
    if (!p->loops) return mm__tmpl_syntax(p, "break and continue belong inside a loop");
    tnode *n = mm__tmpl_node(p, kind);
    return close_tag(p) ? n : NULL;
}

/* {% generation %} marks what training learns from; its body is ordinary text. */
static tnode *parse_generation(tparser *p)
{
    tnode *n = mm__tmpl_node(p, N_IF), *branch = mm__tmpl_node(p, N_BRANCH);
    if (!n || !branch || !close_tag(p)) return NULL;
    n->a = branch;
    return body_until(p, "endgeneration", &branch->b) ? n : NULL;
}

static tnode *parse_statement(tparser *p)
{
    if (mm__tmpl_take_word(p, "if")) return parse_if(p);
    if (mm__tmpl_take_word(p, "for")) return parse_for(p);
    if (mm__tmpl_take_word(p, "set")) return parse_set(p);
    if (mm__tmpl_take_word(p, "macro")) return parse_macro(p);
    if (mm__tmpl_take_word(p, "break")) return parse_jump(p, N_BREAK);
    if (mm__tmpl_take_word(p, "continue")) return parse_jump(p, N_CONTINUE);
    if (mm__tmpl_take_word(p, "generation")) return parse_generation(p);
    if (p->st == MM_OK)
        p->st = mm__fail(p->err, MM_E_UNSUPPORTED, "chat template, line %d: statement \"%.*s\" is not supported here",
                         p->tok->line, (int)(p->tok->n < 20 ? p->tok->n : 20), p->tok->s);
    return NULL;
}

/* Statements up to one of `ends` (left standing) or, without ends, the end of the template. */
static tnode *parse_body(tparser *p, const char *const *ends)
{
    tnode *first = NULL, **to = &first;
    if (!mm__tmpl_enter(p)) return NULL;
    while (p->st == MM_OK) {
        tnode *n = NULL;
        if (p->tok->kind == K_END) {
            if (ends) mm__tmpl_syntax(p, "a block is not closed");
            break;
        }
        for (size_t i = 0; ends && ends[i]; i++)
            if (next_is(p, ends[i])) goto done;
        if (p->tok->kind == K_TEXT) {
            if ((n = mm__tmpl_node(p, N_TEXT))) n->value = tv_str(p->tok->s, p->tok->n);
            p->tok++;
        } else if (p->tok->kind == K_VAR) {
            p->tok++;
            if ((n = mm__tmpl_node(p, N_PRINT))) n->a = mm__tmpl_parse_tuple(p, true);
            if (p->st == MM_OK && p->tok->kind != K_VAR_END) mm__tmpl_syntax(p, "\"}}\" expected");
            p->tok++;
        } else {
            p->tok++;
            n = parse_statement(p);
        }
        if (p->st != MM_OK) break;
        *to = n;
        to = &n->next;
    }
done:
    p->depth--;
    return first;
}

static mm_status parse(mm__template *t, const ttoken *tokens, mm_error *err)
{
    tparser p = {.t = t, .tok = tokens, .err = err, .seen = mm__map_create(t->mem, 64)};
    if (!p.seen) return mm__nomem(err, "chat template");
    t->body = parse_body(&p, NULL);
    mm__map_destroy(p.seen);
    return p.st;
}

mm_status mm__template_compile(mm__mem *mem, const char *text, size_t len, mm__template **out, mm_error *err)
{
    ttoken *tokens;
    size_t n;
    *out = NULL;
    mm_status st = mm__limit_check(mem, MM__LIMIT_TEMPLATE_BYTES, len, "chat template", err);
    if (st != MM_OK) return st;
    mm__template *t = mm__zalloc(mem, sizeof *t);
    if (!t) return mm__nomem(err, "chat template");
    t->mem = mem;
    t->arena = (mm__arena){.mem = mem, .limit = SIZE_MAX};
    st = mm__tmpl_lex(&t->arena, text, len, &tokens, &n, err);
    if (st == MM_OK) st = parse(t, tokens, err);
    if (st == MM_OK) *out = t;
    else mm__template_free(t);
    return st;
}

void mm__template_free(mm__template *t)
{
    if (!t) return;
    mm__arena_free(&t->arena);
    mm__free(t->mem, t);
}

/* Pre-tokenizers: a chain of steps, each cutting the pieces of the one before; the last hands them to the model. A piece
 * is passed on as soon as it is found, so no list of pieces exists. The chain's depth is the number of steps (at most
 * MM__TOKENIZER_OPS), not a property of the text.
 *
 * A step is a matcher (where are the delimiters) and a behaviour (what becomes of delimiters and of what lies between),
 * as the `tokenizers` library defines them. */
#include "tokenizer_impl.h"

typedef struct cutter {
    mm__encode *e;
    const mm__pretok *op;
    size_t step;
    const char *s;
    size_t n;
    bool first;
    bool held, held_match; /* a piece that may still grow */
    size_t from, to;
} cutter;

static mm_status run_step(mm__encode *e, size_t step, const char *s, size_t n, bool first);

static mm_status emit(cutter *c, size_t from, size_t to)
{
    if (from >= to) return MM_OK;
    return run_step(c->e, c->step + 1, c->s + from, to - from, c->first && from == 0);
}

static mm_status flush(cutter *c)
{
    if (!c->held) return MM_OK;
    c->held = false;
    return emit(c, c->from, c->to);
}

static mm_status hold(cutter *c, size_t from, size_t to, bool match)
{
    mm_status st = flush(c);
    c->held = true;
    c->held_match = match;
    c->from = from;
    c->to = to;
    return st;
}

/* One span, in order; `match` tells delimiters from the rest. */
static mm_status span(cutter *c, size_t from, size_t to, bool match)
{
    if (from >= to) return MM_OK;
    if (c->op->invert) match = !match;
    switch (c->op->behavior) {
    case MM__REMOVED: return match ? MM_OK : emit(c, from, to);
    case MM__ISOLATED: return emit(c, from, to);
    case MM__CONTIGUOUS:
        if (c->held && c->held_match == match) {
            c->to = to;
            return MM_OK;
        }
        return hold(c, from, to, match);
    case MM__WITH_PREVIOUS:
        if (match && c->held && !c->held_match) {
            c->to = to;
            c->held_match = true;
            return MM_OK;
        }
        return hold(c, from, to, match);
    case MM__WITH_NEXT:
        if (!match && c->held && c->held_match) {
            c->to = to;
            c->held_match = false;
            return MM_OK;
        }
        return hold(c, from, to, match);
    }
    return MM_OK;
}

static bool char_matches(mm__match_kind kind, uint32_t cp)
{
    switch (kind) {
    case MM__MATCH_DIGIT: return (mm__char_class(cp) & MM__CH_N) != 0;
    case MM__MATCH_SPACE: return (mm__char_class(cp) & MM__CH_S) != 0;
    case MM__MATCH_PUNCT: return (mm__char_class(cp) & MM__CH_P) != 0;
    default: return false;
    }
}

/* "\w+|[^\w\s]+" */
static void next_word(const char *s, size_t n, size_t *start, size_t *end)
{
    uint32_t cp;
    size_t k = 0, p = *start;
    while (p < n && (k = mm__char_at(s + p, n - p, &cp), mm__char_class(cp) & MM__CH_S)) p += k;
    *start = p;
    if (p >= n) return;
    bool word = mm__char_is_word(cp);
    for (; p < n; p += k) {
        k = mm__char_at(s + p, n - p, &cp);
        if (mm__char_is_word(cp) != word || (mm__char_class(cp) & MM__CH_S)) break;
    }
    *end = p;
}

/* Next delimiter at or behind `from`; *start == n when there is none. */
static mm_status next_match(cutter *c, size_t from, size_t *start, size_t *end, mm_error *err)
{
    const mm__pretok *op = c->op;
    const char *s = c->s;
    size_t n = c->n, k;
    uint32_t cp;
    bool found = false;
    *start = n;
    *end = n;
    switch (op->match) {
    case MM__MATCH_SCAN:
        *end = mm__scan_next(op->scan, s, n, from, start);
        if (*start < n && *end <= *start) *end = *start + mm__char_at(s + *start, n - *start, &cp);
        return MM_OK;
    case MM__MATCH_REGEX: {
        mm__regex_run **run = &c->e->run[c->step];
        if (!*run && !(*run = mm__regex_run_create(op->regex))) return mm__nomem(err, "matching a regular expression");
        mm_status st = mm__regex_next(op->regex, *run, s, n, from, &c->e->steps, &found, start, end, err);
        if (st == MM_OK && !found) *start = *end = n;
        return st;
    }
    case MM__MATCH_TEXT: {
        const char *hit = op->text.n && n - from >= op->text.n ? memmem(s + from, n - from, op->text.s, op->text.n) : NULL;
        if (!hit) return MM_OK;
        *start = (size_t)(hit - s);
        *end = *start + op->text.n;
        return MM_OK;
    }
    case MM__MATCH_WORD:
        *start = from;
        next_word(s, n, start, end);
        return MM_OK;
    default:
        for (size_t p = from; p < n; p += k) {
            k = mm__char_at(s + p, n - p, &cp);
            if (!char_matches(op->match, cp)) continue;
            *start = p;
            *end = p + k;
            return MM_OK;
        }
        return MM_OK;
    }
}

/* The edit of a step: blanks spelled U+2581 with one in front, or a blank in front. */
static mm_status edit(mm__encode *e, const mm__pretok *op, size_t step, const char **s, size_t *n, bool first)
{
    mm__buf *b = &e->edit[step];
    mm__buf_clear(b);
    if (op->meta) {
        bool has = (*n && **s == ' ') || (*n >= op->text.n && !memcmp(*s, op->text.s, op->text.n));
        if (!has && (op->prepend == MM__PREPEND_ALWAYS || (op->prepend == MM__PREPEND_FIRST && first)))
            mm__buf_put(b, op->text.s, op->text.n);
        for (size_t i = 0, from = 0; i <= *n; i++) {
            if (i < *n && (*s)[i] != ' ') continue;
            mm__buf_put(b, *s + from, i - from);
            if (i < *n) mm__buf_put(b, op->text.s, op->text.n);
            from = i + 1;
        }
    } else if (*n && **s != ' ') {
        mm__buf_putc(b, ' ');
        mm__buf_put(b, *s, *n);
    } else {
        return MM_OK;
    }
    if (b->over_limit) return mm__limit_fail(e->mem, MM__LIMIT_PROMPT_BYTES, "text whose blanks are spelled out", e->err);
    if (b->failed) return mm__nomem(e->err, "cutting text");
    *s = mm__buf_str(b);
    *n = b->len;
    return MM_OK;
}

static mm_status run_step(mm__encode *e, size_t step, const char *s, size_t n, bool first)
{
    if (step >= e->t->n_pretok) return mm__model_encode(e, s, n);
    const mm__pretok *op = &e->t->pretok[step];
    mm_status st = MM_OK;
    if (op->meta || op->prefix_space) st = edit(e, op, step, &s, &n, first);
    if (st != MM_OK) return st;
    if (!op->cut) return run_step(e, step + 1, s, n, first);
    cutter c = {.e = e, .op = op, .step = step, .s = s, .n = n, .first = first};
    for (size_t at = 0; at < n && st == MM_OK;) {
        size_t start, end;
        st = next_match(&c, at, &start, &end, e->err);
        if (st == MM_OK) st = span(&c, at, start, false);
        if (st == MM_OK) st = span(&c, start, end, true);
        at = end;
    }
    return st == MM_OK ? flush(&c) : st;
}

mm_status mm__pretok_run(mm__encode *e, const char *s, size_t n, bool first)
{
    return n ? run_step(e, 0, s, n, first) : MM_OK;
}

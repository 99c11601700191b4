/* Template text -> tokens.
 *
 * Outside tags everything is text. A "-" beside a delimiter strips whitespace on that side; without one, a newline behind
 * "%}" or "#}" is dropped (trim_blocks) and blanks between the start of a line and "{%" or "{#" are dropped (lstrip_blocks);
 * "+" keeps both. One newline at the very end of the template is dropped; CR LF counts as LF.
 * Inside tags: names, numbers, strings with Python's escapes, operators. A closing brace inside brackets is an operator. */
#include "template_impl.h"
#include "../base/digits.h"
#include "../base/error.h"
#include "../base/utf8.h"
#include <math.h>
#include <string.h>

typedef struct lexer {
    mm__arena *arena;
    const char *s;
    size_t n, at;
    int line;
    bool line_start; /* the last thing consumed ended with a newline, or nothing was */
    ttoken *tokens;
    size_t count, cap;
    mm_status st;
    mm_error *err;
} lexer;

static bool blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}
static bool digit(char c)
{
    return c >= '0' && c <= '9';
}
static bool letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}
static bool starts(const lexer *l, size_t at, const char *w)
{
    return l->n - at >= strlen(w) && memcmp(l->s + at, w, strlen(w)) == 0;
}

static void failed(lexer *l, const char *what)
{
    if (l->st == MM_OK) l->st = mm__fail(l->err, MM_E_FORMAT, "chat template, line %d: %s", l->line, what);
}

static ttoken *push(lexer *l, int kind, const char *s, size_t n)
{
    if (l->count == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 256;
        ttoken *grown = mm__arena_get(l->arena, cap * sizeof *grown);
        if (!grown) {
            l->st = mm__nomem(l->err, "chat template");
            return NULL;
        }
        if (l->count) memcpy(grown, l->tokens, l->count * sizeof *grown);
        l->tokens = grown;
        l->cap = cap;
    }
    ttoken *t = &l->tokens[l->count++];
    *t = (ttoken){.kind = kind, .line = l->line, .s = s, .n = n};
    return t;
}

static void advance(lexer *l, size_t to)
{
    for (; l->at < to; l->at++) l->line += l->s[l->at] == '\n';
}

/* One escape sequence at s[0] = '\\'; returns the bytes read. */
static size_t unescape(const char *s, size_t n, char *to, size_t *made)
{
    static const char from[] = "abfnrtv\\'\"", out[] = "\a\b\f\n\r\t\v\\'\"";
    if (n < 2) return 0;
    const char *simple = strchr(from, s[1]);
    *made = 1;
    if (s[1] && simple) {
        *to = out[simple - from];
        return 2;
    }
    if (s[1] == '\n') {
        *made = 0;
        return 2;
    }
    size_t digits = s[1] == 'x' ? 2 : s[1] == 'u' ? 4 : s[1] == 'U' ? 8 : 0;
    uint32_t cp = 0;
    if (digits && n >= 2 + digits) {
        size_t i = 0;
        for (; i < digits && mm__hex_value(s[2 + i]) >= 0; i++) cp = cp << 4 | (uint32_t)mm__hex_value(s[2 + i]);
        if (i == digits && cp <= 0x10ffff && (cp < 0xd800 || cp > 0xdfff)) {
            *made = mm__utf8_encode(cp, to);
            return 2 + digits;
        }
    }
    if (s[1] >= '0' && s[1] <= '7') {
        size_t i = 1;
        for (; i < 4 && i < n && s[i] >= '0' && s[i] <= '7'; i++) cp = cp << 3 | (uint32_t)(s[i] - '0');
        *made = mm__utf8_encode(cp, to);
        return i;
    }
    *to = '\\';
    return 1;
}

static void lex_string(lexer *l)
{
    const char quote = l->s[l->at];
    size_t end = l->at + 1, made = 0;
    while (end < l->n && l->s[end] != quote) end += l->s[end] == '\\' ? 2 : 1;
    if (end >= l->n) {
        failed(l, "a string is not closed");
        return;
    }
    char *to = mm__arena_get(l->arena, end - l->at + 4);
    if (!to) {
        l->st = mm__nomem(l->err, "chat template");
        return;
    }
    for (size_t i = l->at + 1; i < end;) {
        size_t m = 1, used = 1;
        if (l->s[i] == '\\')
            used = unescape(l->s + i, end - i, to + made, &m);
        else
            to[made] = l->s[i];
        i += used ? used : 1;
        made += m;
    }
    push(l, K_STR, to, made);
    advance(l, end + 1);
}

static void lex_number(lexer *l)
{
    size_t i = l->at;
    int64_t v = 0;
    double d = 0;
    bool real = false, fits = true;
    int scale = 0, exponent = 0;
    for (; i < l->n && (digit(l->s[i]) || (l->s[i] == '_' && i + 1 < l->n && digit(l->s[i + 1]))); i++) {
        if (l->s[i] == '_') continue;
        fits = fits && !__builtin_mul_overflow(v, 10, &v) && !__builtin_add_overflow(v, l->s[i] - '0', &v);
        d = d * 10 + (l->s[i] - '0');
    }
    if (i + 1 < l->n && l->s[i] == '.' && digit(l->s[i + 1])) {
        real = true;
        for (i++; i < l->n && digit(l->s[i]); i++, scale++) d = d * 10 + (l->s[i] - '0');
    }
    size_t e = i + 1;
    if (i < l->n && (l->s[i] == 'e' || l->s[i] == 'E')) {
        const bool minus = e < l->n && l->s[e] == '-';
        if (e < l->n && (minus || l->s[e] == '+')) e++;
        if (e < l->n && digit(l->s[e])) {
            real = true;
            for (; e < l->n && digit(l->s[e]); e++)
                if (exponent < 1000) exponent = exponent * 10 + (l->s[e] - '0');
            if (minus) exponent = -exponent;
            i = e;
        }
    }
    exponent -= scale;
    if (!real && !fits) {
        failed(l, "a number does not fit 64 bits");
        return;
    }
    ttoken *t = push(l, real ? K_REAL : K_INT, l->s + l->at, i - l->at);
    if (t) {
        t->i = v;
        t->d = exponent < 0 ? d / pow(10, -exponent) : d * pow(10, exponent);
    }
    advance(l, i);
}

static const char *operator_at(const lexer *l)
{
    static const char *const all[] = {"==", "!=", "<=", ">=", "//", "**", "<", ">", "=", "+", "-", "*", "/",
                                      "%",  "~",  "|",  ".",  ",",  ":",  "(", ")", "[", "]", "{", "}"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (starts(l, l->at, all[i])) return all[i];
    return NULL;
}

/* Behind a closing delimiter: strip what its sign or trim_blocks asks for. */
static void after_tag(lexer *l, char sign, bool block)
{
    size_t to = l->at;
    if (sign == '-')
        while (to < l->n && blank(l->s[to])) to++;
    else if (block && sign != '+' && to < l->n && l->s[to] == '\n')
        to++;
    advance(l, to);
    l->line_start = l->at > 0 && l->s[l->at - 1] == '\n';
}

/* Tokens of one tag, its opening delimiter already behind. */
static void lex_tag(lexer *l, bool block)
{
    const char *close = block ? "%}" : "}}";
    int depth = 0;
    push(l, block ? K_BLOCK : K_VAR, close, 2);
    while (l->st == MM_OK) {
        while (l->at < l->n && blank(l->s[l->at])) advance(l, l->at + 1);
        if (l->at >= l->n) {
            failed(l, block ? "a {% tag is not closed" : "a {{ tag is not closed");
            return;
        }
        const char c = l->s[l->at];
        const bool sign = c == '-' || c == '+';
        if (depth == 0 && (starts(l, l->at, close) || (sign && starts(l, l->at + 1, close)))) {
            push(l, block ? K_BLOCK_END : K_VAR_END, close, 2);
            advance(l, l->at + 2 + sign);
            after_tag(l, sign ? c : 0, block);
            return;
        }
        const char *op;
        if (c == '"' || c == '\'') {
            lex_string(l);
        } else if (digit(c)) {
            lex_number(l);
        } else if (letter(c)) {
            size_t end = l->at;
            while (end < l->n && (letter(l->s[end]) || digit(l->s[end]))) end++;
            push(l, K_NAME, l->s + l->at, end - l->at);
            advance(l, end);
        } else if ((op = operator_at(l))) {
            if (strchr("([{", *op)) depth++;
            if (strchr(")]}", *op)) depth--;
            push(l, K_OP, op, strlen(op));
            advance(l, l->at + strlen(op));
        } else {
            failed(l, "a character is not allowed in a tag");
        }
    }
}

/* Text up to `end`, whose right side a tag with `sign` (0: none) follows. */
static void emit_text(lexer *l, size_t end, char sign, bool lstrip)
{
    size_t stop = end;
    if (sign == '-') {
        while (stop > l->at && blank(l->s[stop - 1])) stop--;
    } else if (lstrip && sign != '+') {
        size_t from = end;
        while (from > l->at && blank(l->s[from - 1]) && l->s[from - 1] != '\n') from--;
        if (from > l->at ? l->s[from - 1] == '\n' : l->line_start) stop = from;
    }
    if (stop > l->at) push(l, K_TEXT, l->s + l->at, stop - l->at);
    l->line_start = end > l->at ? l->s[end - 1] == '\n' : l->line_start;
    advance(l, end);
}

static size_t find(const lexer *l, size_t at, const char *w)
{
    while (at < l->n && !starts(l, at, w)) at++;
    return at;
}

static void lex_comment(lexer *l)
{
    size_t end = find(l, l->at + 2, "#}");
    if (end >= l->n) {
        failed(l, "a {# comment is not closed");
        return;
    }
    const char sign = end > l->at + 2 ? l->s[end - 1] : 0;
    advance(l, end + 2);
    after_tag(l, sign == '-' || sign == '+' ? sign : 0, true);
}

/* At "{%": position behind a tag that holds only `word`, with the signs at both ends; 0 when it is another tag. */
static size_t word_tag(const lexer *l, size_t at, const char *word, char *before, char *behind)
{
    size_t i = at + 2;
    *before = *behind = 0;
    if (i < l->n && (l->s[i] == '-' || l->s[i] == '+')) *before = l->s[i++];
    while (i < l->n && blank(l->s[i])) i++;
    if (!starts(l, i, word)) return 0;
    i += strlen(word);
    while (i < l->n && blank(l->s[i])) i++;
    if (i < l->n && (l->s[i] == '-' || l->s[i] == '+')) *behind = l->s[i++];
    return starts(l, i, "%}") ? i + 2 : 0;
}

/* {% raw %} ... {% endraw %}; false when the tag is another one. */
static bool lex_raw(lexer *l)
{
    char before, behind;
    size_t to = word_tag(l, l->at, "raw", &before, &behind), end, next = 0;
    if (!to) return false;
    advance(l, to);
    after_tag(l, behind, true);
    for (end = l->at; end < l->n && !next; end += !next) {
        end = find(l, end, "{%");
        if (end < l->n) next = word_tag(l, end, "endraw", &before, &behind);
    }
    if (!next) {
        failed(l, "a raw block is not closed");
        return true;
    }
    emit_text(l, end, before, true);
    advance(l, next);
    after_tag(l, behind, true);
    return true;
}

mm_status mm__tmpl_lex(mm__arena *a, const char *text, size_t len, ttoken **out, size_t *n, mm_error *err)
{
    char *copy = mm__arena_get(a, len + 1);
    if (!copy) return mm__nomem(err, "chat template");
    size_t kept = 0;
    for (size_t i = 0; i < len; i++) {
        const bool cr = text[i] == '\r';
        copy[kept++] = cr ? '\n' : text[i];
        if (cr && i + 1 < len && text[i + 1] == '\n') i++;
    }
    if (kept > 0 && copy[kept - 1] == '\n') kept--;
    lexer l = {.arena = a, .s = copy, .n = kept, .line = 1, .line_start = true, .err = err};
    while (l.at < l.n && l.st == MM_OK) {
        size_t end = l.at;
        while (end < l.n && !(l.s[end] == '{' && end + 1 < l.n && strchr("{%#", l.s[end + 1]) && l.s[end + 1])) end++;
        if (end >= l.n) {
            emit_text(&l, l.n, 0, false);
            break;
        }
        const char kind = l.s[end + 1], next = end + 2 < l.n ? l.s[end + 2] : 0, sign = next == '-' || next == '+' ? next : 0;
        emit_text(&l, end, sign, kind != '{');
        if (kind == '#')
            lex_comment(&l);
        else if (kind == '{' || !lex_raw(&l)) {
            advance(&l, l.at + 2 + (sign != 0));
            lex_tag(&l, kind == '%');
        }
    }
    /* two, so that the parser may step over one while it reports an error */
    for (int i = 0; i < 2 && l.st == MM_OK; i++) push(&l, K_END, "", 0);
    *out = l.tokens;
    *n = l.count;
    return l.st;
}

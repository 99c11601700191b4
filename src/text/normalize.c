/* Normalisers: text to text. Operations run in order, each reading one buffer and writing the other; every one is linear
 * in the text. Unicode forms come from utf8proc; the BERT clean-up and SentencePiece's own normaliser (dummy prefix,
 * white-space removal, character map by longest prefix) follow their reference behaviour. */
#include "tokenizer_impl.h"
#include <utf8proc.h>

void mm__norm_free(mm__norm *op, mm__mem *mem)
{
    mm__free(mem, op->pattern.s);
    mm__free(mem, op->content.s);
    mm__regex_free(op->regex);
    mm__charsmap_free(&op->map, mem);
}

bool mm__norm_keeps_bytes(const mm__norm *op)
{
    return op->kind == MM__NORM_PREPEND || op->kind == MM__NORM_REPLACE || (op->kind == MM__NORM_SPM && !op->map.bytes);
}

/* Decomposes, orders and (maybe) composes: Unicode normalisation forms. ASCII is its own normal form. */
static mm_status unicode_form(mm__mem *mem, const char *s, size_t n, bool compose, bool compat, mm__buf *out, mm_error *err)
{
    size_t ascii = 0;
    while (ascii < n && (unsigned char)s[ascii] < 0x80) ascii++;
    if (ascii == n) {
        mm__buf_put(out, s, n);
        return MM_OK;
    }
    if (ascii) ascii--; /* a mark may combine with the character before it */
    mm__buf_put(out, s, ascii);
    s += ascii;
    n -= ascii;
    utf8proc_option_t how = (utf8proc_option_t)(UTF8PROC_STABLE | (compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) |
                                                (compat ? UTF8PROC_COMPAT : 0));
    utf8proc_ssize_t need = utf8proc_decompose((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)n, NULL, 0, how);
    if (need < 0) return mm__fail(err, MM_E_ARG, "text cannot be normalised: %s", utf8proc_errmsg(need));
    utf8proc_int32_t *cp = mm__calloc(mem, (size_t)need + 1, sizeof *cp);
    if (!cp) return mm__nomem(err, "normalising text");
    need = utf8proc_decompose((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)n, cp, need, how);
    if (need > 0) need = utf8proc_normalize_utf32(cp, need, how);
    for (utf8proc_ssize_t i = 0; i < need; i++) mm__buf_put_char(out, (uint32_t)cp[i]);
    mm__free(mem, cp);
    return need < 0 ? mm__fail(err, MM_E_ARG, "text cannot be normalised: %s", utf8proc_errmsg(need)) : MM_OK;
}

static void put_lower(mm__buf *out, uint32_t cp)
{
    if (cp == 0x130) { /* the only character whose unconditional lower case is two characters */
        mm__buf_put_char(out, 'i');
        mm__buf_put_char(out, 0x307);
    } else {
        mm__buf_put_char(out, mm__char_lower(cp));
    }
}

void mm__text_lower(const char *s, size_t n, mm__buf *out)
{
    uint32_t cp;
    for (size_t i = 0; i < n;) {
        i += mm__char_at(s + i, n - i, &cp);
        put_lower(out, cp);
    }
}

/* `all`: every kind of mark, else only those without width. */
static void drop_marks(const char *s, size_t n, bool all, mm__buf *out)
{
    uint32_t cp;
    for (size_t i = 0; i < n;) {
        size_t k = mm__char_at(s + i, n - i, &cp);
        bool mark = all ? (mm__char_class(cp) & MM__CH_M) != 0 : utf8proc_category((utf8proc_int32_t)cp) == UTF8PROC_CATEGORY_MN;
        if (!mark) mm__buf_put(out, s + i, k);
        i += k;
    }
}

static void strip(const char *s, size_t n, bool left, bool right, mm__buf *out)
{
    uint32_t cp;
    size_t k;
    while (left && n && (k = mm__char_at(s, n, &cp), mm__char_class(cp) & MM__CH_S)) {
        s += k;
        n -= k;
    }
    while (right && n && (k = mm__char_before(s, n, &cp), mm__char_class(cp) & MM__CH_S)) n -= k;
    mm__buf_put(out, s, n);
}

static void replace_text(const mm__norm *op, const char *s, size_t n, mm__buf *out)
{
    size_t m = op->pattern.n;
    while (m && n >= m && !out->failed) {
        const char *hit = memmem(s, n, op->pattern.s, m);
        if (!hit) break;
        mm__buf_put(out, s, (size_t)(hit - s));
        mm__buf_put(out, op->content.s, op->content.n);
        n -= (size_t)(hit - s) + m;
        s = hit + m;
    }
    mm__buf_put(out, s, n);
}

static void replace_spaces(const mm__norm *op, const char *s, size_t n, mm__buf *out)
{
    uint32_t cp;
    for (size_t i = 0; i < n;) {
        size_t run = 0, end = i, k = 0;
        while (end < n && (k = mm__char_at(s + end, n - end, &cp), op->blank ? cp == ' ' : (mm__char_class(cp) & MM__CH_S) != 0)) {
            end += k;
            run++;
        }
        if (run >= op->min && run) mm__buf_put(out, op->content.s, op->content.n);
        else mm__buf_put(out, s + i, end - i);
        if (end < n) mm__buf_put(out, s + end, k);
        i = end + (end < n ? k : 0);
    }
}

static mm_status replace_regex(const mm__norm *op, const char *s, size_t n, mm__buf *out, uint64_t *steps, mm_error *err)
{
    mm_status st = MM_OK;
    mm__regex_run *run = mm__regex_run_create(op->regex);
    if (!run) return mm__nomem(err, "normalising text");
    size_t at = 0, start, end;
    bool found;
    while (!out->failed && (st = mm__regex_next(op->regex, run, s, n, at, steps, &found, &start, &end, err)) == MM_OK && found) {
        mm__buf_put(out, s + at, start - at);
        mm__buf_put(out, op->content.s, op->content.n);
        at = end;
    }
    mm__buf_put(out, s + at, n - at);
    mm__regex_run_free(run);
    return st;
}

/* Step one of BERT's clean-up: controls go, white space becomes a blank, CJK gets blanks around it. */
static void bert_clean(const mm__norm *op, const char *s, size_t n, mm__buf *out)
{
    uint32_t cp;
    for (size_t i = 0; i < n;) {
        size_t k = mm__char_at(s + i, n - i, &cp);
        bool space = (mm__char_class(cp) & MM__CH_S) != 0;
        bool cjk = op->b && mm__char_is_cjk(cp);
        if (op->a && (cp == 0 || cp == 0xFFFD || (!(cp == '\t' || cp == '\n' || cp == '\r') &&
                                                 utf8proc_category((utf8proc_int32_t)cp) >= UTF8PROC_CATEGORY_CC))) {
            i += k;
            continue;
        }
        if (cjk) mm__buf_putc(out, ' ');
        if (op->a && space) mm__buf_putc(out, ' ');
        else mm__buf_put(out, s + i, k);
        if (cjk) mm__buf_putc(out, ' ');
        i += k;
    }
}

static mm_status bert(mm__mem *mem, const mm__norm *op, const char *s, size_t n, mm__buf *out, mm_error *err)
{
    mm_status st = MM_OK;
    mm__buf a, b;
    mm__buf_init(&a, mem);
    mm__buf_init(&b, mem);
    bert_clean(op, s, n, &a);
    const bool cut = a.failed;
    if (op->c) {
        st = unicode_form(mem, mm__buf_str(&a), a.len, false, false, &b, err);
        mm__buf_clear(&a);
        drop_marks(mm__buf_str(&b), b.len, false, &a);
    }
    if (op->d) mm__text_lower(mm__buf_str(&a), a.len, out);
    else mm__buf_put(out, mm__buf_str(&a), a.len);
    if (cut || a.failed || b.failed) out->failed = true;
    mm__buf_free(&a);
    mm__buf_free(&b);
    return st;
}

/* The character rules of the "nmt" normaliser: some controls go, others and odd spaces become a blank. */
static void nmt(const char *s, size_t n, mm__buf *out)
{
    uint32_t c;
    for (size_t i = 0; i < n;) {
        size_t k = mm__char_at(s + i, n - i, &c);
        bool drop = (c >= 1 && c <= 8) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F;
        bool blank = c == 9 || c == 10 || c == 12 || c == 13 || c == 0x1680 || (c >= 0x200B && c <= 0x200F) || c == 0x2028 ||
                     c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
        if (blank) mm__buf_putc(out, ' ');
        else if (!drop) mm__buf_put(out, s + i, k);
        i += k;
    }
}

/* SentencePiece's normaliser: the character map by longest prefix, then blanks collapsed, trimmed and spelled U+2581. */
static void spm(const mm__norm *op, const char *s, size_t n, mm__buf *out)
{
    bool after_blank = op->b; /* leading blanks go when extra white space does */
    bool begun = false;
    for (size_t i = 0; i < n;) {
        size_t used = 0, len;
        uint32_t cp;
        const char *piece = op->map.bytes ? mm__charsmap_find(&op->map, s + i, n - i, true, &used) : NULL;
        if (piece) {
            len = strlen(piece);
        } else {
            used = len = mm__char_at(s + i, n - i, &cp);
            piece = s + i;
        }
        i += used;
        for (size_t j = 0; j < len; j++) {
            bool blank = piece[j] == ' ';
            if (blank && op->b && after_blank) continue;
            if (!begun && op->a) mm__buf_puts(out, MM__META);
            begun = true;
            if (blank) mm__buf_puts(out, MM__META);
            else mm__buf_putc(out, piece[j]);
            after_blank = blank;
        }
    }
    while (op->b && !out->failed && out->len >= MM__META_LEN && !memcmp(out->data + out->len - MM__META_LEN, MM__META, MM__META_LEN)) {
        out->len -= MM__META_LEN;
        out->data[out->len] = '\0';
    }
}

/* Without ASCII punctuation, blanks collapsed; those in front leave one mark, as the mark that the text is given before
 * this step protects them from being stripped. */
static void plain(const char *s, size_t n, mm__buf *out)
{
    bool begun = false, blank = false;
    uint32_t cp;
    for (size_t i = 0; i < n;) {
        size_t k = mm__char_at(s + i, n - i, &cp);
        unsigned c = mm__char_class(cp);
        if ((c & MM__CH_S) || cp == 0x2581) { /* a mark in the text is a blank */
            blank = true;
        } else if (!(cp < 0x80 && (c & MM__CH_P))) {
            if (blank) mm__buf_puts(out, begun ? " " : MM__META);
            blank = false;
            begun = true;
            mm__buf_put(out, s + i, k);
        }
        i += k;
    }
}

static mm_status apply(mm__mem *mem, const mm__norm *op, const char *s, size_t n, mm__buf *out, uint64_t *steps,
                       mm_error *err)
{
    switch (op->kind) {
    case MM__NORM_NFC: return unicode_form(mem, s, n, true, false, out, err);
    case MM__NORM_NFD: return unicode_form(mem, s, n, false, false, out, err);
    case MM__NORM_NFKC: return unicode_form(mem, s, n, true, true, out, err);
    case MM__NORM_NFKD: return unicode_form(mem, s, n, false, true, out, err);
    case MM__NORM_LOWER: mm__text_lower(s, n, out); break;
    case MM__NORM_STRIP: strip(s, n, op->a, op->b, out); break;
    case MM__NORM_ACCENTS: drop_marks(s, n, true, out); break;
    case MM__NORM_PREPEND:
        if (n) mm__buf_put(out, op->content.s, op->content.n);
        mm__buf_put(out, s, n);
        break;
    case MM__NORM_REPLACE: replace_text(op, s, n, out); break;
    case MM__NORM_REPLACE_SPACES: replace_spaces(op, s, n, out); break;
    case MM__NORM_REPLACE_REGEX: return replace_regex(op, s, n, out, steps, err);
    case MM__NORM_BERT: return bert(mem, op, s, n, out, err);
    case MM__NORM_CHARSMAP: mm__charsmap_apply(&op->map, s, n, out); break;
    case MM__NORM_LETTERS: mm__buf_put_letters(out, s, n); break;
    case MM__NORM_NMT: nmt(s, n, out); break;
    case MM__NORM_SPM: spm(op, s, n, out); break;
    case MM__NORM_PLAIN: plain(s, n, out); break;
    }
    return MM_OK;
}

mm_status mm__normalize(mm__mem *mem, const mm__norm *ops, size_t n_ops, const char *text, size_t len, mm__buf *out,
                        mm__buf *spare, uint64_t *steps, mm_error *err)
{
    mm__buf_clear(out);
    out->limit = spare->limit = mm__text_max(mem);
    if (!n_ops) mm__buf_put(out, text, len);
    for (size_t i = 0; i < n_ops; i++) {
        mm__buf *from = spare;
        if (i) { /* the last result is in out: swap the two */
            mm__buf t = *out;
            *out = *spare;
            *spare = t;
            mm__buf_clear(out);
        }
        mm_status st = apply(mem, &ops[i], i ? mm__buf_str(from) : text, i ? from->len : len, out, steps, err);
        if (st != MM_OK) return st;
        if (out->failed) break;
    }
    if (out->over_limit) return mm__limit_fail(mem, MM__LIMIT_PROMPT_BYTES, "normalised text", err);
    return out->failed ? mm__nomem(err, "normalising text") : MM_OK;
}

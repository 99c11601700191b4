/* Ids to bytes, one id at a time. Every decoder that real vocabularies use is local: what an id contributes depends on
 * the id, on whether anything came before, and on one pending blank. The bytes of a character may therefore come in
 * parts; whoever shows text waits for whole characters. */
#include "../base/digits.h"
#include "tokenizer_impl.h"

/* Replaces every `pattern` in b from `start` on. */
static void replace_tail(mm__buf *b, size_t start, const char *pattern, size_t n, const char *with, size_t m)
{
    mm__buf t;
    const char *hit;
    if (!n || b->failed || b->len <= start || !memmem(b->data + start, b->len - start, pattern, n)) return;
    mm__buf_init(&t, b->mem);
    t.limit = MM__SPOKEN_MAX;
    const char *s = b->data + start;
    size_t left = b->len - start;
    while (!t.failed && (hit = memmem(s, left, pattern, n))) {
        mm__buf_put(&t, s, (size_t)(hit - s));
        mm__buf_put(&t, with, m);
        left -= (size_t)(hit - s) + n;
        s = hit + n;
    }
    mm__buf_put(&t, s, left);
    if (t.failed) b->failed = true;
    if (t.over_limit) b->over_limit = true;
    b->len = start;
    mm__buf_put(b, mm__buf_str(&t), t.len);
    mm__buf_free(&t);
}

static void cut_front(mm__buf *b, size_t start, size_t n)
{
    if (b->failed || b->len < start + n) return;
    memmove(b->data + start, b->data + start + n, b->len - start - n + 1);
    b->len -= n;
}

static bool starts(const mm__buf *b, size_t start, const mm__text *t)
{
    return t->n && b->len - start >= t->n && !memcmp(b->data + start, t->s, t->n);
}

/* English spacing around punctuation, as the WordPiece decoder of `tokenizers` applies it to each token. */
static void clean_up(mm__buf *b, size_t start)
{
    static const char *const rules[][2] = {{" .", "."}, {" ?", "?"}, {" !", "!"}, {" ,", ","}, {" ' ", "'"}, {" n't", "n't"},
                                           {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        replace_tail(b, start, rules[i][0], strlen(rules[i][0]), rules[i][1], strlen(rules[i][1]));
}

/* Alphabet letters become bytes; a spelling with any other character stays as it is. */
static void from_letters(mm__buf *b, size_t start)
{
    size_t to = start;
    uint32_t cp;
    for (size_t i = start; i < b->len;) {
        i += mm__char_at(b->data + i, b->len - i, &cp);
        if (mm__byte_of_letter(cp) < 0) return;
    }
    for (size_t i = start; i < b->len;) {
        i += mm__char_at(b->data + i, b->len - i, &cp);
        b->data[to++] = (char)mm__byte_of_letter(cp);
    }
    b->len = to;
    if (b->data) b->data[to] = '\0';
}

/* One operation on the bytes of b behind `start`. */
static void apply(const mm__decode *op, mm__detok *state, mm__buf *b, size_t start)
{
    switch (op->kind) {
    case MM__DECODE_LETTERS: from_letters(b, start); break;
    case MM__DECODE_META:
        if (op->a && !state->started) replace_tail(b, start, op->content.s, op->content.n, "", 0);
        else replace_tail(b, start, op->content.s, op->content.n, " ", 1);
        break;
    case MM__DECODE_WORDPIECE:
        if (state->started && starts(b, start, &op->content)) {
            cut_front(b, start, op->content.n);
        } else if (state->started) {
            mm__buf_putc(b, ' ');
            if (b->failed) return;
            memmove(b->data + start + 1, b->data + start, b->len - start - 1);
            b->data[start] = ' ';
        }
        if (op->a) clean_up(b, start);
        break;
    case MM__DECODE_SUFFIX:
        if (b->len - start >= op->content.n && !memcmp(b->data + b->len - op->content.n, op->content.s, op->content.n)) {
            b->len -= op->content.n;
            b->data[b->len] = '\0';
            state->blank = true;
        }
        break;
    case MM__DECODE_BYTES: {
        int byte = mm__byte_token(b->data + start, b->len - start);
        if (byte < 0) break;
        b->data[start] = (char)byte;
        b->len = start + 1;
        b->data[b->len] = '\0';
        break;
    }
    case MM__DECODE_STRIP:
        if ((op->a || !state->started) && op->n && starts(b, start, &op->pattern)) cut_front(b, start, op->pattern.n);
        break;
    case MM__DECODE_REPLACE: replace_tail(b, start, op->pattern.s, op->pattern.n, op->content.s, op->content.n); break;
    }
}

mm_status mm__detokenize_next(const mm__tokenizer *t, mm__detok *state, int32_t id, unsigned flags, mm__buf *out)
{
    size_t n;
    const char *s = mm__tokenizer_token(t, id, &n);
    if (!s || !n) return MM_OK; /* models are often padded beyond their vocabulary */
    if (mm__tokenizer_is_special(t, id) && !(flags & MM__TOKENIZE_SPECIAL)) return MM_OK;
    if (state->blank) mm__buf_putc(out, ' ');
    state->blank = false;
    size_t start = out->len;
    mm__buf_put(out, s, n);
    for (size_t i = 0; i < t->n_decode && !out->failed; i++) apply(&t->decode[i], state, out, start);
    state->started = true;
    return out->over_limit ? MM_E_LIMIT : out->failed ? MM_E_NOMEM : MM_OK;
}

mm_status mm__detokenize(const mm__tokenizer *t, const int32_t *ids, size_t n, unsigned flags, mm__buf *out)
{
    mm__detok state = {0};
    mm_status st = MM_OK;
    for (size_t i = 0; i < n && st == MM_OK; i++) st = mm__detokenize_next(t, &state, ids[i], flags, out);
    return st;
}

int mm__byte_token(const char *s, size_t n)
{
    if (n != 6 || memcmp(s, "<0x", 3) != 0 || s[5] != '>') return -1;
    int v = 0;
    for (int i = 3; i < 5; i++) {
        const int d = mm__hex_value(s[i]);
        if (d < 0) return -1;
        v = v * 16 + d;
    }
    return v;
}

/* Added tokens: pieces found in the text before the model sees it. Leftmost-longest over a trie, one for the tokens that
 * are matched in raw text and one for those matched after normalisation (their own spelling is normalised too).
 * Special tokens only match when the caller allows it; the others (user-defined pieces) always do. */
#include "tokenizer_impl.h"

static bool allowed(const mm__tokenizer *t, int32_t index, unsigned flags)
{
    return index >= 0 && (!t->added[index].special || (flags & MM__TOKENIZE_SPECIAL));
}

/* Longest allowed token at s[0..n). */
static int32_t match_at(const mm__tokenizer *t, const mm__trie *trie, const char *s, size_t n, unsigned flags, size_t *len)
{
    int32_t best = -1;
    uint32_t node = 0;
    for (size_t i = 0; i < n; i++) {
        node = mm__trie_step(trie, node, (uint8_t)s[i]);
        if (!node) break;
        if (!allowed(t, trie->value[node], flags)) continue;
        best = trie->value[node];
        *len = i + 1;
    }
    return best;
}

bool mm__added_spelled(const mm__tokenizer *t, const mm__trie *trie, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t node = 0;
        for (size_t k = i; k < n && (node = mm__trie_step(trie, node, (uint8_t)s[k])); k++)
            if (trie->value[node] >= 0 && t->added[trie->value[node]].special) return true;
    }
    return false;
}

static bool word_touches(const char *s, size_t n, size_t start, size_t end)
{
    uint32_t cp;
    if (start > 0) {
        mm__char_before(s, start, &cp);
        if (mm__char_is_word(cp)) return true;
    }
    if (end >= n) return false;
    mm__char_at(s + end, n - end, &cp);
    return mm__char_is_word(cp);
}

bool mm__added_next(const mm__tokenizer *t, const mm__trie *trie, const char *s, size_t n, size_t from, unsigned flags,
                    size_t *start, size_t *end, int32_t *id)
{
    uint32_t cp;
    size_t len = 0, k;
    for (size_t i = from; i < n; i++) {
        if (!trie->root[(uint8_t)s[i]]) continue;
        int32_t index = match_at(t, trie, s + i, n - i, flags, &len);
        if (index < 0) continue;
        const mm__added_token *a = &t->added[index];
        size_t b = i, e = i + len;
        if (a->single_word && word_touches(s, n, b, e)) {
            i = e - 1;
            continue;
        }
        while (a->lstrip && b > from && (k = mm__char_before(s, b, &cp), k <= b - from && (mm__char_class(cp) & MM__CH_S))) b -= k;
        while (a->rstrip && e < n && (k = mm__char_at(s + e, n - e, &cp), mm__char_class(cp) & MM__CH_S)) e += k;
        *start = b;
        *end = e;
        *id = a->id;
        return true;
    }
    return false;
}

mm_status mm__added_build(mm__tokenizer *t, mm_error *err)
{
    mm_status st = MM_OK;
    mm__buf norm, spare;
    uint64_t steps = MM__REGEX_STEPS(t->tokens.pool.len);
    mm__buf_init(&norm, t->mem);
    mm__buf_init(&spare, t->mem);
    if (!mm__trie_init(&t->raw, t->mem, t->n_added * 8) || !mm__trie_init(&t->normal, t->mem, 0)) {
        st = mm__nomem(err, "added tokens");
        goto done;
    }
    for (size_t i = 0; i < t->n_added && st == MM_OK; i++) {
        size_t n;
        const char *s = mm__tokens_str(&t->tokens, t->added[i].id, &n);
        if (!n) continue;
        mm__trie *trie = &t->raw;
        if (t->added[i].normalized && t->n_norm) {
            st = mm__normalize(t->mem, t->norm, t->n_norm, s, n, &norm, &spare, &steps, err);
            s = mm__buf_str(&norm);
            n = norm.len;
            trie = &t->normal;
        } else if (t->added[i].normalized) {
            trie = &t->normal;
        }
        if (st == MM_OK && n > MM__TOKEN_MAX)
            st = mm__fail(err, MM_E_LIMIT, "an added token has %zu bytes once normalised; at most %zu are supported", n, MM__TOKEN_MAX);
        if (st == MM_OK && n && !mm__trie_put(trie, s, n, (int32_t)i)) st = mm__nomem(err, "added tokens");
        if (trie == &t->raw) t->has_raw = true;
        else t->has_normal = true;
    }
done:
    mm__buf_free(&norm);
    mm__buf_free(&spare);
    return st;
}

/* Byte-pair encoding of one piece.
 *
 * Symbols form a linked list in an array; every symbol remembers the rank of merging it with its right neighbour. A binary
 * heap of (rank << 32 | position) gives the lowest rank, leftmost first. After a merge only the two changed neighbours
 * are looked up again; an entry whose rank no longer equals the symbol's is stale and skipped. That is O(n log n) in the
 * piece with 8 bytes per heap entry, without recursion (Gage 1994; Sennrich et al. 2016; the heap as in SentencePiece).
 *
 * Ranks come either from a merge table keyed by the two ids, or ("by concatenation") from the token that the two
 * neighbours spell together: SentencePiece ranks by score, tiktoken-style vocabularies by id. Symbols start as alphabet
 * letters, raw bytes, or characters with byte fallback. */
#include "tokenizer_impl.h"
#include <stdio.h>

#define NONE UINT32_MAX

/* ---- merge table ---- */

static size_t pair_slot(const mm__bpe *b, uint64_t key)
{
    uint64_t h = (key ^ b->seed) * 0x9E3779B97F4A7C15u;
    h = (h ^ h >> 32) * 0xD6E8FEB86659FD93u;
    return (size_t)(h >> 16) & b->pair_mask;
}

static uint64_t pair_key(int32_t left, int32_t right) { return ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) + 1; }

mm_status mm__bpe_reserve(mm__tokenizer *t, size_t n_merges, mm_error *err)
{
    mm__bpe *b = &t->bpe;
    size_t slots = 16;
    while (slots < n_merges * 2) slots *= 2;
    b->pair_key = mm__calloc(t->mem, slots, sizeof *b->pair_key);
    b->pair = mm__calloc(t->mem, slots, sizeof *b->pair);
    if (!b->pair_key || !b->pair) return mm__nomem(err, "the merge table");
    b->pair_mask = slots - 1;
    b->seed = mm__text_seed(b);
    return MM_OK;
}

bool mm__bpe_add_merge(mm__tokenizer *t, int32_t left, int32_t right, int32_t to, uint32_t rank)
{
    mm__bpe *b = &t->bpe;
    if ((t->tokens.attr[to] & (MM__ATTR_SPECIAL | MM__ATTR_HIDDEN)) || b->n_pairs > b->pair_mask / 4 * 3) return false;
    uint64_t key = pair_key(left, right);
    size_t s = pair_slot(b, key);
    while (b->pair_key[s] && b->pair_key[s] != key) s = (s + 1) & b->pair_mask;
    if (!b->pair_key[s]) b->n_pairs++;
    b->pair_key[s] = key;
    b->pair[s] = (mm__pair){.rank = rank, .id = to};
    return true;
}

static bool usable(const mm__tokenizer *t, int32_t id)
{
    return id >= 0 && !(t->tokens.attr[id] & (MM__ATTR_SPECIAL | MM__ATTR_HIDDEN));
}

static int32_t find_usable(const mm__tokenizer *t, const char *s, size_t n)
{
    int32_t id = mm__tokens_find(&t->tokens, s, n);
    return usable(t, id) ? id : -1;
}

/* Spelling of the symbol a byte starts as, with the end-of-word mark when `last`. */
static size_t byte_symbol(const mm__bpe *b, uint8_t byte, bool last, char *out, size_t cap)
{
    size_t n;
    if (b->letters) n = mm__utf8_encode(mm__letter_of_byte(byte), out);
    else if (b->bytes) out[0] = (char)byte, n = 1;
    else return (size_t)snprintf(out, cap, "<0x%02X>", byte);
    if (last && b->suffix.n <= cap - n) {
        memcpy(out + n, b->suffix.s, b->suffix.n);
        n += b->suffix.n;
    }
    return n;
}

mm_status mm__bpe_finish(mm__tokenizer *t, mm_error *err)
{
    mm__bpe *b = &t->bpe;
    if (b->letters && b->prefix.n) return mm__fail(err, MM_E_UNSUPPORTED, "a byte-level vocabulary with a continuation prefix");
    if (b->suffix.n > 32) return mm__fail(err, MM_E_LIMIT, "an end-of-word mark of %zu bytes exceeds 32", b->suffix.n);
    for (int i = 0; i < 256; i++) {
        char s[64];
        bool fallback = !b->letters && !b->bytes;
        int32_t id = mm__tokens_find(&t->tokens, s, byte_symbol(b, (uint8_t)i, false, s, sizeof s));
        b->byte_id[i] = fallback || usable(t, id) ? id : -1;
        b->byte_last[i] = b->byte_id[i];
        if (!fallback && b->suffix.n) b->byte_last[i] = find_usable(t, s, byte_symbol(b, (uint8_t)i, true, s, sizeof s));
    }
    b->max_len = 0;
    b->word_cuts = !b->letters && !b->bytes && !b->suffix.n && !b->prefix.n && find_usable(t, MM__META, MM__META_LEN) >= 0;
    for (size_t i = 0; i < t->tokens.n; i++) {
        size_t n;
        const char *s = mm__tokens_str(&t->tokens, (int32_t)i, &n);
        if (!usable(t, (int32_t)i)) continue;
        if (n > b->max_len) b->max_len = n;
        if (b->word_cuts && mm__word_cut(s, n) < n) b->word_cuts = false;
    }
    return MM_OK;
}

bool mm__bytes_known(const int32_t *byte_id, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (byte_id[(uint8_t)s[i]] < 0) return false;
    return true;
}

bool mm__bytes_complete(const int32_t *byte_id)
{
    for (int i = 128; i < 256; i++)
        if (byte_id[i] < 0) return false;
    return true;
}

/* ---- heap ---- */

static bool heap_put(mm__encode *e, uint64_t v)
{
    if (!mm__grow(e->mem, &e->heap, e->n_heap, &e->cap_heap, sizeof *e->heap)) return false;
    size_t i = e->n_heap++;
    while (i && e->heap[(i - 1) / 2] > v) {
        e->heap[i] = e->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    e->heap[i] = v;
    return true;
}

static uint64_t heap_take(mm__encode *e)
{
    uint64_t top = e->heap[0], v = e->heap[--e->n_heap];
    size_t i = 0, n = e->n_heap;
    for (size_t k; (k = 2 * i + 1) < n; i = k) {
        if (k + 1 < n && e->heap[k + 1] < e->heap[k]) k++;
        if (e->heap[k] >= v) break;
        e->heap[i] = e->heap[k];
    }
    e->heap[i] = v;
    return top;
}

/* ---- encoding ---- */

/* Looks up what symbol i gives with its right neighbour and queues it. */
static bool queue_pair(mm__encode *e, const char *s, uint32_t i)
{
    const mm__bpe *b = &e->t->bpe;
    mm__sym *a = &e->sym[i];
    a->rank = MM__NO_RANK;
    if (a->next == NONE) return true;
    const mm__sym *c = &e->sym[a->next];
    if (b->rank) {
        size_t n = (size_t)a->len + c->len;
        if (n > b->max_len) return true;
        int32_t id = mm__tokens_find(&e->t->tokens, s + a->off, n);
        if (id < 0 || b->rank[id] == MM__NO_RANK) return true;
        a->rank = b->rank[id];
        a->to = id;
    } else {
        if (a->id < 0 || c->id < 0 || !b->pair_key) return true;
        uint64_t key = pair_key(a->id, c->id);
        size_t k = pair_slot(b, key);
        while (b->pair_key[k] && b->pair_key[k] != key) k = (k + 1) & b->pair_mask;
        if (!b->pair_key[k]) return true;
        a->rank = b->pair[k].rank;
        a->to = b->pair[k].id;
    }
    return heap_put(e, (uint64_t)a->rank << 32 | i);
}

static bool merge_all(mm__encode *e, const char *s)
{
    e->n_heap = 0;
    for (size_t i = 0; i < e->n_sym; i++)
        if (!queue_pair(e, s, (uint32_t)i)) return false;
    while (e->n_heap) {
        uint64_t top = heap_take(e);
        uint32_t i = (uint32_t)top, next;
        mm__sym *a = &e->sym[i];
        if (a->rank != (uint32_t)(top >> 32) || a->rank == MM__NO_RANK) continue;
        mm__sym *c = &e->sym[a->next];
        next = c->next;
        a->id = a->to;
        a->len += c->len;
        a->next = next;
        c->rank = MM__NO_RANK;
        c->len = 0;
        if (next != NONE) e->sym[next].prev = i;
        if (!queue_pair(e, s, i)) return false;
        if (a->prev != NONE && !queue_pair(e, s, a->prev)) return false;
    }
    return true;
}

static bool push_sym(mm__encode *e, int32_t id, size_t off, size_t len)
{
    if (!mm__grow(e->mem, &e->sym, e->n_sym, &e->cap_sym, sizeof *e->sym)) return false;
    uint32_t i = (uint32_t)e->n_sym++;
    e->sym[i] = (mm__sym){.prev = i ? i - 1 : NONE, .next = NONE, .off = (uint32_t)off, .len = (uint32_t)len, .id = id,
                          .rank = MM__NO_RANK, .to = -1};
    if (i) e->sym[i - 1].next = i;
    return true;
}

static bool symbols_of_bytes(mm__encode *e, const char *s, size_t n)
{
    const mm__bpe *b = &e->t->bpe;
    for (size_t i = 0; i < n; i++) {
        int32_t id = (i + 1 == n ? b->byte_last : b->byte_id)[(uint8_t)s[i]];
        if (id < 0) id = b->unk;
        if (id < 0 && !b->rank) continue; /* no such letter and nothing to say instead: dropped */
        if (!push_sym(e, id, i, 1)) return false;
    }
    return true;
}

/* Length of the character at s; merging by spelling, a broken one extends as far as its lead byte announces and ends up in
 * byte tokens as a whole (SentencePiece vocabularies are commonly read that way). */
static size_t char_length(const mm__bpe *b, const char *s, size_t n)
{
    uint32_t cp;
    size_t k = mm__char_at(s, n, &cp);
    uint8_t lead = (uint8_t)s[0];
    if (k > 1 || lead < 0xC0 || !b->rank) return k;
    k = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    return k < n ? k : n;
}

/* Id of one character with its affixes, -1 when the vocabulary lacks it. */
static int32_t char_id(mm__encode *e, const char *s, size_t n, bool first, bool last)
{
    const mm__bpe *b = &e->t->bpe;
    if ((first || !b->prefix.n) && (!last || !b->suffix.n)) return find_usable(e->t, s, n);
    mm__buf_clear(&e->word);
    if (!first) mm__buf_put(&e->word, b->prefix.s, b->prefix.n);
    mm__buf_put(&e->word, s, n);
    if (last) mm__buf_put(&e->word, b->suffix.s, b->suffix.n);
    return e->word.failed ? -1 : find_usable(e->t, mm__buf_str(&e->word), e->word.len);
}

static bool symbols_of_chars(mm__encode *e, const char *s, size_t n)
{
    const mm__bpe *b = &e->t->bpe;
    for (size_t i = 0, k; i < n; i += k) {
        k = char_length(b, s + i, n - i);
        int32_t id = char_id(e, s + i, k, i == 0, i + k == n);
        if (e->word.failed) return false;
        if (id >= 0 || b->rank) { /* by concatenation an unknown character may still become part of a token */
            if (!push_sym(e, id, i, k)) return false;
        } else if (b->byte_fallback && mm__bytes_known(b->byte_id, s + i, k)) {
            for (size_t j = 0; j < k; j++)
                if (!push_sym(e, b->byte_id[(uint8_t)s[i + j]], i + j, 1)) return false;
        } else if (b->unk >= 0 && !(b->fuse_unk && e->n_sym && e->sym[e->n_sym - 1].id == b->unk)) {
            if (!push_sym(e, b->unk, i, k)) return false;
        }
    }
    return true;
}

static bool put_symbols(mm__encode *e, const char *s)
{
    const mm__bpe *b = &e->t->bpe;
    bool was_unk = false;
    for (uint32_t i = 0; e->n_sym && i != NONE; i = e->sym[i].next) {
        const mm__sym *a = &e->sym[i];
        if (a->id >= 0) {
            if (!mm__ids_push(e->out, a->id)) return false;
            was_unk = false;
        } else if (b->byte_fallback && mm__bytes_known(b->byte_id, s + a->off, a->len)) {
            for (uint32_t j = 0; j < a->len; j++)
                if (!mm__ids_push(e->out, b->byte_id[(uint8_t)s[a->off + j]])) return false;
            was_unk = false;
        } else if (b->unk >= 0 && !(b->fuse_unk && was_unk)) {
            if (!mm__ids_push(e->out, b->unk)) return false;
            was_unk = true;
        }
    }
    return true;
}

mm_status mm__bpe_encode(mm__encode *e, const char *s, size_t n)
{
    const mm__bpe *b = &e->t->bpe;
    if (b->ignore_merges) {
        const char *w = s;
        size_t len = n;
        if (b->letters) {
            mm__buf_clear(&e->word);
            mm__buf_put_letters(&e->word, s, n);
            if (e->word.failed) return mm__nomem(e->err, "encoding text");
            w = mm__buf_str(&e->word);
            len = e->word.len;
        }
        int32_t id = len <= b->max_len ? find_usable(e->t, w, len) : -1;
        if (id >= 0) return mm__ids_push(e->out, id) ? MM_OK : mm__nomem(e->err, "token ids");
    }
    e->n_sym = 0;
    bool ok = (b->letters || b->bytes) ? symbols_of_bytes(e, s, n) : symbols_of_chars(e, s, n);
    ok = ok && merge_all(e, s) && put_symbols(e, s);
    return ok ? MM_OK : mm__nomem(e->err, "encoding text");
}

size_t mm__word_cut(const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        const char *hit = n - i >= MM__META_LEN ? memmem(s + i, n - i, MM__META, MM__META_LEN) : NULL;
        if (!hit) return n;
        size_t at = (size_t)(hit - s);
        if (at && (at < MM__META_LEN || memcmp(hit - MM__META_LEN, MM__META, MM__META_LEN) != 0)) return at;
        i = at + MM__META_LEN;
    }
    return n;
}

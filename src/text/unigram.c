/* Unigram language model (Kudo 2018): of all ways to cut a piece into vocabulary entries, the one with the largest sum
 * of log-probabilities. Viterbi over byte positions with a trie for the entries that start at each one; a character that
 * no single entry covers may become the unknown token at the price of (smallest score - 10). Among equal sums the first
 * one found stays. Neighbouring unknown characters fuse, or are spelled in bytes when the vocabulary has them. */
#include "tokenizer_impl.h"

static mm_status viterbi(mm__encode *e, const char *s, size_t n)
{
    const mm__unigram *u = &e->t->unigram;
    if (n + 1 > e->cap_best) {
        size_t cap = n + 1 > 256 ? n + 1 : 256, bytes;
        struct mm__best *p = mm__ckd_mul(cap, sizeof *p, &bytes) ? mm__realloc(e->mem, e->best, bytes) : NULL;
        if (!p) return mm__nomem(e->err, "encoding text");
        e->best = p;
        e->cap_best = cap;
    }
    struct mm__best *best = e->best;
    for (size_t i = 0; i <= n; i++) best[i] = (struct mm__best){.score = 0, .from = UINT32_MAX, .id = -1};
    best[0].from = 0;
    uint32_t cp;
    for (size_t i = 0, k; i < n; i += k) {
        k = mm__char_at(s + i, n - i, &cp);
        bool single = false;
        uint32_t node = 0;
        for (size_t j = i; j < n; j++) {
            node = mm__trie_step(&u->trie, node, (uint8_t)s[j]);
            if (!node) break;
            int32_t id = u->trie.value[node];
            if (id < 0) continue;
            double score = best[i].score + u->score[id];
            struct mm__best *to = &best[j + 1];
            if (to->from == UINT32_MAX || score > to->score) *to = (struct mm__best){score, (uint32_t)i, id};
            if (j + 1 - i == k) single = true;
        }
        double score = best[i].score + u->unk_score;
        if (!single && (best[i + k].from == UINT32_MAX || score > best[i + k].score))
            best[i + k] = (struct mm__best){score, (uint32_t)i, -1};
    }
    return MM_OK;
}

/* Ids of the best path. The chain leads backwards, so it is collected in reverse and turned round. */
mm_status mm__unigram_encode(mm__encode *e, const char *s, size_t n)
{
    const mm__unigram *u = &e->t->unigram;
    mm_status st = viterbi(e, s, n);
    if (st != MM_OK) return st;
    size_t first = e->out->len;
    bool ok = true, was_unk = false;
    for (size_t i = n; i && ok; i = e->best[i].from) {
        int32_t id = e->best[i].id;
        if (id >= 0) {
            ok = mm__ids_push(e->out, id);
        } else if (u->byte_fallback && mm__bytes_known(u->byte_id, s + e->best[i].from, i - e->best[i].from)) {
            for (size_t j = i; j > e->best[i].from && ok; j--) ok = mm__ids_push(e->out, u->byte_id[(uint8_t)s[j - 1]]);
        } else if (u->unk >= 0 && !was_unk) {
            ok = mm__ids_push(e->out, u->unk);
        }
        was_unk = id < 0;
    }
    if (!ok) return mm__nomem(e->err, "token ids");
    int32_t *a = e->out->data;
    for (size_t i = first, j = e->out->len; i + 1 < j; i++, j--) {
        int32_t t = a[i];
        a[i] = a[j - 1];
        a[j - 1] = t;
    }
    return MM_OK;
}

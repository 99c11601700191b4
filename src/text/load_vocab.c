/* A tokenizer from a neutral vocabulary (mm__vocab), as GGUF keys and speech files give it. What such files leave unsaid
 * follows from the model kind:
 *
 *   kind       merges                 normaliser                         around a text
 *   SPM        by score, by spelling  blanks as U+2581, dummy prefix     bos
 *   BPE        table, or ids as rank  none (or the pre-tokenizer's)      nothing
 *   WORDPIECE  longest match          BERT clean-up, lower case          cls, sep
 *   UNIGRAM    Viterbi                character map, blanks collapsed    eos
 *
 * Token types decide who may be spelled by user text: control and unknown pieces never, user-defined pieces always. */
#include "tokenizer_impl.h"

typedef struct loader {
    mm__tokenizer *t;
    const mm__vocab *v;
    const mm__vocab_extra *extra;
    const char *what;
    mm_error *err;
} loader;

static int type_of(const mm__vocab *v, size_t i) { return v->types ? v->types[i] : MM__TOK_NORMAL; }
static bool flag(int value, bool otherwise) { return value < 0 ? otherwise : value != 0; }

static unsigned attr_of(int type)
{
    switch (type) {
    case MM__TOK_CONTROL: case MM__TOK_UNKNOWN: return MM__ATTR_SPECIAL | MM__ATTR_ADDED;
    case MM__TOK_USER: return MM__ATTR_ADDED;
    case MM__TOK_UNUSED: return MM__ATTR_HIDDEN;
    case MM__TOK_BYTE: return MM__ATTR_BYTE;
    default: return 0;
    }
}

static mm_status load_tokens(const loader *l, bool to_bytes)
{
    const mm__vocab *v = l->v;
    mm__tokenizer *t = l->t;
    size_t bytes = 0;
    mm_status st = MM_OK;
    mm__buf raw;
    if (!v->n) return mm__fail(l->err, MM_E_FORMAT, "%s: the tokenizer has no tokens", l->what);
    if ((st = mm__limit_check(t->mem, MM__LIMIT_VOCABULARY, v->n, l->what, l->err)) != MM_OK) return st;
    for (size_t i = 0; i < v->n; bytes += v->token_len[i++])
        if (v->token_len[i] > MM__TOKEN_MAX)
            return mm__fail(l->err, MM_E_LIMIT, "%s: token %zu has %zu bytes; at most %zu are supported", l->what, i, v->token_len[i], MM__TOKEN_MAX);
    if (!mm__tokens_init(&t->tokens, t->mem, v->n, bytes)) return mm__nomem(l->err, "the vocabulary");
    mm__buf_init(&raw, t->mem);
    for (size_t i = 0; i < v->n && st == MM_OK; i++) {
        unsigned attr = attr_of(type_of(v, i));
        const char *s = v->tokens[i];
        size_t n = v->token_len[i];
        mm__buf_clear(&raw);
        if (to_bytes && mm__buf_put_spelled(&raw, s, n)) {
            s = mm__buf_str(&raw);
            n = raw.len;
        }
        if (raw.failed || !mm__tokens_put(&t->tokens, (int32_t)i, s, n, attr)) st = mm__nomem(l->err, "the vocabulary");
        if (st == MM_OK && (attr & MM__ATTR_ADDED)) {
            mm__added_token a = {.id = (int32_t)i, .special = (attr & MM__ATTR_SPECIAL) != 0};
            if (l->extra && l->extra->strip) {
                a.lstrip = (l->extra->strip[i] & 1) != 0;
                a.rstrip = (l->extra->strip[i] & 2) != 0;
            }
            if (!mm__tokenizer_add_added(t, a)) st = mm__nomem(l->err, "added tokens");
        }
    }
    mm__buf_free(&raw);
    return st;
}

/* Larger scores are better: turns them into ranks where smaller is better, keeping order and equality. */
static uint32_t rank_of_score(float score)
{
    float f = 0.0f - score;
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u & 0x80000000u ? ~u : u | 0x80000000u;
}

/* Ranks for merging by concatenation: from scores, or ids when there are none. */
static mm_status load_ranks(const loader *l)
{
    mm__bpe *b = &l->t->bpe;
    b->rank = mm__calloc(l->t->mem, l->v->n, sizeof *b->rank);
    if (!b->rank) return mm__nomem(l->err, "the vocabulary");
    for (size_t i = 0; i < l->v->n; i++) {
        bool out = (l->t->tokens.attr[i] & (MM__ATTR_SPECIAL | MM__ATTR_HIDDEN | MM__ATTR_BYTE)) != 0;
        if (l->v->scores && l->v->scores[i] != l->v->scores[i]) out = true;
        b->rank[i] = out ? MM__NO_RANK : l->v->scores ? rank_of_score(l->v->scores[i]) : (uint32_t)i;
    }
    return MM_OK;
}

static mm_status load_merges(const loader *l)
{
    mm__tokenizer *t = l->t;
    const mm__vocab *v = l->v;
    mm__buf both;
    if (v->n_merges > UINT32_MAX - 2) return mm__fail(l->err, MM_E_LIMIT, "%s: too many merges", l->what);
    mm_status st = mm__bpe_reserve(t, v->n_merges, l->err);
    mm__buf_init(&both, t->mem);
    for (size_t i = 0; i < v->n_merges && st == MM_OK; i++) {
        const char *s = v->merges[i];
        size_t n = v->merge_len[i];
        const char *cut = n > 2 ? memchr(s + 1, ' ', n - 1) : NULL;
        if (!cut) {
            st = mm__fail(l->err, MM_E_FORMAT, "%s: merge %zu is not a pair", l->what, i);
            break;
        }
        size_t left = (size_t)(cut - s), right = n - left - 1;
        mm__buf_clear(&both);
        mm__buf_put(&both, s, left);
        mm__buf_put(&both, cut + 1, right);
        if (both.failed) st = mm__nomem(l->err, "merges");
        int32_t a = mm__tokens_find(&t->tokens, s, left), c = mm__tokens_find(&t->tokens, cut + 1, right);
        int32_t to = st == MM_OK ? mm__tokens_find(&t->tokens, mm__buf_str(&both), both.len) : -1;
        if (a >= 0 && c >= 0 && to >= 0) mm__bpe_add_merge(t, a, c, to, (uint32_t)i);
    }
    mm__buf_free(&both);
    return st;
}

/* Decoding of U+2581 vocabularies: blanks, bytes, and no blank in front of the text when a prefix put one there. */
static bool meta_decoder(mm__tokenizer *t, bool bytes, bool prefix)
{
    mm__decode *op = mm__tokenizer_add_decode(t, MM__DECODE_REPLACE);
    bool ok = op && mm__text_set(t->mem, &op->pattern, MM__META, MM__META_LEN) && mm__text_set(t->mem, &op->content, " ", 1);
    if (bytes) ok = ok && mm__tokenizer_add_decode(t, MM__DECODE_BYTES);
    if (!ok || !prefix) return ok;
    op = mm__tokenizer_add_decode(t, MM__DECODE_STRIP);
    if (op) op->n = 1;
    return op && mm__text_set(t->mem, &op->pattern, " ", 1);
}

static mm_status spm_norm(const loader *l, bool prefix, bool collapse)
{
    if (l->extra && l->extra->lower && !mm__tokenizer_add_norm(l->t, MM__NORM_LOWER)) return mm__nomem(l->err, "a normalizer");
    if (l->extra && l->extra->plain && !mm__tokenizer_add_norm(l->t, MM__NORM_PLAIN)) return mm__nomem(l->err, "a normalizer");
    mm__norm *op = mm__tokenizer_add_norm(l->t, MM__NORM_SPM);
    if (!op) return mm__nomem(l->err, "a normalizer");
    op->a = prefix;
    op->b = collapse;
    if (!l->v->charsmap || !l->v->charsmap_len) return MM_OK;
    return mm__charsmap_init(&op->map, l->t->mem, l->v->charsmap, l->v->charsmap_len, l->what, l->err);
}

static mm_status load_spm(const loader *l)
{
    mm__tokenizer *t = l->t;
    const mm__vocab *v = l->v;
    bool prefix = flag(v->add_space_prefix, true);
    t->kind = MM__MODEL_BPE;
    t->bpe.unk = v->unk;
    t->bpe.fuse_unk = true;
    t->bpe.byte_fallback = true; /* for the characters whose bytes are all there */
    if (!v->scores) return mm__fail(l->err, MM_E_FORMAT, "%s: a SentencePiece vocabulary needs scores", l->what);
    mm_status st = load_ranks(l);
    if (st == MM_OK) st = spm_norm(l, prefix, flag(v->remove_extra_spaces, false));
    if (st == MM_OK) st = mm__bpe_finish(t, l->err);
    if (st != MM_OK) return st;
    t->keeps_bytes = mm__bytes_complete(t->bpe.byte_id) && t->n_norm == 1 && mm__norm_keeps_bytes(&t->norm[0]);
    return meta_decoder(t, true, prefix) ? MM_OK : mm__nomem(l->err, "a decoder");
}

static mm_status load_bpe(const loader *l)
{
    mm__tokenizer *t = l->t;
    t->kind = MM__MODEL_BPE;
    t->bpe.unk = l->v->unk >= 0 && (t->tokens.attr[l->v->unk] & MM__ATTR_SPECIAL) ? -1 : l->v->unk;
    t->bpe.bytes = l->v->raw_bytes || !l->v->merges;
    t->bpe.letters = !t->bpe.bytes;
    mm_status st = mm__load_pre_name(t, l->v->pre, l->what, l->v->raw_bytes, l->err);
    if (st == MM_OK) st = l->v->merges ? load_merges(l) : load_ranks(l);
    if (st == MM_OK) st = mm__bpe_finish(t, l->err);
    if (st == MM_OK && t->bpe.letters && !mm__tokenizer_add_decode(t, MM__DECODE_LETTERS)) st = mm__nomem(l->err, "a decoder");
    return st;
}

static mm_status load_unigram(const loader *l)
{
    mm__tokenizer *t = l->t;
    const mm__vocab *v = l->v;
    mm__unigram *u = &t->unigram;
    double min = 0;
    bool any = false, prefix = flag(v->add_space_prefix, true), whole = true, meta = false;
    t->kind = MM__MODEL_UNIGRAM;
    u->unk = v->unk;
    u->byte_fallback = true;
    memset(u->byte_id, 0xFF, sizeof u->byte_id);
    if (!v->scores) return mm__fail(l->err, MM_E_FORMAT, "%s: a unigram vocabulary needs scores", l->what);
    u->score = mm__calloc(t->mem, v->n, sizeof *u->score);
    if (!u->score || !mm__trie_init(&u->trie, t->mem, t->tokens.pool.len)) return mm__nomem(l->err, "the vocabulary");
    for (size_t i = 0; i < v->n; i++) {
        size_t n;
        const char *s = mm__tokens_str(&t->tokens, (int32_t)i, &n);
        int byte = (t->tokens.attr[i] & MM__ATTR_BYTE) ? mm__byte_token(s, n) : -1;
        if (byte >= 0) u->byte_id[byte] = (int32_t)i;
        if (t->tokens.attr[i] & (MM__ATTR_SPECIAL | MM__ATTR_HIDDEN | MM__ATTR_BYTE)) continue;
        u->score[i] = (double)v->scores[i];
        if (!any || u->score[i] < min) min = u->score[i];
        any = true;
        if (n == MM__META_LEN && !memcmp(s, MM__META, MM__META_LEN)) meta = true;
        if (mm__word_cut(s, n) < n) whole = false;
        if (!mm__trie_put(&u->trie, s, n, (int32_t)i)) return mm__nomem(l->err, "the vocabulary");
    }
    u->unk_score = min - 10.0;
    u->word_cuts = whole && meta;
    mm_status st = spm_norm(l, prefix, flag(v->remove_extra_spaces, true));
    if (st != MM_OK) return st;
    return meta_decoder(t, true, prefix) ? MM_OK : mm__nomem(l->err, "a decoder");
}

static mm_status load_wordpiece(const loader *l)
{
    mm__tokenizer *t = l->t;
    mm__wordpiece *w = &t->wordpiece;
    t->kind = MM__MODEL_WORDPIECE;
    w->unk = l->v->unk;
    w->max_chars = 100;
    if (!mm__trie_init(&w->start, t->mem, t->tokens.pool.len) || !mm__trie_init(&w->inner, t->mem, t->tokens.pool.len / 4))
        return mm__nomem(l->err, "the vocabulary");
    for (size_t i = 0; i < l->v->n; i++) {
        size_t n;
        const char *s = mm__tokens_str(&t->tokens, (int32_t)i, &n);
        if (t->tokens.attr[i] & (MM__ATTR_SPECIAL | MM__ATTR_HIDDEN)) continue;
        bool first = n > MM__META_LEN && !memcmp(s, MM__META, MM__META_LEN);
        if (!(first ? mm__trie_put(&w->start, s + MM__META_LEN, n - MM__META_LEN, (int32_t)i)
                    : mm__trie_put(&w->inner, s, n, (int32_t)i)))
            return mm__nomem(l->err, "the vocabulary");
    }
    mm__norm *norm = mm__tokenizer_add_norm(t, MM__NORM_BERT);
    mm__pretok *space = mm__tokenizer_add_pretok(t), *punct = mm__tokenizer_add_pretok(t);
    if (!norm || !space || !punct) return mm__nomem(l->err, "a normalizer");
    norm->a = norm->b = norm->c = norm->d = true;
    *space = (mm__pretok){.cut = true, .match = MM__MATCH_SPACE, .behavior = MM__REMOVED};
    *punct = (mm__pretok){.cut = true, .match = MM__MATCH_PUNCT, .behavior = MM__ISOLATED};
    return meta_decoder(t, false, true) ? MM_OK : mm__nomem(l->err, "a decoder");
}

static mm_status load_around(const loader *l)
{
    mm__tokenizer *t = l->t;
    const mm__vocab *v = l->v;
    t->bos = v->bos;
    t->eos = v->eos;
    t->unk = v->unk;
    t->pad = v->pad;
    t->cls = v->cls;
    t->sep = v->sep;
    if (v->model == MM__VOCAB_WORDPIECE) {
        int32_t cls = v->cls >= 0 ? v->cls : v->bos, sep = v->sep >= 0 ? v->sep : v->eos;
        t->cls = cls;
        t->sep = sep;
        const bool ok = mm__tokenizer_simple_post(t, flag(v->add_bos, true) ? cls : -1, flag(v->add_eos, true) ? sep : -1);
        return ok ? MM_OK : mm__nomem(l->err, "a post-processor");
    }
    bool bos = flag(v->add_bos, v->model == MM__VOCAB_SPM || t->bpe.ignore_merges);
    bool eos = flag(v->add_eos, v->model == MM__VOCAB_UNIGRAM);
    return mm__tokenizer_simple_post(t, bos ? v->bos : -1, eos ? v->eos : -1) ? MM_OK : mm__nomem(l->err, "a post-processor");
}

static mm_status check_ids(const loader *l)
{
    const mm__vocab *v = l->v;
    const int32_t ids[] = {v->bos, v->eos, v->unk, v->pad, v->cls, v->sep};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        if (ids[i] < -1 || (ids[i] >= 0 && (size_t)ids[i] >= v->n))
            return mm__fail(l->err, MM_E_FORMAT, "%s: special token id %d lies outside the %zu tokens", l->what, (int)ids[i], v->n);
    return MM_OK;
}

mm_status mm__tokenizer_from_vocab_extra(mm__mem *mem, const mm__vocab *vocab, const mm__vocab_extra *extra, const char *what,
                                         mm__tokenizer **out, mm_error *err)
{
    mm__tokenizer *t = NULL;
    mm_status st = mm__tokenizer_new(mem, &t, err);
    if (st != MM_OK) return st;
    loader l = {.t = t, .v = vocab, .extra = extra, .what = what, .err = err};
    st = check_ids(&l);
    if (st == MM_OK) st = load_tokens(&l, vocab->model == MM__VOCAB_BPE && !vocab->raw_bytes && !vocab->merges);
    if (st != MM_OK) goto done;
    switch (vocab->model) {
    case MM__VOCAB_SPM: st = load_spm(&l); break;
    case MM__VOCAB_BPE: st = load_bpe(&l); break;
    case MM__VOCAB_WORDPIECE: st = load_wordpiece(&l); break;
    case MM__VOCAB_UNIGRAM: st = load_unigram(&l); break;
    default: st = mm__fail(err, MM_E_UNSUPPORTED, "%s: vocabulary kind %d is not supported", what, vocab->model);
    }
    if (st == MM_OK) st = load_around(&l);
    if (st == MM_OK) st = mm__added_build(t, err);
done:
    if (st != MM_OK) mm__tokenizer_destroy(t);
    else *out = t;
    return st;
}

mm_status mm__tokenizer_from_vocab(mm__mem *mem, const mm__vocab *vocab, const char *what, mm__tokenizer **out, mm_error *err)
{
    return mm__tokenizer_from_vocab_extra(mem, vocab, NULL, what, out, err);
}

/* tokenizer.json: vocabulary, merges, added tokens; the stages are read in load_json_ops.c. Order matters: ids and
 * spellings first, then which of them are special, then the model tables (which leave special pieces out). Everything is
 * untrusted: ids are range-checked against the size of the document's own lists before anything is allocated by them. */
#include "tokenizer_impl.h"

typedef struct loader {
    mm__tokenizer *t;
    const mm__json *doc, *model, *config;
    const char *what;
    mm_error *err;
} loader;

static const char *model_type(const loader *l)
{
    const char *type = mm__json_str(mm__json_get(l->model, "type"), NULL, NULL);
    if (type) return type;
    if (mm__json_get(l->model, "merges")) return "BPE"; /* old files leave the type out */
    if (mm__json_kind(mm__json_get(l->model, "vocab")) == MM__JSON_ARRAY) return "Unigram";
    return "WordPiece";
}

/* Largest id + 1 over vocabulary and added tokens. Files number densely; a wide gap is damage, not data. */
static mm_status count_ids(const loader *l, size_t *out, size_t *bytes)
{
    const mm__json *vocab = mm__json_get(l->model, "vocab"), *added = mm__json_get(l->doc, "added_tokens");
    size_t n = mm__json_count(vocab), m = mm__json_count(added), key_len, entries = 0;
    int64_t top = -1;
    const int64_t ids = (int64_t)mm__limit(l->t->mem, MM__LIMIT_VOCABULARY);
    if (!mm__ckd_add(n, m, &entries) || entries > (size_t)ids) return mm__limit_fail(l->t->mem, MM__LIMIT_VOCABULARY, l->what, l->err);
    *bytes = 0;
    for (size_t i = 0; i < n; i++) {
        const char *key;
        int64_t id = (int64_t)i;
        if (mm__json_kind(vocab) == MM__JSON_OBJECT) {
            id = mm__json_int(mm__json_member(vocab, i, &key, &key_len), -1);
            *bytes += key_len;
        }
        if (id < 0 || id >= ids) return mm__fail(l->err, MM_E_FORMAT, "%s: vocabulary entry %zu has no valid id", l->what, i);
        if (id > top) top = id;
    }
    for (size_t i = 0; i < m; i++) {
        int64_t id = mm__json_int(mm__json_get(mm__json_at(added, i), "id"), -1);
        if (id < 0 || id >= ids) return mm__fail(l->err, MM_E_FORMAT, "%s: added token %zu has no valid id", l->what, i);
        if (id > top) top = id;
    }
    if (top < 0) return mm__fail(l->err, MM_E_FORMAT, "%s: the model has no vocabulary", l->what);
    if ((size_t)top > entries * 4 + 65536)
        return mm__fail(l->err, MM_E_FORMAT, "%s: id %lld is far beyond the %zu entries", l->what, (long long)top, entries);
    *out = (size_t)top + 1;
    return MM_OK;
}

static mm_status put_token(const loader *l, int32_t id, const char *s, size_t n, unsigned attr)
{
    if (n > MM__TOKEN_MAX)
        return mm__fail(l->err, MM_E_LIMIT, "%s: token %d has %zu bytes; at most %zu are supported", l->what, (int)id, n, MM__TOKEN_MAX);
    return mm__tokens_put(&l->t->tokens, id, s, n, attr) ? MM_OK : mm__nomem(l->err, "the vocabulary");
}

static mm_status load_vocab(const loader *l)
{
    const mm__json *vocab = mm__json_get(l->model, "vocab");
    bool pairs = mm__json_kind(vocab) == MM__JSON_ARRAY;
    size_t n = mm__json_count(vocab), len;
    mm_status st = MM_OK;
    for (size_t i = 0; i < n && st == MM_OK; i++) {
        const char *s = NULL;
        int64_t id = (int64_t)i;
        len = 0;
        if (pairs) s = mm__json_str(mm__json_at(mm__json_at(vocab, i), 0), &len, NULL);
        else id = mm__json_int(mm__json_member(vocab, i, &s, &len), -1);
        if (!s) return mm__fail(l->err, MM_E_FORMAT, "%s: vocabulary entry %zu has no spelling", l->what, i);
        st = put_token(l, (int32_t)id, s, len, 0);
    }
    return st;
}

static mm_status load_added(const loader *l)
{
    const mm__json *list = mm__json_get(l->doc, "added_tokens");
    for (size_t i = 0; i < mm__json_count(list); i++) {
        const mm__json *v = mm__json_at(list, i);
        size_t n = 0;
        const char *s = mm__json_str(mm__json_get(v, "content"), &n, NULL);
        if (!s) return mm__fail(l->err, MM_E_FORMAT, "%s: added token %zu has no content", l->what, i);
        mm__added_token a = {.id = (int32_t)mm__json_int(mm__json_get(v, "id"), -1),
                             .special = mm__json_bool(mm__json_get(v, "special"), false),
                             .single_word = mm__json_bool(mm__json_get(v, "single_word"), false),
                             .lstrip = mm__json_bool(mm__json_get(v, "lstrip"), false),
                             .rstrip = mm__json_bool(mm__json_get(v, "rstrip"), false)};
        a.normalized = mm__json_bool(mm__json_get(v, "normalized"), !a.special);
        unsigned attr = MM__ATTR_ADDED | (a.special ? MM__ATTR_SPECIAL : 0);
        if (!(l->t->tokens.attr[a.id] & MM__ATTR_PRESENT)) attr |= MM__ATTR_HIDDEN;
        mm_status st = put_token(l, a.id, s, n, attr);
        if (st != MM_OK) return st;
        if (!mm__tokenizer_add_added(l->t, a)) return mm__nomem(l->err, "added tokens");
    }
    return MM_OK;
}

/* ---- models ---- */

/* A merge is "left right" or ["left", "right"]. */
static mm_status load_merge(const loader *l, const mm__json *v, size_t rank, mm__buf *both)
{
    mm__tokens *tok = &l->t->tokens;
    size_t n = 0, m = 0;
    const char *a, *b;
    if (mm__json_kind(v) == MM__JSON_ARRAY) {
        a = mm__json_str(mm__json_at(v, 0), &n, NULL);
        b = mm__json_str(mm__json_at(v, 1), &m, NULL);
    } else {
        a = mm__json_str(v, &n, NULL);
        b = a ? memchr(a, ' ', n) : NULL;
        if (b) {
            m = n - (size_t)(b - a) - 1;
            n = (size_t)(b - a);
            b++;
        }
    }
    if (!a || !b) return mm__fail(l->err, MM_E_FORMAT, "%s: merge %zu is not a pair", l->what, rank);
    int32_t left = mm__tokens_find(tok, a, n), right = mm__tokens_find(tok, b, m);
    size_t skip = l->t->bpe.prefix.n <= m ? l->t->bpe.prefix.n : 0;
    mm__buf_clear(both);
    mm__buf_put(both, a, n);
    mm__buf_put(both, b + skip, m - skip);
    if (both->failed) return mm__nomem(l->err, "merges");
    int32_t to = mm__tokens_find(tok, mm__buf_str(both), both->len);
    if (left < 0 || right < 0 || to < 0)
        return mm__fail(l->err, MM_E_FORMAT, "%s: merge %zu uses a piece that is not in the vocabulary", l->what, rank);
    mm__bpe_add_merge(l->t, left, right, to, (uint32_t)rank);
    return MM_OK;
}

static mm_status load_bpe(const loader *l, bool letters)
{
    mm__tokenizer *t = l->t;
    mm__bpe *b = &t->bpe;
    const mm__json *merges = mm__json_get(l->model, "merges");
    size_t n = mm__json_count(merges), len;
    mm__buf both;
    const char *s = mm__json_str(mm__json_get(l->model, "unk_token"), &len, NULL);
    t->kind = MM__MODEL_BPE;
    b->letters = letters;
    b->unk = s ? mm__tokens_find(&t->tokens, s, len) : -1;
    t->unk = b->unk;
    b->byte_fallback = mm__json_bool(mm__json_get(l->model, "byte_fallback"), false);
    b->fuse_unk = mm__json_bool(mm__json_get(l->model, "fuse_unk"), false);
    b->ignore_merges = mm__json_bool(mm__json_get(l->model, "ignore_merges"), false);
    s = mm__json_str(mm__json_get(l->model, "continuing_subword_prefix"), &len, NULL);
    if (s && len && !mm__text_set(t->mem, &b->prefix, s, len)) return mm__nomem(l->err, "the vocabulary");
    s = mm__json_str(mm__json_get(l->model, "end_of_word_suffix"), &len, NULL);
    if (s && len && !mm__text_set(t->mem, &b->suffix, s, len)) return mm__nomem(l->err, "the vocabulary");
    if (n > UINT32_MAX - 2) return mm__fail(l->err, MM_E_LIMIT, "%s: too many merges", l->what);
    mm_status st = mm__bpe_reserve(t, n, l->err);
    mm__buf_init(&both, t->mem);
    for (size_t i = 0; i < n && st == MM_OK; i++) st = load_merge(l, mm__json_at(merges, i), i, &both);
    mm__buf_free(&both);
    return st == MM_OK ? mm__bpe_finish(t, l->err) : st;
}

static mm_status load_unigram(const loader *l)
{
    mm__tokenizer *t = l->t;
    mm__unigram *u = &t->unigram;
    const mm__json *vocab = mm__json_get(l->model, "vocab");
    size_t n = mm__json_count(vocab);
    double min = 0;
    t->kind = MM__MODEL_UNIGRAM;
    if (mm__json_kind(vocab) != MM__JSON_ARRAY || n > t->tokens.n) /* places in the list are ids */
        return mm__fail(l->err, MM_E_FORMAT, "%s: the vocabulary of a Unigram model must be a list of [piece, score]", l->what);
    u->unk = (int32_t)mm__json_int(mm__json_get(l->model, "unk_id"), -1);
    if (u->unk < -1 || u->unk >= (int64_t)n) return mm__fail(l->err, MM_E_FORMAT, "%s: unk_id lies outside the vocabulary", l->what);
    t->unk = u->unk;
    u->byte_fallback = mm__json_bool(mm__json_get(l->model, "byte_fallback"), false);
    u->score = mm__calloc(t->mem, t->tokens.n, sizeof *u->score);
    if (!u->score || !mm__trie_init(&u->trie, t->mem, t->tokens.pool.len)) return mm__nomem(l->err, "the vocabulary");
    for (size_t i = 0; i < n; i++) {
        u->score[i] = mm__json_num(mm__json_at(mm__json_at(vocab, i), 1), 0);
        if (i == 0 || u->score[i] < min) min = u->score[i];
        if ((int32_t)i == u->unk || (t->tokens.attr[i] & MM__ATTR_SPECIAL)) continue;
        size_t len;
        const char *s = mm__tokens_str(&t->tokens, (int32_t)i, &len);
        if (!mm__trie_put(&u->trie, s, len, (int32_t)i)) return mm__nomem(l->err, "the vocabulary");
    }
    u->unk_score = min - 10.0;
    for (int i = 0; i < 256 && u->byte_fallback; i++) {
        static const char hex[] = "0123456789ABCDEF";
        char s[] = {'<', '0', 'x', hex[i >> 4], hex[i & 15], '>'};
        u->byte_id[i] = mm__tokens_find(&t->tokens, s, sizeof s);
    }
    return MM_OK;
}

static mm_status load_wordpiece(const loader *l)
{
    mm__tokenizer *t = l->t;
    mm__wordpiece *w = &t->wordpiece;
    size_t plen = 2, ulen = 5;
    const char *prefix = mm__json_str(mm__json_get(l->model, "continuing_subword_prefix"), &plen, "##");
    const char *unk = mm__json_str(mm__json_get(l->model, "unk_token"), &ulen, "[UNK]");
    if (!mm__json_get(l->model, "continuing_subword_prefix")) plen = 2;
    if (!mm__json_get(l->model, "unk_token")) ulen = 5;
    int64_t chars = mm__json_int(mm__json_get(l->model, "max_input_chars_per_word"), 100);
    t->kind = MM__MODEL_WORDPIECE;
    w->max_chars = chars > 0 && chars < 100000 ? (size_t)chars : 100;
    w->unk = t->unk = mm__tokens_find(&t->tokens, unk, ulen);
    if (!mm__trie_init(&w->start, t->mem, t->tokens.pool.len) || !mm__trie_init(&w->inner, t->mem, t->tokens.pool.len / 4))
        return mm__nomem(l->err, "the vocabulary");
    for (size_t i = 0; i < t->tokens.n; i++) {
        size_t n;
        const char *s = mm__tokens_str(&t->tokens, (int32_t)i, &n);
        if (!n || (t->tokens.attr[i] & (MM__ATTR_SPECIAL | MM__ATTR_HIDDEN))) continue;
        bool inner = plen && n > plen && !memcmp(s, prefix, plen);
        bool ok = mm__trie_put(&w->start, s, n, (int32_t)i);
        if (inner) ok = ok && mm__trie_put(&w->inner, s + plen, n - plen, (int32_t)i);
        else if (!plen) ok = ok && mm__trie_put(&w->inner, s, n, (int32_t)i);
        if (!ok) return mm__nomem(l->err, "the vocabulary");
    }
    return MM_OK;
}

/* ---- the rest ---- */

/* "bos_token": a string or {"content": ...}. */
static int32_t config_token(const loader *l, const char *key, int32_t otherwise)
{
    const mm__json *v = mm__json_get(l->config, key);
    size_t n = 0;
    if (mm__json_kind(v) == MM__JSON_OBJECT) v = mm__json_get(v, "content");
    const char *s = mm__json_str(v, &n, NULL);
    int32_t id = s ? mm__tokens_find(&l->t->tokens, s, n) : -1;
    return id >= 0 ? id : otherwise;
}

/* Names of tokens: what the configuration says, else what the template puts around a text. */
static void load_names(const loader *l)
{
    mm__tokenizer *t = l->t;
    int32_t front = -1, back = -1;
    for (size_t i = 0, seen = 0; i < t->n_post; i++) {
        if (t->post[i].text) seen = 1;
        else if (!seen && front < 0) front = t->post[i].id;
        else if (seen) back = t->post[i].id;
    }
    bool bert = t->kind == MM__MODEL_WORDPIECE;
    t->bos = config_token(l, "bos_token", bert || mm__json_kind(l->config) == MM__JSON_OBJECT ? -1 : front);
    t->eos = config_token(l, "eos_token", bert ? -1 : back);
    t->unk = config_token(l, "unk_token", t->unk);
    t->pad = config_token(l, "pad_token", -1);
    t->cls = config_token(l, "cls_token", bert ? front : -1);
    t->sep = config_token(l, "sep_token", bert ? back : -1);
}

static mm_status finish(const loader *l)
{
    mm__tokenizer *t = l->t;
    if (t->kind == MM__MODEL_BPE && t->bpe.suffix.n && t->n_decode && t->decode[0].kind == MM__DECODE_LETTERS) {
        /* the byte-level decoder leaves end-of-word marks; their meaning is a blank */
        t->decode[0].kind = MM__DECODE_SUFFIX;
        if (!mm__text_set(t->mem, &t->decode[0].content, t->bpe.suffix.s, t->bpe.suffix.n) ||
            !mm__tokenizer_add_decode(t, MM__DECODE_LETTERS))
            return mm__nomem(l->err, "a decoder");
    }
    if (!t->n_decode) { /* without a decoder the tokens are joined by blanks, as word pieces without a prefix are */
        mm__decode *op = mm__tokenizer_add_decode(t, MM__DECODE_WORDPIECE);
        if (!op || !mm__text_set(t->mem, &op->content, "", 0)) return mm__nomem(l->err, "a decoder");
    }
    load_names(l);
    if (!t->n_post) {
        int32_t bos = mm__json_bool(mm__json_get(l->config, "add_bos_token"), false) ? t->bos : -1;
        int32_t eos = mm__json_bool(mm__json_get(l->config, "add_eos_token"), false) ? t->eos : -1;
        if ((bos >= 0 || eos >= 0) && !mm__tokenizer_simple_post(t, bos, eos)) return mm__nomem(l->err, "a post-processor");
    }
    t->keeps_bytes = t->kind == MM__MODEL_BPE && t->bpe.byte_fallback && mm__bytes_complete(t->bpe.byte_id);
    for (size_t i = 0; i < t->n_norm; i++) t->keeps_bytes = t->keeps_bytes && mm__norm_keeps_bytes(&t->norm[i]);
    for (size_t i = 0; i < t->n_pretok; i++) t->keeps_bytes = t->keeps_bytes && t->pretok[i].match != MM__MATCH_REGEX;
    return mm__added_build(t, l->err);
}

mm_status mm__tokenizer_from_json(mm__mem *mem, const mm__json *doc, const mm__json *config, const char *what,
                                  mm__tokenizer **out, mm_error *err)
{
    mm__tokenizer *t = NULL;
    size_t n = 0, bytes = 0;
    bool letters = false;
    mm_status st = mm__tokenizer_new(mem, &t, err);
    if (st != MM_OK) return st;
    loader l = {.t = t, .doc = doc, .model = mm__json_get(doc, "model"), .config = config, .what = what, .err = err};
    const char *type = model_type(&l);
    st = count_ids(&l, &n, &bytes);
    if (st == MM_OK && !mm__tokens_init(&t->tokens, mem, n, bytes)) st = mm__nomem(err, "the vocabulary");
    if (st == MM_OK) st = load_vocab(&l);
    if (st == MM_OK) st = load_added(&l);
    if (st == MM_OK) st = mm__load_normalizer(t, mm__json_get(doc, "normalizer"), what, 0, err);
    if (st == MM_OK) st = mm__load_pretok(t, mm__json_get(doc, "pre_tokenizer"), what, 0, &letters, err);
    if (st != MM_OK) goto done;
    if (!strcmp(type, "BPE")) st = load_bpe(&l, letters);
    else if (!strcmp(type, "Unigram")) st = load_unigram(&l);
    else if (!strcmp(type, "WordPiece")) st = load_wordpiece(&l);
    else st = mm__fail(err, MM_E_UNSUPPORTED, "%s: the model type \"%s\" is not supported", what, type);
    if (st == MM_OK && letters && t->kind != MM__MODEL_BPE)
        st = mm__fail(err, MM_E_UNSUPPORTED, "%s: ByteLevel in front of a model that is not BPE", what);
    if (st == MM_OK) st = mm__load_post(t, mm__json_get(doc, "post_processor"), what, 0, err);
    if (st == MM_OK) st = mm__load_decoder(t, mm__json_get(doc, "decoder"), what, 0, err);
    if (st == MM_OK) st = finish(&l);
done:
    if (st != MM_OK) mm__tokenizer_destroy(t);
    else *out = t;
    return st;
}

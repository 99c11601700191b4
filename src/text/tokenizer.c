/* The pipeline: text in, ids out, and the small queries around it. Stages and models live in their own files; here is
 * the order in which they meet the text, the scratch memory of one call, and the life of the object.
 *
 * Cost: linear passes for every stage plus O(n log n) merging within a piece. Memory is proportional to the longest
 * piece, not to the number of pieces. */
#include "plain.h"
#include "tokenizer_impl.h"

/* ---- id lists ---- */

void mm__ids_init(mm__ids *ids, mm__mem *mem)
{
    memset(ids, 0, sizeof *ids);
    ids->mem = mem;
}

void mm__ids_free(mm__ids *ids)
{
    mm__free(ids->mem, ids->data);
    mm__ids_init(ids, ids->mem);
}

void mm__ids_clear(mm__ids *ids)
{
    ids->len = 0;
    ids->failed = false;
}

bool mm__ids_push(mm__ids *ids, int32_t id)
{
    if (ids->failed || !mm__grow(ids->mem, &ids->data, ids->len, &ids->cap, sizeof *ids->data)) {
        ids->failed = true;
        return false;
    }
    ids->data[ids->len++] = id;
    return true;
}

bool mm__ids_append(mm__ids *ids, const int32_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!mm__ids_push(ids, p[i])) return false;
    return !ids->failed;
}

/* ---- encoding ---- */

static mm_status encode_piece(mm__encode *e, const char *s, size_t n)
{
    switch (e->t->kind) {
    case MM__MODEL_BPE: return mm__bpe_encode(e, s, n);
    case MM__MODEL_UNIGRAM: return mm__unigram_encode(e, s, n);
    default: return mm__wordpiece_encode(e, s, n);
    }
}

mm_status mm__model_encode(mm__encode *e, const char *s, size_t n)
{
    const bool cuts = e->t->kind == MM__MODEL_BPE ? e->t->bpe.word_cuts : e->t->kind == MM__MODEL_UNIGRAM && e->t->unigram.word_cuts;
    mm_status st = MM_OK;
    while (n && st == MM_OK) {
        const size_t k = cuts ? mm__word_cut(s, n) : n;
        st = encode_piece(e, s, k);
        s += k;
        n -= k;
    }
    return st;
}

/* Stand-ins become characters; the text moves to e->shown. */
static mm_status show(mm__encode *e, const char **s, size_t *n)
{
    mm__buf_clear(&e->shown);
    mm__plain_show(e->plain, *s, *n, &e->shown);
    *s = mm__buf_str(&e->shown);
    *n = e->shown.len;
    return e->shown.failed ? mm__nomem(e->err, "a text") : MM_OK;
}

/* Text between added tokens, with stand-ins if they were kept until now. */
static mm_status encode_gap(mm__encode *e, const char *s, size_t n, bool first, bool hidden)
{
    const mm_status st = hidden ? show(e, &s, &n) : MM_OK;
    return st == MM_OK ? mm__pretok_run(e, s, n, first) : st;
}

/* One segment without raw added tokens. Stand-ins have done their work unless tokens are looked for once more. */
static mm_status encode_segment(mm__encode *e, const char *s, size_t n, bool first)
{
    const mm__tokenizer *t = e->t;
    const bool hidden = e->plain && t->has_normal;
    mm_status st = e->plain && !hidden ? show(e, &s, &n) : MM_OK;
    if (st == MM_OK && t->n_norm) {
        st = mm__normalize(e->mem, t->norm, t->n_norm, s, n, &e->norm, &e->spare, &e->steps, e->err);
        s = mm__buf_str(&e->norm);
        n = e->norm.len;
    }
    size_t at = 0, start, end;
    int32_t id;
    while (st == MM_OK && t->has_normal && mm__added_next(t, &t->normal, s, n, at, e->flags, &start, &end, &id)) {
        st = encode_gap(e, s + at, start - at, first && at == 0, hidden);
        if (st == MM_OK && !mm__ids_push(e->out, id)) st = mm__nomem(e->err, "token ids");
        at = end;
    }
    return st == MM_OK ? encode_gap(e, s + at, n - at, first && at == 0, hidden) : st;
}

static mm_status encode_text(mm__encode *e, const char *s, size_t n)
{
    const mm__tokenizer *t = e->t;
    size_t at = 0, start, end;
    int32_t id;
    mm_status st = MM_OK;
    while (st == MM_OK && t->has_raw && mm__added_next(t, &t->raw, s, n, at, e->flags, &start, &end, &id)) {
        if (start > at) st = encode_segment(e, s + at, start - at, at == 0);
        if (st == MM_OK && !mm__ids_push(e->out, id)) st = mm__nomem(e->err, "token ids");
        at = end;
    }
    return st == MM_OK && at < n ? encode_segment(e, s + at, n - at, at == 0) : st;
}

static void encode_init(mm__encode *e, const mm__tokenizer *t, unsigned flags, mm__ids *out, mm_error *err)
{
    memset(e, 0, sizeof *e);
    e->t = t;
    e->mem = t->mem;
    e->out = out;
    e->err = err;
    e->flags = flags;
    mm__buf_init(&e->norm, e->mem);
    mm__buf_init(&e->spare, e->mem);
    mm__buf_init(&e->word, e->mem);
    mm__buf_init(&e->shown, e->mem);
    for (size_t i = 0; i < MM__TOKENIZER_OPS; i++) {
        mm__buf_init(&e->edit[i], e->mem);
        e->edit[i].limit = mm__text_max(e->mem);
    }
}

static void encode_free(mm__encode *e)
{
    mm__free(e->mem, e->sym);
    mm__free(e->mem, e->heap);
    mm__free(e->mem, e->best);
    mm__buf_free(&e->norm);
    mm__buf_free(&e->spare);
    mm__buf_free(&e->word);
    mm__buf_free(&e->shown);
    for (size_t i = 0; i < MM__TOKENIZER_OPS; i++) {
        mm__buf_free(&e->edit[i]);
        mm__regex_run_free(e->run[i]);
    }
}

mm_status mm__text_repair(const mm__tokenizer *t, const char **s, size_t *n, mm__buf *fixed, mm_error *err)
{
    const mm_status st = mm__limit_check(t->mem, MM__LIMIT_PROMPT_BYTES, *n, "text", err);
    if (st != MM_OK) return st;
    if (!*n || t->keeps_bytes || mm__utf8_valid(*s, *n)) return MM_OK;
    mm__utf8_repair(*s, *n, fixed);
    *s = mm__buf_str(fixed);
    *n = fixed->len;
    return fixed->failed ? mm__nomem(err, "repairing text") : MM_OK;
}

static mm_status encode_one(mm__encode *e, const char *s, size_t n)
{
    mm__buf fixed;
    mm__buf_init(&fixed, e->mem);
    mm_status st = mm__text_repair(e->t, &s, &n, &fixed, e->err);
    if (st == MM_OK && n) st = encode_text(e, s, n);
    mm__buf_free(&fixed);
    return st;
}

static mm_status encode_around(mm__encode *e, const char *text, size_t len)
{
    const mm__tokenizer *t = e->t;
    mm_status st = MM_OK;
    for (size_t i = 0; i < t->n_post && st == MM_OK; i++) {
        if (t->post[i].text) st = encode_one(e, text, len);
        else if (!mm__ids_push(e->out, t->post[i].id)) st = mm__nomem(e->err, "token ids");
    }
    return st;
}

mm_status mm__tokenize(const mm__tokenizer *t, const char *text, size_t len, unsigned flags, mm__ids *out, mm_error *err)
{
    return mm__tokenize_plain(t, text, len, flags, NULL, out, err);
}

mm_status mm__tokenize_plain(const mm__tokenizer *t, const char *text, size_t len, unsigned flags, const mm__plain *plain,
                             mm__ids *out, mm_error *err)
{
    mm__encode e;
    encode_init(&e, t, flags, out, err);
    e.plain = plain && plain->open ? plain : NULL;
    e.steps = MM__REGEX_STEPS(len);
    const bool around = (flags & MM__TOKENIZE_AROUND) && t->n_post;
    mm_status st = around ? encode_around(&e, text, len) : encode_one(&e, text, len);
    encode_free(&e);
    return st;
}

/* ---- queries ---- */

size_t mm__tokenizer_size(const mm__tokenizer *t) { return t->tokens.n; }

int32_t mm__tokenizer_id(const mm__tokenizer *t, const char *token, size_t len) { return mm__tokens_find(&t->tokens, token, len); }

const char *mm__tokenizer_token(const mm__tokenizer *t, int32_t id, size_t *len)
{
    size_t n;
    if (id < 0 || (size_t)id >= t->tokens.n || !(t->tokens.attr[id] & MM__ATTR_PRESENT)) return NULL;
    return mm__tokens_str(&t->tokens, id, len ? len : &n);
}

bool mm__tokenizer_is_special(const mm__tokenizer *t, int32_t id)
{
    return id >= 0 && (size_t)id < t->tokens.n && (t->tokens.attr[id] & MM__ATTR_SPECIAL);
}

int32_t mm__tokenizer_special(const mm__tokenizer *t, const char *name)
{
    const struct { const char *name; int32_t id; } all[] = {{"bos", t->bos}, {"eos", t->eos}, {"unk", t->unk},
                                                            {"pad", t->pad}, {"cls", t->cls}, {"sep", t->sep}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!strcmp(all[i].name, name)) return all[i].id;
    return -1;
}

bool mm__tokenizer_adds_bos(const mm__tokenizer *t)
{
    return t->bos >= 0 && t->n_post && !t->post[0].text && t->post[0].id == t->bos;
}

/* ---- life ---- */

mm_status mm__tokenizer_new(mm__mem *mem, mm__tokenizer **out, mm_error *err)
{
    mm__tokenizer *t = mm__zalloc(mem, sizeof *t);
    if (!t) return mm__nomem(err, "a tokenizer");
    t->mem = mem;
    t->bos = t->eos = t->unk = t->pad = t->cls = t->sep = -1;
    t->bpe.unk = t->unigram.unk = t->wordpiece.unk = -1;
    *out = t;
    return MM_OK;
}

void mm__tokenizer_destroy(mm__tokenizer *t)
{
    if (!t) return;
    mm__mem *mem = t->mem;
    for (size_t i = 0; i < t->n_norm; i++) mm__norm_free(&t->norm[i], mem);
    for (size_t i = 0; i < t->n_pretok; i++) {
        mm__regex_free(t->pretok[i].regex);
        mm__free(mem, t->pretok[i].text.s);
    }
    for (size_t i = 0; i < t->n_decode; i++) {
        mm__free(mem, t->decode[i].pattern.s);
        mm__free(mem, t->decode[i].content.s);
    }
    void *blocks[] = {t->norm, t->pretok, t->decode, t->post, t->added, t->bpe.pair_key, t->bpe.pair, t->bpe.rank,
                      t->bpe.prefix.s, t->bpe.suffix.s, t->unigram.score};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) mm__free(mem, blocks[i]);
    mm__trie *tries[] = {&t->raw, &t->normal, &t->unigram.trie, &t->wordpiece.start, &t->wordpiece.inner};
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) mm__trie_free(tries[i]);
    mm__tokens_free(&t->tokens);
    mm__free(mem, t);
}

/* ---- building ---- */

bool mm__text_set(mm__mem *mem, mm__text *t, const char *s, size_t n)
{
    char *copy = mm__alloc(mem, n + 1);
    if (!copy) return false;
    memcpy(copy, s, n);
    copy[n] = '\0';
    mm__free(mem, t->s);
    t->s = copy;
    t->n = n;
    return true;
}

/* Appends a zeroed element to one of the short operation arrays, allocated whole at first use. */
static void *add_op(mm__mem *mem, void **ops, size_t *n, size_t each)
{
    if (*n >= MM__TOKENIZER_OPS) return NULL;
    if (!*ops && !(*ops = mm__calloc(mem, MM__TOKENIZER_OPS, each))) return NULL;
    return (char *)*ops + each * (*n)++;
}

mm__norm *mm__tokenizer_add_norm(mm__tokenizer *t, mm__norm_kind kind)
{
    void *ops = t->norm;
    mm__norm *op = add_op(t->mem, &ops, &t->n_norm, sizeof *op);
    t->norm = ops;
    if (op) op->kind = kind;
    return op;
}

mm__pretok *mm__tokenizer_add_pretok(mm__tokenizer *t)
{
    void *ops = t->pretok;
    mm__pretok *op = add_op(t->mem, &ops, &t->n_pretok, sizeof *op);
    t->pretok = ops;
    return op;
}

mm__decode *mm__tokenizer_add_decode(mm__tokenizer *t, mm__decode_kind kind)
{
    void *ops = t->decode;
    mm__decode *op = add_op(t->mem, &ops, &t->n_decode, sizeof *op);
    t->decode = ops;
    if (op) op->kind = kind;
    return op;
}

bool mm__tokenizer_add_post(mm__tokenizer *t, mm__post part)
{
    void *ops = t->post;
    mm__post *op = add_op(t->mem, &ops, &t->n_post, sizeof *op);
    t->post = ops;
    if (op) *op = part;
    return op != NULL;
}

bool mm__tokenizer_simple_post(mm__tokenizer *t, int32_t bos, int32_t eos)
{
    return (bos < 0 || mm__tokenizer_add_post(t, (mm__post){.id = bos})) && mm__tokenizer_add_post(t, (mm__post){.text = true}) &&
           (eos < 0 || mm__tokenizer_add_post(t, (mm__post){.id = eos}));
}

bool mm__tokenizer_add_added(mm__tokenizer *t, mm__added_token a)
{
    if (!mm__grow(t->mem, &t->added, t->n_added, &t->cap_added, sizeof *t->added)) return false;
    t->added[t->n_added++] = a;
    return true;
}

/* A SentencePiece .model: a protobuf ModelProto. Only three messages matter: the pieces (field 1: piece, score, type),
 * the trainer's settings (field 2: model type, ids) and the normaliser (field 3). They are read into an mm__vocab, so
 * the rest is load_vocab.c. tokenizer_config.json may add tokens ("added_tokens_decoder") and switches.
 *
 * The reader is a cursor over (tag, value) records; every length is checked against what remains, nothing nests deeper
 * than one level. Field numbers from sentencepiece_model.proto. */
#include "tokenizer_impl.h"

typedef struct cursor { const uint8_t *p, *end; bool bad; } cursor;
typedef struct field {
    uint32_t number;
    uint64_t v;            /* varint or fixed value */
    const uint8_t *bytes;  /* length-delimited content */
    size_t n;
} field;

static uint64_t varint(cursor *c)
{
    uint64_t v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (c->p >= c->end) break;
        uint8_t b = *c->p++;
        v |= (uint64_t)(b & 0x7F) << shift;
        if (!(b & 0x80)) return v;
    }
    c->bad = true;
    return 0;
}

static bool next_field(cursor *c, field *f)
{
    if (c->bad || c->p >= c->end) return false;
    uint64_t tag = varint(c), n = 0;
    *f = (field){.number = (uint32_t)(tag >> 3)};
    if (c->bad || tag >> 3 == 0 || tag >> 3 > 0x1FFFFFFF) { c->bad = true; return false; }
    switch (tag & 7) {
    case 0: f->v = varint(c); return !c->bad;
    case 1: n = 8; break;
    case 2: n = varint(c); break;
    case 5: n = 4; break;
    default: c->bad = true; return false;
    }
    if (c->bad || n > (uint64_t)(c->end - c->p)) { c->bad = true; return false; }
    f->bytes = c->p;
    f->n = (size_t)n;
    c->p += n;
    if ((tag & 7) != 2)
        for (size_t i = 0; i < f->n; i++) f->v |= (uint64_t)f->bytes[i] << (8 * i);
    return true;
}

static cursor inside(const field *f) { return (cursor){f->bytes, f->bytes ? f->bytes + f->n : NULL, f->bytes == NULL}; }

typedef struct model {
    mm__mem *mem;
    size_t n, cap;
    const char **tokens;
    size_t *len;
    float *scores;
    int32_t *types;
    uint8_t *strip;
    mm__vocab v;
    bool suffix_blanks;
} model;

/* Makes every array hold `n` entries; new ones are unused pieces. */
static bool resize(model *m, size_t n)
{
    if (n > m->cap) {
        size_t cap = m->cap ? m->cap * 2 : 1024;
        while (cap < n) cap *= 2;
        void *a = mm__realloc(m->mem, m->tokens, cap * sizeof *m->tokens);
        if (a) m->tokens = a;
        void *b = mm__realloc(m->mem, m->len, cap * sizeof *m->len);
        if (b) m->len = b;
        void *c = mm__realloc(m->mem, m->scores, cap * sizeof *m->scores);
        if (c) m->scores = c;
        void *d = mm__realloc(m->mem, m->types, cap * sizeof *m->types);
        if (d) m->types = d;
        void *e = mm__realloc(m->mem, m->strip, cap);
        if (e) m->strip = e;
        if (!a || !b || !c || !d || !e) return false;
        m->cap = cap;
    }
    for (size_t i = m->n; i < n; i++) {
        m->tokens[i] = "";
        m->len[i] = 0;
        m->scores[i] = 0;
        m->types[i] = MM__TOK_UNUSED;
        m->strip[i] = 0;
    }
    m->n = n;
    return true;
}

/* Fills the last piece. */
static bool read_piece(model *m, const field *whole)
{
    field f;
    cursor c = inside(whole);
    size_t i = m->n - 1;
    m->types[i] = MM__TOK_NORMAL;
    while (next_field(&c, &f)) {
        if (f.number == 1 && f.bytes) {
            m->tokens[i] = (const char *)f.bytes;
            m->len[i] = f.n;
        } else if (f.number == 2 && f.n == 4) {
            uint32_t bits = (uint32_t)f.v;
            memcpy(&m->scores[i], &bits, sizeof bits);
        } else if (f.number == 3 && !f.bytes && f.v >= 1 && f.v <= 6) {
            m->types[i] = (int32_t)f.v;
        }
    }
    return !c.bad;
}

static bool read_trainer(model *m, const field *whole)
{
    field f;
    cursor c = inside(whole);
    while (next_field(&c, &f)) {
        int32_t id = f.v <= INT32_MAX ? (int32_t)f.v : -1;
        switch (f.number) {
        case 3: m->v.model = f.v == 1 ? MM__VOCAB_UNIGRAM : f.v == 2 ? MM__VOCAB_SPM : -1; break;
        case 24: m->suffix_blanks = f.v != 0; break;
        case 40: m->v.unk = id; break;
        case 41: m->v.bos = id; break;
        case 42: m->v.eos = id; break;
        case 43: m->v.pad = id; break;
        default: break;
        }
    }
    return !c.bad;
}

static bool read_normalizer(model *m, const field *whole)
{
    field f;
    cursor c = inside(whole);
    while (next_field(&c, &f)) {
        if (f.number == 2 && f.bytes) {
            m->v.charsmap = f.bytes;
            m->v.charsmap_len = f.n;
        }
        if (f.number == 3) m->v.add_space_prefix = f.v != 0;
        if (f.number == 4) m->v.remove_extra_spaces = f.v != 0;
    }
    return !c.bad;
}

static mm_status read_model(model *m, const void *bytes, size_t len, const char *what, mm_error *err)
{
    field f;
    cursor c = {bytes, (const uint8_t *)bytes + len, false};
    const uint64_t most = mm__limit(m->mem, MM__LIMIT_VOCABULARY);
    m->v.model = MM__VOCAB_UNIGRAM;
    m->v.unk = 0;
    m->v.bos = 1;
    m->v.eos = 2;
    m->v.pad = m->v.cls = m->v.sep = -1;
    m->v.add_bos = m->v.add_eos = -1;
    m->v.add_space_prefix = m->v.remove_extra_spaces = 1;
    while (next_field(&c, &f)) {
        bool ok = true;
        if (f.number == 1 && f.bytes && m->n >= most) return mm__limit_fail(m->mem, MM__LIMIT_VOCABULARY, what, err);
        if (f.number == 1 && f.bytes && !resize(m, m->n + 1)) return mm__nomem(err, "the vocabulary");
        if (f.number == 1 && f.bytes) ok = read_piece(m, &f);
        else if (f.number == 2 && f.bytes) ok = read_trainer(m, &f);
        else if (f.number == 3 && f.bytes) ok = read_normalizer(m, &f);
        if (!ok) return mm__fail(err, MM_E_FORMAT, "%s: a record near piece %zu is damaged", what, m->n);
    }
    if (c.bad) return mm__fail(err, MM_E_FORMAT, "%s: the file ends inside a record (piece %zu)", what, m->n);
    if (!m->n) return mm__fail(err, MM_E_FORMAT, "%s: no pieces; this is not a SentencePiece model", what);
    if (m->v.model < 0 || m->suffix_blanks)
        return mm__fail(err, MM_E_UNSUPPORTED, "%s: only unigram and BPE models with blanks in front are supported", what);
    if (m->v.unk >= (int32_t)m->n) m->v.unk = -1;
    if (m->v.bos >= (int32_t)m->n) m->v.bos = -1;
    if (m->v.eos >= (int32_t)m->n) m->v.eos = -1;
    if (m->v.pad >= (int32_t)m->n) m->v.pad = -1;
    return MM_OK;
}

/* "added_tokens_decoder": {"32099": {"content": "<extra_id_0>", "special": true, "lstrip": ..., "rstrip": ...}} */
static mm_status read_added(model *m, const mm__json *config, const char *what, mm_error *err)
{
    const mm__json *list = mm__json_get(config, "added_tokens_decoder");
    size_t pieces = m->n;
    for (size_t i = 0; i < mm__json_count(list); i++) {
        const char *key = "";
        size_t id = 0, k = 0, n = 0;
        const mm__json *v = mm__json_member(list, i, &key, NULL);
        for (; key[k] >= '0' && key[k] <= '9' && k < 9; k++) id = id * 10 + (size_t)(key[k] - '0');
        const char *s = mm__json_str(mm__json_get(v, "content"), &n, NULL);
        if (key[k] || !k || !s || id > pieces + 65536) return mm__fail(err, MM_E_FORMAT, "%s: added token \"%s\" is damaged", what, key);
        if (id >= m->n && !resize(m, id + 1)) return mm__nomem(err, "the vocabulary");
        m->tokens[id] = s;
        m->len[id] = n;
        if (m->types[id] != MM__TOK_UNKNOWN) m->types[id] = mm__json_bool(mm__json_get(v, "special"), false) ? MM__TOK_CONTROL : MM__TOK_USER;
        m->strip[id] = (uint8_t)(mm__json_bool(mm__json_get(v, "lstrip"), false) | mm__json_bool(mm__json_get(v, "rstrip"), false) << 1);
    }
    return MM_OK;
}

/* A named token of the configuration, as an id among the pieces. */
static int32_t config_id(const model *m, const mm__json *config, const char *key, int32_t otherwise)
{
    const mm__json *v = mm__json_get(config, key);
    size_t n = 0;
    if (mm__json_kind(v) == MM__JSON_OBJECT) v = mm__json_get(v, "content");
    const char *s = mm__json_str(v, &n, NULL);
    for (size_t i = 0; s && i < m->n; i++)
        if (m->len[i] == n && n && !memcmp(m->tokens[i], s, n)) return (int32_t)i;
    return otherwise;
}

static int switch_of(const mm__json *config, const char *key, int otherwise)
{
    const mm__json *v = mm__json_get(config, key);
    return v ? mm__json_bool(v, false) : otherwise; /* an explicit null is "no" */
}

mm_status mm__tokenizer_from_spm(mm__mem *mem, const void *bytes, size_t len, const mm__json *config, bool plain, const char *what,
                                 mm__tokenizer **out, mm_error *err)
{
    model m = {.mem = mem};
    mm__vocab_extra extra = {0};
    mm_status st = read_model(&m, bytes, len, what, err);
    if (st == MM_OK) st = read_added(&m, config, what, err);
    if (st != MM_OK) goto done;
    m.v.bos = config_id(&m, config, "bos_token", m.v.bos);
    m.v.eos = config_id(&m, config, "eos_token", m.v.eos);
    m.v.pad = config_id(&m, config, "pad_token", m.v.pad);
    m.v.add_bos = switch_of(config, "add_bos_token", -1);
    m.v.add_eos = switch_of(config, "add_eos_token", -1);
    m.v.add_space_prefix = switch_of(config, "add_prefix_space", m.v.add_space_prefix);
    extra.lower = switch_of(config, "do_lower_case", 0) != 0;
    extra.plain = plain;
    extra.strip = m.strip;
    m.v.n = m.n;
    m.v.tokens = m.tokens;
    m.v.token_len = m.len;
    m.v.scores = m.scores;
    m.v.types = m.types;
    st = mm__tokenizer_from_vocab_extra(mem, &m.v, &extra, what, out, err);
done:
    mm__free(mem, m.tokens);
    mm__free(mem, m.len);
    mm__free(mem, m.scores);
    mm__free(mem, m.types);
    mm__free(mem, m.strip);
    return st;
}

/* Tokenizers of older folders, which have no tokenizer.json but the files it was once made from: vocab.json and merges.txt
 * of byte-level BPE, or vocab.txt of WordPiece. What else a tokenizer does - normaliser, cuts, what stands around a text -
 * is code in the reference, in a class the folder names (tokenizer_class) or its model_type implies; the table below holds
 * those classes.
 *
 * The tokenizer.json that the reference would write is put together as a document and read like any other, so there is one
 * reading of vocabularies. Special tokens come from tokenizer_config.json, special_tokens_map.json or the class, in this
 * order; added ones from added_tokens_decoder of the first, or added_tokens.json. One that has no id anywhere is left out:
 * the reference would give it one past the rows of the model. */
#include "assembly.h"

#include "../base/error.h"
#include "../base/map.h"

#include <stdio.h>
#include <string.h>

#define BYTE_LEVEL "{\"type\":\"ByteLevel\",\"add_prefix_space\":%s,\"use_regex\":%s}"

enum { BOS, EOS, UNK, PAD, CLS, SEP, MASK, N_NAMED };
static const char *const named[N_NAMED] = {"bos_token", "eos_token", "unk_token", "pad_token", "cls_token", "sep_token", "mask_token"};

typedef struct text_class {
    const char *name;         /* tokenizer_class, "Fast" left out */
    const char *types;        /* values of model_type that imply it, a blank around each */
    bool pieces;              /* WordPiece from vocab.txt */
    const char *suffix;       /* marks the end of a word, or "" */
    const char *normalizer, *cut; /* JSON; cut: in front of the bytes, which then cut no more by themselves unless `cuts_on` */
    bool cuts_on;
    int front, back;          /* named tokens around a text, or N_NAMED */
    const char *opening[2];   /* in front of a text instead, or NULL */
    const char *usual[N_NAMED];
} text_class;

#define END "<|endoftext|>"
#define SPLIT(regex, rest) "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" regex "\"}," rest "}"

static const text_class classes[] = {
    {.name = "GPT2Tokenizer", .types = " gpt2 opt ", .suffix = "", .normalizer = "null", .cuts_on = true, .front = N_NAMED, .back = N_NAMED,
     .usual = {[BOS] = END, [EOS] = END, [UNK] = END}},
    {.name = "WhisperTokenizer", .types = " whisper ", .suffix = "", .normalizer = "null", .cuts_on = true, .front = N_NAMED, .back = EOS,
     .opening = {"<|startoftranscript|>", "<|notimestamps|>"}, .usual = {[BOS] = END, [EOS] = END, [UNK] = END}},
    {.name = "Qwen2Tokenizer", .types = " qwen2 qwen3 ", .suffix = "", .normalizer = "{\"type\":\"NFC\"}", .front = N_NAMED, .back = N_NAMED,
     .cut = SPLIT("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*"
                  "|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+", "\"behavior\":\"Isolated\",\"invert\":false"),
     .usual = {[EOS] = END, [UNK] = END, [PAD] = END}},
    {.name = "CLIPTokenizer", .types = " clip ", .suffix = "</w>", .front = BOS, .back = EOS, .cuts_on = true,
     .normalizer = "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"\\\\s+\"},"
                   "\"content\":\" \"},{\"type\":\"Lowercase\"}]}",
     .cut = SPLIT("'s|'t|'re|'ve|'m|'ll|'d|[\\\\p{L}]+|[\\\\p{N}]|[^\\\\s\\\\p{L}\\\\p{N}]+", "\"behavior\":\"Removed\",\"invert\":true"),
     .usual = {[BOS] = "<|startoftext|>", [EOS] = END, [UNK] = END, [PAD] = END}},
    {.name = "BertTokenizer", .types = " bert ", .pieces = true, .front = CLS, .back = SEP,
     .usual = {[UNK] = "[UNK]", [PAD] = "[PAD]", [CLS] = "[CLS]", [SEP] = "[SEP]", [MASK] = "[MASK]"}},
};

typedef struct maker {
    const mm__source *s;
    const text_class *c;
    mm__doc vocab, added;     /* vocab.json, added_tokens.json */
    char *lines, *path;       /* merges.txt or vocab.txt */
    size_t len;
    mm__buf out, config;      /* the two documents */
    size_t n_added;
    mm__map *special;         /* spellings */
} maker;

/* ---- the parts of the document ---- */

/* The next line without its end; false behind the last. */
static bool next_line(const char **at, const char *end, const char **line, size_t *n)
{
    if (*at == end) return false;
    const char *stop = memchr(*at, '\n', (size_t)(end - *at));
    *line = *at;
    *n = (size_t)((stop ? stop : end) - *at);
    *at = stop ? stop + 1 : end;
    if (*n && (*line)[*n - 1] == '\r') --*n;
    return true;
}

static void put_key(mm__buf *b, const char *s, size_t n, int64_t id)
{
    mm__buf_json_string(b, s, n);
    mm__buf_printf(b, ":%lld,", (long long)id);
}

static void drop_comma(mm__buf *b)
{
    if (b->len && b->data[b->len - 1] == ',') b->data[--b->len] = '\0';
}

static const char *flag(const mm__json *config, const char *key, bool otherwise)
{
    return mm__json_bool(mm__json_get(config, key), otherwise) ? "true" : "false";
}

/* A token as one of the two files spells it, as a string or an object with "content". */
static const char *spelled(const mm__json *v, size_t *n)
{
    if (mm__json_kind(v) == MM__JSON_OBJECT) v = mm__json_get(v, "content");
    return mm__json_str(v, n, NULL);
}

static const char *named_token(const maker *m, int which, size_t *n)
{
    const mm__json *v = mm__json_get(m->s->tokenizer_config.root, named[which]);
    const char *t = spelled(v, n);
    if (v) return t; /* null: there is none */
    if ((t = spelled(mm__json_get(m->s->special_tokens.root, named[which]), n))) return t;
    if ((t = m->c->usual[which])) *n = strlen(t);
    return t;
}

static void put_pieces(maker *m)
{
    const mm__json *config = m->s->tokenizer_config.root, *accents = mm__json_get(config, "strip_accents");
    const char *at = m->lines, *line;
    size_t n;
    int64_t id = 0;
    mm__buf_puts(&m->out, "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{");
    while (next_line(&at, m->lines + m->len, &line, &n)) put_key(&m->out, line, n, id++);
    drop_comma(&m->out);
    mm__buf_puts(&m->out, "},\"unk_token\":");
    const char *unk = named_token(m, UNK, &n);
    mm__buf_json_string(&m->out, unk ? unk : "", unk ? n : 0);
    mm__buf_printf(&m->out, "},\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":%s,\"strip_accents\":%s,"
                            "\"lowercase\":%s},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},\"decoder\":{\"type\":\"WordPiece\"},",
                   flag(config, "tokenize_chinese_chars", true), mm__json_kind(accents) == MM__JSON_BOOL ? flag(config, "strip_accents", false) : "null",
                   flag(config, "do_lower_case", true));
}

static void put_merges(maker *m)
{
    const text_class *c = m->c;
    const char *at = m->lines, *line, *key = "";
    size_t n = 0;
    mm__buf_puts(&m->out, "{\"model\":{\"type\":\"BPE\",\"vocab\":{");
    for (size_t i = 0; i < mm__json_count(m->vocab.root); i++) {
        const mm__json *v = mm__json_member(m->vocab.root, i, &key, &n);
        put_key(&m->out, key, n, mm__json_int(v, -1));
    }
    drop_comma(&m->out);
    mm__buf_puts(&m->out, "},\"merges\":[");
    for (bool first = true; next_line(&at, m->lines + m->len, &line, &n); first = false) {
        if (!n || (first && n >= 8 && memcmp(line, "#version", 8) == 0)) continue;
        mm__buf_json_string(&m->out, line, n);
        mm__buf_putc(&m->out, ',');
    }
    drop_comma(&m->out);
    const char *unk = c->suffix[0] ? named_token(m, UNK, &n) : NULL;
    mm__buf_puts(&m->out, "],\"unk_token\":");
    if (unk) mm__buf_json_string(&m->out, unk, n);
    else mm__buf_puts(&m->out, "null");
    mm__buf_printf(&m->out, ",\"end_of_word_suffix\":\"%s\"},\"normalizer\":%s,\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[%s%s" BYTE_LEVEL
                            "]},\"decoder\":{\"type\":\"ByteLevel\"},",
                   c->suffix, c->normalizer, c->cut ? c->cut : "", c->cut ? "," : "", flag(m->s->tokenizer_config.root, "add_prefix_space", false),
                   c->cuts_on ? "true" : "false");
}

/* ---- tokens apart from the vocabulary ---- */

static int64_t id_of(const maker *m, const char *s, size_t n)
{
    const char *at = m->lines, *line, *key = "";
    const mm__json *lists[] = {m->added.root, m->vocab.root};
    size_t len = 0;
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < mm__json_count(lists[k]); i++) {
            const mm__json *v = mm__json_member(lists[k], i, &key, &len);
            if (len == n && memcmp(key, s, n) == 0) return mm__json_int(v, -1);
        }
    for (int64_t id = 0; m->c->pieces && next_line(&at, m->lines + m->len, &line, &len); id++)
        if (len == n && memcmp(line, s, n) == 0) return id;
    return -1;
}

/* Other attributes than `special` only where the file gives them. */
static void put_added(maker *m, int64_t id, const char *s, size_t n, bool special, const mm__json *more)
{
    if (!s || id < 0) return;
    mm__buf_printf(&m->out, "%s{\"id\":%lld,\"content\":", m->n_added++ ? "," : "", (long long)id);
    mm__buf_json_string(&m->out, s, n);
    mm__buf_printf(&m->out, ",\"special\":%s,\"lstrip\":%s,\"rstrip\":%s,\"single_word\":%s,\"normalized\":%s}", special ? "true" : "false",
                   flag(more, "lstrip", false), flag(more, "rstrip", false), flag(more, "single_word", false), flag(more, "normalized", !special));
}

/* The spellings of special tokens, named ones and additional ones; false when memory is short. */
static bool collect_special(maker *m)
{
    const mm__json *more[] = {mm__json_get(m->s->tokenizer_config.root, "additional_special_tokens"),
                              mm__json_get(m->s->special_tokens.root, "additional_special_tokens")};
    size_t n = 0;
    bool ok = (m->special = mm__map_create(m->s->mem, N_NAMED)) != NULL;
    for (int i = 0; ok && i < N_NAMED; i++) {
        const char *t = named_token(m, i, &n);
        if (t) ok = mm__map_put(m->special, t, n, 0, NULL);
    }
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; ok && i < mm__json_count(more[k]); i++) {
            const char *t = spelled(mm__json_at(more[k], i), &n);
            if (t) ok = mm__map_put(m->special, t, n, 0, NULL);
        }
    return ok;
}

static void put_all_added(maker *m)
{
    const mm__json *decoder = mm__json_get(m->s->tokenizer_config.root, "added_tokens_decoder");
    const char *key = "", *t;
    size_t n = 0;
    if (mm__json_kind(decoder) != MM__JSON_OBJECT) decoder = NULL;
    mm__buf_puts(&m->out, "\"added_tokens\":[");
    for (size_t i = 0; i < mm__json_count(decoder); i++) {
        const mm__json *v = mm__json_member(decoder, i, &key, NULL);
        int64_t id = 0;
        for (size_t k = 0; key[k] >= '0' && key[k] <= '9' && k < 9; k++) id = id * 10 + (key[k] - '0');
        t = spelled(v, &n);
        put_added(m, id, t, n, mm__json_bool(mm__json_get(v, "special"), false), v);
    }
    for (size_t i = 0; !decoder && i < mm__json_count(m->added.root); i++) {
        const mm__json *v = mm__json_member(m->added.root, i, &key, &n);
        put_added(m, mm__json_int(v, -1), key, n, mm__map_get(m->special, key, n, NULL), NULL);
    }
    for (int i = 0; !decoder && i < N_NAMED; i++) {
        t = named_token(m, i, &n);
        bool seen = !t || mm__json_kind(mm__json_get(m->added.root, t)) != MM__JSON_NULL;
        for (int k = 0; k < i && !seen; k++) {
            size_t len = 0;
            const char *before = named_token(m, k, &len);
            seen = before && len == n && memcmp(before, t, n) == 0;
        }
        if (!seen) put_added(m, id_of(m, t, n), t, n, true, NULL);
    }
    mm__buf_putc(&m->out, ']');
}

/* The `i`-th of the places around a text: up to two opening tokens, the text itself (*n 0), the closing one. NULL: empty. */
static const char *around(const maker *m, int i, size_t *n)
{
    const int which = i == 3 ? m->c->back : i == 0 ? m->c->front : N_NAMED;
    const char *t = i < 2 ? m->c->opening[i] : i == 2 ? "" : NULL;
    if (t) *n = strlen(t);
    return which < N_NAMED ? named_token(m, which, n) : t;
}

static void put_around(maker *m)
{
    size_t n = 0;
    mm__buf_puts(&m->out, ",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[");
    for (int i = 0; i < 4; i++) {
        const char *t = around(m, i, &n);
        if (!t) continue;
        mm__buf_printf(&m->out, "{\"%s\":{\"id\":", n ? "SpecialToken" : "Sequence");
        mm__buf_json_string(&m->out, n ? t : "A", n ? n : 1);
        mm__buf_puts(&m->out, "}},");
    }
    drop_comma(&m->out);
    mm__buf_puts(&m->out, "],\"special_tokens\":{");
    for (int i = 0; i < 4; i++) {
        const char *t = around(m, i, &n);
        if (!t || !n) continue;
        mm__buf_json_string(&m->out, t, n);
        mm__buf_printf(&m->out, ":{\"ids\":[%lld]},", (long long)id_of(m, t, n));
    }
    drop_comma(&m->out);
    mm__buf_puts(&m->out, "}}");
}

/* What names the special tokens, as tokenizer_config.json would. */
static void put_config(maker *m)
{
    size_t n = 0;
    mm__buf_putc(&m->config, '{');
    for (int i = 0; i < N_NAMED; i++) {
        const char *t = named_token(m, i, &n);
        if (!t) continue;
        mm__buf_printf(&m->config, "\"%s\":", named[i]);
        mm__buf_json_string(&m->config, t, n);
        mm__buf_putc(&m->config, ',');
    }
    mm__buf_printf(&m->config, "\"add_bos_token\":%s}", flag(m->s->tokenizer_config.root, "add_bos_token", false));
}

/* ---- which class, which files ---- */

static mm_status find_class(const mm__source *s, const text_class **out, mm_error *err)
{
    char type[64];
    size_t n;
    const char *stated = mm__json_str(mm__json_get(s->tokenizer_config.root, "tokenizer_class"), &n, NULL);
    if (stated && n > 4 && strcmp(stated + n - 4, "Fast") == 0) n -= 4;
    snprintf(type, sizeof type, " %s ", mm__source_type(s));
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        const text_class *c = &classes[i];
        *out = c;
        if (stated ? strlen(c->name) == n && memcmp(c->name, stated, n) == 0 : strstr(c->types, type) != NULL) return MM_OK;
    }
    return mm__fail(err, MM_E_UNSUPPORTED, "%s: there is no tokenizer.json, and the tokenizer_class \"%s\" is not read without one; write one with the reference's save_pretrained()",
                    s->path, stated ? stated : "(none)");
}

static mm_status read_lines(maker *m, const char *name, mm_error *err)
{
    if (!(m->path = mm__path_join(m->s->mem, m->s->dir, name))) return mm__nomem(err, "a path");
    if (mm__path_kind(&m->s->files, m->path) == MM__PATH_FILE) return mm__read_file(&m->s->files, m->path, MM__LIMIT_SIDE_FILE_BYTES, &m->lines, &m->len, err);
    return mm__fail(err, MM_E_FORMAT, "%s: no such file, and no tokenizer.json stands in for it; copy either from where the model came from", m->path);
}

/* Opens what every class needs, and finds out whether there is a vocabulary at all. */
static mm_status read_vocab(maker *m, mm_error *err)
{
    const mm__doc *docs[] = {&m->vocab, &m->added};
    mm_status st = mm__source_read(m->s, "vocab.json", &m->vocab, err);
    if (st == MM_OK) st = mm__source_read(m->s, "added_tokens.json", &m->added, err);
    for (int i = 0; st == MM_OK && i < 2; i++)
        if (docs[i]->root && mm__json_kind(docs[i]->root) != MM__JSON_OBJECT)
            st = mm__fail(err, MM_E_FORMAT, "%s: must be an object of tokens and their ids", docs[i]->path);
    if (st != MM_OK || m->vocab.root) return st;
    char *path = mm__path_join(m->s->mem, m->s->dir, "vocab.txt");
    if (!path) return mm__nomem(err, "a path");
    const int kind = mm__path_kind(&m->s->files, path);
    mm__free(m->s->mem, path);
    if (kind == MM__PATH_FILE) return MM_OK;
    return mm__fail(err, MM_E_FORMAT, "%s: no tokenizer is there; add tokenizer.json, a SentencePiece .model, vocab.json with merges.txt, or vocab.txt "
                                      "from where the model came from", m->s->path);
}

static mm_status read_table(maker *m, mm_error *err)
{
    if (m->c->pieces) return read_lines(m, "vocab.txt", err);
    if (m->vocab.root) return read_lines(m, "merges.txt", err);
    return mm__fail(err, MM_E_FORMAT, "%s/vocab.json: no such file, yet %s needs it; copy it from where the model came from", m->s->dir, m->c->name);
}

static mm_status make(maker *m, mm__assembly *a, mm_error *err)
{
    mm__json_doc *doc = NULL, *config = NULL;
    if (!collect_special(m)) return mm__nomem(err, "special tokens");
    if (m->c->pieces) put_pieces(m);
    else put_merges(m);
    put_all_added(m);
    if (m->c->back < N_NAMED) put_around(m); /* else add_bos_token decides */
    mm__buf_putc(&m->out, '}');
    put_config(m);
    if (m->out.failed || m->config.failed) return mm__nomem(err, "a vocabulary");
    mm_status st = mm__json_parse(a->mem, mm__buf_str(&m->out), m->out.len, m->path, &doc, err);
    if (st == MM_OK) st = mm__json_parse(a->mem, mm__buf_str(&m->config), m->config.len, m->path, &config, err);
    if (st == MM_OK) st = mm__tokenizer_from_json(a->mem, mm__json_root(doc), mm__json_root(config), m->path, &a->tokenizer, err);
    mm__json_free(doc);
    mm__json_free(config);
    return st;
}

mm_status mm__assembly_plain_vocab(mm__assembly *a, const mm__source *s, mm_error *err)
{
    maker m = {.s = s};
    mm__buf_init(&m.out, a->mem);
    mm__buf_init(&m.config, a->mem);
    mm_status st = read_vocab(&m, err);
    if (st == MM_OK) st = find_class(s, &m.c, err);
    if (st == MM_OK) st = read_table(&m, err);
    if (st == MM_OK) st = make(&m, a, err);
    mm__buf_free(&m.out);
    mm__buf_free(&m.config);
    mm__map_destroy(m.special);
    mm__doc_free(s->mem, &m.vocab);
    mm__doc_free(s->mem, &m.added);
    mm__free(s->mem, m.lines);
    mm__free(s->mem, m.path);
    return st;
}

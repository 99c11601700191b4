/* Shared by the tokenizer tests: files to objects, GGUF keys to mm__vocab, lossy UTF-8, comparisons that print. */
#ifndef TESTS_TEXT_HELPERS_H
#define TESTS_TEXT_HELPERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "../../../src/base/error.h"
#include "../../../src/base/io.h"
#include "../../../src/base/json.h"
#include "../../../src/base/utf8.h"
#include "../../../src/file/gguf.h"
#include "../../../src/text/tokenizer.h"

static inline mm__json_doc *load_json_file(mm__mem *mem, const char *path)
{
    char *text = NULL;
    size_t len;
    mm__json_doc *doc = NULL;
    mm_error err = {.size = sizeof err};
    if (mm__path_kind(&(mm__files){0}, path) != MM__PATH_FILE) return NULL;
    if (mm__read_file(&(mm__files){.mem = mem}, path, MM__LIMIT_SIDE_FILE_BYTES, &text, &len, &err) != MM_OK) fail_msg("%s: %s", path, err.text);
    if (mm__json_parse(mem, text, len, path, &doc, &err) != MM_OK) fail_msg("%s", err.text);
    mm__free(mem, text);
    return doc;
}

static inline mm__tokenizer *tokenizer_of_dir(mm__mem *mem, const char *dir)
{
    char path[1024];
    mm_error err = {.size = sizeof err};
    mm__tokenizer *t = NULL;
    snprintf(path, sizeof path, "%s/tokenizer_config.json", dir);
    mm__json_doc *config = load_json_file(mem, path);
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    mm__json_doc *doc = load_json_file(mem, path);
    if (doc && mm__tokenizer_from_json(mem, mm__json_root(doc), config ? mm__json_root(config) : NULL, path, &t, &err) != MM_OK)
        fail_msg("%s", err.text);
    mm__json_free(doc);
    mm__json_free(config);
    return t;
}

static inline mm__tokenizer *tokenizer_of_spm(mm__mem *mem, const char *dir, const char *file)
{
    char path[1024], *bytes = NULL;
    size_t len;
    mm_error err = {.size = sizeof err};
    mm__tokenizer *t = NULL;
    snprintf(path, sizeof path, "%s/tokenizer_config.json", dir);
    mm__json_doc *config = load_json_file(mem, path);
    snprintf(path, sizeof path, "%s/%s", dir, file);
    if (mm__path_kind(&(mm__files){0}, path) == MM__PATH_FILE) {
        if (mm__read_file(&(mm__files){.mem = mem}, path, MM__LIMIT_SIDE_FILE_BYTES, &bytes, &len, &err) != MM_OK) fail_msg("%s", err.text);
        const mm__json *root = config ? mm__json_root(config) : NULL;
        const bool plain = strcmp(mm__json_str(mm__json_get(root, "tokenizer_class"), NULL, ""), "SiglipTokenizer") == 0;
        if (mm__tokenizer_from_spm(mem, bytes, len, root, plain, path, &t, &err) != MM_OK) fail_msg("%s", err.text);
    }
    mm__free(mem, bytes);
    mm__json_free(config);
    return t;
}

static inline int32_t gguf_id(const mm__gguf *g, const char *name)
{
    char key[128];
    snprintf(key, sizeof key, "tokenizer.ggml.%s_token_id", name);
    mm__gguf_value v = mm__gguf_get(g, key);
    return v.kind == MM__GGUF_INT ? (int32_t)v.i : -1;
}

static inline int gguf_flag(const mm__gguf *g, const char *name)
{
    char key[128];
    snprintf(key, sizeof key, "tokenizer.ggml.%s", name);
    mm__gguf_value v = mm__gguf_get(g, key);
    return v.kind == MM__GGUF_BOOL ? v.i != 0 : -1;
}

/* `prefix`: overrides add_space_prefix when >= 0. */
static inline mm__tokenizer *tokenizer_of_gguf_mem(mm__mem *mem, const mm__gguf *g, const char *path, int prefix)
{
    static const struct { const char *name; int model; } models[] = {
        {"llama", MM__VOCAB_SPM}, {"gpt2", MM__VOCAB_BPE}, {"bert", MM__VOCAB_WORDPIECE}, {"t5", MM__VOCAB_UNIGRAM}};
    mm_error err = {.size = sizeof err};
    mm__tokenizer *t = NULL;
    mm__gguf_value tok = mm__gguf_get(g, "tokenizer.ggml.tokens"), sc = mm__gguf_get(g, "tokenizer.ggml.scores"),
                   ty = mm__gguf_get(g, "tokenizer.ggml.token_type"), me = mm__gguf_get(g, "tokenizer.ggml.merges"),
                   cm = mm__gguf_get(g, "tokenizer.ggml.precompiled_charsmap"), name = mm__gguf_get(g, "tokenizer.ggml.model"),
                   pre = mm__gguf_get(g, "tokenizer.ggml.pre");
    if (tok.kind != MM__GGUF_ARRAY || name.kind != MM__GGUF_STR) return NULL;
    mm__vocab v = {.model = -1, .n = tok.n, .n_merges = me.kind == MM__GGUF_ARRAY ? me.n : 0};
    for (size_t i = 0; i < 4; i++)
        if (!strcmp(name.s, models[i].name)) v.model = models[i].model;
    const char **tokens = mm__calloc(mem, v.n, sizeof *tokens), **merges = mm__calloc(mem, v.n_merges + 1, sizeof *merges);
    size_t *len = mm__calloc(mem, v.n, sizeof *len), *mlen = mm__calloc(mem, v.n_merges + 1, sizeof *mlen);
    float *scores = sc.kind == MM__GGUF_ARRAY ? mm__calloc(mem, v.n, sizeof *scores) : NULL;
    int32_t *types = ty.kind == MM__GGUF_ARRAY ? mm__calloc(mem, v.n, sizeof *types) : NULL;
    uint8_t *map = cm.kind == MM__GGUF_ARRAY ? mm__alloc(mem, cm.n) : NULL;
    for (size_t i = 0; i < v.n; i++) {
        mm__gguf_value e = mm__gguf_elem(&tok, i);
        tokens[i] = e.s;
        len[i] = e.n;
        if (scores) scores[i] = (float)mm__gguf_elem(&sc, i).f;
        if (types) types[i] = (int32_t)mm__gguf_elem(&ty, i).i;
    }
    for (size_t i = 0; i < v.n_merges; i++) {
        mm__gguf_value e = mm__gguf_elem(&me, i);
        merges[i] = e.s;
        mlen[i] = e.n;
    }
    for (size_t i = 0; map && i < cm.n; i++) map[i] = (uint8_t)mm__gguf_elem(&cm, i).i;
    v.tokens = tokens;
    v.token_len = len;
    v.scores = scores;
    v.types = types;
    v.merges = v.n_merges ? merges : NULL;
    v.merge_len = mlen;
    v.charsmap = map;
    v.charsmap_len = map ? cm.n : 0;
    v.pre = pre.kind == MM__GGUF_STR ? pre.s : NULL;
    v.bos = gguf_id(g, "bos");
    v.eos = gguf_id(g, "eos");
    v.unk = gguf_id(g, "unknown");
    v.pad = gguf_id(g, "padding");
    v.cls = gguf_id(g, "cls");
    v.sep = gguf_id(g, "seperator");
    v.add_bos = gguf_flag(g, "add_bos_token");
    v.add_eos = gguf_flag(g, "add_eos_token");
    v.add_space_prefix = prefix >= 0 ? prefix : gguf_flag(g, "add_space_prefix");
    v.remove_extra_spaces = gguf_flag(g, "remove_extra_whitespaces");
    if (mm__tokenizer_from_vocab(mem, &v, path, &t, &err) != MM_OK) fail_msg("%s", err.text);
    void *blocks[] = {tokens, merges, len, mlen, scores, types, map};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) mm__free(mem, blocks[i]);
    return t;
}

static inline mm__tokenizer *tokenizer_of_gguf(mm__mem *mem, const char *path, int prefix)
{
    mm__gguf *g = NULL;
    mm_error err = {.size = sizeof err};
    if (mm__gguf_open(&(mm__files){.mem = mem}, path, &g, &err) != MM_OK) fail_msg("%s", err.text);
    mm__tokenizer *t = tokenizer_of_gguf_mem(mem, g, path, prefix);
    mm__gguf_close(g);
    return t;
}

/* Copies with every maximal broken subsequence replaced by one U+FFFD, as lossy decoders do. */
static inline void put_lossy(const char *s, size_t n, mm__buf *out)
{
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        bool valid = true;
        size_t k = mm__utf8_decode(s + i, n - i, &cp, &valid);
        if (valid) {
            mm__buf_put(out, s + i, k);
            i += k;
            continue;
        }
        unsigned char c = (unsigned char)s[i];
        size_t want = c >= 0xF0 && c <= 0xF4 ? 4 : c >= 0xE0 && c < 0xF0 ? 3 : c >= 0xC2 && c < 0xE0 ? 2 : 1;
        for (k = 1; k < want && i + k < n; k++) {
            unsigned char d = (unsigned char)s[i + k], low = 0x80, high = 0xBF;
            if (k == 1 && c == 0xE0) low = 0xA0;
            if (k == 1 && c == 0xED) high = 0x9F;
            if (k == 1 && c == 0xF0) low = 0x90;
            if (k == 1 && c == 0xF4) high = 0x8F;
            if (d < low || d > high) break;
        }
        mm__buf_puts(out, "\xEF\xBF\xBD");
        i += k;
    }
}

static inline void print_ids(const char *label, const int32_t *p, size_t n)
{
    print_error("  %s (%zu):", label, n);
    for (size_t i = 0; i < n && i < 80; i++) print_error(" %d", (int)p[i]);
    print_error("\n");
}

/* 0 when equal, else prints both and returns 1. */
static inline int compare_ids(const char *where, const int32_t *got, size_t n_got, const int32_t *want, size_t n_want)
{
    if (n_got == n_want && (!n_got || !memcmp(got, want, n_got * sizeof *got))) return 0;
    print_error("%s: ids differ\n", where);
    print_ids("got ", got, n_got);
    print_ids("want", want, n_want);
    return 1;
}

static inline void ids_of_json(const mm__json *v, mm__ids *out)
{
    for (size_t i = 0; i < mm__json_count(v); i++) assert_true(mm__ids_push(out, (int32_t)mm__json_int(mm__json_at(v, i), -1)));
}

#endif

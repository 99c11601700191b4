/* The text side of a product: its tokenizer, chat template and end-of-text ids, gathered from whichever of the many places
 * files keep them (tokenizer.json, GGUF keys, SentencePiece models, generation_config.json, ...). */
#include "assembly.h"

#include "../base/error.h"

#include <string.h>

/* ---- GGUF keys -> neutral vocabulary ---- */

typedef struct gguf_vocab {
    mm__mem *mem;
    const char **tokens, **merges;
    size_t *token_len, *merge_len;
    float *scores;
    int32_t *types;
    uint8_t *charsmap;
    mm__vocab v;
} gguf_vocab;

static void gguf_vocab_free(gguf_vocab *b)
{
    void *blocks[] = {b->tokens, b->merges, b->token_len, b->merge_len, b->scores, b->types, b->charsmap};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) mm__free(b->mem, blocks[i]);
}

static int32_t gguf_id(const mm__gguf *g, const char *key)
{
    mm__gguf_value v = mm__gguf_get(g, key);
    return v.kind == MM__GGUF_INT && v.i >= 0 && v.i < INT32_MAX ? (int32_t)v.i : -1;
}

static int gguf_flag(const mm__gguf *g, const char *key)
{
    mm__gguf_value v = mm__gguf_get(g, key);
    return v.kind == MM__GGUF_BOOL ? v.i != 0 : -1;
}

static mm_status gguf_strings(mm__mem *mem, const mm__gguf_value *v, const char ***s, size_t **len, mm_error *err)
{
    *s = mm__calloc(mem, v->n, sizeof **s);
    *len = mm__calloc(mem, v->n, sizeof **len);
    if (!*s || !*len) return mm__nomem(err, "a vocabulary");
    for (size_t i = 0; i < v->n; i++) {
        mm__gguf_value e = mm__gguf_elem(v, i);
        (*s)[i] = e.s;
        (*len)[i] = e.n;
    }
    return MM_OK;
}

static mm_status gguf_model_kind(const mm__gguf *g, int *kind, mm_error *err)
{
    const struct {
        const char *name;
        int kind;
    } kinds[] = {{"llama", MM__VOCAB_SPM}, {"gpt2", MM__VOCAB_BPE}, {"bert", MM__VOCAB_WORDPIECE}, {"t5", MM__VOCAB_UNIGRAM}};
    mm__gguf_value v = mm__gguf_get(g, "tokenizer.ggml.model");
    const char *name = v.kind == MM__GGUF_STR ? v.s : "";
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, name) == 0) {
            *kind = kinds[i].kind;
            return MM_OK;
        }
    return mm__fail(err, MM_E_UNSUPPORTED, "%s: tokenizer.ggml.model \"%s\" is not supported", mm__gguf_path(g), name);
}

static mm_status gguf_arrays(gguf_vocab *b, const mm__gguf *g, mm_error *err)
{
    mm_status st;
    mm__gguf_value tokens = mm__gguf_get(g, "tokenizer.ggml.tokens");
    if (tokens.kind != MM__GGUF_ARRAY || tokens.elem != MM__GGUF_STR || !tokens.n)
        return mm__fail(err, MM_E_FORMAT, "%s: tokenizer.ggml.tokens is missing", mm__gguf_path(g));
    if ((st = gguf_strings(b->mem, &tokens, &b->tokens, &b->token_len, err)) != MM_OK) return st;
    b->v.n = tokens.n;
    mm__gguf_value scores = mm__gguf_get(g, "tokenizer.ggml.scores");
    mm__gguf_value types = mm__gguf_get(g, "tokenizer.ggml.token_type");
    if (scores.kind == MM__GGUF_ARRAY && scores.n == tokens.n) b->scores = mm__calloc(b->mem, tokens.n, sizeof *b->scores);
    if (types.kind == MM__GGUF_ARRAY && types.n == tokens.n) b->types = mm__calloc(b->mem, tokens.n, sizeof *b->types);
    if ((scores.n == tokens.n && scores.kind == MM__GGUF_ARRAY && !b->scores) ||
        (types.n == tokens.n && types.kind == MM__GGUF_ARRAY && !b->types))
        return mm__nomem(err, "a vocabulary");
    for (size_t i = 0; i < tokens.n; i++) {
        if (b->scores) b->scores[i] = (float)mm__gguf_elem(&scores, i).f;
        if (b->types) b->types[i] = (int32_t)mm__gguf_elem(&types, i).i;
    }
    mm__gguf_value merges = mm__gguf_get(g, "tokenizer.ggml.merges");
    if (merges.kind == MM__GGUF_ARRAY && merges.elem == MM__GGUF_STR) {
        if ((st = gguf_strings(b->mem, &merges, &b->merges, &b->merge_len, err)) != MM_OK) return st;
        b->v.n_merges = merges.n;
    }
    mm__gguf_value map = mm__gguf_get(g, "tokenizer.ggml.precompiled_charsmap");
    if (map.kind == MM__GGUF_ARRAY && map.elem == MM__GGUF_INT && map.n) {
        if (!(b->charsmap = mm__alloc(b->mem, map.n))) return mm__nomem(err, "a character map");
        for (size_t i = 0; i < map.n; i++) b->charsmap[i] = (uint8_t)mm__gguf_elem(&map, i).i;
        b->v.charsmap_len = map.n;
    }
    return MM_OK;
}

static mm_status tokenizer_from_gguf(mm__assembly *a, const mm__gguf *g, mm_error *err)
{
    gguf_vocab b = {.mem = a->mem};
    mm_status st = gguf_model_kind(g, &b.v.model, err);
    if (st == MM_OK) st = gguf_arrays(&b, g, err);
    if (st == MM_OK) {
        mm__gguf_value pre = mm__gguf_get(g, "tokenizer.ggml.pre");
        b.v.tokens = b.tokens;
        b.v.token_len = b.token_len;
        b.v.scores = b.scores;
        b.v.types = b.types;
        b.v.merges = b.merges;
        b.v.merge_len = b.merge_len;
        b.v.charsmap = b.charsmap;
        b.v.pre = pre.kind == MM__GGUF_STR ? pre.s : "default";
        b.v.bos = gguf_id(g, "tokenizer.ggml.bos_token_id");
        b.v.eos = gguf_id(g, "tokenizer.ggml.eos_token_id");
        b.v.unk = gguf_id(g, "tokenizer.ggml.unknown_token_id");
        b.v.pad = gguf_id(g, "tokenizer.ggml.padding_token_id");
        b.v.cls = gguf_id(g, "tokenizer.ggml.cls_token_id");
        b.v.sep = gguf_id(g, "tokenizer.ggml.seperator_token_id");
        b.v.add_bos = gguf_flag(g, "tokenizer.ggml.add_bos_token");
        b.v.add_eos = gguf_flag(g, "tokenizer.ggml.add_eos_token");
        b.v.add_space_prefix = gguf_flag(g, "tokenizer.ggml.add_space_prefix");
        b.v.remove_extra_spaces = gguf_flag(g, "tokenizer.ggml.remove_extra_whitespaces");
        st = mm__tokenizer_from_vocab(a->mem, &b.v, mm__gguf_path(g), &a->tokenizer, err);
    }
    gguf_vocab_free(&b);
    return st;
}

static mm_status tokenizer_from_files(mm__assembly *a, const mm__source *s, mm_error *err)
{
    if (s->tokenizer.root)
        return mm__tokenizer_from_json(a->mem, s->tokenizer.root, s->tokenizer_config.root, s->tokenizer.path, &a->tokenizer, err);
    if (!s->spm_path) return mm__assembly_plain_vocab(a, s, err);
    char *bytes;
    size_t len;
    mm_status st = mm__read_file(&s->files, s->spm_path, MM__LIMIT_SIDE_FILE_BYTES, &bytes, &len, err);
    if (st != MM_OK) return st;
    st = mm__tokenizer_from_spm(a->mem, bytes, len, s->tokenizer_config.root, a->plain_text, s->spm_path, &a->tokenizer, err);
    mm__free(a->mem, bytes);
    return st;
}

/* ---- names of special tokens ---- */

/* A token is written as a string or as an object with "content". */
static const char *token_text(const mm__json *v, size_t *len)
{
    if (mm__json_kind(v) == MM__JSON_OBJECT) v = mm__json_get(v, "content");
    return mm__json_str(v, len, NULL);
}

static mm_status special_token(mm__assembly *a, const mm__source *s, const char *key, const char *name, char **out, mm_error *err)
{
    size_t len = 0;
    const char *t = token_text(mm__json_get(s->tokenizer_config.root, key), &len);
    if (!t) t = token_text(mm__json_get(s->special_tokens.root, key), &len);
    int32_t id = mm__tokenizer_special(a->tokenizer, name);
    if (!t && id >= 0) t = mm__tokenizer_token(a->tokenizer, id, &len);
    if (!t) return MM_OK;
    return (*out = mm__strndup(a->mem, t, len)) ? MM_OK : mm__nomem(err, "a token");
}

/* ---- end of text ---- */

static void add_eos(mm__assembly *a, int64_t id)
{
    if (id < 0 || id > INT32_MAX || a->n_eos == MM__MAX_EOS) return;
    for (int i = 0; i < a->n_eos; i++)
        if (a->eos[i] == id) return;
    a->eos[a->n_eos++] = (int32_t)id;
}

static void add_eos_json(mm__assembly *a, const mm__json *v)
{
    if (mm__json_kind(v) == MM__JSON_ARRAY)
        for (size_t i = 0; i < mm__json_count(v); i++) add_eos(a, mm__json_int(mm__json_at(v, i), -1));
    else
        add_eos(a, mm__json_int(v, -1));
}

/* Tokens that close a turn in common chat layouts; they end an answer when the template writes them. */
static void add_turn_ends(mm__assembly *a)
{
    static const char *const ends[] = {"<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>", "<end_of_utterance>", "<|eot|>"};
    for (size_t i = 0; a->chat_text && i < sizeof ends / sizeof *ends; i++)
        if (strstr(a->chat_text, ends[i])) add_eos(a, mm__tokenizer_id(a->tokenizer, ends[i], strlen(ends[i])));
}

static void find_eos(mm__assembly *a, const mm__source *s)
{
    const mm__json *gen = s->generation.root;
    if (gen && !mm__json_bool(mm__json_get(gen, "_from_model_config"), false))
        add_eos_json(a, mm__json_get(gen, "eos_token_id"));
    add_eos_json(a, mm__json_get(s->config.root, "eos_token_id"));
    add_eos_json(a, mm__json_path(s->config.root, "text_config.eos_token_id"));
    if (s->gguf) {
        add_eos(a, gguf_id(s->gguf, "tokenizer.ggml.eos_token_id"));
        add_eos(a, gguf_id(s->gguf, "tokenizer.ggml.eot_token_id"));
        add_eos(a, gguf_id(s->gguf, "tokenizer.ggml.eom_token_id"));
    }
    if (!a->n_eos) add_eos(a, mm__tokenizer_special(a->tokenizer, "eos"));
    add_turn_ends(a);
}

/* ---- chat template ---- */

/* tokenizer_config.json has one template, or a list of named ones of which "default" is meant. */
static const char *config_template(const mm__source *s, size_t *len)
{
    const mm__json *v = mm__json_get(s->tokenizer_config.root, "chat_template");
    if (!v) v = mm__json_get(s->processor.root, "chat_template");
    for (size_t i = 0; mm__json_kind(v) == MM__JSON_ARRAY && i < mm__json_count(v); i++) {
        const mm__json *t = mm__json_at(v, i);
        if (strcmp(mm__json_str(mm__json_get(t, "name"), NULL, ""), "default") == 0)
            return mm__json_str(mm__json_get(t, "template"), len, NULL);
    }
    return mm__json_str(v, len, NULL);
}

static mm_status find_template(mm__assembly *a, const mm__source *s, mm_error *err)
{
    size_t len = 0;
    const char *t = s->chat_template;
    if (t) len = strlen(t);
    else t = config_template(s, &len);
    if (!t && s->gguf) {
        mm__gguf_value v = mm__gguf_get(s->gguf, "tokenizer.chat_template");
        if (v.kind == MM__GGUF_STR) {
            t = v.s;
            len = v.n;
        }
    }
    if (!t && a->prompt.chat_template) {
        t = a->prompt.chat_template;
        len = strlen(t);
    }
    if (!t) return MM_OK;
    if (!(a->chat_text = mm__strndup(a->mem, t, len))) return mm__nomem(err, "a chat template");
    mm_status st = mm__template_compile(a->mem, t, len, &a->chat, err);
    return st == MM_OK ? st : mm__fail_prefix(err, st, s->path);
}

mm_status mm__assembly_text(mm__assembly *a, mm__source *s, mm_error *err)
{
    mm_status st = s->gguf ? tokenizer_from_gguf(a, s->gguf, err) : tokenizer_from_files(a, s, err);
    if (st == MM_OK) st = special_token(a, s, "bos_token", "bos", &a->bos_token, err);
    if (st == MM_OK) st = special_token(a, s, "eos_token", "eos", &a->eos_token, err);
    if (st == MM_OK) st = find_template(a, s, err);
    if (st == MM_OK) find_eos(a, s);
    return st;
}

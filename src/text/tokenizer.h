/* Text <-> token ids. One object serves byte-level BPE, SentencePiece-style BPE with byte fallback, Unigram and
 * WordPiece; what differs is data. Immutable after creation, so any number of threads may use one.
 *
 * Sources: a tokenizer.json document (all of added tokens, normalizer, pre-tokenizer, model, post-processor, decoder), a
 * neutral vocabulary description (filled from GGUF keys or a speech .bin by the caller), or a SentencePiece .model. */
#ifndef MM__TEXT_TOKENIZER_H
#define MM__TEXT_TOKENIZER_H

#include "../base/buf.h"
#include "../base/json.h"

typedef struct mm__tokenizer mm__tokenizer;
struct mm__plain;

/* Kinds of mm__vocab.model. */
#define MM__VOCAB_SPM 0       /* merges by score, byte fallback ("llama") */
#define MM__VOCAB_BPE 1       /* byte-level, merges by rank ("gpt2") */
#define MM__VOCAB_WORDPIECE 2 /* "bert": word starts carry U+2581 */
#define MM__VOCAB_UNIGRAM 3   /* "t5" */

/* Token types, as GGUF numbers them. */
#define MM__TOK_NORMAL 1
#define MM__TOK_UNKNOWN 2
#define MM__TOK_CONTROL 3
#define MM__TOK_USER 4
#define MM__TOK_UNUSED 5
#define MM__TOK_BYTE 6

typedef struct mm__vocab {
    int model;                /* MM__VOCAB_* */
    size_t n;
    const char *const *tokens;    /* byte strings; BPE: in the byte-level alphabet unless raw_bytes */
    const size_t *token_len;
    const float *scores;      /* or NULL */
    const int32_t *types;     /* MM__TOK_*, or NULL: all normal */
    const char *const *merges;    /* "left right", in rank order, or NULL: ranks follow ids */
    const size_t *merge_len;
    size_t n_merges;
    const char *pre;          /* pre-tokenizer id ("llama-bpe", "qwen2", "gpt-2", "smollm", ...); unknown: MM_E_UNSUPPORTED */
    bool raw_bytes;           /* BPE tokens are plain bytes, not the 256-letter alphabet */
    int32_t bos, eos, unk, pad, cls, sep; /* -1: none */
    int add_bos, add_eos, add_space_prefix, remove_extra_spaces; /* 0, 1, or -1: the model kind's default */
    const uint8_t *charsmap;  /* precompiled character map, or NULL */
    size_t charsmap_len;
} mm__vocab;

/* `config`: tokenizer_config.json's object or NULL (add_bos_token, legacy, lower-casing ... where tokenizer.json is
 * silent). `what` names the source in errors. */
mm_status mm__tokenizer_from_json(mm__mem *mem, const mm__json *doc, const mm__json *config, const char *what,
                                  mm__tokenizer **out, mm_error *err);
mm_status mm__tokenizer_from_vocab(mm__mem *mem, const mm__vocab *vocab, const char *what, mm__tokenizer **out, mm_error *err);
/* A SentencePiece .model (protobuf), with tokenizer_config.json's object or NULL. `plain`: the product strips ASCII punctuation
 * and collapses white space before anything else, which neither file says. */
mm_status mm__tokenizer_from_spm(mm__mem *mem, const void *bytes, size_t len, const mm__json *config, bool plain, const char *what,
                                 mm__tokenizer **out, mm_error *err);
void mm__tokenizer_destroy(mm__tokenizer *t);

#define MM__TOKENIZE_AROUND 1u  /* add what the post-processor adds (BOS, CLS ... SEP, </s>) */
#define MM__TOKENIZE_SPECIAL 2u /* match special (control) tokens in the text */

typedef struct mm__ids {
    mm__mem *mem;
    int32_t *data;
    size_t len, cap;
    bool failed;
} mm__ids;

void mm__ids_init(mm__ids *ids, mm__mem *mem);
void mm__ids_free(mm__ids *ids);
void mm__ids_clear(mm__ids *ids); /* empty and usable again, memory kept */
bool mm__ids_push(mm__ids *ids, int32_t id);
bool mm__ids_append(mm__ids *ids, const int32_t *p, size_t n);

/* Appends the ids of `text`. Invalid UTF-8 bytes are replaced by U+FFFD where the model cannot hold bytes. */
mm_status mm__tokenize(const mm__tokenizer *t, const char *text, size_t len, unsigned flags, mm__ids *out, mm_error *err);
/* The same for a text in which stand-ins (plain.h) keep characters from opening a special token; NULL: none. */
mm_status mm__tokenize_plain(const mm__tokenizer *t, const char *text, size_t len, unsigned flags, const struct mm__plain *plain,
                             mm__ids *out, mm_error *err);

/* Appends the text in lower case, character by character. */
void mm__text_lower(const char *s, size_t n, mm__buf *out);

size_t mm__tokenizer_size(const mm__tokenizer *t);        /* largest id + 1 */
int32_t mm__tokenizer_id(const mm__tokenizer *t, const char *token, size_t len); /* -1 when absent; added tokens too */
/* Stored spelling of an id, NULL when there is none. */
const char *mm__tokenizer_token(const mm__tokenizer *t, int32_t id, size_t *len);
bool mm__tokenizer_is_special(const mm__tokenizer *t, int32_t id);
/* Named specials: "bos", "eos", "unk", "pad", "cls", "sep"; -1 when the source does not say. */
int32_t mm__tokenizer_special(const mm__tokenizer *t, const char *name);
bool mm__tokenizer_adds_bos(const mm__tokenizer *t);

/* Streaming detokenizer: appends the bytes one id contributes, given what came before (`state` starts zeroed). The bytes
 * may end inside a character; with MM__TOKENIZE_SPECIAL special tokens are spelled out. */
typedef struct mm__detok { bool started, blank; } mm__detok; /* blank: one is due in front of the next token */
mm_status mm__detokenize_next(const mm__tokenizer *t, mm__detok *state, int32_t id, unsigned flags, mm__buf *out);
mm_status mm__detokenize(const mm__tokenizer *t, const int32_t *ids, size_t n, unsigned flags, mm__buf *out);

#endif

/* Private to the tokenizer. A text goes through
 *
 *   added tokens -> normaliser -> added tokens (normalised) -> pre-tokenizer -> model -> post-processor
 *
 * and every stage is data: a short array of operations filled by one of the loaders (load_json.c, load_vocab.c,
 * load_spm.c). Nothing here changes after loading. One call of mm__tokenize owns one mm__encode, which holds every
 * scratch buffer, so threads share only constant data.
 *
 * Ids: 0 .. tokens.n-1. A "special" token is one that user text must not be able to spell unless the caller asks for it
 * (MM__TOKENIZE_SPECIAL); models are built without the special pieces, so merges cannot produce them either. */
#ifndef MM__TEXT_TOKENIZER_IMPL_H
#define MM__TEXT_TOKENIZER_IMPL_H

#include "../base/alloc.h"
#include "../base/buf.h"
#include "../base/ckd.h"
#include "../base/error.h"
#include "../base/limits.h"
#include "../base/utf8.h"
#include "tokenizer.h"
#include <string.h>

#define MM__TOKEN_MAX ((size_t)1024)     /* bytes of one spelling: matching costs up to that many steps a byte of text */
#define MM__SPOKEN_MAX ((size_t)16384)   /* bytes that one id may become when it is decoded */
#define MM__REGEX_STEPS(n) (((uint64_t)64 << 20) + (uint64_t)256 * (n)) /* for all matches in a text of n bytes */
#define MM__TOKENIZER_OPS 32             /* operations per stage */
#define MM__NO_RANK UINT32_MAX
#define MM__META "\xE2\x96\x81"          /* U+2581, the visible space */
#define MM__META_LEN 3u

/* Bytes of one text, also while it is normalised; positions are 32 bits wide. */
static inline size_t mm__text_max(const mm__mem *mem)
{
    return (size_t)mm__limit(mem, MM__LIMIT_PROMPT_BYTES);
}

/* ---- characters (chars.c) ---- */

#define MM__CH_L 1u      /* letter */
#define MM__CH_N 2u      /* number: Nd, Nl, No */
#define MM__CH_S 4u      /* White_Space */
#define MM__CH_M 8u      /* mark */
#define MM__CH_UP 16u    /* Lu Lt Lm Lo M: may open a cased word */
#define MM__CH_LOW 32u   /* Ll Lm Lo M: may close a cased word */
#define MM__CH_NL 64u    /* CR, LF */
#define MM__CH_P 128u    /* category P or ASCII punctuation */

unsigned mm__char_class(uint32_t cp);
bool mm__char_is_cjk(uint32_t cp);
/* \w of a regular expression: letters, marks, decimal digits, connectors. */
bool mm__char_is_word(uint32_t cp);
uint32_t mm__char_lower(uint32_t cp);

/* Decodes at s[0..n), n > 0; an invalid byte gives U+FFFD and length 1. */
static inline size_t mm__char_at(const char *s, size_t n, uint32_t *cp)
{
    unsigned char c = (unsigned char)s[0];
    if (c < 0x80) { *cp = c; return 1; }
    return mm__utf8_decode(s, n, cp, NULL);
}
/* Length of the character that ends at s[n), n > 0 (1 for an invalid byte), and what it is. */
size_t mm__char_before(const char *s, size_t n, uint32_t *cp);
void mm__buf_put_char(mm__buf *b, uint32_t cp);
/* Copies with every invalid byte replaced by U+FFFD. */
void mm__utf8_repair(const char *s, size_t n, mm__buf *out);

/* The 256-letter alphabet of byte-level vocabularies: bytes 33-126, 161-172 and 174-255 stand for themselves, the other
 * 68 are U+0100, U+0101, ... in order. */
uint32_t mm__letter_of_byte(uint8_t byte);
int mm__byte_of_letter(uint32_t cp); /* -1: not a letter of the alphabet */
void mm__buf_put_letters(mm__buf *b, const char *bytes, size_t n);
/* Appends the bytes a spelling stands for; false (and nothing appended) when a character is outside the alphabet. */
bool mm__buf_put_spelled(mm__buf *b, const char *letters, size_t n);

/* ---- trie over byte strings (trie.c) ---- */

typedef struct mm__trie {
    mm__mem *mem;
    uint64_t *key;       /* open addressing: parent << 8 | byte, plus 1; 0 = free */
    uint32_t *child;
    size_t mask, n_edges;
    int32_t *value;      /* by node; -1: no string ends here */
    size_t n_nodes, cap_nodes;
    uint32_t root[256];  /* children of node 0 */
    uint64_t seed;
} mm__trie;

bool mm__trie_init(mm__trie *t, mm__mem *mem, size_t expected_bytes);
void mm__trie_free(mm__trie *t);
bool mm__trie_put(mm__trie *t, const char *s, size_t n, int32_t value); /* false: out of memory */
uint32_t mm__trie_step(const mm__trie *t, uint32_t node, uint8_t byte); /* 0: no such child */
/* Longest string of the trie at the start of s; its value or -1. */
int32_t mm__trie_longest(const mm__trie *t, const char *s, size_t n, size_t *len);

/* ---- token table (tokens.c) ---- */

#define MM__ATTR_PRESENT 1u
#define MM__ATTR_SPECIAL 2u
#define MM__ATTR_ADDED 4u   /* matched in raw text before the model sees it */
#define MM__ATTR_BYTE 8u    /* <0xNN> of a byte-fallback vocabulary */
#define MM__ATTR_HIDDEN 16u /* never produced by a model: unused, or added without being in its vocabulary */

typedef struct mm__tokens {
    mm__mem *mem;
    size_t n;
    mm__buf pool;        /* spellings, NUL behind each */
    uint32_t *off, *len;
    uint8_t *attr;
    int32_t *slot;       /* hash table of ids, -1 = free */
    size_t mask, used;
    uint64_t seed;
} mm__tokens;

uint64_t mm__text_hash(uint64_t seed, const char *s, size_t n);
uint64_t mm__text_seed(const void *where);
bool mm__tokens_init(mm__tokens *t, mm__mem *mem, size_t n, size_t expected_bytes);
void mm__tokens_free(mm__tokens *t);
/* Names id < n and makes the spelling findable (a later equal spelling takes it over). False: out of memory. */
bool mm__tokens_put(mm__tokens *t, int32_t id, const char *s, size_t len, unsigned attr);
int32_t mm__tokens_find(const mm__tokens *t, const char *s, size_t len);
static inline const char *mm__tokens_str(const mm__tokens *t, int32_t id, size_t *len)
{
    *len = t->len[id];
    return t->pool.data + t->off[id];
}

/* ---- regular expressions (regex.c) and the hand-written scanners (scan.c) ---- */

typedef struct mm__regex mm__regex;
mm_status mm__regex_compile(mm__mem *mem, const char *pattern, size_t len, const char *what, mm__regex **out, mm_error *err);
void mm__regex_free(mm__regex *r);
typedef struct mm__regex_run mm__regex_run; /* match state of one call */
mm__regex_run *mm__regex_run_create(const mm__regex *r);
void mm__regex_run_free(mm__regex_run *run);
/* First match at or behind `from`, which is 0 for the first search in a text; that one refuses text that is not UTF-8.
 * *found false when there is none. Work is paid from *steps; none left: MM_E_LIMIT. */
mm_status mm__regex_next(const mm__regex *r, mm__regex_run *run, const char *text, size_t len, size_t from, uint64_t *steps,
                         bool *found, size_t *start, size_t *end, mm_error *err);

typedef struct mm__scan {
    uint8_t words;        /* MM__SCAN_* */
    uint8_t digits;       /* longest digit run, 0: any length with an optional leading space */
    bool contractions;    /* 's 't 're 've 'm 'll 'd open a match */
    bool suffix;          /* ... or close a cased word */
    bool fold;            /* ... in either case */
    bool marks;           /* marks count as letters */
    bool lines;           /* \s*[\r\n]+ is an alternative and punctuation swallows line ends */
    bool slash;           /* ... and slashes */
} mm__scan;
#define MM__SCAN_SPACED 0 /* " ?\p{L}+" */
#define MM__SCAN_PREFIX 1 /* "[^\r\n\p{L}\p{N}]?\p{L}+" */
#define MM__SCAN_CASED 2  /* the same with upper-case opening and lower-case closing */
#define MM__SCAN_BARE 3   /* "\p{L}+", single digits, white space skipped */

/* Named by what tells them apart: digit runs of at most three or one, marks as letters, cased words (with contractions). */
extern const mm__scan mm__scan_gpt2, mm__scan_three, mm__scan_one, mm__scan_marks, mm__scan_cased, mm__scan_cased_short;
/* The scanner of a well-known pattern, or NULL. */
const mm__scan *mm__scan_of_pattern(const char *pattern, size_t len);
/* End of the match that starts at pos < n; for MM__SCAN_BARE *start may move past white space (end == n: none left). */
size_t mm__scan_next(const mm__scan *k, const char *s, size_t n, size_t pos, size_t *start);

/* ---- pre-compiled character map (charsmap.c) ---- */

typedef struct mm__charsmap {
    uint8_t *bytes;      /* own copy */
    const uint8_t *units;
    size_t n_units;
    const char *text;
    size_t text_len;
} mm__charsmap;
mm_status mm__charsmap_init(mm__charsmap *m, mm__mem *mem, const uint8_t *bytes, size_t len, const char *what, mm_error *err);
void mm__charsmap_free(mm__charsmap *m, mm__mem *mem);
/* Replacement of a prefix of s, NULL when there is none; `longest` false: the shortest prefix that has one. */
const char *mm__charsmap_find(const mm__charsmap *m, const char *s, size_t n, bool longest, size_t *used);
/* As the `tokenizers` library applies it: whole grapheme clusters below 6 bytes first, then single characters. */
void mm__charsmap_apply(const mm__charsmap *m, const char *s, size_t n, mm__buf *out);

/* ---- operations ---- */

typedef struct mm__text { char *s; size_t n; } mm__text; /* own copy, may hold NUL */

typedef enum mm__norm_kind {
    MM__NORM_NFC, MM__NORM_NFD, MM__NORM_NFKC, MM__NORM_NFKD, MM__NORM_LOWER, MM__NORM_STRIP, MM__NORM_ACCENTS,
    MM__NORM_PREPEND, MM__NORM_REPLACE, MM__NORM_REPLACE_SPACES, MM__NORM_REPLACE_REGEX, MM__NORM_BERT, MM__NORM_CHARSMAP,
    MM__NORM_LETTERS, MM__NORM_NMT, MM__NORM_SPM, MM__NORM_PLAIN
} mm__norm_kind;

/* REPLACE_SPACES: runs of at least `min` white-space characters (only U+0020 when `blank`). BERT: a = clean, b = CJK,
 * c = strip accents, d = lower. STRIP: a = left, b = right. SPM (SentencePiece's own normaliser): a = dummy prefix,
 * b = remove extra white space. PLAIN: ASCII punctuation removed, white space collapsed and trimmed. */
typedef struct mm__norm {
    mm__norm_kind kind;
    mm__text pattern, content;
    bool a, b, c, d, blank;
    size_t min;
    mm__regex *regex;
    mm__charsmap map; /* CHARSMAP, SPM; bytes NULL: none */
} mm__norm;

/* Result in `out`. *steps: what regular expressions may still cost. More bytes than a text may have are MM_E_LIMIT. */
mm_status mm__normalize(mm__mem *mem, const mm__norm *ops, size_t n_ops, const char *text, size_t len, mm__buf *out,
                        mm__buf *spare, uint64_t *steps, mm_error *err);
/* True when the operation passes bytes that are no UTF-8 through unchanged. */
bool mm__norm_keeps_bytes(const mm__norm *op);
void mm__norm_free(mm__norm *op, mm__mem *mem);

typedef enum mm__match_kind {
    MM__MATCH_SCAN, MM__MATCH_REGEX, MM__MATCH_TEXT, MM__MATCH_DIGIT, MM__MATCH_SPACE, MM__MATCH_PUNCT, MM__MATCH_WORD
} mm__match_kind;
typedef enum mm__behavior {
    MM__REMOVED, MM__ISOLATED, MM__WITH_PREVIOUS, MM__WITH_NEXT, MM__CONTIGUOUS
} mm__behavior;

/* One splitting step: optionally edits the piece first (`meta`: blanks become `text`, and one goes in front according
 * to `prepend`; `prefix_space`: a blank goes in front), then cuts it. */
typedef struct mm__pretok {
    bool meta, prefix_space, cut, invert;
    uint8_t prepend; /* MM__PREPEND_* */
    mm__match_kind match;
    mm__behavior behavior;
    const mm__scan *scan;
    mm__regex *regex;
    mm__text text;
} mm__pretok;
#define MM__PREPEND_NEVER 0
#define MM__PREPEND_FIRST 1
#define MM__PREPEND_ALWAYS 2

typedef enum mm__decode_kind {
    MM__DECODE_LETTERS, MM__DECODE_META, MM__DECODE_WORDPIECE, MM__DECODE_SUFFIX, MM__DECODE_BYTES, MM__DECODE_STRIP,
    MM__DECODE_REPLACE
} mm__decode_kind;
/* META: content = what spells a blank, a = drop it in front of the text. WORDPIECE: content = continuation prefix,
 * a = clean up. SUFFIX: content = end-of-word mark. STRIP: pattern = one character, n = how many at the start. */
typedef struct mm__decode {
    mm__decode_kind kind;
    mm__text pattern, content;
    bool a;
    size_t n;
} mm__decode;

typedef struct mm__post { /* one part of what stands around a text */
    bool text;            /* the text itself; else the id */
    int32_t id;
} mm__post;

/* ---- models ---- */

typedef enum mm__model_kind { MM__MODEL_BPE, MM__MODEL_UNIGRAM, MM__MODEL_WORDPIECE } mm__model_kind;

typedef struct mm__pair { uint32_t rank; int32_t id; } mm__pair;

typedef struct mm__bpe {
    /* by merges: hash of (left id, right id); by concatenation: rank of the token that two neighbours spell together */
    uint64_t *pair_key;
    mm__pair *pair;
    size_t pair_mask, n_pairs;
    uint64_t seed;
    uint32_t *rank;          /* by id, only when merging by concatenation */
    size_t max_len;          /* longest token that a concatenation can give */
    bool letters;            /* pieces are bytes, symbols their alphabet letters */
    bool bytes;              /* pieces are bytes, symbols are bytes (vocabulary of raw bytes) */
    bool byte_fallback, fuse_unk, ignore_merges;
    bool word_cuts;          /* no token runs across a space into U+2581: cutting there is exact */
    int32_t byte_id[256];    /* letter, raw byte or <0xNN>; -1: none */
    int32_t byte_last[256];  /* the same with the end-of-word mark */
    mm__text prefix, suffix;
    int32_t unk;
} mm__bpe;

typedef struct mm__unigram {
    mm__trie trie;
    double *score;           /* by id */
    double unk_score;
    int32_t unk;
    bool byte_fallback, word_cuts;
    int32_t byte_id[256];
} mm__unigram;

typedef struct mm__wordpiece {
    mm__trie start, inner;   /* word starts; continuations without their prefix */
    int32_t unk;
    size_t max_chars;
} mm__wordpiece;

typedef struct mm__added_token {
    int32_t id;
    bool special, single_word, lstrip, rstrip, normalized;
} mm__added_token;

struct mm__tokenizer {
    mm__mem *mem;
    mm__tokens tokens;
    mm__added_token *added;      /* trie values index this */
    size_t n_added, cap_added;
    mm__trie raw, normal;        /* added tokens matched before / after normalisation */
    bool has_raw, has_normal;
    mm__norm *norm;
    size_t n_norm;
    mm__pretok *pretok;
    size_t n_pretok;
    mm__model_kind kind;
    mm__bpe bpe;
    mm__unigram unigram;
    mm__wordpiece wordpiece;
    mm__post *post;
    size_t n_post;
    mm__decode *decode;
    size_t n_decode;
    bool keeps_bytes;            /* invalid UTF-8 reaches the model as bytes */
    int32_t bos, eos, unk, pad, cls, sep;
};

/* Scratch of one call. */
typedef struct mm__sym {
    uint32_t prev, next;     /* neighbours, UINT32_MAX at the ends */
    uint32_t off, len;       /* bytes of the piece (merging by concatenation) */
    int32_t id;              /* -1: nothing in the vocabulary */
    uint32_t rank;           /* of merging this symbol with the next one, MM__NO_RANK: impossible */
    int32_t to;              /* what that gives */
} mm__sym;

typedef struct mm__encode {
    const mm__tokenizer *t;
    mm__mem *mem;
    mm__ids *out;
    mm_error *err;
    unsigned flags;
    const struct mm__plain *plain; /* stand-ins in the text, or NULL */
    mm__sym *sym;
    size_t n_sym, cap_sym;
    uint64_t *heap;
    size_t n_heap, cap_heap;
    struct mm__best { double score; uint32_t from; int32_t id; } *best;
    size_t cap_best;
    mm__buf norm, spare, word, shown;
    mm__buf edit[MM__TOKENIZER_OPS];
    mm__regex_run *run[MM__TOKENIZER_OPS];
    uint64_t steps; /* left for regular expressions */
} mm__encode;

/* One piece. */
mm_status mm__bpe_encode(mm__encode *e, const char *s, size_t n);
mm_status mm__unigram_encode(mm__encode *e, const char *s, size_t n);
mm_status mm__wordpiece_encode(mm__encode *e, const char *s, size_t n);
/* Cuts one normalised segment and hands the pieces to the model. `first`: it starts where the text starts. */
mm_status mm__pretok_run(mm__encode *e, const char *s, size_t n, bool first);
mm_status mm__model_encode(mm__encode *e, const char *s, size_t n);
/* Points s at what every stage may rely on: a text within the limit "prompt_bytes", in UTF-8 unless the model can hold stray
 * bytes. `fixed`, empty, holds the repaired text where one is needed. */
mm_status mm__text_repair(const mm__tokenizer *t, const char **s, size_t *n, mm__buf *fixed, mm_error *err);

/* Whether byte tokens can spell s; whether there is one for every byte of a multi-byte character. */
bool mm__bytes_known(const int32_t *byte_id, const char *s, size_t n);
bool mm__bytes_complete(const int32_t *byte_id);
/* Length of a prefix of s that ends in front of a U+2581 which follows something else; n when there is none. */
size_t mm__word_cut(const char *s, size_t n);

/* Building. `tokens` must be complete. */
mm_status mm__bpe_reserve(mm__tokenizer *t, size_t n_merges, mm_error *err);
bool mm__bpe_add_merge(mm__tokenizer *t, int32_t left, int32_t right, int32_t to, uint32_t rank);
mm_status mm__bpe_finish(mm__tokenizer *t, mm_error *err);
/* Next match of the added tokens that `flags` allow. */
bool mm__added_next(const mm__tokenizer *t, const mm__trie *trie, const char *s, size_t n, size_t from, unsigned flags,
                    size_t *start, size_t *end, int32_t *id);
/* Whether s spells a special token of the trie anywhere, be it inside another token. */
bool mm__added_spelled(const mm__tokenizer *t, const mm__trie *trie, const char *s, size_t n);
/* Fills the tries from t->added once the normaliser is known. */
mm_status mm__added_build(mm__tokenizer *t, mm_error *err);

/* Loader helpers. */
mm_status mm__tokenizer_new(mm__mem *mem, mm__tokenizer **out, mm_error *err);
bool mm__text_set(mm__mem *mem, mm__text *t, const char *s, size_t n);
/* Room for one more operation of a stage; NULL when memory is short or the stage is full. */
mm__norm *mm__tokenizer_add_norm(mm__tokenizer *t, mm__norm_kind kind);
mm__pretok *mm__tokenizer_add_pretok(mm__tokenizer *t);
mm__decode *mm__tokenizer_add_decode(mm__tokenizer *t, mm__decode_kind kind);
bool mm__tokenizer_add_post(mm__tokenizer *t, mm__post part);
bool mm__tokenizer_add_added(mm__tokenizer *t, mm__added_token a);
/* Templates from plain flags (-1: no such token). */
bool mm__tokenizer_simple_post(mm__tokenizer *t, int32_t bos, int32_t eos);

/* What load_spm.c knows beyond an mm__vocab. */
typedef struct mm__vocab_extra {
    bool lower, plain;     /* lower case; no ASCII punctuation and single blanks */
    const uint8_t *strip;  /* by id: 1 = lstrip, 2 = rstrip; or NULL */
} mm__vocab_extra;
mm_status mm__tokenizer_from_vocab_extra(mm__mem *mem, const mm__vocab *vocab, const mm__vocab_extra *extra, const char *what,
                                         mm__tokenizer **out, mm_error *err);
/* "<0xNN>" -> NN, else -1. */
int mm__byte_token(const char *s, size_t n);

/* Stages of a tokenizer.json document (load_json_ops.c). */
mm_status mm__load_normalizer(mm__tokenizer *t, const mm__json *v, const char *what, int depth, mm_error *err);
mm_status mm__load_pretok(mm__tokenizer *t, const mm__json *v, const char *what, int depth, bool *letters, mm_error *err);
mm_status mm__load_post(mm__tokenizer *t, const mm__json *v, const char *what, int depth, mm_error *err);
mm_status mm__load_decoder(mm__tokenizer *t, const mm__json *v, const char *what, int depth, mm_error *err);
/* The pre-tokenizer a vocabulary file names; sets *letters. */
mm_status mm__load_pre_name(mm__tokenizer *t, const char *name, const char *what, bool raw_bytes, mm_error *err);

#endif

/* Hand-written scanners for the pre-tokenizer patterns that most vocabularies share. They differ in a few switches
 * (mm__scan), so one function serves them all. Each call returns one match; alternatives are tried in the pattern's
 * order, and the places where a regular expression would backtrack are resolved by looking at runs:
 *
 *   \s+(?!\S)      a run of white space followed by text gives up its last character
 *   \s*[\r\n]+     ends behind the last line end of the run
 *   U*W+           (cased words) U and W overlap in marks and caseless letters: the match ends behind the last character
 *                  of the run that may close a word
 *
 * No recursion, no allocation, every character is looked at a bounded number of times. Patterns as published with GPT-2,
 * cl100k, o200k, Llama 3, Qwen 2, Tekken and CLIP. */
#include "tokenizer_impl.h"

const mm__scan mm__scan_gpt2 = {.words = MM__SCAN_SPACED, .contractions = true};
const mm__scan mm__scan_three = {.words = MM__SCAN_PREFIX, .digits = 3, .contractions = true, .fold = true, .lines = true};
const mm__scan mm__scan_one = {.words = MM__SCAN_PREFIX, .digits = 1, .contractions = true, .fold = true, .lines = true};
const mm__scan mm__scan_marks = {
    .words = MM__SCAN_PREFIX, .digits = 1, .contractions = true, .fold = true, .lines = true, .marks = true};
const mm__scan mm__scan_cased = {.words = MM__SCAN_CASED, .digits = 1, .lines = true, .slash = true};
const mm__scan mm__scan_cased_short = {
    .words = MM__SCAN_CASED, .digits = 3, .suffix = true, .fold = true, .lines = true, .slash = true};
static const mm__scan scan_clip = {.words = MM__SCAN_BARE, .digits = 1, .contractions = true};

#define TAIL "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define FRONT "[^\\r\\n\\p{L}\\p{N}]?"
#define SHORT "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
static const struct { const char *pattern; const mm__scan *scan; } known[] = {
    {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", &mm__scan_gpt2},
    {"'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", &mm__scan_gpt2},
    {SHORT "|" FRONT "\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" TAIL, &mm__scan_three},
    {"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
     &mm__scan_three},
    {SHORT "|" FRONT "\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" TAIL, &mm__scan_one},
    {SHORT "|" FRONT "[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" TAIL, &mm__scan_marks},
    {FRONT UPPER "*" LOWER "+|" FRONT UPPER "+" LOWER "*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" TAIL, &mm__scan_cased},
    {FRONT UPPER "*" LOWER "+" SHORT "?|" FRONT UPPER "+" LOWER "*" SHORT "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" TAIL,
     &mm__scan_cased_short},
    {"'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+", &scan_clip},
};

const mm__scan *mm__scan_of_pattern(const char *pattern, size_t len)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i].pattern) == len && !memcmp(known[i].pattern, pattern, len)) return known[i].scan;
    return NULL;
}

static unsigned class_at(const char *s, size_t n, size_t pos, size_t *len)
{
    if (pos >= n) { *len = 0; return 0; }
    uint32_t cp;
    *len = mm__char_at(s + pos, n - pos, &cp);
    return mm__char_class(cp);
}

/* End of the run of characters from pos whose class meets `want` (0: those that are neither space, letter nor number). */
static size_t run_of(const char *s, size_t n, size_t pos, unsigned want)
{
    const unsigned other = MM__CH_S | MM__CH_L | MM__CH_N;
    size_t k;
    for (; pos < n; pos += k) {
        unsigned c = class_at(s, n, pos, &k);
        if (want ? !(c & want) : (c & other) != 0) break;
    }
    return pos;
}

/* Letters of a contraction fold as in Unicode: the long s is an s. */
static uint32_t short_letter(const char *s, size_t n, size_t *pos, bool fold)
{
    if (*pos >= n) return 0;
    uint32_t cp;
    *pos += mm__char_at(s + *pos, n - *pos, &cp);
    if (fold && cp >= 'A' && cp <= 'Z') cp += 32;
    return fold && cp == 0x17F ? 's' : cp;
}

/* Length of 's 't 're 've 'm 'll 'd at pos, 0 when there is none. */
static size_t contraction(const char *s, size_t n, size_t pos, bool fold)
{
    if (pos >= n || s[pos] != '\'') return 0;
    size_t p = pos + 1;
    uint32_t a = short_letter(s, n, &p, fold);
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return p - pos;
    if (a != 'r' && a != 'v' && a != 'l') return 0;
    uint32_t b = short_letter(s, n, &p, fold);
    return b == (a == 'l' ? (uint32_t)'l' : (uint32_t)'e') ? p - pos : 0;
}

/* U*W+ from pos, or U+W* when `open`; pos when it does not match. */
static size_t cased_word(const char *s, size_t n, size_t pos, bool open)
{
    size_t k, p = pos, closed = pos;
    while (p < n) { /* U*, remembering where the last possible closing character ended */
        unsigned c = class_at(s, n, p, &k);
        if (!(c & MM__CH_UP)) break;
        p += k;
        if (c & MM__CH_LOW) closed = p;
    }
    if (open && p == pos) return pos;
    size_t end = run_of(s, n, p, MM__CH_LOW);
    return open || end > p ? end : closed;
}

static size_t word(const mm__scan *k, const char *s, size_t n, size_t pos)
{
    size_t len;
    unsigned letters = MM__CH_L | (k->marks ? MM__CH_M : 0);
    unsigned c = class_at(s, n, pos, &len);
    if (k->words == MM__SCAN_BARE) return run_of(s, n, pos, MM__CH_L);
    if (k->words == MM__SCAN_SPACED) {
        size_t p = pos + (s[pos] == ' ');
        size_t end = run_of(s, n, p, letters);
        return end > p ? end : pos;
    }
    bool front = !(c & (MM__CH_L | MM__CH_N | MM__CH_NL)); /* may stand in front of a word */
    if (k->words == MM__SCAN_PREFIX) {
        size_t end = run_of(s, n, pos, letters);
        if (end > pos) return end;
        if (!front) return pos;
        end = run_of(s, n, pos + len, letters);
        return end > pos + len ? end : pos;
    }
    for (int open = 0; open < 2; open++) {
        for (int skip = front; skip >= 0; skip--) {
            size_t from = skip ? pos + len : pos, end = cased_word(s, n, from, open);
            if (end > from) return end + (k->suffix ? contraction(s, n, end, k->fold) : 0);
        }
    }
    return pos;
}

static size_t number(const mm__scan *k, const char *s, size_t n, size_t pos)
{
    size_t len;
    if (!k->digits) {
        size_t p = pos + (s[pos] == ' ');
        size_t end = run_of(s, n, p, MM__CH_N);
        return end > p ? end : pos;
    }
    size_t end = pos;
    for (unsigned i = 0; i < k->digits && (class_at(s, n, end, &len) & MM__CH_N); i++) end += len;
    return end;
}

static size_t punctuation(const mm__scan *k, const char *s, size_t n, size_t pos)
{
    size_t len, p = pos + (k->words != MM__SCAN_BARE && s[pos] == ' '), end = p;
    while (end < n) {
        unsigned c = class_at(s, n, end, &len);
        if (c & (MM__CH_S | MM__CH_L | MM__CH_N) || (k->marks && (c & MM__CH_M))) break;
        end += len;
    }
    if (end == p) return pos;
    if (k->lines)
        while (end < n && (s[end] == '\r' || s[end] == '\n' || (k->slash && s[end] == '/'))) end++;
    return end;
}

static size_t space(const mm__scan *k, const char *s, size_t n, size_t pos)
{
    size_t len, end = pos, last = pos, line = pos;
    while (end < n) {
        unsigned c = class_at(s, n, end, &len);
        if (!(c & MM__CH_S)) break;
        last = end;
        end += len;
        if (c & MM__CH_NL) line = end;
    }
    if (k->lines && line > pos) return line;
    return end < n && last > pos ? last : end;
}

size_t mm__scan_next(const mm__scan *k, const char *s, size_t n, size_t pos, size_t *start)
{
    if (k->words == MM__SCAN_BARE) pos = run_of(s, n, pos, MM__CH_S);
    *start = pos;
    if (pos >= n) return n;
    size_t end = k->contractions ? pos + contraction(s, n, pos, k->fold) : pos;
    if (end == pos) end = word(k, s, n, pos);
    if (end == pos) end = number(k, s, n, pos);
    if (end == pos) end = punctuation(k, s, n, pos);
    if (end == pos) end = space(k, s, n, pos);
    return end;
}

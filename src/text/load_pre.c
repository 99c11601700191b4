/* Pre-tokenizers by the identifiers that vocabulary files carry. A file that names one we do not know is refused: a wrong
 * cut gives plausible ids and silently worse answers. Names and their patterns as llama.cpp assigns them. */
#include "tokenizer_impl.h"

#define P_GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define P_SHORT "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?"
#define P_TAIL "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define P_THREE P_SHORT "\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" P_TAIL
#define P_ONE P_SHORT "\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" P_TAIL
#define P_MARKS P_SHORT "[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" P_TAIL
#define P_UP "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define P_LOW "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define P_FRONT "[^\\r\\n\\p{L}\\p{N}]?"
#define P_FOLD "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
#define P_CASED P_FRONT P_UP "*" P_LOW "+|" P_FRONT P_UP "+" P_LOW "*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" P_TAIL
#define P_O200K                                                                                                           \
    P_FRONT P_UP "*" P_LOW "+" P_FOLD "|" P_FRONT P_UP "+" P_LOW "*" P_FOLD "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" P_TAIL

#define F_DIGITS 1u /* single digits are cut first */
#define F_WHOLE 2u  /* a piece that is a token is taken whole */
#define F_NFC 4u

static const struct { const char *name, *pattern; unsigned flags; } known[] = {
    {"gpt-2", P_GPT2, 0}, {"gpt2", P_GPT2, 0}, {"default", P_GPT2, 0}, {"phi-2", P_GPT2, 0}, {"mpt", P_GPT2, 0},
    {"olmo", P_GPT2, 0}, {"jais", P_GPT2, 0}, {"trillion", P_GPT2, 0}, {"roberta-bpe", P_GPT2, 0}, {"jina-es", P_GPT2, 0},
    {"jina-de", P_GPT2, 0}, {"jina-v2-es", P_GPT2, 0}, {"jina-v2-de", P_GPT2, 0}, {"granite-docling", P_GPT2, 0},
    {"smollm", P_GPT2, F_DIGITS}, {"starcoder", P_GPT2, F_DIGITS}, {"refact", P_GPT2, F_DIGITS},
    {"command-r", P_GPT2, F_DIGITS}, {"codeshell", P_GPT2, F_DIGITS}, {"exaone", P_GPT2, F_DIGITS},
    {"minerva-7b", P_GPT2, F_DIGITS},
    {"llama-bpe", P_THREE, F_WHOLE}, {"llama3", P_THREE, F_WHOLE}, {"llama-v3", P_THREE, F_WHOLE},
    {"falcon3", P_THREE, F_WHOLE}, {"falcon-h1", P_THREE, F_WHOLE}, {"pixtral", P_THREE, F_WHOLE}, {"lfm2", P_THREE, F_WHOLE},
    {"dbrx", P_THREE, 0}, {"smaug-bpe", P_THREE, 0}, {"glm4", P_THREE, 0}, {"chatglm-bpe", P_THREE, 0},
    {"qwen2", P_ONE, F_NFC}, {"deepseek-r1-qwen", P_ONE, 0}, {"stablelm2", P_ONE, 0}, {"megrez", P_ONE, 0},
    {"hunyuan", P_ONE, 0}, {"qwen35", P_MARKS, F_NFC},
    {"tekken", P_CASED, F_WHOLE}, {"gpt-4o", P_O200K, 0}, {"llama4", P_O200K, 0}, {"kanana2", P_O200K, 0},
};

mm_status mm__load_pre_name(mm__tokenizer *t, const char *name, const char *what, bool raw_bytes, mm_error *err)
{
    size_t i = 0, n = sizeof known / sizeof *known;
    if (!name || !*name) name = "default";
    while (i < n && strcmp(name, known[i].name)) i++;
    if (i == n) return mm__fail(err, MM_E_UNSUPPORTED, "%s: the pre-tokenizer \"%s\" is not known", what, name);
    const char *pattern = known[i].pattern;
    mm__pretok *digits = known[i].flags & F_DIGITS ? mm__tokenizer_add_pretok(t) : NULL;
    mm__pretok *op = mm__tokenizer_add_pretok(t);
    if (!op || (!digits && (known[i].flags & F_DIGITS))) return mm__nomem(err, "a pre-tokenizer");
    if (digits) *digits = (mm__pretok){.cut = true, .match = MM__MATCH_DIGIT, .behavior = MM__ISOLATED};
    *op = (mm__pretok){.cut = true, .match = MM__MATCH_SCAN, .behavior = MM__ISOLATED,
                       .scan = mm__scan_of_pattern(pattern, strlen(pattern))};
    if (!op->scan) return mm__fail(err, MM_E_INTERNAL, "%s: the pattern of pre-tokenizer \"%s\" has no scanner", what, name);
    if ((known[i].flags & F_NFC) && !mm__tokenizer_add_norm(t, MM__NORM_NFC)) return mm__nomem(err, "a normalizer");
    t->bpe.ignore_merges = (known[i].flags & F_WHOLE) && !raw_bytes;
    return MM_OK;
}

/* Pre-tokenizers by the identifiers that vocabulary files carry. A file that names one we do not know is refused: a wrong
 * cut gives plausible ids and silently worse answers. Names and their patterns as llama.cpp assigns them. */
#include "tokenizer_impl.h"

#define F_DIGITS 1u /* single digits are cut first */
#define F_WHOLE 2u  /* a piece that is a token is taken whole */
#define F_NFC 4u

/* Names in one string, separated by blanks. */
static const struct { const char *names; const mm__scan *scan; unsigned flags; } known[] = {
    {" gpt-2 gpt2 default phi-2 mpt olmo jais trillion "
     "roberta-bpe jina-es jina-de jina-v2-es jina-v2-de granite-docling ", &mm__scan_gpt2, 0},
    {" smollm starcoder refact command-r codeshell exaone minerva-7b ", &mm__scan_gpt2, F_DIGITS},
    {" llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral lfm2 ", &mm__scan_three, F_WHOLE},
    {" dbrx smaug-bpe glm4 chatglm-bpe ", &mm__scan_three, 0},
    {" qwen2 ", &mm__scan_one, F_NFC},
    {" deepseek-r1-qwen stablelm2 megrez hunyuan ", &mm__scan_one, 0},
    {" qwen35 ", &mm__scan_marks, F_NFC},
    {" tekken ", &mm__scan_cased, F_WHOLE},
    {" gpt-4o llama4 kanana2 ", &mm__scan_cased_short, 0},
};

/* Whether `name` is one of the words of `names`. */
static bool listed(const char *names, const char *name)
{
    size_t n = strlen(name);
    for (const char *hit = names; n && !strchr(name, ' ') && (hit = strstr(hit, name)); hit++)
        if (hit > names && hit[-1] == ' ' && hit[n] == ' ') return true;
    return false;
}

mm_status mm__load_pre_name(mm__tokenizer *t, const char *name, const char *what, bool raw_bytes, mm_error *err)
{
    size_t i = 0, n = sizeof known / sizeof *known;
    if (!name || !*name) name = "default";
    while (i < n && !listed(known[i].names, name)) i++;
    if (i == n) return mm__fail(err, MM_E_UNSUPPORTED, "%s: the pre-tokenizer \"%s\" is not known", what, name);
    mm__pretok *digits = known[i].flags & F_DIGITS ? mm__tokenizer_add_pretok(t) : NULL;
    mm__pretok *op = mm__tokenizer_add_pretok(t);
    if (!op || (!digits && (known[i].flags & F_DIGITS))) return mm__nomem(err, "a pre-tokenizer");
    if (digits) *digits = (mm__pretok){.cut = true, .match = MM__MATCH_DIGIT, .behavior = MM__ISOLATED};
    *op = (mm__pretok){.cut = true, .match = MM__MATCH_SCAN, .behavior = MM__ISOLATED, .scan = known[i].scan};
    if ((known[i].flags & F_NFC) && !mm__tokenizer_add_norm(t, MM__NORM_NFC)) return mm__nomem(err, "a normalizer");
    t->bpe.ignore_merges = (known[i].flags & F_WHOLE) && !raw_bytes;
    return MM_OK;
}

/* Stages of a tokenizer.json document: normalizer, pre_tokenizer, post_processor, decoder. Each is an object with a
 * "type", and "Sequence" nests them; nesting is flattened into one short array of operations (depth at most 8). A type
 * that is not known is an error rather than a silent difference in the ids. */
#include "../base/digits.h"
#include "tokenizer_impl.h"

#define DEPTH_MAX 8

static const char *type_of(const mm__json *v) { return mm__json_str(mm__json_get(v, "type"), NULL, ""); }
static bool is(const char *a, const char *b) { return strcmp(a, b) == 0; }

/* A step that could not be added to the `n` that are there. */
static mm_status no_room(const char *what, const char *stage, size_t n, mm_error *err)
{
    if (n < MM__TOKENIZER_OPS) return mm__nomem(err, "a tokenizer");
    return mm__fail(err, MM_E_LIMIT, "%s: the %s has more than %d steps", what, stage, MM__TOKENIZER_OPS);
}

static mm_status too_deep(const char *what, const char *stage, mm_error *err)
{
    return mm__fail(err, MM_E_LIMIT, "%s: the %s is nested more than %d deep", what, stage, DEPTH_MAX);
}

static mm_status unknown(const char *what, const char *stage, const char *type, mm_error *err)
{
    return mm__fail(err, MM_E_UNSUPPORTED, "%s: the %s type \"%s\" is not supported", what, stage, type);
}

static bool set_text(mm__mem *mem, mm__text *t, const mm__json *v)
{
    size_t n = 0;
    const char *s = mm__json_str(v, &n, "");
    return mm__text_set(mem, t, s, n);
}

/* ---- normalizer ---- */

static mm_status load_charsmap(mm__tokenizer *t, mm__norm *op, const mm__json *v, const char *what, mm_error *err)
{
    size_t n = 0, m = 0;
    const char *s = mm__json_str(mm__json_get(v, "precompiled_charsmap"), &n, "");
    uint8_t *bytes = mm__alloc(t->mem, n / 4 * 3 + 4);
    if (!bytes) return mm__nomem(err, "a character map");
    uint32_t acc = 0;
    int bits = 0;
    for (size_t i = 0; i < n && mm__base64_value(s[i]) >= 0; i++) {
        acc = acc << 6 | (uint32_t)mm__base64_value(s[i]);
        bits += 6;
        if (bits < 8) continue;
        bits -= 8;
        bytes[m++] = (uint8_t)(acc >> bits);
    }
    mm_status st = MM_OK;
    if (m) st = mm__charsmap_init(&op->map, t->mem, bytes, m, what, err);
    else op->kind = MM__NORM_REPLACE; /* an empty map changes nothing, nor does an empty pattern */
    mm__free(t->mem, bytes);
    return st;
}

static mm_status load_replace(mm__tokenizer *t, mm__norm *op, const mm__json *v, const char *what, mm_error *err)
{
    const mm__json *regex = mm__json_path(v, "pattern.Regex");
    if (!set_text(t->mem, &op->content, mm__json_get(v, "content"))) return mm__nomem(err, "a normalizer");
    if (!regex) return set_text(t->mem, &op->pattern, mm__json_path(v, "pattern.String")) ? MM_OK : mm__nomem(err, "a normalizer");
    size_t n = 0;
    const char *s = mm__json_str(regex, &n, "");
    static const struct { const char *pattern; size_t min; bool blank; } runs[] = {
        {"\\s+", 1, false}, {"\\s{2,}", 2, false}, {" +", 1, true}, {" {2,}", 2, true}, {"  +", 2, true}};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        if (!is(s, runs[i].pattern)) continue;
        op->kind = MM__NORM_REPLACE_SPACES;
        op->min = runs[i].min;
        op->blank = runs[i].blank;
        return MM_OK;
    }
    op->kind = MM__NORM_REPLACE_REGEX;
    return mm__regex_compile(t->mem, s, n, what, &op->regex, err);
}

static void load_bert(mm__norm *op, const mm__json *v)
{
    op->d = mm__json_bool(mm__json_get(v, "lowercase"), true);
    op->a = mm__json_bool(mm__json_get(v, "clean_text"), true);
    op->b = mm__json_bool(mm__json_get(v, "handle_chinese_chars"), true);
    op->c = mm__json_bool(mm__json_get(v, "strip_accents"), op->d);
}

mm_status mm__load_normalizer(mm__tokenizer *t, const mm__json *v, const char *what, int depth, mm_error *err)
{
    static const struct { const char *type; mm__norm_kind kind; } kinds[] = {
        {"NFC", MM__NORM_NFC}, {"NFD", MM__NORM_NFD}, {"NFKC", MM__NORM_NFKC}, {"NFKD", MM__NORM_NFKD},
        {"Lowercase", MM__NORM_LOWER}, {"Strip", MM__NORM_STRIP}, {"StripAccents", MM__NORM_ACCENTS},
        {"Prepend", MM__NORM_PREPEND}, {"Replace", MM__NORM_REPLACE}, {"BertNormalizer", MM__NORM_BERT},
        {"Precompiled", MM__NORM_CHARSMAP}, {"ByteLevel", MM__NORM_LETTERS}, {"Nmt", MM__NORM_NMT}};
    if (mm__json_kind(v) != MM__JSON_OBJECT) return MM_OK;
    const char *type = type_of(v);
    if (is(type, "Sequence")) {
        const mm__json *list = mm__json_get(v, "normalizers");
        if (depth >= DEPTH_MAX) return too_deep(what, "normalizer", err);
        for (size_t i = 0; i < mm__json_count(list); i++) {
            mm_status st = mm__load_normalizer(t, mm__json_at(list, i), what, depth + 1, err);
            if (st != MM_OK) return st;
        }
        return MM_OK;
    }
    size_t k = 0, n = sizeof kinds / sizeof *kinds;
    while (k < n && !is(type, kinds[k].type)) k++;
    if (k == n) return unknown(what, "normalizer", type, err);
    mm__norm *op = mm__tokenizer_add_norm(t, kinds[k].kind);
    if (!op) return no_room(what, "normalizer", t->n_norm, err);
    switch (op->kind) {
    case MM__NORM_STRIP:
        op->a = mm__json_bool(mm__json_get(v, "strip_left"), true);
        op->b = mm__json_bool(mm__json_get(v, "strip_right"), true);
        return MM_OK;
    case MM__NORM_PREPEND:
        return set_text(t->mem, &op->content, mm__json_get(v, "prepend")) ? MM_OK : mm__nomem(err, "a normalizer");
    case MM__NORM_REPLACE: return load_replace(t, op, v, what, err);
    case MM__NORM_BERT: load_bert(op, v); return MM_OK;
    case MM__NORM_CHARSMAP: return load_charsmap(t, op, v, what, err);
    default: return MM_OK;
    }
}

/* ---- pre-tokenizer ---- */

static bool behavior_of(const char *s, mm__behavior *out)
{
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!is(s, names[i])) continue;
        *out = (mm__behavior)i;
        return true;
    }
    return false;
}

static mm_status load_split(mm__tokenizer *t, mm__pretok *op, const mm__json *v, const char *what, mm_error *err)
{
    const mm__json *regex = mm__json_path(v, "pattern.Regex");
    const char *behavior = mm__json_str(mm__json_get(v, "behavior"), NULL, "");
    if (!behavior_of(behavior, &op->behavior)) return unknown(what, "split behavior", behavior, err);
    op->invert = mm__json_bool(mm__json_get(v, "invert"), false);
    if (!regex) {
        op->match = MM__MATCH_TEXT;
        return set_text(t->mem, &op->text, mm__json_path(v, "pattern.String")) ? MM_OK : mm__nomem(err, "a pre-tokenizer");
    }
    size_t n = 0;
    const char *s = mm__json_str(regex, &n, "");
    op->match = MM__MATCH_SCAN;
    op->scan = mm__scan_of_pattern(s, n);
    if (op->scan) return MM_OK;
    op->match = MM__MATCH_REGEX;
    return mm__regex_compile(t->mem, s, n, what, &op->regex, err);
}

static mm_status load_meta(mm__tokenizer *t, mm__pretok *op, const mm__json *v, const char *what, mm_error *err)
{
    const char *scheme = mm__json_str(mm__json_get(v, "prepend_scheme"), NULL,
                                      mm__json_bool(mm__json_get(v, "add_prefix_space"), true) ? "always" : "never");
    size_t n = 0;
    const char *s = mm__json_str(mm__json_get(v, "replacement"), &n, MM__META);
    op->meta = true;
    op->prepend = is(scheme, "always") ? MM__PREPEND_ALWAYS : is(scheme, "first") ? MM__PREPEND_FIRST : MM__PREPEND_NEVER;
    op->cut = mm__json_bool(mm__json_get(v, "split"), true);
    op->match = MM__MATCH_TEXT;
    op->behavior = MM__WITH_NEXT;
    return mm__text_set(t->mem, &op->text, s, n ? n : strlen(s)) ? MM_OK : mm__nomem(err, "a pre-tokenizer");
}

static mm_status load_step(mm__tokenizer *t, mm__pretok *op, const char *type, const mm__json *v, const char *what, bool *letters,
                           mm_error *err)
{
    op->cut = true;
    op->behavior = MM__ISOLATED;
    if (is(type, "ByteLevel")) {
        *letters = true;
        op->prefix_space = mm__json_bool(mm__json_get(v, "add_prefix_space"), true);
        op->cut = mm__json_bool(mm__json_get(v, "use_regex"), true);
        op->scan = &mm__scan_gpt2;
    } else if (is(type, "Split")) {
        return load_split(t, op, v, what, err);
    } else if (is(type, "Metaspace")) {
        return load_meta(t, op, v, what, err);
    } else if (is(type, "Digits")) {
        op->match = MM__MATCH_DIGIT;
        if (!mm__json_bool(mm__json_get(v, "individual_digits"), false)) op->behavior = MM__CONTIGUOUS;
    } else if (is(type, "WhitespaceSplit") || is(type, "BertPreTokenizer")) {
        op->match = MM__MATCH_SPACE;
        op->behavior = MM__REMOVED;
        if (is(type, "WhitespaceSplit")) return MM_OK;
        if (!(op = mm__tokenizer_add_pretok(t))) return no_room(what, "pre-tokenizer", t->n_pretok, err);
        op->cut = true;
        op->match = MM__MATCH_PUNCT;
        op->behavior = MM__ISOLATED;
    } else if (is(type, "Whitespace")) {
        op->match = MM__MATCH_WORD;
        op->behavior = MM__REMOVED;
        op->invert = true;
    } else if (is(type, "Punctuation")) {
        op->match = MM__MATCH_PUNCT;
        const char *behavior = mm__json_str(mm__json_get(v, "behavior"), NULL, "Isolated");
        if (!behavior_of(behavior, &op->behavior)) return unknown(what, "split behavior", behavior, err);
    } else if (is(type, "CharDelimiterSplit")) {
        op->match = MM__MATCH_TEXT;
        op->behavior = MM__REMOVED;
        if (!set_text(t->mem, &op->text, mm__json_get(v, "delimiter"))) return mm__nomem(err, "a pre-tokenizer");
    } else {
        return unknown(what, "pre-tokenizer", type, err);
    }
    return MM_OK;
}

mm_status mm__load_pretok(mm__tokenizer *t, const mm__json *v, const char *what, int depth, bool *letters, mm_error *err)
{
    if (mm__json_kind(v) != MM__JSON_OBJECT) return MM_OK;
    const char *type = type_of(v);
    if (is(type, "Sequence")) {
        const mm__json *list = mm__json_get(v, "pretokenizers");
        if (depth >= DEPTH_MAX) return too_deep(what, "pre-tokenizer", err);
        for (size_t i = 0; i < mm__json_count(list); i++) {
            mm_status st = mm__load_pretok(t, mm__json_at(list, i), what, depth + 1, letters, err);
            if (st != MM_OK) return st;
        }
        return MM_OK;
    }
    if (*letters) return mm__fail(err, MM_E_UNSUPPORTED, "%s: the pre-tokenizer has a step behind ByteLevel", what);
    mm__pretok *op = mm__tokenizer_add_pretok(t);
    if (!op) return no_room(what, "pre-tokenizer", t->n_pretok, err);
    return load_step(t, op, type, v, what, letters, err);
}

/* ---- post-processor ---- */

/* What stands around one text; the other list, around a pair of texts, is for models this library does not run. */
static mm_status load_template(mm__tokenizer *t, const mm__json *v, const char *what, mm_error *err)
{
    const mm__json *list = mm__json_get(v, "single"), *special = mm__json_get(v, "special_tokens");
    for (size_t i = 0; i < mm__json_count(list); i++) {
        const mm__json *part = mm__json_at(list, i), *seq = mm__json_get(part, "Sequence"), *tok = mm__json_get(part, "SpecialToken");
        const char *id = mm__json_str(mm__json_get(seq ? seq : tok, "id"), NULL, "");
        if (seq) {
            if (!is(id, "A")) return unknown(what, "post-processor sequence", id, err);
            if (!mm__tokenizer_add_post(t, (mm__post){.text = true})) return no_room(what, "post-processor", t->n_post, err);
            continue;
        }
        const mm__json *ids = mm__json_get(mm__json_get(special, id), "ids");
        for (size_t k = 0; k < mm__json_count(ids); k++) {
            int64_t n = mm__json_int(mm__json_at(ids, k), -1);
            if (n < 0 || n >= (int64_t)t->tokens.n)
                return mm__fail(err, MM_E_FORMAT, "%s: the post-processor names id %lld outside the vocabulary", what, (long long)n);
            if (!mm__tokenizer_add_post(t, (mm__post){.id = (int32_t)n})) return no_room(what, "post-processor", t->n_post, err);
        }
    }
    return MM_OK;
}

/* ["</s>", 2] */
static int32_t named_id(const mm__tokenizer *t, const mm__json *v)
{
    int64_t n = mm__json_int(mm__json_at(v, 1), -1);
    return n >= 0 && n < (int64_t)t->tokens.n ? (int32_t)n : -1;
}

static mm_status load_cls_sep(mm__tokenizer *t, const mm__json *v, const char *what, mm_error *err)
{
    int32_t cls = named_id(t, mm__json_get(v, "cls")), sep = named_id(t, mm__json_get(v, "sep"));
    if (cls < 0 || sep < 0) return mm__fail(err, MM_E_FORMAT, "%s: the post-processor's cls and sep must be ids of the vocabulary", what);
    return mm__tokenizer_simple_post(t, cls, sep) ? MM_OK : no_room(what, "post-processor", t->n_post, err);
}

mm_status mm__load_post(mm__tokenizer *t, const mm__json *v, const char *what, int depth, mm_error *err)
{
    if (mm__json_kind(v) != MM__JSON_OBJECT) return MM_OK;
    const char *type = type_of(v);
    mm_status st = MM_OK;
    if (is(type, "Sequence")) {
        const mm__json *list = mm__json_get(v, "processors");
        if (depth >= DEPTH_MAX) return too_deep(what, "post-processor", err);
        for (size_t i = 0; i < mm__json_count(list) && st == MM_OK; i++)
            st = mm__load_post(t, mm__json_at(list, i), what, depth + 1, err);
        return st;
    }
    if (is(type, "ByteLevel")) return MM_OK; /* moves offsets only */
    if (t->n_post) return mm__fail(err, MM_E_UNSUPPORTED, "%s: more than one post-processor adds tokens", what);
    if (is(type, "BertProcessing") || is(type, "RobertaProcessing")) return load_cls_sep(t, v, what, err);
    if (!is(type, "TemplateProcessing")) return unknown(what, "post-processor", type, err);
    return load_template(t, v, what, err);
}

/* ---- decoder ---- */

static mm_status load_strip(mm__tokenizer *t, mm__decode *op, const mm__json *v, bool fused, const char *what, mm_error *err)
{
    int64_t start = mm__json_int(mm__json_get(v, "start"), 0), stop = mm__json_int(mm__json_get(v, "stop"), 0);
    if (start < 0 || start > 1 || stop != 0)
        return mm__fail(err, MM_E_UNSUPPORTED, "%s: the decoder strips %lld and %lld characters; only one in front is supported", what,
                        (long long)start, (long long)stop);
    op->n = (size_t)start;
    op->a = !fused;
    return set_text(t->mem, &op->pattern, mm__json_get(v, "content")) ? MM_OK : mm__nomem(err, "a decoder");
}

static bool fused_before(const mm__json *list, size_t i)
{
    while (i--)
        if (is(type_of(mm__json_at(list, i)), "Fuse")) return true;
    return false;
}

static mm_status load_decoder(mm__tokenizer *t, const mm__json *v, bool fused, const char *what, int depth, mm_error *err)
{
    static const struct { const char *type; mm__decode_kind kind; } kinds[] = {
        {"ByteLevel", MM__DECODE_LETTERS}, {"Metaspace", MM__DECODE_META}, {"WordPiece", MM__DECODE_WORDPIECE},
        {"BPEDecoder", MM__DECODE_SUFFIX}, {"ByteFallback", MM__DECODE_BYTES}, {"Strip", MM__DECODE_STRIP},
        {"Replace", MM__DECODE_REPLACE}};
    if (mm__json_kind(v) != MM__JSON_OBJECT) return MM_OK;
    const char *type = type_of(v);
    if (is(type, "Fuse")) return MM_OK;
    if (is(type, "Sequence")) {
        const mm__json *list = mm__json_get(v, "decoders");
        if (depth >= DEPTH_MAX) return too_deep(what, "decoder", err);
        for (size_t i = 0; i < mm__json_count(list); i++) {
            mm_status st = load_decoder(t, mm__json_at(list, i), fused || fused_before(list, i), what, depth + 1, err);
            if (st != MM_OK) return st;
        }
        return MM_OK;
    }
    size_t k = 0, n = sizeof kinds / sizeof *kinds, m = 0;
    while (k < n && !is(type, kinds[k].type)) k++;
    if (k == n) return unknown(what, "decoder", type, err);
    mm__decode *op = mm__tokenizer_add_decode(t, kinds[k].kind);
    if (!op) return no_room(what, "decoder", t->n_decode, err);
    bool ok = true;
    switch (op->kind) {
    case MM__DECODE_META: {
        const char *s = mm__json_str(mm__json_get(v, "replacement"), &m, MM__META);
        op->a = !is(mm__json_str(mm__json_get(v, "prepend_scheme"), NULL,
                                 mm__json_bool(mm__json_get(v, "add_prefix_space"), true) ? "always" : "never"), "never");
        ok = mm__text_set(t->mem, &op->content, s, m ? m : strlen(s));
        break;
    }
    case MM__DECODE_WORDPIECE: {
        const char *s = mm__json_str(mm__json_get(v, "prefix"), &m, "##");
        op->a = mm__json_bool(mm__json_get(v, "cleanup"), true);
        ok = mm__text_set(t->mem, &op->content, s, m ? m : strlen(s));
        break;
    }
    case MM__DECODE_SUFFIX: ok = set_text(t->mem, &op->content, mm__json_get(v, "suffix")); break;
    case MM__DECODE_STRIP: return load_strip(t, op, v, fused, what, err);
    case MM__DECODE_REPLACE:
        if (!mm__json_path(v, "pattern.String")) return unknown(what, "decoder pattern", "Regex", err);
        ok = set_text(t->mem, &op->pattern, mm__json_path(v, "pattern.String")) &&
             set_text(t->mem, &op->content, mm__json_get(v, "content"));
        break;
    default: break;
    }
    return ok ? MM_OK : mm__nomem(err, "a decoder");
}

mm_status mm__load_decoder(mm__tokenizer *t, const mm__json *v, const char *what, int depth, mm_error *err)
{
    return load_decoder(t, v, false, what, depth, err);
}

/* Each kind of normalizer, pre-tokenizer, model, post-processor and decoder of tokenizer.json by itself, on texts that tell them
 * apart: ids and text as the tokenizers library of Hugging Face gives them (tokenizer_stages.json). And documents whose stages
 * are too many, too deep, unknown or contradictory. */
#include "helpers.h"
#include <stdlib.h>

#define SMALL "{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1},\"merges\":[]}"

static mm__mem *mem;
static mm_error err = {.size = sizeof err};

static mm__tokenizer *made_of(const char *stages, const char *model, mm_status *st)
{
    mm__buf b;
    mm__json_doc *doc = NULL;
    mm__tokenizer *t = NULL;
    mm__buf_init(&b, mem);
    mm__buf_printf(&b, "{%s%s\"model\":%s}", stages, stages[0] ? "," : "", model);
    *st = mm__json_parse(mem, mm__buf_str(&b), b.len, "stages", &doc, &err);
    if (*st != MM_OK) fail_msg("%s", err.text);
    *st = mm__tokenizer_from_json(mem, mm__json_root(doc), NULL, "stages", &t, &err);
    mm__json_free(doc);
    mm__buf_free(&b);
    return t;
}

/* Whether a text gives the recorded ids, and they the recorded text. */
static int compare(const mm__tokenizer *t, const char *where, const char *s, size_t n, const mm__json *ids, const mm__json *decoded)
{
    mm__ids got, want;
    mm__buf text;
    size_t len;
    const char *back = mm__json_str(decoded, &len, "");
    mm__ids_init(&got, mem);
    mm__ids_init(&want, mem);
    mm__buf_init(&text, mem);
    ids_of_json(ids, &want);
    if (mm__tokenize(t, s, n, MM__TOKENIZE_AROUND | MM__TOKENIZE_SPECIAL, &got, &err) != MM_OK) fail_msg("%s: %s", where, err.text);
    int bad = compare_ids(where, got.data, got.len, want.data, want.len);
    assert_int_equal(mm__detokenize(t, want.data, want.len, 0, &text), MM_OK);
    if (text.len != len || memcmp(mm__buf_str(&text), back, len) != 0) {
        print_error("%s \"%s\": text differs\n  got  \"%s\"\n  want \"%s\"\n", where, s, mm__buf_str(&text), back);
        bad = 1;
    }
    mm__buf_free(&text);
    mm__ids_free(&want);
    mm__ids_free(&got);
    return bad;
}

static void stages_equal_the_reference(void **state)
{
    mm__json_doc *doc = load_json_file(mem, "tests/unit/text/tokenizer_stages.json");
    const mm__json *root = mm__json_root(doc), *cases = mm__json_get(root, "cases"), *texts = mm__json_get(root, "texts");
    int bad = 0;
    for (size_t i = 0; i < mm__json_count(cases); i++) {
        const mm__json *c = mm__json_at(cases, i);
        const char *stages = mm__json_str(mm__json_get(c, "stages"), NULL, "");
        mm_status st;
        mm__tokenizer *t = made_of(stages, mm__json_str(mm__json_get(mm__json_get(root, "models"), mm__json_str(mm__json_get(c, "model"), NULL, "")), NULL, "{}"), &st);
        if (st != MM_OK) fail_msg("%s: %s", stages, err.text);
        for (size_t k = 0; k < mm__json_count(texts); k++) {
            size_t n;
            const char *s = mm__json_str(mm__json_at(texts, k), &n, "");
            bad += compare(t, stages, s, n, mm__json_at(mm__json_get(c, "ids"), k), mm__json_at(mm__json_get(c, "decoded"), k));
        }
        mm__tokenizer_destroy(t);
    }
    assert_true(mm__json_count(cases) > 60 && mm__json_count(texts) > 5);
    assert_int_equal(bad, 0);
    mm__json_free(doc);
}

/* A document of `n` equal steps, or of a step within `n` sequences. */
static void repeated(const char *stage, const char *list, const char *step, size_t n, bool deep, mm_status want)
{
    mm__buf b;
    mm_status st;
    mm__buf_init(&b, mem);
    mm__buf_printf(&b, "\"%s\":", stage);
    for (size_t i = 0; i < (deep ? n : 1); i++) mm__buf_printf(&b, "{\"type\":\"Sequence\",\"%s\":[", list);
    for (size_t i = 0; i < (deep ? 1 : n); i++) mm__buf_printf(&b, "%s%s", i ? "," : "", step);
    for (size_t i = 0; i < (deep ? n : 1); i++) mm__buf_puts(&b, "]}");
    mm__tokenizer *t = made_of(mm__buf_str(&b), SMALL, &st);
    if (st != want) fail_msg("%s, %zu %s: %s (%s)", stage, n, deep ? "deep" : "steps", mm_status_name(st), err.text);
    mm__tokenizer_destroy(t);
    mm__buf_free(&b);
}

static void stages_are_bounded(void **state)
{
    static const struct { const char *stage, *list, *step; bool many; } kinds[] = {
        {"normalizer", "normalizers", "{\"type\":\"NFC\"}", true}, {"pre_tokenizer", "pretokenizers", "{\"type\":\"BertPreTokenizer\"}", true},
        {"decoder", "decoders", "{\"type\":\"ByteFallback\"}", true}, {"post_processor", "processors", "{\"type\":\"ByteLevel\"}", false}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        repeated(kinds[i].stage, kinds[i].list, kinds[i].step, 4, false, MM_OK);
        repeated(kinds[i].stage, kinds[i].list, kinds[i].step, 1000, false, kinds[i].many ? MM_E_LIMIT : MM_OK);
        repeated(kinds[i].stage, kinds[i].list, kinds[i].step, 8, true, MM_OK);
        repeated(kinds[i].stage, kinds[i].list, kinds[i].step, 9, true, MM_E_LIMIT);
    }
}

/* What is not known, or says two things, is refused: other ids would be worse. */
static void unknown_stages_are_refused(void **state)
{
    static const char *const unsupported[] = {
        "\"pre_tokenizer\":{\"type\":\"UnicodeScripts\"}", "\"pre_tokenizer\":{\"type\":\"Punctuation\",\"behavior\":\"Kept\"}",
        "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},\"behavior\":\"Kept\"}",
        "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"ByteLevel\"},{\"type\":\"Whitespace\"}]}",
        "\"post_processor\":{\"type\":\"Other\"}",
        "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"B\"}}]}",
        "\"post_processor\":{\"type\":\"Sequence\",\"processors\":[{\"type\":\"BertProcessing\",\"sep\":[\"a\",0],\"cls\":[\"a\",0]},"
        "{\"type\":\"BertProcessing\",\"sep\":[\"a\",0],\"cls\":[\"a\",0]}]}",
        "\"decoder\":{\"type\":\"CTC\"}", "\"decoder\":{\"type\":\"Strip\",\"content\":\" \",\"start\":2,\"stop\":0}",
        "\"decoder\":{\"type\":\"Strip\",\"content\":\" \",\"start\":0,\"stop\":1}",
        "\"decoder\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"a\"},\"content\":\"\"}"};
    mm_status st;
    for (size_t i = 0; i < sizeof unsupported / sizeof *unsupported; i++)
        if (made_of(unsupported[i], SMALL, &st) || st != MM_E_UNSUPPORTED) fail_msg("%s: %s", unsupported[i], mm_status_name(st));
    assert_null(made_of("\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"x\"}}],"
                        "\"special_tokens\":{\"x\":{\"ids\":[9]}}}", SMALL, &st));
    assert_int_equal(st, MM_E_FORMAT);
    /* ids in front of bytes only where bytes are what the model holds */
    assert_null(made_of("\"pre_tokenizer\":{\"type\":\"ByteLevel\"}", "{\"type\":\"WordPiece\",\"unk_token\":\"a\",\"vocab\":{\"a\":0}}", &st));
    assert_int_equal(st, MM_E_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(stages_equal_the_reference), cmocka_unit_test(stages_are_bounded),
                                       cmocka_unit_test(unknown_stages_are_refused)};
    mem = mm__mem_create(NULL, 0);
    const uint64_t before = mm__mem_live(mem);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (mm__mem_live(mem) != before) failed++;
    mm__mem_destroy(mem);
    return failed;
}

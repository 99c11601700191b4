/* Bytes where text is expected: files and hosts may hand over anything, and no stage may read or write beyond it. Most of these
 * cases are visible only to a sanitizer, so each one also checks what a caller sees: a refusal, or ids of repaired text. */
#include "helpers.h"

#include "../../../src/text/plain.h"
#include "../../../src/text/tokenizer_impl.h"

static mm_status load(mm__mem *mem, const char *text, mm__tokenizer **t, mm_error *err)
{
    mm__json_doc *doc = NULL;
    *t = NULL;
    assert_int_equal(mm__json_parse(mem, text, strlen(text), "test", &doc, err), MM_OK);
    mm_status st = mm__tokenizer_from_json(mem, mm__json_root(doc), NULL, "test", t, err);
    mm__json_free(doc);
    return st;
}

/* Keys that share an id: more entries than ids. */
static void unigram_wants_a_list(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__buf doc;
    mm__tokenizer *t;
    mm_error err = {.size = sizeof err};
    (void)state;
    mm__buf_init(&doc, mem);
    mm__buf_puts(&doc, "{\"model\":{\"type\":\"Unigram\",\"vocab\":{\"a\":0");
    for (int i = 0; i < 4000; i++) mm__buf_printf(&doc, ",\"k%d\":0", i);
    mm__buf_puts(&doc, "}}}");
    assert_int_equal(load(mem, mm__buf_str(&doc), &t, &err), MM_E_FORMAT);
    assert_non_null(strstr(err.text, "[piece, score]"));
    assert_int_equal(load(mem, "{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",0]]}}", &t, &err), MM_OK);
    mm__tokenizer_destroy(t);
    mm__buf_free(&doc);
    mm__mem_destroy(mem);
}

/* A double array with the one key `a`, whose replacement stands at `value` of the pool. */
static size_t map_of(uint8_t *to, size_t value, const char *pool, size_t n)
{
    uint32_t units[112] = {0};
    units[0] = 1u << 10; /* children at 1 ^ byte */
    units[1 ^ 'a'] = 'a' | 0x100u | (0x61u << 10);
    units[(1 ^ 'a') ^ 0x61] = 0x80000000u | (uint32_t)value;
    const uint32_t size = sizeof units;
    memcpy(to, &size, 4);
    memcpy(to + 4, units, size);
    memcpy(to + 4 + size, pool, n);
    return 4 + size + n;
}

static void replacements_are_characters(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    uint8_t bytes[600];
    mm__charsmap map;
    mm_error err = {.size = sizeof err};
    size_t used = 0;
    (void)state;
    size_t n = map_of(bytes, 0, "\xF0", 2);
    assert_int_equal(mm__charsmap_init(&map, mem, bytes, n, "test", &err), MM_E_FORMAT);
    assert_non_null(strstr(err.text, "UTF-8"));
    n = map_of(bytes, 0, "\xC3\xA9", 3);
    assert_int_equal(mm__charsmap_init(&map, mem, bytes, n, "test", &err), MM_OK);
    assert_string_equal(mm__charsmap_find(&map, "ab", 2, true, &used), "\xC3\xA9");
    assert_int_equal(used, 1);
    assert_null(mm__charsmap_find(&map, "a\x80", 2, true, &used)); /* as if `a` were half a character */
    mm__charsmap_free(&map, mem);
    n = map_of(bytes, 1, "\xC3\xA9", 3); /* the second half of a character */
    assert_int_equal(mm__charsmap_init(&map, mem, bytes, n, "test", &err), MM_OK);
    assert_null(mm__charsmap_find(&map, "ab", 2, true, &used));
    mm__charsmap_free(&map, mem);
    mm__mem_destroy(mem);
}

static void expressions_want_characters(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__regex *r = NULL;
    mm_error err = {.size = sizeof err};
    bool found;
    size_t start, end;
    uint64_t steps = 1000;
    (void)state;
    assert_int_equal(mm__regex_compile(mem, "[^x]+", 5, "test", &r, &err), MM_OK);
    mm__regex_run *run = mm__regex_run_create(r);
    assert_non_null(run);
    char *text = mm__alloc(mem, 3);
    assert_non_null(text);
    memcpy(text, "ab\xF0", 3);
    assert_int_equal(mm__regex_next(r, run, text, 3, 0, &steps, &found, &start, &end, &err), MM_E_FORMAT);
    assert_false(found);
    assert_int_equal(mm__regex_next(r, run, text, 2, 0, &steps, &found, &start, &end, &err), MM_OK);
    assert_true(found && start == 0 && end == 2);
    mm__free(mem, text);
    mm__regex_run_free(run);
    mm__regex_free(r);
    mm__mem_destroy(mem);
}

/* Looking for special tokens meets the text a host gave, before anything else has repaired it. */
static void looking_repairs_first(void **state)
{
    static const char doc[] =
        "{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"[^q]\"},\"content\":\"z\"},\"added_tokens\":[{\"id\":1,\"content\":\"qz\","
        "\"special\":true,\"normalized\":true}],\"model\":{\"type\":\"BPE\",\"vocab\":{\"z\":0}}}";
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__tokenizer *t;
    mm_error err = {.size = sizeof err};
    bool yes = false;
    (void)state;
    assert_int_equal(load(mem, doc, &t, &err), MM_OK);
    for (size_t n = 1; n < 130; n++) {
        char *text = mm__alloc(mem, n);
        assert_non_null(text);
        memset(text, 'b', n);
        text[n - 1] = '\xF0';
        assert_int_equal(mm__plain_spells(t, NULL, text, n, &yes, &err), MM_OK);
        assert_false(yes);
        mm__free(mem, text);
    }
    assert_int_equal(mm__plain_spells(t, NULL, "bq\xF0", 3, &yes, &err), MM_OK);
    assert_true(yes); /* the stray byte is a character once it is repaired, and that becomes z */
    mm__tokenizer_destroy(t);
    mm__mem_destroy(mem);
}

/* A document whose parts come from `fmt`, with `n` times `c` for its %s. */
static mm_status load_with(mm__mem *mem, const char *fmt, char c, size_t n, mm__tokenizer **t, mm_error *err)
{
    mm__buf doc;
    char *many = mm__alloc(mem, n + 1);
    assert_non_null(many);
    memset(many, c, n);
    many[n] = 0;
    mm__buf_init(&doc, mem);
    mm__buf_printf(&doc, fmt, many);
    const mm_status st = load(mem, mm__buf_str(&doc), t, err);
    mm__buf_free(&doc);
    mm__free(mem, many);
    return st;
}

#define BPE_A "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"7\":1}}}"

static void long_spellings_are_refused(void **state)
{
    static const char *const docs[] = {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"%s\",0]]}}",
                                       "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"%s\":0}}}",
                                       "{\"added_tokens\":[{\"id\":2,\"content\":\"%s\"}]," BPE_A};
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__tokenizer *t;
    mm_error err = {.size = sizeof err};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(load_with(mem, docs[i], 'a', MM__TOKEN_MAX + 1, &t, &err), MM_E_LIMIT);
        assert_int_equal(load_with(mem, docs[i], 'a', MM__TOKEN_MAX, &t, &err), MM_OK);
        mm__tokenizer_destroy(t);
    }
    /* ... and what is long only once it is normalised */
    assert_int_equal(load_with(mem, "{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"b\"},\"content\":\"%s\"},\"added_tokens\":["
                                    "{\"id\":2,\"content\":\"bb\",\"normalized\":true}]," BPE_A, 'a', 600, &t, &err), MM_E_LIMIT);
    char text[MM__TOKEN_MAX + 1];
    const char *tokens[] = {text};
    const size_t len[] = {sizeof text};
    const float scores[] = {0};
    memset(text, 'a', sizeof text);
    mm__vocab v = {.model = MM__VOCAB_UNIGRAM, .n = 1, .tokens = tokens, .token_len = len, .scores = scores, .bos = -1, .eos = -1,
                   .unk = -1, .pad = -1, .cls = -1, .sep = -1};
    assert_int_equal(mm__tokenizer_from_vocab(mem, &v, "test", &t, &err), MM_E_LIMIT);
    mm__mem_destroy(mem);
}

static mm_status encode(mm__mem *mem, const mm__tokenizer *t, char c, size_t n, mm_error *err)
{
    mm__ids ids;
    char *text = mm__alloc(mem, n);
    assert_non_null(text);
    memset(text, c, n);
    mm__ids_init(&ids, mem);
    const mm_status st = mm__tokenize(t, text, n, 0, &ids, err);
    mm__ids_free(&ids);
    mm__free(mem, text);
    return st;
}

/* No match alone is dear enough to be stopped; all together are. */
static void matches_pay_together(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__tokenizer *t;
    mm_error err = {.size = sizeof err};
    (void)state;
    assert_int_equal(load(mem, "{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?:a|aa|aaa|aaaa){1,9}b|.\"},\"behavior\":"
                               "\"Isolated\"}," BPE_A, &t, &err), MM_OK);
    assert_int_equal(encode(mem, t, 'a', 10, &err), MM_OK);
    assert_int_equal(encode(mem, t, 'a', 100, &err), MM_E_LIMIT);
    assert_non_null(strstr(err.text, "steps"));
    assert_int_equal(encode(mem, t, 'c', 1000000, &err), MM_OK);
    mm__tokenizer_destroy(t);
    /* a repeat that reads the rest of the text again from every place */
    assert_int_equal(load(mem, "{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"[^b]*(?=b|$)b|a\"},\"content\":\"x\"}," BPE_A,
                          &t, &err), MM_OK);
    assert_int_equal(encode(mem, t, 'a', 100000, &err), MM_E_LIMIT);
    mm__tokenizer_destroy(t);
    mm__mem_destroy(mem);
}

static void growth_is_bounded(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__tokenizer *t;
    mm__buf out;
    mm_error err = {.size = sizeof err};
    const int32_t seven = 1;
    (void)state;
    mm__buf_init(&out, mem);
    static const char *const docs[] = {
        "{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"%s\"}," BPE_A,
        "{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\" \"},\"content\":\"%s\"}," BPE_A,
        "{\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"%s\"}," BPE_A};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(load_with(mem, docs[i], 'a', 1000000, &t, &err), MM_OK);
        assert_int_equal(encode(mem, t, ' ', 100, &err), MM_E_LIMIT);
        assert_non_null(strstr(err.text, "67108864"));
        mm__tokenizer_destroy(t);
    }
    assert_int_equal(load_with(mem, "{\"decoder\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"7\"},\"content\":\"%s\"}," BPE_A, 'b',
                               MM__SPOKEN_MAX + 1, &t, &err), MM_OK);
    assert_int_equal(mm__detokenize(t, &seven, 1, 0, &out), MM_E_LIMIT);
    mm__tokenizer_destroy(t);
    mm__buf_free(&out);
    mm__buf_init(&out, mem);
    assert_int_equal(load_with(mem, "{\"decoder\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"7\"},\"content\":\"%s\"}," BPE_A, 'b',
                               MM__SPOKEN_MAX, &t, &err), MM_OK);
    assert_int_equal(mm__detokenize(t, &seven, 1, 0, &out), MM_OK);
    assert_int_equal(out.len, MM__SPOKEN_MAX);
    mm__tokenizer_destroy(t);
    mm__buf_free(&out);
    mm__mem_destroy(mem);
}

/* ---- choices at a border ---- */

static void expect(mm__mem *mem, const mm__tokenizer *t, const char *text, const int32_t *want, size_t n)
{
    mm__ids ids;
    mm_error err = {.size = sizeof err};
    mm__ids_init(&ids, mem);
    assert_int_equal(mm__tokenize(t, text, strlen(text), 0, &ids, &err), MM_OK);
    assert_int_equal(compare_ids(text, ids.data, ids.len, want, n), 0);
    mm__ids_free(&ids);
}

static void borders(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__tokenizer *t;
    mm_error err = {.size = sizeof err};
    (void)state;
    /* of equal sums the first one found, which is the longer piece, stays */
    assert_int_equal(load(mem, "{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"u\",0],[\"a\",-1],[\"aa\",-2]]}}", &t, &err), MM_OK);
    expect(mem, t, "aa", (const int32_t[]){2}, 1);
    mm__tokenizer_destroy(t);
    /* a word of as many characters as allowed, and one more */
    assert_int_equal(load(mem, "{\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"u\",\"max_input_chars_per_word\":3,\"vocab\":{\"u\":0,\"a\":1,"
                               "\"##a\":2}}}", &t, &err), MM_OK);
    expect(mem, t, "aaa", (const int32_t[]){1, 2, 2}, 3);
    expect(mem, t, "aaaa", (const int32_t[]){0}, 1);
    mm__tokenizer_destroy(t);
    /* the dummy prefix stands in front of a blank too, unless extra blanks go */
    const char *tokens[] = {"<unk>", MM__META, "a"};
    const size_t len[] = {5, MM__META_LEN, 1};
    const float scores[] = {0, -1, -2};
    const int32_t types[] = {MM__TOK_UNKNOWN, MM__TOK_NORMAL, MM__TOK_NORMAL};
    mm__vocab v = {.model = MM__VOCAB_SPM, .n = 3, .tokens = tokens, .token_len = len, .scores = scores, .types = types, .bos = -1,
                   .eos = -1, .unk = 0, .pad = -1, .cls = -1, .sep = -1, .add_space_prefix = 1, .remove_extra_spaces = 0};
    assert_int_equal(mm__tokenizer_from_vocab(mem, &v, "test", &t, &err), MM_OK);
    expect(mem, t, " a", (const int32_t[]){1, 1, 2}, 3);
    expect(mem, t, "a", (const int32_t[]){1, 2}, 2);
    mm__tokenizer_destroy(t);
    v.remove_extra_spaces = 1;
    assert_int_equal(mm__tokenizer_from_vocab(mem, &v, "test", &t, &err), MM_OK);
    expect(mem, t, " a", (const int32_t[]){1, 2}, 2);
    mm__tokenizer_destroy(t);
    mm__mem_destroy(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(unigram_wants_a_list), cmocka_unit_test(replacements_are_characters),
                                       cmocka_unit_test(expressions_want_characters), cmocka_unit_test(looking_repairs_first),
                                       cmocka_unit_test(long_spellings_are_refused), cmocka_unit_test(matches_pay_together),
                                       cmocka_unit_test(growth_is_bounded), cmocka_unit_test(borders)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

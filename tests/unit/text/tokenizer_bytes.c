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
    (void)state;
    assert_int_equal(mm__regex_compile(mem, "[^x]+", 5, "test", &r, &err), MM_OK);
    mm__regex_run *run = mm__regex_run_create(r);
    assert_non_null(run);
    char *text = mm__alloc(mem, 3);
    assert_non_null(text);
    memcpy(text, "ab\xF0", 3);
    assert_int_equal(mm__regex_next(r, run, text, 3, 0, &found, &start, &end, &err), MM_E_FORMAT);
    assert_false(found);
    assert_int_equal(mm__regex_next(r, run, text, 2, 0, &found, &start, &end, &err), MM_OK);
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(unigram_wants_a_list), cmocka_unit_test(replacements_are_characters),
                                       cmocka_unit_test(expressions_want_characters), cmocka_unit_test(looking_repairs_first)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

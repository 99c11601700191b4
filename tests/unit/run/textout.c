/* Streaming text: stop strings are found wherever they begin, also behind a NUL byte, which a byte token may spell; and what
 * byte tokens spell that is no character comes out as U+FFFD. */
#include "../text/helpers.h"

#include "../../../src/base/utf8.h"
#include "../../../src/run/textout.h"

static void stop_behind_a_nul(void **state)
{
    static const char doc_text[] = "{\"decoder\":{\"type\":\"ByteFallback\"},\"model\":{\"type\":\"BPE\",\"vocab\":{\"<0x00>\":0,\"a\":1,"
                                   "\"aSTOPb\":2}}}";
    const char *const stop[] = {"STOP"};
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__json_doc *doc = NULL;
    mm__tokenizer *t = NULL;
    mm__textout o;
    mm_error err = {.size = sizeof err};
    size_t from = 0, len = 0;
    (void)state;
    assert_int_equal(mm__json_parse(mem, doc_text, strlen(doc_text), "test", &doc, &err), MM_OK);
    assert_int_equal(mm__tokenizer_from_json(mem, mm__json_root(doc), NULL, "test", &t, &err), MM_OK);
    mm__json_free(doc);
    mm__textout_init(&o, mem, t, stop, 1);
    assert_int_equal(mm__textout_push(&o, 1, 0, &from, &len, &err), MM_OK);
    assert_false(o.stopped);
    /* unsent bytes in front of the stop string: push the NUL into the buffer with it */
    mm__buf_putc(&o.text, '\0');
    assert_int_equal(mm__textout_push(&o, 2, 0, &from, &len, &err), MM_OK);
    assert_true(o.stopped);
    assert_int_equal(o.text.len, 3); /* a, NUL, a */
    mm__textout_free(&o);
    mm__tokenizer_destroy(t);
    mm__mem_destroy(mem);
}

static mm__tokenizer *byte_tokens(mm__mem *mem)
{
    static const char doc_text[] = "{\"decoder\":{\"type\":\"ByteFallback\"},\"model\":{\"type\":\"BPE\",\"vocab\":{\"<0xF0>\":0,\"<0x93>\":1,"
                                   "\"<0x80>\":2,\"a\":3,\"<0xC3>\":4,\"<0xA9>\":5}}}";
    mm__json_doc *doc = NULL;
    mm__tokenizer *t = NULL;
    assert_int_equal(mm__json_parse(mem, doc_text, strlen(doc_text), "test", &doc, NULL), MM_OK);
    assert_int_equal(mm__tokenizer_from_json(mem, mm__json_root(doc), NULL, "test", &t, NULL), MM_OK);
    mm__json_free(doc);
    return t;
}

static void never_half_a_character(void **state)
{
    static const int32_t ids[] = {1, 3, 0, 1, 3, 4, 5, 0, 1, 2, 2, 0, 1};
    static const char whole[] = "\xEF\xBF\xBD" "a\xEF\xBF\xBD" "a\xC3\xA9\xF0\x93\x80\x80\xEF\xBF\xBD";
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__tokenizer *t = byte_tokens(mem);
    mm__textout o;
    size_t from = 0, len = 0, given = 0;
    (void)state;
    mm__textout_init(&o, mem, t, NULL, 0);
    for (size_t i = 0; i <= sizeof ids / sizeof *ids; i++) {
        if (i < sizeof ids / sizeof *ids) assert_int_equal(mm__textout_push(&o, ids[i], 0, &from, &len, NULL), MM_OK);
        else mm__textout_flush(&o, &from, &len);
        assert_int_equal(from, given);
        given += len;
        if (!mm__utf8_valid(mm__buf_str(&o.text), given)) fail_msg("token %zu", i);
    }
    assert_int_equal(given, sizeof whole - 1);
    assert_string_equal(mm__buf_str(&o.text), whole);
    mm__textout_free(&o);
    mm__tokenizer_destroy(t);
    mm__mem_destroy(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(stop_behind_a_nul), cmocka_unit_test(never_half_a_character)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Streaming text: stop strings are found wherever they begin, also behind a NUL byte, which a byte token may spell. */
#include "../text/helpers.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(stop_behind_a_nul)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

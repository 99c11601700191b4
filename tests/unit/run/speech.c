/* How a transcription ends: its reason, and its tokens with those that were forced. */
#include "bench.h"

static void transcribe(bench *b, uint32_t max_tokens, const char *forced, mm_event *end)
{
    mm__feed in;
    bench_open(b, "whisper", 0, max_tokens);
    assert_int_equal(mm__session_set(b->s, "timestamps", "0", NULL), MM_OK);
    assert_int_equal(mm__session_set(b->s, "single_pass", "1", NULL), MM_OK);
    assert_int_equal(mm__session_set(b->s, "language", "en", NULL), MM_OK);
    if (forced) assert_int_equal(mm__session_set(b->s, "force_ids", forced, NULL), MM_OK);
    mm__feed_init(&in, &(mm__files){.mem = b->mem});
    assert_int_equal(mm__feed_add_file(&in, MM__ITEM_AUDIO, GOLDEN "_inputs/speech_16k.wav", NULL), MM_OK);
    answer(b, &in, end);
}

static void cut_short(void **state)
{
    bench b;
    mm_event end;
    (void)state;
    transcribe(&b, 3, NULL, &end);
    assert_string_equal(end.data, "length");
    assert_int_equal(end.n_ids, 3);
    bench_close(&b);
}

static void forced(void **state)
{
    bench b;
    mm_event end;
    (void)state;
    transcribe(&b, 3, "64 309", &end);
    assert_int_equal(end.n_ids, 5);
    assert_int_equal(end.ids[0], 64);
    assert_int_equal(end.ids[1], 309);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(cut_short), cmocka_unit_test(forced)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* How a transcription ends: its reason, and its tokens with those that were forced; and what its segments are made of. */
#include "bench.h"

#define END_TOKEN 319
#define HALF_A_CHARACTER 172 /* the byte F0 */

/* `only`: the one token that may be said; -1: all. */
static void prepare(bench *b, uint32_t max_tokens, const char *forced, int32_t only, mm__feed *in)
{
    bench_open(b, "whisper", 0, max_tokens);
    assert_int_equal(mm__session_set(b->s, "timestamps", "0", NULL), MM_OK);
    assert_int_equal(mm__session_set(b->s, "single_pass", "1", NULL), MM_OK);
    assert_int_equal(mm__session_set(b->s, "language", "en", NULL), MM_OK);
    if (forced) assert_int_equal(mm__session_set(b->s, "force_ids", forced, NULL), MM_OK);
    if (only >= 0) {
        mm__speech_policy *p = &b->a->audio;
        const int32_t n = b->a->decoder->info.n_vocab;
        mm__free(b->mem, p->suppress);
        p->suppress = mm__calloc(b->mem, (size_t)n, sizeof *p->suppress);
        p->n_suppress = 0;
        p->n_begin_suppress = 0;
        for (int32_t i = 0; i < n; i++)
            if (i != only) p->suppress[p->n_suppress++] = i;
    }
    mm__feed_init(in, &(mm__files){.mem = b->mem});
    assert_int_equal(mm__feed_add_file(in, MM__ITEM_AUDIO, GOLDEN "_inputs/speech_16k.wav", NULL), MM_OK);
}

/* `silent`: nothing but the end token may be said. */
static void transcribe(bench *b, uint32_t max_tokens, const char *forced, bool silent, mm_event *end)
{
    mm__feed in;
    prepare(b, max_tokens, forced, silent ? END_TOKEN : -1, &in);
    answer(b, &in, end);
}

static void whole(void **state)
{
    bench b;
    mm_event end;
    (void)state;
    transcribe(&b, 3, NULL, true, &end);
    assert_string_equal(end.data, "done");
    assert_int_equal(end.n_ids, 0);
    bench_close(&b);
}

static void cut_short(void **state)
{
    bench b;
    mm_event end;
    (void)state;
    transcribe(&b, 3, NULL, false, &end);
    assert_string_equal(end.data, "length");
    assert_int_equal(end.n_ids, 3);
    bench_close(&b);
}

static void forced(void **state)
{
    bench b;
    mm_event end;
    (void)state;
    transcribe(&b, 3, "64 309", false, &end);
    assert_int_equal(end.n_ids, 5);
    assert_int_equal(end.ids[0], 64);
    assert_int_equal(end.ids[1], 309);
    bench_close(&b);
}

static void segments_are_text(void **state)
{
    bench b;
    mm__feed in;
    mm_event e = {.size = sizeof e};
    int n = 0;
    (void)state;
    prepare(&b, 2, NULL, HALF_A_CHARACTER, &in);
    assert_int_equal(mm__session_feed(b.s, &in, NULL), MM_OK);
    mm__feed_free(&in);
    while (mm__session_next(b.s, &e, NULL) == MM_OK)
        if (e.kind == MM_EVENT_SEGMENT) {
            assert_string_equal(e.data, "\xEF\xBF\xBD\xEF\xBF\xBD");
            n++;
        }
    assert_true(n > 0);
    bench_close(&b);
}

/* The spectrogram of a recording is held no longer than its transcription goes on. */
static void lets_go(void **state)
{
    bench b;
    mm__feed in, again;
    mm_event e = {.size = sizeof e};
    (void)state;
    prepare(&b, 2, NULL, HALF_A_CHARACTER, &in);
    mm__feed_init(&again, &(mm__files){.mem = b.mem});
    assert_int_equal(mm__feed_add_file(&again, MM__ITEM_AUDIO, GOLDEN "_inputs/speech_16k.wav", NULL), MM_OK);
    answer(&b, &in, NULL);
    assert_null(b.s->speech);
    assert_int_equal(mm__session_feed(b.s, &again, NULL), MM_OK);
    mm__feed_free(&again);
    assert_int_equal(mm__session_next(b.s, &e, NULL), MM_OK);
    assert_non_null(b.s->speech);
    mm__session_reset(b.s);
    assert_null(b.s->speech);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(whole), cmocka_unit_test(cut_short), cmocka_unit_test(forced),
                                       cmocka_unit_test(segments_are_text), cmocka_unit_test(lets_go)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

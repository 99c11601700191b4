/* Windows of a transcription with a decoder that says what the test wrote down: which answers are tried again hotter, what is
 * kept as the history of the next window, when a window is taken for silence. The linker puts this decoder in the place of
 * the real one; encoder, sampling, rules and segments are the library's own. */
#include "bench.h"

#include "../../../src/run/lm.h"

#include <math.h>
#include <stdlib.h>

#define CERTAIN 40.0f /* a logit against zeros: probability 1 at every temperature */

/* One attempt at a window: 0.00 s, then */
typedef struct attempt {
    enum {
        LOOPS,          /* one token over and over */
        SPEAKS,         /* four tokens */
        PAIRS,          /* those, and an end at 1.00 s */
        BREAKS_OFF      /* the same, and the beginning of more */
    } kind;
    bool hears_nothing; /* the token of silence is certain where an answer begins */
} attempt;

static bench b;
static const attempt *attempts;
static int n_attempts, at_attempt, at_token, n_said;
static int32_t said[32];
static int32_t prompts[16][64];
static size_t prompt_len[16];

/* The k-th token that stands for three letters or more, behind no space. */
static int32_t text_token(int k)
{
    for (int32_t id = 256; id < b.a->audio.eot; id++) {
        mm__buf text;
        mm__buf_init(&text, b.mem);
        assert_int_equal(mm__detokenize(b.a->tokenizer, &id, 1, 0, &text), MM_OK);
        const bool letters = text.len > 2 && text.data[0] > ' ';
        mm__buf_free(&text);
        if (letters && k-- == 0) return id;
    }
    fail_msg("too few texts");
    return -1;
}

static void write_script(const attempt *a)
{
    const mm__speech_policy *p = &b.a->audio;
    n_said = at_token = 0;
    said[n_said++] = p->timestamp_begin;
    const int n = a->kind == LOOPS ? 20 : 4;
    for (int i = 0; i < n; i++) said[n_said++] = text_token(a->kind == LOOPS ? 0 : i);
    for (int i = 0; i < 2 && a->kind >= PAIRS; i++) said[n_said++] = p->timestamp_begin + 50;
    if (a->kind == BREAKS_OFF) said[n_said++] = text_token(4);
    said[n_said++] = p->eot;
}

static void certain(float *logits, int32_t id)
{
    memset(logits, 0, (size_t)b.a->decoder->info.n_vocab * sizeof *logits);
    logits[id] = CERTAIN;
}

mm_status __wrap_mm__lm_logits_from(mm__lm *lm, const int32_t *ids, size_t n, size_t first, const mm__lm_watch *watch, const char *scope,
                                    const atomic_int *cancel, float *logits, mm_error *err);
mm_status __wrap_mm__lm_step(mm__lm *lm, int32_t id, const atomic_int *cancel, float *logits, mm_error *err);

mm_status __wrap_mm__lm_logits_from(mm__lm *lm, const int32_t *ids, size_t n, size_t first, const mm__lm_watch *watch, const char *scope,
                                    const atomic_int *cancel, float *logits, mm_error *err)
{
    const mm__speech_policy *p = &b.a->audio;
    if (at_attempt == n_attempts || n > 64) fail_msg("attempt %d with a prompt of %zu", at_attempt, n);
    const attempt *a = &attempts[at_attempt];
    memcpy(prompts[at_attempt], ids, n * sizeof *ids);
    prompt_len[at_attempt++] = n;
    write_script(a);
    assert_int_equal(ids[first], p->sot);
    for (size_t i = first; i < n; i++) certain(logits + (i - first) * (size_t)b.a->decoder->info.n_vocab, a->hears_nothing ? p->no_speech : said[0]);
    certain(logits + (n - 1 - first) * (size_t)b.a->decoder->info.n_vocab, said[0]);
    return MM_OK;
}

mm_status __wrap_mm__lm_step(mm__lm *lm, int32_t id, const atomic_int *cancel, float *logits, mm_error *err)
{
    assert_int_equal(id, said[at_token]);
    certain(logits, said[++at_token]);
    return MM_OK;
}

/* Transcribes so much silence with these attempts; the count of segments. */
static int transcribe(double seconds, const attempt *list, int n)
{
    mm__feed in;
    mm__samples *s;
    mm_error err = {.size = sizeof err};
    mm_event e = {.size = sizeof e};
    int segments = 0;
    attempts = list;
    n_attempts = n;
    at_attempt = 0;
    float *zeros = calloc((size_t)(seconds * 16000), sizeof *zeros);
    assert_int_equal(mm__audio_from_pcm(b.mem, zeros, NULL, (int64_t)(seconds * 16000), 1, 16000, 0, &s, &err), MM_OK);
    free(zeros);
    mm__feed_init(&in, &(mm__files){.mem = b.mem});
    assert_int_equal(mm__feed_add_samples(&in, s, &err), MM_OK);
    if (mm__session_feed(b.s, &in, &err) != MM_OK) fail_msg("%s", err.text);
    mm__feed_free(&in);
    do {
        if (mm__session_next(b.s, &e, &err) != MM_OK) fail_msg("%s", err.text);
        segments += e.kind == MM_EVENT_SEGMENT;
    } while (e.kind != MM_EVENT_END);
    assert_int_equal(at_attempt, n);
    return segments;
}

static int start(void **state)
{
    (void)state;
    bench_open(&b, "whisper", 0, 0);
    assert_int_equal(mm__session_set(b.s, "language", "en", NULL), MM_OK);
    assert_int_equal(mm__session_set(b.s, "history", "1", NULL), MM_OK);
    assert_int_equal(b.a->audio.window_samples, 2 * 16000);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    bench_close(&b);
    return 0;
}

#define N(list) (int)(sizeof(list) / sizeof *(list))

static void next_window_gets_the_history(void **state)
{
    static const attempt list[] = {{SPEAKS, false}, {SPEAKS, false}};
    const int32_t *first = prompts[0], *second = prompts[1];
    (void)state;
    assert_int_equal(transcribe(3, list, N(list)), 2);
    assert_int_equal(first[0], b.a->audio.sot);
    assert_int_equal(second[0], b.a->audio.prev);
    assert_int_equal(prompt_len[1], prompt_len[0] + 1 + 5);
    assert_int_equal(second[1], b.a->audio.timestamp_begin);
    for (int i = 0; i < 4; i++) assert_int_equal(second[2 + i], text_token(i));
}

/* Words behind the last pair of timestamps are said again by the next window, so they are no history. */
static void unfinished_words_are_no_history(void **state)
{
    static const attempt list[] = {{BREAKS_OFF, false}, {SPEAKS, false}};
    (void)state;
    assert_int_equal(transcribe(1.5, list, N(list)), 2);
    assert_int_equal(prompt_len[1], prompt_len[0] + 1 + 7);
    assert_int_equal(prompts[1][7], b.a->audio.timestamp_begin + 50);
}

/* An answer found at 0.4 is text to go on from, one at 0.6 is not, nor is what came before it. */
static void hot_answers_are_no_history(void **state)
{
    static const attempt warm[] = {{LOOPS, false}, {LOOPS, false}, {SPEAKS, false}, {SPEAKS, false}};
    static const attempt hot[] = {{SPEAKS, false}, {LOOPS, false}, {LOOPS, false}, {LOOPS, false}, {SPEAKS, false}, {SPEAKS, false}};
    (void)state;
    assert_int_equal(transcribe(3, warm, N(warm)), 2);
    assert_int_equal(prompts[3][0], b.a->audio.prev);
    assert_int_equal(transcribe(5, hot, N(hot)), 3);
    for (int i = 1; i < 5; i++) assert_int_equal(prompts[i][0], b.a->audio.prev);
    assert_int_equal(prompts[5][0], b.a->audio.sot);
}

/* Behind the end of the recording the token of silence decides, however sure of itself the answer is; before it does not. */
static void certain_words_in_the_padding_are_dropped(void **state)
{
    static const attempt list[] = {{PAIRS, false}, {SPEAKS, true}}, speech[] = {{PAIRS, false}, {SPEAKS, false}};
    (void)state;
    assert_int_equal(transcribe(0.5, list, N(list)), 1);
    assert_int_equal(transcribe(1.0, list, N(list)), 1);
    assert_int_equal(transcribe(1.5, list, N(list)), 2);
    assert_int_equal(transcribe(0.5, speech, N(speech)), 2);
}

/* When every attempt loops, the coolest is kept. */
static void six_attempts_at_most(void **state)
{
    static const attempt list[] = {{LOOPS, false}, {LOOPS, false}, {LOOPS, false}, {LOOPS, false}, {LOOPS, false}, {LOOPS, false}};
    (void)state;
    assert_int_equal(transcribe(1, list, N(list)), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(next_window_gets_the_history, start, stop),
                                       cmocka_unit_test_setup_teardown(unfinished_words_are_no_history, start, stop),
                                       cmocka_unit_test_setup_teardown(hot_answers_are_no_history, start, stop),
                                       cmocka_unit_test_setup_teardown(certain_words_in_the_padding_are_dropped, start, stop),
                                       cmocka_unit_test_setup_teardown(six_attempts_at_most, start, stop)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

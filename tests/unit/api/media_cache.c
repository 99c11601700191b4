/* A picture or a window of sound fed again is not encoded again, and nobody can tell but by the figures: for every model here
 * that reads media, the answer without the cache, with it empty, from it in the same session, and in another one. */
#include "host.h"

#define PICTURE GOLDEN "_inputs/small.png"
#define OTHER_PICTURE GOLDEN "_inputs/photo.jpg"
#define SOUND GOLDEN "_inputs/speech_16k.wav"

static const char *const pictures[] = {GOLDEN "llava", GOLDEN "llava/model-f16.gguf", GOLDEN "blip2_opt", GOLDEN "blip2_flan_t5",
                                       GOLDEN "minigpt4", GOLDEN "idefics"};

static double stat(mm_session *s, const char *key)
{
    double v = -1;
    OK(mm_session_stat(s, key, &v, &err));
    return v;
}

/* Log-probabilities are reported, so that a difference in any bit that matters shows. */
static mm_session *session(mm_model *m)
{
    mm_session_options o;
    mm_session *s = NULL;
    mm_session_options_init(&o, sizeof o);
    o.max_tokens = 6;
    o.top_logprobs = 5;
    o.flags = MM_SESSION_IGNORE_EOS | MM_SESSION_LOGPROBS;
    OK(mm_session_create(m, &o, &s, &err));
    return s;
}

static uint64_t mix(uint64_t h, const void *p, size_t n)
{
    for (size_t i = 0; i < n; i++) h = (h ^ ((const unsigned char *)p)[i]) * 0x100000001b3u;
    return h;
}

static void feed(mm_engine *e, mm_session *s, const char *picture, const char *sound)
{
    mm_input *in = NULL;
    OK(mm_input_create(e, &in, &err));
    if (picture) OK(mm_input_image_file(in, picture, &err));
    if (sound) OK(mm_input_audio_file(in, sound, &err));
    else OK(mm_input_text(in, "What is this?", 13, &err));
    OK(mm_session_feed(s, in, &err));
    mm_input_release(in);
}

/* All that is in the events of the answer due. */
static uint64_t take(mm_session *s, size_t *tensors)
{
    mm_event e = {.size = sizeof e};
    uint64_t h = 0xcbf29ce484222325u;
    mm_status st;
    size_t n = 0;
    while ((st = mm_session_next(s, &e, &err)) == MM_OK) {
        n += e.kind == MM_EVENT_TENSOR;
        h = mix(mix(h, &e.kind, sizeof e.kind), e.data, e.len);
        h = mix(mix(h, e.values, e.n_values * sizeof *e.values), e.ids, e.n_ids * sizeof *e.ids);
        h = mix(mix(h, &e.value, sizeof e.value), e.top, e.n_top * sizeof *e.top);
    }
    OK(st == MM_END ? MM_OK : st);
    if (tensors) *tensors = n;
    return h;
}

/* The answer to a medium, fed to a session that starts anew. */
static uint64_t ask(mm_engine *e, mm_session *s, const char *picture, const char *sound)
{
    OK(mm_session_reset(s, &err));
    feed(e, s, picture, sound);
    return take(s, NULL);
}

typedef struct counts { int bytes, hits, misses; } counts;

static counts counts_of(mm_model *m)
{
    char text[128];
    counts c;
    OK(mm_model_info(m, "media_cache", text, sizeof text, NULL, &err));
    assert_int_equal(sscanf(text, "{\"bytes\":%d,\"hits\":%d,\"misses\":%d}", &c.bytes, &c.hits, &c.misses), 3);
    return c;
}

/* bytes -1: some */
static void counted(mm_model *m, int bytes, int hits, int misses)
{
    const counts c = counts_of(m);
    assert_true(bytes < 0 ? c.bytes > 0 : c.bytes == bytes);
    assert_int_equal(c.hits, hits);
    assert_int_equal(c.misses, misses);
}

static void same_answers(const char *path, const char *picture, const char *other, const char *sound)
{
    mm_engine *e = plain_engine();
    mm_model *m = model_of(e, path);
    mm_session *s = session(m), *second = session(m);
    OK(mm_engine_set(e, "media_cache_bytes", "0", &err));
    const uint64_t want = ask(e, s, picture, sound);
    assert_true(stat(s, "media_cache_hits") == 0 && stat(s, "media_cache_bytes") == 0);
    counted(m, 0, 0, 0);
    OK(mm_engine_set(e, "media_cache_bytes", "10000000", &err));
    assert_true(ask(e, s, picture, sound) == want);
    const int n = counts_of(m).misses; /* a sound has several windows */
    assert_in_range(n, 1, picture ? 1 : 5);
    assert_true(stat(s, "media_cache_hits") == 0 && stat(s, "media_cache_bytes") == counts_of(m).bytes);
    assert_true(ask(e, s, picture, sound) == want);
    assert_true(stat(s, "media_cache_hits") == n);
    assert_true(ask(e, second, picture, sound) == want);
    assert_true(stat(second, "media_cache_hits") == n && stat(s, "media_cache_hits") == n);
    counted(m, -1, 2 * n, n);
    if (other) {
        assert_true(ask(e, second, other, NULL) != want);
        assert_true(stat(second, "media_cache_hits") == 0);
        assert_true(ask(e, second, picture, sound) == want);
        counted(m, -1, 3, 2);
    }
    const counts before = counts_of(m);
    OK(mm_engine_set(e, "media_cache_bytes", "0", &err)); /* and without it again: what it held is gone at once */
    counted(m, 0, before.hits, before.misses);
    assert_true(ask(e, s, picture, sound) == want);
    assert_true(stat(s, "media_cache_hits") == 0);
    counted(m, 0, before.hits, before.misses);
    mm_session_release(s);
    mm_session_release(second);
    mm_model_release(m);
    mm_engine_release(e);
}

static void pictures_again(void **state)
{
    for (size_t i = 0; i < sizeof pictures / sizeof *pictures; i++) same_answers(pictures[i], PICTURE, OTHER_PICTURE, NULL);
}

static void sound_again(void **state)
{
    same_answers(GOLDEN "whisper", NULL, NULL, SOUND);
}

/* Two places for one picture, and the next turn of the same conversation. */
static void in_one_prompt(void **state)
{
    mm_engine *e = plain_engine();
    mm_model *m = model_of(e, GOLDEN "llava");
    mm_session *s = session(m);
    mm_input *in = NULL;
    OK(mm_input_create(e, &in, &err));
    for (int i = 0; i < 2; i++) OK(mm_input_image_file(in, PICTURE, &err));
    OK(mm_input_text(in, "What?", 5, &err));
    OK(mm_session_feed(s, in, &err));
    take(s, NULL);
    assert_true(stat(s, "media_cache_hits") == 1);
    OK(mm_session_feed(s, in, &err));
    take(s, NULL);
    assert_true(stat(s, "media_cache_hits") == 2); /* those of the first turn are not looked for again */
    counted(m, -1, 3, 1);
    mm_input_release(in);
    mm_session_release(s);
    mm_model_release(m);
    mm_engine_release(e);
}

/* Stages come out of an encoder that runs; a session that watches neither takes from the cache nor adds to it. */
static void watched(void **state)
{
    mm_engine *e = plain_engine();
    mm_model *m = model_of(e, GOLDEN "llava");
    mm_session *s = session(m), *watching = session(m);
    size_t first, again;
    ask(e, s, PICTURE, NULL);
    OK(mm_session_set(watching, "watch", "pixel_values", &err));
    feed(e, watching, PICTURE, NULL);
    take(watching, &first);
    OK(mm_session_reset(watching, &err));
    feed(e, watching, PICTURE, NULL);
    take(watching, &again);
    assert_int_equal(first, 1);
    assert_int_equal(again, 1);
    counted(m, -1, 0, 1);
    mm_session_release(s);
    mm_session_release(watching);
    mm_model_release(m);
    mm_engine_release(e);
}

/* Vectors are the host's to keep. */
static void vectors_are_made(void **state)
{
    mm_engine *e = plain_engine();
    mm_model *m = model_of(e, GOLDEN "clip");
    mm_session *s = session(m);
    assert_true(ask(e, s, PICTURE, NULL) == ask(e, s, PICTURE, NULL));
    counted(m, 0, 0, 0);
    mm_session_release(s);
    mm_model_release(m);
    mm_engine_release(e);
}

typedef struct bytes { unsigned char *p; size_t n; } bytes;

static int32_t collect(void *user, const void *p, size_t n)
{
    bytes *b = user;
    b->p = realloc(b->p, b->n + n);
    assert_non_null(b->p);
    memcpy(b->p + b->n, p, n);
    b->n += n;
    return 0;
}

/* Rows that come from a snapshot, which may be anybody's, stay with the session that was loaded. */
static void snapshots_add_nothing(void **state)
{
    mm_engine *e = plain_engine();
    mm_model *m = model_of(e, GOLDEN "llava"), *fresh = model_of(e, GOLDEN "llava");
    mm_session *s = session(m), *loaded = NULL, *copy = NULL;
    bytes b = {0};
    ask(e, s, PICTURE, NULL);
    OK(mm_session_save(s, collect, &b, &err));
    OK(mm_session_load(fresh, b.p, b.n, &loaded, &err));
    feed(e, loaded, NULL, NULL);
    take(loaded, NULL);
    counted(fresh, 0, 0, 0);
    ask(e, loaded, PICTURE, NULL); /* but it shares its new model's cache ... */
    counted(fresh, -1, 0, 1);
    OK(mm_session_fork(loaded, &copy, &err));
    ask(e, copy, PICTURE, NULL); /* ... and so does a copy */
    counted(fresh, -1, 1, 1);
    free(b.p);
    mm_session_release(s);
    mm_session_release(loaded);
    mm_session_release(copy);
    mm_model_release(m);
    mm_model_release(fresh);
    mm_engine_release(e);
}

static void option(void **state)
{
    static const char *const bad[] = {"", "-1", "1k", " 1", "9223372036854775808", "all"};
    mm_engine *e = plain_engine();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        FAILS(MM_E_ARG, "media_cache_bytes", mm_engine_set(e, "media_cache_bytes", bad[i], &err));
    OK(mm_engine_set(e, "media_cache_bytes", "9223372036854775807", &err));
    mm_engine_release(e);
}

/* Just as much memory as an answer needs, with a cache that would take more: every picture is answered, and the limit holds. */
static void gives_way(void **state)
{
    mm_engine *e = plain_engine();
    mm_model *m = model_of(e, GOLDEN "llava");
    mm_session *s = session(m);
    char limit[32], peak[32];
    OK(mm_engine_set(e, "media_cache_bytes", "0", &err));
    const uint64_t want = ask(e, s, PICTURE, NULL), other = ask(e, s, OTHER_PICTURE, NULL);
    OK(mm_engine_info(e, "memory_peak", limit, sizeof limit, NULL, &err));
    OK(mm_engine_set(e, "memory", limit, &err));
    OK(mm_engine_set(e, "media_cache_bytes", "1000000000", &err));
    for (int i = 0; i < 10; i++) {
        assert_true(ask(e, s, PICTURE, NULL) == want);
        assert_true(ask(e, s, OTHER_PICTURE, NULL) == other);
    }
    OK(mm_engine_info(e, "memory_peak", peak, sizeof peak, NULL, &err));
    assert_true(strtoull(peak, NULL, 10) <= strtoull(limit, NULL, 10));
    mm_session_release(s);
    mm_model_release(m);
    mm_engine_release(e);
}

/* The tokens of the answer due, as one number: scores may differ in the last bit where a prefix is kept. */
static uint64_t said(mm_session *s)
{
    mm_event e = {.size = sizeof e};
    uint64_t h = 0;
    mm_status st;
    while ((st = mm_session_next(s, &e, &err)) == MM_OK)
        if (e.kind == MM_EVENT_END) h = mix(1, e.ids, e.n_ids * sizeof *e.ids);
    OK(st == MM_END ? MM_OK : st);
    return h;
}

/* Prefixes: what a session's decoder holds of the front of a prompt is not computed again - in the next turn, and behind a cut.
 * After a reset, and in another session, it is. */
static void prefixes(void **state)
{
    static const char *const paths[] = {GOLDEN "llava", GOLDEN "blip2_opt", GOLDEN "llama"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        mm_engine *e = plain_engine();
        mm_model *m = model_of(e, paths[i]);
        mm_session *s = session(m), *second = session(m);
        const char *picture = i < 2 ? PICTURE : NULL;
        feed(e, s, picture, NULL);
        said(s);
        const double all = stat(s, "prefill_tokens");
        feed(e, s, NULL, NULL);
        const uint64_t turn = said(s);
        const double next = stat(s, "prefill_tokens");
        assert_true(next <= stat(s, "n_past") - all);
        OK(mm_session_truncate(s, 2, &err)); /* to the first answer; and the second question again */
        feed(e, s, NULL, NULL);
        assert_true(said(s) == turn);
        assert_true(stat(s, "prefill_tokens") <= next);
        OK(mm_session_reset(s, &err));
        feed(e, s, picture, NULL);
        said(s);
        assert_true(stat(s, "prefill_tokens") == all);
        feed(e, second, picture, NULL);
        said(second);
        assert_true(stat(second, "prefill_tokens") == all);
        mm_session_release(s);
        mm_session_release(second);
        mm_model_release(m);
        mm_engine_release(e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_again),   cmocka_unit_test(sound_again), cmocka_unit_test(in_one_prompt),
        cmocka_unit_test(watched),          cmocka_unit_test(vectors_are_made), cmocka_unit_test(snapshots_add_nothing),
        cmocka_unit_test(option),           cmocka_unit_test(gives_way),   cmocka_unit_test(prefixes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

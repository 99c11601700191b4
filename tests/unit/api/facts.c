/* Facts by key: the library, the machine, an engine, a model; the list of statuses; fingerprints; logits. */
#include "host.h"

#include <math.h>
#include <stdlib.h>

/* A key as "keys" lists it, with something in the place of its capitals. */
static const char *known_key(const char *k)
{
    static const char *const filled[][2] = {{"plan:N", "plan:16"}, {"plan:N:T", "plan:16:f32"}, {"kv_bytes_per_token:T", "kv_bytes_per_token:f16"}};
    for (size_t i = 0; i < sizeof filled / sizeof *filled; i++)
        if (strcmp(filled[i][0], k) == 0) return filled[i][1];
    return k;
}

/* Every key that "keys" lists has an answer, and another one has none. */
#define TRY_KEYS(call, unknown)                                                          \
    do {                                                                                 \
        char keys[1024], text[1 << 16];                                                  \
        size_t need, n = 0;                                                              \
        const char *key = "keys";                                                        \
        char *buf = keys;                                                                \
        size_t cap = sizeof keys;                                                        \
        OK(call);                                                                        \
        buf = text;                                                                      \
        cap = sizeof text;                                                               \
        for (char *k = strtok(keys, " "); k; k = strtok(NULL, " "), n++) {               \
            key = known_key(k);                                                          \
            OK(call);                                                                    \
            assert_int_equal(strlen(text), need);                                        \
        }                                                                                \
        assert_true(n >= 6);                                                             \
        key = unknown;                                                                   \
        FAILS(MM_E_KEY, unknown, call);                                                  \
        key = "keys";                                                                    \
        cap = 3;                                                                         \
        FAILS(MM_E_SPACE, "bytes", call);                                                \
        buf = NULL;                                                                      \
        cap = 0;                                                                         \
        OK(call);                                                                        \
        assert_true(need > 3);                                                           \
    } while (0)

static void every_key_has_an_answer(void **state)
{
    mm_engine *e = plain_engine();
    mm_model *m = model_of(e, DIRECTORY);
    TRY_KEYS(mm_build_info(key, buf, cap, &need, &err), "nonsense");
    TRY_KEYS(mm_device_info(0, key, buf, cap, &need, &err), "nonsense");
    TRY_KEYS(mm_engine_info(e, key, buf, cap, &need, &err), "nonsense");
    TRY_KEYS(mm_model_info(m, key, buf, cap, &need, &err), "nonsense");
    assert_int_equal(mm_device_info(1000, "id", NULL, 0, NULL, &err), MM_END);
    mm_model_release(m);
    mm_engine_release(e);
}

static void answers_are_true(void **state)
{
    char text[1024], version[32];
    mm_engine_options o = engine_options();
    o.n_threads = 1;
    o.device = "cpu:c";
    o.memory_limit = (uint64_t)1 << 30;
    mm_engine *e = engine_of(&o);
    const struct {
        const char *key, *value;
    } facts[] = {{"device", "cpu"}, {"isa", "c"}, {"threads", "1"}, {"precision", "exact"}, {"memory_limit", "1073741824"},
                 {"counts", ""}, {"fallbacks", ""}, {"self_test", ""}};
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        OK(mm_engine_info(e, facts[i].key, text, sizeof text, NULL, &err));
        assert_string_equal(text, facts[i].value);
    }
    OK(mm_engine_info(e, "memory_bytes", text, sizeof text, NULL, &err));
    assert_true(strtoul(text, NULL, 10) > 0);
    OK(mm_device_info(0, "id", text, sizeof text, NULL, &err));
    assert_string_equal(text, "cpu");
    OK(mm_device_info(0, "all", text, sizeof text, NULL, &err));
    assert_memory_equal(text, "id\tcpu\nname\t", 12);
    assert_non_null(strstr(text, "\nsummary\t"));
    OK(mm_build_info("version", text, sizeof text, NULL, &err));
    snprintf(version, sizeof version, "%u.%u.%u", mm_version() >> 16, mm_version() >> 8 & 255, mm_version() & 255);
    assert_string_equal(text, version);
    const struct {
        const char *key, *word;
    } words[] = {{"formats", "gguf"}, {"dtypes", "Q4_K"}, {"assemblies", "llava"}, {"parts", "decoder:llama"},
                 {"kernels", "c"},    {"libraries", "zstd"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        OK(mm_build_info(words[i].key, text, sizeof text, NULL, &err));
        assert_non_null(strstr(text, words[i].word));
    }
    mm_engine_release(e);
}

/* Of the template's bytes, as a host finds them: made with sha256sum, so it can compare with what it knows. */
static void a_template_has_its_hash(void **state)
{
    static const struct { const char *path, *hash; } models[] = {
        {GOLDEN "gemma3", "7d6a20e2cec29a4fb5547772785b976e42ab22df83300fe4214a103a3fe855c0"},
        {GOLDEN "phi3", "ccc11f79798ea10ca568fe7ad38a7c846eb0aa6f96198cb73d4765ce439269aa"},
        {DIRECTORY, "be2e76bd49a22161a04ab3295bfcee850226144cd9dc837187fd41ff0de880a9"},
        {GGUF, "be2e76bd49a22161a04ab3295bfcee850226144cd9dc837187fd41ff0de880a9"},
        {GOLDEN "gpt2", ""}};
    char text[80];
    mm_engine *e = plain_engine();
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        mm_model *m = model_of(e, models[i].path);
        OK(mm_model_info(m, "chat_template_sha256", text, sizeof text, NULL, &err));
        assert_string_equal(text, models[i].hash);
        mm_model_release(m);
    }
    mm_engine_release(e);
}

static void statuses_are_listed(void **state)
{
    uint32_t n = 0;
    mm_status st;
    const char *name, *meaning;
    bool seen_zero = false;
    for (; mm_status_at(n, &st, &name, &meaning) == MM_OK; n++) {
        assert_string_equal(mm_status_name(st), name);
        assert_true(strncmp(name, "MM_", 3) == 0 && strlen(meaning) > 10);
        seen_zero |= st == MM_OK;
    }
    assert_int_equal(n, 17);
    assert_true(seen_zero);
    assert_null(name);
    assert_int_equal(mm_status_at(0, NULL, NULL, NULL), MM_OK);
    assert_string_equal(mm_status_name(-999), "MM_?");
}

static void fingerprint_of(mm_engine *e, const char *path, char out[65])
{
    mm_model *m = model_of(e, path);
    model_text(m, "fingerprint", out, 65);
    assert_int_equal(strlen(out), 64);
    mm_model_release(m);
}

static void fingerprints_tell_models_apart(void **state)
{
    char a[65], b[65];
    mm_engine_options o = engine_options();
    mm_engine *e = engine_of(&o);
    fingerprint_of(e, DIRECTORY, a);
    fingerprint_of(e, DIRECTORY, b);
    assert_string_equal(a, b);
    fingerprint_of(e, GGUF, b);
    assert_string_not_equal(a, b);
    fingerprint_of(e, GOLDEN "mistral", b);
    assert_string_not_equal(a, b);
    mm_engine_release(e);
    o.precision = MM_PRECISION_FAST;
    e = engine_of(&o);
    fingerprint_of(e, DIRECTORY, b);
    assert_string_not_equal(a, b);
    mm_engine_release(e);
}

static void logits_are_what_tokens_were_chosen_from(void **state)
{
    mm_engine *e = plain_engine();
    mm_model *m = model_of(e, DIRECTORY), *clip = model_of(e, GOLDEN "clip");
    mm_session *s = session_of(m, 4), *vectors = NULL;
    mm_event ev = {.size = sizeof ev};
    const float *logits;
    char vocab[32];
    size_t n;
    FAILS(MM_E_STATE, "no token", mm_x_session_logits(s, &logits, &n, &err));
    assert_null(logits);
    FAILS(MM_E_ARG, "NULL", mm_x_session_logits(s, NULL, &n, &err));
    model_text(m, "vocab", vocab, sizeof vocab);
    feed_text(e, s, "the little dog");
    int tokens = 0;
    for (; mm_session_next(s, &ev, &err) == MM_OK; tokens++) {
        if (ev.kind != MM_EVENT_TEXT || ev.id < 0) continue;
        OK(mm_x_session_logits(s, &logits, &n, &err));
        assert_int_equal(n, strtoul(vocab, NULL, 10));
        for (size_t i = 0; i < n; i++) assert_true(isfinite(logits[i]) && logits[i] <= logits[ev.id]);
    }
    assert_true(tokens >= 4);
    OK(mm_session_create(clip, NULL, &vectors, &err));
    FAILS(MM_E_UNSUPPORTED, "generating", mm_x_session_logits(vectors, &logits, &n, &err));
    mm_session_release(vectors);
    mm_session_release(s);
    mm_model_release(clip);
    mm_model_release(m);
    mm_engine_release(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_has_an_answer),
        cmocka_unit_test(answers_are_true), cmocka_unit_test(a_template_has_its_hash),
        cmocka_unit_test(statuses_are_listed),
        cmocka_unit_test(fingerprints_tell_models_apart),
        cmocka_unit_test(logits_are_what_tokens_were_chosen_from),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

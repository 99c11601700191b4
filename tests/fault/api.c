/* Wrong and unusual calls of every public function, through the public header only: NULL, sizes, states, cancelling, odd
 * media and texts, limits, many threads on one model, every order of release. Expected: the documented status with one
 * sentence, nothing left behind, and a session that answers afterwards as a fresh one does. */
#include "fault.h"

#include <math.h>
#include <pthread.h>
#include <time.h>

#define LM GOLDEN "/gpt2"             /* text in, text out, no chat template */
#define CHAT GOLDEN "/llama"          /* with one */
#define T5 GOLDEN "/flan_t5"
#define VLM GOLDEN "/blip2_opt"
#define CLIP GOLDEN "/clip"
#define BERT GOLDEN "/bert"
#define SPEECH GOLDEN "/whisper"
#define PICTURE GOLDEN "/_inputs/small.png"
#define OTHER_PICTURE GOLDEN "/_inputs/wide.png"
#define SOUND GOLDEN "/_inputs/speech_16k.wav"

#ifdef __SANITIZE_THREAD__ /* it looks at all of a text whenever memmem is called with its rest */
#define LONG_TEXT ((size_t)1 << 13)
#else
#define LONG_TEXT ((size_t)1 << 18)
#endif

static mm_engine *engine;
static mm_error err = {.size = sizeof err};

/* Calls that must fail in one documented way. */
#define EXPECT(status, call)                                                                                                  \
    do {                                                                                                                      \
        err.code = 0;                                                                                                         \
        err.text[0] = 0;                                                                                                      \
        const mm_status got_ = (call);                                                                                        \
        check(got_ == (status) && (got_ >= 0 || described(got_, &err)), "line %d: %s gave %s \"%s\"", __LINE__, #call,         \
              mm_status_name(got_), err.text);                                                                                \
    } while (0)

static mm_model *load(const char *path)
{
    mm_model *m = NULL;
    EXPECT(MM_OK, mm_model_load(engine, path, NULL, &m, &err));
    return m;
}

static mm_session *session(mm_model *m, uint32_t max_tokens, uint32_t flags, uint32_t n_ctx)
{
    mm_session_options o;
    mm_session *s = NULL;
    mm_session_options_init(&o, sizeof o);
    o.max_tokens = max_tokens;
    o.flags = flags;
    o.n_ctx = n_ctx;
    EXPECT(MM_OK, mm_session_create(m, &o, &s, &err));
    return s;
}

static mm_input *input_of(const char *text, const char *picture, const char *sound)
{
    mm_input *in = NULL;
    EXPECT(MM_OK, mm_input_create(engine, &in, &err));
    if (picture) EXPECT(MM_OK, mm_input_image_file(in, picture, &err));
    if (sound) EXPECT(MM_OK, mm_input_audio_file(in, sound, &err));
    if (text) EXPECT(MM_OK, mm_input_text(in, text, strlen(text), &err));
    return in;
}

static mm_status feed(mm_session *s, const char *text, const char *picture, const char *sound)
{
    mm_input *in = input_of(text, picture, sound);
    const mm_status st = mm_session_feed(s, in, &err);
    mm_input_release(in);
    return st;
}

/* Feeds and takes everything. */
static mm_status ask(mm_session *s, const char *text, const char *picture, uint64_t *hash)
{
    const mm_status st = feed(s, text, picture, NULL);
    *hash = 0;
    return st == MM_OK ? take_events(s, hash, &err) : st;
}

static mm_status end_of(mm_session *s)
{
    mm_event e = {.size = sizeof e};
    return mm_session_next(s, &e, &err);
}

/* ---- NULL and sizes ---- */

static void nulls(void)
{
    if (!begin("null arguments")) return;
    mm_model *m = load(LM);
    mm_session *s = session(m, 2, 0, 0);
    mm_input *in = input_of("x", NULL, NULL);
    mm_event e = {.size = sizeof e};
    mm_image im = {.size = sizeof im, .width = 1, .height = 1};
    mm_audio au = {.size = sizeof au, .rate = 16000, .channels = 1, .frames = 1};
    size_t need;
    double x;
    int32_t id = 0;
    EXPECT(MM_E_ARG, mm_engine_create(NULL, NULL, &err));
    EXPECT(MM_E_ARG, mm_model_load(NULL, LM, NULL, &(mm_model *){0}, &err));
    EXPECT(MM_E_ARG, mm_model_load(engine, NULL, NULL, &(mm_model *){0}, &err));
    EXPECT(MM_E_ARG, mm_model_load(engine, LM, NULL, NULL, &err));
    EXPECT(MM_E_ARG, mm_model_info(NULL, "name", NULL, 0, &need, &err));
    EXPECT(MM_E_ARG, mm_model_info(m, NULL, NULL, 0, &need, &err));
    EXPECT(MM_E_ARG, mm_model_info(m, "name", NULL, 5, &need, &err));
    EXPECT(MM_E_ARG, mm_model_tokenize(NULL, "a", 1, 0, NULL, 0, &need, &err));
    EXPECT(MM_E_ARG, mm_model_tokenize(m, NULL, 1, 0, NULL, 0, &need, &err));
    EXPECT(MM_E_ARG, mm_model_tokenize(m, "a", 1, 0, NULL, 3, &need, &err));
    EXPECT(MM_E_ARG, mm_model_detokenize(NULL, &id, 1, 0, NULL, 0, &need, &err));
    EXPECT(MM_E_ARG, mm_model_detokenize(m, NULL, 1, 0, NULL, 0, &need, &err));
    EXPECT(MM_E_ARG, mm_model_apply_template(NULL, "[]", 2, 0, NULL, 0, &need, &err));
    EXPECT(MM_E_ARG, mm_model_apply_template(m, NULL, 2, 0, NULL, 0, &need, &err));
    EXPECT(MM_E_ARG, mm_input_create(NULL, &(mm_input *){0}, &err));
    EXPECT(MM_E_ARG, mm_input_create(engine, NULL, &err));
    EXPECT(MM_E_ARG, mm_input_text(NULL, "a", 1, &err));
    EXPECT(MM_E_ARG, mm_input_text(in, NULL, 1, &err));
    EXPECT(MM_E_ARG, mm_input_image(NULL, &im, &err));
    EXPECT(MM_E_ARG, mm_input_image(in, NULL, &err));
    EXPECT(MM_E_ARG, mm_input_image(in, &im, &err));
    EXPECT(MM_E_ARG, mm_input_image_file(NULL, PICTURE, &err));
    EXPECT(MM_E_ARG, mm_input_image_file(in, NULL, &err));
    EXPECT(MM_E_ARG, mm_input_image_encoded(NULL, "a", 1, &err));
    EXPECT(MM_E_ARG, mm_input_image_encoded(in, NULL, 1, &err));
    EXPECT(MM_E_ARG, mm_input_audio(NULL, &au, &err));
    EXPECT(MM_E_ARG, mm_input_audio(in, NULL, &err));
    EXPECT(MM_E_ARG, mm_input_audio(in, &au, &err));
    EXPECT(MM_E_ARG, mm_input_audio_file(NULL, SOUND, &err));
    EXPECT(MM_E_ARG, mm_input_audio_file(in, NULL, &err));
    EXPECT(MM_E_ARG, mm_input_audio_encoded(NULL, "a", 1, &err));
    EXPECT(MM_E_ARG, mm_input_audio_encoded(in, NULL, 1, &err));
    EXPECT(MM_E_ARG, mm_input_role(NULL, "user", &err));
    EXPECT(MM_E_ARG, mm_input_role(in, NULL, &err));
    EXPECT(MM_E_ARG, mm_input_role(in, "", &err));
    EXPECT(MM_E_ARG, mm_input_messages(NULL, "[]", 2, NULL, &err));
    EXPECT(MM_E_ARG, mm_input_messages(in, NULL, 2, NULL, &err));
    EXPECT(MM_E_ARG, mm_input_tokens(NULL, &id, 1, &err));
    EXPECT(MM_E_ARG, mm_input_tokens(in, NULL, 1, &err));
    EXPECT(MM_E_ARG, mm_session_create(NULL, NULL, &(mm_session *){0}, &err));
    EXPECT(MM_E_ARG, mm_session_create(m, NULL, NULL, &err));
    EXPECT(MM_E_ARG, mm_session_set(NULL, "stop", "a", &err));
    EXPECT(MM_E_ARG, mm_session_set(s, NULL, "a", &err));
    EXPECT(MM_E_ARG, mm_session_set(s, "stop", NULL, &err));
    EXPECT(MM_E_ARG, mm_session_feed(NULL, in, &err));
    EXPECT(MM_E_ARG, mm_session_feed(s, NULL, &err));
    EXPECT(MM_E_ARG, mm_session_next(NULL, &e, &err));
    EXPECT(MM_E_ARG, mm_session_next(s, NULL, &err));
    EXPECT(MM_E_ARG, mm_session_reset(NULL, &err));
    EXPECT(MM_E_ARG, mm_session_stat(NULL, "n_past", &x, &err));
    EXPECT(MM_E_ARG, mm_session_stat(s, NULL, &x, &err));
    EXPECT(MM_E_ARG, mm_session_stat(s, "n_past", NULL, &err));
    mm_engine_options_init(NULL, 8);
    mm_session_options_init(NULL, 8);
    mm_engine_release(NULL);
    mm_model_release(NULL);
    mm_session_release(NULL);
    mm_input_release(NULL);
    mm_input_clear(NULL);
    mm_session_cancel(NULL);
    /* Errors are optional. */
    check(mm_model_load(engine, "nowhere", NULL, &(mm_model *){0}, NULL) == MM_E_IO, "no error struct");
    check(mm_session_set(s, "nothing", "1", NULL) == MM_E_KEY, "no error struct");
    check(mm_input_image_file(in, "nowhere", NULL) == MM_E_IO, "no error struct");
    mm_input_release(in);
    mm_session_release(s);
    mm_model_release(m);
}

static void sizes(void)
{
    if (!begin("sizes of structs")) return;
    struct { mm_engine_options o; char more[64]; } eo;
    struct { mm_session_options o; char more[64]; } so;
    struct { mm_image im; char more[64]; } im;
    struct { mm_audio au; char more[64]; } au;
    mm_engine *e = NULL;
    mm_session *s = NULL;
    mm_model *m = load(LM);
    mm_input *in = input_of(NULL, NULL, NULL);
    mm_engine_options_init(&eo.o, 2);
    mm_engine_options_init(&eo.o, sizeof eo);
    eo.o.n_threads = 1;
    EXPECT(MM_OK, mm_engine_create(&eo.o, &e, &err));
    mm_engine_release(e);
    eo.more[10] = 1;
    EXPECT(MM_E_UNSUPPORTED, mm_engine_create(&eo.o, &e, &err));
    for (uint32_t n = 0; n < sizeof eo.o; n++) {
        eo.o.size = n;
        EXPECT(MM_E_ARG, mm_engine_create(&eo.o, &e, &err));
    }
    mm_session_options_init(&so.o, sizeof so);
    EXPECT(MM_OK, mm_session_create(m, &so.o, &s, &err));
    so.more[63] = 1;
    EXPECT(MM_E_UNSUPPORTED, mm_session_create(m, &so.o, &(mm_session *){0}, &err));
    for (uint32_t n = 0; n < sizeof so.o; n++) {
        so.o.size = n;
        EXPECT(MM_E_ARG, mm_session_create(m, &so.o, &(mm_session *){0}, &err));
    }
    memset(&im, 0, sizeof im);
    memset(&au, 0, sizeof au);
    im.im = (mm_image){.size = 12, .width = 1, .height = 1, .pixels = "abc"};
    au.au = (mm_audio){.size = 12, .rate = 16000, .channels = 1, .frames = 1, .samples = "abcd"};
    EXPECT(MM_E_ARG, mm_input_image(in, &im.im, &err));
    EXPECT(MM_E_ARG, mm_input_audio(in, &au.au, &err));
    im.im.size = sizeof im;
    EXPECT(MM_OK, mm_input_image(in, &im.im, &err));
    im.more[60] = 1;
    EXPECT(MM_E_UNSUPPORTED, mm_input_image(in, &im.im, &err));
    EXPECT(MM_OK, feed(s, "a", NULL, NULL));
    mm_event ev = {.size = 0};
    EXPECT(MM_E_ARG, mm_session_next(s, &ev, &err));
    ev.size = sizeof ev - 1;
    EXPECT(MM_E_ARG, mm_session_next(s, &ev, &err));
    ev.size = sizeof ev;
    EXPECT(MM_OK, mm_session_next(s, &ev, &err));
    check(ev.size == sizeof ev, "the size of an event was changed to %u", ev.size);
    mm_input_release(in);
    mm_session_release(s);
    mm_model_release(m);
}

/* ---- options, keys, buffers ---- */

static void bad_options(void)
{
    if (!begin("option values")) return;
    mm_engine *e = NULL;
    mm_engine_options eo;
    mm_model *m = load(LM);
    mm_session_options o;
    mm_session *s = NULL;
    mm_engine_options_init(&eo, sizeof eo);
    eo.precision = 7;
    EXPECT(MM_E_ARG, mm_engine_create(&eo, &e, &err));
    eo.precision = 0;
    eo.n_threads = 4000000000u;
    EXPECT(MM_E_ARG, mm_engine_create(&eo, &e, &err));
    eo.n_threads = 1;
    const char *devices[] = {"", "gpu", "cpu:x", "vulkan:99", "vulkan:-1", "vulkan:99999999999999999999"};
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) {
        eo.device = devices[i];
        EXPECT(MM_E_DEVICE, mm_engine_create(&eo, &e, &err));
    }
    eo.device = NULL;
    eo.memory_limit = 1;
    EXPECT(MM_E_NOMEM, mm_engine_create(&eo, &e, &err));
    mm_allocator half = {.size = sizeof half};
    eo.memory_limit = 0;
    eo.allocator = &half;
    EXPECT(MM_E_ARG, mm_engine_create(&eo, &e, &err));
    char line[256];
    size_t need;
    EXPECT(MM_OK, mm_device_info(0, "summary", line, sizeof line, &need, &err));
    EXPECT(MM_END, mm_device_info(1000, "summary", line, sizeof line, &need, &err));
    EXPECT(MM_E_SPACE, mm_device_info(0, "summary", line, 3, &need, &err));
    const struct { size_t at; float value; } floats[] = {
        {offsetof(mm_session_options, temperature), NAN}, {offsetof(mm_session_options, temperature), -1},
        {offsetof(mm_session_options, temperature), INFINITY}, {offsetof(mm_session_options, top_p), 0},
        {offsetof(mm_session_options, top_p), 1.5f}, {offsetof(mm_session_options, top_p), NAN},
        {offsetof(mm_session_options, min_p), -0.1f}, {offsetof(mm_session_options, min_p), 1.1f},
        {offsetof(mm_session_options, repeat_penalty), 0}, {offsetof(mm_session_options, repeat_penalty), NAN}};
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++) {
        mm_session_options_init(&o, sizeof o);
        memcpy((char *)&o + floats[i].at, &floats[i].value, sizeof(float));
        EXPECT(MM_E_ARG, mm_session_create(m, &o, &s, &err));
    }
    mm_session_options_init(&o, sizeof o);
    o.top_logprobs = 21;
    EXPECT(MM_E_ARG, mm_session_create(m, &o, &s, &err));
    mm_session_options_init(&o, sizeof o);
    o.n_ctx = UINT32_MAX;
    EXPECT(MM_E_LIMIT, mm_session_create(m, &o, &s, &err));
    o.n_ctx = 100000;
    EXPECT(MM_E_CONTEXT, mm_session_create(m, &o, &s, &err));
    check(!s, "an out-handle was set on failure");
    mm_model_release(m);
}

static void sampling(void)
{
    if (!begin("extreme sampling")) return;
    mm_model *m = load(LM);
    const float temperatures[] = {0, 1e-38f, 1e-6f, 1, 1e30f};
    const float penalties[] = {1, 1e-30f, 1e30f, 1.2f};
    for (size_t i = 0; i < 5; i++)
        for (size_t j = 0; j < 4; j++) {
            mm_session_options o;
            mm_session *s = NULL;
            uint64_t hash;
            mm_session_options_init(&o, sizeof o);
            o.max_tokens = 4;
            o.temperature = temperatures[i];
            o.repeat_penalty = penalties[j];
            o.top_p = j & 1 ? 1e-30f : 1;
            o.min_p = j & 2 ? 1 : 0;
            o.top_k = i & 1 ? UINT32_MAX : 1;
            o.seed = UINT64_MAX;
            o.top_logprobs = 20;
            o.flags = UINT32_MAX & ~(uint32_t)MM_SESSION_RAW;
            EXPECT(MM_OK, mm_session_create(m, &o, &s, &err));
            EXPECT(MM_OK, ask(s, "one two three", NULL, &hash));
            mm_session_release(s);
        }
    mm_model_release(m);
}

static void keys(void)
{
    if (!begin("keys and values")) return;
    mm_model *m = load(LM), *w = load(SPEECH);
    mm_session *s = session(m, 2, 0, 0), *t = session(w, 2, 0, 0);
    double x;
    size_t need;
    const char *bad[] = {"", "tempreature", "stop ", "Stop", "task\n", "%s%n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        EXPECT(MM_E_KEY, mm_session_set(s, bad[i], "1", &err));
        EXPECT(MM_E_KEY, mm_session_stat(s, bad[i], &x, &err));
        EXPECT(MM_E_KEY, mm_model_info(m, bad[i], NULL, 0, &need, &err));
    }
    EXPECT(MM_E_ARG, mm_session_set(s, "task", "fly", &err));
    EXPECT(MM_E_UNSUPPORTED, mm_session_set(s, "task", "transcribe", &err));
    EXPECT(MM_E_UNSUPPORTED, mm_session_set(t, "task", "generate", &err));
    EXPECT(MM_E_ARG, mm_session_set(s, "stop", "", &err));
    EXPECT(MM_E_ARG, mm_session_set(s, "truncate", "yes", &err));
    EXPECT(MM_E_ARG, mm_session_set(s, "translate", "2", &err));
    EXPECT(MM_E_ARG, mm_session_set(s, "force_ids", "1 2 x", &err));
    EXPECT(MM_E_ARG, mm_session_set(s, "force_ids", "-1", &err));
    EXPECT(MM_E_ARG, mm_session_set(s, "force_ids", "99999999999999999999", &err));
    EXPECT(MM_E_ARG, mm_session_set(s, "force_ids", "2147483647", &err));
    EXPECT(MM_E_ARG, mm_session_set(t, "language", "a language that is much too long", &err));
    EXPECT(MM_OK, mm_session_set(t, "language", "qq", &err));
    EXPECT(MM_OK, feed(t, NULL, NULL, SOUND));
    EXPECT(MM_E_ARG, end_of(t)); /* no such language */
    EXPECT(MM_OK, mm_session_set(t, "language", "en", &err));
    EXPECT(MM_OK, feed(t, NULL, NULL, SOUND));
    uint64_t hash;
    EXPECT(MM_OK, take_events(t, &hash, &err));
    /* Every info key, measured and then read into exactly enough room, and into one byte less. */
    const char *info[] = {"name", "assembly", "format", "modalities_in", "modalities_out", "tasks", "context", "vocab",
                          "parameters", "weights_bytes", "kv_bytes_per_token", "parts", "dtypes", "chat_template",
                          "chat_template_sha256", "prompt_layout", "placeholder", "sample_rate", "tensors", "summary", "plan:64",
                          "plan:0"};
    const char *no_plan[] = {"plan:", "plan:-1", "plan:abc", "plan:4294967297", "plan:99999999999999999999"};
    mm_model *models[] = {m, w};
    for (size_t i = 0; i < sizeof no_plan / sizeof *no_plan; i++)
        EXPECT(MM_E_KEY, mm_model_info(m, no_plan[i], NULL, 0, &need, &err));
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < sizeof info / sizeof *info; i++) {
            size_t again;
            mm_status st = mm_model_info(models[k], info[i], NULL, 0, &need, &err);
            check(st == MM_OK, "%s: %s \"%s\"", info[i], mm_status_name(st), err.text);
            char *text = malloc(need + 1);
            if (!text) exit(3);
            EXPECT(MM_OK, mm_model_info(models[k], info[i], text, need + 1, &again, &err));
            check(again == need && strlen(text) == need, "%s: length %zu, then %zu", info[i], need, again);
            if (need) EXPECT(MM_E_SPACE, mm_model_info(models[k], info[i], text, need, &again, &err));
            free(text);
        }
    mm_session_release(s);
    mm_session_release(t);
    mm_model_release(m);
    mm_model_release(w);
}

static void tokens(void)
{
    const char *paths[] = {LM, T5, BERT, SPEECH, CLIP, CHAT, GOLDEN "/llama_spm_bf16", GOLDEN "/siglip", GOLDEN "/gemma3"};
    for (size_t p = 0; p < sizeof paths / sizeof *paths; p++) {
        if (!begin("tokens of %s", paths[p])) continue;
        mm_model *m = load(paths[p]);
        size_t need, again;
        int32_t ids[64], odd[] = {-1, INT32_MIN, INT32_MAX, 1 << 20, 0, 1, 2};
        char text[4096];
        EXPECT(MM_OK, mm_model_tokenize(m, NULL, 0, 0, NULL, 0, &need, &err));
        EXPECT(MM_OK, mm_model_tokenize(m, "hello there", 11, MM_TOKENIZE_BOS | MM_TOKENIZE_SPECIAL, NULL, 0, &need, &err));
        check(need > 0 && need < 64, "%zu ids", need);
        EXPECT(MM_OK, mm_model_tokenize(m, "hello there", 11, MM_TOKENIZE_BOS | MM_TOKENIZE_SPECIAL, ids, need, &again, &err));
        EXPECT(MM_E_SPACE, mm_model_tokenize(m, "hello there", 11, MM_TOKENIZE_BOS, ids, 1, &again, &err));
        EXPECT(MM_OK, mm_model_tokenize(m, "a\0b\xff\xc0\x80\xed\xa0\x80\xf4\x90\x80\x80\xe2\x82", 16, UINT32_MAX, NULL, 0, &need, &err));
        const mm_status st = mm_model_detokenize(m, odd, 7, UINT32_MAX, text, sizeof text, &need, &err);
        check(st == MM_OK || (st == MM_E_ARG && described(st, &err)), "odd ids: %s \"%s\"", mm_status_name(st), err.text);
        EXPECT(MM_OK, mm_model_detokenize(m, NULL, 0, 0, text, sizeof text, &need, &err));
        /* A word, blanks and a control character without an end: time must not grow with the square of the length. */
        const size_t n = LONG_TEXT;
        char *big = malloc(n);
        if (!big) exit(3);
        const char fill[] = {'a', ' ', '\n', '\xff', '1', '<'};
        for (size_t i = 0; i < sizeof fill; i++) {
            memset(big, fill[i], n);
            EXPECT(MM_OK, mm_model_tokenize(m, big, n, MM_TOKENIZE_SPECIAL, NULL, 0, &need, &err));
        }
        for (size_t i = 0; i < n; i++) big[i] = (char)mix(seed + i);
        EXPECT(MM_OK, mm_model_tokenize(m, big, n, MM_TOKENIZE_SPECIAL, NULL, 0, &need, &err));
        free(big);
        mm_model_release(m);
    }
}

/* ---- states ---- */

static void states(void)
{
    const struct { const char *path, *text, *picture, *sound; } all[] = {
        {LM, "the dog", NULL, NULL}, {T5, "the dog", NULL, NULL}, {VLM, "the dog", PICTURE, NULL}, {CLIP, "the dog", PICTURE, NULL},
        {BERT, "the dog", NULL, NULL}, {SPEECH, NULL, NULL, SOUND}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (!begin("states of %s", all[i].path)) continue;
        mm_model *m = load(all[i].path);
        mm_session *s = session(m, 6, MM_SESSION_IGNORE_EOS, 0);
        mm_input *empty = input_of(NULL, NULL, NULL);
        uint64_t first = 0, again = 0;
        EXPECT(MM_END, end_of(s));
        EXPECT(MM_E_ARG, mm_session_feed(s, empty, &err));
        EXPECT(MM_END, end_of(s));
        EXPECT(MM_OK, feed(s, all[i].text, all[i].picture, all[i].sound));
        EXPECT(MM_OK, take_events(s, &first, &err));
        EXPECT(MM_END, end_of(s));
        EXPECT(MM_END, end_of(s));
        EXPECT(MM_OK, mm_session_reset(s, &err));
        EXPECT(MM_END, end_of(s));
        EXPECT(MM_OK, feed(s, all[i].text, all[i].picture, all[i].sound));
        if (model_has(m, "tasks", "generate")) {
            EXPECT(MM_OK, end_of(s));
            EXPECT(MM_E_STATE, feed(s, "more", NULL, NULL));
            EXPECT(MM_E_STATE, mm_session_set(s, "stop", "x", &err));
            mm_session_cancel(s);
            EXPECT(MM_E_CANCELLED, end_of(s));
            EXPECT(MM_END, end_of(s));
            EXPECT(MM_OK, feed(s, all[i].text, all[i].picture, all[i].sound));
        }
        EXPECT(MM_OK, take_events(s, &again, &err));
        check(first == again, "another answer after a reset");
        EXPECT(MM_OK, feed(s, all[i].text, all[i].picture, all[i].sound)); /* a second turn, and a feed that is never answered */
        EXPECT(MM_OK, take_events(s, &again, &err));
        EXPECT(MM_OK, feed(s, all[i].text, all[i].picture, all[i].sound));
        mm_input_release(empty);
        mm_session_release(s);
        mm_model_release(m);
    }
}

/* What was held for a picture that was taken back must not answer for the next one. */
static void another_picture(void)
{
    const char *paths[] = {VLM, GOLDEN "/llava", GOLDEN "/idefics", GOLDEN "/minigpt4", GOLDEN "/blip2_flan_t5"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        if (!begin("another picture after a cancelled one, %s", paths[i])) continue;
        mm_model *m = load(paths[i]);
        mm_session *fresh = session(m, 8, MM_SESSION_IGNORE_EOS, 0), *s = session(m, 8, MM_SESSION_IGNORE_EOS, 0);
        uint64_t want, other, got;
        EXPECT(MM_OK, mm_session_set(fresh, "watch", "logits", &err));
        EXPECT(MM_OK, ask(fresh, "What is this?", OTHER_PICTURE, &want));
        EXPECT(MM_OK, mm_session_reset(fresh, &err));
        EXPECT(MM_OK, ask(fresh, "What is this?", PICTURE, &other));
        check(want != other, "the test says nothing: both pictures give the same logits");
        mm_session_release(fresh);
        fresh = session(m, 8, MM_SESSION_IGNORE_EOS, 0);
        EXPECT(MM_OK, ask(fresh, "What is this?", OTHER_PICTURE, &want));
        EXPECT(MM_OK, feed(s, "What is this?", PICTURE, NULL));
        EXPECT(MM_OK, end_of(s));
        double n_past = 0, prefilled = 0;
        mm_session_stat(s, "n_past", &n_past, NULL);
        mm_session_cancel(s);
        EXPECT(MM_E_CANCELLED, end_of(s));
        EXPECT(MM_OK, ask(s, "What is this?", OTHER_PICTURE, &got));
        check(got == want, "the answer is not that of a fresh session");
        mm_session_stat(s, "prefill_tokens", &prefilled, NULL);
        check(prefilled > 1, "%g of %g positions were computed: the rows of the first picture were kept", prefilled, n_past);
        mm_session_release(s);
        mm_session_release(fresh);
        mm_model_release(m);
    }
}

/* ---- cancelling ---- */

typedef struct canceller { mm_session *s; atomic_int stop; uint64_t seed; } canceller;

static void *cancel_now_and_then(void *arg)
{
    canceller *c = arg;
    for (uint64_t i = 0; !atomic_load(&c->stop); i++) {
        const struct timespec t = {0, (long)(mix(c->seed + i) % 400000)};
        nanosleep(&t, NULL);
        mm_session_cancel(c->s);
    }
    return NULL;
}

static void cancels(void)
{
    const struct { const char *path, *text, *picture, *sound; } all[] = {
        {LM, "the dog", NULL, NULL}, {T5, "the dog", NULL, NULL}, {VLM, "the dog", PICTURE, NULL}, {CLIP, "the dog", PICTURE, NULL},
        {SPEECH, NULL, NULL, SOUND}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (!begin("cancelling %s", all[i].path)) continue;
        mm_model *m = load(all[i].path);
        mm_session *s = session(m, 24, MM_SESSION_IGNORE_EOS, 0);
        uint64_t want = 0, got = 0;
        EXPECT(MM_OK, feed(s, all[i].text, all[i].picture, all[i].sound));
        EXPECT(MM_OK, take_events(s, &want, &err));
        EXPECT(MM_OK, mm_session_reset(s, &err));
        mm_session_cancel(s); /* with nothing to cancel: the next call says so or says the end, and that is that */
        const mm_status st = end_of(s);
        check(st == MM_END || st == MM_E_CANCELLED, "cancelled without an answer: %s", mm_status_name(st));
        EXPECT(MM_OK, feed(s, all[i].text, all[i].picture, all[i].sound));
        mm_session_cancel(s);
        EXPECT(MM_E_CANCELLED, end_of(s));
        canceller c = {.s = s, .seed = seed};
        pthread_t thread;
        if (pthread_create(&thread, NULL, cancel_now_and_then, &c) != 0) exit(3);
        for (int k = 0; k < 25; k++) {
            EXPECT(MM_OK, mm_session_reset(s, &err));
            EXPECT(MM_OK, feed(s, all[i].text, all[i].picture, all[i].sound));
            const mm_status end = take_events(s, &got, &err);
            check(end == MM_OK ? got == want : end == MM_E_CANCELLED && described(end, &err), "%s \"%s\"", mm_status_name(end), err.text);
        }
        atomic_store(&c.stop, 1);
        pthread_join(thread, NULL);
        end_of(s);
        EXPECT(MM_OK, mm_session_reset(s, &err));
        end_of(s); /* takes a cancel that came late */
        EXPECT(MM_OK, feed(s, all[i].text, all[i].picture, all[i].sound));
        EXPECT(MM_OK, take_events(s, &got, &err));
        check(got == want, "another answer after all the cancelling");
        mm_session_release(s);
        mm_model_release(m);
    }
}

static int32_t stop_at(void *user, const char *stage, uint64_t done, uint64_t total)
{
    (void)stage;
    check(done <= total, "progress %llu of %llu", (unsigned long long)done, (unsigned long long)total);
    return (*(int *)user)-- <= 0;
}

static void cancelled_loads(void)
{
    const char *paths[] = {LM, CHAT "/model-f16.gguf", GOLDEN "/llava/model-f16.gguf", SPEECH "/ggml-f16.bin", VLM};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        if (!begin("a cancelled load of %s", paths[i])) continue;
        const long before = atomic_load(&mem_live);
        mm_status st = MM_E_CANCELLED;
        for (int n = 0; st == MM_E_CANCELLED && n < 100000; n++) {
            int left = n;
            mm_model *m = NULL;
            mm_model_options options;
            mm_model_options_init(&options, sizeof options);
            options.progress = stop_at;
            options.progress_user = &left;
            st = mm_model_load(engine, paths[i], &options, &m, &err);
            check(st == MM_OK ? m != NULL : st == MM_E_CANCELLED && !m && described(st, &err), "%s \"%s\"", mm_status_name(st), err.text);
            mm_model_release(m);
            check(atomic_load(&mem_live) == before, "%ld bytes are left", atomic_load(&mem_live) - before);
        }
    }
}

/* ---- media ---- */

static void run_picture(mm_model *m, uint32_t w, uint32_t h, uint32_t format, uint32_t stride_more)
{
    static const uint32_t channels[] = {3, 4, 3, 1};
    const uint32_t stride = w * channels[format] + stride_more;
    unsigned char *pixels = malloc((size_t)stride * h);
    if (!pixels) exit(3);
    for (size_t i = 0; i < (size_t)stride * h; i++) pixels[i] = (unsigned char)(i * 31 >> 3);
    const mm_image im = {sizeof im, w, h, stride_more ? stride : 0, format, 0, pixels};
    mm_session *s = session(m, 1, MM_SESSION_IGNORE_EOS, 0);
    mm_input *in = input_of(NULL, NULL, NULL);
    uint64_t hash;
    EXPECT(MM_OK, mm_input_image(in, &im, &err));
    free(pixels); /* borrowed during the call only */
    if (model_has(m, "modalities_in", "text")) EXPECT(MM_OK, mm_input_text(in, "what", 4, &err));
    EXPECT(MM_OK, mm_session_feed(s, in, &err));
    EXPECT(MM_OK, take_events(s, &hash, &err));
    mm_input_release(in);
    mm_session_release(s);
}

static void pictures(void)
{
    const char *paths[] = {CLIP, VLM, GOLDEN "/llava", GOLDEN "/siglip", GOLDEN "/vit", GOLDEN "/dinov2", GOLDEN "/idefics",
                           GOLDEN "/minigpt4"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        if (!begin("odd pictures for %s", paths[i])) continue;
        mm_model *m = load(paths[i]);
        run_picture(m, 1, 1, MM_PIXELS_RGB, 0);
        run_picture(m, 10000, 10, MM_PIXELS_RGBA, 4);
        run_picture(m, 10, 10000, MM_PIXELS_GREY, 0);
        run_picture(m, 1, 16384, MM_PIXELS_BGR, 1);
        run_picture(m, 16384, 1, MM_PIXELS_GREY, 7);
        mm_model_release(m);
    }
}

static void bad_pictures(void)
{
    if (!begin("bad pictures")) return;
    mm_input *in = input_of(NULL, NULL, NULL);
    unsigned char px[64] = {0};
    const mm_image bad[] = {{sizeof *bad, 0, 1, 0, 0, 0, px}, {sizeof *bad, 1, 0, 0, 0, 0, px}, {sizeof *bad, 16385, 1, 0, 0, 0, px},
                            {sizeof *bad, 1, UINT32_MAX, 0, 0, 0, px}};
    for (size_t i = 0; i < 4; i++) EXPECT(MM_E_LIMIT, mm_input_image(in, &bad[i], &err));
    EXPECT(MM_E_ARG, mm_input_image(in, &(mm_image){sizeof(mm_image), 4, 4, 11, MM_PIXELS_RGB, 0, px}, &err));
    EXPECT(MM_E_ARG, mm_input_image(in, &(mm_image){sizeof(mm_image), 4, 4, 0, 4, 0, px}, &err));
    EXPECT(MM_E_ARG, mm_input_image(in, &(mm_image){sizeof(mm_image), 4, 4, 0, UINT32_MAX, 0, px}, &err));
    EXPECT(MM_E_IO, mm_input_image_file(in, "", &err));
    EXPECT(MM_E_IO, mm_input_image_file(in, GOLDEN "/nowhere.png", &err));
    EXPECT(MM_E_IO, mm_input_image_file(in, GOLDEN, &err));
    EXPECT(MM_E_MEDIA, mm_input_image_file(in, SOUND, &err));
    EXPECT(MM_E_MEDIA, mm_input_image_file(in, LM "/config.json", &err));
    EXPECT(MM_E_MEDIA, mm_input_image_encoded(in, "", 0, &err));
    EXPECT(MM_E_MEDIA, mm_input_image_encoded(in, NULL, 0, &err));
    EXPECT(MM_E_MEDIA, mm_input_image_encoded(in, "\x89PNG\r\n\x1a\n", 8, &err));
    EXPECT(MM_E_MEDIA, mm_input_image_encoded(in, "\xff\xd8\xff\xe0", 4, &err));
    EXPECT(MM_E_MEDIA, mm_input_image_encoded(in, "BM", 2, &err));
    mm_input_release(in);
}

/* Every prefix, and single bytes changed: decoded or refused. */
static void damaged_media(void)
{
    const char *files[] = {"small.png", "grey.png", "rgba.png", "photo.jpg", "speech_16k.wav"};
    static unsigned char bytes[1 << 17];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[256];
        snprintf(path, sizeof path, GOLDEN "/_inputs/%s", files[i]);
        FILE *f = fopen(path, "rb");
        if (!f) exit(3);
        const size_t n = fread(bytes, 1, sizeof bytes, f);
        fclose(f);
        const bool sound = ends(files[i], ".wav");
        mm_input *in = input_of(NULL, NULL, NULL);
        for (size_t k = 0; k < 300; k++) {
            if (!begin("%s, damage %zu", files[i], k)) continue;
            unsigned char *copy = malloc(n); /* exact size: an overrun is seen */
            if (!copy) exit(3);
            memcpy(copy, bytes, n);
            size_t len = n;
            const uint64_t r = mix(seed * 1000 + k);
            if (k < 100) len = k < 64 ? k : n * (k - 64) / 36;
            else copy[k < 220 ? r % (n < 128 ? n : 128) : r % n] ^= (unsigned char)(k & 1 ? 1u << (r >> 40) % 8 : 1 + (r >> 32) % 255);
            unsigned char *exact = malloc(len + 1);
            if (!exact) exit(3);
            memcpy(exact, copy, len);
            err.text[0] = 0;
            const mm_status st = sound ? mm_input_audio_encoded(in, exact, len, &err) : mm_input_image_encoded(in, exact, len, &err);
            check(st == MM_OK || ((st == MM_E_MEDIA || st == MM_E_LIMIT || st == MM_E_UNSUPPORTED) && described(st, &err)), "%s \"%s\"",
                  mm_status_name(st), err.text);
            mm_input_clear(in);
            free(exact);
            free(copy);
        }
        mm_input_release(in);
    }
}

static void sounds(void)
{
    if (!begin("odd sounds")) return;
    mm_model *m = load(SPEECH);
    mm_input *in = input_of(NULL, NULL, NULL);
    static float loud[32000];
    static int16_t pcm[8 * 800];
    for (size_t i = 0; i < 32000; i++) loud[i] = i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : -3e38f;
    const mm_audio bad[] = {{sizeof *bad, 999, 1, 0, 10, loud}, {sizeof *bad, 768001, 1, 0, 10, loud}, {sizeof *bad, 16000, 0, 0, 10, loud},
                            {sizeof *bad, 16000, 9, 0, 10, loud}, {sizeof *bad, 16000, 1, 2, 10, loud}, {sizeof *bad, 16000, 1, 0, 10, NULL}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) EXPECT(MM_E_ARG, mm_input_audio(in, &bad[i], &err));
    EXPECT(MM_E_IO, mm_input_audio_file(in, GOLDEN "/nowhere.wav", &err));
    EXPECT(MM_E_MEDIA, mm_input_audio_file(in, PICTURE, &err));
    EXPECT(MM_E_MEDIA, mm_input_audio_encoded(in, "", 0, &err));
    EXPECT(MM_E_MEDIA, mm_input_audio_encoded(in, "RIFF\0\0\0\0WAVE", 12, &err));
    const struct { mm_audio a; bool may_fail; } odd[] = {
        {{sizeof(mm_audio), 16000, 1, MM_SAMPLES_F32, 0, NULL}, true},       {{sizeof(mm_audio), 16000, 1, MM_SAMPLES_F32, 0, loud}, true},
        {{sizeof(mm_audio), 16000, 1, MM_SAMPLES_I16, 1, pcm}, false},       {{sizeof(mm_audio), 1000, 1, MM_SAMPLES_I16, 1, pcm}, false},
        {{sizeof(mm_audio), 768000, 8, MM_SAMPLES_I16, 800, pcm}, false},    {{sizeof(mm_audio), 768000, 1, MM_SAMPLES_I16, 1, pcm}, true},
        {{sizeof(mm_audio), 16000, 1, MM_SAMPLES_F32, 32000, loud}, true},   {{sizeof(mm_audio), 44100, 2, MM_SAMPLES_F32, 16000, loud}, true}};
    mm_input_release(in);
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        if (!begin("odd sound %zu", i)) continue;
        mm_session *s = session(m, 2, 0, 0);
        uint64_t hash;
        mm_input *one = input_of(NULL, NULL, NULL);
        mm_status st = mm_input_audio(one, &odd[i].a, &err);
        if (st == MM_OK) st = mm_session_feed(s, one, &err);
        if (st == MM_OK) st = take_events(s, &hash, &err);
        check(st == MM_OK || (odd[i].may_fail && (st == MM_E_MEDIA || st == MM_E_ARG || st == MM_E_NUMERIC) && described(st, &err)),
              "%s \"%s\"", mm_status_name(st), err.text);
        mm_input_release(one);
        EXPECT(MM_OK, feed(s, NULL, NULL, SOUND));
        EXPECT(MM_OK, take_events(s, &hash, &err));
        mm_session_release(s);
    }
    mm_model_release(m);
}

static void modalities(void)
{
    if (!begin("modalities a model lacks")) return;
    const struct { const char *path, *text, *picture, *sound; } all[] = {
        {LM, "x", PICTURE, NULL}, {LM, NULL, NULL, SOUND}, {T5, NULL, PICTURE, NULL}, {VLM, "x", NULL, SOUND}, {CLIP, NULL, NULL, SOUND},
        {BERT, NULL, PICTURE, NULL}, {SPEECH, "x", NULL, NULL}, {SPEECH, NULL, PICTURE, NULL}, {GOLDEN "/vit", "x", NULL, NULL}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        mm_model *m = load(all[i].path);
        mm_session *s = session(m, 2, 0, 0);
        EXPECT(MM_E_UNSUPPORTED, feed(s, all[i].text, all[i].picture, all[i].sound));
        EXPECT(MM_END, end_of(s));
        mm_session_release(s);
        mm_model_release(m);
    }
}

/* ---- texts ---- */

static void texts(void)
{
    const char *paths[] = {LM, T5, VLM, GOLDEN "/llama_spm_bf16", CHAT};
    for (size_t p = 0; p < sizeof paths / sizeof *paths; p++) {
        if (!begin("odd texts for %s", paths[p])) continue;
        mm_model *m = load(paths[p]);
        const bool image = model_has(m, "modalities_in", "image");
        mm_session *s = session(m, 3, MM_SESSION_IGNORE_EOS, 64);
        mm_input *in = input_of(NULL, NULL, NULL);
        uint64_t hash;
        EXPECT(MM_E_ARG, mm_input_text(in, "a\0b", 3, &err));
        EXPECT(MM_E_LIMIT, mm_input_text(in, "a", SIZE_MAX, &err));
        EXPECT(MM_E_LIMIT, mm_input_text(in, "a", ((size_t)64 << 20) + 1, &err));
        mm_input_release(in);
        const char *odd[] = {"\xff\xfe", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\xef\xbb\xbf", "\n", " ",
                             "<|endoftext|>", "</s><s>", "{{ 7*7 }}{% raw %}", "\xf0\x9f\x98\x80\xcc\x81"};
        for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
            EXPECT(MM_OK, mm_session_reset(s, &err));
            const mm_status st = ask(s, odd[i], NULL, &hash);
            check(st == MM_OK || (st == MM_E_ARG && described(st, &err)), "text %zu: %s \"%s\"", i, mm_status_name(st), err.text);
        }
        char *big = malloc(20001);
        if (!big) exit(3);
        memset(big, 0, 20001);
        for (size_t i = 0; i < 20000; i++) big[i] = "the dog sat. "[i % 13];
        EXPECT(MM_OK, mm_session_reset(s, &err));
        EXPECT(MM_OK, feed(s, big, NULL, NULL));
        EXPECT(MM_E_CONTEXT, end_of(s));
        EXPECT(MM_OK, ask(s, "the dog", NULL, &hash));
        EXPECT(MM_OK, mm_session_reset(s, &err));
        EXPECT(MM_OK, mm_session_set(s, "truncate", "1", &err));
        EXPECT(MM_OK, ask(s, big, NULL, &hash));
        if (image) {
            EXPECT(MM_OK, mm_session_reset(s, &err));
            EXPECT(MM_OK, feed(s, big, PICTURE, NULL));
            EXPECT(MM_E_CONTEXT, end_of(s));
        }
        mm_session_release(s);
        for (uint32_t n = 1; n <= 3; n++) { /* contexts with hardly any room */
            s = session(m, 3, 0, n);
            EXPECT(MM_OK, mm_session_set(s, "truncate", n & 1 ? "1" : "0", &err));
            const mm_status st = ask(s, "the dog sat on the mat and looked", NULL, &hash);
            check(st == MM_OK || (st == MM_E_CONTEXT && described(st, &err)), "context %u: %s \"%s\"", n, mm_status_name(st), err.text);
            if (n == 2) check(st == MM_E_CONTEXT, "a prompt of many tokens in a context of 2: %s", mm_status_name(st));
            mm_session_release(s);
        }
        free(big);
        mm_model_release(m);
    }
}

/* The answer fills the context and ends there; the next turn does not fit. */
static void full_context(void)
{
    const char *paths[] = {LM, T5, CHAT};
    for (size_t p = 0; p < sizeof paths / sizeof *paths; p++) {
        if (!begin("a full context, %s", paths[p])) continue;
        mm_model *m = load(paths[p]);
        mm_session *s = session(m, 0, MM_SESSION_IGNORE_EOS | MM_SESSION_RAW, 24);
        uint64_t hash;
        double n = 0;
        EXPECT(MM_OK, ask(s, "the dog", NULL, &hash));
        EXPECT(MM_OK, mm_session_stat(s, "n_past", &n, &err));
        check(n <= 24, "%g positions", n);
        if (!model_has(m, "parts", "memory:")) {
            EXPECT(MM_OK, feed(s, "the dog sat on the mat and looked at the cat", NULL, NULL));
            EXPECT(MM_E_CONTEXT, end_of(s));
        }
        EXPECT(MM_OK, mm_session_reset(s, &err));
        EXPECT(MM_OK, ask(s, "the dog", NULL, &hash));
        mm_session_release(s);
        mm_model_release(m);
    }
}

static void raw_ids(void)
{
    const char *paths[] = {LM, T5, VLM, CHAT};
    const int32_t odd[][3] = {{-1, 5, 6}, {5, INT32_MIN, 6}, {5, 6, INT32_MAX}, {5, 1 << 20, 6}};
    for (size_t p = 0; p < sizeof paths / sizeof *paths; p++) {
        if (!begin("raw ids for %s", paths[p])) continue;
        mm_model *m = load(paths[p]);
        char text[16] = "";
        EXPECT(MM_OK, mm_model_info(m, "vocab", text, sizeof text, NULL, &err));
        mm_session *s = session(m, 3, MM_SESSION_RAW | MM_SESSION_LOGPROBS, 0), *cooked = session(m, 3, 0, 0);
        mm_input *in = input_of(NULL, NULL, NULL);
        uint64_t hash;
        EXPECT(MM_OK, mm_input_tokens(in, NULL, 0, &err));
        mm_status st = mm_session_feed(s, in, &err);
        if (st == MM_OK) st = take_events(s, &hash, &err);
        check(st == MM_E_ARG && described(st, &err), "no ids: %s \"%s\"", mm_status_name(st), err.text);
        for (size_t i = 0; i < 5; i++) {
            const int32_t past[3] = {5, (int32_t)strtol(text, NULL, 10) + 1000, 6};
            mm_input_clear(in);
            EXPECT(MM_OK, mm_input_tokens(in, i < 4 ? odd[i] : past, 3, &err));
            st = mm_session_feed(s, in, &err);
            if (st == MM_OK) st = take_events(s, &hash, &err);
            check(st == MM_E_ARG && described(st, &err), "ids %zu: %s \"%s\"", i, mm_status_name(st), err.text);
        }
        mm_input_clear(in);
        EXPECT(MM_OK, mm_input_tokens(in, (const int32_t[]){5, 6, 7}, 3, &err));
        EXPECT(MM_E_ARG, mm_session_feed(cooked, in, &err));
        EXPECT(MM_OK, mm_session_feed(s, in, &err));
        EXPECT(MM_OK, take_events(s, &hash, &err));
        EXPECT(MM_OK, mm_input_text(in, "x", 1, &err));
        EXPECT(MM_E_ARG, mm_session_feed(s, in, &err));
        EXPECT(MM_OK, mm_session_set(s, "force_ids", "5, 6", &err));
        EXPECT(MM_OK, ask(s, "the dog", NULL, &hash));
        mm_input_release(in);
        mm_session_release(s);
        mm_session_release(cooked);
        mm_model_release(m);
    }
}

static void messages(void)
{
    if (!begin("messages")) return;
    mm_input *in = input_of(NULL, NULL, NULL);
    const struct { mm_status want; const char *json; } all[] = {
        {MM_E_FORMAT, ""}, {MM_E_FORMAT, "["}, {MM_E_FORMAT, "7"}, {MM_E_FORMAT, "{}"}, {MM_E_FORMAT, "[7]"}, {MM_E_FORMAT, "[{}]"},
        {MM_E_FORMAT, "[{\"role\":5,\"content\":\"a\"}]"}, {MM_E_FORMAT, "[{\"role\":\"user\",\"content\":[{}, "},
        {MM_E_UNSUPPORTED, "[{\"role\":\"user\",\"content\":[{}]}]"}, {MM_E_UNSUPPORTED, "[{\"role\":\"user\",\"content\":[7]}]"},
        {MM_E_FORMAT, "[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]"},
        {MM_E_FORMAT, "[{\"role\":\"user\",\"content\":[{\"type\":\"image\"}]}]"},
        {MM_E_IO, "[{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"image\":\"nowhere.png\"}]}]"},
        {MM_E_UNSUPPORTED, "[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"http://x/y.png\"}}]}]"},
        {MM_E_FORMAT, "[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64\"}}]}]"},
        {MM_E_FORMAT, "[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:,*\"}}]}]"},
        {MM_E_MEDIA, "[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":\"data:,QUJD\"}]}]"},
        {MM_E_MEDIA, "[{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"QUJD\"}}]}]"},
        {MM_E_FORMAT, "[{\"role\":\"u\",\"role\":\"v\",\"content\":\"a\"}]"}, {MM_E_FORMAT, "[{\"role\":\"u\\u0000\",\"content\":\"a\"}]"},
        {MM_OK, "[]"}, {MM_OK, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}"},
        {MM_OK, "[{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"image\":\"small.png\"},{\"type\":\"text\",\"text\":\"a\"}]}]"}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        err.code = 0;
        const mm_status st = mm_input_messages(in, all[i].json, strlen(all[i].json), GOLDEN "/_inputs", &err);
        check(st == all[i].want && (st == MM_OK || described(st, &err)), "%s: %s \"%s\"", all[i].json, mm_status_name(st), err.text);
    }
    char *deep = malloc(400001);
    if (!deep) exit(3);
    memset(deep, '[', 400000);
    deep[400000] = 0;
    const mm_status st = mm_input_messages(in, deep, 400000, NULL, &err);
    check((st == MM_E_FORMAT || st == MM_E_LIMIT) && described(st, &err), "nested brackets: %s \"%s\"", mm_status_name(st), err.text);
    mm_model *m = load(CHAT), *none = load(LM);
    size_t need;
    EXPECT(MM_E_UNSUPPORTED, mm_model_apply_template(none, "[]", 2, 1, NULL, 0, &need, &err));
    const char *lists[] = {"", "7", "{}", "[7]", "[{}]", "[{\"role\":7,\"content\":{}}]", "[],\"x\":[]", "\"abc\"", "null",
                           "[{\"role\":\"user\",\"content\":null}]"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        const mm_status one = mm_model_apply_template(m, lists[i], strlen(lists[i]), 1, NULL, 0, &need, &err);
        check(documented(one) && (one >= 0 || described(one, &err)), "template of %s: %s \"%s\"", lists[i], mm_status_name(one), err.text);
    }
    const mm_status bad = mm_model_apply_template(m, deep, 400000, 1, NULL, 0, &need, &err);
    check(bad < 0 && described(bad, &err), "nested brackets: %s", mm_status_name(bad));
    free(deep);
    mm_input_release(in);
    mm_model_release(m);
    mm_model_release(none);
}

/* ---- many threads, release order, limits ---- */

typedef struct worker { mm_model *m; facts f; uint64_t hash; mm_status st; } worker;

static void *work(void *arg)
{
    worker *w = arg;
    mm_error e = {.size = sizeof e};
    for (int k = 0; k < 3; k++) {
        mm_session *s = NULL;
        uint64_t hash = 0;
        w->st = open_session(w->m, &w->f, 6, &s, &e);
        if (w->st == MM_OK) w->st = answer(engine, &w->f, s, &hash, &e);
        mm_session_release(s);
        if (w->st != MM_OK || (k && hash != w->hash)) break;
        w->hash = hash;
    }
    return NULL;
}

static void threads(void)
{
    const char *paths[] = {LM, VLM, CLIP, SPEECH, T5};
    for (size_t p = 0; p < sizeof paths / sizeof *paths; p++) {
        if (!begin("8 threads on %s", paths[p])) continue;
        mm_model *m = load(paths[p]);
        worker w[8], alone = {.m = m, .f = facts_of(m)};
        pthread_t t[8];
        work(&alone);
        for (int i = 0; i < 8; i++) {
            w[i] = (worker){.m = m, .f = alone.f};
            if (pthread_create(&t[i], NULL, work, &w[i]) != 0) exit(3);
        }
        for (int i = 0; i < 8; i++) {
            pthread_join(t[i], NULL);
            check(w[i].st == MM_OK && w[i].hash == alone.hash, "thread %d: %s, %s", i, mm_status_name(w[i].st),
                  w[i].hash == alone.hash ? "same answer" : "another answer");
        }
        mm_model_release(m);
    }
}

static void *load_and_release(void *arg)
{
    mm_error e = {.size = sizeof e};
    for (int k = 0; k < 4; k++) {
        mm_model *m = NULL;
        const mm_status st = mm_model_load(engine, arg, NULL, &m, &e);
        mm_model_release(m);
        if (st != MM_OK) return (void *)1;
    }
    return NULL;
}

static void loading_threads(void)
{
    if (!begin("loading from 4 threads")) return;
    char *paths[] = {LM, CHAT "/model-f16.gguf", SPEECH, CLIP};
    pthread_t t[4];
    void *failed;
    for (int i = 0; i < 4; i++)
        if (pthread_create(&t[i], NULL, load_and_release, paths[i]) != 0) exit(3);
    for (int i = 0; i < 4; i++) {
        pthread_join(t[i], &failed);
        check(!failed, "%s", paths[i]);
    }
}

static void release_orders(void)
{
    if (!begin("orders of release")) return;
    for (int order = 0; order < 24; order++) {
        const long before = atomic_load(&mem_live);
        mm_engine *e = new_engine(2, 0);
        mm_model *m = NULL;
        mm_session *s = NULL;
        mm_input *in = NULL;
        EXPECT(MM_OK, mm_model_load(e, LM, NULL, &m, &err));
        EXPECT(MM_OK, mm_session_create(m, NULL, &s, &err));
        EXPECT(MM_OK, mm_input_create(e, &in, &err));
        EXPECT(MM_OK, mm_input_text(in, "the dog", 7, &err));
        EXPECT(MM_OK, mm_session_feed(s, in, &err));
        EXPECT(MM_OK, end_of(s));
        int left[4] = {0, 1, 2, 3}, code = order;
        for (int n = 4; n > 0; n--) {
            const int at = code % n, which = left[at];
            code /= n;
            left[at] = left[n - 1];
            if (which == 0) mm_engine_release(e);
            if (which == 1) mm_model_release(m);
            if (which == 2) mm_session_release(s);
            if (which == 3) mm_input_release(in);
        }
        check(atomic_load(&mem_live) == before, "order %d: %ld bytes are left", order, atomic_load(&mem_live) - before);
    }
}

static void memory_limits(void)
{
    const char *paths[] = {LM, CHAT "/model-f16.gguf", VLM, SPEECH "/ggml-f16.bin", CLIP};
    for (size_t p = 0; p < sizeof paths / sizeof *paths; p++) {
        if (!begin("memory limits for %s", paths[p])) continue;
        bool loaded = false, answered = false;
        for (uint64_t limit = 1 << 16; limit < (uint64_t)1 << 30 && !answered; limit += limit / 6) {
            const long before = atomic_load(&mem_live);
            mm_engine_options o;
            mm_engine *e = NULL;
            mm_model *m = NULL;
            mm_session *s = NULL;
            uint64_t hash;
            mm_engine_options_init(&o, sizeof o);
            o.allocator = &counting;
            o.memory_limit = limit;
            o.n_threads = 1;
            mm_status st = mm_engine_create(&o, &e, &err);
            if (st == MM_OK) {
                st = mm_model_load(e, paths[p], NULL, &m, &err);
                loaded |= st == MM_OK;
                check(st == MM_OK || !loaded, "it loaded with less than %llu bytes before", (unsigned long long)limit);
            }
            const facts f = st == MM_OK ? facts_of(m) : (facts){0};
            if (st == MM_OK) st = open_session(m, &f, 2, &s, &err);
            if (st == MM_OK) st = answer(e, &f, s, &hash, &err);
            check(st == MM_OK || (st == MM_E_NOMEM && described(st, &err)), "limit %llu: %s \"%s\"", (unsigned long long)limit,
                  mm_status_name(st), err.text);
            answered = st == MM_OK;
            check(atomic_load(&mem_live) - before <= (long)limit, "%ld bytes in use", atomic_load(&mem_live) - before);
            mm_session_release(s);
            mm_model_release(m);
            mm_engine_release(e);
            check(atomic_load(&mem_live) == before, "%ld bytes are left", atomic_load(&mem_live) - before);
        }
        check(answered, "no limit below 1 GiB was enough");
    }
}

static void no_models(void)
{
    if (!begin("paths that are no models")) return;
    const struct { mm_status want; const char *path; } all[] = {
        {MM_E_IO, ""}, {MM_E_IO, "nowhere"}, {MM_E_IO, "nowhere.gguf"}, {MM_E_IO, "nowhere.mm.json"}, {MM_E_FORMAT, GOLDEN},
        {MM_E_FORMAT, GOLDEN "/_inputs"}, {MM_E_FORMAT, PICTURE}, {MM_E_FORMAT, LM "/config.json"}, {MM_E_IO, "/dev/null"},
        {MM_E_UNSUPPORTED, LM "/model.safetensors"}, {MM_E_UNSUPPORTED, GOLDEN "/llava/mmproj-f16.gguf"}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        mm_model *m = NULL;
        err.code = 0;
        const mm_status st = mm_model_load(engine, all[i].path, NULL, &m, &err);
        check(st == all[i].want && !m && described(st, &err), "%s: %s \"%s\"", all[i].path, mm_status_name(st), err.text);
    }
}

int main(int argc, char **argv)
{
    static void (*const tests[])(void) = {nulls,  sizes,        bad_options,  sampling, keys,    tokens,          states, another_picture,
                                          cancels, cancelled_loads, pictures, bad_pictures, damaged_media, sounds, modalities, texts,
                                          full_context, raw_ids, messages, threads, loading_threads, release_orders, memory_limits,
                                          no_models};
    start(argc, argv);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        const int files = open_files(), failed = n_failed, passed = n_passed;
        engine = new_engine(2, 0);
        current[0] = 0;
        tests[i]();
        mm_engine_release(engine);
        check(atomic_load(&mem_live) == 0, "%ld bytes are left", atomic_load(&mem_live));
        check(open_files() == files, "files are left open");
        if (!current[0]) continue;
        printf("%-4s %-60s %d checks\n", n_failed == failed ? "ok" : "FAIL", current, n_passed - passed + n_failed - failed);
        fflush(stdout);
    }
    return finish();
}

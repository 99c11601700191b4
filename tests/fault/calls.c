/* Wrong calls of every public function, through the public header only: NULL, sizes of structs, options and keys, buffers
 * of every length, paths that are no models. Expected: the documented status with one sentence, nothing left behind. */
#include "api.h"

#include <math.h>

#ifdef __SANITIZE_THREAD__ /* it looks at all of a text whenever memmem is called with its rest */
#define LONG_TEXT ((size_t)1 << 13)
#else
#define LONG_TEXT ((size_t)1 << 18)
#endif

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
    EXPECT(MM_E_ARG, mm_engine_set(NULL, "tensors", "1", &err));
    EXPECT(MM_E_ARG, mm_engine_set(engine, NULL, "1", &err));
    EXPECT(MM_E_ARG, mm_engine_set(engine, "tensors", NULL, &err));
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
    mm_input_clear(NULL, NULL);
    mm_session_cancel(NULL);
    mm_session_options_init(&(mm_session_options){0}, 1);
    mm_engine_options_init(&(mm_engine_options){0}, 1);
    EXPECT(MM_E_ARG, mm_session_load(m, NULL, 4, &(mm_session *){0}, &err));
    EXPECT(MM_E_ARG, mm_session_load(m, "abcd", 4, NULL, &err));
    EXPECT(MM_E_ARG, mm_session_load(NULL, "abcd", 4, &(mm_session *){0}, &err));
    EXPECT(MM_E_ARG, mm_session_load_file(m, NULL, &(mm_session *){0}, &err));
    EXPECT(MM_E_ARG, mm_session_load_file(m, "nowhere", NULL, &err));
    EXPECT(MM_E_ARG, mm_session_load_file(NULL, "nowhere", &(mm_session *){0}, &err));
    EXPECT(MM_E_ARG, mm_session_save_file(NULL, "nowhere", &err));
    EXPECT(MM_E_ARG, mm_session_save_file(s, NULL, &err));
    EXPECT(MM_E_ARG, mm_session_fork(NULL, &(mm_session *){0}, &err));
    EXPECT(MM_E_ARG, mm_session_fork(s, NULL, &err));
    EXPECT(MM_E_ARG, mm_session_truncate(NULL, 0, &err));
    EXPECT(MM_E_ARG, mm_session_count(NULL, in, &(uint64_t){0}, &err));
    EXPECT(MM_E_ARG, mm_session_count(s, in, NULL, &err));
    /* Nothing of no length is nothing, not NULL where something is needed. */
    EXPECT(MM_OK, mm_input_text(in, NULL, 0, &err));
    EXPECT(MM_E_FORMAT, mm_input_messages(in, "", 0, NULL, &err));
    EXPECT(MM_OK, mm_model_tokenize(m, NULL, 0, 0, NULL, 0, NULL, &err));
    EXPECT(MM_OK, mm_model_detokenize(m, NULL, 0, 0, NULL, 0, NULL, &err));
    EXPECT(MM_OK, mm_model_info(m, "name", NULL, 0, NULL, &err));
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

static void *give(void *user, size_t bytes, size_t align)
{
    return aligned_alloc(align, bytes);
}

static void bad_options(void)
{
    if (!begin("option values")) return;
    size_t need_none;
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
    half.alloc = give;
    EXPECT(MM_E_ARG, mm_engine_create(&eo, &e, &err));
    half.size = 8;
    EXPECT(MM_E_ARG, mm_engine_create(&eo, &e, &err));
    eo.allocator = NULL;
    const int32_t levels[] = {-1, MM_LOG_DEBUG + 1, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        eo.log_level = levels[i];
        EXPECT(MM_E_ARG, mm_engine_create(&eo, &e, &err));
    }
    mm_model_options mo;
    mm_model *none = NULL;
    mm_model_options_init(&mo, sizeof mo);
    mo.n_bytes = 5;
    EXPECT(MM_E_ARG, mm_model_load(engine, LM, &mo, &none, &err));
    mm_model_options_init(&mo, sizeof mo);
    mo.reserved = 1;
    EXPECT(MM_E_UNSUPPORTED, mm_model_load(engine, LM, &mo, &none, &err));
    mo.size = 3;
    EXPECT(MM_E_ARG, mm_model_load(engine, LM, &mo, &none, &err));
    mm_input *in = input_of(NULL, NULL, NULL);
    const int16_t sound[64] = {0};
    const mm_audio sounds[] = {{.rate = 999, .channels = 1, .frames = 4}, {.rate = 768001, .channels = 1, .frames = 4}, {.rate = 16000, .channels = 0, .frames = 4},
                               {.rate = 16000, .channels = 9, .frames = 4}, {.rate = 16000, .channels = 1, .frames = UINT64_MAX / 2},
                               {.rate = 16000, .channels = 1, .frames = 4, .format = 99}};
    for (size_t i = 0; i < sizeof sounds / sizeof *sounds; i++) {
        mm_audio au = sounds[i];
        au.size = sizeof au;
        au.samples = sound;
        if (!au.format) au.format = MM_SAMPLES_I16;
        EXPECT(MM_E_ARG, mm_input_audio(in, &au, &err));
    }
    EXPECT(MM_E_ARG, mm_input_text(in, "a\0b", 3, &err));
    mm_input_release(in);
    EXPECT(MM_E_UNSUPPORTED, mm_model_tokenize(m, "a", 1, 4, NULL, 0, &need_none, &err));
    EXPECT(MM_E_UNSUPPORTED, mm_model_detokenize(m, NULL, 0, 8, NULL, 0, &need_none, &err));
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
            o.flags = MM_SESSION_IGNORE_EOS | MM_SESSION_LOGPROBS;
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
    EXPECT(MM_E_ARG, mm_session_set(s, "lookup", "many", &err));
    EXPECT(MM_E_ARG, mm_session_set(s, "translate", "2", &err));
    EXPECT(MM_E_ARG, mm_session_set(s, "force_ids", "5, 6", &err));
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
                          "chat_template_sha256", "prompt_layout", "placeholder", "sample_rate", "layers", "tensors", "summary", "plan:64",
                          "plan:0"};
    const char *no_plan[] = {"plan:", "plan:-1", "plan:abc", "plan:4294967297", "plan:99999999999999999999"};
    /* of text, speech, vectors of text and of both, pictures in front of the text and beside it, pictures alone */
    mm_model *models[] = {m, w, load(BERT), load(CLIP), load(VLM), load(GOLDEN "/idefics"), load(GOLDEN "/vit")};
    for (size_t i = 0; i < sizeof no_plan / sizeof *no_plan; i++)
        EXPECT(MM_E_KEY, mm_model_info(m, no_plan[i], NULL, 0, &need, &err));
    const size_t n_models = sizeof models / sizeof *models;
    for (size_t k = 0; k < n_models; k++)
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
    const struct { size_t model; const char *key, *want; } says[] = {
        {4, "prompt_layout", "rows before the text"}, {5, "prompt_layout", "cross-attention to the last"}, {6, "vocab", "0"}, {6, "kv_bytes_per_token", "0"},
        {6, "context", "0"}, {6, "modalities_in", "image"}, {2, "modalities_in", "text"}, {1, "modalities_in", "audio"}, {0, "placeholder", ""}};
    for (size_t i = 0; i < sizeof says / sizeof *says; i++) {
        char text[256] = "";
        EXPECT(MM_OK, mm_model_info(models[says[i].model], says[i].key, text, sizeof text, NULL, &err));
        check(says[i].want[0] ? strstr(text, says[i].want) != NULL : !text[0], "%s of model %zu: \"%s\"", says[i].key, says[i].model, text);
    }
    EXPECT(MM_E_UNSUPPORTED, mm_model_tokenize(models[6], "a", 1, 0, NULL, 0, &need, &err));
    EXPECT(MM_E_UNSUPPORTED, mm_model_detokenize(models[6], &(int32_t){1}, 1, 0, NULL, 0, &need, &err));
    for (size_t k = 2; k < n_models; k++) mm_model_release(models[k]);
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
        EXPECT(MM_OK, mm_model_tokenize(m, "hello there", 11, MM_TOKENIZE_AROUND | MM_TOKENIZE_SPECIAL, NULL, 0, &need, &err));
        check(need > 0 && need < 64, "%zu ids", need);
        EXPECT(MM_OK, mm_model_tokenize(m, "hello there", 11, MM_TOKENIZE_AROUND | MM_TOKENIZE_SPECIAL, ids, need, &again, &err));
        EXPECT(MM_E_SPACE, mm_model_tokenize(m, "hello there", 11, MM_TOKENIZE_AROUND, ids, 1, &again, &err));
        EXPECT(MM_OK, mm_model_tokenize(m, "a\0b\xff\xc0\x80\xed\xa0\x80\xf4\x90\x80\x80\xe2\x82", 16, MM_TOKENIZE_AROUND | MM_TOKENIZE_SPECIAL, NULL, 0, &need, &err));
        const mm_status st = mm_model_detokenize(m, odd, 7, MM_TOKENIZE_SPECIAL, text, sizeof text, &need, &err);
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
    static void (*const tests[])(void) = {nulls, sizes, bad_options, sampling, keys, tokens, no_models};
    return run_tests(tests, sizeof tests / sizeof *tests, argc, argv);
}

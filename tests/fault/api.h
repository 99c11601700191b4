/* What the programs share that make wrong and unusual calls: an engine for each test, short ways to load, feed and ask, the
 * check of one status, and the loop over the tests of a program. */
#ifndef MM_FAULT_API_H
#define MM_FAULT_API_H

#include "fault.h"

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

static inline mm_model *load(const char *path)
{
    mm_model *m = NULL;
    EXPECT(MM_OK, mm_model_load(engine, path, NULL, &m, &err));
    return m;
}

static inline mm_session *session(mm_model *m, uint32_t max_tokens, uint32_t flags, uint32_t n_ctx)
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

static inline mm_input *input_of(const char *text, const char *picture, const char *sound)
{
    mm_input *in = NULL;
    EXPECT(MM_OK, mm_input_create(engine, &in, &err));
    if (picture) EXPECT(MM_OK, mm_input_image_file(in, picture, &err));
    if (sound) EXPECT(MM_OK, mm_input_audio_file(in, sound, &err));
    if (text) EXPECT(MM_OK, mm_input_text(in, text, strlen(text), &err));
    return in;
}

static inline mm_status feed(mm_session *s, const char *text, const char *picture, const char *sound)
{
    mm_input *in = input_of(text, picture, sound);
    const mm_status st = mm_session_feed(s, in, &err);
    mm_input_release(in);
    return st;
}

/* Feeds and takes everything. */
static inline mm_status ask(mm_session *s, const char *text, const char *picture, uint64_t *hash)
{
    const mm_status st = feed(s, text, picture, NULL);
    *hash = 0;
    return st == MM_OK ? take_events(s, hash, &err) : st;
}

static inline mm_status end_of(mm_session *s)
{
    mm_event e = {.size = sizeof e};
    return mm_session_next(s, &e, &err);
}

/* Runs each test with an engine of its own; nothing may be left behind. */
static inline int run_tests(void (*const *tests)(void), size_t n, int argc, char **argv)
{
    start(argc, argv);
    for (size_t i = 0; i < n; i++) {
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

#endif

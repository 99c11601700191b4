/* What the tests of the public face share: handles that must be made, an answer to compare, and the folder they read. Only
 * libmm.h is used. */
#ifndef TEST_API_HOST_H
#define TEST_API_HOST_H

#include "../../../include/libmm_experimental.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GOLDEN "tests/golden/"
#define DIRECTORY GOLDEN "llama"
#define GGUF GOLDEN "llama/model-f16.gguf"

static mm_error err = MM_ERROR_INIT;

#define OK(call)                                                                                                     \
    do {                                                                                                             \
        const mm_status got_ = (call);                                                                               \
        if (got_ != MM_OK) fail_msg("%s: %s \"%s\"", #call, mm_status_name(got_), err.text);                         \
    } while (0)
/* A failure with its status in the error and a text that says `word`. */
#define FAILS(status, word, call)                                                                                    \
    do {                                                                                                             \
        const mm_status got_ = (call);                                                                               \
        if (got_ != (status) || err.code != (status) || !strstr(err.text, word))                                     \
            fail_msg("%s: %s \"%s\"", #call, mm_status_name(got_), err.text);                                        \
    } while (0)

static inline mm_engine_options engine_options(void)
{
    mm_engine_options o;
    mm_engine_options_init(&o, sizeof o);
    o.n_threads = 2;
    o.precision = MM_PRECISION_EXACT;
    return o;
}

static inline mm_engine *engine_of(const mm_engine_options *o)
{
    mm_engine *e = NULL;
    OK(mm_engine_create(o, &e, &err));
    return e;
}

static inline mm_engine *plain_engine(void)
{
    const mm_engine_options o = engine_options();
    return engine_of(&o);
}

static inline mm_model *model_of(mm_engine *e, const char *path)
{
    mm_model *m = NULL;
    OK(mm_model_load(e, path, NULL, &m, &err));
    return m;
}

static inline mm_session *session_of(mm_model *m, uint32_t tokens)
{
    mm_session_options o;
    mm_session *s = NULL;
    mm_session_options_init(&o, sizeof o);
    o.max_tokens = tokens;
    o.n_ctx = 128;
    o.flags = MM_SESSION_RAW | MM_SESSION_IGNORE_EOS;
    OK(mm_session_create(m, &o, &s, &err));
    return s;
}

static inline mm_input *text_input(mm_engine *e, const char *text)
{
    mm_input *in = NULL;
    OK(mm_input_create(e, &in, &err));
    OK(mm_input_text(in, text, strlen(text), &err));
    return in;
}

static inline void feed_text(mm_engine *e, mm_session *s, const char *text)
{
    mm_input *in = text_input(e, text);
    OK(mm_session_feed(s, in, &err));
    mm_input_release(in);
}

/* Ids of eight tokens that follow a text. */
static inline void answer_of(mm_engine *e, mm_model *m, int32_t ids[8])
{
    mm_session *s = session_of(m, 8);
    mm_event ev = {.size = sizeof ev};
    size_t n = 0;
    feed_text(e, s, "the little dog");
    while (mm_session_next(s, &ev, &err) == MM_OK)
        if (ev.kind == MM_EVENT_END) {
            n = ev.n_ids;
            memcpy(ids, ev.ids, (n < 8 ? n : 8) * sizeof *ids);
        }
    assert_int_equal(n, 8);
    mm_session_release(s);
}

/* What a session saves. */
typedef struct saved_bytes {
    unsigned char *p;
    size_t n, cap;
} saved_bytes;

static inline int32_t take_bytes(void *user, const void *p, size_t n)
{
    saved_bytes *b = user;
    if (b->n + n > b->cap && !(b->p = realloc(b->p, b->cap = 2 * (b->n + n)))) return 1;
    memcpy(b->p + b->n, p, n);
    b->n += n;
    return 0;
}

static inline saved_bytes saved_by(mm_session *s)
{
    saved_bytes b = {0};
    OK(mm_session_save(s, take_bytes, &b, &err));
    return b;
}

static inline void model_text(const mm_model *m, const char *key, char *buf, size_t cap)
{
    OK(mm_model_info(m, key, buf, cap, NULL, &err));
}

#endif

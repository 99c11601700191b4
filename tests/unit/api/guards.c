/* Calls that must be refused instead of doing harm: from a second thread, from inside a callback, after a fork, with an input
 * of another engine, with an error or an event of the wrong size. */
#include "host.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- two threads ---- */

typedef struct rivals {
    mm_session *s;
    mm_input *in;
    atomic_int ok, refused, other;
} rivals;

static void count(rivals *r, mm_status st)
{
    atomic_fetch_add(st == MM_OK || st == MM_END ? &r->ok : st == MM_E_STATE ? &r->refused : &r->other, 1);
}

static void *rival(void *arg)
{
    rivals *r = arg;
    mm_error e = MM_ERROR_INIT;
    double x;
    for (int i = 0; i < 300; i++) {
        mm_event ev = {.size = sizeof ev};
        count(r, mm_input_text(r->in, "the little dog ", 15, &e));
        count(r, mm_session_feed(r->s, r->in, &e));
        count(r, mm_session_next(r->s, &ev, &e));
        count(r, mm_session_stat(r->s, "n_past", &x, &e));
        count(r, mm_session_reset(r->s, &e));
        mm_input_clear(r->in, NULL);
    }
    return NULL;
}

static void two_threads_do_not_race(void **state)
{
    mm_engine *e = plain_engine();
    mm_model *m = model_of(e, DIRECTORY);
    rivals r = {.s = session_of(m, 4), .in = text_input(e, "the")};
    pthread_t t[3];
    for (int i = 0; i < 3; i++) assert_int_equal(pthread_create(&t[i], NULL, rival, &r), 0);
    for (int i = 0; i < 3; i++) pthread_join(t[i], NULL);
    assert_true(r.ok > 0 && r.refused > 0);
    /* An empty input, and a prompt that outgrew the context, are honest answers too. */
    assert_true(r.ok + r.refused + r.other == 3 * 300 * 5);
    OK(mm_session_reset(r.s, &err));
    feed_text(e, r.s, "the little dog");
    mm_event ev = {.size = sizeof ev};
    OK(mm_session_next(r.s, &ev, &err));
    mm_session_release(r.s);
    mm_input_release(r.in);
    mm_model_release(m);
    mm_engine_release(e);
}

/* ---- from inside callbacks ---- */

typedef struct meddler {
    mm_engine *engine;
    mm_model *model;
    mm_session *session;
    mm_input *input;
    int calls, allowed; /* calls: not refused as they should be */
    bool armed;
} meddler;

static meddler bad;

#define REFUSED(call)                                                        \
    do {                                                                     \
        mm_error e = MM_ERROR_INIT;                                          \
        if ((call) != MM_E_STATE || !strstr(e.text, "callback")) bad.calls++; \
    } while (0)

/* Every function that can say so refuses; the others of the list work. */
static void meddle(void)
{
    if (!bad.armed) return;
    bad.armed = false;
    mm_engine *en = NULL;
    mm_model *m = NULL;
    mm_input *in = NULL;
    mm_session *s = NULL;
    mm_event ev = {.size = sizeof ev};
    const float *f;
    size_t n;
    double x;
    int32_t id = 1;
    REFUSED(mm_engine_create(NULL, &en, &e));
    REFUSED(mm_build_info("version", NULL, 0, &n, &e));
    REFUSED(mm_device_info(0, "id", NULL, 0, &n, &e));
    REFUSED(mm_engine_info(bad.engine, "isa", NULL, 0, &n, &e));
    REFUSED(mm_engine_set(bad.engine, "tensors", "1000", &e));
    REFUSED(mm_model_load(bad.engine, GGUF, NULL, &m, &e));
    REFUSED(mm_input_create(bad.engine, &in, &e));
    if (bad.input) {
        REFUSED(mm_input_text(bad.input, "x", 1, &e));
        REFUSED(mm_input_role(bad.input, "user", &e));
        REFUSED(mm_input_tokens(bad.input, &id, 1, &e));
        REFUSED(mm_input_image_file(bad.input, GOLDEN "_inputs/small.png", &e));
        mm_input_clear(bad.input, NULL);
    }
    if (bad.model) {
        REFUSED(mm_model_info(bad.model, "name", NULL, 0, &n, &e));
        REFUSED(mm_model_tokenize(bad.model, "x", 1, 0, NULL, 0, &n, &e));
        REFUSED(mm_model_detokenize(bad.model, &id, 1, 0, NULL, 0, &n, &e));
        REFUSED(mm_model_apply_template(bad.model, "[]", 2, 0, NULL, 0, &n, &e));
        REFUSED(mm_session_create(bad.model, NULL, &s, &e));
    }
    if (bad.session) {
        REFUSED(mm_session_set(bad.session, "stop", "x", &e));
        REFUSED(mm_session_feed(bad.session, bad.input, &e));
        REFUSED(mm_session_next(bad.session, &ev, &e));
        REFUSED(mm_session_reset(bad.session, &e));
        REFUSED(mm_session_stat(bad.session, "n_past", &x, &e));
        REFUSED(mm_x_session_logits(bad.session, &f, &n, &e));
    }
    if (en || m || in || s) bad.calls++;
    bad.allowed += mm_version() == MM_VERSION && strcmp(mm_status_name(MM_E_IO), "MM_E_IO") == 0;
    mm_session_cancel(NULL);
    mm_engine_release(NULL);
    bad.armed = true;
}

static void *meddling_alloc(void *user, size_t bytes, size_t align)
{
    meddle();
    return aligned_alloc(align, (bytes + align - 1) & ~(align - 1));
}

static void meddling_release(void *user, void *p, size_t bytes, size_t align)
{
    meddle();
    free(p);
}

static void meddling_log(void *user, int32_t level, const char *area, const char *line)
{
    meddle();
}

static int32_t meddling_progress(void *user, const char *stage, uint64_t done, uint64_t total)
{
    meddle();
    return 0;
}

/* One index: the caller's own thread does the work. */
static int32_t meddling_run(void *user, mm_task_fn fn, void *task, uint32_t count)
{
    meddle();
    fn(task, 0, count);
    meddle();
    return 0;
}

static int32_t meddling_kind(void *user, const char *path)
{
    meddle();
    return strcmp(path, "it") ? MM_FILE_NONE : MM_FILE_REGULAR;
}

static mm_status meddling_open(void *user, const char *path, void **file, uint64_t *bytes)
{
    meddle();
    *bytes = 0;
    return (*file = fopen(GGUF, "rb")) && fseek(*file, 0, SEEK_END) == 0 && (*bytes = (uint64_t)ftell(*file)) ? MM_OK : MM_E_IO;
}

static mm_status meddling_read(void *user, void *file, uint64_t offset, void *dst, size_t n)
{
    meddle();
    return fseek(file, (long)offset, SEEK_SET) == 0 && fread(dst, 1, n, file) == n ? MM_OK : MM_E_IO;
}

static void meddling_close(void *user, void *file)
{
    meddle();
    fclose(file);
}

static mm_status meddling_list(void *user, const char *directory, uint32_t index, char *name, size_t cap)
{
    meddle();
    return MM_END;
}

static void callbacks_cannot_call_back(void **state)
{
    const mm_allocator a = {.size = sizeof a, .alloc = meddling_alloc, .release = meddling_release};
    const mm_files f = {.size = sizeof f, .kind = meddling_kind, .open = meddling_open, .read = meddling_read,
                        .close = meddling_close, .list = meddling_list};
    const mm_executor x = {.size = sizeof x, .n_threads = 1, .run = meddling_run};
    mm_engine_options o = engine_options();
    mm_model_options mo;
    o.allocator = &a;
    o.files = &f;
    o.executor = &x;
    o.log = meddling_log;
    o.log_level = MM_LOG_DEBUG;
    mm_model_options_init(&mo, sizeof mo);
    mo.progress = meddling_progress;
    bad = (meddler){.engine = engine_of(&o)};
    bad.armed = true;
    OK(mm_model_load(bad.engine, "it", &mo, &bad.model, &err));
    bad.input = text_input(bad.engine, "the little dog");
    bad.session = session_of(bad.model, 2);
    OK(mm_session_feed(bad.session, bad.input, &err));
    mm_event ev = {.size = sizeof ev};
    while (mm_session_next(bad.session, &ev, &err) == MM_OK) {
    }
    assert_int_equal(bad.calls, 0);
    assert_true(bad.allowed > 100);
    bad.armed = false;
    mm_session_release(bad.session);
    mm_input_release(bad.input);
    mm_model_release(bad.model);
    mm_engine_release(bad.engine);
}

/* A release from inside a callback takes effect when the call is over; a cancel at once. */
typedef struct leaver {
    mm_engine *engine;
    mm_session *session;
    bool release, cancel;
} leaver;

static int32_t leaving_run(void *user, mm_task_fn fn, void *task, uint32_t count)
{
    leaver *l = user;
    if (l->release) {
        mm_session_release(l->session);
        mm_engine_release(l->engine);
        l->release = false;
    }
    if (l->cancel) mm_session_cancel(l->session);
    l->cancel = false;
    fn(task, 0, count);
    return 0;
}

static void callbacks_may_release_and_cancel(void **state)
{
    leaver l = {0};
    const mm_executor x = {.size = sizeof x, .n_threads = 1, .user = &l, .run = leaving_run};
    mm_engine_options o = engine_options();
    o.executor = &x;
    l.engine = engine_of(&o);
    mm_model *m = model_of(l.engine, DIRECTORY);
    l.session = session_of(m, 4);
    mm_event ev = {.size = sizeof ev};
    feed_text(l.engine, l.session, "the little dog");
    mm_model_release(m);
    l.cancel = true;
    FAILS(MM_E_CANCELLED, "cancel", mm_session_next(l.session, &ev, &err));
    feed_text(l.engine, l.session, "the little dog");
    l.release = true;
    OK(mm_session_next(l.session, &ev, &err)); /* and nothing is left: the leak checker looks */
}

/* ---- after fork() ---- */

#define CHILD(status, call)                   \
    do {                                      \
        mm_error e = MM_ERROR_INIT;           \
        if ((call) != (status)) _exit(step);  \
        step++;                               \
    } while (0)

static void child(mm_engine *en, mm_model *m, mm_session *s, mm_input *in)
{
    int step = 1;
    char text[64];
    double x;
    mm_event ev = {.size = sizeof ev};
    mm_model *m2 = NULL;
    mm_session *s2 = NULL;
    mm_input *in2 = NULL;
    mm_engine *own = NULL;
    alarm(20);
    CHILD(MM_E_STATE, mm_session_next(s, &ev, &e));
    CHILD(MM_E_STATE, mm_session_feed(s, in, &e));
    CHILD(MM_E_STATE, mm_session_set(s, "stop", "x", &e));
    CHILD(MM_E_STATE, mm_session_reset(s, &e));
    CHILD(MM_E_STATE, mm_session_stat(s, "n_past", &x, &e));
    CHILD(MM_E_STATE, mm_input_text(in, "x", 1, &e));
    CHILD(MM_E_STATE, mm_model_info(m, "name", text, sizeof text, NULL, &e));
    CHILD(MM_E_STATE, mm_session_create(m, NULL, &s2, &e));
    CHILD(MM_E_STATE, mm_model_load(en, GGUF, NULL, &m2, &e));
    CHILD(MM_E_STATE, mm_input_create(en, &in2, &e));
    CHILD(MM_E_STATE, mm_engine_set(en, "tensors", "1000", &e));
    CHILD(MM_E_STATE, mm_engine_info(en, "isa", text, sizeof text, NULL, &e));
    CHILD(MM_E_STATE, mm_input_clear(in, &e));
    mm_session_cancel(s);
    mm_session_release(s);
    mm_input_release(in);
    mm_model_release(m);
    mm_engine_release(en);
    mm_engine_options o = engine_options(); /* an engine of its own works */
    CHILD(MM_OK, mm_engine_create(&o, &own, &e));
    CHILD(MM_OK, mm_model_load(own, GGUF, NULL, &m2, &e));
    mm_model_release(m2);
    mm_engine_release(own);
    _exit(0);
}

static void *keep_busy(void *arg)
{
    mm_session *s = arg;
    mm_error e = MM_ERROR_INIT;
    mm_event ev = {.size = sizeof ev};
    while (mm_session_next(s, &ev, &e) == MM_OK) {
    }
    return NULL;
}

static void a_child_process_cannot_use_handles(void **state)
{
#ifdef __SANITIZE_THREAD__
    skip(); /* its run time does not let a child make threads */
#endif
    mm_engine *e = plain_engine();
    mm_model *m = model_of(e, DIRECTORY);
    mm_input *in = text_input(e, "the little dog");
    for (int busy = 0; busy < 2; busy++) {
        mm_session *s = session_of(m, 60);
        pthread_t t;
        OK(mm_session_feed(s, in, &err));
        if (busy) assert_int_equal(pthread_create(&t, NULL, keep_busy, s), 0);
        const pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) child(e, m, s, in);
        int status = -1;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        if (busy) pthread_join(t, NULL);
        mm_event ev = {.size = sizeof ev};
        if (!busy) OK(mm_session_next(s, &ev, &err)); /* the parent goes on */
        mm_session_release(s);
    }
    mm_input_release(in);
    mm_model_release(m);
    mm_engine_release(e);
}

/* ---- other misuse ---- */

static void engines_do_not_mix(void **state)
{
    mm_engine *a = plain_engine(), *b = plain_engine();
    mm_model *m = model_of(a, DIRECTORY);
    mm_session *s = session_of(m, 2);
    mm_input *in = text_input(b, "the");
    FAILS(MM_E_ARG, "another engine", mm_session_feed(s, in, &err));
    OK(mm_input_text(in, " dog", 4, &err)); /* both are free again */
    feed_text(a, s, "the dog");
    mm_input_release(in);
    mm_session_release(s);
    mm_model_release(m);
    mm_engine_release(b);
    mm_engine_release(a);
}

static void errors_and_events_of_other_sizes(void **state)
{
    mm_engine *e = plain_engine();
    mm_model *m = model_of(e, DIRECTORY), *none = NULL;
    mm_session *s = session_of(m, 2);
    mm_error small, before;
    memset(&small, 0x5a, sizeof small);
    small.size = sizeof small - 1;
    before = small;
    assert_int_equal(mm_model_load(e, "nowhere", NULL, &none, &small), MM_E_IO);
    assert_memory_equal(&small, &before, sizeof small);
    struct { mm_error err; unsigned char more[40]; } wide;
    memset(&wide, 0x5a, sizeof wide); /* what this library does not know of an error is nothing */
    wide.err.size = sizeof wide;
    assert_int_equal(mm_model_load(e, "nowhere", NULL, &none, &wide.err), MM_E_IO);
    assert_true(wide.err.code == MM_E_IO && wide.err.size == sizeof wide && strstr(wide.err.text, "nowhere"));
    for (size_t i = 0; i < sizeof wide.more; i++) assert_int_equal(wide.more[i], 0);
    wide.err.size = 1 << 20; /* no size that an error has */
    wide.err.code = 77;
    assert_int_equal(mm_model_load(e, "nowhere", NULL, &none, &wide.err), MM_E_IO);
    assert_int_equal(wide.err.code, 77);
    struct { mm_event ev; unsigned char more[40]; } large;
    memset(&large, 0x5a, sizeof large);
    feed_text(e, s, "the dog");
    large.ev.size = sizeof large.ev - 1;
    FAILS(MM_E_ARG, "mm_event.size", mm_session_next(s, &large.ev, &err));
    large.ev.size = sizeof large;
    large.ev.size = 1 << 20;
    FAILS(MM_E_ARG, "mm_event.size", mm_session_next(s, &large.ev, &err));
    large.ev.size = sizeof large;
    OK(mm_session_next(s, &large.ev, &err));
    assert_int_equal(large.ev.kind, MM_EVENT_TEXT);
    assert_int_equal(large.ev.size, sizeof large);
    for (size_t i = 0; i < sizeof large.more; i++) assert_int_equal(large.more[i], 0);
    mm_session_release(s);
    mm_model_release(m);
    mm_engine_release(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_threads_do_not_race),          cmocka_unit_test(callbacks_cannot_call_back),
        cmocka_unit_test(callbacks_may_release_and_cancel), cmocka_unit_test(a_child_process_cannot_use_handles),
        cmocka_unit_test(engines_do_not_mix),               cmocka_unit_test(errors_and_events_of_other_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

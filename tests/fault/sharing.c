/* What lives longer or shorter than its neighbours: many threads on one model, loads that are cancelled or run side by
 * side, every order of release, engines with a memory limit. Expected: the same answers, and nothing left behind. */
#include "api.h"

#include <pthread.h>

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
            mm_model_options o;
            mm_model_options_init(&o, sizeof o);
            o.progress = stop_at;
            o.progress_user = &left;
            st = mm_model_load(engine, paths[i], &o, &m, &err);
            check(st == MM_OK ? m != NULL : st == MM_E_CANCELLED && !m && described(st, &err), "%s \"%s\"", mm_status_name(st), err.text);
            check(st != MM_E_CANCELLED || err.os_code == 1, "the callback's 1 became %d", err.os_code);
            mm_model_release(m);
            check(atomic_load(&mem_live) == before, "%ld bytes are left", atomic_load(&mem_live) - before);
        }
    }
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

int main(int argc, char **argv)
{
    static void (*const tests[])(void) = {cancelled_loads, threads, loading_threads, release_orders, memory_limits};
    return run_tests(tests, sizeof tests / sizeof *tests, argc, argv);
}

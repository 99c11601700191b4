/* What lives longer or shorter than its neighbours: many threads on one model, sessions that are cancelled beside loads, every
 * order of release, engines with a memory limit. Expected: the same answers, and nothing left behind. */
#include "api.h"

#include <pthread.h>
#include <time.h>

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

/* ---- 8 sessions of a model at work, one thread that cancels them, one that loads and releases beside them ---- */

enum { SITTERS = 8, ROUNDS = 12 };

typedef struct sitter { mm_session *s; facts f; uint64_t want; int answers, cancelled, wrong; } sitter;
typedef struct table { sitter sitters[SITTERS]; const char *path; atomic_bool over; int opened, failed; } table;

static void *sit(void *arg)
{
    sitter *w = arg;
    mm_error e = {.size = sizeof e};
    for (int k = 0; k < ROUNDS; k++) {
        uint64_t got = 0;
        mm_status st = mm_session_reset(w->s, &e);
        if (st == MM_OK) st = answer(engine, &w->f, w->s, &got, &e);
        if (st == MM_OK && got == w->want) w->answers++;
        else if (st == MM_E_CANCELLED && described(st, &e)) w->cancelled++;
        else w->wrong++;
    }
    return NULL;
}

static void *cancel_some(void *arg)
{
    table *t = arg;
    for (uint64_t i = 0; !atomic_load(&t->over); i++) {
        const uint64_t r = mix(seed + i);
        nanosleep(&(struct timespec){0, (long)(r % 8000000)}, NULL);
        mm_session_cancel(t->sitters[(r >> 32) % SITTERS].s);
    }
    return NULL;
}

static void *open_and_close(void *arg)
{
    table *t = arg;
    const char *paths[] = {t->path, CHAT "/model-f16.gguf", CLIP, SPEECH "/ggml-f16.bin"};
    mm_error e = {.size = sizeof e};
    while (!atomic_load(&t->over)) {
        mm_model *m = NULL;
        mm_session *s = NULL;
        mm_status st = mm_model_load(engine, paths[t->opened++ % 4], NULL, &m, &e);
        const facts f = st == MM_OK ? facts_of(m) : (facts){0};
        if (st == MM_OK) st = open_session(m, &f, 2, &s, &e);
        mm_session_release(s);
        mm_model_release(m);
        t->failed += st != MM_OK;
    }
    return NULL;
}

static void run_table(table *t)
{
    pthread_t sitting[SITTERS], cancelling, opening;
    if (pthread_create(&cancelling, NULL, cancel_some, t) != 0 || pthread_create(&opening, NULL, open_and_close, t) != 0) exit(3);
    for (int i = 0; i < SITTERS; i++)
        if (pthread_create(&sitting[i], NULL, sit, &t->sitters[i]) != 0) exit(3);
    for (int i = 0; i < SITTERS; i++) pthread_join(sitting[i], NULL);
    atomic_store(&t->over, true);
    pthread_join(cancelling, NULL);
    pthread_join(opening, NULL);
}

/* Without the others each session gives every answer again. */
static void sit_alone(sitter *w)
{
    mm_session_reset(w->s, &err);
    end_of(w->s); /* takes a cancel that came late */
    w->answers = 0;
    sit(w);
    check(w->answers == ROUNDS, "alone again: %d of %d answers", w->answers, ROUNDS);
}

static void together(void)
{
    const char *paths[] = {LM, VLM, CLIP, SPEECH, T5};
    for (size_t p = 0; p < sizeof paths / sizeof *paths; p++) {
        if (!begin("8 sessions, a canceller, an opener and closer on %s", paths[p])) continue;
        const long before = atomic_load(&mem_live);
        table t = {.path = paths[p]};
        mm_model *m = load(paths[p]);
        worker alone = {.m = m, .f = facts_of(m)};
        int answers = 0, cancelled = 0;
        work(&alone);
        for (int i = 0; i < SITTERS; i++) {
            t.sitters[i] = (sitter){.f = alone.f, .want = alone.hash};
            EXPECT(MM_OK, open_session(m, &alone.f, 6, &t.sitters[i].s, &err));
        }
        run_table(&t);
        for (int i = 0; i < SITTERS; i++) {
            sitter *w = &t.sitters[i];
            check(!w->wrong, "session %d: %d other answers, of %d", i, w->wrong, ROUNDS);
            answers += w->answers;
            cancelled += w->cancelled;
            sit_alone(w);
            mm_session_release(w->s);
        }
        check(cancelled > 0, "nothing was cancelled");
        check(t.opened > 0 && !t.failed, "%d of %d loads failed", t.failed, t.opened);
        mm_model_release(m);
        check(atomic_load(&mem_live) == before, "%ld bytes are left", atomic_load(&mem_live) - before);
        if (verbose) printf("     %d answers, %d cancelled, %d models opened and closed beside them\n", answers, cancelled, t.opened);
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
    static void (*const tests[])(void) = {threads, together, loading_threads, release_orders, memory_limits};
    return run_tests(tests, sizeof tests / sizeof *tests, argc, argv);
}

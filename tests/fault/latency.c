/* How soon a call returns that is told to stop: while a model loads, a picture or a recording is encoded, a prompt is read, an
 * answer is written, speech is transcribed. Each task runs undisturbed first; then again and again, told to stop after a part
 * of that time which the seed chooses, and what passes between the word and the return is measured. On real models (models/,
 * which `make models` fetches); without them there is nothing to measure. 4 stops each by default, 256 with -a.
 *
 * Expected: half of the stops within 10 ms, 99 of 100 within 50 ms (-a, on a machine that does nothing else); by default only
 * that all end within a second, since other programs may hold the processor. */
#include "api.h"

#include <math.h>
#include <pthread.h>
#include <time.h>

typedef struct task { const char *name, *path, *text, *picture, *sound; uint32_t tokens; bool load; } task;

static const char prompt_of_many[] = "The harbour lay still under a thin white fog, and the boats knocked softly against the quay. ";

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- the one who says stop ---- */

typedef struct stopper { mm_session *session; double after, said; atomic_bool stop; } stopper;

static void *say_stop(void *arg)
{
    stopper *p = arg;
    const double whole = floor(p->after);
    const struct timespec t = {(time_t)whole, (long)(1e9 * (p->after - whole))};
    nanosleep(&t, NULL);
    p->said = now();
    atomic_store(&p->stop, true);
    mm_session_cancel(p->session);
    return NULL;
}

static int32_t stopped(void *user, const char *stage, uint64_t done, uint64_t total)
{
    (void)stage, (void)done, (void)total;
    return atomic_load(&((stopper *)user)->stop);
}

/* ---- one run of a task, *s a session for all but loading ---- */

static mm_status run_task(const task *t, mm_session *s, stopper *p)
{
    if (t->load) {
        mm_model *m = NULL;
        mm_model_options o;
        mm_model_options_init(&o, sizeof o);
        o.progress = stopped;
        o.progress_user = p;
        const mm_status st = mm_model_load(engine, t->path, &o, &m, &err);
        mm_model_release(m);
        return st;
    }
    uint64_t hash;
    return take_events(s, &hash, &err);
}

static void feed_task(const task *t, mm_session *s)
{
    if (t->load) return;
    mm_input *in = input_of(t->text, t->picture, t->sound);
    EXPECT(MM_OK, mm_session_reset(s, &err));
    EXPECT(MM_OK, mm_session_feed(s, in, &err));
    mm_input_release(in);
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(const task *t, double clean, double *late, int n)
{
    const char *slow = getenv("MM_TEST_SLOW");
    if (n < 1) {
        check(false, "no stop came in time");
        return;
    }
    qsort(late, (size_t)n, sizeof *late, ascending);
    const double half = late[n / 2], most = late[(n * 99 + 99) / 100 - 1], last = late[n - 1];
    printf("     %-12s %4.0f ms undisturbed; %3d stops: p50 %5.1f ms, p99 %5.1f ms, longest %5.1f ms\n", t->name, 1e3 * clean, n, 1e3 * half,
           1e3 * most, 1e3 * last);
    if (all_cases) check(half <= 0.010 && most <= 0.050, "later than 10 ms (half) or 50 ms (99 of 100)");
    else if (!slow || !*slow) check(last <= 1.0, "a stop took %.2f s", last);
}

static void measure(const task *t)
{
    enum { FEW = 4, MOST = 256 };
    double late[MOST];
    int n = 0;
    stopper p = {0};
    mm_model *m = t->load ? NULL : load(t->path);
    mm_session *s = t->load ? NULL : session(m, t->tokens, t->tokens ? MM_SESSION_IGNORE_EOS : 0, 0);
    if (!t->load && !s) return;
    double clean = 0;
    for (int warm = 0; warm < 2; warm++) { /* the first finds files that are not in memory yet */
        feed_task(t, s);
        clean = now();
        EXPECT(MM_OK, run_task(t, s, &p));
        clean = now() - clean;
    }
    for (int i = 0; i < (all_cases ? MOST : FEW); i++) {
        pthread_t thread;
        allow_time();
        feed_task(t, s);
        p = (stopper){.session = s, .after = clean * (double)(mix(seed * 131 + (uint64_t)i) >> 11) * 0x1p-53};
        if (pthread_create(&thread, NULL, say_stop, &p) != 0) exit(3);
        const mm_status st = run_task(t, s, &p);
        const double end = now();
        pthread_join(thread, NULL);
        if (st == MM_E_CANCELLED) late[n++] = end - p.said;
        else check(st == MM_OK, "%s \"%s\"", mm_status_name(st), err.text);
    }
    report(t, clean, late, n);
    mm_session_release(s);
    mm_model_release(m);
}

static void stops(void)
{
    static char many[2048];
    for (size_t at = 0; at + sizeof prompt_of_many < 2048; at += sizeof prompt_of_many - 1) memcpy(many + at, prompt_of_many, sizeof prompt_of_many);
    const task tasks[] = {
        {.name = "load", .path = "models/ggml-base.bin", .load = true},
        {.name = "load, packed", .path = "models/smollm2-135m-instruct-q4_1.gguf", .load = true},
        {.name = "encode", .path = "models/dinov2-small", .picture = "examples/demo/sailboat.jpg"},
        {.name = "prefill", .path = "models/smollm2-135m-instruct-q4_1.gguf", .text = many, .tokens = 1},
        {.name = "decode", .path = "models/smollm2-135m-instruct-q4_1.gguf", .text = "Tell a story.", .tokens = 32},
        {.name = "transcribe", .path = "models/ggml-base.bin", .sound = "examples/demo/jfk.wav"},
    };
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++)
        if (access(tasks[i].path, R_OK) == 0 && begin("stops of %s", tasks[i].name)) measure(&tasks[i]);
}

int main(int argc, char **argv)
{
    static void (*const tests[])(void) = {stops};
    if (access("models", R_OK) != 0) {
        printf("ok   models/ is not there, left out (make models fetches it)\n");
        return 0;
    }
    return run_tests(tests, 1, argc, argv);
}

/* The host's threads in place of the engine's own: the same answers, each piece of work started once for each index, all at
 * the same time, and an error when the host refuses. */
#include "host.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

typedef struct crew {
    atomic_int runs, calls;
    int fail_from; /* runs from this number on are refused; 0: none */
} crew;

typedef struct job {
    crew *c;
    mm_task_fn fn;
    void *task;
    uint32_t index, count;
} job;

static void *do_job(void *arg)
{
    job *j = arg;
    atomic_fetch_add(&j->c->calls, 1);
    j->fn(j->task, j->index, j->count);
    return NULL;
}

/* A thread for each index, the caller's too. */
static int32_t crew_run(void *user, mm_task_fn fn, void *task, uint32_t count)
{
    crew *c = user;
    const int n = atomic_fetch_add(&c->runs, 1) + 1;
    if (c->fail_from && n >= c->fail_from) return 77;
    pthread_t threads[8];
    job jobs[8];
    if (count > 8) return 1;
    for (uint32_t i = 0; i < count; i++) jobs[i] = (job){c, fn, task, i, count};
    for (uint32_t i = 1; i < count; i++)
        if (pthread_create(&threads[i], NULL, do_job, &jobs[i]) != 0) abort();
    do_job(&jobs[0]);
    for (uint32_t i = 1; i < count; i++) pthread_join(threads[i], NULL);
    return 0;
}

static mm_engine *crew_engine(crew *c, uint32_t n)
{
    const mm_executor x = {.size = sizeof x, .n_threads = n, .user = c, .run = crew_run};
    mm_engine_options o = engine_options();
    o.executor = &x;
    o.n_threads = 1; /* ignored */
    return engine_of(&o);
}

static void answers_are_the_same(void **state)
{
    int32_t want[8], got[8];
    char threads[16];
    mm_engine *plain = plain_engine();
    mm_model *m = model_of(plain, DIRECTORY);
    answer_of(plain, m, want);
    for (uint32_t n = 1; n <= 5; n += 2) {
        crew c = {0};
        mm_engine *e = crew_engine(&c, n);
        mm_model *own = model_of(e, DIRECTORY);
        answer_of(e, own, got);
        assert_memory_equal(want, got, sizeof want);
        assert_true(c.runs > 0);
        assert_int_equal(c.calls, c.runs * (int)n);
        OK(mm_engine_info(e, "threads", threads, sizeof threads, NULL, &err));
        assert_int_equal(atoi(threads), n);
        mm_model_release(own);
        mm_engine_release(e);
    }
    mm_model_release(m);
    mm_engine_release(plain);
}

static void a_refusal_ends_the_work(void **state)
{
    for (int from = 1; from <= 3; from++) {
        crew c = {.fail_from = from};
        mm_engine *e = crew_engine(&c, 2);
        mm_model *m = model_of(e, DIRECTORY);
        mm_session *s = session_of(m, 8);
        mm_event ev = {.size = sizeof ev};
        mm_status st;
        feed_text(e, s, "the little dog");
        while ((st = mm_session_next(s, &ev, &err)) == MM_OK) {
        }
        assert_int_equal(st, MM_E_DEVICE);
        assert_int_equal(err.os_code, 77);
        c.fail_from = 0; /* and it can be fed again */
        feed_text(e, s, "the little dog");
        while ((st = mm_session_next(s, &ev, &err)) == MM_OK) {
        }
        assert_int_equal(st, MM_END);
        mm_session_release(s);
        mm_model_release(m);
        mm_engine_release(e);
    }
}

static void bad_executors(void **state)
{
    mm_engine *none;
    mm_engine_options o = engine_options();
    for (int i = 0; i < 4; i++) {
        mm_executor x = {.size = sizeof x, .n_threads = 2, .run = crew_run};
        if (i == 0) x.run = NULL;
        if (i == 1) x.n_threads = 0;
        if (i == 2) x.n_threads = 1025;
        if (i == 3) x.size = 4;
        o.executor = &x;
        FAILS(MM_E_ARG, "mm_executor", mm_engine_create(&o, &none, &err));
        assert_null(none);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_the_same),
        cmocka_unit_test(a_refusal_ends_the_work),
        cmocka_unit_test(bad_executors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

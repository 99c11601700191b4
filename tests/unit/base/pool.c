/* The thread pool: every thread runs once, barriers hold everybody, callers are serialised. */
#include "../../../src/base/pool.h"
#include "../../../src/base/os/os.h"
#include "failing.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#define ROUNDS 4000
#define MOST 8

typedef struct job {
    mm__pool *pool;
    int ran[MOST]; /* plain memory: the pool has to order the accesses */
    int sum;
    _Atomic int wrong;
} job;

static void add_one(void *arg, int ith, int nth)
{
    job *j = arg;
    if (nth != mm__pool_size(j->pool) || ith < 0 || ith >= nth) j->wrong++;
    j->ran[ith]++;
}

/* Thread r % n writes, everybody reads, round after round. */
static void pass_the_baton(void *arg, int ith, int nth)
{
    job *j = arg;
    for (int r = 0; r < ROUNDS; r++) {
        if (r % nth == ith) j->sum += r;
        mm__pool_barrier(j->pool);
        if (j->sum != (r + 1) * r / 2) j->wrong++;
        mm__pool_barrier(j->pool);
    }
}

static void runs_once_on_each(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    const uint64_t before = mm__mem_live(mem);
    for (int n = 1; n <= 4; n++) {
        job j = {0};
        assert_int_equal(mm__pool_create(mem, n, &j.pool, NULL), MM_OK);
        assert_int_equal(mm__pool_size(j.pool), n);
        for (int r = 0; r < ROUNDS; r++) assert_int_equal(mm__pool_run(j.pool, add_one, &j, NULL, NULL), MM_OK);
        for (int i = 0; i < MOST; i++) assert_int_equal(j.ran[i], i < n ? ROUNDS : 0);
        assert_int_equal(j.wrong, 0);
        mm__pool_destroy(j.pool);
    }
    assert_int_equal(mm__mem_live(mem), before);
    mm__mem_destroy(mem);
}

/* From within somebody's turn the work is done by whoever brings it; afterwards by all again. */
typedef struct nested {
    mm__pool *pool;
    _Atomic int *now;
} nested;

static void count(void *arg, int ith, int nth) { atomic_fetch_add(((nested *)arg)->now, 1); }

static void bring_more(void *arg, int ith, int nth)
{
    nested *n = arg;
    if (ith == 0) mm__pool_run_or_alone(n->pool, count, n);
}

static void works_alone_beside_a_turn(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    _Atomic int ran = 0;
    nested n = {.now = &ran};
    assert_int_equal(mm__pool_create(mem, 3, &n.pool, NULL), MM_OK);
    assert_int_equal(mm__pool_run(n.pool, bring_more, &n, NULL, NULL), MM_OK);
    assert_int_equal(atomic_load(&ran), 1);
    mm__pool_run_or_alone(n.pool, count, &n);
    assert_int_equal(atomic_load(&ran), 1 + 3);
    mm__pool_destroy(n.pool);
    mm__mem_destroy(mem);
}

static void barriers_hold(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    for (int n = 1; n <= 4; n++) {
        job j = {0};
        assert_int_equal(mm__pool_create(mem, n, &j.pool, NULL), MM_OK);
        mm__pool_run(j.pool, pass_the_baton, &j, NULL, NULL);
        assert_int_equal(j.wrong, 0);
        assert_int_equal(j.sum, ROUNDS * (ROUNDS - 1) / 2);
        mm__pool_destroy(j.pool);
    }
    mm__mem_destroy(mem);
}

static void pause_a_little(void *arg, int ith, int nth)
{
    const double until = mm__os_now() + (ith == 0 ? 1e-3 : 0);
    while (mm__os_now() < until) {
    }
    add_one(arg, ith, nth);
}

/* The workers fall asleep waiting for the caller, and the caller pauses between runs. */
static void sleepers_wake(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    job j = {0};
    assert_int_equal(mm__pool_create(mem, 2, &j.pool, NULL), MM_OK);
    for (int r = 0; r < 200; r++) {
        mm__pool_run(j.pool, pause_a_little, &j, NULL, NULL);
        const double until = mm__os_now() + 2e-4;
        while (mm__os_now() < until) {
        }
    }
    assert_int_equal(j.ran[0], 200);
    assert_int_equal(j.ran[1], 200);
    mm__pool_destroy(j.pool);
    mm__mem_destroy(mem);
}

static void host_thread(void *arg)
{
    job *j = arg;
    for (int r = 0; r < 1000; r++) mm__pool_run(j->pool, add_one, j, NULL, NULL);
}

static void callers_take_turns(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    job j = {0};
    mm__thread t[3];
    assert_int_equal(mm__pool_create(mem, 2, &j.pool, NULL), MM_OK);
    for (int i = 0; i < 3; i++) assert_true(mm__thread_start(&t[i], host_thread, &j));
    for (int i = 0; i < 3; i++) mm__thread_join(&t[i]);
    assert_int_equal(j.ran[0], 3000);
    assert_int_equal(j.ran[1], 3000);
    mm__pool_destroy(j.pool);
    mm__mem_destroy(mem);
}

typedef struct waiter {
    job *j;
    atomic_int cancel, entered;
    bool ran;
    double ended;
} waiter;

static void hold_the_pool(void *arg, int ith, int nth)
{
    waiter *w = arg;
    if (ith > 0) return;
    atomic_store(&w->entered, 1);
    while (!atomic_load(&w->cancel)) mm__os_pause();
}

static void holding_thread(void *arg)
{
    waiter *w = arg;
    w->ran = mm__pool_run(w->j->pool, hold_the_pool, w, &w->cancel, NULL) == MM_OK;
}

static void waiting_thread(void *arg)
{
    waiter *w = arg;
    atomic_store(&w->entered, 1);
    w->ran = mm__pool_run(w->j->pool, add_one, w->j, &w->cancel, NULL) == MM_OK;
    w->ended = mm__os_now();
}

static void start(waiter *w, mm__thread *t, void (*fn)(void *), job *j)
{
    *w = (waiter){.j = j};
    assert_true(mm__thread_start(t, fn, w));
    while (!atomic_load(&w->entered)) mm__os_pause();
}

static void pause_for(double seconds)
{
    for (const double until = mm__os_now() + seconds; mm__os_now() < until;) mm__os_pause();
}

/* One caller holds the pool; of three that wait, the middle one is cancelled and leaves at once, the others get their turn. */
static void waiting_can_be_cancelled(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    job j = {0};
    waiter holder, w[3];
    mm__thread t[4];
    assert_int_equal(mm__pool_create(mem, 2, &j.pool, NULL), MM_OK);
    start(&holder, &t[3], holding_thread, &j);
    for (int i = 0; i < 3; i++) {
        start(&w[i], &t[i], waiting_thread, &j);
        pause_for(2e-3);
    }
    const double cancelled = mm__os_now();
    atomic_store(&w[1].cancel, 1);
    mm__thread_join(&t[1]);
    assert_false(w[1].ran);
    assert_true(w[1].ended - cancelled < 0.05);
    assert_int_equal(j.ran[0], 0);
    atomic_store(&holder.cancel, 1);
    for (int i = 0; i < 4; i++)
        if (i != 1) mm__thread_join(&t[i]);
    assert_true(holder.ran && w[0].ran && w[2].ran);
    assert_int_equal(j.ran[0], 2);
    mm__pool_destroy(j.pool);
    mm__mem_destroy(mem);
}

static bool make_pool(mm__mem *mem)
{
    mm__pool *pool = NULL;
    mm_error e = {.size = sizeof e};
    const mm_status st = mm__pool_create(mem, 3, &pool, &e);
    assert_true((st == MM_OK) == (pool != NULL));
    assert_true(st == MM_OK || (st == MM_E_NOMEM && e.code == MM_E_NOMEM));
    mm__pool_destroy(pool);
    return st == MM_OK;
}

static void pool_limits(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__pool *pool;
    mm_error e = {.size = sizeof e};
    assert_int_equal(mm__pool_create(mem, 0, &pool, &e), MM_E_ARG);
    assert_null(pool);
    assert_int_equal(mm__pool_create(mem, 1 << 20, &pool, &e), MM_E_ARG);
    mm__pool_destroy(NULL);
    mm__mem_destroy(mem);
    assert_int_equal(sweep(make_pool), 2);
}

static void platform_is_sane(void **state)
{
    assert_true(mm__os_cores() >= 1 && mm__os_cores() <= mm__os_cpus());
    assert_true(mm__os_random() != mm__os_random());
    const double a = mm__os_now();
    assert_true(mm__os_now() >= a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_once_on_each),  cmocka_unit_test(works_alone_beside_a_turn), cmocka_unit_test(barriers_hold), cmocka_unit_test(sleepers_wake),
        cmocka_unit_test(callers_take_turns), cmocka_unit_test(waiting_can_be_cancelled),
        cmocka_unit_test(pool_limits),   cmocka_unit_test(platform_is_sane),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

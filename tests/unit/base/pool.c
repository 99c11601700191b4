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
        for (int r = 0; r < ROUNDS; r++) mm__pool_run(j.pool, add_one, &j);
        for (int i = 0; i < MOST; i++) assert_int_equal(j.ran[i], i < n ? ROUNDS : 0);
        assert_int_equal(j.wrong, 0);
        mm__pool_destroy(j.pool);
    }
    assert_int_equal(mm__mem_live(mem), before);
    mm__mem_destroy(mem);
}

static void barriers_hold(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    for (int n = 1; n <= 4; n++) {
        job j = {0};
        assert_int_equal(mm__pool_create(mem, n, &j.pool, NULL), MM_OK);
        mm__pool_run(j.pool, pass_the_baton, &j);
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
        mm__pool_run(j.pool, pause_a_little, &j);
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
    for (int r = 0; r < 1000; r++) mm__pool_run(j->pool, add_one, j);
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
    assert_true(mm__os_rss() > 100000);
    assert_true(mm__os_random() != mm__os_random());
    const double a = mm__os_now();
    assert_true(mm__os_now() >= a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_once_on_each),  cmocka_unit_test(barriers_hold), cmocka_unit_test(sleepers_wake),
        cmocka_unit_test(callers_take_turns), cmocka_unit_test(pool_limits),   cmocka_unit_test(platform_is_sane),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

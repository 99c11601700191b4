/* The cache of encoded media: what is kept and found again, what goes when there is no room, and that memory that is short is
 * the cache's loss alone. */
#include "../../../src/run/mediacache.h"

#include "../../../src/base/limits.h"
#include "../../../src/base/os/os.h"
#include "../base/failing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define N_ROWS 16
#define WIDTH 64
#define EACH (N_ROWS * WIDTH * sizeof(float)) /* bytes of rows; an entry takes somewhat more */

static mm__media_key key_of(int i)
{
    const float values[2] = {(float)i, 1};
    mm__media_key key;
    mm__media_key_of("test", 1, 2, values, &key);
    return key;
}

/* The rows of medium i, every value of them its number and place. */
static float value_at(int i, int j) { return (float)(i * 10000 + j); }

static void keep(mm__media_cache *c, int i)
{
    float values[N_ROWS * WIDTH];
    const mm__media_key key = key_of(i);
    for (int j = 0; j < N_ROWS * WIDTH; j++) values[j] = value_at(i, j);
    mm__media_cache_keep(c, &key, &(mm__media_rows){values, N_ROWS, WIDTH});
}

static _Atomic int wrong; /* finds that gave something else; threads cannot assert */

/* Whether medium i is there. */
static bool find(mm__mem *mem, mm__media_cache *c, int i)
{
    const mm__media_key key = key_of(i);
    mm__media_rows rows;
    const bool there = mm__media_cache_find(c, &key, &rows);
    bool right = there ? rows.n == N_ROWS && rows.width == WIDTH : !rows.data && !rows.n && !rows.width;
    for (int j = 0; there && right && j < N_ROWS * WIDTH; j++) right = rows.data[j] == value_at(i, j);
    if (!right) atomic_fetch_add(&wrong, 1);
    mm__free(mem, rows.data);
    return there;
}

static void done(mm__mem *mem, mm__media_cache *c)
{
    mm__media_cache_destroy(c);
    mm__mem_destroy(mem);
    assert_int_equal(wrong, 0);
}

static void kept_and_found(void **state)
{
    const _Atomic uint64_t most = 1 << 20;
    mm__mem *mem = mm__mem_create(NULL, 0);
    const uint64_t empty = mm__mem_live(mem);
    mm__media_cache *c = mm__media_cache_create(mem, &most);
    assert_true(mm__media_cache_on(c));
    assert_false(mm__media_cache_on(NULL));
    assert_false(find(mem, c, 0));
    for (int i = 0; i < 100; i++) keep(c, i);
    for (int i = 0; i < 100; i++) assert_true(find(mem, c, i));
    keep(c, 7); /* a second time changes nothing */
    mm__media_counts n = mm__media_cache_counts(c);
    assert_int_equal(n.hits, 100);
    assert_int_equal(n.misses, 1);
    assert_in_range(n.bytes, 100 * EACH, 100 * (EACH + 128));
    mm__media_cache_destroy(c);
    assert_int_equal(mm__mem_live(mem), empty);
    done(mem, NULL);
}

/* Everything that goes into an encoder tells keys apart. */
static void keys_differ(void **state)
{
    const float values[6] = {1, 2, 3, 4, 5, 6}, other[6] = {1, 2, 3, 4, 5, 6.0000005f}, minus[6] = {-0.0f}, zero[6] = {0.0f};
    mm__media_key k[7], again;
    mm__media_key_of("picture", 2, 3, values, &k[0]);
    mm__media_key_of("picture", 3, 2, values, &k[1]);
    mm__media_key_of("picture", 2, 3, other, &k[2]);
    mm__media_key_of("sound", 2, 3, values, &k[3]);
    mm__media_key_of("picture", 2, 2, values, &k[4]);
    mm__media_key_of("picture", 2, 3, minus, &k[5]);
    mm__media_key_of("picture", 2, 3, zero, &k[6]);
    mm__media_key_of("picture", 2, 3, values, &again);
    assert_memory_equal(&again, &k[0], sizeof again);
    for (int i = 0; i < 7; i++)
        for (int j = 0; j < i; j++) assert_memory_not_equal(&k[i], &k[j], sizeof k[i]);
}

static void last_used_stays(void **state)
{
    _Atomic uint64_t most = 4 * (EACH + 256);
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__media_cache *c = mm__media_cache_create(mem, &most);
    for (int i = 0; i < 4; i++) keep(c, i);
    assert_true(find(mem, c, 0)); /* used again: 1 is the oldest now */
    keep(c, 4);
    assert_false(find(mem, c, 1));
    assert_true(find(mem, c, 0) && find(mem, c, 2) && find(mem, c, 3) && find(mem, c, 4));
    for (int i = 100; i < 200; i++) {
        keep(c, i);
        assert_in_range(mm__media_cache_counts(c).bytes, 1, atomic_load(&most));
    }
    assert_true(find(mem, c, 199) && find(mem, c, 196));
    assert_false(find(mem, c, 195));
    atomic_store(&most, EACH + 256); /* lowered: holds from the next medium on */
    keep(c, 200);
    assert_true(find(mem, c, 200));
    assert_false(find(mem, c, 199));
    atomic_store(&most, EACH - 1); /* too little for one: nothing is dropped for it */
    keep(c, 201);
    assert_false(find(mem, c, 201));
    assert_true(find(mem, c, 200));
    atomic_store(&most, 0);
    assert_false(mm__media_cache_on(c));
    keep(c, 202);
    assert_false(find(mem, c, 202));
    mm__mem_spare_all(mem);
    assert_int_equal(mm__media_cache_counts(c).bytes, 0);
    done(mem, c);
}

/* What is asked for beside the cache is served as if the cache were not there. */
static void gives_way(void **state)
{
    const _Atomic uint64_t most = 1 << 20;
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__media_cache *c = mm__media_cache_create(mem, &most), *second = mm__media_cache_create(mem, &most);
    const uint64_t empty = mm__mem_live(mem);
    for (int i = 0; i < 40; i++) keep(i % 2 ? c : second, i);
    const uint64_t full = mm__mem_live(mem);
    mm__limit_set(mem, MM__LIMIT_MEMORY, full + EACH / 2);
    void *p = mm__alloc(mem, EACH); /* one or two of them go */
    assert_non_null(p);
    assert_true(mm__mem_live(mem) >= full - 2 * EACH);
    assert_false(find(mem, c, 1) && find(mem, second, 0));
    assert_true(mm__mem_charge(mem, full - empty - 4 * EACH)); /* nearly all */
    assert_in_range(mm__media_cache_counts(c).bytes + mm__media_cache_counts(second).bytes, 0, 5 * EACH);
    mm__mem_discharge(mem, full - empty - 4 * EACH);
    mm__free(mem, p);
    assert_null(mm__alloc(mem, full)); /* cannot be had at all */
    assert_int_equal(mm__media_cache_counts(c).bytes + mm__media_cache_counts(second).bytes, 0);
    assert_int_equal(mm__mem_live(mem), empty);
    keep(c, 1);
    mm__media_cache_destroy(second); /* it gives no more */
    assert_null(mm__alloc(mem, 2 * full));
    mm__media_cache_destroy(c);
    assert_null(mm__alloc(mem, 2 * full));
    done(mem, NULL);
}

/* The host refuses: the cache gives back what it has, and the request is made again. */
static void host_refuses(void **state)
{
    const _Atomic uint64_t most = 1 << 20;
    failing f = {0};
    mm__mem *mem = failing_mem(&f, -1);
    mm__media_cache *c = mm__media_cache_create(mem, &most);
    for (int i = 0; i < 10; i++) keep(c, i);
    f.at = f.calls;
    assert_null(mm__alloc(mem, 100)); /* ten times in vain, and the first */
    assert_int_equal(f.calls, f.at + 11);
    assert_int_equal(mm__media_cache_counts(c).bytes, 0);
    keep(c, 1);
    assert_int_equal(mm__media_cache_counts(c).bytes, 0);
    assert_false(find(mem, c, 1));
    f.at = -1;
    keep(c, 1);
    f.at = f.calls;
    assert_false(find(mem, c, 1)); /* no memory for the copy is a miss */
    f.at = -1;
    done(mem, c);
    assert_int_equal(f.balance, 0);
}

static bool scenario(mm__mem *mem)
{
    const _Atomic uint64_t most = 3 * (EACH + 256);
    mm__media_cache *c = mm__media_cache_create(mem, &most);
    bool ok = c != NULL;
    for (int i = 0; c && i < 5; i++) keep(c, i);
    for (int i = 0; c && i < 5; i++) ok &= find(mem, c, i) == (i > 1);
    mm__media_cache_destroy(c);
    return ok;
}

static void every_request_may_fail(void **state)
{
    assert_int_equal(sweep(scenario), 9); /* itself, five entries, three copies */
}

/* The memory of a session does not pay for what outlives it; the copy it gets is its own. */
static void accounts(void **state)
{
    const _Atomic uint64_t most = 1 << 20;
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__media_cache *c = mm__media_cache_create(mem, &most);
    mm__account *a;
    const mm__media_key key = key_of(3);
    mm__media_rows rows;
    assert_true(mm__account_open(mem, EACH + 256, &a));
    mm__account_enter(a);
    for (int i = 0; i < 10; i++) keep(c, i);
    assert_true(mm__media_cache_counts(c).bytes >= 10 * EACH);
    assert_true(mm__media_cache_find(c, &key, &rows));
    assert_null(mm__alloc(mem, EACH));
    assert_true(mm__media_cache_counts(c).bytes >= 10 * EACH); /* giving it away would not help */
    mm__free(mem, rows.data);
    mm__account_enter(NULL);
    mm__account_close(a);
    done(mem, c);
}

typedef struct worker { mm__mem *mem; mm__media_cache *c; int from; _Atomic long *found; } worker;

/* Keeps and finds what the others keep, too, asks for memory that is only there when the cache gives, and gives it back. */
static void work(void *arg)
{
    worker *w = arg;
    uint32_t x = (uint32_t)w->from;
    for (int k = 0; k < 2000; k++) {
        x = x * 1664525 + 1013904223;
        const int i = (int)((x >> 24) % 24);
        if (find(w->mem, w->c, i)) atomic_fetch_add(w->found, 1);
        else keep(w->c, i);
        if (k % 16 == 0) mm__free(w->mem, mm__alloc(w->mem, 4 * EACH));
    }
}

static void threads(void **state)
{
    enum { N = 3 };
    const _Atomic uint64_t most = 12 * (EACH + 256);
    _Atomic long found = 0;
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__media_cache *c = mm__media_cache_create(mem, &most);
    const uint64_t empty = mm__mem_live(mem);
    mm__limit_set(mem, MM__LIMIT_MEMORY, empty + 14 * EACH);
    mm__thread t[N];
    worker w[N];
    for (int i = 0; i < N; i++) {
        w[i] = (worker){mem, c, 8 * i, &found};
        assert_true(mm__thread_start(&t[i], work, &w[i]));
    }
    for (int i = 0; i < N; i++) mm__thread_join(&t[i]);
    const mm__media_counts n = mm__media_cache_counts(c);
    assert_int_equal(n.hits, found);
    assert_int_equal(n.hits + n.misses, N * 2000);
    assert_true(n.hits > 0 && n.bytes <= most);
    assert_true(mm__mem_peak(mem) <= empty + 14 * EACH);
    done(mem, c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_and_found), cmocka_unit_test(keys_differ),            cmocka_unit_test(last_used_stays),
        cmocka_unit_test(gives_way),      cmocka_unit_test(host_refuses),           cmocka_unit_test(every_request_may_fail),
        cmocka_unit_test(accounts),       cmocka_unit_test(threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

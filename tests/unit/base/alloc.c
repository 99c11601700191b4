/* Memory accounts: alignment, limit, failure, reallocation, contention. */
#include "../../../src/base/alloc.h"
#include "../../../src/base/os/os.h"
#include "failing.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void aligned_and_counted(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    assert_non_null(mem);
    const uint64_t empty = mm__mem_live(mem);
    void *p[40];
    for (size_t i = 0; i < 40; i++) {
        p[i] = mm__alloc(mem, i * 7);
        assert_non_null(p[i]);
        assert_int_equal((uintptr_t)p[i] % 64, 0);
        memset(p[i], 0xA5, i * 7);
    }
    assert_true(mm__mem_live(mem) >= empty + 39 * 40 / 2 * 7);
    const uint64_t high = mm__mem_live(mem);
    for (size_t i = 0; i < 40; i++) mm__free(mem, p[i]);
    mm__free(mem, NULL);
    assert_int_equal(mm__mem_live(mem), empty);
    assert_int_equal(mm__mem_peak(mem), high);
    mm__mem_destroy(mem);
}

/* The host's last request, and what it got. */
static unsigned char *last_block;
static size_t last_total;

static void *noting_alloc(void *user, size_t bytes, size_t align)
{
    last_total = bytes;
    return last_block = aligned_alloc(align, bytes);
}

static void noting_release(void *user, void *p, size_t bytes, size_t align)
{
    free(p);
}

static void empty_blocks_hold_their_address(void **state)
{
    const mm_allocator noting = {sizeof noting, 0, NULL, noting_alloc, noting_release};
    mm__mem *mem = mm__mem_create(&noting, 0);
    assert_non_null(mem);
    unsigned char *p = mm__alloc(mem, 0);
    assert_in_range((uintptr_t)p, (uintptr_t)last_block, (uintptr_t)last_block + last_total - 1);
    mm__free(mem, p);
    mm__mem_destroy(mem);
}

/* Weights lie one behind the other, are counted like any block, and may go in any order. */
static void weights_share_slabs(void **state)
{
    enum { N = 200, EACH = 300000 }; /* two slabs */
    mm__mem *mem = mm__mem_create(NULL, 0);
    const uint64_t empty = mm__mem_live(mem);
    unsigned char *p[N];
    size_t neighbours = 0;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++) {
            assert_non_null(p[i] = mm__alloc_weights(mem, EACH));
            assert_int_equal((uintptr_t)p[i] % 64, 0);
            memset(p[i], i, EACH);
            neighbours += i > 0 && p[i] > p[i - 1] && p[i] - p[i - 1] < EACH + 256;
        }
        assert_true(mm__mem_live(mem) - empty >= (uint64_t)N * EACH && mm__mem_live(mem) - empty < (uint64_t)N * (EACH + 256));
        for (int i = 0; i < N; i++) assert_true(p[i][0] == i && p[i][EACH - 1] == i);
        assert_non_null(p[0] = mm__realloc(mem, p[0], 3 * EACH));
        for (int i = 0; i < N; i++) mm__free(mem, p[round ? N - 1 - i : i * 7 % N]);
        assert_int_equal(mm__mem_live(mem), empty);
    }
    assert_true(neighbours >= 2 * N - 8);
    mm__mem_destroy(mem);
}

static void weights_of_a_host(void **state)
{
    const mm_allocator noting = {sizeof noting, 0, NULL, noting_alloc, noting_release};
    mm__mem *mem = mm__mem_create(&noting, 0);
    unsigned char *p = mm__alloc_weights(mem, 300000);
    assert_in_range((uintptr_t)p, (uintptr_t)last_block, (uintptr_t)last_block + last_total - 1);
    assert_true(last_total >= 300000 && last_total < 300256);
    mm__free(mem, p);
    mm__mem_destroy(mem);
}

static void zeroed(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    unsigned char *p = mm__alloc(mem, 4096);
    memset(p, 0xFF, 4096);
    mm__free(mem, p);
    p = mm__calloc(mem, 64, 64);
    for (size_t i = 0; i < 4096; i++) assert_int_equal(p[i], 0);
    mm__free(mem, p);
    mm__mem_destroy(mem);
}

static void limit_is_hard(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 10000);
    const uint64_t before = mm__mem_live(mem);
    assert_null(mm__alloc(mem, 10001));
    void *p = mm__alloc(mem, 8000);
    assert_non_null(p);
    assert_null(mm__alloc(mem, 8000));
    mm__free(mem, p);
    assert_int_equal(mm__mem_live(mem), before);
    assert_true(mm__mem_peak(mem) <= 10000);
    mm__mem_destroy(mem);
    assert_null(mm__mem_create(NULL, 1));
}

static void absurd_sizes(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    assert_null(mm__alloc(mem, SIZE_MAX));
    assert_null(mm__alloc(mem, SIZE_MAX - 64));
    assert_null(mm__alloc(mem, SIZE_MAX - 128));
    assert_null(mm__calloc(mem, SIZE_MAX / 2, 3));
    char *p = mm__strdup(mem, "kept");
    assert_null(mm__realloc(mem, p, SIZE_MAX - 1));
    assert_string_equal(p, "kept");
    void *items = NULL;
    size_t cap = 0;
    assert_false(mm__grow(mem, &items, SIZE_MAX / 2, &cap, 16));
    assert_null(items);
    mm__free(mem, p);
    mm__mem_destroy(mem);
}

static void realloc_keeps(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    unsigned char *p = NULL;
    for (size_t n = 1; n < 5000; n = n * 3 / 2 + 1) {
        p = mm__realloc(mem, p, n);
        assert_non_null(p);
        p[n - 1] = (unsigned char)n;
        p[0] = 42;
    }
    p = mm__realloc(mem, p, 2);
    assert_int_equal(p[0], 42);
    mm__free(mem, p);
    mm__mem_destroy(mem);
}

static void grow_adds_room(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    uint32_t *items = NULL;
    size_t cap = 0;
    for (size_t n = 0; n < 10000; n++) {
        assert_true(mm__grow(mem, &items, n, &cap, sizeof *items));
        assert_true(cap > n);
        items[n] = (uint32_t)n;
    }
    for (size_t n = 0; n < 10000; n++) assert_int_equal(items[n], n);
    mm__free(mem, items);
    mm__mem_destroy(mem);
}

static void shrinking_never_fails(void **state)
{
    failing f = {0};
    mm__mem *mem = failing_mem(&f, 2);
    char *p = mm__alloc(mem, 1000);
    strcpy(p, "still here");
    p = mm__realloc(mem, p, 20);
    assert_non_null(p);
    assert_string_equal(p, "still here");
    assert_null(mm__realloc(mem, p, 2000));
    assert_string_equal(p, "still here");
    assert_null(mm__strdup(mem, "x"));
    mm__free(mem, p);
    mm__mem_destroy(mem);
    assert_int_equal(f.balance, 0);
}

static void *crooked_alloc(void *user, size_t bytes, size_t align)
{
    return (char *)aligned_alloc(align, bytes + align) + 8;
}

static void crooked_release(void *user, void *ptr, size_t bytes, size_t align)
{
    free((char *)ptr - 8);
}

static void misaligned_host_is_refused(void **state)
{
    const mm_allocator host = {sizeof host, 0, NULL, crooked_alloc, crooked_release};
    assert_null(mm__mem_create(&host, 0));
}

static void churn(void *arg)
{
    mm__mem *mem = arg;
    for (int i = 0; i < 20000; i++) {
        void *p = mm__alloc(mem, (size_t)(i % 700));
        mm__free(mem, p);
    }
}

static void accounts_survive_threads(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 4000);
    const uint64_t before = mm__mem_live(mem);
    mm__thread t[4];
    for (int i = 0; i < 4; i++) assert_true(mm__thread_start(&t[i], churn, mem));
    for (int i = 0; i < 4; i++) mm__thread_join(&t[i]);
    assert_int_equal(mm__mem_live(mem), before);
    assert_true(mm__mem_peak(mem) <= 4000);
    mm__mem_destroy(mem);
}

/* A part of the memory with a limit of its own: what is booked there, who frees it, and how long it lives. */
static void parts_have_their_own_limit(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0), *other = mm__mem_create(NULL, 0);
    const uint64_t before = mm__mem_live(mem);
    mm__account *a, *none;
    assert_true(mm__account_open(mem, 0, &none));
    assert_null(none);
    void *outside = mm__alloc(mem, 900);
    assert_true(mm__account_open(mem, 1024, &a));
    assert_null(mm__account_enter(a));
    void *inside = mm__alloc(mem, 900);
    assert_non_null(inside);
    assert_null(mm__alloc(mem, 100)); /* 128 and a head */
    void *elsewhere = mm__alloc(other, 5000);
    assert_non_null(elsewhere);
    mm__free(mem, outside); /* makes no room in the account */
    assert_null(mm__alloc(mem, 100));
    assert_null(mm__realloc(mem, inside, 5000));
    assert_ptr_equal(mm__account_enter(NULL), a);
    void *after = mm__alloc(mem, 5000);
    assert_non_null(after);
    mm__account_enter(a);
    mm__free(mem, inside);
    inside = mm__alloc(mem, 500);
    assert_non_null(inside);
    mm__account_enter(NULL);
    mm__account_close(a);
    mm__free(mem, inside); /* the last block takes the account with it */
    mm__free(mem, after);
    mm__free(other, elsewhere);
    assert_int_equal(mm__mem_live(mem), before);
    mm__mem_destroy(mem);
    mm__mem_destroy(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aligned_and_counted),
        cmocka_unit_test(empty_blocks_hold_their_address),
        cmocka_unit_test(weights_share_slabs),
        cmocka_unit_test(weights_of_a_host),
        cmocka_unit_test(zeroed),
        cmocka_unit_test(limit_is_hard),
        cmocka_unit_test(absurd_sizes),
        cmocka_unit_test(realloc_keeps),
        cmocka_unit_test(grow_adds_room),
        cmocka_unit_test(shrinking_never_fails),
        cmocka_unit_test(misaligned_host_is_refused),
        cmocka_unit_test(accounts_survive_threads),
        cmocka_unit_test(parts_have_their_own_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

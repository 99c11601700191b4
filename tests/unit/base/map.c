/* The hash map, and the small sources of numbers beside it: the keyed hash, random numbers, SHA-256. */
#include "../../../src/base/map.h"
#include "../../../src/base/rng.h"
#include "../../../src/base/sha256.h"
#include "failing.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static size_t key_of(char key[32], unsigned i)
{
    return (size_t)snprintf(key, 32, "token-%x", i * 2654435761u);
}

static void finds_what_was_put(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__map *map = mm__map_create(mem, 0);
    char key[32];
    uint64_t v;
    bool existed;
    for (unsigned i = 0; i < 50000; i++) {
        const size_t n = key_of(key, i);
        assert_true(mm__map_put(map, key, n, i, &existed));
        assert_false(existed);
    }
    assert_int_equal(mm__map_count(map), 50000);
    for (unsigned i = 0; i < 50000; i++) {
        const size_t n = key_of(key, i);
        assert_true(mm__map_get(map, key, n, &v));
        assert_int_equal(v, i);
        assert_false(mm__map_get(map, key, n - 1, &v) && v == i);
    }
    const size_t n = key_of(key, 77);
    assert_true(mm__map_put(map, key, n, UINT64_MAX, &existed));
    assert_true(existed);
    assert_int_equal(mm__map_count(map), 50000);
    assert_true(mm__map_get(map, key, n, &v));
    assert_true(v == UINT64_MAX);
    assert_false(mm__map_get(map, "absent", 6, &v));
    assert_false(mm__map_get(NULL, "absent", 6, &v));
    mm__map_destroy(map);
    mm__mem_destroy(mem);
}

static void keys_are_bytes(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__map *map = mm__map_create(mem, 3);
    uint64_t v;
    char big[100000];
    memset(big, 'k', sizeof big);
    assert_true(mm__map_put(map, "", 0, 1, NULL));
    assert_true(mm__map_put(map, "\0", 1, 2, NULL));
    assert_true(mm__map_put(map, "\0\0", 2, 3, NULL));
    assert_true(mm__map_put(map, big, sizeof big, 4, NULL));
    assert_true(mm__map_put(map, "after", 5, 5, NULL));
    assert_true(mm__map_get(map, NULL, 0, &v) && v == 1);
    assert_true(mm__map_get(map, "\0", 1, &v) && v == 2);
    assert_true(mm__map_get(map, "\0\0", 2, &v) && v == 3);
    assert_true(mm__map_get(map, big, sizeof big, &v) && v == 4);
    assert_true(mm__map_get(map, "after", 5, &v) && v == 5);
    mm__map_destroy(map);
    assert_null(mm__map_create(mem, SIZE_MAX - 1));
    mm__mem_destroy(mem);
}

static bool fill_map(mm__mem *mem)
{
    mm__map *map = mm__map_create(mem, 4);
    if (!map) return false;
    char key[32];
    uint64_t v;
    unsigned done = 0;
    bool ok = true;
    for (; ok && done < 20000; done += ok) {
        const size_t n = key_of(key, done);
        ok = mm__map_put(map, key, n, done, NULL);
    }
    assert_int_equal(mm__map_count(map), done); /* a failed put changes nothing */
    for (unsigned i = 0; i < done; i++) {
        const size_t n = key_of(key, i);
        assert_true(mm__map_get(map, key, n, &v) && v == i);
    }
    const size_t n = key_of(key, done);
    assert_false(mm__map_get(map, key, n, &v));
    mm__map_destroy(map);
    return ok;
}

static void map_without_memory(void **state)
{
    assert_true(sweep(fill_map) > 10);
}

/* Properties only: the published vectors exist for SipHash-2-4, not for the three-round variant used here. */
static void hash_is_keyed(void **state)
{
    assert_true(mm__map_hash(1, 2, "abc", 3) != mm__map_hash(1, 3, "abc", 3));
    assert_true(mm__map_hash(1, 2, "abc", 3) != mm__map_hash(1, 2, "abc\0", 4));
    assert_true(mm__map_hash(1, 2, "12345678a", 9) != mm__map_hash(1, 2, "12345678b", 9));
    assert_true(mm__map_hash(1, 2, "abc", 3) == mm__map_hash(1, 2, "abc", 3));
}

static void random_numbers(void **state)
{
    double square = 0, unit = 0;
    const int n = 200000;
    int low_bits = 0;
    for (int i = 0; i < n; i++) {
        const double u = mm__rng_unit(9, (uint64_t)i);
        assert_true(u >= 0 && u < 1);
        unit += u;
        square += u * u;
        low_bits += mm__rng_u64(9, (uint64_t)i) & 1;
    }
    assert_true(fabs(unit / n - 0.5) < 0.005);
    assert_true(fabs(square / n - 1.0 / 3) < 0.005);
    assert_true(abs(low_bits - n / 2) < 1500);
    assert_true(mm__rng_u64(1, 5) != mm__rng_u64(2, 5));
    assert_true(mm__rng_u64(1, 5) != mm__rng_u64(1, 6));
    assert_true(mm__rng_u64(1, 5) == mm__rng_u64(1, 5));
}

static void check_digest(const void *text, size_t n, size_t step, const char *expected)
{
    mm__sha256 s;
    uint8_t d[32];
    char hex[65];
    mm__sha256_init(&s);
    for (size_t i = 0; i < n; i += step) mm__sha256_add(&s, (const char *)text + i, n - i < step ? n - i : step);
    mm__sha256_end(&s, d);
    mm__sha256_hex(d, hex);
    assert_string_equal(hex, expected);
}

/* The examples of FIPS 180-4, and a million times "a". */
static void sha256_vectors(void **state)
{
    static char million[1000000];
    const char *two = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    check_digest("", 0, 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check_digest("abc", 3, 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check_digest(two, 56, 56, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    memset(million, 'a', sizeof million);
    static const size_t steps[] = {1, 63, 64, 65, 1000, 1000000};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        check_digest(million, sizeof million, steps[i], "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_was_put), cmocka_unit_test(keys_are_bytes), cmocka_unit_test(map_without_memory),
        cmocka_unit_test(hash_is_keyed),      cmocka_unit_test(random_numbers), cmocka_unit_test(sha256_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The int8 products of AVX-VNNI against those of AVX2, bit for bit: integer sums are exact, and what follows them is the same.
 * Processors with AVX-512 VNNI have the instruction in another encoding; on these the kernel runs compiled for that one
 * (build: mm__linear_isa_evex, the same file), so most machines can test it. */
#include "../../../src/backend/cpu/cpu.h"
#include "../../../src/backend/cpu/kern/linear/linear_layout.h"
#include "weights.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

extern const mm__linear_isa mm__linear_isa_evex;

static const mm__linear_isa *under_test(void)
{
    const unsigned isa = mm__cpu_features();
    return isa & MM__ISA_AVXVNNI ? &mm__linear_isa_avxvnni : isa & MM__ISA_AVX512 ? &mm__linear_isa_evex : NULL;
}

/* One panel of a type, met by a tile of every width; a row of x in 4 has numbers that make it keep 15 bits. */
static void compare(const mm__linear_isa *isa, mm__mem *mem, mm__dtype type, uint64_t seed)
{
    enum { K = 512, TILE = 4 };
    const mm__linear_arith *want = &mm__linear_isa_avx2.arith[MM__FORM_INT8], *got = &isa->arith[MM__FORM_INT8];
    const mm__shape shape = mm__shape2(MM__LINEAR_PANEL, K);
    mm__linear_packed *p;
    float x[TILE][K], sums[2][TILE * MM__LINEAR_PANEL];
    const float *rows[TILE];
    size_t bytes;
    assert_true(mm__tensor_bytes(type, &shape, &bytes));
    uint8_t *raw = mm__alloc(mem, bytes), *tiles[2];
    random_weights(type, raw, bytes, seed);
    assert_int_equal(mm__linear_packed_new(mem, MM__ISA_AVX2, MM__LINEAR_FAST, type, &shape, &p, NULL), MM_OK);
    mm__linear_pack_panel(p, 0, raw);
    for (int t = 0; t < TILE; t++) {
        rows[t] = x[t];
        for (int i = 0; i < K; i++) x[t][i] = random_normal(seed + 1, (uint64_t)(t * K + i)) * (t == 1 && i % 100 == 7 ? 100 : 1);
    }
    for (int i = 0; i < 2; i++) assert_non_null(tiles[i] = mm__calloc(mem, TILE * K / MM__LINEAR_BLOCK, MM__LINEAR_INT8_BYTES));
    for (int i = 0; want->widths[i]; i++) {
        const int width = want->widths[i];
        assert_int_equal(got->widths[i], width);
        want->convert(rows, width, width, K, tiles[0]);
        got->convert(rows, width, width, K, tiles[1]);
        want->multiply((mm__dtype)p->from, p->panels, K, tiles[0], width, sums[0]);
        got->multiply((mm__dtype)p->from, p->panels, K, tiles[1], width, sums[1]);
        assert_memory_equal(sums[0], sums[1], (size_t)width * MM__LINEAR_PANEL * sizeof(float));
        assert_true(sums[0][0] != 0);
    }
    for (int i = 0; i < 2; i++) mm__free(mem, tiles[i]);
    mm__free(mem, raw);
    mm__free(mem, p);
}

static void every_type(void **state)
{
    (void)state;
    static const mm__dtype types[] = {MM__Q4_0, MM__Q4_1, MM__Q5_0, MM__Q5_1, MM__Q8_0, MM__Q2_K, MM__Q3_K, MM__Q4_K, MM__Q5_K, MM__Q6_K};
    const mm__linear_isa *isa = under_test();
    if (!isa) skip();
    mm__mem *mem = mm__mem_create(NULL, 0);
    for (uint64_t seed = 0; seed < 20; seed++)
        for (size_t i = 0; i < sizeof types / sizeof *types; i++) compare(isa, mem, types[i], 31 * seed + i);
    mm__mem_destroy(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_type)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

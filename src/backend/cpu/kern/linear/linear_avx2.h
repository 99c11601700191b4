/* LINEAR's table TABLE for 256 bits: F32 and int8 arithmetic. With 16 registers a tile has 6 rows in F32 (12 accumulators over
 * the two halves of a panel) and 4 in int8 (beside eight registers of codes). How integer products are made is a matter of
 * what the file that includes this is compiled for (linear_vec_avx2.h); the numbers are the same. */
#ifndef MM__CPU_LINEAR_AVX2_H
#define MM__CPU_LINEAR_AVX2_H

#include "linear_vec_avx2.h"
#include "linear_float.h"
#include "linear_int8.h"

V_INLINE int32_t sum16(__m256i a, __m256i b)
{
    const __m256i both = _mm256_add_epi32(a, b);
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1)));
}

/* Stores a plane of 32 small integers, with its sums. */
V_INLINE void put_plane(const __m256i v[4], mm__linear_q8 *to)
{
    const __m256i packed = _mm256_packs_epi16(_mm256_packs_epi32(v[0], v[1]), _mm256_packs_epi32(v[2], v[3]));
    _mm256_storeu_si256((__m256i *)(void *)to->q, _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
    to->minus[1] = -128 * sum16(v[0], v[1]);
    to->minus[2] = -128 * sum16(v[2], v[3]);
    to->minus[0] = to->minus[1] + to->minus[2];
}

V_INLINE void quantise32(const float *x, float inverse, int shift, mm__linear_q8 *high, mm__linear_q8 *low)
{
    __m256i h[4], l[4];
    for (int i = 0; i < 4; i++) {
        const __m256i q = _mm256_sll_epi32(_mm256_cvtps_epi32(vf_mul(vf_load(x + 8 * i), vf_set(inverse))), _mm_cvtsi32_si128(shift));
        h[i] = _mm256_srai_epi32(_mm256_add_epi32(q, _mm256_set1_epi32(64)), 7);
        l[i] = _mm256_sub_epi32(q, _mm256_slli_epi32(h[i], 7));
    }
    put_plane(h, high);
    put_plane(l, low);
}

#define F(type, bits, offset, scales)                                                                                  \
    INT8_CASE(type, bits, offset, scales, 1)                                                                           \
    INT8_CASE(type, bits, offset, scales, 2)                                                                           \
    INT8_CASE(type, bits, offset, scales, 4)
MM__LINEAR_FORMATS(F)
#undef F

static int8_fn *const functions[MM__N_DTYPE][5] = {
#define F(type, bits, offset, scales)                                                                                  \
    [MM__##type] = {[1] = int8_##type##_1, [2] = int8_##type##_2, [4] = int8_##type##_4},
    MM__LINEAR_FORMATS(F)
#undef F
};

static void multiply_int8(mm__dtype from, const void *panel, int64_t k, const void *tile, int width, float *sums)
{
    functions[from][width](panel, k / MM__LINEAR_BLOCK, tile, sums);
}

static void multiply_f32(mm__dtype from, const void *panel, int64_t k, const void *tile, int width, float *sums)
{
    switch (width) {
    case 2: multiply_f32_width(panel, k, tile, 2, sums); break;
    case 4: multiply_f32_width(panel, k, tile, 4, sums); break;
    default: multiply_f32_width(panel, k, tile, 6, sums);
    }
}

const mm__linear_isa TABLE = {
    .arith = {
        [MM__FORM_F32] = {.tile = 6, .widths = {2, 4, 6}, .convert = convert_f32, .multiply = multiply_f32},
        [MM__FORM_INT8] = {.tile = 4, .widths = {1, 2, 4}, .convert = convert_int8, .multiply = multiply_int8},
    },
    .interleave = interleave,
    .unpack = mm__linear_unpack_avx2,
    .dot = dot,
    .finish = finish,
};

#endif

/* LINEAR's table for AVX2: F32 and int8 arithmetic. With 16 registers a tile has 6 rows in F32 (12 accumulators over the
 * two halves of a panel) and 4 in int8 (beside eight registers of codes). */
#include "linear_vec_avx2.h"
#include "linear_float.h"
#include "linear_int8.h"

V_INLINE float quantise32(const float *x, int8_t *q, int32_t *lo, int32_t *hi)
{
    vf v[4], m = vf_zero();
    __m256i i32[4];
    for (int i = 0; i < 4; i++) {
        v[i] = vf_load(x + 8 * i);
        m = vf_max(m, vf_abs(v[i]));
    }
    const float largest = vf_largest(m);
    const vf inverse = vf_set(largest > 0 ? 127.0f / largest : 0);
    for (int i = 0; i < 4; i++) i32[i] = _mm256_cvtps_epi32(vf_mul(v[i], inverse));
    const __m256i packed = _mm256_packs_epi16(_mm256_packs_epi32(i32[0], i32[1]), _mm256_packs_epi32(i32[2], i32[3]));
    _mm256_storeu_si256((__m256i *)(void *)q, _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
    int32_t s[2];
    for (int i = 0; i < 2; i++) {
        const __m256i both = _mm256_add_epi32(i32[2 * i], i32[2 * i + 1]);
        __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
        sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
        s[i] = _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1)));
    }
    *lo = s[0];
    *hi = s[1];
    return largest / 127.0f;
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

const mm__linear_isa mm__linear_isa_avx2 = {
    .arith = {
        [MM__FORM_F32] = {6, {2, 4, 6}, convert_f32, multiply_f32},
        [MM__FORM_INT8] = {4, {1, 2, 4}, convert_int8, multiply_int8},
    },
    .interleave = interleave,
    .unpack = mm__linear_unpack_avx2,
    .dot = dot,
    .finish = finish,
};

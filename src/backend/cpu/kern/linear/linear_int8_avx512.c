/* LINEAR, int8 arithmetic with AVX-512 VNNI: 16 rows of x against a panel of 16 weight rows, accumulators in registers. */
#include "linear_vec_avx512.h"
#include "linear_int8.h"

/* Sum of 16 signed bytes, each made unsigned first. */
V_INLINE int32_t sum16(__m128i q)
{
    const __m128i s = _mm_sad_epu8(_mm_xor_si128(q, _mm_set1_epi8(-128)), _mm_setzero_si128());
    return _mm_cvtsi128_si32(s) + _mm_extract_epi32(s, 2) - 16 * 128;
}

V_INLINE float quantise32(const float *x, int8_t *q, int32_t *lo, int32_t *hi)
{
    const vf a = vf_load(x), b = vf_load(x + 16);
    const float largest = vf_largest(vf_max(vf_abs(a), vf_abs(b)));
    const vf inverse = vf_set(largest > 0 ? 127.0f / largest : 0);
    const vi qa = _mm512_cvtps_epi32(vf_mul(a, inverse)), qb = _mm512_cvtps_epi32(vf_mul(b, inverse));
    const __m128i low = _mm512_cvtsepi32_epi8(qa), high = _mm512_cvtsepi32_epi8(qb);
    _mm_storeu_si128((__m128i *)(void *)q, low);
    _mm_storeu_si128((__m128i *)(void *)(q + 16), high);
    *lo = sum16(low);
    *hi = sum16(high);
    return largest / 127.0f;
}

#define F(type, bits, offset, scales)                                                                                  \
    INT8_CASE(type, bits, offset, scales, 1)                                                                           \
    INT8_CASE(type, bits, offset, scales, 2)                                                                           \
    INT8_CASE(type, bits, offset, scales, 4)                                                                           \
    INT8_CASE(type, bits, offset, scales, 8)                                                                           \
    INT8_CASE(type, bits, offset, scales, 12)                                                                          \
    INT8_CASE(type, bits, offset, scales, 16)
MM__LINEAR_FORMATS(F)
#undef F

static int8_fn *const functions[MM__N_DTYPE][17] = {
#define F(type, bits, offset, scales)                                                                                  \
    [MM__##type] = {[1] = int8_##type##_1, [2] = int8_##type##_2, [4] = int8_##type##_4,                               \
                    [8] = int8_##type##_8, [12] = int8_##type##_12, [16] = int8_##type##_16},
    MM__LINEAR_FORMATS(F)
#undef F
};

void mm__linear_int8_multiply_avx512(mm__dtype from, const void *panel, int64_t k, const void *tile, int width, float *sums)
{
    functions[from][width](panel, k / MM__LINEAR_BLOCK, tile, sums);
}

void mm__linear_int8_convert_avx512(const float *const *rows, int n, int width, int64_t k, void *tile)
{
    convert_int8(rows, n, width, k, tile);
}

/* LINEAR, int8 arithmetic with AVX-512 VNNI: 16 rows of x against a panel of 16 weight rows, accumulators in registers. */
#include "linear_vec_avx512.h"
#include "linear_int8.h"

V_INLINE void store_planes(vi q, int8_t *high, int8_t *low)
{
    const vi h = _mm512_srai_epi32(_mm512_add_epi32(q, _mm512_set1_epi32(64)), 7);
    _mm_storeu_si128((__m128i *)(void *)high, _mm512_cvtepi32_epi8(h));
    _mm_storeu_si128((__m128i *)(void *)low, _mm512_cvtepi32_epi8(_mm512_sub_epi32(q, _mm512_slli_epi32(h, 7))));
}

V_INLINE float quantise32(const float *x, int8_t *high, int8_t *low, int32_t *first, int32_t *second)
{
    const vf a = vf_load(x), b = vf_load(x + 16);
    const float largest = vf_largest(vf_max(vf_abs(a), vf_abs(b)));
    const vf inverse = vf_set(largest > 0 ? MM__LINEAR_Q_MAX / largest : 0);
    const vi qa = _mm512_cvtps_epi32(vf_mul(a, inverse)), qb = _mm512_cvtps_epi32(vf_mul(b, inverse));
    store_planes(qa, high, low);
    store_planes(qb, high + 16, low + 16);
    *first = _mm512_reduce_add_epi32(qa);
    *second = _mm512_reduce_add_epi32(qb);
    return largest / MM__LINEAR_Q_MAX;
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

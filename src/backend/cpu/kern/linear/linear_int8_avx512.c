/* LINEAR, int8 arithmetic with AVX-512 VNNI: 16 rows of x against a panel of 16 weight rows, accumulators in registers. */
#include "linear_vec_avx512.h"
#include "linear_int8.h"

V_INLINE float quantise32(const float *x, int8_t *q, int32_t *lo, int32_t *hi)
{
    const vf a = vf_load(x), b = vf_load(x + 16);
    const float largest = vf_largest(vf_max(vf_abs(a), vf_abs(b)));
    const vf inverse = vf_set(largest > 0 ? 127.0f / largest : 0);
    const vi qa = _mm512_cvtps_epi32(vf_mul(a, inverse)), qb = _mm512_cvtps_epi32(vf_mul(b, inverse));
    _mm_storeu_si128((__m128i *)(void *)q, _mm512_cvtsepi32_epi8(qa));
    _mm_storeu_si128((__m128i *)(void *)(q + 16), _mm512_cvtsepi32_epi8(qb));
    *lo = _mm512_reduce_add_epi32(qa);
    *hi = _mm512_reduce_add_epi32(qb);
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

/* LINEAR, int8 arithmetic with AVX-512 VNNI: 16 rows of x against a panel of 16 weight rows, accumulators in registers. */
#include "linear_vec_avx512.h"
#include "linear_int8.h"

V_INLINE __m256i bytes(vi a, vi b) { return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm512_cvtepi32_epi8(a)), _mm512_cvtepi32_epi8(b), 1); }

/* Stores a plane and minus its sums. */
V_INLINE void put_plane(__m256i q, mm__linear_q8 *to)
{
    /* of groups of eight bytes, each made unsigned by adding 128; then of their pairs */
    const __m256i quarters = _mm256_sad_epu8(_mm256_xor_si256(q, _mm256_set1_epi8(-128)), _mm256_setzero_si256());
    const __m256i halves = _mm256_add_epi64(quarters, _mm256_shuffle_epi32(quarters, 0x4e));
    _mm256_storeu_si256((__m256i *)(void *)to->q, q);
    to->minus[1] = 16 * 128 - _mm_cvtsi128_si32(_mm256_castsi256_si128(halves));
    to->minus[2] = 16 * 128 - _mm_cvtsi128_si32(_mm256_extracti128_si256(halves, 1));
    to->minus[0] = to->minus[1] + to->minus[2];
}

V_INLINE void quantise32(const float *x, float inverse, int shift, mm__linear_q8 *high, mm__linear_q8 *low)
{
    const __m128i up = _mm_cvtsi32_si128(shift);
    const vi half = _mm512_set1_epi32(64);
    const vi qa = _mm512_sll_epi32(_mm512_cvtps_epi32(vf_mul(vf_load(x), vf_set(inverse))), up);
    const vi qb = _mm512_sll_epi32(_mm512_cvtps_epi32(vf_mul(vf_load(x + 16), vf_set(inverse))), up);
    const vi ha = _mm512_srai_epi32(vi_add(qa, half), 7), hb = _mm512_srai_epi32(vi_add(qb, half), 7);
    put_plane(bytes(ha, hb), high);
    put_plane(bytes(_mm512_sub_epi32(qa, vi_shl(ha, 7)), _mm512_sub_epi32(qb, vi_shl(hb, 7))), low);
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

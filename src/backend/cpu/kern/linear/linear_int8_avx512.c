/* LINEAR, int8 arithmetic with AVX-512 VNNI: 16 rows of x against a panel of 16 weight rows, accumulators in registers. The two
 * units that multiply are busy with dot products and scales alone when a panel has been widened; unpacking its codes once
 * for many tiles and keeping offsets at 128, which needs no shift, is a sixth of the time. */
#include "linear_vec_avx512.h"
#include "linear_int8.h"

V_INLINE __m256i bytes(vi a, vi b) { return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm512_cvtepi32_epi8(a)), _mm512_cvtepi32_epi8(b), 1); }

/* Stores a plane, with its sums. */
V_INLINE void put_plane(__m256i q, mm__linear_q8 *to)
{
    /* of groups of eight bytes, each made unsigned by adding 128; then of their pairs */
    const __m256i quarters = _mm256_sad_epu8(_mm256_xor_si256(q, _mm256_set1_epi8(-128)), _mm256_setzero_si256());
    const __m256i halves = _mm256_add_epi64(quarters, _mm256_shuffle_epi32(quarters, 0x4e));
    _mm256_storeu_si256((__m256i *)(void *)to->q, q);
    to->minus[1] = 128 * (16 * 128 - _mm_cvtsi128_si32(_mm256_castsi256_si128(halves)));
    to->minus[2] = 128 * (16 * 128 - _mm_cvtsi128_si32(_mm256_extracti128_si256(halves, 1)));
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

#define INT8_CASES(name, bits, offset, scales)                                                                         \
    INT8_CASE(name, bits, offset, scales, 1)                                                                           \
    INT8_CASE(name, bits, offset, scales, 2)                                                                           \
    INT8_CASE(name, bits, offset, scales, 4)                                                                           \
    INT8_CASE(name, bits, offset, scales, 8)                                                                           \
    INT8_CASE(name, bits, offset, scales, 12)                                                                          \
    INT8_CASE(name, bits, offset, scales, 16)
#define INT8_WIDTHS(name)                                                                                              \
    {[1] = int8_##name##_1, [2] = int8_##name##_2, [4] = int8_##name##_4,                                              \
     [8] = int8_##name##_8, [12] = int8_##name##_12, [16] = int8_##name##_16}

/* Of widened panels. */
#define WIDE_FORMATS(F)                                                                                                \
    F(wide, 7, MM__S_WIDE)                                                                                             \
    F(wide_min, -1, MM__S_WIDE_MIN)                                                                                    \
    F(wide_halves, 7, MM__S_WIDE_HALVES)                                                                               \
    F(wide_halves_min, -1, MM__S_WIDE_HALVES_MIN)

#define F(type, bits, offset, scales) INT8_CASES(type, bits, offset, scales)
MM__LINEAR_FORMATS(F)
#undef F

static int8_fn *const functions[MM__N_DTYPE][17] = {
#define F(type, bits, offset, scales) [MM__##type] = INT8_WIDTHS(type),
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

/* ---- widened panels ---- */

/* bits, offset and scales are constants at every call. */
V_INLINE void widen(const int bits, const int offset, const int scales, const uint8_t *panel, int64_t blocks, uint8_t *wide)
{
    const vi more = vi_set8(offset < 0 ? 0 : 128 - (1 << offset));
    vf d = vf_zero(), dmin = vf_zero();
    for (int64_t b = 0; b < blocks; b++) {
        vi w[8];
        vf scale[2], min[2];
        if (MM__SUPER_BYTES(scales) && b % MM__LINEAR_SUPER == 0) {
            super_scales(scales, panel, 0, &d, &dmin);
            panel += MM__SUPER_BYTES(scales);
        }
        unpack_codes(bits, panel, 0, w);
        block_scales(scales, panel + MM__CODE_BYTES(bits), 0, d, dmin, scale, min);
        panel += MM__CODE_BYTES(bits) + MM__SCALE_BYTES(scales);
        for (int z = 0; z < 8; z++, wide += 64) _mm512_storeu_si512(wide, _mm512_add_epi8(w[z], more));
        for (int i = 0; i <= MM__HAS_HALVES(scales); i++, wide += 64) vf_store((float *)(void *)wide, scale[i]);
        for (int i = 0; i <= MM__HAS_HALVES(scales) && MM__HAS_MIN(scales); i++, wide += 64) vf_store((float *)(void *)wide, min[i]);
    }
}

#define F(name, offset, scales) INT8_CASES(name, 8, offset, scales)
WIDE_FORMATS(F)
#undef F

static int8_fn *const wide_functions[][17] = {
#define F(name, offset, scales) [scales] = INT8_WIDTHS(name),
    WIDE_FORMATS(F)
#undef F
};

static int wide_scales(mm__dtype from)
{
    switch (from) {
#define F(type, bits, offset, scales) case MM__##type: return MM__WIDE_OF(scales);
    MM__LINEAR_FORMATS(F)
#undef F
    default: return MM__S_WIDE;
    }
}

size_t mm__linear_int8_wide_bytes_avx512(mm__dtype from, int64_t k)
{
    if (from == MM__Q8_0) return 0; /* all there is to win is its scales */
    return (size_t)(k / MM__LINEAR_BLOCK) * (size_t)(MM__CODE_BYTES(8) + MM__SCALE_BYTES(wide_scales(from)));
}

void mm__linear_int8_widen_avx512(mm__dtype from, const void *panel, int64_t k, void *wide)
{
    switch (from) {
#define F(type, bits, offset, scales) case MM__##type: widen(bits, offset, scales, panel, k / MM__LINEAR_BLOCK, wide); break;
    MM__LINEAR_FORMATS(F)
#undef F
    default: break;
    }
}

void mm__linear_int8_multiply_wide_avx512(mm__dtype from, const void *wide, int64_t k, const void *tile, int width, float *sums)
{
    wide_functions[wide_scales(from)][width](wide, k / MM__LINEAR_BLOCK, tile, sums);
}

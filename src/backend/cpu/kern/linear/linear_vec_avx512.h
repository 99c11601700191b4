/* The vector vocabulary of the LINEAR templates, AVX-512: vf is 16 floats, vi 16 x int32 or 64 codes. One name, one or
 * two instructions. linear_vec_avx2.h has the same names for 8 lanes. */
#ifndef MM__CPU_LINEAR_VEC_H
#define MM__CPU_LINEAR_VEC_H

#include <immintrin.h>
#include <stdint.h>

#define V_LANES 16
#define V_INLINE static inline __attribute__((always_inline))
/* Codes of Q8_0 are multiplied as code - V_BYTE_OFFSET. */
#define V_BYTE_OFFSET 0

typedef __m512 vf;
typedef __m512i vi;

V_INLINE vf vf_zero(void) { return _mm512_setzero_ps(); }
V_INLINE vf vf_set(float x) { return _mm512_set1_ps(x); }
V_INLINE vf vf_load(const float *p) { return _mm512_loadu_ps(p); }
V_INLINE void vf_store(float *p, vf a) { _mm512_storeu_ps(p, a); }
/* The first n lanes, 0 <= n <= V_LANES; the others load as zero and are not stored. */
V_INLINE vf vf_load_n(const float *p, int n) { return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p); }
V_INLINE void vf_store_n(float *p, vf a, int n) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), a); }
V_INLINE vf vf_add(vf a, vf b) { return _mm512_add_ps(a, b); }
V_INLINE vf vf_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
V_INLINE vf vf_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
V_INLINE vf vf_div(vf a, vf b) { return _mm512_div_ps(a, b); }
V_INLINE vf vf_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
V_INLINE vf vf_max(vf a, vf b) { return _mm512_max_ps(a, b); }
V_INLINE vf vf_min(vf a, vf b) { return _mm512_min_ps(a, b); }
V_INLINE vf vf_abs(vf a) { return _mm512_abs_ps(a); }
V_INLINE vf vf_sign_of(vf magnitude, vf a) { return _mm512_or_ps(magnitude, _mm512_and_ps(a, _mm512_set1_ps(-0.0f))); }
/* a < b ? x : y */
V_INLINE vf vf_if_less(vf a, vf b, vf x, vf y) { return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x); }
V_INLINE vf vf_round(vf a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
/* a * 2^n, n integral in [-126, 127] */
V_INLINE vf vf_scale2(vf a, vf n) { return _mm512_scalef_ps(a, n); }
V_INLINE float vf_sum(vf a) { return _mm512_reduce_add_ps(a); }
V_INLINE float vf_largest(vf a) { return _mm512_reduce_max_ps(a); }

V_INLINE vi vi_zero(void) { return _mm512_setzero_si512(); }
/* One half of a panel plane of 64 bytes (all of it here). */
V_INLINE vi vi_load(const uint8_t *p, int half) { return _mm512_loadu_si512(p); }
V_INLINE vi vi_set32(const void *p) { return _mm512_set1_epi32(*(const int32_t *)p); }
V_INLINE vi vi_set8(int x) { return _mm512_set1_epi8((char)x); }
V_INLINE vi vi_and(vi a, vi b) { return _mm512_and_si512(a, b); }
V_INLINE vi vi_or(vi a, vi b) { return _mm512_or_si512(a, b); }
/* (a & mask) | b */
V_INLINE vi vi_and_or(vi a, vi mask, vi b) { return _mm512_ternarylogic_epi32(a, mask, b, 0xea); }
V_INLINE vi vi_add(vi a, vi b) { return _mm512_add_epi32(a, b); }
V_INLINE vi vi_shl(vi a, int n) { return _mm512_slli_epi32(a, (unsigned)n); }
V_INLINE vi vi_shr(vi a, int n) { return _mm512_srli_epi32(a, (unsigned)n); }
/* Signed. */
V_INLINE vi vi_sar(vi a, int n) { return _mm512_srai_epi32(a, (unsigned)n); }
V_INLINE vf vi_to_float(vi a) { return _mm512_cvtepi32_ps(a); }
/* sum + the four products of unsigned codes of each lane and the signed activations at q. One instruction that broadcasts
 * from memory, which the compiler does not make of the intrinsics: it would need a register more. */
V_INLINE vi vi_dot(vi sum, vi codes, const uint8_t *q)
{
    __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(codes), "m"(*(const int32_t *)(const void *)q));
    return sum;
}
V_INLINE vi vi_dot_bytes(vi sum, vi codes, const uint8_t *q) { return vi_dot(sum, codes, q); }

/* Scales of one half of a panel. */
V_INLINE vf vf_from_half(const uint8_t *p, int half) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p)); }
V_INLINE vi vi_from_u8(const uint8_t *p, int half) { return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)); }
V_INLINE vi vi_from_i8(const uint8_t *p, int half) { return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)); }

/* 16 rows of 16 lanes become 16 columns. */
V_INLINE void transpose16(__m512i r[16])
{
    __m512i a[16], b[16];
    for (int i = 0; i < 16; i += 4) {
        a[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        a[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
        a[i + 2] = _mm512_unpacklo_epi32(r[i + 2], r[i + 3]);
        a[i + 3] = _mm512_unpackhi_epi32(r[i + 2], r[i + 3]);
        b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
        b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
        b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
        b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
    }
    /* b[4 g + c], 128-bit part q: column 4 q + c of rows 4 g .. 4 g + 3 */
    for (int c = 0; c < 4; c++) {
        const __m512i lo01 = _mm512_shuffle_i32x4(b[c], b[4 + c], 0x88), hi01 = _mm512_shuffle_i32x4(b[c], b[4 + c], 0xdd);
        const __m512i lo23 = _mm512_shuffle_i32x4(b[8 + c], b[12 + c], 0x88), hi23 = _mm512_shuffle_i32x4(b[8 + c], b[12 + c], 0xdd);
        r[c] = _mm512_shuffle_i32x4(lo01, lo23, 0x88);
        r[8 + c] = _mm512_shuffle_i32x4(lo01, lo23, 0xdd);
        r[4 + c] = _mm512_shuffle_i32x4(hi01, hi23, 0x88);
        r[12 + c] = _mm512_shuffle_i32x4(hi01, hi23, 0xdd);
    }
}

/* dst[k * width + r] = rows[r][k], 32-bit elements; rows at and past n read as zero. */
V_INLINE void interleave32(const void *const *rows, int n, int width, int64_t k, void *dst)
{
    const __mmask16 lanes = (__mmask16)((1u << width) - 1);
    for (int64_t at = 0; at < k; at += 16) {
        const int len = (int)(k - at < 16 ? k - at : 16);
        const __mmask16 in = (__mmask16)((1u << len) - 1);
        __m512i r[16];
        for (int i = 0; i < 16; i++)
            r[i] = i < n ? _mm512_maskz_loadu_epi32(in, (const int32_t *)rows[i] + at) : _mm512_setzero_si512();
        transpose16(r);
        if (len == 16) {
#pragma GCC unroll 16
            for (int i = 0; i < 16; i++) _mm512_mask_storeu_epi32((int32_t *)dst + (at + i) * width, lanes, r[i]);
        } else {
            _Alignas(64) int32_t left[16][16];
            for (int i = 0; i < 16; i++) _mm512_store_si512(left[i], r[i]);
            for (int i = 0; i < len; i++)
                _mm512_mask_storeu_epi32((int32_t *)dst + (at + i) * width, lanes, _mm512_load_si512(left[i]));
        }
    }
}

#endif

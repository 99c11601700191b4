/* The vector vocabulary of the LINEAR templates, AVX2 + FMA + F16C, and AVX-VNNI where the file is compiled for it: vf is 8 floats,
 * vi 8 x int32 or 32 codes; a panel has two halves. The names are those of linear_vec_avx512.h. */
#ifndef MM__CPU_LINEAR_VEC_H
#define MM__CPU_LINEAR_VEC_H

#include <immintrin.h>
#include <stdint.h>

#define V_LANES 8
#define V_INLINE static inline __attribute__((always_inline))

typedef __m256 vf;
typedef __m256i vi;

V_INLINE __m256i v_lanes(int n) { return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)); }
V_INLINE vf vf_zero(void) { return _mm256_setzero_ps(); }
V_INLINE vf vf_set(float x) { return _mm256_set1_ps(x); }
V_INLINE vf vf_load(const float *p) { return _mm256_loadu_ps(p); }
V_INLINE void vf_store(float *p, vf a) { _mm256_storeu_ps(p, a); }
V_INLINE vf vf_load_n(const float *p, int n) { return n == V_LANES ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, v_lanes(n)); }
V_INLINE void vf_store_n(float *p, vf a, int n)
{
    if (n == V_LANES) _mm256_storeu_ps(p, a);
    else _mm256_maskstore_ps(p, v_lanes(n), a);
}
V_INLINE vf vf_add(vf a, vf b) { return _mm256_add_ps(a, b); }
V_INLINE vf vf_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
V_INLINE vf vf_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
V_INLINE vf vf_div(vf a, vf b) { return _mm256_div_ps(a, b); }
V_INLINE vf vf_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
V_INLINE vf vf_max(vf a, vf b) { return _mm256_max_ps(a, b); }
V_INLINE vf vf_min(vf a, vf b) { return _mm256_min_ps(a, b); }
V_INLINE vf vf_abs(vf a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
V_INLINE vf vf_sign_of(vf magnitude, vf a) { return _mm256_or_ps(magnitude, _mm256_and_ps(a, _mm256_set1_ps(-0.0f))); }
V_INLINE vf vf_if_less(vf a, vf b, vf x, vf y) { return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_LT_OQ)); }
V_INLINE vf vf_round(vf a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
V_INLINE vf vf_scale2(vf a, vf n)
{
    const __m256i e = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32(e, 23)));
}
V_INLINE float vf_sum(vf a)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
V_INLINE float vf_largest(vf a)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

V_INLINE vi vi_zero(void) { return _mm256_setzero_si256(); }
V_INLINE vi vi_load(const uint8_t *p, int half) { return _mm256_loadu_si256((const __m256i *)(const void *)(p + 32 * half)); }
V_INLINE vi vi_set32(const void *p) { return _mm256_set1_epi32(*(const int32_t *)p); }
V_INLINE vi vi_set8(int x) { return _mm256_set1_epi8((char)x); }
V_INLINE vi vi_and(vi a, vi b) { return _mm256_and_si256(a, b); }
V_INLINE vi vi_or(vi a, vi b) { return _mm256_or_si256(a, b); }
V_INLINE vi vi_and_or(vi a, vi mask, vi b) { return _mm256_or_si256(_mm256_and_si256(a, mask), b); }
V_INLINE vi vi_add(vi a, vi b) { return _mm256_add_epi32(a, b); }
V_INLINE vi vi_shl(vi a, int n) { return _mm256_slli_epi32(a, n); }
V_INLINE vi vi_shr(vi a, int n) { return _mm256_srli_epi32(a, n); }
/* Signed. */
V_INLINE vi vi_sar(vi a, int n) { return _mm256_srai_epi32(a, n); }
V_INLINE vf vi_to_float(vi a) { return _mm256_cvtepi32_ps(a); }
/* VPDPBUSD, encoded as AVX-VNNI or as AVX-512 VNNI has it. */
#if defined(__AVXVNNI__)
#define V_DPBUSD _mm256_dpbusd_avx_epi32
#elif defined(__AVX512VNNI__) && defined(__AVX512VL__)
#define V_DPBUSD _mm256_dpbusd_epi32
#endif

/* vi_dot: sum + the four products of unsigned codes of each lane and the signed activations at q, codes up to 63. vi_dot_bytes:
 * codes up to 255, less V_BYTE_OFFSET. */
#if defined(V_DPBUSD)
#define V_BYTE_OFFSET 0
V_INLINE vi vi_dot(vi sum, vi codes, const uint8_t *q) { return V_DPBUSD(sum, codes, vi_set32(q)); }
V_INLINE vi vi_dot_bytes(vi sum, vi codes, const uint8_t *q) { return vi_dot(sum, codes, q); }
#else
#define V_BYTE_OFFSET 128
V_INLINE vi vi_dot_pairs(vi sum, vi codes, vi q)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(codes, q), _mm256_set1_epi16(1)));
}
/* Pairs of products stay below 2^15. */
V_INLINE vi vi_dot(vi sum, vi codes, const uint8_t *q) { return vi_dot_pairs(sum, codes, vi_set32(q)); }
/* |code - 128| times q with the sign moved over: pairs stay below 2^15. */
V_INLINE vi vi_dot_bytes(vi sum, vi codes, const uint8_t *q)
{
    const vi w = _mm256_xor_si256(codes, _mm256_set1_epi8(-128));
    return vi_dot_pairs(sum, _mm256_abs_epi8(w), _mm256_sign_epi8(vi_set32(q), w));
}
#endif

V_INLINE vf vf_from_half(const uint8_t *p, int half) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(p + 16 * half))); }
V_INLINE vi vi_from_u8(const uint8_t *p, int half) { return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(p + 8 * half))); }
V_INLINE vi vi_from_i8(const uint8_t *p, int half) { return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(p + 8 * half))); }

/* 8 columns of 8 rows: dst[c * width] gets lane c of every row. */
V_INLINE void transpose8(const float *const *rows, int64_t at, float *dst, int width)
{
    __m256 r[8], a[8];
    for (int i = 0; i < 8; i++) r[i] = _mm256_loadu_ps(rows[i] + at);
    for (int i = 0; i < 8; i += 4) {
        const __m256 lo01 = _mm256_unpacklo_ps(r[i], r[i + 1]), hi01 = _mm256_unpackhi_ps(r[i], r[i + 1]);
        const __m256 lo23 = _mm256_unpacklo_ps(r[i + 2], r[i + 3]), hi23 = _mm256_unpackhi_ps(r[i + 2], r[i + 3]);
        a[i] = _mm256_shuffle_ps(lo01, lo23, 0x44);
        a[i + 1] = _mm256_shuffle_ps(lo01, lo23, 0xee);
        a[i + 2] = _mm256_shuffle_ps(hi01, hi23, 0x44);
        a[i + 3] = _mm256_shuffle_ps(hi01, hi23, 0xee);
    }
    for (int c = 0; c < 4; c++) {
        _mm256_storeu_ps(dst + c * width, _mm256_permute2f128_ps(a[c], a[4 + c], 0x20));
        _mm256_storeu_ps(dst + (4 + c) * width, _mm256_permute2f128_ps(a[c], a[4 + c], 0x31));
    }
}

V_INLINE void interleave32(const void *const *rows, int n, int width, int64_t k, void *dst)
{
    const float *const *from = (const float *const *)rows;
    float *to = dst;
    int64_t at = 0;
    if (width == 16 && n == 16)
        for (; at + 8 <= k; at += 8) {
            transpose8(from, at, to + at * 16, 16);
            transpose8(from + 8, at, to + at * 16 + 8, 16);
        }
    for (; at < k; at++)
        for (int r = 0; r < width; r++) to[at * width + r] = r < n ? from[r][at] : 0.0f;
}

#endif

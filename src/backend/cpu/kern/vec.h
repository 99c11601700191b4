/* One vector of floats, as wide as the file that includes this is compiled for: kernels are written once against these
 * few names and compiled twice. vf: VL floats; vi: VL int32; vm: a mask of lanes.
 *
 * Elementary functions: relative error below 3e-7 over the normal range.
 *   exp      Cody-Waite reduction x = n ln 2 + r, degree-6 polynomial; below -87.3 exactly 0, above 88.7 constant
 *   erfc     exp(-z^2) t P(t), t = 1 / (1 + 0.55 z): P is a minimax fit of erfc's scaled form over z in [0, 9.5]
 *   tanh     odd minimax polynomial below 0.625, else 1 - 2 / (exp(2x) + 1) */
#ifndef MM__CPU_VEC_H
#define MM__CPU_VEC_H

#include "../../../op/op.h"

#include <immintrin.h>
#include <math.h>

#if defined(__AVX512F__)

#define VL 16
typedef __m512 vf;
typedef __m512i vi;
typedef __mmask16 vm;

static inline vf v_set(float x) { return _mm512_set1_ps(x); }
static inline vf v_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void v_store(float *p, vf x) { _mm512_storeu_ps(p, x); }
/* The first n lanes, 0 <= n <= VL; the rest is zero. */
static inline vm v_first(int64_t n) { return (vm)((1u << n) - 1u); }
static inline vf v_load_n(const float *p, int64_t n) { return _mm512_maskz_loadu_ps(v_first(n), p); }
static inline void v_store_n(float *p, vf x, int64_t n) { _mm512_mask_storeu_ps(p, v_first(n), x); }
static inline vf v_load_half(const uint16_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }
static inline vf v_load_half_n(const uint16_t *p, int64_t n) { return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(v_first(n), p)); }
/* VL signed bytes as floats. */
static inline vf v_load_bytes(const int8_t *p) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p))); }
/* The other way: integral values within [-128, 127]. */
static inline void v_store_bytes(int8_t *p, vf x) { _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x))); }
static inline void v_store_half(uint16_t *p, vf x) { _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT)); }
static inline vf v_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
static inline vf v_fnma(vf a, vf b, vf c) { return _mm512_fnmadd_ps(a, b, c); }
static inline vf v_max(vf a, vf b) { return _mm512_max_ps(a, b); }
static inline vf v_min(vf a, vf b) { return _mm512_min_ps(a, b); }
static inline vf v_sqrt(vf a) { return _mm512_sqrt_ps(a); }
static inline vm v_lt(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
/* Lanes of a where the mask is set, else of b. */
static inline vf v_pick(vm m, vf a, vf b) { return _mm512_mask_blend_ps(m, b, a); }
static inline vf v_abs(vf a) { return _mm512_abs_ps(a); }
static inline vf v_copysign(vf mag, vf sign)
{
    return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(_mm512_set1_epi32((int)0x80000000u), _mm512_castps_si512(sign), _mm512_castps_si512(mag), 0xca));
}
static inline float v_sum(vf a) { return _mm512_reduce_add_ps(a); }
static inline float v_top(vf a) { return _mm512_reduce_max_ps(a); }
static inline vi v_iset(int32_t x) { return _mm512_set1_epi32(x); }
static inline vi v_iload(const int32_t *p) { return _mm512_loadu_si512(p); }
static inline vi v_imin(vi a, vi b) { return _mm512_min_epi32(a, b); }
static inline vi v_imax(vi a, vi b) { return _mm512_max_epi32(a, b); }
static inline vi v_isub(vi a, vi b) { return _mm512_sub_epi32(a, b); }
static inline vf v_gather(const float *base, vi index) { return _mm512_i32gather_ps(index, base, 4); }
/* lo <= x < hi */
static inline vm v_within(vi lo, vi x, vi hi) { return _mm512_mask_cmplt_epi32_mask(_mm512_cmple_epi32_mask(lo, x), x, hi); }
static inline vf v_round(vf a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline vf v_trunc(vf a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC); }
/* x * 2^n for integral n */
static inline vf v_ldexp(vf x, vf n) { return _mm512_scalef_ps(x, n); }

#else

#define VL 8
typedef __m256 vf;
typedef __m256i vi;
typedef __m256 vm;

static inline vf v_set(float x) { return _mm256_set1_ps(x); }
static inline vf v_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void v_store(float *p, vf x) { _mm256_storeu_ps(p, x); }
static inline __m256i v_first_i(int64_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline vf v_load_n(const float *p, int64_t n) { return _mm256_maskload_ps(p, v_first_i(n)); }
static inline void v_store_n(float *p, vf x, int64_t n) { _mm256_maskstore_ps(p, v_first_i(n), x); }
static inline vf v_load_half(const uint16_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }
static inline vf v_load_half_n(const uint16_t *p, int64_t n)
{
    uint16_t full[8] = {0};
    for (int64_t i = 0; i < n; i++) full[i] = p[i];
    return v_load_half(full);
}
static inline vf v_load_bytes(const int8_t *p) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p))); }
static inline void v_store_bytes(int8_t *p, vf x)
{
    const __m256i i = _mm256_cvtps_epi32(x);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1));
    _mm_storel_epi64((__m128i *)p, _mm_packs_epi16(words, words));
}
static inline void v_store_half(uint16_t *p, vf x) { _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT)); }
static inline vf v_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
static inline vf v_fnma(vf a, vf b, vf c) { return _mm256_fnmadd_ps(a, b, c); }
static inline vf v_max(vf a, vf b) { return _mm256_max_ps(a, b); }
static inline vf v_min(vf a, vf b) { return _mm256_min_ps(a, b); }
static inline vf v_sqrt(vf a) { return _mm256_sqrt_ps(a); }
static inline vm v_lt(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
static inline vf v_pick(vm m, vf a, vf b) { return _mm256_blendv_ps(b, a, m); }
static inline vf v_abs(vf a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
static inline vf v_copysign(vf mag, vf sign) { return _mm256_or_ps(mag, _mm256_and_ps(_mm256_set1_ps(-0.0f), sign)); }
static inline float v_sum(vf a)
{
    __m128 h = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    h = _mm_add_ps(h, _mm_movehl_ps(h, h));
    return _mm_cvtss_f32(_mm_add_ss(h, _mm_movehdup_ps(h)));
}
static inline float v_top(vf a)
{
    __m128 h = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    h = _mm_max_ps(h, _mm_movehl_ps(h, h));
    return _mm_cvtss_f32(_mm_max_ss(h, _mm_movehdup_ps(h)));
}
static inline vi v_iset(int32_t x) { return _mm256_set1_epi32(x); }
static inline vi v_iload(const int32_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
static inline vi v_imin(vi a, vi b) { return _mm256_min_epi32(a, b); }
static inline vi v_imax(vi a, vi b) { return _mm256_max_epi32(a, b); }
static inline vi v_isub(vi a, vi b) { return _mm256_sub_epi32(a, b); }
static inline vf v_gather(const float *base, vi index) { return _mm256_i32gather_ps(base, index, 4); }
static inline vm v_within(vi lo, vi x, vi hi)
{
    return _mm256_castsi256_ps(_mm256_andnot_si256(_mm256_cmpgt_epi32(lo, x), _mm256_cmpgt_epi32(hi, x)));
}
static inline vf v_round(vf a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline vf v_trunc(vf a) { return _mm256_round_ps(a, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC); }
/* In two steps, so that the result may be anything representable. */
static inline vf v_ldexp(vf x, vf n)
{
    const __m256i i = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(i, 1);
    const vf a = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, _mm256_set1_epi32(127)), 23));
    const vf b = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(i, half), _mm256_set1_epi32(127)), 23));
    return x * a * b;
}

#endif

/* Lane i of the result is the sum of all lanes of a[i]. */
static inline vf v_sum_each(const vf a[VL])
{
#if VL == 16
    __m512 quad[4];
    for (int i = 0; i < 4; i++) {
        const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a[4 * i], a[4 * i + 1]), _mm512_unpackhi_ps(a[4 * i], a[4 * i + 1]));
        const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(a[4 * i + 2], a[4 * i + 3]), _mm512_unpackhi_ps(a[4 * i + 2], a[4 * i + 3]));
        quad[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd))),
                                _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd))));
    }
    const __m512 lo = _mm512_add_ps(_mm512_shuffle_f32x4(quad[0], quad[1], 0x88), _mm512_shuffle_f32x4(quad[0], quad[1], 0xdd));
    const __m512 hi = _mm512_add_ps(_mm512_shuffle_f32x4(quad[2], quad[3], 0x88), _mm512_shuffle_f32x4(quad[2], quad[3], 0xdd));
    return _mm512_add_ps(_mm512_shuffle_f32x4(lo, hi, 0x88), _mm512_shuffle_f32x4(lo, hi, 0xdd));
#else
    __m256 quad[2];
    for (int i = 0; i < 2; i++) {
        const __m256 ab = _mm256_add_ps(_mm256_unpacklo_ps(a[4 * i], a[4 * i + 1]), _mm256_unpackhi_ps(a[4 * i], a[4 * i + 1]));
        const __m256 cd = _mm256_add_ps(_mm256_unpacklo_ps(a[4 * i + 2], a[4 * i + 3]), _mm256_unpackhi_ps(a[4 * i + 2], a[4 * i + 3]));
        quad[i] = _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(_mm256_castps_pd(ab), _mm256_castps_pd(cd))),
                                _mm256_castpd_ps(_mm256_unpackhi_pd(_mm256_castps_pd(ab), _mm256_castps_pd(cd))));
    }
    return _mm256_add_ps(_mm256_permute2f128_ps(quad[0], quad[1], 0x20), _mm256_permute2f128_ps(quad[0], quad[1], 0x31));
#endif
}

/* 8 rows of 8 floats, transposed: dst[j * to + i] = src[i * from + j]. */
static inline void v_transpose8(const float *src, int64_t from, float *dst, int64_t to)
{
    __m256 r[8], s[8];
    for (int i = 0; i < 8; i++) r[i] = _mm256_loadu_ps(src + i * from);
    for (int i = 0; i < 8; i += 4) {
        const __m256 a = _mm256_unpacklo_ps(r[i], r[i + 1]), b = _mm256_unpackhi_ps(r[i], r[i + 1]);
        const __m256 c = _mm256_unpacklo_ps(r[i + 2], r[i + 3]), d = _mm256_unpackhi_ps(r[i + 2], r[i + 3]);
        s[i] = _mm256_shuffle_ps(a, c, 0x44);
        s[i + 1] = _mm256_shuffle_ps(a, c, 0xee);
        s[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
        s[i + 3] = _mm256_shuffle_ps(b, d, 0xee);
    }
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_ps(dst + i * to, _mm256_permute2f128_ps(s[i], s[i + 4], 0x20));
        _mm256_storeu_ps(dst + (i + 4) * to, _mm256_permute2f128_ps(s[i], s[i + 4], 0x31));
    }
}

/* exp of x, which must be at most 88.7. */
static inline vf v_exp_low(vf x)
{
    const vf least = v_set(-87.3f), c = v_max(x, least), n = v_round(c * v_set(1.44269504088896341f));
    const vf r = v_fnma(n, v_set(-2.12194440e-4f), v_fnma(n, v_set(0.693359375f), c));
    vf p = v_set(1.381459865e-03f);
    p = v_fma(p, r, v_set(8.368721618e-03f));
    p = v_fma(p, r, v_set(4.166838797e-02f));
    p = v_fma(p, r, v_set(1.666652060e-01f));
    p = v_fma(p, r, v_set(4.999999345e-01f));
    p = v_fma(p, r, v_set(1.0f));
    p = v_fma(p, r, v_set(1.0f));
    return v_pick(v_lt(x, least), v_set(0.0f), v_ldexp(p, n));
}

/* Above 88.7 the result is that of 88.7. */
static inline vf v_exp(vf x) { return v_exp_low(v_min(x, v_set(88.7f))); }

static inline vf v_tanh(vf x)
{
    const vf a = v_abs(x), z = x * x;
    const vf large = v_set(1.0f) - v_set(2.0f) / (v_exp(v_min(a, v_set(20.0f)) * v_set(2.0f)) + v_set(1.0f));
    vf p = v_set(-2.142913058e-03f);
    p = v_fma(p, z, v_set(8.177349576e-03f));
    p = v_fma(p, z, v_set(-2.170068527e-02f));
    p = v_fma(p, z, v_set(5.394676005e-02f));
    p = v_fma(p, z, v_set(-1.333320599e-01f));
    p = v_fma(p, z, v_set(3.333333080e-01f));
    const vf small = v_fnma(x * z, p, x);
    return v_pick(v_lt(a, v_set(0.625f)), small, v_copysign(large, x));
}

/* erfc of z >= 0 */
static inline vf v_erfc(vf z)
{
    const vf t = v_set(1.0f) / v_fma(v_set(0.55f), z, v_set(1.0f));
    vf p = v_set(5.804877903e-02f);
    p = v_fma(p, t, v_set(-3.366650772e-01f));
    p = v_fma(p, t, v_set(7.812648000e-01f));
    p = v_fma(p, t, v_set(-8.534530912e-01f));
    p = v_fma(p, t, v_set(3.639799024e-01f));
    p = v_fma(p, t, v_set(-9.500408314e-02f));
    p = v_fma(p, t, v_set(2.020537092e-01f));
    p = v_fma(p, t, v_set(2.588193691e-01f));
    p = v_fma(p, t, v_set(3.106636154e-01f));
    p = v_fma(p, t, v_set(3.102920833e-01f));
    return v_exp(v_set(0.0f) - z * z) * p * t;
}

static inline vf v_sigmoid(vf x) { return v_set(1.0f) / (v_set(1.0f) + v_exp(v_set(0.0f) - x)); }

static inline vf v_act(mm__act act, vf x)
{
    switch (act) {
    case MM__ACT_NONE: break;
    case MM__ACT_RELU: return v_max(x, v_set(0.0f));
    case MM__ACT_GELU: return v_fnma(v_set(0.5f) * v_abs(x), v_erfc(v_abs(x) * v_set(0.70710678118654752f)), v_max(x, v_set(0.0f)));
    case MM__ACT_GELU_TANH: /* 0.5 (1 + tanh u) = sigmoid(2u) */
        return x * v_sigmoid(v_set(1.59576912160573071f) * v_fma(v_set(0.044715f) * x * x, x, x));
    case MM__ACT_GELU_QUICK: return x * v_sigmoid(v_set(1.702f) * x);
    case MM__ACT_SILU: return x * v_sigmoid(x);
    case MM__ACT_TANH: return v_tanh(x);
    case MM__ACT_SIGMOID: return v_sigmoid(x);
    }
    return x;
}

#endif

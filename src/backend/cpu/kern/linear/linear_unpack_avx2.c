/* Weights to float32 with AVX2 and F16C, for kernels that read raw rows. Layouts and formulas: tensor/quant/<type>.c; the
 * same operations in the same order, so results are bit-equal. Sources are unaligned. Other types go to mm__unpack_row. */
#include "linear_layout.h"
#include "../../../../tensor/quant/quant.h"
#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

INLINE __m128i load128(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)(const void *)p); }
INLINE __m256i load256(const uint8_t *p) { return _mm256_loadu_si256((const __m256i *)(const void *)p); }

INLINE float half(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, 2);
    return _cvtsh_ss(h);
}

INLINE __m256i halves(__m128i lo, __m128i hi) { return _mm256_inserti128_si256(_mm256_castsi128_si256(lo), hi, 1); }
INLINE __m256i nibbles(const uint8_t *p)
{
    const __m128i q = load128(p), mask = _mm_set1_epi8(15);
    return halves(_mm_and_si128(q, mask), _mm_and_si128(_mm_srli_epi16(q, 4), mask));
}

/* 16 where bit j of `bits` is set, for byte j. */
INLINE __m256i fifth(uint32_t bits)
{
    const __m256i spread = _mm256_shuffle_epi8(_mm256_set1_epi32((int)bits), _mm256_setr_epi8(
        0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3));
    const __m256i select = _mm256_set1_epi64x((long long)0x8040201008040201u);
    return _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(spread, select), select), _mm256_set1_epi8(16));
}

/* Eight signed bytes from q on, as floats. */
INLINE __m256 floats(__m128i q) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q)); }

/* dst[0..16) = q * scale + add, the products rounded first; without `with_add` the products alone. */
INLINE void put16(float *dst, __m128i q, __m256 scale, __m256 add, const int with_add)
{
    __m256 a = _mm256_mul_ps(floats(q), scale), b = _mm256_mul_ps(floats(_mm_srli_si128(q, 8)), scale);
    if (with_add) {
        a = _mm256_add_ps(a, add);
        b = _mm256_add_ps(b, add);
    }
    _mm256_storeu_ps(dst, a);
    _mm256_storeu_ps(dst + 8, b);
}

INLINE void put32(float *dst, __m256i q, float scale, float add, const int with_add)
{
    const __m256 s = _mm256_set1_ps(scale), a = _mm256_set1_ps(add);
    put16(dst, _mm256_castsi256_si128(q), s, a, with_add);
    put16(dst + 16, _mm256_extracti128_si256(q, 1), s, a, with_add);
}

/* The formats of 32: `bits` 4, 5 or 8, with or without a minimum. */
INLINE void simple(const uint8_t *src, float *dst, int64_t n, const int bits, const int with_min)
{
    const int head = with_min ? 4 : 2, size = head + (bits == 5 ? 4 : 0) + (bits == 8 ? 32 : 16);
    for (int64_t i = 0; i < n; i += 32, src += size) {
        const float d = half(src), m = with_min ? half(src + 2) : 0;
        __m256i q = bits == 8 ? load256(src + head) : nibbles(src + size - 16);
        if (bits == 5) q = _mm256_or_si256(q, fifth(mm__quant_u32(src + head)));
        if (bits != 8 && !with_min) q = _mm256_sub_epi8(q, _mm256_set1_epi8(bits == 4 ? 8 : 16));
        put32(dst + i, q, d, m, with_min);
    }
}

/* Q4_K (bits 4) and Q5_K (bits 5). */
INLINE void super_min(const uint8_t *src, float *dst, int64_t n, const int bits)
{
    const __m256i low = _mm256_set1_epi8(15), one = _mm256_set1_epi8(1);
    for (int64_t i = 0; i < n; i += 256, src += bits == 4 ? 144 : 176) {
        const float d = half(src), dmin = half(src + 2);
        const uint8_t *qs = src + (bits == 4 ? 16 : 48);
        for (int g = 0; g < 8; g++, dst += 32) {
            int scale, min;
            mm__quant_scale_min(src + 4, g, &scale, &min);
            __m256i q = load256(qs + g / 2 * 32);
            q = _mm256_and_si256(g % 2 ? _mm256_srli_epi16(q, 4) : q, low);
            if (bits == 5)
                q = _mm256_or_si256(q, _mm256_slli_epi16(_mm256_and_si256(_mm256_srl_epi16(load256(src + 16), _mm_cvtsi32_si128(g)), one), 4));
            put32(dst, q, d * (float)scale, -(dmin * (float)min), 1);
        }
    }
}

static void q2_k(const uint8_t *src, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i += 256, src += 84) {
        const float d = half(src + 80), dmin = half(src + 82);
        for (int g = 0; g < 16; g++, dst += 16) {
            const __m128i q = _mm_srl_epi16(load128(src + 16 + g / 8 * 32 + g % 2 * 16), _mm_cvtsi32_si128(g % 8 / 2 * 2));
            put16(dst, _mm_and_si128(q, _mm_set1_epi8(3)), _mm256_set1_ps(d * (float)(src[g] & 15)),
                  _mm256_set1_ps(-(dmin * (float)(src[g] >> 4))), 1);
        }
    }
}

static void q3_k(const uint8_t *src, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i += 256, src += 110) {
        const float d = half(src + 108);
        const uint8_t *s = src + 96;
        for (int g = 0; g < 16; g++, dst += 16) {
            const int low = g < 8 ? s[g] & 15 : s[g - 8] >> 4, scale = (low | (s[8 + g % 4] >> (g / 4 * 2) & 3) << 4) - 32;
            __m128i q = _mm_srl_epi16(load128(src + 32 + g / 8 * 32 + g % 2 * 16), _mm_cvtsi32_si128(g % 8 / 2 * 2));
            const __m128i high = _mm_and_si128(_mm_srl_epi16(load128(src + g % 2 * 16), _mm_cvtsi32_si128(g / 2)), _mm_set1_epi8(1));
            q = _mm_or_si128(_mm_and_si128(q, _mm_set1_epi8(3)), _mm_slli_epi16(high, 2));
            put16(dst, _mm_sub_epi8(q, _mm_set1_epi8(4)), _mm256_set1_ps(d * (float)scale), _mm256_setzero_ps(), 0);
        }
    }
}

static void q6_k(const uint8_t *src, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i += 256, src += 210) {
        const float d = half(src + 208);
        for (int g = 0; g < 16; g++, dst += 16) {
            const int part = g / 8, t = g % 8 / 2, at = g % 2 * 16;
            const __m128i low = load128(src + 64 * part + 32 * (t % 2) + at), high = load128(src + 128 + 32 * part + at);
            const __m128i q = _mm_or_si128(
                _mm_and_si128(_mm_srl_epi16(low, _mm_cvtsi32_si128(t / 2 * 4)), _mm_set1_epi8(15)),
                _mm_slli_epi16(_mm_and_si128(_mm_srl_epi16(high, _mm_cvtsi32_si128(2 * t)), _mm_set1_epi8(3)), 4));
            put16(dst, _mm_sub_epi8(q, _mm_set1_epi8(32)), _mm256_set1_ps(d * (float)(int8_t)src[192 + g]), _mm256_setzero_ps(), 0);
        }
    }
}

static void f16(const uint8_t *src, float *dst, int64_t n)
{
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(dst + i, _mm256_cvtph_ps(load128(src + 2 * i)));
    for (; i < n; i++) dst[i] = half(src + 2 * i);
}

static void bf16(const uint8_t *src, float *dst, int64_t n)
{
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256i wide = _mm256_cvtepu16_epi32(load128(src + 2 * i));
        _mm256_storeu_si256((__m256i *)(void *)(dst + i), _mm256_slli_epi32(wide, 16));
    }
    for (; i < n; i++) dst[i] = mm__bf16_to_f32((uint16_t)(src[2 * i] | src[2 * i + 1] << 8));
}

void mm__linear_unpack_avx2(mm__dtype t, const void *src, float *dst, int64_t n)
{
    switch (t) {
    case MM__F16: f16(src, dst, n); break;
    case MM__BF16: bf16(src, dst, n); break;
    case MM__Q4_0: simple(src, dst, n, 4, 0); break;
    case MM__Q4_1: simple(src, dst, n, 4, 1); break;
    case MM__Q5_0: simple(src, dst, n, 5, 0); break;
    case MM__Q5_1: simple(src, dst, n, 5, 1); break;
    case MM__Q8_0: simple(src, dst, n, 8, 0); break;
    case MM__Q2_K: q2_k(src, dst, n); break;
    case MM__Q3_K: q3_k(src, dst, n); break;
    case MM__Q4_K: super_min(src, dst, n, 4); break;
    case MM__Q5_K: super_min(src, dst, n, 5); break;
    case MM__Q6_K: q6_k(src, dst, n); break;
    default: mm__unpack_row(t, src, dst, n);
    }
}

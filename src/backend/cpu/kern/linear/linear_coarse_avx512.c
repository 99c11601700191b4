/* LINEAR in eight bits on both sides, with AVX-512 VNNI, for float weights of media encoders (layout: linear_layout.h). In
 * blocks of 64 columns, 16 dot products share a multiplication and two multiply-adds, so the two units that do all of these are
 * busy with dot products for 16 / 19 of the time, where blocks of 32 columns leave 8 / 10. The integer sums of all rows of the
 * tile stay in registers, their F32 sums in memory.
 *
 * A block of activations is rounded in steps from the middle of its range. A lone large number, and what a gate leaves of
 * one sign, so cost half the step, a quarter of the error, that steps from zero would have. The middle meets the sum of
 * the weights as they are rounded: their error is multiplied by x then, and not by its distance from the middle. */
#include "linear_vec_avx512.h"
#include "linear_layout.h"
#include <string.h>

typedef struct steps { float middle, size; } steps;

/* q: a block of floats in steps of `size` from `middle`. Where one of them is no number, `size` is none. */
V_INLINE steps quantise(const float *x, vi *q)
{
    vf least = vf_load(x), most = least, sum = vf_zero();
    for (int i = 0; i < MM__LINEAR_C8; i += V_LANES) {
        const vf v = vf_load(x + i);
        least = vf_min(least, v);
        most = vf_max(most, v);
        sum = vf_add(sum, v);
    }
    const float lo = _mm512_reduce_min_ps(least), hi = vf_largest(most);
    const float middle = 0.5f * lo + 0.5f * hi, half = 0.5f * hi - 0.5f * lo;
    const float inverse = half > 1e-30f ? 127 / half : 0;
    for (int i = 0; i < MM__LINEAR_C8 / V_LANES; i++)
        q[i] = _mm512_cvtps_epi32(vf_mul(vf_sub(vf_load(x + i * V_LANES), vf_set(middle)), vf_set(inverse)));
    return (steps){middle, (inverse > 0 ? half / 127 : 0) + 0 * vf_sum(sum)};
}

/* A row of weights in a block: its codes, its step, and the sum of what the codes stand for. */
static void pack_row(const float *x, uint8_t *codes, float *scale, float *total)
{
    vf most = vf_zero();
    vi sum = vi_zero();
    for (int i = 0; i < MM__LINEAR_C8; i += V_LANES) most = vf_max(most, vf_abs(vf_load(x + i)));
    const float largest = vf_largest(most), inverse = largest > 1e-30f ? 127 / largest : 0;
    for (int i = 0; i < MM__LINEAR_C8; i += V_LANES) {
        const vi q = _mm512_cvtps_epi32(vf_mul(vf_load(x + i), vf_set(inverse)));
        sum = vi_add(sum, q);
        _mm_storeu_si128((__m128i *)(void *)(codes + i), _mm512_cvtusepi32_epi8(vi_add(q, _mm512_set1_epi32(128))));
    }
    *scale = inverse > 0 ? largest / 127 : 0;
    *total = *scale * (float)_mm512_reduce_add_epi32(sum);
}

void mm__linear_coarse_pack_avx512(const float *const *rows, int n, uint8_t *block)
{
    _Alignas(64) uint8_t codes[MM__LINEAR_PANEL][MM__LINEAR_C8];
    const void *from[MM__LINEAR_PANEL];
    float *scale = (float *)(void *)(block + MM__LINEAR_PANEL * MM__LINEAR_C8), *total = scale + MM__LINEAR_PANEL;
    memset(scale, 0, 2 * MM__LINEAR_PANEL * sizeof *scale);
    for (int r = 0; r < n; r++) {
        pack_row(rows[r], codes[r], scale + r, total + r);
        from[r] = codes[r];
    }
    interleave32(from, n, MM__LINEAR_PANEL, MM__LINEAR_C8 / 4, block);
}

/* A row of activations in a block: its codes, and -128 times their sum. */
static steps convert_row(const float *x, uint8_t *codes, int32_t *minus)
{
    vi q[MM__LINEAR_C8 / V_LANES], sum = vi_zero();
    const steps s = quantise(x, q);
    for (int i = 0; i < MM__LINEAR_C8 / V_LANES; i++) {
        sum = vi_add(sum, q[i]);
        _mm_storeu_si128((__m128i *)(void *)(codes + i * V_LANES), _mm512_cvtepi32_epi8(q[i]));
    }
    *minus = s.size > 0 ? -128 * _mm512_reduce_add_epi32(sum) : 0; /* codes of a block with NaN are anything, and so is their sum */
    return s;
}

void mm__linear_coarse_convert_avx512(const float *const *rows, int n, int width, int64_t k, void *tile)
{
    uint8_t *to = tile;
    for (int64_t k0 = 0; k0 < k; k0 += MM__LINEAR_C8, to += MM__LINEAR_C8_TILE(width)) {
        _Alignas(64) uint8_t codes[MM__LINEAR_MAX_TILE][MM__LINEAR_C8];
        const void *from[MM__LINEAR_MAX_TILE];
        float *d = (float *)(void *)(to + width * MM__LINEAR_C8), *middle = d + width;
        int32_t *minus = (int32_t *)(void *)(middle + width);
        memset(d, 0, 3 * sizeof *d * (size_t)width);
        for (int t = 0; t < n; t++) {
            const steps s = convert_row(rows[t] + k0, codes[t], minus + t);
            d[t] = s.size;
            middle[t] = s.middle;
            from[t] = codes[t];
        }
        interleave32(from, n, width, MM__LINEAR_C8 / 4, to);
    }
}

V_INLINE void multiply_width(const uint8_t *panel, int64_t blocks, const uint8_t *tile, const int width, float *sums)
{
    for (int64_t b = 0; b < blocks; b++, tile += MM__LINEAR_C8_TILE(width), panel += MM__LINEAR_C8_BYTES) {
        const float *d = (const float *)(const void *)(tile + width * MM__LINEAR_C8), *middle = d + width;
        vi s[MM__LINEAR_MAX_TILE];
#pragma GCC unroll 16
        for (int t = 0; t < width; t++) s[t] = vi_set32(middle + width + t);
#pragma GCC unroll 4
        for (int z = 0; z < MM__LINEAR_C8 / 4; z++) {
            const vi w = vi_load(panel + 64 * z, 0);
#pragma GCC unroll 16
            for (int t = 0; t < width; t++) s[t] = vi_dot(s[t], w, tile + 4 * (z * width + t));
        }
        const vf scale = vf_load((const float *)(const void *)(panel + MM__LINEAR_PANEL * MM__LINEAR_C8));
        const vf total = vf_load((const float *)(const void *)(panel + MM__LINEAR_PANEL * (MM__LINEAR_C8 + 4)));
#pragma GCC unroll 16
        for (int t = 0; t < width; t++) {
            float *sum = sums + t * MM__LINEAR_PANEL;
            const vf before = vf_fma(total, vf_set(middle[t]), b > 0 ? vf_load(sum) : vf_zero());
            vf_store(sum, vf_fma(vf_mul(vi_to_float(s[t]), scale), vf_set(d[t]), before));
        }
    }
}

void mm__linear_coarse_multiply_avx512(mm__dtype from, const void *panel, int64_t k, const void *tile, int width, float *sums)
{
    const int64_t blocks = k / MM__LINEAR_C8;
    switch (width) {
    case 1: multiply_width(panel, blocks, tile, 1, sums); break;
    case 2: multiply_width(panel, blocks, tile, 2, sums); break;
    case 4: multiply_width(panel, blocks, tile, 4, sums); break;
    case 8: multiply_width(panel, blocks, tile, 8, sums); break;
    case 12: multiply_width(panel, blocks, tile, 12, sums); break;
    default: multiply_width(panel, blocks, tile, 16, sums);
    }
}

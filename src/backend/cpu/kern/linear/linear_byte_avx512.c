/* LINEAR, byte arithmetic with AVX-512 VNNI: float weights and activations in eight bits, scaled once in 128 columns (layout:
 * linear_layout.h). Twice as fast as BF16, and less precise: against the oracle 1e-4 of the power of the result is error, where
 * BF16 has 5e-6. For encoders, whose many rows are read once and whose stages forgive that; a decoder's tokens do not.
 *
 * A group is as long as the scaling allows: with 128 columns, 32 dot products meet one conversion and two multiplications. */
#include "linear_vec_avx512.h"
#include "linear_layout.h"

#define QUADS (MM__LINEAR_BYTE_GROUP / 4)

/* Quantises n floats (at most a group), q = round(x / d) with the d that is returned; q is filled with zeros up to a multiple of
 * 16. The largest magnitude is looked for among bit patterns, so that it is NaN where a number is. */
V_INLINE float quantise(const float *x, int n, int8_t *q, int32_t *sum)
{
    vi bits = vi_zero(), total = vi_zero();
    for (int i = 0; i < n; i += V_LANES)
        bits = _mm512_max_epu32(bits, (vi)vf_abs(vf_load_n(x + i, n - i < V_LANES ? n - i : V_LANES)));
    const float largest = _mm512_cvtss_f32((vf)_mm512_set1_epi32((int)_mm512_reduce_max_epu32(bits)));
    const vf inverse = vf_set(largest > 0 ? 127 / largest : 0);
    for (int i = 0; i < n; i += V_LANES) {
        const vi code = _mm512_cvtps_epi32(vf_mul(vf_load_n(x + i, n - i < V_LANES ? n - i : V_LANES), inverse));
        const __m128i bytes = _mm512_cvtepi32_epi8(code);
        _mm_store_si128((__m128i *)(void *)(q + i), bytes);
        total = vi_add(total, _mm512_cvtepi8_epi32(bytes));
    }
    *sum = _mm512_reduce_add_epi32(total);
    return largest / 127;
}

void mm__linear_byte_convert_avx512(const float *const *rows, int n, int width, int64_t k, void *tile)
{
    _Alignas(64) int8_t q[MM__LINEAR_MAX_TILE][MM__LINEAR_BYTE_GROUP];
    const void *from[MM__LINEAR_MAX_TILE];
    uint8_t *at = tile;
    for (int r = 0; r < n; r++) from[r] = q[r];
    for (int64_t k0 = 0; k0 < k; k0 += MM__LINEAR_BYTE_GROUP) {
        const int len = (int)(k - k0 < MM__LINEAR_BYTE_GROUP ? k - k0 : MM__LINEAR_BYTE_GROUP), quads = (len + 3) / 4;
        float *d = (float *)(void *)at;
        int32_t *minus = (int32_t *)(void *)(at + 4 * width);
        for (int r = 0; r < width; r++) {
            int32_t sum = 0;
            d[r] = r < n ? quantise(rows[r] + k0, len, q[r], &sum) : 0;
            minus[r] = -128 * sum;
        }
        interleave32(from, n, width, quads, at + 8 * width);
        at += (8 + 4 * quads) * width;
    }
}

void mm__linear_byte_pack_avx512(mm__dtype type, const uint8_t *rows, size_t row_bytes, int n, int64_t k, uint8_t *panel)
{
    _Alignas(64) int8_t q[MM__LINEAR_PANEL][MM__LINEAR_BYTE_GROUP];
    float x[MM__LINEAR_BYTE_GROUP];
    const size_t each = mm__dtype_info_of(type)->bytes;
    const void *from[MM__LINEAR_PANEL];
    for (int r = 0; r < n; r++) from[r] = q[r];
    for (int64_t k0 = 0; k0 < k; k0 += MM__LINEAR_BYTE_GROUP) {
        const int len = (int)(k - k0 < MM__LINEAR_BYTE_GROUP ? k - k0 : MM__LINEAR_BYTE_GROUP), quads = (len + 3) / 4;
        float *scale = (float *)(void *)panel;
        for (int r = 0; r < MM__LINEAR_PANEL; r++) {
            int32_t sum;
            scale[r] = 0;
            if (r >= n) continue;
            mm__linear_unpack_avx2(type, rows + (size_t)r * row_bytes + (size_t)k0 * each, x, len);
            scale[r] = quantise(x, len, q[r], &sum);
        }
        panel += 64;
        interleave32(from, n, MM__LINEAR_PANEL, quads, panel);
        for (int z = 0; z < quads; z++, panel += 64) _mm512_storeu_si512(panel, _mm512_xor_si512(vi_load(panel, 0), vi_set8(-128)));
    }
}

V_INLINE void multiply_width(const uint8_t *panel, int64_t k, const uint8_t *tile, const int width, float *sums)
{
    for (int t = 0; t < width; t++) vf_store(sums + t * MM__LINEAR_PANEL, vf_zero());
    for (int64_t left = (k + 3) / 4; left > 0; left -= QUADS) {
        const int quads = (int)(left < QUADS ? left : QUADS);
        const vf scale = vf_load((const float *)(const void *)panel);
        const float *d = (const float *)(const void *)tile;
        vi sum[MM__LINEAR_MAX_TILE];
#pragma GCC unroll 16
        for (int t = 0; t < width; t++) sum[t] = vi_set32(tile + 4 * (width + t));
        panel += 64;
        tile += 8 * width;
        for (int z = 0; z < quads; z++, panel += 64, tile += 4 * width) {
            _mm_prefetch((const char *)panel + 4096, _MM_HINT_T0);
            const vi w = vi_load(panel, 0);
#pragma GCC unroll 16
            for (int t = 0; t < width; t++) sum[t] = vi_dot(sum[t], w, tile + 4 * t);
        }
#pragma GCC unroll 16
        for (int t = 0; t < width; t++) {
            float *s = sums + t * MM__LINEAR_PANEL;
            vf_store(s, vf_fma(vi_to_float(sum[t]), vf_mul(scale, vf_set(d[t])), vf_load(s)));
        }
    }
}

void mm__linear_byte_multiply_avx512(mm__dtype from, const void *panel, int64_t k, const void *tile, int width, float *sums)
{
    switch (width) {
    case 1: multiply_width(panel, k, tile, 1, sums); break;
    case 2: multiply_width(panel, k, tile, 2, sums); break;
    case 4: multiply_width(panel, k, tile, 4, sums); break;
    case 8: multiply_width(panel, k, tile, 8, sums); break;
    case 12: multiply_width(panel, k, tile, 12, sums); break;
    default: multiply_width(panel, k, tile, 16, sums);
    }
}

/* LINEAR template on int8 activations and packed codes (layout: linear_layout.h). For each block of 32 columns the codes
 * of a panel are unpacked once into eight registers and met with each row of the tile: eight integer dot products, one
 * conversion, one multiplication by the weights' scales, one multiply-add with the row's scale (and one for minimums).
 *
 * Activations are quantised in groups of 32 to 15 bits, q = round(x / d) with d = max|x| / (127 * 128), and kept as two
 * planes of bytes, q = 128 high + low with low in -64..63. Two dot products instead of one, for a result close to that of
 * float activations: with 8 bits alone, one position in thirty of a small language model has another most likely token. */
#ifndef MM__CPU_LINEAR_INT8_H
#define MM__CPU_LINEAR_INT8_H

#include "linear_layout.h"
#include <string.h>

/* Prefetch distance in bytes: memory latency at the speed of one core's stream. Hardware stops at pages. */
#ifndef AHEAD
#define AHEAD 4096
#endif

/* The eight quads of a block, rows of `half`. */
V_INLINE void unpack_codes(const int bits, const uint8_t *p, int half, vi w[8])
{
    if (bits == 8) {
#pragma GCC unroll 8
        for (int z = 0; z < 8; z++) w[z] = vi_load(p + 64 * z, half);
        return;
    }
    const uint8_t *pairs = MM__HAS_NIBBLES(bits) ? p + 256 : p;
    const uint8_t *bit = MM__HAS_PAIRS(bits) ? pairs + 128 : pairs;
    if (MM__HAS_NIBBLES(bits)) {
        const vi mask = vi_set8(15);
#pragma GCC unroll 4
        for (int z = 0; z < 4; z++) {
            const vi n = vi_load(p + 64 * z, half);
            w[z] = vi_and(n, mask);
            w[z + 4] = vi_and(vi_shr(n, 4), mask);
        }
    }
    if (MM__HAS_PAIRS(bits)) {
        const int to = MM__HAS_NIBBLES(bits) ? 4 : 0;
        const vi mask = vi_set8(3 << to);
#pragma GCC unroll 8
        for (int z = 0; z < 8; z++) {
            const vi n = vi_load(pairs + 64 * (z / 4), half);
            const int shift = 2 * (z % 4) - to;
            const vi moved = shift > 0 ? vi_shr(n, shift) : shift < 0 ? vi_shl(n, -shift) : n;
            w[z] = MM__HAS_NIBBLES(bits) ? vi_and_or(moved, mask, w[z]) : vi_and(moved, mask);
        }
    }
    if (MM__HAS_BIT(bits)) {
        const int to = bits - 1;
        const vi n = vi_load(bit, half), mask = vi_set8(1 << to);
#pragma GCC unroll 8
        for (int z = 0; z < 8; z++) {
            const vi moved = z > to ? vi_shr(n, z - to) : z < to ? vi_shl(n, to - z) : n;
            w[z] = vi_and_or(moved, mask, w[z]);
        }
    }
}

/* Scales (and minimums, ready to be added) of a block: [0] for all of it, or [0] and [1] for its halves. */
V_INLINE void block_scales(const int scales, const uint8_t *p, int half, vf d, vf dmin, vf scale[2], vf min[2])
{
    switch (scales) {
    case MM__S_HALF_MIN: min[0] = vf_from_half(p + 32, half); /* fall through */
    case MM__S_HALF: scale[0] = vf_from_half(p, half); break;
    case MM__S_SUPER_MIN:
        scale[0] = vf_mul(d, vi_to_float(vi_from_u8(p, half)));
        min[0] = vf_mul(dmin, vi_to_float(vi_from_u8(p + 16, half)));
        break;
    case MM__S_SUPER:
        for (int i = 0; i < 2; i++) scale[i] = vf_mul(d, vi_to_float(vi_from_i8(p + 16 * i, half)));
        break;
    default:
        for (int i = 0; i < 2; i++) {
            const vi both = vi_from_u8(p + 16 * i, half);
            scale[i] = vf_mul(d, vi_to_float(vi_and(both, vi_set8(15))));
            min[i] = vf_mul(dmin, vi_to_float(vi_shr(both, 4)));
        }
    }
}

/* sums[t][lanes of half] over all blocks; bits, offset, scales, width are constants at every call. */
V_INLINE void multiply_int8_width(const int bits, const int offset, const int scales, const int width, const uint8_t *panel,
                                  int64_t blocks, const uint8_t *tile, int half, float *sums)
{
    const int split = scales == MM__S_SUPER || scales == MM__S_SUPER_NIB; /* two scales a block */
    const int from = bits == 8 && V_BYTE_OFFSET != 0 ? -1 : offset;
    const int block_bytes = MM__CODE_BYTES(bits) + MM__SCALE_BYTES(scales);
    const int row_min = scales == MM__S_HALF_MIN || scales == MM__S_SUPER_MIN;
    vf acc[MM__LINEAR_MAX_TILE], d = vf_zero(), dmin = vf_zero();
#pragma GCC unroll 16
    for (int t = 0; t < width; t++) acc[t] = vf_zero();
    for (int64_t b = 0; b < blocks; b++) {
        vi w[8];
        vf scale[2], min[2];
        if (MM__SUPER_BYTES(scales) && b % 8 == 0) {
            d = vf_from_half(panel, half);
            if (scales != MM__S_SUPER) dmin = vf_sub(vf_zero(), vf_from_half(panel + 32, half));
            panel += MM__SUPER_BYTES(scales);
        }
#pragma GCC unroll 9
        for (int i = 0; i < (block_bytes + 63) / 64; i++) _mm_prefetch((const char *)panel + AHEAD + 64 * i, _MM_HINT_T0);
        unpack_codes(bits, panel, half, w);
        block_scales(scales, panel + MM__CODE_BYTES(bits), half, d, dmin, scale, min);
        panel += block_bytes;
        const uint8_t *fields = tile + 64 * width; /* d, minus, sum, minus_lo, minus_hi */
#pragma GCC unroll 16
        for (int t = 0; t < width; t++) {
            const uint8_t *q = tile + 64 * t;
            const vf row = vf_set(*(const float *)(const void *)(fields + 4 * t));
#pragma GCC unroll 2
            for (int part = 0; part < 2; part++) {
                if (part > split) continue;
                const uint8_t *minus = fields + 4 * width * (split ? 3 + part : 1) + 4 * t;
                vi high = vi_zero(), low = from < 0 ? vi_zero() : vi_shl(vi_set32(minus), from);
#pragma GCC unroll 8
                for (int z = 0; z < 8; z++) {
                    if (split && z / 4 != part) continue;
                    const vi qh = vi_set32(q + 4 * z), ql = vi_set32(q + 32 + 4 * z);
                    high = bits == 8 ? vi_dot_bytes(high, w[z], qh) : vi_dot(high, w[z], qh);
                    low = bits == 8 ? vi_dot_bytes(low, w[z], ql) : vi_dot(low, w[z], ql);
                }
                const vi s = vi_add(vi_shl(high, 7), low);
                acc[t] = vf_fma(vf_mul(vi_to_float(s), scale[part]), row, acc[t]);
                if (scales == MM__S_SUPER_NIB)
                    acc[t] = vf_fma(vf_mul(vi_to_float(vi_set32(minus)), vf_sub(vf_zero(), min[part])), row, acc[t]);
            }
            if (row_min) acc[t] = vf_fma(min[0], vf_set(*(const float *)(const void *)(fields + 8 * width + 4 * t)), acc[t]);
        }
        tile += MM__LINEAR_INT8_BYTES * width;
    }
#pragma GCC unroll 16
    for (int t = 0; t < width; t++) vf_store(sums + t * MM__LINEAR_PANEL + half * V_LANES, acc[t]);
}

/* The function of one format and width. */
#define INT8_CASE(type, bits, offset, scales, width)                                                                   \
    static __attribute__((noinline)) void int8_##type##_##width(const uint8_t *panel, int64_t blocks, const uint8_t *tile, float *sums) \
    {                                                                                                                  \
        for (int half = 0; half < MM__LINEAR_PANEL / V_LANES; half++)                                                  \
            multiply_int8_width(bits, offset, scales, width, panel, blocks, tile, half, sums);                         \
    }

typedef void int8_fn(const uint8_t *panel, int64_t blocks, const uint8_t *tile, float *sums);

/* Quantises 32 floats into two planes; returns the scale, and the sums of q over the halves. */
V_INLINE float quantise32(const float *x, int8_t *high, int8_t *low, int32_t *first, int32_t *second);

static void convert_int8(const float *const *rows, int n, int width, int64_t k, void *tile)
{
    uint8_t *at = tile;
    for (int64_t b = 0; b < k / 32; b++, at += MM__LINEAR_INT8_BYTES * width) {
        float *d = (float *)(void *)(at + 64 * width), *sum = d + 2 * width;
        int32_t *minus = (int32_t *)(void *)(d + width), *minus_lo = minus + 2 * width, *minus_hi = minus_lo + width;
        for (int t = 0; t < width; t++) {
            int32_t lo = 0, hi = 0;
            if (t < n) {
                d[t] = quantise32(rows[t] + 32 * b, (int8_t *)at + 64 * t, (int8_t *)at + 64 * t + 32, &lo, &hi);
            } else {
                d[t] = 0;
                memset(at + 64 * t, 0, 64);
            }
            minus[t] = -(lo + hi);
            sum[t] = d[t] * (float)(lo + hi);
            minus_lo[t] = -lo;
            minus_hi[t] = -hi;
        }
    }
}

#endif

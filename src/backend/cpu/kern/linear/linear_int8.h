/* LINEAR template on int8 activations and packed codes (layout: linear_layout.h). For each block of 32 columns the codes
 * of a panel are unpacked once into eight registers and met with each row of the tile: eight integer dot products for each
 * plane, one conversion, one multiply-add with the weights' scales (and one for minimums). The row's own scale comes in
 * once in eight blocks: dot products and multiplications share the same two units, so each one saved is time.
 *
 * Activations are quantised in groups of 256 to 15 bits, q = round(x / d) with d = max|x| / (127 * 128), and kept as two
 * planes of bytes, q = 128 high + low with low in -64..63. Two dot products instead of one, for a result close to that of
 * float activations: of a small language model's positions, 1 in 25 has another most likely token with 8 bits, 1 in 45
 * with 9, 1 in 80 with 10, and 1 in 200 with two planes (where the rest of `fast` is what differs). */
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

/* Scales, and what minus the sum of the activations is to be multiplied with, of a block: [0] for all of it, or [0] and [1]
 * for its halves. */
V_INLINE void block_scales(const int scales, const uint8_t *p, int half, vf d, vf dmin, vf scale[2], vf min[2])
{
    switch (scales) {
    case MM__S_HALF_MIN: min[0] = vf_sub(vf_zero(), vf_from_half(p + 32, half)); /* fall through */
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

/* The dot product of a row of a tile with quads from .. to of a block, both planes: 128 high + low, added to `low`. A product
 * waits four cycles for the one before it; with one row or two there are too few others to fill them, so each plane of
 * eight gets two chains. */
V_INLINE vi dot_quads(const int bits, const int chains, const vi w[8], const uint8_t *q, const int from, const int to, vi low)
{
    vi h[2] = {vi_zero(), vi_zero()}, l[2] = {low, vi_zero()};
#pragma GCC unroll 8
    for (int z = from; z < to; z++) {
        const int c = z % chains;
        h[c] = bits == 8 ? vi_dot_bytes(h[c], w[z], q + 4 * z) : vi_dot(h[c], w[z], q + 4 * z);
        l[c] = bits == 8 ? vi_dot_bytes(l[c], w[z], q + 32 + 4 * z) : vi_dot(l[c], w[z], q + 32 + 4 * z);
    }
    if (chains == 2) {
        h[0] = vi_add(h[0], h[1]);
        l[0] = vi_add(l[0], l[1]);
    }
    return vi_add(vi_shl(h[0], 7), l[0]);
}

/* sums[t][lanes of half] over all blocks; bits, offset, scales, width are constants at every call. */
V_INLINE void multiply_int8_width(const int bits, const int offset, const int scales, const int width, const uint8_t *panel,
                                  int64_t blocks, const uint8_t *tile, int half, float *sums)
{
    const int split = scales == MM__S_SUPER || scales == MM__S_SUPER_NIB; /* two scales a block */
    const int has_min = scales != MM__S_HALF && scales != MM__S_SUPER;
    const int from = bits == 8 && V_BYTE_OFFSET != 0 ? -1 : offset;
    const int block_bytes = MM__CODE_BYTES(bits) + MM__SCALE_BYTES(scales), chains = width <= 2 && !split && V_LANES == 16 ? 2 : 1;
    sums += half * V_LANES;
    for (int t = 0; t < width; t++) vf_store(sums + t * MM__LINEAR_PANEL, vf_zero());
    for (int64_t b0 = 0; b0 < blocks; b0 += MM__LINEAR_GROUP) {
        const int n = (int)(blocks - b0 < MM__LINEAR_GROUP ? blocks - b0 : MM__LINEAR_GROUP);
        const uint8_t *rows = tile;
        vf part[MM__LINEAR_MAX_TILE], d = vf_zero(), dmin = vf_zero();
        tile += 4 * width;
#pragma GCC unroll 16
        for (int t = 0; t < width; t++) part[t] = vf_zero();
        if (MM__SUPER_BYTES(scales)) {
            d = vf_from_half(panel, half);
            if (has_min) dmin = vf_from_half(panel + 32, half);
            panel += MM__SUPER_BYTES(scales);
        }
        for (int b = 0; b < n; b++, tile += MM__LINEAR_INT8_BYTES * width) {
            vi w[8];
            vf scale[2], min[2];
#pragma GCC unroll 9
            for (int i = 0; i < (block_bytes + 63) / 64; i++) _mm_prefetch((const char *)panel + AHEAD + 64 * i, _MM_HINT_T0);
            unpack_codes(bits, panel, half, w);
            block_scales(scales, panel + MM__CODE_BYTES(bits), half, d, dmin, scale, min);
            panel += block_bytes;
#pragma GCC unroll 16
            for (int t = 0; t < width; t++) {
#pragma GCC unroll 2
                for (int i = 0; i <= split; i++) {
                    const vi minus = vi_set32(tile + 64 * width + 4 * (split ? width * (1 + i) + t : t));
                    const vi start = from < 0 ? vi_zero() : vi_shl(minus, from);
                    const vi s = dot_quads(bits, chains, w, tile + 64 * t, split ? 4 * i : 0, split ? 4 * i + 4 : 8, start);
                    part[t] = vf_fma(vi_to_float(s), scale[i], part[t]);
                    if (has_min) part[t] = vf_fma(vi_to_float(minus), min[i], part[t]);
                }
            }
        }
#pragma GCC unroll 16
        for (int t = 0; t < width; t++) {
            float *sum = sums + t * MM__LINEAR_PANEL;
            vf_store(sum, vf_fma(part[t], vf_set(*(const float *)(const void *)(rows + 4 * t)), vf_load(sum)));
        }
    }
}

/* The function of one format and width. */
#define INT8_CASE(type, bits, offset, scales, width)                                                                   \
    static __attribute__((noinline)) void int8_##type##_##width(const uint8_t *panel, int64_t blocks, const uint8_t *tile, float *sums) \
    {                                                                                                                  \
        for (int half = 0; half < MM__LINEAR_PANEL / V_LANES; half++)                                                  \
            multiply_int8_width(bits, offset, scales, width, panel, blocks, tile, half, sums);                         \
    }

typedef void int8_fn(const uint8_t *panel, int64_t blocks, const uint8_t *tile, float *sums);

/* Largest magnitude of n floats, a multiple of 32. */
V_INLINE float largest_of(const float *x, int64_t n)
{
    vf m = vf_zero();
    for (int64_t i = 0; i < n; i += V_LANES) m = vf_max(m, vf_abs(vf_load(x + i)));
    return vf_largest(m);
}

/* Quantises 32 floats, q = round(x * inverse), into two planes, and adds q up over the halves. */
V_INLINE void quantise32(const float *x, float inverse, int8_t *high, int8_t *low, int32_t *first, int32_t *second);

/* Row t of a tile: blocks of 32 from x on that share a scale. */
V_INLINE float quantise_group(const float *x, int blocks, int width, int t, uint8_t *at)
{
    const float largest = largest_of(x, 32 * blocks), inverse = largest > 0 ? MM__LINEAR_Q_MAX / largest : 0;
    for (int b = 0; b < blocks; b++, x += 32, at += MM__LINEAR_INT8_BYTES * width) {
        int32_t *minus = (int32_t *)(void *)(at + 64 * width), lo, hi;
        quantise32(x, inverse, (int8_t *)at + 64 * t, (int8_t *)at + 64 * t + 32, &lo, &hi);
        minus[t] = -(lo + hi);
        minus[width + t] = -lo;
        minus[2 * width + t] = -hi;
    }
    return largest / MM__LINEAR_Q_MAX;
}

static void convert_int8(const float *const *rows, int n, int width, int64_t k, void *tile)
{
    const int64_t blocks = k / 32;
    uint8_t *at = tile;
    for (int64_t b0 = 0; b0 < blocks; b0 += MM__LINEAR_GROUP) {
        const int group = (int)(blocks - b0 < MM__LINEAR_GROUP ? blocks - b0 : MM__LINEAR_GROUP);
        const size_t bytes = (size_t)(4 + MM__LINEAR_INT8_BYTES * group) * (size_t)width;
        float *d = (float *)(void *)at;
        if (n < width) memset(at, 0, bytes);
        for (int t = 0; t < n; t++) d[t] = quantise_group(rows[t] + 32 * b0, group, width, t, at + 4 * width);
        at += bytes;
    }
}

#endif

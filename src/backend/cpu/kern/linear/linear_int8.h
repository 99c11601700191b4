/* LINEAR template on int8 activations and packed codes (layout: linear_layout.h). For each block of 32 columns the codes
 * of a panel are unpacked once into eight registers and met with each row of the tile: eight integer dot products, one
 * conversion, one multiplication with the weights' scales, one multiply-add with the row's (and one for minimums). Then come
 * the low planes of the rows that have one, as if they were rows of their own, added to sums in memory. What a row gives does
 * not depend on which others have a low plane.
 *
 * Activations are quantised in blocks of 32 columns to bytes, x = d high with d = max|x| / 127. That is too coarse where one
 * number stands far above the rest and takes their bits away: of a small language model's positions 1 in 40 gets another most
 * likely token, mostly because of a few channels. A block whose largest magnitude is above OUTLIER times the root mean
 * square of its row is therefore kept to 15 bits, x = d (high + low / 128) with low in -64..63. So the rounding of a block
 * never has more than OUTLIER^2 / (12 * 127^2) = 5e-5 of the mean power of its row, and 1 position in 100 changes. Dot products
 * and multiplications share the same two units; two planes for every block would halve the speed for a change in 1 in 300. */
#ifndef MM__CPU_LINEAR_INT8_H
#define MM__CPU_LINEAR_INT8_H

#include "linear_layout.h"
#include <math.h>
#include <string.h>

/* Prefetch distance in bytes: memory latency at the speed of one core's stream. Hardware stops at pages. */
#ifndef AHEAD
#define AHEAD 4096
#endif

/* Root mean squares of a row, above which a number makes its block keep 15 bits. */
#define OUTLIER 3.2f

/* Rows whose products are made beside each other. */
#define ROWS_AT_ONCE (V_LANES == 16 ? 2 : 1)

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

/* Scales, and what `minus` of the activations is to be multiplied with, of a block: [0] for all of it, or [0] and [1] for its
 * halves. d and dmin are those of the 8 blocks, dmin / 128. */
V_INLINE void block_scales(const int scales, const uint8_t *p, int half, vf d, vf dmin, vf scale[2], vf min[2])
{
    switch (scales) {
    case MM__S_HALF_MIN: min[0] = vf_mul(vf_from_half(p + 32, half), vf_set(-1.0f / 128)); /* fall through */
    case MM__S_HALF: scale[0] = vf_from_half(p, half); break;
    case MM__S_SUPER_MIN:
        scale[0] = vf_mul(d, vi_to_float(vi_from_u8(p, half)));
        min[0] = vf_mul(dmin, vi_to_float(vi_from_u8(p + 16, half)));
        break;
    case MM__S_SUPER:
        for (int i = 0; i < 2; i++) scale[i] = vf_mul(d, vi_to_float(vi_from_i8(p + 16 * i, half)));
        break;
    case MM__S_SUPER_NIB:
        for (int i = 0; i < 2; i++) {
            const vi both = vi_from_u8(p + 16 * i, half);
            scale[i] = vf_mul(d, vi_to_float(vi_and(both, vi_set8(15))));
            min[i] = vf_mul(dmin, vi_to_float(vi_shr(both, 4)));
        }
        break;
    default:
        for (int i = 0; i <= MM__HAS_HALVES(scales); i++) {
            const float *at = (const float *)(const void *)p + i * MM__LINEAR_PANEL + half * V_LANES;
            scale[i] = vf_load(at);
            if (MM__HAS_MIN(scales)) min[i] = vf_load(at + (1 + MM__HAS_HALVES(scales)) * MM__LINEAR_PANEL);
        }
    }
}

/* d and dmin / 128 of the 8 blocks at p, where the format has them. */
V_INLINE void super_scales(const int scales, const uint8_t *p, int half, vf *d, vf *dmin)
{
    *d = vf_from_half(p, half);
    if (MM__SUPER_BYTES(scales) == 64) *dmin = vf_mul(vf_from_half(p + 32, half), vf_set(1.0f / 128));
}

/* s[i] = codes . q of row i over quads from .. to of a block, less the offset of the codes. A product waits four cycles for the
 * one before it, so the chains of several rows, or of the odd and the even quads of one, run beside each other. */
V_INLINE void dot_quads(const int bits, const int offset, const int n, const int chains, const vi w[8], const mm__linear_q8 *row,
                        const int from, const int to, const int part, vi *s)
{
    vi odd[ROWS_AT_ONCE];
#pragma GCC unroll 2
    for (int i = 0; i < n; i++) {
        s[i] = offset < 0 ? vi_zero() : offset == 7 ? vi_set32(&row[i].minus[part]) : vi_sar(vi_set32(&row[i].minus[part]), 7 - offset);
        odd[i] = vi_zero();
    }
#pragma GCC unroll 8
    for (int z = from; z < to; z++)
#pragma GCC unroll 2
        for (int i = 0; i < n; i++) {
            vi *sum = chains == 2 && z % 2 ? &odd[i] : &s[i];
            *sum = bits == 8 ? vi_dot_bytes(*sum, w[z], row[i].q + 4 * z) : vi_dot(*sum, w[z], row[i].q + 4 * z);
        }
    if (chains == 2)
#pragma GCC unroll 2
        for (int i = 0; i < n; i++) s[i] = vi_add(s[i], odd[i]);
}

/* y[i] = the block . q of row i, whose own scale is left to the caller. */
V_INLINE void meet_rows(const int bits, const int offset, const int scales, const int n, const int chains, const vi w[8],
                        const vf scale[2], const vf min[2], const mm__linear_q8 *row, vf *y)
{
    const int split = MM__HAS_HALVES(scales);
#pragma GCC unroll 2
    for (int h = 0; h <= split; h++) {
        const int part = split ? 1 + h : 0;
        vi s[ROWS_AT_ONCE];
        dot_quads(bits, offset, n, split ? 1 : chains, w, row, split ? 4 * h : 0, split ? 4 * h + 4 : 8, part, s);
#pragma GCC unroll 2
        for (int i = 0; i < n; i++) {
            const vf p = vi_to_float(s[i]);
            y[i] = h ? vf_fma(p, scale[h], y[i]) : vf_mul(p, scale[h]);
            if (MM__HAS_MIN(scales)) y[i] = vf_fma(vi_to_float(vi_set32(&row[i].minus[part])), min[h], y[i]);
        }
    }
}

V_INLINE void prefetch_block(const uint8_t *panel, const int bytes)
{
#pragma GCC unroll 9
    for (int i = 0; i < (bytes + 63) / 64; i++) _mm_prefetch((const char *)panel + AHEAD + 64 * i, _MM_HINT_T0);
}

/* sums[t][lanes of half] over all blocks; bits, offset, scales, width are constants at every call. */
V_INLINE void multiply_int8_width(const int bits, const int offset, const int scales, const int width, const uint8_t *panel,
                                  int64_t blocks, const uint8_t *tile, int half, float *sums)
{
    const int from = bits == 8 && V_BYTE_OFFSET != 0 ? -1 : offset, chains = width <= 2 && V_LANES == 16 ? 2 : 1;
    const int block_bytes = MM__CODE_BYTES(bits) + MM__SCALE_BYTES(scales), n = ROWS_AT_ONCE < width ? ROWS_AT_ONCE : width;
    const mm__linear_q8 *high = (const mm__linear_q8 *)(const void *)tile;
    const uint8_t *lows = (const uint8_t *)(high + blocks * width);
    vf sum[MM__LINEAR_MAX_TILE], d = vf_zero(), dmin = vf_zero();
    sums += half * V_LANES;
#pragma GCC unroll 16
    for (int t = 0; t < width; t++) {
        sum[t] = vf_zero();
        vf_store(sums + t * MM__LINEAR_PANEL, vf_zero());
    }
    for (int64_t b = 0; b < blocks; b++, high += width) {
        vi w[8];
        vf scale[2], min[2], y[ROWS_AT_ONCE];
        if (MM__SUPER_BYTES(scales) && b % MM__LINEAR_SUPER == 0) {
            super_scales(scales, panel, half, &d, &dmin);
            panel += MM__SUPER_BYTES(scales);
        }
        if (!MM__IS_WIDE(scales)) prefetch_block(panel, block_bytes);
        unpack_codes(bits, panel, half, w);
        block_scales(scales, panel + MM__CODE_BYTES(bits), half, d, dmin, scale, min);
        panel += block_bytes;
#pragma GCC unroll 16
        for (int t = 0; t < width; t += n) {
            meet_rows(bits, from, scales, n, chains, w, scale, min, high + t, y);
#pragma GCC unroll 2
            for (int i = 0; i < n; i++) sum[t + i] = vf_fma(y[i], vf_set(high[t + i].d), sum[t + i]);
        }
        const mm__linear_low *low = (const mm__linear_low *)(const void *)(lows + 4);
        for (int left = *(const int32_t *)(const void *)lows; left > 0; left--, low++) {
            float *to = sums + low->row * MM__LINEAR_PANEL;
            meet_rows(bits, from, scales, 1, chains, w, scale, min, &low->of, y);
            vf_store(to, vf_fma(y[0], vf_set(low->of.d), vf_load(to)));
        }
        lows = (const uint8_t *)low;
    }
#pragma GCC unroll 16
    for (int t = 0; t < width; t++) vf_store(sums + t * MM__LINEAR_PANEL, vf_add(sum[t], vf_load(sums + t * MM__LINEAR_PANEL)));
}

/* The function of one format and width. */
#define INT8_CASE(type, bits, offset, scales, width)                                                                   \
    static __attribute__((noinline)) void int8_##type##_##width(const uint8_t *panel, int64_t blocks, const uint8_t *tile, float *sums) \
    {                                                                                                                  \
        for (int half = 0; half < MM__LINEAR_PANEL / V_LANES; half++)                                                  \
            multiply_int8_width(bits, offset, scales, width, panel, blocks, tile, half, sums);                         \
    }

typedef void int8_fn(const uint8_t *panel, int64_t blocks, const uint8_t *tile, float *sums);

/* The sum of the squares of n floats, a multiple of 32. */
V_INLINE float power_of(const float *x, int64_t n)
{
    vf s[4] = {vf_zero(), vf_zero(), vf_zero(), vf_zero()};
    for (int64_t i = 0; i < n; i += 32)
        for (int j = 0; j < 32 / V_LANES; j++) {
            const vf v = vf_load(x + i + j * V_LANES);
            s[j] = vf_fma(v, v, s[j]);
        }
    return vf_sum(vf_add(vf_add(s[0], s[1]), vf_add(s[2], s[3])));
}

/* Largest magnitude of n floats, a multiple of 32. */
V_INLINE float largest_of(const float *x, int64_t n)
{
    vf m = vf_zero();
    for (int64_t i = 0; i < n; i += V_LANES) m = vf_max(m, vf_abs(vf_load(x + i)));
    return vf_largest(m);
}

/* Quantises 32 floats: q = round(x * inverse) << shift = 128 high + low, with the sums of both planes. */
V_INLINE void quantise32(const float *x, float inverse, int shift, mm__linear_q8 *high, mm__linear_q8 *low);

/* A block of a row; whether it needs the low plane. Nothing is left of numbers whose reciprocal overflows. */
V_INLINE int quantise_block(const float *x, float limit, mm__linear_q8 *high, mm__linear_q8 *low)
{
    const float largest = largest_of(x, 32);
    const int fine = largest > limit;
    quantise32(x, largest > 1e-30f ? (fine ? 127 * 128.0f : 127.0f) / largest : 0, fine ? 0 : 7, high, low);
    high->d = largest / 127;
    low->d = high->d / 128;
    return fine;
}

static void convert_int8(const float *const *rows, int n, int width, int64_t k, void *tile)
{
    const int64_t blocks = k / MM__LINEAR_BLOCK;
    mm__linear_q8 *high = tile;
    uint8_t *lows = (uint8_t *)(high + blocks * width);
    float limit[MM__LINEAR_MAX_TILE];
    for (int t = 0; t < n; t++) limit[t] = OUTLIER * sqrtf(power_of(rows[t], k) / (float)k);
    for (int64_t b = 0; b < blocks; b++, high += width) {
        mm__linear_low *low = (mm__linear_low *)(void *)(lows + 4), *const first = low;
        for (int t = 0; t < n; t++) {
            low->row = t;
            low += quantise_block(rows[t] + b * MM__LINEAR_BLOCK, limit[t], high + t, &low->of);
        }
        if (n < width) memset(high + n, 0, (size_t)(width - n) * sizeof *high);
        *(int32_t *)(void *)lows = (int32_t)(low - first);
        lows = (uint8_t *)low;
    }
    high = tile;
    for (int t = 0; t < n; t++)
        if (isnan(limit[t])) high[t].d = limit[t]; /* what is no number makes its row so: one block is enough */
}

#endif

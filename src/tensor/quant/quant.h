/* The block formats of quantised tensors, one file each: the layout stands on top of quant/<type>.c, the unpacker below
 * it. Everything in a block is little-endian and unaligned, so fields are read byte by byte. Unpackers take whole blocks
 * (n is a multiple of the block) and are bit-exact: the order of multiplications and additions is part of the format.
 * Facts and formulas: ggml (ggml-common.h, dequantize_row_*), as documented in its block descriptions. */
#ifndef MM__TENSOR_QUANT_H
#define MM__TENSOR_QUANT_H

#include "../dtype.h"

void mm__q4_0_unpack(const uint8_t *src, float *dst, int64_t n);
void mm__q4_1_unpack(const uint8_t *src, float *dst, int64_t n);
void mm__q5_0_unpack(const uint8_t *src, float *dst, int64_t n);
void mm__q5_1_unpack(const uint8_t *src, float *dst, int64_t n);
void mm__q8_0_unpack(const uint8_t *src, float *dst, int64_t n);
void mm__q2_k_unpack(const uint8_t *src, float *dst, int64_t n);
void mm__q3_k_unpack(const uint8_t *src, float *dst, int64_t n);
void mm__q4_k_unpack(const uint8_t *src, float *dst, int64_t n);
void mm__q5_k_unpack(const uint8_t *src, float *dst, int64_t n);
void mm__q6_k_unpack(const uint8_t *src, float *dst, int64_t n);

void mm__q8_0_pack(const float *src, uint8_t *dst, int64_t n);

/* A binary16 field. */
static inline float mm__quant_half(const uint8_t *p)
{
    return mm__f16_to_f32((uint16_t)(p[0] | p[1] << 8));
}

static inline uint32_t mm__quant_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Scale and minimum j (0..7) of Q4_K and Q5_K: eight pairs of 6-bit numbers in 12 bytes. Bytes 0..3 hold scales 0..3 and
 * bytes 4..7 minima 0..3 in their low six bits; the two spare bits of each are the top of the pair four further on,
 * whose low four bits share bytes 8..11. */
static inline void mm__quant_scale_min(const uint8_t *s, int j, int *scale, int *min)
{
    if (j < 4) {
        *scale = s[j] & 63;
        *min = s[j + 4] & 63;
    } else {
        *scale = (s[j + 4] & 15) | (s[j - 4] >> 6) << 4;
        *min = s[j + 4] >> 4 | (s[j] >> 6) << 4;
    }
}

#endif

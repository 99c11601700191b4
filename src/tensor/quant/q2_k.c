/* Q2_K: 256 elements in 84 bytes, 2.625 bits each: 16 groups of 16 with 4-bit scale and minimum.
 *    0  u8  scales[16]   low nibble scale, high nibble minimum of group g
 *   16  u8  qs[64]       two halves of 32 bytes for 128 elements each; within a half, bits 2s..2s+1 of its byte l are
 *                        element 32 s + l of the half
 *   80  f16 d
 *   82  f16 dmin
 * y = (d * scale) * q - dmin * min */
#include "quant.h"

void mm__q2_k_unpack(const uint8_t *src, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i += 256, src += 84) {
        const float d = mm__quant_half(src + 80), dmin = mm__quant_half(src + 82);
        for (int g = 0; g < 16; g++) {
            const uint8_t *q = src + 16 + g / 8 * 32 + g % 2 * 16;
            const int shift = g % 8 / 2 * 2;
            const float scale = d * (float)(src[g] & 15), min = dmin * (float)(src[g] >> 4);
            for (int l = 0; l < 16; l++) *dst++ = scale * (float)(q[l] >> shift & 3) - min;
        }
    }
}

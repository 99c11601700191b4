/* Q3_K: 256 elements in 110 bytes, 3.4375 bits each: 16 groups of 16 with 6-bit scales.
 *     0  u8  hmask[32]    bit 4 h + s of byte l is the high bit of element 32 s + l of half h
 *    32  u8  qs[64]       low two bits, laid out as in Q2_K
 *    96  u8  scales[12]   low nibbles: scales 0..7 in the low and 8..15 in the high nibble of bytes 0..7;
 *                         high two bits: scale 4 k + j in bits 2k..2k+1 of byte 8 + j
 *   108  f16 d
 * y = (d * (scale - 32)) * (q - 4), q of three bits */
#include "quant.h"

static int scale_at(const uint8_t *s, int g)
{
    const int low = g < 8 ? s[g] & 15 : s[g - 8] >> 4;
    return (low | (s[8 + g % 4] >> (g / 4 * 2) & 3) << 4) - 32;
}

void mm__q3_k_unpack(const uint8_t *src, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i += 256, src += 110) {
        const float d = mm__quant_half(src + 108);
        for (int g = 0; g < 16; g++) {
            const uint8_t *q = src + 32 + g / 8 * 32 + g % 2 * 16, *high = src + g % 2 * 16;
            const int shift = g % 8 / 2 * 2, bit = g / 2;
            const float scale = d * (float)scale_at(src + 96, g);
            for (int l = 0; l < 16; l++) *dst++ = scale * (float)(((q[l] >> shift & 3) | (high[l] >> bit & 1) << 2) - 4);
        }
    }
}

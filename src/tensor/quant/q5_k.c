/* Q5_K: 256 elements in 176 bytes, 5.5 bits each: 8 groups of 32 with 6-bit scale and minimum.
 *    0  f16 d
 *    2  f16 dmin
 *    4  u8  scales[12]   see mm__quant_scale_min
 *   16  u8  qh[32]       bit g of byte l is the fifth bit of element l of group g
 *   48  u8  qs[128]      32 bytes for two groups: the low nibbles are group 2 k, the high ones group 2 k + 1
 * y = (d * scale) * q - dmin * min */
#include "quant.h"

void mm__q5_k_unpack(const uint8_t *src, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i += 256, src += 176) {
        const float d = mm__quant_half(src), dmin = mm__quant_half(src + 2);
        const uint8_t *qh = src + 16;
        for (int g = 0; g < 8; g++) {
            const uint8_t *q = src + 48 + g / 2 * 32;
            const int shift = g % 2 * 4;
            int sc, mn;
            mm__quant_scale_min(src + 4, g, &sc, &mn);
            const float scale = d * (float)sc, min = dmin * (float)mn;
            for (int l = 0; l < 32; l++) *dst++ = scale * (float)((q[l] >> shift & 15) | (qh[l] >> g & 1) << 4) - min;
        }
    }
}

/* Q5_1: 32 elements in 24 bytes, 6 bits each.
 *   0  f16 d
 *   2  f16 m
 *   4  u32 qh        bit j is the fifth bit of element j
 *   8  u8  qs[16]    low four bits: element j in the low nibble of qs[j], element j + 16 in the high one
 * y = q * d + m */
#include "quant.h"

void mm__q5_1_unpack(const uint8_t *src, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i += 32, src += 24, dst += 32) {
        const float d = mm__quant_half(src), m = mm__quant_half(src + 2);
        const uint32_t qh = mm__quant_u32(src + 4);
        const uint8_t *qs = src + 8;
        for (int j = 0; j < 16; j++) {
            const int lo = (qs[j] & 15) | (int)(qh >> j & 1) << 4;
            const int hi = qs[j] >> 4 | (int)(qh >> (j + 16) & 1) << 4;
            dst[j] = (float)lo * d + m;
            dst[j + 16] = (float)hi * d + m;
        }
    }
}

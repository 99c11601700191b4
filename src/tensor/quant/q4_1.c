/* Q4_1: 32 elements in 20 bytes, 5 bits each.
 *   0  f16 d
 *   2  f16 m
 *   4  u8  qs[16]    element j in the low nibble of qs[j], element j + 16 in the high one
 * y = q * d + m */
#include "quant.h"

void mm__q4_1_unpack(const uint8_t *src, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i += 32, src += 20, dst += 32) {
        const float d = mm__quant_half(src), m = mm__quant_half(src + 2);
        const uint8_t *qs = src + 4;
        for (int j = 0; j < 16; j++) {
            dst[j] = (float)(qs[j] & 15) * d + m;
            dst[j + 16] = (float)(qs[j] >> 4) * d + m;
        }
    }
}

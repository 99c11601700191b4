/* Q5_0: 32 elements in 22 bytes, 5.5 bits each.
 *   0  f16 d
 *   2  u32 qh        bit j is the fifth bit of element j
 *   6  u8  qs[16]    low four bits: element j in the low nibble of qs[j], element j + 16 in the high one
 * y = (q - 16) * d */
#include "quant.h"

void mm__q5_0_unpack(const uint8_t *src, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i += 32, src += 22, dst += 32) {
        const float d = mm__quant_half(src);
        const uint32_t qh = mm__quant_u32(src + 2);
        const uint8_t *qs = src + 6;
        for (int j = 0; j < 16; j++) {
            const int lo = (qs[j] & 15) | (int)(qh >> j & 1) << 4;
            const int hi = qs[j] >> 4 | (int)(qh >> (j + 16) & 1) << 4;
            dst[j] = (float)(lo - 16) * d;
            dst[j + 16] = (float)(hi - 16) * d;
        }
    }
}

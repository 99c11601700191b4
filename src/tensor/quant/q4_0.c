/* Q4_0: 32 elements in 18 bytes, 4.5 bits each.
 *   0  f16 d
 *   2  u8  qs[16]    element j in the low nibble of qs[j], element j + 16 in the high one
 * y = (q - 8) * d */
#include "quant.h"

void mm__q4_0_unpack(const uint8_t *src, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i += 32, src += 18, dst += 32) {
        const float d = mm__quant_half(src);
        const uint8_t *qs = src + 2;
        for (int j = 0; j < 16; j++) {
            dst[j] = (float)((qs[j] & 15) - 8) * d;
            dst[j + 16] = (float)((qs[j] >> 4) - 8) * d;
        }
    }
}

/* Q6_K: 256 elements in 210 bytes, 6.5625 bits each: 16 groups of 16 with 8-bit scales.
 *     0  u8  ql[128]      low four bits; 64 bytes for each half of 128 elements: quarter t (32 elements) is in bytes
 *                         32 (t % 2) + l, low nibbles for t < 2, high nibbles above
 *   128  u8  qh[64]       high two bits; 32 bytes a half, quarter t in bits 2t..2t+1 of byte l
 *   192  i8  scales[16]
 *   208  f16 d
 * y = (d * scale) * (q - 32) */
#include "quant.h"

void mm__q6_k_unpack(const uint8_t *src, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i += 256, src += 210) {
        const int8_t *scales = (const int8_t *)(src + 192);
        const float d = mm__quant_half(src + 208);
        for (int g = 0; g < 16; g++) {
            const int half = g / 8, t = g % 8 / 2, at = g % 2 * 16;
            const uint8_t *ql = src + 64 * half + 32 * (t % 2) + at, *qh = src + 128 + 32 * half + at;
            const int low = t / 2 * 4, high = 2 * t;
            const float scale = d * (float)scales[g];
            for (int l = 0; l < 16; l++) *dst++ = scale * (float)(((ql[l] >> low & 15) | (qh[l] >> high & 3) << 4) - 32);
        }
    }
}

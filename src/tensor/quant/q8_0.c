/* Q8_0: 32 elements in 34 bytes, 8.5 bits each.
 *   0  f16 d
 *   2  i8  qs[32]
 * y = q * d
 * Packing: d = max|x| / 127 in F32, q = round(x * (1 / d)) half away from zero; only the stored d is rounded to F16. NaN
 * packs as 0; infinities saturate. */
#include "quant.h"
#include <math.h>

void mm__q8_0_unpack(const uint8_t *src, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i += 32, src += 34, dst += 32) {
        const float d = mm__quant_half(src);
        const int8_t *qs = (const int8_t *)(src + 2);
        for (int j = 0; j < 32; j++) dst[j] = (float)qs[j] * d;
    }
}

static int round_to_i8(float x)
{
    const float r = roundf(x);
    if (isnan(r)) return 0;
    if (r > 127) return 127;
    if (r < -127) return -127;
    return (int)r;
}

void mm__q8_0_pack(const float *src, uint8_t *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i += 32, src += 32, dst += 34) {
        float max = 0;
        for (int j = 0; j < 32; j++) {
            const float a = fabsf(src[j]);
            if (a > max) max = a;
        }
        const float d = max / 127, inverse = d > 0 ? 1 / d : 0;
        const uint16_t h = mm__f32_to_f16(d);
        dst[0] = (uint8_t)(h & 255);
        dst[1] = (uint8_t)(h >> 8);
        for (int j = 0; j < 32; j++) dst[2 + j] = (uint8_t)round_to_i8(src[j] * inverse);
    }
}

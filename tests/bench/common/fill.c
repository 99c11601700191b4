/* A linear congruential generator (Knuth, MMIX): fast enough to fill gigabytes, and nobody looks at the low bits. */
#include "fill.h"

#include <string.h>

static uint64_t next(uint64_t *state) { return *state = *state * 6364136223846793005u + 1442695040888963407u; }

void fill_values(float *dst, size_t n)
{
    uint64_t state = 42;
    for (size_t i = 0; i < n; i++) dst[i] = (float)(int32_t)(next(&state) >> 32) * 0x1p-31f;
}

/* Where the F16 scales stand in a block, and how many there are. */
static void scales(mm__dtype t, size_t *at, int *n)
{
    *at = t == MM__Q2_K ? 80 : t == MM__Q3_K ? 108 : t == MM__Q6_K ? 208 : 0;
    *n = t == MM__Q4_1 || t == MM__Q5_1 || t == MM__Q2_K || t == MM__Q4_K || t == MM__Q5_K ? 2 : 1;
}

void fill_weights(mm__dtype t, void *dst, size_t n)
{
    const mm__dtype_info *info = mm__dtype_info_of(t);
    const size_t blocks = n / info->block;
    const uint16_t scale = mm__f32_to_f16(0.01f);
    uint64_t state = 7;
    size_t at;
    int n_scales;
    uint8_t *p = dst;
    if (!mm__dtype_is_quant(t)) {
        for (size_t i = 0; i < n; i++) {
            const float f = (float)(int32_t)(next(&state) >> 32) * 0x1p-32f;
            mm__pack_row(t, &f, p + i * info->bytes, 1);
        }
        return;
    }
    scales(t, &at, &n_scales);
    for (size_t i = 0; i < blocks; i++, p += info->bytes) {
        for (size_t j = 0; j < info->bytes; j++) p[j] = (uint8_t)(next(&state) >> 56);
        for (int j = 0; j < n_scales; j++) memcpy(p + at + 2 * (size_t)j, &scale, 2);
    }
}

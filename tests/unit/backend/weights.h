/* Random weights of every type that weights have, of standard deviation about 1; the same for the same seed. */
#ifndef MM__TEST_WEIGHTS_H
#define MM__TEST_WEIGHTS_H

#include "../../../src/base/rng.h"
#include "../../../src/tensor/dtype.h"
#include "../normal.h"

#include <string.h>

static void put_half(uint8_t *p, float f)
{
    const uint16_t h = mm__f32_to_f16(f);
    memcpy(p, &h, 2);
}

/* Blocks of random bits, with scales that give values of that size. */
static void random_block(mm__dtype t, uint8_t *p, float u)
{
    switch (t) {
    case MM__Q4_0: put_half(p, 0.2f * u); break;
    case MM__Q4_1: put_half(p, 0.2f * u), put_half(p + 2, -1.5f * u); break;
    case MM__Q5_0: put_half(p, 0.1f * u); break;
    case MM__Q5_1: put_half(p, 0.1f * u), put_half(p + 2, -1.5f * u); break;
    case MM__Q8_0: put_half(p, -0.02f * u); break;
    case MM__Q2_K: put_half(p + 80, 0.1f * u), put_half(p + 82, 0.15f * u); break;
    case MM__Q3_K: put_half(p + 108, 0.02f * u); break;
    case MM__Q6_K: put_half(p + 208, 0.001f * u); break;
    case MM__Q5_K: put_half(p, 0.003f * u), put_half(p + 2, 0.04f * u); break;
    default: put_half(p, 0.006f * u), put_half(p + 2, 0.04f * u);
    }
}

static void random_weights(mm__dtype t, uint8_t *p, size_t bytes, uint64_t seed)
{
    const mm__dtype_info *info = mm__dtype_info_of(t);
    uint64_t at = 0;
    for (size_t i = 0; i < bytes; i += info->bytes) {
        if (mm__dtype_is_quant(t)) {
            for (size_t k = 0; k < info->bytes; k++) p[i + k] = (uint8_t)mm__rng_u64(seed, at++);
            random_block(t, p + i, 0.5f + (float)(mm__rng_u64(seed, at++) % 1024) / 1024);
        } else {
            const float x = random_normal(seed, at++);
            mm__pack_row(t, &x, p + i, 1);
        }
    }
}

#endif

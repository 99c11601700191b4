/* Normally distributed numbers for tests, by Box and Muller (1958). */
#ifndef TESTS_UNIT_NORMAL_H
#define TESTS_UNIT_NORMAL_H

#include "../../src/base/rng.h"
#include <math.h>

static inline float random_normal(uint64_t seed, uint64_t index)
{
    const uint64_t own = seed ^ 0xA0761D6478BD642Fu;
    const double u = 1.0 - mm__rng_unit(own, 2 * index); /* (0, 1] */
    const double v = mm__rng_unit(own, 2 * index + 1);
    return (float)(sqrt(-2.0 * log(u)) * cos(6.283185307179586476925 * v));
}

#endif

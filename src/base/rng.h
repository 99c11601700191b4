/* Counter-based random numbers: the value depends on (seed, index) only, so a stream can be entered anywhere and never
 * depends on threads. */
#ifndef MM__BASE_RNG_H
#define MM__BASE_RNG_H

#include <stdint.h>

uint64_t mm__rng_u64(uint64_t seed, uint64_t index);
double mm__rng_unit(uint64_t seed, uint64_t index); /* [0, 1) with 53 bits */

#endif

/* Counter-based generator: the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
 * generators", 2014) over a Weyl sequence that starts at the hashed seed. Stateless, so a stream can be entered at any
 * index and two threads cannot disturb each other. Normals by Box and Muller (1958) from the pair of values 2i, 2i + 1 of
 * a stream of its own. */
#include "rng.h"
#include <math.h>

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

uint64_t mm__rng_u64(uint64_t seed, uint64_t index)
{
    const uint64_t weyl = 0x9E3779B97F4A7C15u;
    return mix(mix(seed + weyl) + (index + 1) * weyl);
}

double mm__rng_unit(uint64_t seed, uint64_t index)
{
    return (double)(mm__rng_u64(seed, index) >> 11) * 0x1p-53;
}

float mm__rng_normal(uint64_t seed, uint64_t index)
{
    const uint64_t own = seed ^ 0xA0761D6478BD642Fu;
    const double u = 1.0 - mm__rng_unit(own, 2 * index); /* (0, 1] */
    const double v = mm__rng_unit(own, 2 * index + 1);
    return (float)(sqrt(-2.0 * log(u)) * cos(6.283185307179586476925 * v));
}

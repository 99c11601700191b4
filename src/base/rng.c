/* Counter-based generator: the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
 * generators", 2014) over a Weyl sequence that starts at the hashed seed. Stateless, so a stream can be entered at any
 * index and two threads cannot disturb each other. */
#include "rng.h"

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

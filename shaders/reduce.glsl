// Sums and maxima over a workgroup. Every invocation must call these, and gets the result. With SUBGROUPS each subgroup makes
// one number, and these meet in shared memory; without, all of it happens there, in log2 steps, for which the number of
// invocations is a power of two.

shared float reduced[gl_WorkGroupSize.x];

#ifdef SUBGROUPS
#define REDUCE(name, combine, subgroup_combine)                                   \
    float name(float v)                                                           \
    {                                                                             \
        float all = subgroup_combine(v);                                          \
        barrier();                                                                \
        if (subgroupElect()) reduced[gl_SubgroupID] = all;                        \
        barrier();                                                                \
        all = reduced[0];                                                         \
        for (uint i = 1; i < gl_NumSubgroups; i++) all = combine(all, reduced[i]); \
        return all;                                                               \
    }
#else
#define REDUCE(name, combine, subgroup_combine)                                   \
    float name(float v)                                                           \
    {                                                                             \
        uint i = gl_LocalInvocationID.x;                                          \
        barrier();                                                                \
        reduced[i] = v;                                                           \
        barrier();                                                                \
        for (uint n = gl_WorkGroupSize.x / 2; n > 0; n /= 2) {                    \
            if (i < n) reduced[i] = combine(reduced[i], reduced[i + n]);          \
            barrier();                                                            \
        }                                                                         \
        return reduced[0];                                                        \
    }
#endif

float plus(float a, float b) { return a + b; }
REDUCE(sum_of_all, plus, subgroupAdd)
REDUCE(max_of_all, max, subgroupMax)

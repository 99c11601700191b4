// Sums and maxima over a workgroup, in shared memory: needs no subgroups. The number of invocations is a power of two. Every
// invocation must call these, and gets the result.

shared float reduced[gl_WorkGroupSize.x];

#define REDUCE(name, combine)                                                     \
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

float plus(float a, float b) { return a + b; }
REDUCE(sum_of_all, plus)
REDUCE(max_of_all, max)

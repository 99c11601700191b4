// What the LINEAR shaders for few rows of x share: out[t, n] = act(sum_k x[t, k] W[n, k] + bias[n]) + residual[t, n]. A team of
// invocations goes along ROWS rows of W and `together` rows of x. The fewer rows W has, the larger the recording function makes
// teams, and the fewer rows it gives them: K is split so that there are workgroups enough, and the parts need no second dispatch
// to meet. The includer has multiply_all(n, t), which adds this invocation's part of rows n .. and t .. to SUM.

layout(constant_id = 1) const uint ROWS = 4;

const uint MAX_SUMS = 8; // ROWS * together, which is no more than a team has invocations

layout(binding = 0) writeonly buffer Out { float y[]; };
layout(binding = 1) readonly buffer X { float x[]; };
layout(binding = 1) readonly buffer X4 { vec4 x4[]; };
#include "linear.glsl"

shared float part[MAX_SUMS * gl_WorkGroupSize.x]; // sum r of row t of x: t * ROWS + r, for every invocation

// With SUBGROUPS a team is a subgroup; else it is `share` neighbours, whose parts meet in log2(share) steps.
#ifdef SUBGROUPS
#define TEAM gl_SubgroupID
#define TEAMS gl_NumSubgroups
#define LANE gl_SubgroupInvocationID
#define WIDTH gl_SubgroupSize
#else
#define TEAM (gl_LocalInvocationID.x / share)
#define TEAMS (gl_WorkGroupSize.x / share)
#define LANE (gl_LocalInvocationID.x % share)
#define WIDTH share
#endif

#define SUM(r, t) part[((t) * ROWS + (r)) * gl_WorkGroupSize.x + gl_LocalInvocationID.x]

// Four elements of row t of x; zeros past the last row and the last element.
vec4 four_of_x(uint t, uint k)
{
    vec4 v = vec4(0.0);
    uint at = x_off + t * x_stride + k;
    if (t >= T || k >= K) return v;
    if (quads != 0) return x4[at / 4];
    [[unroll]] for (uint i = 0; i < 4; i++)
        if (k + i < K) v[i] = x[at + i];
    return v;
}

void multiply_all(uint n, uint t);

// What the team's parts of sum e add up to belongs to row n + e % ROWS of the stack and row t + e / ROWS of x.
void finish(uint n, uint t)
{
    uint me = gl_LocalInvocationID.x, step = gl_WorkGroupSize.x, sums = ROWS * together;
#ifdef SUBGROUPS
    float mine = 0.0;
    for (uint e = 0; e < sums; e++) {
        float all = subgroupAdd(part[e * step + me]);
        if (LANE == e) mine = all;
    }
#else
    barrier();
    for (uint far = share / 2; far > 0; far /= 2) {
        for (uint e = 0; e < sums && LANE < far; e++) part[e * step + me] += part[e * step + me + far];
        barrier();
    }
    float mine = part[min(LANE, sums - 1) * step + TEAM * share];
#endif
    n += LANE % ROWS;
    t += LANE / ROWS;
    if (LANE < sums && n < N && t < T) put(n, t, mine);
}

void main()
{
    uint group_rows = TEAMS * ROWS;
    for (uint t = gl_WorkGroupID.y * together; t < T; t += gl_NumWorkGroups.y * together)
        for (uint n0 = gl_WorkGroupID.x * group_rows; n0 < N; n0 += gl_NumWorkGroups.x * group_rows) {
            uint n = n0 + TEAM * ROWS;
            for (uint e = 0; e < ROWS * together; e++) part[e * gl_WorkGroupSize.x + gl_LocalInvocationID.x] = 0.0;
            multiply_all(n, t);
            finish(n, t);
            barrier();
        }
}

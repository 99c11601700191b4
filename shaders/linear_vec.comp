#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "common.glsl"
#include "act.glsl"
layout(binding = 4) readonly buffer W { uint w[]; };
#include "weights.glsl"
// LINEAR for one row of x at a time, where reading W is all the work: out[n] = act(sum_k x[k] W[n, k] + bias[n]) + residual[n].
// A team of invocations goes along ROWS rows of W, 32 elements each at a time, for which an invocation keeps its 32 elements
// of x. The fewer rows W has, the larger the recording function makes teams, up to a whole workgroup, and the fewer rows it
// gives them: K is split so that there are workgroups enough, and the parts need no second dispatch to meet.

layout(constant_id = 1) const uint ROWS = 4; // no more than a team has invocations

layout(binding = 0) writeonly buffer Out { float y[]; };
layout(binding = 1) readonly buffer X { float x[]; };
#include "linear.glsl"

shared float part[ROWS * gl_WorkGroupSize.x];

// Adds 32 products of each of ROWS rows from row n on to this invocation's parts. Rows behind the last are the last again.
// Only the loops over elements are unrolled: unrolling rows too takes drivers seconds to compile.
void multiply(uint n, uint at, uint k)
{
    float xs[32], v[32];
    [[unroll]] for (uint i = 0; i < 32; i++) xs[i] = x[at + min(k + i, K - 1)];
    [[dont_unroll]] for (uint r = 0; r < ROWS; r++) {
        float s = 0.0;
        unpack(weight_row(min(n + r, N - 1)), k, K, v);
        [[unroll]] for (uint i = 0; i < 32; i++) s += v[i] * xs[i];
        part[r * gl_WorkGroupSize.x + gl_LocalInvocationID.x] += s;
    }
}

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

// Row n + r of the stack times row t of x is what the team's parts r add up to.
void finish(uint n, uint t)
{
    uint me = gl_LocalInvocationID.x, row_step = gl_WorkGroupSize.x;
#ifdef SUBGROUPS
    float mine = 0.0;
    for (uint r = 0; r < ROWS; r++) {
        float all = subgroupAdd(part[r * row_step + me]);
        if (LANE == r) mine = all;
    }
#else
    barrier();
    for (uint far = share / 2; far > 0; far /= 2) {
        for (uint r = 0; r < ROWS && LANE < far; r++) part[r * row_step + me] += part[r * row_step + me + far];
        barrier();
    }
    float mine = part[min(LANE, ROWS - 1) * row_step + TEAM * share];
#endif
    if (LANE < ROWS && n + LANE < N) put(n + LANE, t, mine);
}

void main()
{
    uint me = gl_LocalInvocationID.x, row_step = gl_WorkGroupSize.x, group_rows = TEAMS * ROWS;
    for (uint t = gl_WorkGroupID.y; t < T; t += gl_NumWorkGroups.y)
        for (uint n0 = gl_WorkGroupID.x * group_rows; n0 < N; n0 += gl_NumWorkGroups.x * group_rows) {
            uint n = n0 + TEAM * ROWS;
            for (uint r = 0; r < ROWS; r++) part[r * row_step + me] = 0.0;
            for (uint k = LANE * 32; k < K; k += WIDTH * 32) multiply(n, x_off + t * x_stride, k);
            finish(n, t);
            barrier();
        }
}

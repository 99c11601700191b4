#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "common.glsl"
#include "act.glsl"
layout(binding = 4) readonly buffer W { uint w[]; };
#include "weights.glsl"
// LINEAR for one row of x at a time, where reading W is all the work: out[n] = act(sum_k x[k] W[n, k] + bias[n]) + residual[n].
// `share` invocations go along a row of W, 32 elements at a time; each keeps its 32 elements of x for ROWS rows of W. Their sums
// meet in shared memory.

const uint ROWS = 4;

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

void main()
{
    uint me = gl_LocalInvocationID.x, lane = me % share, team = me / share, row_step = gl_WorkGroupSize.x;
    uint group_rows = row_step / share * ROWS; // a team of `share` has ROWS rows of W
    for (uint t = gl_WorkGroupID.y; t < T; t += gl_NumWorkGroups.y)
        for (uint n0 = gl_WorkGroupID.x * group_rows; n0 < N; n0 += gl_NumWorkGroups.x * group_rows) {
            uint n = n0 + team * ROWS;
            for (uint r = 0; r < ROWS; r++) part[r * row_step + me] = 0.0;
            for (uint k = lane * 32; k < K; k += share * 32) multiply(n, x_off + t * x_stride, k);
            barrier();
            for (uint far = share / 2; far > 0; far /= 2) {
                for (uint r = 0; r < ROWS && lane < far; r++) part[r * row_step + me] += part[r * row_step + me + far];
                barrier();
            }
            if (lane < ROWS && n + lane < N) put(n + lane, t, part[lane * row_step + team * share]);
            barrier();
        }
}

#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "act.glsl"
layout(binding = 4) readonly buffer W { uint w[]; };
#include "weights.glsl"
// LINEAR with few rows of x: out[t, n] = act(sum_k x[t, k] W[n, k] + bias[n]) + residual[t, n].
// A workgroup computes ROWS columns of the result for up to TOKENS rows of x. LANES invocations share a row of W, each
// unpacking 32 elements at a time and using them for all rows of x; sums meet in shared memory.

layout(constant_id = 1) const uint LANES = 16;
const uint ROWS = gl_WorkGroupSize.x / LANES;
const uint TOKENS = 4;

layout(binding = 0) writeonly buffer Out { float y[]; };
layout(binding = 1) readonly buffer X { float x[]; };
layout(binding = 2) readonly buffer Bias { float bias[]; };
layout(binding = 3) readonly buffer Residual { float residual[]; };
layout(push_constant) uniform P {
    uint y_off, y_stride, x_off, x_stride, bias_off, has_bias, residual_off, residual_stride, has_residual;
    uint w_off, w_stride; // bytes
    uint act, T, N, K, column; // W's first row makes this column of the result
};

shared float part[gl_WorkGroupSize.x * TOKENS];

void multiply(uint n, uint t0, uint lane, out float sum[TOKENS])
{
    float v[32];
    for (uint t = 0; t < TOKENS; t++) sum[t] = 0.0;
    if (n >= N) return;
    for (uint k = lane * 32; k < K; k += LANES * 32) {
        unpack(w_off + n * w_stride, k, K, v);
        uint most = min(32, K - k);
        for (uint t = 0; t < TOKENS && t0 + t < T; t++) {
            uint at = x_off + (t0 + t) * x_stride + k;
            float s = 0.0;
            if (most == 32)
                for (uint i = 0; i < 32; i++) s += v[i] * x[at + i];
            else
                for (uint i = 0; i < most; i++) s += v[i] * x[at + i];
            sum[t] += s;
        }
    }
}

void finish(uint n, uint t, float sum)
{
    if (has_bias != 0) sum += bias[bias_off + column + n];
    float v = activate(act, sum);
    if (has_residual != 0) v += residual[residual_off + t * residual_stride + column + n];
    y[y_off + t * y_stride + column + n] = v;
}

void main()
{
    uint lane = gl_LocalInvocationID.x % LANES, row = gl_LocalInvocationID.x / LANES;
    float sum[TOKENS];
    for (uint n0 = gl_WorkGroupID.x * ROWS; n0 < N; n0 += gl_NumWorkGroups.x * ROWS)
        for (uint t0 = gl_WorkGroupID.y * TOKENS; t0 < T; t0 += gl_NumWorkGroups.y * TOKENS) {
            multiply(n0 + row, t0, lane, sum);
            for (uint t = 0; t < TOKENS; t++) part[gl_LocalInvocationID.x * TOKENS + t] = sum[t];
            barrier();
            for (uint half_lanes = LANES / 2; half_lanes > 0; half_lanes /= 2) {
                if (lane < half_lanes)
                    for (uint t = 0; t < TOKENS; t++)
                        part[gl_LocalInvocationID.x * TOKENS + t] += part[(gl_LocalInvocationID.x + half_lanes) * TOKENS + t];
                barrier();
            }
            if (lane < TOKENS && n0 + row < N && t0 + lane < T) finish(n0 + row, t0 + lane, part[row * LANES * TOKENS + lane]);
            barrier();
        }
}

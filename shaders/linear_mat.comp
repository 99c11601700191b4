#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "common.glsl"
#include "act.glsl"
layout(binding = 4) readonly buffer W { uint w[]; };
#include "weights.glsl"
// LINEAR for many rows of x. A workgroup computes a tile of BN rows of W by BT rows of x; along K it goes in steps of 32, for
// which it unpacks its part of W and copies its part of x into shared memory, both with k as the slow axis. An invocation has
// 8 x 4 sums in registers, fed by three loads of four from shared memory for 32 multiply-adds. With F16_MATH the factors are F16,
// which halves what is read from shared memory; sums stay F32, and what F16 cannot hold becomes its largest number.

layout(constant_id = 1) const uint BT = 32;
const uint BN = 64, BK = 32, X_STRIDE = BT + 4; // the padding spreads a column over the banks of shared memory

layout(binding = 0) writeonly buffer Out { float y[]; };
layout(binding = 1) readonly buffer X { float x[]; };
#include "linear.glsl"

#ifdef F16_MATH
#define FACTOR float16_t
#define FACTORS f16vec4
#define factor(v) float16_t(clamp(v, -65504.0, 65504.0))
shared vec4 sums[BT * BN / 4];
#else
#define FACTOR float
#define FACTORS vec4
#define factor(v) (v)
#define sums ws // for BT <= BK
#endif
shared FACTORS ws[BK * BN / 4];
shared FACTORS xs[BK * X_STRIDE / 4];

void load_w(uint n0, uint k)
{
    float v[32];
    for (uint n = gl_LocalInvocationID.x; n < BN; n += gl_WorkGroupSize.x) {
        if (n0 + n < N) {
            unpack(weight_row(n0 + n), k, K, v);
        } else {
            [[unroll]] for (uint i = 0; i < 32; i++) v[i] = 0.0;
        }
        [[unroll]] for (uint i = 0; i < 32; i++) ws[(i * BN + n) / 4][n % 4] = factor(v[i]);
    }
}

void load_x(uint t0, uint k)
{
    for (uint e = gl_LocalInvocationID.x; e < BT * BK; e += gl_WorkGroupSize.x) {
        uint t = e / BK, i = e % BK;
        xs[(i * X_STRIDE + t) / 4][t % 4] = t0 + t < T && k + i < K ? factor(x[x_off + (t0 + t) * x_stride + k + i]) : FACTOR(0.0);
    }
}

void tile(uint n0, uint t0)
{
    uint n = gl_LocalInvocationID.x % (BN / 8) * 8, t = gl_LocalInvocationID.x / (BN / 8) * 4;
    vec4 lo[4], hi[4]; // of row t + j: columns n to n + 3, and n + 4 to n + 7
    [[unroll]] for (uint j = 0; j < 4; j++) lo[j] = hi[j] = vec4(0.0);
    for (uint k = 0; k < K; k += BK) {
        load_w(n0, k);
        load_x(t0, k);
        barrier();
        [[dont_unroll]] for (uint at = 0; at < BK; at++) { // drivers take seconds to compile it unrolled
            vec4 a = vec4(ws[(at * BN + n) / 4]), b = vec4(ws[(at * BN + n) / 4 + 1]), c = vec4(xs[(at * X_STRIDE + t) / 4]);
            [[unroll]] for (uint j = 0; j < 4; j++) {
                lo[j] += a * c[j];
                hi[j] += b * c[j];
            }
        }
        barrier();
    }
    // Through shared memory, so that neighbours write neighbours, and an activation is compiled once.
    [[unroll]] for (uint j = 0; j < 4; j++) {
        sums[((t + j) * BN + n) / 4] = lo[j];
        sums[((t + j) * BN + n) / 4 + 1] = hi[j];
    }
    barrier();
    for (uint e = gl_LocalInvocationID.x; e < BT * BN; e += gl_WorkGroupSize.x)
        if (n0 + e % BN < N && t0 + e / BN < T) put(n0 + e % BN, t0 + e / BN, sums[e / 4][e % 4]);
    barrier();
}

void main()
{
    for (uint t0 = gl_WorkGroupID.y * BT; t0 < T; t0 += gl_NumWorkGroups.y * BT)
        for (uint n0 = gl_WorkGroupID.x * BN; n0 < N; n0 += gl_NumWorkGroups.x * BN) tile(n0, t0);
}

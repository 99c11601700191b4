#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// MATMUL of two values: y[t, s] = scale * sum_k a[t, k] b[s, k]. A workgroup of 128 computes a square of 32 x 32 results, each
// invocation 2 x 4 of them; 16 columns at a time of the rows of a and b are brought into shared memory.

layout(binding = 0) writeonly buffer Out { float y[]; };
layout(binding = 1) readonly buffer A { float a[]; };
layout(binding = 2) readonly buffer B { float b[]; };
layout(push_constant) uniform P {
    View vy, va, vb;
    uint T, S, K;
    float scale;
};

const uint TILE = 32, DEEP = 16, PITCH = DEEP + 1; // the pitch keeps rows in different banks
shared float as[TILE * PITCH], bs[TILE * PITCH];

// Where the rows lie of which this invocation loads elements: rows i / DEEP + 8 m of the tile.
void rows_to_load(View v, uint first, uint n, out uint at[4])
{
    for (uint m = 0; m < 4; m++) at[m] = row_of(v, min(first + gl_LocalInvocationID.x / DEEP + 8 * m, n - 1));
}

void multiply(uint t0, uint s0, out float sum[8])
{
    uint i = gl_LocalInvocationID.x, k = i % DEEP, at = i / DEEP * PITCH + k, ty = i / 8 * 2, tx = i % 8, from_a[4], from_b[4];
    rows_to_load(va, t0, T, from_a);
    rows_to_load(vb, s0, S, from_b);
    for (uint m = 0; m < 8; m++) sum[m] = 0.0;
    for (uint k0 = 0; k0 < K; k0 += DEEP) {
        for (uint m = 0; m < 4; m++) {
            as[at + 8 * m * PITCH] = k0 + k < K ? a[from_a[m] + k0 + k] : 0.0;
            bs[at + 8 * m * PITCH] = k0 + k < K ? b[from_b[m] + k0 + k] : 0.0;
        }
        barrier();
        for (uint d = 0; d < DEEP; d++) {
            float upper = as[ty * PITCH + d], lower = as[(ty + 1) * PITCH + d];
            for (uint m = 0; m < 4; m++) {
                float right = bs[(tx + 8 * m) * PITCH + d];
                sum[m] += upper * right;
                sum[4 + m] += lower * right;
            }
        }
        barrier();
    }
}

void main()
{
    uint i = gl_LocalInvocationID.x;
    float sum[8];
    for (uint t0 = gl_WorkGroupID.y * TILE; t0 < T; t0 += gl_NumWorkGroups.y * TILE)
        for (uint s0 = gl_WorkGroupID.x * TILE; s0 < S; s0 += gl_NumWorkGroups.x * TILE) {
            multiply(t0, s0, sum);
            for (uint m = 0; m < 8; m++) {
                uint t = t0 + i / 8 * 2 + m / 4, s = s0 + i % 8 + m % 4 * 8;
                if (t < T && s < S) y[row_of(vy, t) + s] = scale * sum[m];
            }
        }
}

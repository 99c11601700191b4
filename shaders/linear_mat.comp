#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "common.glsl"
#include "act.glsl"
#define WEIGHTS 4
#include "weights.glsl"
// LINEAR for many rows of x. A workgroup computes a tile of BN rows of W by BT rows of x; along K it goes in steps of 32, for
// which it unpacks its part of W and copies its part of x into shared memory, both with k as the fast axis. An invocation has
// 8 x 4 sums in registers, of columns that lie BN / 8 apart, so that neighbours read neighbouring rows of shared memory: twelve
// loads of four numbers for 128 multiply-adds.
//
// With F16_MATH the factors are F16, which halves what is read from shared memory; sums stay F32, and what F16 cannot hold
// becomes its largest number. With MATRIX_UNITS so, too, and a subgroup of 32 has 32 columns of the tile, as matrices of 16 x 16.

layout(constant_id = 1) const uint BT = 32; // a multiple of 32
layout(constant_id = 2) const uint BN = 64; // a multiple of 64
const uint BK = 32, OUT_ROWS = 32;          // elements of K in one step; rows that pass through shared memory at a time

layout(binding = 0) writeonly buffer Out { float y[]; };
layout(binding = 1) readonly buffer X { float x[]; };
layout(binding = 1) readonly buffer X4 { vec4 x4[]; };
#include "linear.glsl"

// A factor is four elements of k. The pitch spreads rows over the banks of shared memory; of matrices, rows begin at multiples of
// 16 bytes.
#ifdef F16_MATH
#define PITCH 10u
#define halves_of(v) f16vec4(clamp(v, -65504.0, 65504.0))
#ifdef MATRIX_UNITS
#define FACTORS uvec2
FACTORS factors(vec4 v)
{
    f16vec4 h = halves_of(v);
    return FACTORS(packFloat2x16(h.xy), packFloat2x16(h.zw));
}
#else
#define FACTORS f16vec4
#define factors(v) halves_of(v)
#endif
shared float sums[OUT_ROWS * BN];
#define PUT_SUM(at, v) sums[at] = v
#define SUM_AT(at) sums[at]
#else
#define FACTORS vec4
#define PITCH 9u
#define factors(v) (v)
#define PUT_SUM(at, v) ws[(at) / 4][(at) % 4] = v
#define SUM_AT(at) ws[(at) / 4][(at) % 4]
#endif
shared FACTORS ws[BN * PITCH];
shared FACTORS xs[BT * PITCH];

// What an invocation brings of either: all is read before any of it is stored, so that its way from memory is waited for once.
const uint W_PIECES = BN * 4 / gl_WorkGroupSize.x, X_FOURS = BT * 8 / gl_WorkGroupSize.x;

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

void load(uint n0, uint t0, uint k)
{
    vec4 first[W_PIECES], second[W_PIECES], fours[X_FOURS];
    [[unroll]] for (uint i = 0; i < W_PIECES; i++) {
        uint e = i * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
        piece(block_of(weight_row(min(n0 + e / 4, N - 1)), k, K), e % 4, first[i], second[i]);
    }
    [[unroll]] for (uint i = 0; i < X_FOURS; i++) {
        uint e = i * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
        fours[i] = four_of_x(t0 + e / 8, k + e % 8 * 4);
    }
    [[unroll]] for (uint i = 0; i < W_PIECES; i++) {
        uint e = i * gl_WorkGroupSize.x + gl_LocalInvocationID.x, p = e % 4, to = e / 4 * PITCH;
        ws[to + FIRST_OF(p) / 4] = factors(first[i]);
        ws[to + SECOND_OF(p) / 4] = factors(second[i]);
    }
    [[unroll]] for (uint i = 0; i < X_FOURS; i++) {
        uint e = i * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
        xs[e / 8 * PITCH + e % 8] = factors(fours[i]);
    }
}

#ifdef MATRIX_UNITS
#define FRAGMENT(bits) fcoopmatNV<bits, gl_ScopeSubgroup, 16, 16>
const uint MAX_DOWN = 4; // matrices along t

FRAGMENT(32) tile_sums[MAX_DOWN][2];

void clear_sums()
{
    [[unroll]] for (uint i = 0; i < MAX_DOWN; i++) tile_sums[i][0] = tile_sums[i][1] = FRAGMENT(32)(0.0);
}

void multiply()
{
    uint n = gl_SubgroupID * 32;
    [[unroll]] for (uint k = 0; k < BK / 4; k += 4) {
        FRAGMENT(16) a, b[2];
        [[unroll]] for (uint j = 0; j < 2; j++) coopMatLoadNV(b[j], ws, (n + 16 * j) * PITCH + k, PITCH, true);
        [[unroll]] for (uint i = 0; i < MAX_DOWN; i++)
            if (16 * i < BT) {
                coopMatLoadNV(a, xs, 16 * i * PITCH + k, PITCH, false);
                [[unroll]] for (uint j = 0; j < 2; j++) tile_sums[i][j] = coopMatMulAddNV(a, b[j], tile_sums[i][j]);
            }
    }
}

void share_sums(uint t)
{
    [[unroll]] for (uint i = 0; i < MAX_DOWN; i++)
        if (16 * i >= t && 16 * i < t + OUT_ROWS && 16 * i < BT)
            [[unroll]] for (uint j = 0; j < 2; j++) coopMatStoreNV(tile_sums[i][j], sums, (16 * i - t) * BN + gl_SubgroupID * 32 + 16 * j, BN, false);
}
#else
float tile_sums[4][8];
#define MY_N (gl_LocalInvocationID.x % (BN / 8))
#define MY_T (gl_LocalInvocationID.x / (BN / 8) * 4)

void clear_sums()
{
    [[unroll]] for (uint j = 0; j < 4; j++)
        [[unroll]] for (uint c = 0; c < 8; c++) tile_sums[j][c] = 0.0;
}

void multiply()
{
    [[dont_unroll]] for (uint k = 0; k < BK / 4; k++) { // drivers take seconds to compile it unrolled
        vec4 b[4];
        [[unroll]] for (uint j = 0; j < 4; j++) b[j] = vec4(xs[(MY_T + j) * PITCH + k]);
        [[unroll]] for (uint c = 0; c < 8; c++) {
            vec4 a = vec4(ws[(MY_N + c * (BN / 8)) * PITCH + k]);
            [[unroll]] for (uint j = 0; j < 4; j++) tile_sums[j][c] += dot(a, b[j]);
        }
    }
}

void share_sums(uint t)
{
    if (MY_T < t || MY_T >= t + OUT_ROWS) return;
    [[unroll]] for (uint j = 0; j < 4; j++)
        [[unroll]] for (uint c = 0; c < 8; c++) PUT_SUM((MY_T - t + j) * BN + MY_N + c * (BN / 8), tile_sums[j][c]);
}
#endif

// Through shared memory, so that neighbours write neighbours, and an activation is compiled once.
void write_tile(uint n0, uint t0)
{
    for (uint t = 0; t < BT; t += OUT_ROWS) {
        share_sums(t);
        barrier();
        for (uint e = gl_LocalInvocationID.x; e < OUT_ROWS * BN; e += gl_WorkGroupSize.x)
            if (n0 + e % BN < N && t0 + t + e / BN < T) put(n0 + e % BN, t0 + t + e / BN, SUM_AT(e));
        barrier();
    }
}

void tile(uint n0, uint t0)
{
    clear_sums();
    for (uint k = 0; k < K; k += BK) {
        load(n0, t0, k);
        barrier();
        multiply();
        barrier();
    }
    write_tile(n0, t0);
}

void main()
{
    for (uint t0 = gl_WorkGroupID.y * BT; t0 < T; t0 += gl_NumWorkGroups.y * BT)
        for (uint n0 = gl_WorkGroupID.x * BN; n0 < N; n0 += gl_NumWorkGroups.x * BN) tile(n0, t0);
}

#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_spirv_intrinsics : require
#include "common.glsl"
#include "act.glsl"
#define WEIGHTS 4
#include "weights.glsl"
// LINEAR for few rows of x (linear_team.glsl), of quantised weights whose bytes are multiplied as they are: x becomes bytes, too,
// a block of 32 elements at a time by the largest of them, and four products are one operation (SPV_KHR_integer_dot_product).
//
// The workgroup brings X_BLOCKS blocks of x into shared memory in one step: reads them in order, finds what the largest of a block
// is, and makes bytes; then one invocation for each block adds its bytes up, for what all elements of a block of W have in common.

#include "linear_team.glsl"

spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6018, 6019], id = 4450)
int dot_as(uint a, uint b, spirv_literal int format);
int dot_of_bytes(uint a, uint b) { return dot_as(a, b, 0); } // 0: four signed bytes of a word

const uint X_BLOCKS = gl_WorkGroupSize.x, X_FOURS = 8; // of four elements, that an invocation brings
const uint X_PITCH = 12;                               // words; it spreads blocks over the banks of shared memory
const uint UNROLLED = 4;                               // blocks of W whose reading is begun together

shared uvec4 xs[X_BLOCKS * X_PITCH / 4];
shared vec4 about[X_BLOCKS]; // what a byte of the block stands for, the sums of its first and second sixteen elements

// The largest magnitudes of fours lie where their bytes will be.
#define LARGEST(e) xs[(e) / 4][(e) % 4]
#define X_BYTES(e) xs[(e) / 8 * (X_PITCH / 4) + (e) % 8 / 4][(e) % 4]

float largest(vec4 v)
{
    v = abs(v);
    return max(max(v.x, v.y), max(v.z, v.w));
}

uint bytes_of_x(vec4 v)
{
    ivec4 q = ivec4(round(v)) & 255;
    return uint(q.x | q.y << 8 | q.z << 16 | q.w << 24);
}

// Blocks of row t0 are the first `blocks`, those of row t0 + 1 the next; a multiple of 32 elements from k on.
void load_x(uint t0, uint k, uint blocks)
{
    vec4 mine[X_FOURS];
    float most[X_FOURS];
    uint me = gl_LocalInvocationID.x, bits = findMSB(blocks * 8); // a power of two
    [[unroll]] for (uint i = 0; i < X_FOURS; i++) {
        uint e = i * gl_WorkGroupSize.x + me;
        mine[i] = four_of_x(t0 + (e >> bits), k + (e & (1 << bits) - 1) * 4);
    }
    barrier();
    [[unroll]] for (uint i = 0; i < X_FOURS; i++) LARGEST(i * gl_WorkGroupSize.x + me) = floatBitsToUint(largest(mine[i]));
    barrier();
    [[unroll]] for (uint i = 0; i < X_FOURS; i++) {
        uint e = (i * gl_WorkGroupSize.x + me) / 8 * 2;
        most[i] = max(largest(uintBitsToFloat(xs[e])), largest(uintBitsToFloat(xs[e + 1])));
    }
    barrier();
    [[unroll]] for (uint i = 0; i < X_FOURS; i++) {
        uint e = i * gl_WorkGroupSize.x + me;
        X_BYTES(e) = bytes_of_x(most[i] > 0.0 ? mine[i] * (127.0 / most[i]) : vec4(0.0));
        if (e % 8 == 0) about[e / 8].x = most[i] / 127.0;
    }
    barrier();
    ivec2 sum = ivec2(0);
    [[unroll]] for (uint i = 0; i < 4; i++) {
        sum.x += dot_of_bytes(X_BYTES(me * 8 + i), 0x01010101u);
        sum.y += dot_of_bytes(X_BYTES(me * 8 + 4 + i), 0x01010101u);
    }
    about[me].yz = about[me].x * vec2(sum);
    barrier();
}

// Adds the products of a block of row n + r of W with block `at` of x.
void add(Block b, uvec2 q[4], uint r, uint t, uint at)
{
    ivec2 sum = ivec2(0); // of the first and the second sixteen elements
    uvec4 lo = xs[at * (X_PITCH / 4)], hi = xs[at * (X_PITCH / 4) + 1];
    uint bytes[8] = {lo.x, lo.y, lo.z, lo.w, hi.x, hi.y, hi.z, hi.w};
    [[unroll]] for (uint p = 0; p < 4; p++) {
        sum[FIRST_OF(p) / 16] += dot_of_bytes(q[p].x, bytes[FIRST_OF(p) / 4]);
        sum[SECOND_OF(p) / 16] += dot_of_bytes(q[p].y, bytes[SECOND_OF(p) / 4]);
    }
    vec4 x_block = about[at];
    SUM(r, t) += x_block.x * dot(b.scale, vec2(sum)) + dot(b.low, x_block.yz);
}

void read(uint row, uint k, out Block b, out uvec2 q[4])
{
    b = block_of(row, k, K);
    [[unroll]] for (uint p = 0; p < 4; p++) q[p] = piece_bytes(b, p);
}

// Blocks LANE, LANE + WIDTH .. of `blocks` of every row.
void multiply(uint n, uint k, uint blocks)
{
    [[dont_unroll]] for (uint r = 0; r < ROWS; r++) {
        uint row = weight_row(min(n + r, N - 1)), i = LANE;
        for (; together == 1 && i - LANE + UNROLLED * WIDTH <= blocks; i += UNROLLED * WIDTH) {
            Block b[UNROLLED];
            uvec2 q[UNROLLED][4];
            [[unroll]] for (uint u = 0; u < UNROLLED; u++) read(row, k + (i + u * WIDTH) * 32, b[u], q[u]);
            [[unroll]] for (uint u = 0; u < UNROLLED; u++) add(b[u], q[u], r, 0, i + u * WIDTH);
        }
        for (; i < blocks; i += WIDTH) {
            Block b;
            uvec2 q[4];
            read(row, k + i * 32, b, q);
            [[dont_unroll]] for (uint t = 0; t < together; t++) add(b, q, r, t, t * (X_BLOCKS / together) + i);
        }
    }
}

void multiply_all(uint n, uint t)
{
    uint room = X_BLOCKS / together;
    for (uint k = 0; k < K; k += room * 32) {
        load_x(t, k, room);
        multiply(n, k, min(room, (K - k) / 32));
    }
}

#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "common.glsl"
#include "act.glsl"
#define WEIGHTS 4
#include "weights.glsl"
// LINEAR for few rows of x, where reading W is all the work (linear_team.glsl). What is read in one step is read before any of it
// is used, without branches between, so that its way from memory is waited for once.
//
// Of a quantised row an invocation unpacks 32 neighbours, whose scale is looked up once. The elements of x that belong to them
// would be far apart for the invocations of a team, so the workgroup brings x into shared memory first, in order. Of other types
// an invocation takes pieces of eight elements, so that what a team reads of W lies together, too.

#include "linear_team.glsl"

// Only the loops over elements are unrolled: unrolling rows too takes drivers seconds to compile. Rows behind the last are the
// last again.
#if TYPE <= BF16
const uint PIECES = 4; // of an invocation in one step

// Piece q of a row of x.
void piece_of_x(uint t, uint q, out vec4 first, out vec4 second)
{
    first = four_of_x(t, q * 8);
    second = four_of_x(t, q * 8 + 4);
}

void piece_of_w(uint row, uint q, out vec4 first, out vec4 second) { piece(block_of(row, q / 4 * 32, K), q % 4, first, second); }

// Adds PIECES pieces from number q on, WIDTH apart.
void multiply(uint n, uint t0, uint q)
{
    vec4 v[2 * PIECES], xs[2 * PIECES];
    [[dont_unroll]] for (uint r = 0; r < ROWS; r++) {
        uint row = weight_row(min(n + r, N - 1));
        [[unroll]] for (uint i = 0; i < PIECES; i++) piece_of_w(row, q + i * WIDTH, v[2 * i], v[2 * i + 1]);
        [[dont_unroll]] for (uint t = 0; t < together; t++) {
            float s = 0.0;
            if (r == 0 || together > 1) // else they are there already
                [[unroll]] for (uint i = 0; i < PIECES; i++) piece_of_x(min(t0 + t, T - 1), q + i * WIDTH, xs[2 * i], xs[2 * i + 1]);
            [[unroll]] for (uint i = 0; i < 2 * PIECES; i++) s += dot(v[i], xs[i]);
            SUM(r, t) += s;
        }
    }
}

// The same for one piece, at the end of rows.
void multiply_one(uint n, uint t0, uint q)
{
    vec4 v[2], xs[2];
    for (uint r = 0; r < ROWS; r++) {
        piece_of_w(weight_row(min(n + r, N - 1)), q, v[0], v[1]);
        for (uint t = 0; t < together; t++) {
            piece_of_x(min(t0 + t, T - 1), q, xs[0], xs[1]);
            SUM(r, t) += dot(v[0], xs[0]) + dot(v[1], xs[1]);
        }
    }
}

void multiply_all(uint n, uint t)
{
    uint q = LANE, pieces = (K + 31) / 32 * 4, step = PIECES * WIDTH;
    for (; q - LANE + step <= pieces; q += step) multiply(n, t, q);
    for (; q < pieces; q += WIDTH) multiply_one(n, t, q);
}
#else
const uint X_BLOCKS = 64; // of 32 elements: together * WIDTH, or less
const uint X_PITCH = 9;   // the ninth keeps the blocks of neighbours in different banks
const uint X_FOURS = X_BLOCKS * 8 / gl_WorkGroupSize.x; // that an invocation brings

shared vec4 xs[X_BLOCKS * X_PITCH];

// Adds row r's products with this invocation's block.
void add(uint r, vec4 v[8])
{
    [[dont_unroll]] for (uint t = 0; t < together; t++) {
        uint at = (t * WIDTH + LANE) * X_PITCH;
        float s = 0.0;
        [[unroll]] for (uint i = 0; i < 8; i++) s += dot(v[i], xs[at + i]);
        SUM(r, t) += s;
    }
}

void multiply(uint n, uint t0, uint k)
{
    vec4 v[8], mine[X_FOURS];
    uint bits = findMSB(WIDTH * 8), block = min(k + LANE * 32, K - 32); // WIDTH is a power of two
    [[unroll]] for (uint i = 0; i < X_FOURS; i++) {
        uint e = i * gl_WorkGroupSize.x + gl_LocalInvocationID.x, t = e >> bits;
        mine[i] = four_of_x(t < together ? t0 + t : T, k + (e & (1 << bits) - 1) * 4);
    }
    unpack(weight_row(min(n, N - 1)), block, K, v);
    barrier();
    [[unroll]] for (uint i = 0; i < X_FOURS; i++) {
        uint e = i * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
        xs[e / 8 * X_PITCH + e % 8] = mine[i];
    }
    barrier();
    if (k + LANE * 32 >= K) return;
    add(0, v);
    [[dont_unroll]] for (uint r = 1; r < ROWS; r++) {
        unpack(weight_row(min(n + r, N - 1)), block, K, v);
        add(r, v);
    }
}

void multiply_all(uint n, uint t)
{
    for (uint k = 0; k < K; k += WIDTH * 32) multiply(n, t, k);
}
#endif

#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "act.glsl"
// ATTENTION without a matrix of scores: keys are visited in tiles of LANES, and what was summed up so far is rescaled when a
// larger score appears (Milakov and Gimelshein 2018; Dao et al. 2022).
//
// A workgroup has ROWS queries that share keys: row i is head g of its group at position t, i = t * G + g, where the G heads
// of a group read the same keys (Ainslie et al. 2023). So keys and values are read once for all of them, and a decoder's one
// position still fills a workgroup. Scores: an invocation per key. Values: an invocation per word of the result. HALVES: keys
// and values are pairs of F16 in a word.
//
// PARTS: one position over a long cache would leave a device's workgroups without work, so the keys are cut into parts, a
// workgroup each (z), which write their sums undivided, the largest score and the total; attention_join makes them one. The
// binding may begin at key `first`, when keys or values are more than one binding shows. Offsets are those of the first head
// that it shows.

layout(constant_id = 1) const uint ROWS = 1;
layout(constant_id = 2) const uint D = 64;      // columns of q and k
layout(constant_id = 3) const uint SLOTS = 1;   // words of the result an invocation has of each row
layout(constant_id = 4) const uint FLAGS = 0;
const bool SPAN = (FLAGS & 1) != 0, BIAS = (FLAGS & 2) != 0, BOTH = (FLAGS & 4) != 0, PARTS = (FLAGS & 8) != 0;
const uint LANES = gl_WorkGroupSize.x, SHARE = LANES / ROWS; // invocations that look after a row's scores
const uint U = HALVES == 1 ? 2 : 1;
const float NONE = -3.0e38;

layout(binding = 0) writeonly buffer Out { float y[]; };
layout(binding = 1) readonly buffer Q { float q[]; };
layout(binding = 2) readonly buffer K { uint k[]; };
layout(binding = 3) readonly buffer V { uint v[]; };
layout(binding = 4) readonly buffer Span { int span[]; };
layout(binding = 5) readonly buffer Bias { float bias[]; };
layout(binding = 6) readonly buffer Pos { int pos[]; };
layout(binding = 7) writeonly buffer Parts { float parts[]; }; // [part, t, h, dv + 2]
layout(push_constant) uniform P {
    uint y_off, y_row, q_off, q_row, q_head;
    uint k_off, k_head, k_row, v_off, v_head, v_row; // words
    uint span_off, bias_off, pos_off;
    uint T, H, G, S, dv;
    float scale, softcap;
    uint exact;          // distances below have a bucket each
    uint borders[8];     // distances at which the buckets behind begin, two in a word
    uint parts_off, first;
};

shared float queries[ROWS * D];
shared float scores[ROWS * LANES];
#ifndef SUBGROUPS
shared float partial[LANES];
#endif
shared float largest[ROWS], rescale[ROWS], total[ROWS];

uint bucket_of(int rel)
{
    uint side = 0, n = exact * 2;
    if (BOTH && rel > 0) side = n;
    uint distance = BOTH ? uint(abs(rel)) : uint(max(-rel, 0)), b = distance;
    if (distance >= exact) {
        b = exact;
        for (uint i = 0; i + 1 < exact; i++) b += distance >= (borders[i / 2] >> i % 2 * 16 & 0xffffu) ? 1 : 0;
    }
    return side + b;
}

float dot_word(uint word, uint at)
{
    if (HALVES == 0) return uintBitsToFloat(word) * queries[at];
    vec2 pair = unpackHalf2x16(word);
    return pair.x * queries[at] + pair.y * queries[at + 1];
}

// Scores of key j for all rows; those of keys from `end` on belong to nobody here.
void score(uint first_row, uint hk, uint j, uint end)
{
    float s[ROWS];
    uint at = k_off + hk * k_head + j * k_row;
    for (uint r = 0; r < ROWS; r++) s[r] = 0.0;
    for (uint i = 0; i < D / U; i++) {
        uint word = j < end ? k[at + i] : 0;
        for (uint r = 0; r < ROWS; r++) s[r] += dot_word(word, r * D + i * U);
    }
    for (uint r = 0; r < ROWS; r++) {
        uint row = first_row + r, t = row / G;
        float x = s[r] * scale;
        if (softcap > 0.0) x = softcap * tanh_of(x / softcap);
        if (BIAS && t < T) x += bias[bias_off + bucket_of(int(first + j) - pos[pos_off + t]) * H + hk * G + row % G];
        bool seen = t < T && j < end;
        if (SPAN && seen) seen = int(first + j) >= span[span_off + 2 * t] && int(first + j) < span[span_off + 2 * t + 1];
        scores[r * LANES + gl_LocalInvocationID.x] = seen ? x : NONE;
    }
}

// Turns the tile's scores into weights and brings largest, rescale and total up to date.
#ifdef SUBGROUPS
void weigh()
{
    for (uint r = gl_SubgroupID; r < ROWS; r += gl_NumSubgroups) {
        float m = NONE, sum = 0.0;
        for (uint i = gl_SubgroupInvocationID; i < LANES; i += gl_SubgroupSize) m = max(m, scores[r * LANES + i]);
        float before = largest[r], now = max(before, subgroupMax(m));
        for (uint i = gl_SubgroupInvocationID; i < LANES; i += gl_SubgroupSize) {
            float x = scores[r * LANES + i], p = x > NONE ? exp(x - now) : 0.0;
            scores[r * LANES + i] = p;
            sum += p;
        }
        sum = subgroupAdd(sum);
        subgroupBarrier(); // all have read largest[r]
        if (subgroupElect()) {
            largest[r] = now;
            rescale[r] = exp(before - now);
            total[r] = total[r] * rescale[r] + sum;
        }
    }
    barrier();
}
#else
void weigh()
{
    uint r = gl_LocalInvocationID.x / SHARE, c = gl_LocalInvocationID.x % SHARE;
    float m = NONE, sum = 0.0;
    for (uint i = c; i < LANES; i += SHARE) m = max(m, scores[r * LANES + i]);
    partial[gl_LocalInvocationID.x] = m;
    barrier();
    if (c == 0) {
        for (uint i = 1; i < SHARE; i++) m = max(m, partial[gl_LocalInvocationID.x + i]);
        float before = largest[r], now = max(before, m);
        largest[r] = now;
        rescale[r] = exp(before - now);
    }
    barrier();
    for (uint i = c; i < LANES; i += SHARE) {
        float x = scores[r * LANES + i], p = x > NONE ? exp(x - largest[r]) : 0.0;
        scores[r * LANES + i] = p;
        sum += p;
    }
    partial[gl_LocalInvocationID.x] = sum;
    barrier();
    if (c == 0) {
        for (uint i = 1; i < SHARE; i++) sum += partial[gl_LocalInvocationID.x + i];
        total[r] = total[r] * rescale[r] + sum;
    }
}
#endif

// Keys of this workgroup's part that any of the rows sees, counted from `first`.
uvec2 range(uint first_row)
{
    uint each = (S + gl_NumWorkGroups.z - 1) / gl_NumWorkGroups.z;
    int begin = PARTS ? int(gl_WorkGroupID.z * each) : 0, end = PARTS ? min(begin + int(each), int(S)) : int(S);
    if (!SPAN) return uvec2(begin, max(begin, end));
    int from = int(first + S), to = 0;
    for (uint r = 0; r < ROWS; r++) {
        uint t = (first_row + r) / G;
        if (t >= T || span[span_off + 2 * t] >= span[span_off + 2 * t + 1]) continue;
        from = min(from, span[span_off + 2 * t]);
        to = max(to, span[span_off + 2 * t + 1]);
    }
    return uvec2(max(from - int(first), begin), clamp(to - int(first), begin, max(begin, end)));
}

void attend(uint first_row, uint hk)
{
    float sum[ROWS * SLOTS * U];
    uint lane = gl_LocalInvocationID.x;
    for (uint i = lane; i < ROWS * D; i += LANES) {
        uint row = first_row + i / D, t = row / G;
        queries[i] = t < T ? q[q_off + t * q_row + (hk * G + row % G) * q_head + i % D] : 0.0;
    }
    if (lane < ROWS) {
        largest[lane] = NONE;
        total[lane] = 0.0;
    }
    for (uint i = 0; i < ROWS * SLOTS * U; i++) sum[i] = 0.0;
    barrier();
    uvec2 keys = range(first_row);
    for (uint j0 = keys.x; j0 < keys.y; j0 += LANES) {
        score(first_row, hk, j0 + lane, keys.y);
        barrier();
        weigh();
        for (uint i = 0; i < ROWS * SLOTS * U; i++) sum[i] *= rescale[i / (SLOTS * U)];
        uint n = min(LANES, keys.y - j0), at = v_off + hk * v_head + j0 * v_row;
        for (uint slot = 0; slot < SLOTS; slot++) {
            uint word_at = lane + slot * LANES;
            if (word_at >= dv / U) continue;
            for (uint j = 0; j < n; j++) {
                uint word = v[at + j * v_row + word_at];
                vec2 pair = HALVES == 1 ? unpackHalf2x16(word) : vec2(uintBitsToFloat(word), 0.0);
                for (uint r = 0; r < ROWS; r++) {
                    float p = scores[r * LANES + j];
                    sum[(r * SLOTS + slot) * U] += p * pair.x;
                    if (U == 2) sum[(r * SLOTS + slot) * U + 1] += p * pair.y;
                }
            }
        }
        barrier();
    }
    for (uint r = 0; r < ROWS; r++) {
        uint row = first_row + r, t = row / G, h = hk * G + row % G;
        if (t >= T) break;
        uint part = parts_off + ((gl_WorkGroupID.z * T + t) * H + h) * (dv + 2);
        float inv = PARTS ? 1.0 : total[r] > 0.0 ? 1.0 / total[r] : 0.0;
        for (uint slot = 0; slot < SLOTS; slot++) {
            uint i = (lane + slot * LANES) * U;
            for (uint u = 0; u < U && i + u < dv; u++) {
                float value = sum[(r * SLOTS + slot) * U + u] * inv;
                if (PARTS) parts[part + i + u] = value;
                else y[y_off + t * y_row + h * dv + i + u] = value;
            }
        }
        if (PARTS && lane == 0) {
            parts[part + dv] = largest[r];
            parts[part + dv + 1] = total[r];
        }
    }
    barrier();
}

void main()
{
    for (uint row = gl_WorkGroupID.x * ROWS; row < T * G; row += gl_NumWorkGroups.x * ROWS) attend(row, gl_WorkGroupID.y);
}

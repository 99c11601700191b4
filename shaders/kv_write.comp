#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "half.glsl"
// KV_WRITE: cache[h, slot[t], :] = x[t, h, :]. A workgroup per (t, h). Of equal slots the last row is kept: a row is left out
// when a later one has its slot. HALVES: the cache holds pairs of F16 in a word.

layout(binding = 0) buffer Cache { uint cache[]; };
layout(binding = 1) readonly buffer X { float x[]; };
layout(binding = 2) readonly buffer Slots { int slots[]; };
layout(push_constant) uniform P {
    uint c_off, c_head, c_slot; // words
    uint x_off, x_row, x_head, slots_off, slots_stride;
    uint T, H, C, d;
};

shared uint later;

void write_row(uint t, uint h, uint slot)
{
    uint to = c_off + h * c_head + slot * c_slot, from = x_off + t * x_row + h * x_head;
    for (uint i = gl_LocalInvocationID.x; i < (HALVES == 1 ? d / 2 : d); i += gl_WorkGroupSize.x)
        cache[to + i] = HALVES == 1 ? half_bits(x[from + 2 * i]) | half_bits(x[from + 2 * i + 1]) << 16 : floatBitsToUint(x[from + i]);
}

void main()
{
    for (uint u = gl_WorkGroupID.x; u < T * H; u += gl_NumWorkGroups.x) {
        uint t = u / H, h = u % H;
        int slot = slots[slots_off + t * slots_stride];
        if (gl_LocalInvocationID.x == 0) later = 0;
        barrier();
        for (uint i = t + 1 + gl_LocalInvocationID.x; i < T; i += gl_WorkGroupSize.x)
            if (slots[slots_off + i * slots_stride] == slot) atomicOr(later, 1);
        barrier();
        if (later == 0 && slot >= 0 && slot < int(C)) write_row(t, h, uint(slot));
        barrier();
    }
}

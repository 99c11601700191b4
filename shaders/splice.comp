#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// SPLICE: x with row index[m] replaced by rows[m]; the last of equal indices wins. A workgroup per row of the result: its
// invocations search the indices together, then copy.

layout(binding = 0) buffer Out { uint y[]; };
layout(binding = 1) readonly buffer X { uint x[]; };
layout(binding = 2) readonly buffer Rows { uint by[]; };
layout(binding = 3) readonly buffer Index { int index[]; };
layout(push_constant) uniform P {
    View vy, vx, vby;
    uint index_off, count, rows, cols;
};

shared int last;

void main()
{
    uint lane = gl_LocalInvocationID.x, lanes = gl_WorkGroupSize.x;
    for (uint r = gl_WorkGroupID.x; r < rows; r += gl_NumWorkGroups.x) {
        if (lane == 0) last = -1;
        barrier();
        for (uint m = lane; m < count; m += lanes)
            if (index[index_off + m] == int(r)) atomicMax(last, int(m));
        barrier();
        uint to = row_of(vy, r);
        if (last < 0) {
            uint from = row_of(vx, r);
            for (uint i = lane; i < cols; i += lanes) y[to + i] = x[from + i];
        } else {
            uint from = row_of(vby, uint(last));
            for (uint i = lane; i < cols; i += lanes) y[to + i] = by[from + i];
        }
        barrier();
    }
}

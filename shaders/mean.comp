#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// MEAN: the mean of all rows. A workgroup per 32 columns; its invocations share the rows.

layout(binding = 0) writeonly buffer Out { float y[]; };
layout(binding = 1) readonly buffer X { float x[]; };
layout(push_constant) uniform P {
    uint y_off;
    View vx;
    uint rows, cols;
};

const uint WIDE = 32;
const uint SLICES = gl_WorkGroupSize.x / WIDE;
shared float part[gl_WorkGroupSize.x];

void main()
{
    uint i = gl_LocalInvocationID.x, slice = i / WIDE;
    for (uint c0 = gl_WorkGroupID.x * WIDE; c0 < cols; c0 += gl_NumWorkGroups.x * WIDE) {
        uint c = c0 + i % WIDE;
        float sum = 0.0;
        for (uint r = slice; r < rows && c < cols; r += SLICES) sum += x[row_of(vx, r) + c];
        part[i] = sum;
        barrier();
        for (uint n = SLICES / 2; n > 0; n /= 2) {
            if (slice < n) part[i] += part[i + n * WIDE];
            barrier();
        }
        if (slice == 0 && c < cols) y[y_off + c] = part[i] / float(rows);
        barrier();
    }
}

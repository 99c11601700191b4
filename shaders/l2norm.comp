#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "reduce.glsl"
// L2NORM: x / max(length, eps), or 0 where that is 0. A workgroup per row.

layout(binding = 0) buffer Out { float y[]; };
layout(binding = 1) readonly buffer X { float x[]; };
layout(push_constant) uniform P {
    View vy, vx;
    uint rows, cols;
    float eps;
};

void main()
{
    uint lane = gl_LocalInvocationID.x, lanes = gl_WorkGroupSize.x;
    for (uint r = gl_WorkGroupID.x; r < rows; r += gl_NumWorkGroups.x) {
        uint from = row_of(vx, r), to = row_of(vy, r);
        float sum = 0.0;
        for (uint i = lane; i < cols; i += lanes) sum += x[from + i] * x[from + i];
        float by = max(sqrt(sum_of_all(sum)), eps);
        for (uint i = lane; i < cols; i += lanes) y[to + i] = by > 0.0 ? x[from + i] / by : 0.0;
    }
}

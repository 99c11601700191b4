#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "reduce.glsl"
// SOFTMAX: exp(x - max) / sum. A workgroup per row.

layout(binding = 0) buffer Out { float y[]; };
layout(binding = 1) readonly buffer X { float x[]; };
layout(push_constant) uniform P {
    View vy, vx;
    uint rows, cols;
};

void main()
{
    uint lane = gl_LocalInvocationID.x, lanes = gl_WorkGroupSize.x;
    for (uint r = gl_WorkGroupID.x; r < rows; r += gl_NumWorkGroups.x) {
        uint from = row_of(vx, r), to = row_of(vy, r);
        float most = x[from], sum = 0.0;
        for (uint i = lane; i < cols; i += lanes) most = max(most, x[from + i]);
        most = max_of_all(most);
        for (uint i = lane; i < cols; i += lanes) sum += exp(x[from + i] - most);
        sum = sum_of_all(sum);
        for (uint i = lane; i < cols; i += lanes) y[to + i] = exp(x[from + i] - most) / sum;
    }
}

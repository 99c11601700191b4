#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "reduce.glsl"
// RMSNORM: x / sqrt(mean(x^2) + eps) * w. A workgroup per row.

layout(binding = 0) buffer Out { float y[]; };
layout(binding = 1) readonly buffer X { float x[]; };
layout(binding = 2) readonly buffer W { float w[]; };
layout(push_constant) uniform P {
    View vy, vx;
    uint w_off, has_w, rows, cols;
    float eps;
};

void main()
{
    for (uint r = gl_WorkGroupID.x; r < rows; r += gl_NumWorkGroups.x) {
        uint from = row_of(vx, r), to = row_of(vy, r);
        float sum = 0.0;
        for (uint i = gl_LocalInvocationID.x; i < cols; i += gl_WorkGroupSize.x) sum += x[from + i] * x[from + i];
        float inv = 1.0 / sqrt(sum_of_all(sum) / float(cols) + eps);
        for (uint i = gl_LocalInvocationID.x; i < cols; i += gl_WorkGroupSize.x)
            y[to + i] = x[from + i] * inv * (has_w != 0 ? w[w_off + i] : 1.0);
    }
}

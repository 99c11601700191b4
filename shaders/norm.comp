#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "reduce.glsl"
// NORM: (x - mean) / sqrt(variance + eps) * w + b. A workgroup per row. The variance is that of the differences, because a
// difference of sums of squares would lose digits where the mean is far from zero.

layout(binding = 0) buffer Out { float y[]; };
layout(binding = 1) readonly buffer X { float x[]; };
layout(binding = 2) readonly buffer W { float w[]; };
layout(binding = 3) readonly buffer B { float b[]; };
layout(push_constant) uniform P {
    View vy, vx;
    uint w_off, has_w, b_off, has_b, rows, cols;
    float eps;
};

void main()
{
    uint lane = gl_LocalInvocationID.x, lanes = gl_WorkGroupSize.x;
    for (uint r = gl_WorkGroupID.x; r < rows; r += gl_NumWorkGroups.x) {
        uint from = row_of(vx, r), to = row_of(vy, r);
        float sum = 0.0, square = 0.0;
        for (uint i = lane; i < cols; i += lanes) sum += x[from + i];
        float mean = sum_of_all(sum) / float(cols);
        for (uint i = lane; i < cols; i += lanes) square += (x[from + i] - mean) * (x[from + i] - mean);
        float inv = 1.0 / sqrt(sum_of_all(square) / float(cols) + eps);
        for (uint i = lane; i < cols; i += lanes)
            y[to + i] = (x[from + i] - mean) * inv * (has_w != 0 ? w[w_off + i] : 1.0) + (has_b != 0 ? b[b_off + i] : 0.0);
    }
}

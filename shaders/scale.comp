#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// SCALE: x * scale + offset.

layout(binding = 0) writeonly buffer Out { float y[]; };
layout(binding = 1) readonly buffer X { float x[]; };
layout(push_constant) uniform P {
    View vy, vx;
    uint rows, cols;
    float scale, offset;
};

void main()
{
    for (uint e = FIRST; e < rows * cols; e += STEP) {
        uint r = e / cols, c = e % cols;
        y[row_of(vy, r) + c] = x[row_of(vx, r) + c] * scale + offset;
    }
}

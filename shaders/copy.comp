#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// COPY, and each part of a CONCAT: rows go where another view has them. Words, so that every bit of a value stays.

layout(binding = 0) writeonly buffer Out { uint y[]; };
layout(binding = 1) readonly buffer X { uint x[]; };
layout(push_constant) uniform P {
    View vy, vx;
    uint rows, cols;
};

void main()
{
    for (uint e = FIRST; e < rows * cols; e += STEP) {
        uint r = e / cols, c = e % cols;
        y[row_of(vy, r) + c] = x[row_of(vx, r) + c];
    }
}

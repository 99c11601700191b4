#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// ADD and MUL. Row r of a meets row r % b_rows of b; b_step 0: b is one element.

layout(binding = 0) writeonly buffer Out { float y[]; };
layout(binding = 1) readonly buffer A { float a[]; };
layout(binding = 2) readonly buffer B { float b[]; };
layout(push_constant) uniform P {
    View vy, va, vb;
    uint rows, cols, b_rows, b_step;
};

void main()
{
    for (uint e = FIRST; e < rows * cols; e += STEP) {
        uint r = e / cols, c = e % cols;
        float left = a[row_of(va, r) + c], right = b[row_of(vb, r % b_rows) + c * b_step];
        y[row_of(vy, r) + c] = PRODUCT == 1 ? left * right : left + right;
    }
}

#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// PATCHES: row t of the result is the t-th square of p pixels of the image [C, h, w], in the order (channel, y, x).

layout(binding = 0) writeonly buffer Out { float y[]; };
layout(binding = 1) readonly buffer X { float x[]; };
layout(push_constant) uniform P {
    View vy, vx;
    uint rows, cols, p, height, across; // across: squares beside each other
};

void main()
{
    for (uint e = FIRST; e < rows * cols; e += STEP) {
        uint t = e / cols, c = e % cols, channel = c / (p * p);
        uint py = t / across * p + c / p % p, px = t % across * p + c % p;
        y[row_of(vy, t) + c] = x[row_of(vx, channel * height + py) + px];
    }
}

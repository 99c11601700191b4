#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// UNFOLD1D: y[l, channel * kernel + j] is x at position l * stride - pad + j, zero outside x.

layout(binding = 0) writeonly buffer Out { float y[]; };
layout(binding = 1) readonly buffer X { float x[]; };
layout(push_constant) uniform P {
    View vy;
    uint x_off, per_position, per_channel; // distances in x
    uint rows, cols, positions, kernel, stride, pad;
};

void main()
{
    for (uint e = FIRST; e < rows * cols; e += STEP) {
        uint l = e / cols, c = e % cols, channel = c / kernel;
        uint at = l * stride + c % kernel - pad; // before the first position: past any number of positions
        y[row_of(vy, l) + c] = at < positions ? x[x_off + at * per_position + channel * per_channel] : 0.0;
    }
}

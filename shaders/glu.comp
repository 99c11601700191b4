#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "act.glsl"
// GLU: act(x[:, :F]) * x[:, F:].

layout(binding = 0) writeonly buffer Out { float y[]; };
layout(binding = 1) readonly buffer X { float x[]; };
layout(push_constant) uniform P {
    View vy, vx;
    uint rows, cols, act;
};

void main()
{
    for (uint e = FIRST; e < rows * cols; e += STEP) {
        uint r = e / cols, c = e % cols, at = row_of(vx, r) + c;
        y[row_of(vy, r) + c] = activate(act, x[at]) * x[at + cols];
    }
}

#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// RESIZE: bicubic interpolation of a grid [h, w, D] (Keys 1981). A workgroup per point of the result; its invocations share
// the columns. Plain: a = -0.75, the four nearest points an axis, the border repeated outside. Antialiased: a = -0.5, all
// points under a cubic as wide as the result's points are apart, weights made to sum to 1.
//
// Point i of n lies at (i + 1/2) * from / n - 1/2 among the `from` points of the source. Twice n times that is an integer, so
// points and distances are found without rounding.

layout(binding = 0) writeonly buffer Out { float y[]; };
layout(binding = 1) readonly buffer X { float x[]; };
layout(push_constant) uniform P {
    View vy;
    uint x_off, x_s0, x_s1, cols;
    int in_h, in_w, out_h, out_w;
    uint antialias;
};

struct Axis {
    int first, end;    // points of the source, also ones outside
    int step, centre;  // point p lies p * step - centre from the result's point ...
    float unit, scale; // ... in this unit; scale: of all weights
};

// The cubic at distance d >= 0.
float cubic(float d)
{
    float a = antialias != 0 ? -0.5 : -0.75;
    return d < 1.0 ? ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0 : d < 2.0 ? (((d - 5.0) * d + 8.0) * d - 4.0) * a : 0.0;
}

float weight(Axis s, int p) { return cubic(float(abs(p * s.step - s.centre)) * s.unit) * s.scale; }

Axis axis_of(int i, int n, int from)
{
    int wide = max(n, from), middle = (2 * i + 1) * from;
    Axis s = Axis(0, 0, 2 * n, middle - n, 0.5 / float(n), 1.0);
    if (antialias == 0) {
        s.first = (s.centre < 0 ? -1 : s.centre / s.step) - 1;
        s.end = s.first + 4;
        return s;
    }
    s.unit = 0.5 / float(wide);
    s.first = max(middle + n - 4 * wide, 0) / s.step;
    s.end = min((middle + n + 4 * wide) / s.step, from);
    float sum = 0.0;
    for (int p = s.first; p < s.end; p++) sum += weight(s, p);
    s.scale = 1.0 / sum;
    return s;
}

void main()
{
    for (uint r = gl_WorkGroupID.x; r < uint(out_h * out_w); r += gl_NumWorkGroups.x) {
        Axis v = axis_of(int(r) / out_w, out_h, in_h), h = axis_of(int(r) % out_w, out_w, in_w);
        uint to = row_of(vy, r);
        for (uint c = gl_LocalInvocationID.x; c < cols; c += gl_WorkGroupSize.x) {
            float sum = 0.0;
            for (int j = v.first; j < v.end; j++) {
                uint line = x_off + uint(clamp(j, 0, in_h - 1)) * x_s0 + c;
                float along = 0.0;
                for (int k = h.first; k < h.end; k++) along += weight(h, k) * x[line + uint(clamp(k, 0, in_w - 1)) * x_s1];
                sum += weight(v, j) * along;
            }
            y[to + c] = sum;
        }
    }
}

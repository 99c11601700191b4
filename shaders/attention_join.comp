#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// ATTENTION's parts made one: sums of each part over keys are brought to the largest score of all parts, added and divided. An
// invocation per element of the result.

layout(binding = 0) writeonly buffer Out { float y[]; };
layout(binding = 1) readonly buffer Parts { float parts[]; }; // [part, t, h, dv + 2]: sums, the largest score, the total
layout(push_constant) uniform P {
    uint y_off, y_row, parts_off, count, T, H, dv;
};

void main()
{
    for (uint e = FIRST; e < T * H * dv; e += STEP) {
        uint i = e % dv, head = e / dv, step = T * H * (dv + 2), at = parts_off + head * (dv + 2);
        float most = parts[at + dv], sum = 0.0, total = 0.0;
        for (uint p = 1; p < count; p++) most = max(most, parts[at + p * step + dv]);
        for (uint p = 0; p < count; p++) {
            float weight = exp(parts[at + p * step + dv] - most);
            sum += weight * parts[at + p * step + i];
            total += weight * parts[at + p * step + dv + 1];
        }
        y[y_off + head / H * y_row + head % H * dv + i] = total > 0.0 ? sum / total : 0.0;
    }
}

#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "common.glsl"
#define WEIGHTS 2
#include "weights.glsl"
// ROWS: row t of the result is row ids[t] of the table, times scale; zeros for an id that the table does not have. An
// invocation unpacks 32 elements. The binding shows V rows of the table's `all`, from row `first` on; other dispatches see the
// others, and the one that sees row 0 writes the zeros.

layout(binding = 0) writeonly buffer Out { float y[]; };
layout(binding = 1) readonly buffer Ids { int ids[]; };
layout(push_constant) uniform P {
    uint y_off, y_stride, ids_off, ids_stride, w_off, w_stride; // w in bytes
    uint T, V, D, first, all;
    float scale;
};

void main()
{
    uint pieces = (D + 31) / 32;
    vec4 v[8];
    for (uint e = FIRST; e < T * pieces; e += STEP) {
        uint t = e / pieces, k = e % pieces * 32, at = y_off + t * y_stride + k, n = min(32, D - k);
        int id = ids[ids_off + t * ids_stride];
        bool there = id >= int(first) && id < int(first + V);
        if (!there && (first > 0 || (id >= 0 && id < int(all)))) continue;
        if (there) unpack(w_off + (uint(id) - first) * w_stride, k, D, v);
        for (uint i = 0; i < n; i++) y[at + i] = there ? v[i / 4][i % 4] * scale : 0.0;
    }
}

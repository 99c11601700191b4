#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// ROPE: pair j of a head turns by pos * inv_freq[j]; dimensions behind the pairs are copied. An invocation per pair or copied
// element.
//
// Devices promise sine and cosine near zero only, and positions reach many thousand turns; so the angle is first brought to
// a fraction of a turn exactly, in integers, as Payne and Hanek (1983) do it.

layout(binding = 0) buffer Out { float y[]; };
layout(binding = 1) readonly buffer X { float x[]; };
layout(binding = 2) readonly buffer Pos { int pos[]; };
layout(binding = 3) readonly buffer Freq { float inv_freq[]; };
layout(push_constant) uniform P {
    View vy, vx;
    uint pos_off, pos_stride, freq_off, rows, heads, cols, half_cols, interleaved;
    float scale;
};

// |a| as a fraction of a turn, in units of 2^-32 turns: bits 32 to 63 of m (c0:c1) >> s, where |a| = m 2^-s and c0:c1 are the
// first 64 bits of 1 / (2 pi) behind the point. Below 2^24 only.
uint turns(float a)
{
    const uint c0 = 0x28be60dbu, c1 = 0x9391054au;
    uint bits = floatBitsToUint(a) & 0x7fffffffu, m = bits & 0x7fffffu | 0x800000u, s = 150u - (bits >> 23);
    uint hi0, lo0, hi1, lo1, carry;
    umulExtended(m, c1, hi1, lo1);
    umulExtended(m, c0, hi0, lo0);
    lo0 = uaddCarry(lo0, hi1, carry);
    hi0 += carry; // the product is hi0:lo0:lo1
    if (s == 0) return lo0;
    if (s < 32) return lo0 >> s | hi0 << 32u - s;
    return s < 64 ? hi0 >> s - 32u : 0u;
}

// Cosine and sine of a.
vec2 direction(float a)
{
    uint t = turns(a), quarter = t + 0x20000000u >> 30;
    float r = float(int(t - (quarter << 30))) * 1.4629180792671596e-9, r2 = r * r; // 2 pi / 2^32
    float s = r * (1.0 - r2 / 6.0 * (1.0 - r2 / 20.0 * (1.0 - r2 / 42.0 * (1.0 - r2 / 72.0))));
    float c = 1.0 - r2 / 2.0 * (1.0 - r2 / 12.0 * (1.0 - r2 / 30.0 * (1.0 - r2 / 56.0 * (1.0 - r2 / 90.0))));
    if ((quarter & 1u) != 0u) {
        float swap = c;
        c = -s;
        s = swap;
    }
    if ((quarter & 2u) != 0u) {
        c = -c;
        s = -s;
    }
    return vec2(c, a < 0.0 ? -s : s);
}

void main()
{
    uint each = cols - half_cols;
    for (uint e = FIRST; e < rows * each; e += STEP) {
        uint r = e / each, j = e % each, from = row_of(vx, r), to = row_of(vy, r);
        if (j < half_cols) {
            uint a = interleaved != 0 ? 2 * j : j, b = interleaved != 0 ? 2 * j + 1 : j + half_cols;
            vec2 d = direction(float(pos[pos_off + r / heads * pos_stride]) * inv_freq[freq_off + j]) * scale;
            float xa = x[from + a], xb = x[from + b];
            y[to + a] = xa * d.x - xb * d.y;
            y[to + b] = xb * d.x + xa * d.y;
        } else {
            y[to + half_cols + j] = x[from + half_cols + j];
        }
    }
}

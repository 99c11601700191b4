// Halves (binary16) by hand, because devices may turn small ones into zero and may round in any way.

float half_of(uint h)
{
    uint m = h & 0x7fffu;
    float v = m < 0x400u ? float(m) * 5.9604644775390625e-8 : uintBitsToFloat((m << 13) + (m < 0x7c00u ? 112u << 23 : 224u << 23));
    return (h & 0x8000u) != 0u ? -v : v;
}

// To nearest, ties to even; too large becomes infinity, NaN stays NaN.
uint half_bits(float f)
{
    uint x = floatBitsToUint(f), a = x & 0x7fffffffu, sign = x >> 16 & 0x8000u;
    if (a > 0x7f800000u) return sign | 0x7e00u;
    if (a >= 0x477ff000u) return sign | 0x7c00u;
    if (a < 0x38800000u) return sign | uint(roundEven(abs(f) * 16777216.0));
    a -= 112u << 23;
    return sign | a + 0xfffu + (a >> 13 & 1u) >> 13;
}

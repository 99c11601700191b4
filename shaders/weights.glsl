// Unpacking weights as they lie in files. TYPE is one of the names below. The includer declares the weights' buffer as
// `uint w[]`. Addresses are bytes from the start of the binding, even ones only: every block format here begins its fields
// at even bytes, and no feature of the device is needed to read 16 bits out of a word.
//
// Loops are unrolled, so that v stays in registers.
// unpack(row, k, n, v) gives elements k to k + 31 of the row that begins at byte `row` of n elements; k is a multiple of 32.
// Elements past n are 0. The formats are described in src/tensor/quant/<type>.c, the order of operations is the same.

#define F32 0
#define F16 1
#define BF16 2
#define Q4_0 3
#define Q4_1 4
#define Q5_0 5
#define Q5_1 6
#define Q8_0 7
#define Q2_K 8
#define Q3_K 9
#define Q4_K 10
#define Q5_K 11
#define Q6_K 12

#include "half.glsl"

uint u16_at(uint b) { return w[b >> 2] >> (b & 2u) * 8u & 0xffffu; }
uint u32_at(uint b) { return (b & 2u) == 0u ? w[b >> 2] : w[b >> 2] >> 16 | w[(b >> 2) + 1u] << 16; }
uint u8_at(uint b) { return w[b >> 2] >> (b & 3u) * 8u & 0xffu; }

// Byte i (0..3) of a word.
uint byte_of(uint word, uint i) { return word >> i * 8u & 0xffu; }
int signed_byte_of(uint word, uint i) { return bitfieldExtract(int(word), int(i * 8u), 8); }

float half_at(uint b) { return half_of(u16_at(b)); }

#if TYPE == F32
void unpack(uint row, uint k, uint n, out float v[32])
{
    [[unroll]] for (uint i = 0; i < 32; i++) v[i] = k + i < n ? uintBitsToFloat(w[(row >> 2) + k + i]) : 0.0;
}
#elif TYPE == F16 || TYPE == BF16
float value_of(uint h) { return TYPE == F16 ? half_of(h) : uintBitsToFloat(h << 16); }

void unpack(uint row, uint k, uint n, out float v[32])
{
    if (k + 32 <= n) {
        [[unroll]] for (uint i = 0; i < 16; i++) {
            uint pair = u32_at(row + 2 * k + 4 * i);
            v[2 * i] = value_of(pair & 0xffffu);
            v[2 * i + 1] = value_of(pair >> 16);
        }
    } else {
        [[unroll]] for (uint i = 0; i < 32; i++) v[i] = k + i < n ? value_of(u16_at(row + 2 * (k + i))) : 0.0;
    }
}
#elif TYPE == Q4_0 || TYPE == Q4_1
#define BYTES (TYPE == Q4_0 ? 18u : 20u)
void unpack(uint row, uint k, uint n, out float v[32])
{
    uint b = row + k / 32u * BYTES, q = b + (TYPE == Q4_0 ? 2u : 4u);
    float d = half_at(b), m = TYPE == Q4_0 ? 0.0 : half_at(b + 2);
    [[unroll]] for (uint i = 0; i < 4; i++) {
        uint word = u32_at(q + 4 * i);
        [[unroll]] for (uint j = 0; j < 4; j++) {
            uint byte = byte_of(word, j);
            v[4 * i + j] = TYPE == Q4_0 ? float(int(byte & 15u) - 8) * d : float(byte & 15u) * d + m;
            v[4 * i + j + 16] = TYPE == Q4_0 ? float(int(byte >> 4) - 8) * d : float(byte >> 4) * d + m;
        }
    }
}
#elif TYPE == Q5_0 || TYPE == Q5_1
#define BYTES (TYPE == Q5_0 ? 22u : 24u)
void unpack(uint row, uint k, uint n, out float v[32])
{
    uint b = row + k / 32u * BYTES, q = b + (TYPE == Q5_0 ? 2u : 4u), high = u32_at(q);
    float d = half_at(b), m = TYPE == Q5_0 ? -16.0 * d : half_at(b + 2);
    [[unroll]] for (uint i = 0; i < 4; i++) {
        uint word = u32_at(q + 4 + 4 * i);
        [[unroll]] for (uint j = 0; j < 4; j++) {
            uint byte = byte_of(word, j), at = 4 * i + j;
            uint lo = byte & 15u | (high >> at & 1u) << 4, hi = byte >> 4 | (high >> (at + 16) & 1u) << 4;
            v[at] = TYPE == Q5_0 ? float(int(lo) - 16) * d : float(lo) * d + m;
            v[at + 16] = TYPE == Q5_0 ? float(int(hi) - 16) * d : float(hi) * d + m;
        }
    }
}
#elif TYPE == Q8_0
void unpack(uint row, uint k, uint n, out float v[32])
{
    uint b = row + k / 32u * 34u;
    float d = half_at(b);
    [[unroll]] for (uint i = 0; i < 8; i++) {
        uint word = u32_at(b + 2 + 4 * i);
        [[unroll]] for (uint j = 0; j < 4; j++) v[4 * i + j] = float(signed_byte_of(word, j)) * d;
    }
}
#elif TYPE == Q2_K
void unpack(uint row, uint k, uint n, out float v[32])
{
    uint b = row + k / 256u * 84u, g = k % 256u / 16u, q = b + 16 + g / 8u * 32u, shift = g % 8u;
    float d = half_at(b + 80), dmin = half_at(b + 82);
    uint scales = u16_at(b + g);
    [[unroll]] for (uint h = 0; h < 2; h++) {
        uint pair = scales >> 8 * h & 255u;
        float scale = d * float(pair & 15u), low = dmin * float(pair >> 4);
        [[unroll]] for (uint i = 0; i < 4; i++) {
            uint word = u32_at(q + 16 * h + 4 * i) >> shift;
            [[unroll]] for (uint j = 0; j < 4; j++) v[16 * h + 4 * i + j] = scale * float(byte_of(word, j) & 3u) - low;
        }
    }
}
#elif TYPE == Q3_K
int scale_at(uint s, uint g)
{
    uint low = g < 8 ? u8_at(s + g) & 15u : u8_at(s + g - 8) >> 4;
    return int(low | (u8_at(s + 8 + g % 4u) >> g / 4u * 2u & 3u) << 4) - 32;
}

void unpack(uint row, uint k, uint n, out float v[32])
{
    uint b = row + k / 256u * 110u, g = k % 256u / 16u, q = b + 32 + g / 8u * 32u, shift = g % 8u, bit = g / 2u;
    float d = half_at(b + 108);
    [[unroll]] for (uint h = 0; h < 2; h++) {
        float scale = d * float(scale_at(b + 96, g + h));
        [[unroll]] for (uint i = 0; i < 4; i++) {
            uint word = u32_at(q + 16 * h + 4 * i) >> shift, high = u32_at(b + 16 * h + 4 * i) >> bit;
            [[unroll]] for (uint j = 0; j < 4; j++) {
                uint value = byte_of(word, j) & 3u | (byte_of(high, j) & 1u) << 2;
                v[16 * h + 4 * i + j] = scale * float(int(value) - 4);
            }
        }
    }
}
#elif TYPE == Q4_K || TYPE == Q5_K
#define BYTES (TYPE == Q4_K ? 144u : 176u)
void unpack(uint row, uint k, uint n, out float v[32])
{
    uint b = row + k / 256u * BYTES, g = k % 256u / 32u, s = b + 4, q = b + (TYPE == Q4_K ? 16u : 48u) + g / 2u * 32u, shift = g % 2u * 4u;
    uint sc, mn;
    if (g < 4) {
        sc = u8_at(s + g) & 63u;
        mn = u8_at(s + g + 4) & 63u;
    } else {
        uint both = u8_at(s + g + 4);
        sc = both & 15u | u8_at(s + g - 4) >> 6 << 4;
        mn = both >> 4 | u8_at(s + g) >> 6 << 4;
    }
    float scale = half_at(b) * float(sc), low = half_at(b + 2) * float(mn);
    [[unroll]] for (uint i = 0; i < 8; i++) {
        uint word = u32_at(q + 4 * i) >> shift, high = TYPE == Q5_K ? u32_at(b + 16 + 4 * i) >> g : 0u;
        [[unroll]] for (uint j = 0; j < 4; j++) v[4 * i + j] = scale * float(byte_of(word, j) & 15u | (byte_of(high, j) & 1u) << 4) - low;
    }
}
#elif TYPE == Q6_K
void unpack(uint row, uint k, uint n, out float v[32])
{
    uint b = row + k / 256u * 210u, half_block = k % 256u / 128u, t = k % 128u / 32u;
    uint ql = b + 64 * half_block + 32 * (t % 2u), qh = b + 128 + 32 * half_block, low = t / 2u * 4u, high = 2 * t;
    uint scales = u16_at(b + 192 + k % 256u / 16u);
    float d = half_at(b + 208);
    [[unroll]] for (uint h = 0; h < 2; h++) {
        float scale = d * float(signed_byte_of(scales, h));
        [[unroll]] for (uint i = 0; i < 4; i++) {
            uint lows = u32_at(ql + 16 * h + 4 * i) >> low, highs = u32_at(qh + 16 * h + 4 * i) >> high;
            [[unroll]] for (uint j = 0; j < 4; j++) {
                uint value = byte_of(lows, j) & 15u | (byte_of(highs, j) & 3u) << 4;
                v[16 * h + 4 * i + j] = scale * float(int(value) - 32);
            }
        }
    }
}
#endif

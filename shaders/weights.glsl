// Unpacking weights as they lie in files. TYPE is one of the names below, WEIGHTS the number of the weights' binding. Addresses
// are bytes from its start, even ones only: every block format here begins its fields at even bytes, and no feature of the
// device is needed to read 16 bits out of a word. Where the bytes of a block are a multiple of 4 or 16, so are the addresses of
// blocks (mm__vk_bind_together sees to it).
//
// Elements k to k + 31 of a row, k a multiple of 32, are a Block; block_of reads what they share. An invocation unpacks all 32
// (unpack), or neighbours share the work, each taking a piece of eight: piece p is the four elements from FIRST_OF(p) on and the
// four from SECOND_OF(p) on. Of quantised types a piece is eight bytes first (piece_bytes), and an element is its byte times the
// block's scale plus `low`. Elements past the row's n are 0. The formats are described in src/tensor/quant/<type>.c. Loops are unrolled, so that values stay in registers.

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

layout(binding = WEIGHTS) readonly buffer W { uint w[]; };
layout(binding = WEIGHTS) readonly buffer W4 { uvec4 w4[]; };

// Blocks of which one half has the low and the other the high bits of the same bytes.
#define HALVED (TYPE == Q4_0 || TYPE == Q4_1 || TYPE == Q5_0 || TYPE == Q5_1)
#define FIRST_OF(p) (HALVED ? 4u * (p) : 8u * (p))
#define SECOND_OF(p) (HALVED ? 4u * (p) + 16u : 8u * (p) + 4u)

struct Block {
    vec2 scale, low;  // of the first and the second sixteen elements
    uint at, high;    // where the low and the high bits begin; of unquantised types, the first element's address
    uint shift, left; // by which the bits are shifted there; elements of the row from k on
};

uint u16_at(uint b) { return w[b >> 2] >> (b & 2u) * 8u & 0xffffu; }
float half_at(uint b) { return half_of(u16_at(b)); }

// Word j of n from byte b on, whether or not b is a multiple of 4. What neighbours have in common is read once.
uint word(uint b, uint j, uint n)
{
    uint i = b >> 2, s = (b & 2u) * 8u;
    uint low = w[i + j], high = w[j + 1 < n ? i + j + 1 : b + 4 * n - 2 >> 2];
    return low >> s | high << 1 << 31u - s;
}

// Byte i (0..3) of a word.
uint byte_of(uint word, uint i) { return word >> i * 8u & 0xffu; }
int signed_byte_of(uint word, uint i) { return bitfieldExtract(int(word), int(i * 8u), 8); }

#if TYPE == F32
Block block_of(uint row, uint k, uint n)
{
    return Block(vec2(0.0), vec2(0.0), (row >> 2) + k, 0u, 0u, n - k);
}

vec4 four_at(uint i, uint n)
{
    if (n >= 4 && (i & 3u) == 0u) return uintBitsToFloat(w4[i >> 2]);
    vec4 v;
    [[unroll]] for (uint j = 0; j < 4; j++) v[j] = j < n ? uintBitsToFloat(w[i + j]) : 0.0;
    return v;
}

void piece(Block b, uint p, out vec4 first, out vec4 second)
{
    first = four_at(b.at + 8 * p, max(b.left, 8 * p) - 8 * p);
    second = four_at(b.at + 8 * p + 4, max(b.left, 8 * p + 4) - 8 * p - 4);
}
#elif TYPE == F16 || TYPE == BF16
float value_of(uint h) { return TYPE == F16 ? half_of(h) : uintBitsToFloat(h << 16); }

Block block_of(uint row, uint k, uint n)
{
    return Block(vec2(0.0), vec2(0.0), row + 2 * k, 0u, 0u, n - k);
}

vec4 four_of(uint a, uint b) { return vec4(value_of(a & 0xffffu), value_of(a >> 16), value_of(b & 0xffffu), value_of(b >> 16)); }

void piece(Block b, uint p, out vec4 first, out vec4 second)
{
    uint at = b.at + 16 * p;
    if (8 * p + 8 <= b.left) {
        uvec4 q;
        if ((at & 15u) == 0u) q = w4[at >> 4];
        else [[unroll]] for (uint j = 0; j < 4; j++) q[j] = word(at, j, 4);
        first = four_of(q.x, q.y);
        second = four_of(q.z, q.w);
    } else {
        [[unroll]] for (uint j = 0; j < 4; j++) {
            first[j] = 8 * p + j < b.left ? value_of(u16_at(at + 2 * j)) : 0.0;
            second[j] = 8 * p + 4 + j < b.left ? value_of(u16_at(at + 2 * j + 8)) : 0.0;
        }
    }
}
#elif TYPE == Q4_0 || TYPE == Q4_1
#define BYTES (TYPE == Q4_0 ? 18u : 20u)
Block block_of(uint row, uint k, uint n)
{
    uint b = row + k / 32u * BYTES;
    float d = half_at(b), m = TYPE == Q4_0 ? -8.0 * d : half_at(b + 2);
    return Block(vec2(d), vec2(m), b + (TYPE == Q4_0 ? 2u : 4u), 0u, 0u, 32u);
}

uvec2 piece_bytes(Block b, uint p)
{
    uint q = TYPE == Q4_0 ? word(b.at, p, 4) : w[(b.at >> 2) + p];
    return uvec2(q, q >> 4) & 0x0f0f0f0fu;
}
#elif TYPE == Q5_0 || TYPE == Q5_1
#define BYTES (TYPE == Q5_0 ? 22u : 24u)
Block block_of(uint row, uint k, uint n)
{
    uint b = row + k / 32u * BYTES, q = b + (TYPE == Q5_0 ? 2u : 4u);
    float d = half_at(b), m = TYPE == Q5_0 ? -16.0 * d : half_at(b + 2);
    return Block(vec2(d), vec2(m), q + 4, TYPE == Q5_0 ? word(q, 0, 1) : w[q >> 2], 0u, 32u);
}

// Bits 0 to 3 of x become bits 4, 12, 20 and 28.
uint fifth_bits(uint x) { return x << 4 & 0x10u | x << 11 & 0x1000u | x << 18 & 0x100000u | x << 25 & 0x10000000u; }

uvec2 piece_bytes(Block b, uint p)
{
    uint q = TYPE == Q5_0 ? word(b.at, p, 4) : w[(b.at >> 2) + p];
    return uvec2(q, q >> 4) & 0x0f0f0f0fu | uvec2(fifth_bits(b.high >> 4 * p), fifth_bits(b.high >> 4 * p + 16));
}
#elif TYPE == Q8_0
Block block_of(uint row, uint k, uint n)
{
    uint b = row + k / 32u * 34u;
    return Block(vec2(half_at(b)), vec2(0.0), b + 2, 0u, 0u, 32u);
}

uvec2 piece_bytes(Block b, uint p) { return uvec2(word(b.at, 2 * p, 8), word(b.at, 2 * p + 1, 8)); }
#elif TYPE == Q2_K
Block block_of(uint row, uint k, uint n)
{
    uint b = row + k / 256u * 84u, g = k % 256u / 16u, factors = w[b + 80 >> 2], scales = u16_at(b + g);
    vec2 scale = vec2(scales & 15u, scales >> 8 & 15u), low = vec2(scales >> 4 & 15u, scales >> 12);
    return Block(half_of(factors & 0xffffu) * scale, -half_of(factors >> 16) * low, b + 16 + g / 8u * 32u, 0u, g % 8u, 32u);
}

uvec2 piece_bytes(Block b, uint p) { return uvec2(w[(b.at >> 2) + 2 * p], w[(b.at >> 2) + 2 * p + 1]) >> b.shift & 0x03030303u; }
#elif TYPE == Q3_K
// Scales g and g + 1, of which g is even: four bits each, and two more.
vec2 scales_at(uint s, uint g)
{
    uint low = u16_at(s + g % 8u) >> g / 8u * 4u & 0x0f0fu, both = low | (u16_at(s + 8 + g % 4u) >> g / 4u * 2u & 0x0303u) << 4;
    return vec2(both & 0xffu, both >> 8) - 32.0;
}

Block block_of(uint row, uint k, uint n)
{
    uint b = row + k / 256u * 110u, g = k % 256u / 16u;
    vec2 scale = half_at(b + 108) * scales_at(b + 96, g);
    return Block(scale, -4.0 * scale, b + 32 + g / 8u * 32u, b, g % 8u | g / 2u << 8, 32u);
}

uvec2 piece_bytes(Block b, uint p)
{
    uvec2 low = uvec2(word(b.at, 2 * p, 8), word(b.at, 2 * p + 1, 8)), high = uvec2(word(b.high, 2 * p, 8), word(b.high, 2 * p + 1, 8));
    return low >> (b.shift & 0xffu) & 0x03030303u | (high >> (b.shift >> 8) & 0x01010101u) << 2;
}
#elif TYPE == Q4_K || TYPE == Q5_K
#define BYTES (TYPE == Q4_K ? 144u : 176u)
Block block_of(uint row, uint k, uint n)
{
    uint b = row + k / 256u * BYTES, g = k % 256u / 32u;
    uvec4 head = w4[b >> 4]; // d and dmin, then bytes 0 to 11 of scales
    uint y = byte_of(head.y, g & 3u), z = byte_of(head.z, g & 3u), both = byte_of(head.w, g & 3u);
    uint sc = g < 4 ? y & 63u : both & 15u | y >> 6 << 4, mn = g < 4 ? z & 63u : both >> 4 | z >> 6 << 4;
    return Block(vec2(half_of(head.x & 0xffffu) * float(sc)), vec2(-half_of(head.x >> 16) * float(mn)),
                 b + (TYPE == Q4_K ? 16u : 48u) + g / 2u * 32u, b + 16, g % 2u * 4u | g << 8, 32u);
}

uvec2 two_of(uvec4 q, uint p) { return (p & 1u) == 0u ? q.xy : q.zw; }

uvec2 piece_bytes(Block b, uint p)
{
    uvec2 q = two_of(w4[(b.at >> 4) + (p >> 1)], p) >> (b.shift & 0xffu) & 0x0f0f0f0fu;
    if (TYPE == Q5_K) q |= (two_of(w4[(b.high >> 4) + (p >> 1)], p) >> (b.shift >> 8) & 0x01010101u) << 4;
    return q;
}
#elif TYPE == Q6_K
Block block_of(uint row, uint k, uint n)
{
    uint b = row + k / 256u * 210u, half_block = k % 256u / 128u, t = k % 128u / 32u, scales = u16_at(b + 192 + k % 256u / 16u);
    vec2 scale = half_at(b + 208) * vec2(signed_byte_of(scales, 0), signed_byte_of(scales, 1));
    return Block(scale, -32.0 * scale, b + 64 * half_block + 32 * (t % 2u), b + 128 + 32 * half_block, t / 2u * 4u | 2 * t << 8, 32u);
}

uvec2 piece_bytes(Block b, uint p)
{
    uvec2 low = uvec2(word(b.at, 2 * p, 8), word(b.at, 2 * p + 1, 8)), high = uvec2(word(b.high, 2 * p, 8), word(b.high, 2 * p + 1, 8));
    return low >> (b.shift & 0xffu) & 0x0f0f0f0fu | (high >> (b.shift >> 8) & 0x03030303u) << 4;
}
#endif

#if TYPE > BF16
// Four bytes, signed ones in Q8_0.
vec4 bytes_of(uint q)
{
    if (TYPE == Q8_0) return vec4(signed_byte_of(q, 0), signed_byte_of(q, 1), signed_byte_of(q, 2), signed_byte_of(q, 3));
    return vec4(q & 0xffu, q >> 8 & 0xffu, q >> 16 & 0xffu, q >> 24);
}

void piece(Block b, uint p, out vec4 first, out vec4 second)
{
    uvec2 q = piece_bytes(b, p);
    float scale = HALVED || p < 2 ? b.scale.x : b.scale.y, low = HALVED || p < 2 ? b.low.x : b.low.y;
    first = bytes_of(q.x) * scale + low;
    second = bytes_of(q.y) * scale + low;
}
#endif

void unpack(uint row, uint k, uint n, out vec4 v[8])
{
    Block b = block_of(row, k, n);
    [[unroll]] for (uint p = 0; p < 4; p++) piece(b, p, v[FIRST_OF(p) / 4], v[SECOND_OF(p) / 4]);
}

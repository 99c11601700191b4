/* The element types: one table row each with name, block, unpacker and, where we write the type, packer. Conversions
 * between the float formats are done on the bit patterns, so results do not depend on the machine or its rounding mode.
 * F16 and BF16 keep NaN payloads as far as they fit. Integer types convert by value; sources need no alignment. */
#include "dtype.h"
#include "quant/quant.h"
#include "../base/ckd.h"
#include <string.h>

typedef void unpack_fn(const uint8_t *src, float *dst, int64_t n);
typedef void pack_fn(const float *src, uint8_t *dst, int64_t n);

static uint32_t float_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}

static float bits_float(uint32_t u)
{
    float f;
    memcpy(&f, &u, 4);
    return f;
}

float mm__f16_to_f32(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 1023;
    if (exponent == 31) return bits_float(sign | 0x7f800000 | fraction << 13);
    if (exponent) return bits_float(sign | (exponent + 112) << 23 | fraction << 13);
    return bits_float(sign | float_bits((float)fraction * 0x1p-24f)); /* subnormal: exact in F32 */
}

uint16_t mm__f32_to_f16(float f)
{
    const uint32_t u = float_bits(f), magnitude = u & 0x7fffffff;
    const uint16_t sign = (uint16_t)(u >> 16 & 0x8000);
    if (magnitude > 0x7f800000) {
        const uint32_t payload = magnitude >> 13 & 1023;
        return (uint16_t)(sign | 0x7c00 | (payload ? payload : 0x200));
    }
    if (magnitude >= 0x477ff000) return (uint16_t)(sign | 0x7c00); /* 65520 and above round to infinity */
    if (magnitude < 0x33000000) return sign;                      /* below 2^-25: zero */
    /* `kept` is the F16 pattern cut off below its last bit, `rest` of `half` the part that was cut. */
    uint32_t kept, rest, half;
    if (magnitude < 0x38800000) { /* subnormal: the last bit is 2^-24 */
        const uint32_t shift = 126 - (magnitude >> 23), fraction = (magnitude & 0x7fffff) | 0x800000;
        kept = fraction >> shift;
        rest = fraction & ((1u << shift) - 1);
        half = 1u << (shift - 1);
    } else {
        kept = (magnitude - 0x38000000) >> 13;
        rest = magnitude & 0x1fff;
        half = 0x1000;
    }
    if (rest > half || (rest == half && (kept & 1))) kept++;
    return (uint16_t)(sign | kept);
}

uint16_t mm__f32_to_bf16(float f)
{
    const uint32_t u = float_bits(f);
    if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static uint16_t load_u16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, 2);
    return v;
}

static void unpack_f32(const uint8_t *src, float *dst, int64_t n)
{
    memcpy(dst, src, (size_t)n * 4);
}

static void unpack_f16(const uint8_t *src, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++) dst[i] = mm__f16_to_f32(load_u16(src + 2 * i));
}

static void unpack_bf16(const uint8_t *src, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++) dst[i] = mm__bf16_to_f32(load_u16(src + 2 * i));
}

static void unpack_f64(const uint8_t *src, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        double v;
        memcpy(&v, src + 8 * i, 8);
        dst[i] = (float)v;
    }
}

static void unpack_i8(const uint8_t *src, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++) dst[i] = (float)(int8_t)src[i];
}

static void unpack_u8(const uint8_t *src, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++) dst[i] = (float)src[i];
}

static void unpack_i16(const uint8_t *src, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++) dst[i] = (float)(int16_t)load_u16(src + 2 * i);
}

static void unpack_i32(const uint8_t *src, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        int32_t v;
        memcpy(&v, src + 4 * i, 4);
        dst[i] = (float)v;
    }
}

static void unpack_i64(const uint8_t *src, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t v;
        memcpy(&v, src + 8 * i, 8);
        dst[i] = (float)v;
    }
}

static void pack_f32(const float *src, uint8_t *dst, int64_t n)
{
    memcpy(dst, src, (size_t)n * 4);
}

static void pack_f16(const float *src, uint8_t *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const uint16_t h = mm__f32_to_f16(src[i]);
        memcpy(dst + 2 * i, &h, 2);
    }
}

static void pack_bf16(const float *src, uint8_t *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const uint16_t h = mm__f32_to_bf16(src[i]);
        memcpy(dst + 2 * i, &h, 2);
    }
}

static const struct {
    mm__dtype_info info;
    unpack_fn *unpack;
    pack_fn *pack;
} types[MM__N_DTYPE] = {
    [MM__F32] = {{"F32", 1, 4}, unpack_f32, pack_f32},
    [MM__F16] = {{"F16", 1, 2}, unpack_f16, pack_f16},
    [MM__BF16] = {{"BF16", 1, 2}, unpack_bf16, pack_bf16},
    [MM__F64] = {{"F64", 1, 8}, unpack_f64, NULL},
    [MM__I8] = {{"I8", 1, 1}, unpack_i8, NULL},
    [MM__U8] = {{"U8", 1, 1}, unpack_u8, NULL},
    [MM__I16] = {{"I16", 1, 2}, unpack_i16, NULL},
    [MM__I32] = {{"I32", 1, 4}, unpack_i32, NULL},
    [MM__I64] = {{"I64", 1, 8}, unpack_i64, NULL},
    [MM__Q4_0] = {{"Q4_0", 32, 18}, mm__q4_0_unpack, NULL},
    [MM__Q4_1] = {{"Q4_1", 32, 20}, mm__q4_1_unpack, NULL},
    [MM__Q5_0] = {{"Q5_0", 32, 22}, mm__q5_0_unpack, NULL},
    [MM__Q5_1] = {{"Q5_1", 32, 24}, mm__q5_1_unpack, NULL},
    [MM__Q8_0] = {{"Q8_0", 32, 34}, mm__q8_0_unpack, mm__q8_0_pack},
    [MM__Q2_K] = {{"Q2_K", 256, 84}, mm__q2_k_unpack, NULL},
    [MM__Q3_K] = {{"Q3_K", 256, 110}, mm__q3_k_unpack, NULL},
    [MM__Q4_K] = {{"Q4_K", 256, 144}, mm__q4_k_unpack, NULL},
    [MM__Q5_K] = {{"Q5_K", 256, 176}, mm__q5_k_unpack, NULL},
    [MM__Q6_K] = {{"Q6_K", 256, 210}, mm__q6_k_unpack, NULL},
};

const mm__dtype_info *mm__dtype_info_of(mm__dtype t)
{
    return &types[t].info;
}

bool mm__dtype_row_bytes(mm__dtype t, int64_t cols, size_t *out)
{
    const mm__dtype_info *info = &types[t].info;
    if (cols < 0 || cols % info->block) return false;
    return mm__ckd_mul((size_t)(cols / info->block), info->bytes, out);
}

void mm__unpack_row(mm__dtype t, const void *src, float *dst, int64_t n)
{
    if (n > 0) types[t].unpack(src, dst, n);
}

bool mm__pack_row(mm__dtype t, const float *src, void *dst, int64_t n)
{
    if (!types[t].pack || n < 0 || n % types[t].info.block) return false;
    if (n) types[t].pack(src, dst, n);
    return true;
}

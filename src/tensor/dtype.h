/* Element types. A quantised type stores blocks of `block` elements in `bytes` bytes along the last axis; its layout is
 * described in quant/<type>.c. Numbers are our own and never written to files. */
#ifndef MM__TENSOR_DTYPE_H
#define MM__TENSOR_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum mm__dtype {
    MM__F32, MM__F16, MM__BF16, MM__F64, MM__I8, MM__U8, MM__I16, MM__I32, MM__I64,
    MM__Q4_0, MM__Q4_1, MM__Q5_0, MM__Q5_1, MM__Q8_0,
    MM__Q2_K, MM__Q3_K, MM__Q4_K, MM__Q5_K, MM__Q6_K,
    MM__N_DTYPE
} mm__dtype;

typedef struct mm__dtype_info {
    const char *name;      /* "F32", "Q4_K" */
    uint32_t block, bytes; /* elements and bytes of one block */
} mm__dtype_info;

const mm__dtype_info *mm__dtype_info_of(mm__dtype t);
static inline bool mm__dtype_is_quant(mm__dtype t) { return t >= MM__Q4_0; }
/* Bytes of one row of `cols` elements; false when cols is no multiple of the block or the size overflows. */
bool mm__dtype_row_bytes(mm__dtype t, int64_t cols, size_t *out);

/* Unpacks n elements (a multiple of the block) to float32, bit-exactly as the format defines. Integer types convert by
 * value. src needs no alignment. */
void mm__unpack_row(mm__dtype t, const void *src, float *dst, int64_t n);
/* Packs n floats; F32, F16, BF16 and Q8_0 only (round to nearest even; Q8_0 as arch-neutral ggml does). */
bool mm__pack_row(mm__dtype t, const float *src, void *dst, int64_t n);

float mm__f16_to_f32(uint16_t h);
uint16_t mm__f32_to_f16(float f); /* round to nearest even, overflow to infinity */
static inline float mm__bf16_to_f32(uint16_t b)
{
    union { uint32_t u; float f; } v = {(uint32_t)b << 16};
    return v.f;
}
uint16_t mm__f32_to_bf16(float f); /* round to nearest even, NaN stays NaN */

#endif

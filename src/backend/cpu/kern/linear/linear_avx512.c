/* LINEAR's table for AVX-512: F32 and int8 arithmetic. */
#include "linear_vec_avx512.h"
#include "linear_float.h"

static void multiply_f32(mm__dtype from, const void *panel, int64_t k, const void *tile, int width, float *sums)
{
    switch (width) {
    case 4: multiply_f32_width(panel, k, tile, 4, sums); break;
    case 8: multiply_f32_width(panel, k, tile, 8, sums); break;
    case 12: multiply_f32_width(panel, k, tile, 12, sums); break;
    default: multiply_f32_width(panel, k, tile, 16, sums);
    }
}

const mm__linear_isa mm__linear_isa_avx512 = {
    .arith = {
        [MM__FORM_F32] = {.tile = 16, .widths = {4, 8, 12, 16}, .convert = convert_f32, .multiply = multiply_f32},
        [MM__FORM_INT8] = {.tile = 16, .widths = {1, 2, 4, 8, 12, 16}, .convert = mm__linear_int8_convert_avx512, .multiply = mm__linear_int8_multiply_avx512,
                          .wide_bytes = mm__linear_int8_wide_bytes_avx512, .widen = mm__linear_int8_widen_avx512,
                          .multiply_wide = mm__linear_int8_multiply_wide_avx512},
        [MM__FORM_COARSE] = {.tile = 16, .widths = {1, 2, 4, 8, 12, 16}, .convert = mm__linear_coarse_convert_avx512,
                             .multiply = mm__linear_coarse_multiply_avx512},
    },
    .interleave = interleave,
    .unpack = mm__linear_unpack_avx2,
    .dot = dot,
    .finish = finish,
};

/* LINEAR's table for AVX-512 with BF16: as AVX-512, and BF16 arithmetic for float weights: each step multiplies two
 * columns of 16 weight rows with one row of the tile and adds to F32 sums. */
#include "linear_vec_avx512.h"
#include "linear_float.h"

static void multiply_f32(mm__dtype from, const void *panel, int64_t k, const void *tile, int width, float *sums)
{
    mm__linear_isa_avx512.arith[MM__FORM_F32].multiply(from, panel, k, tile, width, sums);
}

/* Columns in pieces of 512, so that the pairs of 16 rows wait in L1 for their transposition. */
static void convert_bf16(const float *const *rows, int n, int width, int64_t k, void *tile)
{
    enum { PIECE = 512 };
    _Alignas(64) uint16_t pieces[MM__LINEAR_MAX_TILE][PIECE];
    const void *from[MM__LINEAR_MAX_TILE];
    for (int r = 0; r < n; r++) from[r] = pieces[r];
    for (int64_t k0 = 0; k0 < k; k0 += PIECE) {
        const int64_t len = k - k0 < PIECE ? k - k0 : PIECE;
        for (int r = 0; r < n; r++)
            for (int64_t i = 0; i < len; i += 32) {
                const int left = (int)(len - i < 32 ? len - i : 32);
                const vf a = vf_load_n(rows[r] + k0 + i, left < 16 ? left : 16);
                const vf b = left > 16 ? vf_load_n(rows[r] + k0 + i + 16, left - 16) : vf_zero();
                _mm512_store_si512(pieces[r] + i, (__m512i)_mm512_cvtne2ps_pbh(b, a));
            }
        interleave32(from, n, width, (len + 1) / 2, (uint8_t *)tile + k0 / 2 * width * 4);
    }
}

/* sum + the two products of each lane of w with the pair at x. By hand for the reason given at vi_dot. */
V_INLINE vf dot_pairs(vf sum, vi w, const uint8_t *x)
{
    __asm__("vdpbf16ps %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(w), "m"(*(const int32_t *)(const void *)x));
    return sum;
}

V_INLINE void multiply_width(const uint8_t *panel, int64_t pairs, const uint8_t *tile, const int width, float *sums)
{
    vf acc[MM__LINEAR_MAX_TILE];
#pragma GCC unroll 16
    for (int t = 0; t < width; t++) acc[t] = vf_zero();
    for (int64_t i = 0; i < pairs; i++, panel += 64, tile += 4 * width) {
        _mm_prefetch((const char *)panel + 4096, _MM_HINT_T0);
        const vi w = vi_load(panel, 0);
#pragma GCC unroll 16
        for (int t = 0; t < width; t++) acc[t] = dot_pairs(acc[t], w, tile + 4 * t);
    }
#pragma GCC unroll 16
    for (int t = 0; t < width; t++) vf_store(sums + t * MM__LINEAR_PANEL, acc[t]);
}

static void multiply_bf16(mm__dtype from, const void *panel, int64_t k, const void *tile, int width, float *sums)
{
    const int64_t pairs = (k + 1) / 2;
    switch (width) {
    case 1: multiply_width(panel, pairs, tile, 1, sums); break;
    case 2: multiply_width(panel, pairs, tile, 2, sums); break;
    case 4: multiply_width(panel, pairs, tile, 4, sums); break;
    case 8: multiply_width(panel, pairs, tile, 8, sums); break;
    case 12: multiply_width(panel, pairs, tile, 12, sums); break;
    default: multiply_width(panel, pairs, tile, 16, sums);
    }
}

const mm__linear_isa mm__linear_isa_avx512bf16 = {
    .arith = {
        [MM__FORM_F32] = {.tile = 16, .widths = {4, 8, 12, 16}, .convert = convert_f32, .multiply = multiply_f32},
        [MM__FORM_INT8] = {.tile = 16, .widths = {1, 2, 4, 8, 12, 16}, .convert = mm__linear_int8_convert_avx512, .multiply = mm__linear_int8_multiply_avx512,
                          .wide_bytes = mm__linear_int8_wide_bytes_avx512, .widen = mm__linear_int8_widen_avx512,
                          .multiply_wide = mm__linear_int8_multiply_wide_avx512},
        [MM__FORM_COARSE] = {.tile = 16, .widths = {1, 2, 4, 8, 12, 16}, .convert = mm__linear_coarse_convert_avx512,
                             .multiply = mm__linear_coarse_multiply_avx512},
        [MM__FORM_BF16] = {.tile = 16, .widths = {1, 2, 4, 8, 12, 16}, .convert = convert_bf16, .multiply = multiply_bf16},
    },
    .interleave = interleave,
    .unpack = mm__linear_unpack_avx2,
    .dot = dot,
    .finish = finish,
};

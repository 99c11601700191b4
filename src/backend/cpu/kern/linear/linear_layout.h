/* Inside LINEAR: the packed form of a weight, the forms of activations, and the table an instruction set fills in.
 *
 * Packed weights. Rows are taken in panels of 16, the last one padded with zero rows; a panel is contiguous, so a mat-vec
 * reads one stream. A vector register holds the same few columns of all 16 rows, one 32-bit lane a row, so sums need no
 * horizontal step and one scale multiplies a whole register.
 *
 *   bf16 panel: for each pair of columns, 16 lanes of two BF16 (K padded to even with zeros).
 *   int8 panel: for each block of 32 columns, planes of codes and then scales; "quad z" is columns 4z .. 4z+3 of a block,
 *   byte 4 r + j of a plane belongs to row r, column j of the quad:
 *     nibble plane  4 x 64 bytes   quad z in the low nibbles of vector z (z < 4), in the high ones of vector z - 4
 *     pair plane    2 x 64 bytes   two bits: quad z in bits 2(z % 4).. of vector z / 4
 *     bit plane     1 x 64 bytes   one bit: quad z in bit z
 *     byte plane    8 x 64 bytes   quad z in vector z
 *     code = byte | nibble | pair << (4 when there are nibbles, else 0) | bit << (4 or 2, above the rest)
 *   Scales (S_*): see the enum. Formats of 256 elements keep their factor d (and dmin) once per 8 blocks, ahead of them.
 *
 *   coarse panel: for each block of 64 columns a byte plane of 16 quads, then f32 scale[16] and f32 total[16], the sum of the
 *     64 weights; code = value + 128
 *
 * Codes are unsigned; a format whose codes stand for code - 2^offset has its offset folded into the integer sum, which
 * starts from -(sum of activations) << offset.
 *
 * A panel that many tiles meet may be widened first, into the thread's scratch: byte planes, their offset now 128 where there
 * was one, and scales in F32 with d and dmin multiplied in. The numbers are those that the packed panel gives.
 *
 * Activations, in tiles of up to `tile` rows of x stored column-major ("width" rows, padded with zero rows):
 *   int8: for each block of 32, mm__linear_q8 high[width]; after all of these, for each block, int32 n and mm__linear_low of the
 *         n rows with a low plane
 *   coarse: for each block of 64, 16 quads of `width` rows each, f32 d[width], f32 middle[width], int32 minus[width];
 *         x = middle + d q, and minus is -128 times the sum of q
 *   bf16: for each pair of columns, width x two BF16
 *   f32:  for each column, width floats */
#ifndef MM__CPU_LINEAR_LAYOUT_H
#define MM__CPU_LINEAR_LAYOUT_H

#include "linear.h"

#define MM__LINEAR_BLOCK 32
#define MM__LINEAR_SUPER 8       /* blocks that share d and dmin in formats of 256 elements */
#define MM__LINEAR_INT8_BYTES (sizeof(mm__linear_q8) + 4 + sizeof(mm__linear_low)) /* at most, of a row and a block in an int8 tile */
#define MM__LINEAR_C8 64    /* columns of a coarse block */
#define MM__LINEAR_C8_BYTES (MM__LINEAR_PANEL * (MM__LINEAR_C8 + 8)) /* of one in a panel */
#define MM__LINEAR_C8_TILE(width) ((size_t)(width) * (MM__LINEAR_C8 + 12)) /* of one in a tile */
#define MM__LINEAR_MAX_TILE 16

/* Per block and row of a panel: */
enum {
    MM__S_HALF,      /* f16 d[16] */
    MM__S_HALF_MIN,  /* f16 d[16], f16 m[16]: code * d + m */
    MM__S_SUPER_MIN, /* ahead of 8 blocks f16 d[16], f16 dmin[16]; u8 scale[16], u8 min[16] */
    MM__S_SUPER,     /* ahead of 8 blocks f16 d[16]; i8 scale[2][16] of the halves of the block */
    MM__S_SUPER_NIB, /* ahead of 8 blocks f16 d[16], f16 dmin[16]; u8 [2][16]: low nibble scale, high nibble minimum */
    /* of widened panels; what a minimum is multiplied with is mm__linear_q8's minus */
    MM__S_WIDE,           /* f32 scale[16] */
    MM__S_WIDE_MIN,       /* f32 scale[16], f32 min[16] */
    MM__S_WIDE_HALVES,    /* f32 scale[2][16] of the halves of the block */
    MM__S_WIDE_HALVES_MIN /* f32 scale[2][16], f32 min[2][16] */
};

/* F(type, bits of a code, log2 of the offset or -1, scales) */
#define MM__LINEAR_FORMATS(F)                                                                                          \
    F(Q4_0, 4, 3, MM__S_HALF)                                                                                          \
    F(Q4_1, 4, -1, MM__S_HALF_MIN)                                                                                     \
    F(Q5_0, 5, 4, MM__S_HALF)                                                                                          \
    F(Q5_1, 5, -1, MM__S_HALF_MIN)                                                                                     \
    F(Q8_0, 8, 7, MM__S_HALF)                                                                                          \
    F(Q2_K, 2, -1, MM__S_SUPER_NIB)                                                                                    \
    F(Q3_K, 3, 2, MM__S_SUPER)                                                                                         \
    F(Q4_K, 4, -1, MM__S_SUPER_MIN)                                                                                    \
    F(Q5_K, 5, -1, MM__S_SUPER_MIN)                                                                                    \
    F(Q6_K, 6, 5, MM__S_SUPER)

/* A code's bits by plane, as compile-time constants. */
#define MM__HAS_NIBBLES(bits) ((bits) == 4 || (bits) == 5 || (bits) == 6)
#define MM__HAS_PAIRS(bits) ((bits) == 2 || (bits) == 3 || (bits) == 6)
#define MM__HAS_BIT(bits) ((bits) == 3 || (bits) == 5)
#define MM__CODE_BYTES(bits) ((bits) * 64)
#define MM__HAS_HALVES(scales) \
    ((scales) == MM__S_SUPER || (scales) == MM__S_SUPER_NIB || (scales) == MM__S_WIDE_HALVES || (scales) == MM__S_WIDE_HALVES_MIN)
#define MM__HAS_MIN(scales) \
    ((scales) != MM__S_HALF && (scales) != MM__S_SUPER && (scales) != MM__S_WIDE && (scales) != MM__S_WIDE_HALVES)
#define MM__IS_WIDE(scales) ((scales) >= MM__S_WIDE)
#define MM__WIDE_OF(scales) \
    (MM__HAS_HALVES(scales) ? MM__HAS_MIN(scales) ? MM__S_WIDE_HALVES_MIN : MM__S_WIDE_HALVES : MM__HAS_MIN(scales) ? MM__S_WIDE_MIN : MM__S_WIDE)
#define MM__SCALE_BYTES(scales) \
    (MM__IS_WIDE(scales) ? (64 << MM__HAS_HALVES(scales) << MM__HAS_MIN(scales)) : (scales) == MM__S_HALF_MIN ? 64 : 32)
#define MM__SUPER_BYTES(scales) ((scales) == MM__S_SUPER ? 32 : (scales) == MM__S_SUPER_MIN || (scales) == MM__S_SUPER_NIB ? 64 : 0)

/* A plane of a row in a block of 32 columns: d q, and -128 times the sums of q over all of it, the first and the second half. */
typedef struct mm__linear_q8 {
    uint8_t q[32];    /* int8 */
    float d;
    int32_t minus[3];
} mm__linear_q8;

/* A low plane, to be added to what the high one gives. */
typedef struct mm__linear_low {
    int32_t row;      /* of the tile */
    mm__linear_q8 of;
} mm__linear_low;

typedef enum mm__linear_form { MM__FORM_F32, MM__FORM_INT8, MM__FORM_COARSE, MM__FORM_BF16, MM__N_FORM } mm__linear_form;

struct mm__linear_packed {
    mm__linear_form form;
    uint8_t source;       /* mm__dtype of the rows that are packed */
    uint8_t from;         /* mm__dtype that int8 and bf16 panels hold: that one, or what it is turned into first */
    int64_t n, k;
    size_t row_bytes;     /* of a row of `source` */
    size_t panel_bytes, bytes;
    uint8_t *panels;      /* 64-byte aligned, in the same allocation */
    const struct mm__linear_isa *isa; /* what packs it */
};
_Static_assert(sizeof(struct mm__linear_packed) <= 64, "panels begin 64 bytes into the allocation");

/* One arithmetic on one instruction set. `width` is always one of widths[], which rises and ends with `tile`. */
typedef struct mm__linear_arith {
    int tile;
    uint8_t widths[8];    /* ends with 0 */
    /* Turns n rows of k floats into a tile of the given width. */
    void (*convert)(const float *const *rows, int n, int width, int64_t k, void *tile);
    /* sums[t][r] = panel row r . tile row t. */
    void (*multiply)(mm__dtype from, const void *panel, int64_t k, const void *tile, int width, float *sums);
    /* Where panels can be widened, else NULL. Bytes of one: 0 where it isn't worth it. multiply_wide gives the bits of multiply. */
    size_t (*wide_bytes)(mm__dtype from, int64_t k);
    void (*widen)(mm__dtype from, const void *panel, int64_t k, void *wide);
    void (*multiply_wide)(mm__dtype from, const void *wide, int64_t k, const void *tile, int width, float *sums);
} mm__linear_arith;

/* Where 16 columns of up to a tile of rows go. */
typedef struct mm__linear_dest {
    const float *bias;    /* at the panel's first column, or NULL */
    const float *const *residual; /* rows at the panel's first column, or NULL */
    float *const *out;
    int rows, cols;
    mm__act act;
} mm__linear_dest;

typedef struct mm__linear_isa {
    mm__linear_arith arith[MM__N_FORM]; /* tile 0: the form is not available */
    /* A panel of k x 16 floats from 16 rows of k floats. */
    void (*interleave)(const float *const *rows, int n, int width, int64_t k, float *dst);
    void (*unpack)(mm__dtype t, const void *src, float *dst, int64_t n);
    float (*dot)(const float *a, const float *b, int64_t n);
    void (*finish)(const float *sums, const mm__linear_dest *d);
} mm__linear_isa;

extern const mm__linear_isa mm__linear_isa_avx2, mm__linear_isa_avxvnni, mm__linear_isa_avx512, mm__linear_isa_avx512bf16;

/* AVX-512 pieces shared by both AVX-512 tables. */
void mm__linear_int8_multiply_avx512(mm__dtype from, const void *panel, int64_t k, const void *tile, int width, float *sums);
void mm__linear_int8_convert_avx512(const float *const *rows, int n, int width, int64_t k, void *tile);
/* n rows of MM__LINEAR_C8 floats become a block of a coarse panel. */
void mm__linear_coarse_pack_avx512(const float *const *rows, int n, uint8_t *block);
void mm__linear_coarse_convert_avx512(const float *const *rows, int n, int width, int64_t k, void *tile);
void mm__linear_coarse_multiply_avx512(mm__dtype from, const void *panel, int64_t k, const void *tile, int width, float *sums);
size_t mm__linear_int8_wide_bytes_avx512(mm__dtype from, int64_t k);
void mm__linear_int8_widen_avx512(mm__dtype from, const void *panel, int64_t k, void *wide);
void mm__linear_int8_multiply_wide_avx512(mm__dtype from, const void *wide, int64_t k, const void *tile, int width, float *sums);

/* float32 from any type, vectorised for the quantised ones; bit-equal to mm__unpack_row. */
void mm__linear_unpack_avx2(mm__dtype t, const void *src, float *dst, int64_t n);

#endif

/* Builds the packed form of a weight (layout: linear_layout.h): int8 panels from quantised blocks, BF16 panels from
 * float rows. Runs once for each tensor at load time, so loading waits for it: panels are independent and the caller
 * spreads them over threads. For an int8 panel the planes of each row are put together first, on words of eight codes
 * (little-endian, as every processor with packed weights is), and those of 16 rows are then interleaved; BF16 panels are
 * made by what makes tiles of activations, which have the same layout. Rows of floats that become Q8_0 do so piece by piece. */
#include "linear_layout.h"
#include "../../../../base/ckd.h"
#include "../../../../base/error.h"
#include "../../../../tensor/quant/quant.h"
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

/* The same byte eight times. */
#define EACH(byte) ((byte) * UINT64_C(0x0101010101010101))

/* A block of 32 columns of a row. */
typedef struct block {
    uint64_t code[4];                 /* byte j of word i: column 8 i + j */
    uint8_t half[2], half_min[2];     /* MM__S_HALF*: f16 fields as stored */
    uint8_t scale[2], min[2];         /* sub-scales of the halves of the block (or of all of it: [0]) */
} block;

typedef struct format {
    int bits, scales;
} format;

static const format formats[MM__N_DTYPE] = {
#define F(type, bits, offset, scales) [MM__##type] = {bits, scales},
    MM__LINEAR_FORMATS(F)
#undef F
};

/* Eight bits, lowest first, become the bits 4 of eight bytes: each is alone in its byte, then at the top of it. */
INLINE uint64_t fifth_bits(uint8_t bits)
{
    const uint64_t alone = EACH(bits) & UINT64_C(0x8040201008040201);
    return (alone + EACH(0x7f)) >> 3 & EACH(16);
}

INLINE void read_simple(const mm__dtype t, const uint8_t *src, block *b)
{
    const bool has_min = t == MM__Q4_1 || t == MM__Q5_1, has_fifth = t == MM__Q5_0 || t == MM__Q5_1;
    const uint8_t *fifth = src + (has_min ? 4 : 2);
    uint64_t w[2];
    memcpy(b->half, src, 2);
    if (has_min) memcpy(b->half_min, src + 2, 2);
    if (t == MM__Q8_0) {
        memcpy(b->code, src + 2, 32);
        for (int i = 0; i < 4; i++) b->code[i] ^= EACH(128);
        return;
    }
    memcpy(w, fifth + (has_fifth ? 4 : 0), 16);
    for (int i = 0; i < 4; i++) b->code[i] = (w[i % 2] >> i / 2 * 4 & EACH(15)) | (has_fifth ? fifth_bits(fifth[i]) : 0);
}

INLINE int sub_scale_q3(const uint8_t *s, int i)
{
    return ((i < 8 ? s[i] & 15 : s[i - 8] >> 4) | (s[8 + i % 4] >> (i / 4 * 2) & 3) << 4) - 32;
}

/* Group `g` of 32 of the block of 256 at src. */
INLINE void read_super(const mm__dtype t, const uint8_t *src, int g, block *b)
{
    uint64_t w[4], h[4];
    int scale, min;
    switch (t) {
    case MM__Q2_K:
        memcpy(w, src + 16 + g / 4 * 32, 32);
        for (int i = 0; i < 4; i++) b->code[i] = w[i] >> g % 4 * 2 & EACH(3);
        memcpy(b->scale, src + 2 * g, 2);
        break;
    case MM__Q3_K:
        memcpy(w, src + 32 + g / 4 * 32, 32);
        memcpy(h, src, 32);
        for (int i = 0; i < 4; i++) b->code[i] = (w[i] >> g % 4 * 2 & EACH(3)) | (h[i] >> g & EACH(1)) << 2;
        for (int i = 0; i < 2; i++) b->scale[i] = (uint8_t)sub_scale_q3(src + 96, 2 * g + i);
        break;
    case MM__Q6_K:
        memcpy(w, src + g / 4 * 64 + g % 2 * 32, 32);
        memcpy(h, src + 128 + g / 4 * 32, 32);
        for (int i = 0; i < 4; i++) b->code[i] = (w[i] >> g % 4 / 2 * 4 & EACH(15)) | (h[i] >> g % 4 * 2 & EACH(3)) << 4;
        memcpy(b->scale, src + 192 + 2 * g, 2);
        break;
    default: /* Q4_K, Q5_K */
        memcpy(w, src + (t == MM__Q4_K ? 16 : 48) + g / 2 * 32, 32);
        memcpy(h, src + 16, 32);
        for (int i = 0; i < 4; i++) b->code[i] = (w[i] >> g % 2 * 4 & EACH(15)) | (t == MM__Q5_K ? (h[i] >> g & EACH(1)) << 4 : 0);
        mm__quant_scale_min(src + 4, g, &scale, &min);
        b->scale[0] = (uint8_t)scale;
        b->min[0] = (uint8_t)min;
    }
}

/* The planes of a row and a block: `bits` quads at dst, each 4 bytes of what is 64 bytes in a panel. */
INLINE void put_codes(const int bits, const uint64_t c[4], uint8_t *dst)
{
    int shift = 0;
    if (bits == 8) {
        memcpy(dst, c, 32);
        return;
    }
    if (MM__HAS_NIBBLES(bits)) {
        const uint64_t v[2] = {(c[0] & EACH(15)) | (c[2] & EACH(15)) << 4, (c[1] & EACH(15)) | (c[3] & EACH(15)) << 4};
        memcpy(dst, v, 16);
        dst += 16;
        shift = 4;
    }
    if (MM__HAS_PAIRS(bits)) {
        for (int y = 0; y < 2; y++, dst += 4) {
            const uint64_t a = c[2 * y] >> shift & EACH(3), b = c[2 * y + 1] >> shift & EACH(3);
            const uint32_t v = (uint32_t)(a | a >> 30 | b << 4 | b >> 26);
            memcpy(dst, &v, 4);
        }
        shift += 2;
    }
    if (MM__HAS_BIT(bits)) {
        uint32_t v = 0;
        for (int y = 0; y < 4; y++) {
            const uint64_t a = c[y] >> shift & EACH(1);
            v |= (uint32_t)(a | a >> 31) << (2 * y);
        }
        memcpy(dst, &v, 4);
    }
}

INLINE void put_scales(const int scales, const block *b, int r, uint8_t *dst)
{
    switch (scales) {
    case MM__S_HALF_MIN: memcpy(dst + 32 + 2 * r, b->half_min, 2); /* fall through */
    case MM__S_HALF: memcpy(dst + 2 * r, b->half, 2); break;
    case MM__S_SUPER_MIN:
        dst[r] = b->scale[0];
        dst[16 + r] = b->min[0];
        break;
    default:
        dst[r] = b->scale[0];
        dst[16 + r] = b->scale[1];
    }
}

/* d and dmin of the block of 256 at src. */
INLINE void put_super(const mm__dtype t, const int scales, const uint8_t *src, int r, uint8_t *dst)
{
    const int at = t == MM__Q2_K ? 80 : t == MM__Q3_K ? 108 : t == MM__Q6_K ? 208 : 0;
    memcpy(dst + 2 * r, src + at, 2);
    if (scales != MM__S_SUPER) memcpy(dst + 32 + 2 * r, src + at + 2, 2);
}

/* n rows of a quantised type; t, bits and scales are constants at every call. */
INLINE void pack_int8(const mm__dtype t, const int bits, const int scales, const mm__linear_isa *isa, const uint8_t *src, size_t row_bytes,
                      int n, int64_t k, uint8_t *panel)
{
    enum { GROUP = 8 };
    _Alignas(64) uint8_t planes[MM__LINEAR_PANEL][GROUP * 32], all[MM__LINEAR_PANEL * GROUP * 32];
    const float *rows[MM__LINEAR_PANEL];
    const size_t codes = (size_t)bits * 4, block_bytes = 16 * codes + MM__SCALE_BYTES(scales);
    const size_t from_bytes = mm__dtype_info_of(t)->bytes;
    for (int r = 0; r < n; r++) rows[r] = (const float *)(const void *)planes[r];
    for (int64_t i0 = 0; i0 < k / 32; i0 += GROUP, src += MM__SUPER_BYTES(scales) ? from_bytes : GROUP * from_bytes) {
        const int group = (int)(k / 32 - i0 < GROUP ? k / 32 - i0 : GROUP);
        for (int r = 0; r < n && MM__SUPER_BYTES(scales); r++) put_super(t, scales, src + (size_t)r * row_bytes, r, panel);
        panel += MM__SUPER_BYTES(scales);
        for (int r = 0; r < n; r++)
            for (int i = 0; i < group; i++) {
                const uint8_t *from = src + (size_t)r * row_bytes;
                block b;
                if (MM__SUPER_BYTES(scales)) read_super(t, from, i, &b);
                else read_simple(t, from + (size_t)i * from_bytes, &b);
                put_codes(bits, b.code, planes[r] + codes * (size_t)i);
                put_scales(scales, &b, r, panel + block_bytes * (size_t)i + 16 * codes);
            }
        isa->interleave(rows, n, MM__LINEAR_PANEL, (int64_t)codes / 4 * group, (float *)(void *)all);
        for (int i = 0; i < group; i++, panel += block_bytes) memcpy(panel, all + 16 * codes * (size_t)i, 16 * codes);
    }
}

/* n rows of a float type as Q8_0. */
static void pack_q8_0_panel(const mm__linear_packed *p, const uint8_t *src, int n, uint8_t *panel)
{
    enum { PIECE = 256, PIECE_BYTES = PIECE / 32 * 34 };
    const size_t each = mm__dtype_info_of((mm__dtype)p->source)->bytes;
    float x[PIECE];
    uint8_t blocks[MM__LINEAR_PANEL * PIECE_BYTES];
    for (int64_t k0 = 0; k0 < p->k; k0 += PIECE, panel += (PIECE / 32) * (MM__CODE_BYTES(8) + MM__SCALE_BYTES(MM__S_HALF))) {
        const int64_t len = p->k - k0 < PIECE ? p->k - k0 : PIECE;
        for (int r = 0; r < n; r++) {
            mm__linear_unpack_avx2((mm__dtype)p->source, src + (size_t)r * p->row_bytes + (size_t)k0 * each, x, len);
            mm__q8_0_pack(x, blocks + r * PIECE_BYTES, len);
        }
        pack_int8(MM__Q8_0, 8, MM__S_HALF, p->isa, blocks, PIECE_BYTES, n, len, panel);
    }
}

static void pack_int8_panel(const mm__linear_packed *p, const uint8_t *src, int n, uint8_t *panel)
{
    if (p->source != p->from) {
        pack_q8_0_panel(p, src, n, panel);
        return;
    }
    switch ((mm__dtype)p->from) {
#define F(type, bits, offset, scales) \
    case MM__##type: pack_int8(MM__##type, bits, scales, p->isa, src, p->row_bytes, n, p->k, panel); break;
        MM__LINEAR_FORMATS(F)
#undef F
    default: break;
    }
}

/* n rows of a float type. */
static void pack_bf16_panel(mm__dtype t, const uint8_t *src, size_t row_bytes, int n, int64_t k, uint8_t *panel)
{
    enum { PIECE = 256 };
    const uint32_t each = mm__dtype_info_of(t)->bytes;
    float pieces[MM__LINEAR_PANEL][PIECE];
    const float *rows[MM__LINEAR_PANEL];
    for (int r = 0; r < n; r++) rows[r] = pieces[r];
    for (int64_t k0 = 0; k0 < k; k0 += PIECE) {
        const int64_t len = k - k0 < PIECE ? k - k0 : PIECE;
        for (int r = 0; r < n; r++) mm__linear_unpack_avx2(t, src + (size_t)r * row_bytes + k0 * each, pieces[r], len);
        mm__linear_isa_avx512bf16.arith[MM__FORM_BF16].convert(rows, n, MM__LINEAR_PANEL, len, panel + k0 / 2 * 64);
    }
}

/* n rows of a float type, K a multiple of MM__LINEAR_C8. */
static void pack_coarse_panel(mm__dtype t, const uint8_t *src, size_t row_bytes, int n, int64_t k, uint8_t *panel)
{
    const size_t each = mm__dtype_info_of(t)->bytes;
    float pieces[MM__LINEAR_PANEL][MM__LINEAR_C8];
    const float *rows[MM__LINEAR_PANEL];
    for (int r = 0; r < n; r++) rows[r] = pieces[r];
    for (int64_t k0 = 0; k0 < k; k0 += MM__LINEAR_C8, panel += MM__LINEAR_C8_BYTES) {
        for (int r = 0; r < n; r++)
            mm__linear_unpack_avx2(t, src + (size_t)r * row_bytes + (size_t)k0 * each, pieces[r], MM__LINEAR_C8);
        mm__linear_coarse_pack_avx512(rows, n, panel);
    }
}

/* Bytes of a panel; false on overflow. */
static bool panel_bytes(mm__linear_form form, mm__dtype t, int64_t k, size_t *out)
{
    if (form == MM__FORM_BF16) return mm__ckd_mul((size_t)k / 2 + (size_t)k % 2, (size_t)64, out);
    if (form == MM__FORM_COARSE) return mm__ckd_mul((size_t)k / MM__LINEAR_C8, (size_t)MM__LINEAR_C8_BYTES, out);
    const format f = formats[t];
    size_t supers;
    if (!mm__ckd_mul((size_t)k / 32, (size_t)(MM__CODE_BYTES(f.bits) + MM__SCALE_BYTES(f.scales)), out)) return false;
    return mm__ckd_mul((size_t)k / 256, (size_t)MM__SUPER_BYTES(f.scales), &supers) && mm__ckd_add(*out, supers, out);
}

/* The form of rows of k elements, and the type *from that they have in it; false where raw rows are the best. */
static bool choose_form(unsigned isa, mm__linear_grade grade, mm__dtype t, int64_t k, mm__linear_form *form, mm__dtype *from)
{
    if (grade == MM__LINEAR_EXACT || !(isa & (MM__ISA_AVX2 | MM__ISA_AVX512))) return false;
    const bool is_float = t == MM__F32 || t == MM__F16 || t == MM__BF16;
    *from = t;
    *form = MM__FORM_COARSE;
    if (is_float && grade == MM__LINEAR_COARSE && k % MM__LINEAR_C8 == 0 && (isa & MM__ISA_AVX512)) return true;
    *from = is_float && grade == MM__LINEAR_COARSE && k % MM__LINEAR_BLOCK == 0 ? MM__Q8_0 : t;
    *form = formats[*from].bits ? MM__FORM_INT8 : MM__FORM_BF16;
    return *form == MM__FORM_INT8 || (is_float && (isa & MM__ISA_AVX512BF16));
}

mm_status mm__linear_packed_new(mm__mem *mem, unsigned isa, mm__linear_grade grade, mm__dtype t, const mm__shape *shape,
                                mm__linear_packed **out, mm_error *err)
{
    mm__linear_form form;
    mm__dtype from;
    const int64_t n = mm__shape_rows(shape), k = mm__shape_cols(shape);
    size_t row, panel, all;
    *out = NULL;
    if (n < 1 || k < 1 || !choose_form(isa, grade, t, k, &form, &from)) return MM_OK;
    const size_t panels = (size_t)n / MM__LINEAR_PANEL + (n % MM__LINEAR_PANEL != 0);
    if (!mm__dtype_row_bytes(t, k, &row) || !panel_bytes(form, from, k, &panel) || !mm__ckd_mul(panel, panels, &all) ||
        !mm__ckd_add(all, (size_t)64, &all))
        return mm__nomem(err, "packed weight");
    mm__linear_packed *p = mm__alloc_weights(mem, all);
    if (!p) return mm__nomem(err, "packed weight");
    memset(p, 0, all);
    *p = (mm__linear_packed){
        .form = form, .source = (uint8_t)t, .from = (uint8_t)from, .n = n, .k = k, .row_bytes = row, .panel_bytes = panel,
        .bytes = all, .panels = (uint8_t *)p + 64,
        .isa = isa & MM__ISA_AVX512 ? &mm__linear_isa_avx512 : &mm__linear_isa_avx2, /* AVX-VNNI packs as AVX2 does */
    };
    *out = p;
    return MM_OK;
}

void mm__linear_pack_panel(mm__linear_packed *p, int64_t panel, const void *rows)
{
    const int64_t left = p->n - panel * MM__LINEAR_PANEL;
    const int n = (int)(left < MM__LINEAR_PANEL ? left : MM__LINEAR_PANEL);
    uint8_t *dst = p->panels + (size_t)panel * p->panel_bytes;
    if (p->form == MM__FORM_BF16) pack_bf16_panel((mm__dtype)p->from, rows, p->row_bytes, n, p->k, dst);
    else if (p->form == MM__FORM_COARSE) pack_coarse_panel((mm__dtype)p->from, rows, p->row_bytes, n, p->k, dst);
    else pack_int8_panel(p, rows, n, dst);
}

int64_t mm__linear_panels(const mm__linear_packed *p) { return (p->n + MM__LINEAR_PANEL - 1) / MM__LINEAR_PANEL; }
size_t mm__linear_packed_bytes(const mm__linear_packed *p) { return p->bytes; }

mm_status mm__linear_pack(mm__mem *mem, unsigned isa, mm__linear_grade grade, mm__tensor *t, bool keep_raw, mm_error *err)
{
    mm__linear_packed *p;
    if (t->packed || !t->data) return MM_OK;
    const mm_status s = mm__linear_packed_new(mem, isa, grade, t->dtype, &t->shape, &p, err);
    if (s < 0 || !p) return s;
    for (int64_t i = 0; i < mm__linear_panels(p); i++)
        mm__linear_pack_panel(p, i, (const uint8_t *)t->data + (size_t)i * MM__LINEAR_PANEL * p->row_bytes);
    t->packed = p;
    t->bytes = p->bytes;
    if (keep_raw) {
        t->bytes += p->row_bytes * (size_t)p->n;
    } else {
        mm__free(mem, t->data);
        t->data = NULL;
    }
    return MM_OK;
}

void mm__linear_pack_free(mm__mem *mem, mm__tensor *t)
{
    if (!t) return;
    mm__free(mem, t->packed);
    t->packed = NULL;
}

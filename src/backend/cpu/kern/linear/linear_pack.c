/* Builds the packed form of a weight (layout: linear_layout.h): int8 panels from quantised blocks, BF16 panels from
 * float rows. Portable C on 32-bit groups of four codes, so a byte-order-neutral loop per block and row.
 * Runs once per tensor at load time, on one thread; the tensors of a model are packed in parallel by the caller. */
#include "linear_layout.h"
#include "../../../../base/ckd.h"
#include "../../../../base/error.h"
#include "../../../../tensor/quant/quant.h"
#include <string.h>

/* Codes of block `b` of 32 columns of a row: quad z is code[4z .. 4z + 3]. */
typedef struct block {
    uint8_t code[32];
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

static void nibbles(const uint8_t *qs, uint8_t *code)
{
    for (int j = 0; j < 16; j++) {
        code[j] = qs[j] & 15;
        code[j + 16] = qs[j] >> 4;
    }
}

static void fifth_bits(uint32_t qh, uint8_t *code)
{
    for (int j = 0; j < 32; j++) code[j] |= (uint8_t)((qh >> j & 1) << 4);
}

static void read_simple(mm__dtype t, const uint8_t *src, block *b)
{
    const bool has_min = t == MM__Q4_1 || t == MM__Q5_1;
    memcpy(b->half, src, 2);
    if (has_min) memcpy(b->half_min, src + 2, 2);
    src += has_min ? 4 : 2;
    if (t == MM__Q8_0) {
        for (int j = 0; j < 32; j++) b->code[j] = src[j] ^ 128;
    } else if (t == MM__Q5_0 || t == MM__Q5_1) {
        nibbles(src + 4, b->code);
        fifth_bits(mm__quant_u32(src), b->code);
    } else {
        nibbles(src, b->code);
    }
}

/* Group `g` of 32 of the block of 256 at src. */
static void read_super(mm__dtype t, const uint8_t *src, int g, block *b)
{
    int scale, min;
    switch (t) {
    case MM__Q2_K:
        for (int l = 0; l < 32; l++) b->code[l] = src[16 + g / 4 * 32 + l] >> (g % 4 * 2) & 3;
        memcpy(b->scale, src + 2 * g, 2);
        break;
    case MM__Q3_K:
        for (int l = 0; l < 32; l++)
            b->code[l] = (uint8_t)((src[32 + g / 4 * 32 + l] >> (g % 4 * 2) & 3) | (src[l] >> g & 1) << 2);
        for (int i = 0; i < 2; i++) {
            const int s = 2 * g + i, low = s < 8 ? src[96 + s] & 15 : src[96 + s - 8] >> 4;
            b->scale[i] = (uint8_t)((low | (src[104 + s % 4] >> (s / 4 * 2) & 3) << 4) - 32);
        }
        break;
    case MM__Q6_K:
        for (int l = 0; l < 32; l++) {
            const int half = g / 4, quarter = g % 4;
            const int low = src[64 * half + 32 * (quarter % 2) + l] >> (quarter / 2 * 4) & 15;
            b->code[l] = (uint8_t)(low | (src[128 + 32 * half + l] >> (2 * quarter) & 3) << 4);
        }
        memcpy(b->scale, src + 192 + 2 * g, 2);
        break;
    default: /* Q4_K, Q5_K */
        for (int l = 0; l < 32; l++) {
            const uint8_t *qs = src + (t == MM__Q4_K ? 16 : 48);
            b->code[l] = qs[g / 2 * 32 + l] >> (g % 2 * 4) & 15;
            if (t == MM__Q5_K) b->code[l] |= (uint8_t)((src[16 + l] >> g & 1) << 4);
        }
        mm__quant_scale_min(src + 4, g, &scale, &min);
        b->scale[0] = (uint8_t)scale;
        b->min[0] = (uint8_t)min;
    }
}

static uint32_t load_quad(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

static void store_quad(uint8_t *p, uint32_t v) { memcpy(p, &v, 4); }

/* Spreads the codes of row r over the planes at dst. */
static void put_codes(int bits, const uint8_t *code, int r, uint8_t *dst)
{
    uint32_t quad[8];
    for (int z = 0; z < 8; z++) quad[z] = load_quad(code + 4 * z);
    dst += 4 * r;
    if (bits == 8) {
        for (int z = 0; z < 8; z++) store_quad(dst + 64 * z, quad[z]);
        return;
    }
    int shift = 0;
    if (MM__HAS_NIBBLES(bits)) {
        for (int z = 0; z < 4; z++) store_quad(dst + 64 * z, (quad[z] & 0x0f0f0f0f) | (quad[z + 4] & 0x0f0f0f0f) << 4);
        dst += 256;
        shift = 4;
    }
    if (MM__HAS_PAIRS(bits)) {
        for (int y = 0; y < 2; y++) {
            uint32_t v = 0;
            for (int s = 0; s < 4; s++) v |= (quad[4 * y + s] >> shift & 0x03030303) << (2 * s);
            store_quad(dst + 64 * y, v);
        }
        dst += 128;
        shift += 2;
    }
    if (MM__HAS_BIT(bits)) {
        uint32_t v = 0;
        for (int z = 0; z < 8; z++) v |= (quad[z] >> shift & 0x01010101) << z;
        store_quad(dst, v);
    }
}

static void put_scales(int scales, const block *b, int r, uint8_t *dst)
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
static void put_super(mm__dtype t, const uint8_t *src, int r, uint8_t *dst)
{
    const int at = t == MM__Q2_K ? 80 : t == MM__Q3_K ? 108 : t == MM__Q6_K ? 208 : 0;
    memcpy(dst + 2 * r, src + at, 2);
    if (formats[t].scales != MM__S_SUPER) memcpy(dst + 32 + 2 * r, src + at + 2, 2);
}

static void pack_int8_row(mm__dtype t, const uint8_t *src, int64_t k, int r, uint8_t *panel)
{
    const format f = formats[t];
    const mm__dtype_info *info = mm__dtype_info_of(t);
    const int per_block = (int)info->block / 32;
    for (int64_t i = 0; i < k / 32; i++) {
        const int g = (int)(i % per_block);
        block b;
        if (per_block == 1) {
            read_simple(t, src, &b);
        } else {
            if (g == 0) {
                put_super(t, src, r, panel);
                panel += MM__SUPER_BYTES(f.scales);
            }
            read_super(t, src, g, &b);
        }
        put_codes(f.bits, b.code, r, panel);
        put_scales(f.scales, &b, r, panel + MM__CODE_BYTES(f.bits));
        panel += MM__CODE_BYTES(f.bits) + MM__SCALE_BYTES(f.scales);
        if (g == per_block - 1) src += info->bytes;
    }
}

static void pack_bf16_row(mm__dtype t, const uint8_t *src, int64_t k, int r, uint8_t *panel)
{
    enum { PIECE = 256 };
    const uint32_t each = mm__dtype_info_of(t)->bytes;
    float piece[PIECE];
    for (int64_t k0 = 0; k0 < k; k0 += PIECE) {
        const int64_t n = k - k0 < PIECE ? k - k0 : PIECE;
        mm__unpack_row(t, src + k0 * each, piece, n);
        for (int64_t i = 0; i < n; i++) {
            const uint16_t h = mm__f32_to_bf16(piece[i]);
            memcpy(panel + (k0 + i) / 2 * 64 + 4 * r + (k0 + i) % 2 * 2, &h, 2);
        }
    }
}

/* Bytes of a panel; false on overflow. */
static bool panel_bytes(mm__linear_form form, mm__dtype t, int64_t k, size_t *out)
{
    if (form == MM__FORM_BF16) return mm__ckd_mul((size_t)k / 2 + (size_t)k % 2, (size_t)64, out);
    const format f = formats[t];
    size_t supers;
    if (!mm__ckd_mul((size_t)k / 32, (size_t)(MM__CODE_BYTES(f.bits) + MM__SCALE_BYTES(f.scales)), out)) return false;
    return mm__ckd_mul((size_t)k / 256, (size_t)MM__SUPER_BYTES(f.scales), &supers) && mm__ckd_add(*out, supers, out);
}

static bool choose_form(unsigned isa, bool exact, mm__dtype t, mm__linear_form *form)
{
    if (exact || !(isa & (MM__ISA_AVX2 | MM__ISA_AVX512))) return false;
    if (formats[t].bits) {
        *form = MM__FORM_INT8;
        return true;
    }
    *form = MM__FORM_BF16;
    return (isa & MM__ISA_AVX512BF16) && (t == MM__F32 || t == MM__F16 || t == MM__BF16);
}

mm_status mm__linear_pack(mm__mem *mem, unsigned isa, bool exact, mm__tensor *t, bool keep_raw, mm_error *err)
{
    mm__linear_form form;
    const int64_t n = mm__shape_rows(&t->shape), k = mm__shape_cols(&t->shape);
    size_t row, panel, all;
    if (t->packed || !t->data || n < 1 || k < 1 || !choose_form(isa, exact, t->dtype, &form)) return MM_OK;
    const size_t panels = (size_t)n / MM__LINEAR_PANEL + (n % MM__LINEAR_PANEL != 0);
    if (!mm__dtype_row_bytes(t->dtype, k, &row) || !panel_bytes(form, t->dtype, k, &panel) ||
        !mm__ckd_mul(panel, panels, &all) || !mm__ckd_add(all, (size_t)64, &all))
        return mm__nomem(err, "packed weight");
    mm__linear_packed *p = mm__zalloc(mem, all);
    if (!p) return mm__nomem(err, "packed weight");
    *p = (mm__linear_packed){form, t->dtype, n, k, panel, (uint8_t *)p + 64};
    for (int64_t i = 0; i < n; i++) {
        uint8_t *dst = p->panels + (size_t)(i / MM__LINEAR_PANEL) * panel;
        const uint8_t *src = (const uint8_t *)t->data + (size_t)i * row;
        const int r = (int)(i % MM__LINEAR_PANEL);
        if (form == MM__FORM_INT8) pack_int8_row(t->dtype, src, k, r, dst);
        else pack_bf16_row(t->dtype, src, k, r, dst);
    }
    t->packed = p;
    t->bytes = all;
    if (keep_raw) {
        t->bytes += row * (size_t)n;
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

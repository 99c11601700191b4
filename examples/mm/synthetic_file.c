/* Containers around random weights: GGUF, safetensors, whisper.cpp's .bin. Each file becomes a header and, for each tensor,
 * the bytes of one pattern repeated, so that a file of gigabytes takes no memory and no time to make. Patterns are made
 * once for each element type: floats in +-0.035 (the spread of a fresh transformer), blocks of random quants whose scales
 * give about the same, with means near zero. */
#include "synthetic.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define PATTERN_BYTES (256u << 10)

static const struct { const char *safetensors; uint32_t ggml, block, bytes; } elements[N_ELEMENTS] = {
    [F32] = {"F32", 0, 1, 4},   [F16] = {"F16", 1, 1, 2},        [Q8_0] = {NULL, 8, 32, 34},
    [Q4_0] = {NULL, 2, 32, 18}, [Q4_K] = {NULL, 12, 256, 144},   [Q6_K] = {NULL, 14, 256, 210},
};

static void *checked(void *p)
{
    if (p) return p;
    fputs("mm: out of memory\n", stderr);
    exit(EXIT_RUN);
}

void blob_put(blob *b, const void *p, size_t n)
{
    if (b->n + n > b->cap) b->data = checked(realloc(b->data, b->cap = 2 * b->cap + n));
    memcpy(b->data + b->n, p, n);
    b->n += n;
}

void blob_u32(blob *b, uint32_t v) { blob_put(b, &v, sizeof v); }
static void blob_u64(blob *b, uint64_t v) { blob_put(b, &v, sizeof v); }

void blob_text(blob *b, const char *fmt, ...)
{
    char s[1024];
    va_list ap;
    va_start(ap, fmt);
    const int n = vsnprintf(s, sizeof s, fmt, ap);
    va_end(ap);
    blob_put(b, s, (size_t)n);
}

void add_tensor(tensors *t, element type, fill with, const uint64_t shape[4], const char *fmt, ...)
{
    va_list ap;
    t->items = checked(realloc(t->items, (t->n + 1) * sizeof *t->items));
    tensor *x = &t->items[t->n++];
    memset(x, 0, sizeof *x);
    va_start(ap, fmt);
    vsnprintf(x->name, sizeof x->name, fmt, ap);
    va_end(ap);
    x->type = type;
    x->fill = with;
    while (x->n < 4 && shape[x->n]) x->n++;
    memcpy(x->shape, shape, sizeof x->shape);
}

static uint64_t tensor_bytes(const tensor *t)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < t->n; i++) n *= t->shape[i];
    return n / elements[t->type].block * elements[t->type].bytes;
}

/* ---- patterns ---- */

static uint8_t *patterns[N_ELEMENTS][2]; /* noise, ones; kept until the end */
static size_t pattern_bytes(element e) { return PATTERN_BYTES / elements[e].bytes * elements[e].bytes; }

/* Of ordinary size; what is too small for that becomes the smallest that is. */
static uint16_t half(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    const uint32_t sign = u >> 16 & 0x8000, exponent = u >> 23 & 0xff;
    return (uint16_t)(sign | (exponent < 113 ? 0x400 : (exponent - 112) << 10 | (u >> 13 & 0x3ff)));
}

static void put_float(element e, uint8_t *p, float f)
{
    const uint16_t h = half(f);
    if (e == F32) memcpy(p, &f, 4);
    else memcpy(p, &h, 2);
}

/* One block of random bytes gets its scales. Q4_K: d * scale * q - dmin * min, both six bits, q four: means meet at
 * dmin = 7.5 d. */
static void put_scales(element e, uint8_t *block)
{
    const float d = e == Q8_0 ? 0.00027f : e == Q4_0 ? 0.0044f : e == Q4_K ? 0.00009f : 0.0000625f; /* no subnormal halves */
    const uint16_t first = half(d), second = half(7.5f * d);
    memcpy(block + (e == Q6_K ? 208 : 0), &first, 2);
    if (e == Q4_K) memcpy(block + 2, &second, 2);
}

static const uint8_t *pattern(element e, fill with)
{
    uint8_t **p = &patterns[e][with == ONES];
    uint64_t x = 88172645463325252u;
    if (*p) return *p;
    *p = checked(malloc(PATTERN_BYTES));
    const size_t each = elements[e].bytes, n = pattern_bytes(e) / each;
    for (size_t i = 0; i < n; i++) {
        uint8_t *block = *p + i * each;
        for (size_t j = 0; j < each; j++) block[j] = (uint8_t)((x = x * 6364136223846793005u + 1442695040888963407u) >> 56);
        if (e > F16) put_scales(e, block);
        else put_float(e, block, with == ONES ? 1.0f : ((float)(x >> 40) / (1 << 24) - 0.5f) * 0.07f);
    }
    return *p;
}

/* ---- files ---- */

static void add_stretch(made_file *f, uint64_t bytes, const uint8_t *data, size_t period, bool owned)
{
    if (!bytes) return;
    f->stretches = checked(realloc(f->stretches, (f->n + 1) * sizeof *f->stretches));
    f->stretches[f->n++] = (stretch){f->bytes, bytes, data, period, owned};
    f->bytes += bytes;
}

static void add_data(made_file *f, const tensor *t)
{
    const bool zeros = t->fill == ZEROS;
    add_stretch(f, tensor_bytes(t), zeros ? NULL : pattern(t->type, t->fill), zeros ? 1 : pattern_bytes(t->type), false);
}

/* The header becomes a stretch of its own and belongs to the file. */
static void add_blob(made_file *f, blob *b)
{
    add_stretch(f, b->n, b->data, b->n, true);
    memset(b, 0, sizeof *b);
}

static void drop(tensors *t)
{
    free(t->items);
    memset(t, 0, sizeof *t);
}

void free_file(made_file *f)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->stretches[i].owned) free((void *)(uintptr_t)f->stretches[i].data);
    free(f->stretches);
    memset(f, 0, sizeof *f);
}

void read_made(const made_file *f, uint64_t offset, void *dst, size_t n)
{
    uint8_t *to = dst;
    size_t lo = 0, hi = f->n;
    while (hi - lo > 1) {
        const size_t mid = (lo + hi) / 2;
        if (f->stretches[mid].at <= offset) lo = mid;
        else hi = mid;
    }
    for (; n; lo++) {
        const stretch *s = &f->stretches[lo];
        uint64_t left = s->at + s->bytes - offset;
        for (left = left < n ? left : n; left;) {
            const size_t in = (size_t)((offset - s->at) % s->period), run = s->period - in < left ? s->period - in : (size_t)left;
            const size_t m = s->data ? run : (size_t)left;
            if (s->data) memcpy(to, s->data + in, m);
            else memset(to, 0, m);
            to += m, offset += m, n -= m, left -= m;
        }
    }
}

/* ---- GGUF, version 3 ---- */

enum { GGUF_U32 = 4, GGUF_F32 = 6, GGUF_BOOL = 7, GGUF_STRING = 8, GGUF_ARRAY = 9, ALIGNMENT = 32 };

void gguf_text(blob *head, const char *value)
{
    blob_u64(head, strlen(value));
    blob_put(head, value, strlen(value));
}

static void key(blob *head, const char *name, uint32_t type)
{
    gguf_text(head, name);
    blob_u32(head, type);
}

void gguf_key_text(blob *head, const char *name, const char *value)
{
    key(head, name, GGUF_STRING);
    gguf_text(head, value);
}

void gguf_key_u32(blob *head, const char *name, uint32_t value)
{
    key(head, name, GGUF_U32);
    blob_u32(head, value);
}

void gguf_key_f32(blob *head, const char *name, float value)
{
    key(head, name, GGUF_F32);
    blob_put(head, &value, sizeof value);
}

void gguf_key_bool(blob *head, const char *name, bool value)
{
    const uint8_t v = value;
    key(head, name, GGUF_BOOL);
    blob_put(head, &v, 1);
}

void gguf_key_array(blob *head, const char *name, uint32_t type, uint64_t n)
{
    key(head, name, GGUF_ARRAY);
    blob_u32(head, type);
    blob_u64(head, n);
}

static uint64_t padded(uint64_t n) { return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

void finish_gguf(made_file *f, blob *head, uint64_t n_keys, tensors *t)
{
    static const uint8_t zeros[ALIGNMENT];
    blob all = {0};
    uint64_t at = 0;
    blob_put(&all, "GGUF\3\0\0\0", 8);
    blob_u64(&all, t->n);
    blob_u64(&all, n_keys);
    blob_put(&all, head->data, head->n);
    for (size_t i = 0; i < t->n; i++) {
        const tensor *x = &t->items[i];
        gguf_text(&all, x->name);
        blob_u32(&all, x->n);
        for (uint32_t d = x->n; d-- > 0;) blob_u64(&all, x->shape[d]);
        blob_u32(&all, elements[x->type].ggml);
        blob_u64(&all, at);
        at += padded(tensor_bytes(x));
    }
    blob_put(&all, zeros, (size_t)(padded(all.n) - all.n));
    add_blob(f, &all);
    for (size_t i = 0; i < t->n; i++) {
        add_data(f, &t->items[i]);
        add_stretch(f, padded(tensor_bytes(&t->items[i])) - tensor_bytes(&t->items[i]), NULL, 1, false);
    }
    free(head->data);
    memset(head, 0, sizeof *head);
    drop(t);
}

/* ---- safetensors ---- */

void finish_safetensors(made_file *f, tensors *t)
{
    blob json = {0}, all = {0};
    uint64_t at = 0;
    for (size_t i = 0; i < t->n; i++) {
        const tensor *x = &t->items[i];
        blob_text(&json, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", i ? "," : "{", x->name, elements[x->type].safetensors);
        for (uint32_t d = 0; d < x->n; d++) blob_text(&json, "%s%llu", d ? "," : "", (unsigned long long)x->shape[d]);
        blob_text(&json, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)at, (unsigned long long)(at + tensor_bytes(x)));
        at += tensor_bytes(x);
    }
    blob_text(&json, "}%*s", (int)(7 - json.n % 8), "");
    blob_u64(&all, json.n);
    blob_put(&all, json.data, json.n);
    free(json.data);
    add_blob(f, &all);
    for (size_t i = 0; i < t->n; i++) add_data(f, &t->items[i]);
    drop(t);
}

/* ---- whisper.cpp's .bin ---- */

void finish_ggml_bin(made_file *f, blob *head, tensors *t)
{
    add_blob(f, head);
    for (size_t i = 0; i < t->n; i++) {
        const tensor *x = &t->items[i];
        blob b = {0};
        blob_u32(&b, x->n);
        blob_u32(&b, (uint32_t)strlen(x->name));
        blob_u32(&b, elements[x->type].ggml);
        for (uint32_t d = x->n; d-- > 0;) blob_u32(&b, (uint32_t)x->shape[d]);
        blob_put(&b, x->name, strlen(x->name));
        add_blob(f, &b);
        add_data(f, x);
    }
    drop(t);
}

void finish_plain(made_file *f, blob *head) { add_blob(f, head); }

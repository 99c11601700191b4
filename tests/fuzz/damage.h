/* Ways of damaging one file, each numbered from 0, so that any case can be made again from its number alone:
 *
 *   PREFIX  the file cut short at every byte of its header and around each tensor
 *   BIT     one bit of the header turned
 *   FIELD   one integer replaced by each of VALUES, or one value of a JSON text by each of JSON_VALUES
 *   NAME    one name emptied, doubled, made very long, or filled with bytes that no name has
 *
 * A walker per format finds the integers and names; it reads valid files only. */
#ifndef MM_FUZZ_DAMAGE_H
#define MM_FUZZ_DAMAGE_H

#include "folder.h"

typedef enum format { GGUF, SAFETENSORS, GGML_BIN, CT2, JSON, TEXT, BYTES } format;
typedef enum kind { PREFIX, BIT, FIELD, NAME, N_KINDS } kind;

static const char *const kind_names[N_KINDS] = {"prefix", "bit", "field", "name"};

typedef struct place { size_t at, width; bool big; } place; /* of an integer, or of a token of JSON */

typedef struct original {
    const unsigned char *p;
    size_t n, header;
    format format;
    place *fields, *names; /* a name's place starts at its length where it has one */
    size_t n_fields, n_names, cap_fields, cap_names;
    size_t *bounds, n_bounds, cap_bounds;
    size_t text, text_n;   /* the JSON text in it */
} original;

typedef struct bytes { unsigned char *p; size_t n, cap; } bytes;

static void more(bytes *b, const void *p, size_t n)
{
    if (b->n + n > b->cap) {
        b->cap = 2 * (b->n + n);
        if (!(b->p = realloc(b->p, b->cap))) exit(3);
    }
    if (n) memcpy(b->p + b->n, p, n);
    b->n += n;
}

static uint64_t number_at(const unsigned char *p, size_t width, bool big)
{
    uint64_t v = 0;
    for (size_t i = 0; i < width; i++) v = v << 8 | p[big ? i : width - 1 - i];
    return v;
}

static void put_number(unsigned char *p, size_t width, bool big, uint64_t v)
{
    for (size_t i = 0; i < width; i++, v >>= 8) p[big ? width - 1 - i : i] = (unsigned char)v;
}

/* ---- walkers ---- */

static void note(place **list, size_t *n, size_t *cap, place x)
{
    if (*n == *cap) {
        *cap = *cap ? 2 * *cap : 256;
        if (!(*list = realloc(*list, *cap * sizeof **list))) exit(3);
    }
    (*list)[(*n)++] = x;
}

/* An integer; its value, and *at behind it. */
static uint64_t field(original *o, size_t *at, size_t width)
{
    if (*at + width > o->n) exit(3);
    const place x = {*at, width, false};
    note(&o->fields, &o->n_fields, &o->cap_fields, x);
    *at += width;
    return number_at(o->p + x.at, width, false);
}

static void bound(original *o, size_t at)
{
    if (o->n_bounds == o->cap_bounds) {
        o->cap_bounds = o->cap_bounds ? 2 * o->cap_bounds : 256;
        if (!(o->bounds = realloc(o->bounds, o->cap_bounds * sizeof *o->bounds))) exit(3);
    }
    o->bounds[o->n_bounds++] = at;
}

static void name(original *o, size_t *at, size_t width)
{
    const size_t start = *at;
    *at += field(o, at, width);
    note(&o->names, &o->n_names, &o->cap_names, (place){start, *at - start, false});
}

static void gguf_value(original *o, size_t *at, uint64_t type, bool listed)
{
    static const unsigned char width[] = {1, 1, 2, 2, 4, 4, 4, 1, 8, 0, 8, 8, 8};
    if (type == 9) {
        const uint64_t elem = field(o, at, 4), n = field(o, at, 8);
        for (uint64_t i = 0; i < n; i++) gguf_value(o, at, elem, i < 3);
    } else if (!listed) {
        *at += width[type] + (type == 8 ? number_at(o->p + *at, 8, false) : 0);
    } else {
        const uint64_t v = field(o, at, width[type]);
        if (type == 8) *at += v;
    }
}

static void walk_gguf(original *o)
{
    size_t at = 4, align = 32;
    field(o, &at, 4);
    const uint64_t n_tensors = field(o, &at, 8), n_keys = field(o, &at, 8);
    for (uint64_t i = 0; i < n_keys; i++) {
        name(o, &at, 8);
        const uint64_t type = field(o, &at, 4);
        gguf_value(o, &at, type, true);
    }
    const size_t first = o->n_fields;
    for (uint64_t i = 0; i < n_tensors; i++) {
        name(o, &at, 8);
        const uint64_t n_dims = field(o, &at, 4);
        for (uint64_t d = 0; d < n_dims; d++) field(o, &at, 8);
        field(o, &at, 4);
        field(o, &at, 8);
    }
    o->header = at;
    const size_t data = (at + align - 1) / align * align;
    bound(o, data);
    for (size_t i = first; i < o->n_fields; i++) /* more than the offsets: dims as offsets do no harm */
        if (o->fields[i].width == 8) bound(o, data + (size_t)number_at(o->p + o->fields[i].at, 8, false));
}

/* Values and keys of the JSON text at [text, text + text_n). */
static void walk_json(original *o)
{
    const char *s = (const char *)o->p + o->text;
    for (size_t i = 0; i < o->text_n;) {
        size_t end = i;
        if (s[i] == '"') {
            for (end++; end < o->text_n && s[end] != '"'; end++) end += s[end] == '\\';
            end++;
        } else if (strchr("{}[],: \n\r\t", s[i])) {
            i++;
            continue;
        } else {
            while (end < o->text_n && !strchr("{}[],: \n\r\t", s[end])) end++;
        }
        size_t after = end;
        while (after < o->text_n && strchr(" \n\r\t", s[after])) after++;
        const place x = {o->text + i, end - i, false};
        if (s[after] == ':') note(&o->names, &o->n_names, &o->cap_names, x);
        else note(&o->fields, &o->n_fields, &o->cap_fields, x);
        i = end;
    }
}

static void walk_safetensors(original *o)
{
    o->text = 8;
    o->text_n = (size_t)number_at(o->p, 8, false);
    o->header = 8 + o->text_n;
    walk_json(o);
    for (size_t i = 0; i < 64; i++) bound(o, o->header + (o->n - o->header) * i / 64);
}

static void walk_ggml_bin(original *o)
{
    size_t at = 0;
    for (int i = 0; i < 12; i++) field(o, &at, 4);
    const uint64_t mels = field(o, &at, 4), freqs = field(o, &at, 4);
    at += 4 * mels * freqs;
    const uint64_t tokens = field(o, &at, 4);
    for (uint64_t i = 0; i < tokens; i++) name(o, &at, 4);
    o->header = at < 8000 ? at : 8000;
    while (at < o->n) {
        bound(o, at);
        const uint64_t axes = field(o, &at, 4), length = field(o, &at, 4), type = field(o, &at, 4);
        uint64_t count = 1;
        for (uint64_t d = 0; d < axes; d++) count *= field(o, &at, 4);
        at += length + count * (type ? 2 : 4);
    }
}

static void walk_ct2(original *o)
{
    size_t at = 0;
    field(o, &at, 4);
    name(o, &at, 2);
    field(o, &at, 4);
    const uint64_t n = field(o, &at, 4);
    for (uint64_t i = 0; i < n; i++) {
        bound(o, at);
        name(o, &at, 2);
        const uint64_t rank = field(o, &at, 1);
        for (uint64_t d = 0; d < rank; d++) field(o, &at, 4);
        field(o, &at, 1);
        at += field(o, &at, 4);
    }
    o->header = 4000;
    const uint64_t aliases = field(o, &at, 4);
    for (uint64_t i = 0; i < aliases; i++) name(o, &at, 2), name(o, &at, 2);
}

/* Media and snapshots: any two or four bytes near the front may be a number, of either order. */
static void walk_bytes(original *o)
{
    o->header = o->n < 1500 ? o->n : 1500;
    for (size_t at = 0; at + 4 <= o->n && at < 160; at++)
        for (size_t width = 2; width <= 4; width += 2)
            for (int big = 0; big < 2; big++) note(&o->fields, &o->n_fields, &o->cap_fields, (place){at, width, big});
}

static original walk(const unsigned char *p, size_t n, format f)
{
    original o = {.p = p, .n = n, .header = n, .format = f, .text_n = n};
    switch (f) {
    case GGUF: walk_gguf(&o); break;
    case SAFETENSORS: walk_safetensors(&o); break;
    case GGML_BIN: walk_ggml_bin(&o); break;
    case CT2: walk_ct2(&o); break;
    case JSON: walk_json(&o); break;
    case TEXT: break;
    case BYTES: walk_bytes(&o); break;
    }
    return o;
}

/* ---- cases ---- */

#define N_VALUES 29
static uint64_t boundary(const original *o, size_t i, size_t v)
{
    static const uint64_t fixed[] = {0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, INT32_MAX, (uint64_t)INT32_MAX + 1,
                                     (uint64_t)INT32_MAX + 2, UINT32_MAX, (uint64_t)UINT32_MAX + 1, (uint64_t)UINT32_MAX + 2, INT64_MAX,
                                     (uint64_t)INT64_MAX + 1, UINT64_MAX, 0x7F800000 /* infinity */, 0xFFC00000 /* NaN */};
    enum { N_FIXED = sizeof fixed / sizeof *fixed };
    const place *x = &o->fields[i];
    const uint64_t was = number_at(o->p + x->at, x->width, x->big);
    if (v < N_FIXED) return fixed[v];
    switch (v - N_FIXED) {
    case 0: return o->n - x->at - x->width - 1;
    case 1: return o->n - x->at - x->width;
    case 2: return o->n - x->at - x->width + 1;
    case 3: return was - 1;
    case 4: return was + 1;
    case 5: return i ? number_at(o->p + o->fields[i - 1].at, o->fields[i - 1].width, o->fields[i - 1].big) : was ^ 1;
    default: return i + 1 < o->n_fields ? number_at(o->p + o->fields[i + 1].at, o->fields[i + 1].width, o->fields[i + 1].big) : was ^ 2;
    }
}

static const char *const json_values[] = {
    "0", "1", "-1", "2", "3", "7", "255", "65535", "65536", "2147483647", "2147483648", "4294967295", "4294967296", "9223372036854775807",
    "18446744073709551615", "1000000000000000000000", "1e308", "-1e308", "0.5", "-0.0", "null", "true", "false", "\"\"", "\"x\"", "\"\\u0000\"",
    "\"../../etc/passwd\"", "[]", "{}", "[[[[[[[[1]]]]]]]]", "{\"a\":{\"b\":[{}]}}", "[0,1]"};
#define N_JSON (sizeof json_values / sizeof *json_values)
#define N_NAMES 6

static bool has_json(const original *o)
{
    return o->format == JSON || o->format == SAFETENSORS;
}

static size_t count_cases(const original *o, kind k)
{
    switch (k) {
    case PREFIX: return o->header + 3 * o->n_bounds;
    case BIT: return 8 * o->header;
    case FIELD: return o->n_fields * (has_json(o) ? N_JSON : N_VALUES) + (o->format == SAFETENSORS ? N_VALUES : 0);
    default: return o->n_names * N_NAMES;
    }
}

/* `with` in place of x; the length of a safetensors header follows. */
static void replace(const original *o, place x, const void *with, size_t n, bytes *out)
{
    more(out, o->p, x.at);
    more(out, with, n);
    more(out, o->p + x.at + x.width, o->n - x.at - x.width);
    if (o->format == SAFETENSORS) put_number(out->p, 8, false, o->text_n + n - x.width);
}

static void make_name(const original *o, size_t i, size_t variant, bytes *out)
{
    const place x = o->names[i], other = o->names[i ? i - 1 : o->n_names - 1];
    const size_t lengths = has_json(o) ? 0 : o->format == GGUF ? 8 : o->format == CT2 ? 2 : 4;
    const size_t longs[] = {65, 256, 65537};
    bytes with = {0};
    if (lengths) more(&with, "\0\0\0\0\0\0\0\0", lengths);
    else more(&with, "\"", 1);
    if (variant == 1) more(&with, o->p + other.at + (lengths ? lengths : 1), other.width - (lengths ? lengths : 2));
    else if (variant == 2) more(&with, lengths ? "a\0b" : "a\\u0000b", lengths ? 3 : 8);
    else if (variant > 2)
        for (size_t k = 0; k < longs[variant - 3]; k++) more(&with, variant == 4 && lengths ? "\xff" : "n", 1);
    if (lengths) put_number(with.p, lengths, false, with.n - lengths);
    else more(&with, "\"", 1);
    replace(o, x, with.p, with.n, out);
    free(with.p);
}

static void make_field(const original *o, size_t i, bytes *out)
{
    const size_t each = has_json(o) ? N_JSON : N_VALUES, f = i / each;
    if (f >= o->n_fields) { /* the length of a safetensors header */
        original head = *o;
        place first = {0, 8, false};
        head.fields = &first;
        head.n_fields = 1;
        more(out, o->p, o->n);
        put_number(out->p, 8, false, boundary(&head, 0, i - o->n_fields * each));
        return;
    }
    if (has_json(o)) {
        replace(o, o->fields[f], json_values[i % each], strlen(json_values[i % each]), out);
        return;
    }
    more(out, o->p, o->n);
    put_number(out->p + o->fields[f].at, o->fields[f].width, o->fields[f].big, boundary(o, f, i % each));
}

/* The file of case i, in `out`, which is empty. */
static void make_case(const original *o, kind k, size_t i, bytes *out)
{
    size_t cut = i;
    switch (k) {
    case PREFIX:
        if (i >= o->header) cut = o->bounds[(i - o->header) / 3] + (i - o->header) % 3 - 1;
        more(out, o->p, cut < o->n ? cut : o->n);
        break;
    case BIT:
        more(out, o->p, o->n);
        out->p[i / 8] ^= (unsigned char)(1u << i % 8);
        break;
    case FIELD: make_field(o, i, out); break;
    default: make_name(o, i / N_NAMES, i % N_NAMES, out); break;
    }
}

#endif

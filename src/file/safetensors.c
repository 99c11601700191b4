/* safetensors: u64 N, N bytes of JSON {"name": {"dtype", "shape", "data_offsets": [begin, end]}}, then the data. Offsets
 * are relative to byte 8 + N. Format: the safetensors README and its reference reader.
 *
 * The reader is as strict as the reference: the header is at most 100 MB and starts with '{', the extents cover the data
 * exactly, without holes and overlaps, up to the last byte of the file, and every extent is as large as its dtype and
 * shape say. Entries we have no type or axes for (float8 and narrower, unsigned above 8 bits, complex, more than four
 * axes) are validated the same way but not entered in the set, so only a model that asks for them fails.
 *
 * A directory is one model.safetensors or the shards of model.safetensors.index.json. The writer makes F32 dumps. */
#include "weights.h"
#include "../base/buf.h"
#include "../base/ckd.h"
#include "../base/error.h"
#include "../base/json.h"
#include "../base/map.h"
#include "../base/os/os.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_AXES = 8 };

static const struct {
    const char *name;
    uint32_t bits;
    bool have;
    mm__dtype dtype;
} dtypes[] = {
    {"F32", 32, true, MM__F32}, {"F16", 16, true, MM__F16}, {"BF16", 16, true, MM__BF16}, {"F64", 64, true, MM__F64},
    {"I64", 64, true, MM__I64}, {"I32", 32, true, MM__I32}, {"I16", 16, true, MM__I16}, {"I8", 8, true, MM__I8},
    {"U8", 8, true, MM__U8}, {"BOOL", 8, true, MM__U8}, {"U16", 16, false, 0}, {"U32", 32, false, 0}, {"U64", 64, false, 0},
    {"F8_E5M2", 8, false, 0}, {"F8_E4M3", 8, false, 0}, {"F8_E8M0", 8, false, 0}, {"F8_E4M3FNUZ", 8, false, 0},
    {"F8_E5M2FNUZ", 8, false, 0}, {"C64", 64, false, 0}, {"F4", 4, false, 0}, {"F6_E2M3", 6, false, 0}, {"F6_E3M2", 6, false, 0},
};
enum { N_DTYPES = sizeof dtypes / sizeof *dtypes };

typedef struct extent {
    uint64_t begin, end;
} extent;

typedef struct reader {
    mm__io *io;
    const char *file;
    mm__weights *w;
    uint64_t data, data_bytes; /* place and size of the data */
    mm_error *err;
} reader;

/* One of the three members of an entry is wrong. */
static mm_status bad_entry(const reader *r, const char *name, const char *what)
{
    return mm__fail(r->err, MM_E_FORMAT, "%s: tensor %s: %s", r->file, name, what);
}

/* Elements of the entry, and its shape when it has at most four axes (else shape->n is -1). */
static mm_status read_shape(const reader *r, const char *name, const mm__json *v, mm__shape *shape, uint64_t *count)
{
    const size_t n = mm__json_count(v);
    if (mm__json_kind(v) != MM__JSON_ARRAY) return bad_entry(r, name, "shape is not an array");
    if (n > MAX_AXES) return mm__fail(r->err, MM_E_LIMIT, "%s: tensor %s has %zu axes, more than %d", r->file, name, n, (int)MAX_AXES);
    *shape = (mm__shape){.n = n <= MM__MAX_DIM ? (int32_t)n : -1};
    *count = 1;
    for (size_t i = 0; i < n; i++) {
        const mm__json *axis = mm__json_at(v, i);
        const int64_t d = mm__json_int(axis, -1);
        if (mm__json_kind(axis) != MM__JSON_INT || d < 0) return bad_entry(r, name, "an axis of its shape is not a whole number from 0 on");
        if (!mm__ckd_mul64(*count, (uint64_t)d, count)) return bad_entry(r, name, "its shape is too large");
        if (i < MM__MAX_DIM) shape->d[i] = d;
    }
    return MM_OK;
}

static mm_status read_offsets(const reader *r, const char *name, const mm__json *v, extent *e)
{
    const mm__json *begin = mm__json_at(v, 0), *end = mm__json_at(v, 1);
    const int64_t b = mm__json_int(begin, -1), t = mm__json_int(end, -1);
    if (mm__json_kind(v) != MM__JSON_ARRAY || mm__json_count(v) != 2 || mm__json_kind(begin) != MM__JSON_INT || mm__json_kind(end) != MM__JSON_INT)
        return bad_entry(r, name, "data_offsets is not an array of two whole numbers");
    if (b < 0 || t < b || (uint64_t)t > r->data_bytes) return bad_entry(r, name, "its data_offsets lie outside the data of the file; the file may be incomplete");
    *e = (extent){(uint64_t)b, (uint64_t)t};
    return MM_OK;
}

static mm_status read_entry(const reader *r, const char *name, size_t name_len, const mm__json *v, extent *e)
{
    mm__shape shape;
    uint64_t count = 0, bits;
    const char *dtype = mm__json_str(mm__json_get(v, "dtype"), NULL, NULL);
    if (mm__json_kind(v) != MM__JSON_OBJECT || !dtype) return bad_entry(r, name, "it has no dtype");
    mm_status st = read_shape(r, name, mm__json_get(v, "shape"), &shape, &count);
    if (!st) st = read_offsets(r, name, mm__json_get(v, "data_offsets"), e);
    if (st) return st;

    size_t k = 0;
    while (k < N_DTYPES && strcmp(dtypes[k].name, dtype) != 0) k++;
    if (k == N_DTYPES) return MM_OK; /* a type of later times: the extent is all there is to check */
    if (!mm__ckd_mul64(count, dtypes[k].bits, &bits) || bits % 8 || bits / 8 != e->end - e->begin)
        return bad_entry(r, name, "its data_offsets disagree with dtype and shape");
    if (!dtypes[k].have || shape.n < 0) return MM_OK;
    return mm__weights_add(r->w, name, name_len, dtypes[k].dtype, shape, r->io, r->data + e->begin, (size_t)(e->end - e->begin), r->err);
}

static int by_place(const void *a, const void *b)
{
    const extent *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

/* The extents tile the data. */
static mm_status check_tiling(const reader *r, extent *e, size_t n)
{
    uint64_t at = 0;
    qsort(e, n, sizeof *e, by_place);
    for (size_t i = 0; i < n; i++) {
        if (e[i].begin != at)
            return mm__fail(r->err, MM_E_FORMAT, "%s: tensors leave a hole or overlap at byte %" PRIu64 " of the data", r->file, at);
        at = e[i].end;
    }
    if (at != r->data_bytes)
        return mm__fail(r->err, MM_E_FORMAT, "%s: tensors cover %" PRIu64 " of %" PRIu64 " bytes of data", r->file, at, r->data_bytes);
    return MM_OK;
}

static mm_status read_entries(mm__mem *mem, const reader *r, const mm__json *root)
{
    const size_t n = mm__json_count(root);
    size_t used = 0;
    if (mm__json_kind(root) != MM__JSON_OBJECT) return mm__fail(r->err, MM_E_FORMAT, "%s: the header is not a JSON object", r->file);
    mm_status st = mm__limit_check(mem, MM__LIMIT_TENSORS, n, r->file, r->err);
    if (st) return st;
    extent *extents = mm__calloc(mem, n, sizeof *extents);
    if (!extents) return mm__nomem(r->err, "the tensor directory of a safetensors file");
    for (size_t i = 0; i < n && !st; i++) {
        const char *name;
        size_t len;
        const mm__json *v = mm__json_member(root, i, &name, &len);
        if (strcmp(name, "__metadata__") != 0) st = read_entry(r, name, len, v, &extents[used++]);
    }
    if (!st) st = check_tiling(r, extents, used);
    mm__free(mem, extents);
    return st;
}

/* Header text without its padding; mm__free it. */
static mm_status read_header(mm__mem *mem, reader *r, char **text, size_t *len)
{
    uint8_t b[8];
    uint64_t n = 0;
    const uint64_t size = mm__io_size(r->io);
    if (size < 10) return mm__fail(r->err, MM_E_FORMAT, "%s: %" PRIu64 " bytes are too short for a safetensors file", r->file, size);
    mm_status st = mm__io_read(r->io, 0, b, 8, r->err);
    if (st) return st;
    for (int i = 8; i-- > 0;) n = n << 8 | b[i];
    if (n > size - 8 || n < 2)
        return mm__fail(r->err, MM_E_FORMAT, "%s: a header of %" PRIu64 " bytes is impossible in a safetensors file of %" PRIu64 " bytes", r->file, n, size);
    if ((st = mm__limit_check(mem, MM__LIMIT_HEADER_BYTES, n, r->file, r->err)) != MM_OK) return st;
    char *t = mm__alloc(mem, (size_t)n + 1);
    if (!t) return mm__nomem(r->err, "the header of a safetensors file");
    st = mm__io_read(r->io, 8, t, (size_t)n, r->err);
    if (!st && t[0] != '{') st = mm__fail(r->err, MM_E_FORMAT, "%s: the header does not start with '{', so this is no safetensors file", r->file);
    if (st) {
        mm__free(mem, t);
        return st;
    }
    r->data = 8 + n;
    r->data_bytes = size - r->data;
    while (n > 0 && t[n - 1] == ' ') n--;
    t[n] = 0;
    *text = t;
    *len = (size_t)n;
    return MM_OK;
}

mm_status mm__safetensors_add(const mm__files *files, const char *path, mm__weights *w, mm_error *err)
{
    mm__mem *mem = files->mem;
    reader r = {.w = w, .err = err};
    char *text = NULL;
    size_t len = 0;
    mm__json_doc *doc = NULL;
    mm_status st = mm__io_open_path(files, path, &r.io, err);
    if (!st) st = mm__weights_own_io(w, r.io, err);
    if (st) return st;
    r.file = mm__io_name(r.io);
    st = read_header(mem, &r, &text, &len);
    if (!st) st = mm__json_parse(mem, text, len, r.file, &doc, err);
    mm__free(mem, text);
    if (!st) st = read_entries(mem, &r, mm__json_root(doc));
    mm__json_free(doc);
    return st;
}

/* ---- directories -------------------------------------------------------------------------------------------------- */

static mm_status add_shards(const mm__files *files, const char *dir, const char *index, const mm__json *map, mm__weights *w, mm_error *err)
{
    mm__mem *mem = files->mem;
    const size_t n = mm__json_count(map);
    mm_status st = MM_OK;
    if (mm__json_kind(map) != MM__JSON_OBJECT || n == 0) return mm__fail(err, MM_E_FORMAT, "%s: weight_map is missing or empty", index);
    mm__map *seen = mm__map_create(mem, 16);
    if (!seen) return mm__nomem(err, "the shards of a model");
    for (size_t i = 0; i < n && !st; i++) {
        const char *name, *shard = mm__json_str(mm__json_member(map, i, &name, NULL), NULL, NULL);
        bool again = false;
        if (!shard || !mm__path_safe_name(shard)) {
            st = mm__fail(err, MM_E_FORMAT, "%s: tensor %s is not in a plainly named file of the same directory", index, name);
        } else if (!mm__map_put(seen, shard, strlen(shard), 1, &again)) {
            st = mm__nomem(err, "the shards of a model");
        } else if (!again && (st = mm__limit_check(mem, MM__LIMIT_SHARDS, mm__map_count(seen), index, err)) == MM_OK) {
            char *path = mm__path_join(mem, dir, shard);
            st = path ? mm__safetensors_add(files, path, w, err) : mm__nomem(err, "a path");
            mm__free(mem, path);
        }
    }
    mm__map_destroy(seen);
    return st;
}

static mm_status add_index(const mm__files *files, const char *dir, const char *index, mm__weights *w, mm_error *err)
{
    mm__mem *mem = files->mem;
    char *text = NULL;
    size_t len = 0;
    mm__json_doc *doc = NULL;
    mm_status st = mm__read_file(files, index, MM__LIMIT_HEADER_BYTES, &text, &len, err);
    if (!st) st = mm__json_parse(mem, text, len, index, &doc, err);
    mm__free(mem, text);
    if (!st) st = add_shards(files, dir, index, mm__json_get(mm__json_root(doc), "weight_map"), w, err);
    mm__json_free(doc);
    return st;
}

mm_status mm__safetensors_add_dir(const mm__files *files, const char *dir, mm__weights *w, mm_error *err)
{
    mm__mem *mem = files->mem;
    mm_status st;
    char *single = mm__path_join(mem, dir, "model.safetensors");
    char *index = mm__path_join(mem, dir, "model.safetensors.index.json");
    if (!single || !index)
        st = mm__nomem(err, "a path");
    else if (mm__path_kind(files, single) == MM__PATH_FILE)
        st = mm__safetensors_add(files, single, w, err);
    else if (mm__path_kind(files, index) == MM__PATH_FILE)
        st = add_index(files, dir, index, w, err);
    else
        st = mm__fail(err, MM_E_IO, "%s: holds neither model.safetensors nor model.safetensors.index.json", dir);
    mm__free(mem, single);
    mm__free(mem, index);
    return st;
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

static mm_status write_header(mm__buf *b, const char *const *names, const mm__view *tensors, size_t n, mm_error *err)
{
    size_t at = 0;
    mm__buf_put(b, "\0\0\0\0\0\0\0\0{", 9);
    for (size_t i = 0; i < n; i++) {
        const mm__shape *s = &tensors[i].shape;
        size_t bytes, end;
        if (tensors[i].dtype != MM__F32 || !mm__tensor_bytes(MM__F32, s, &bytes) || !mm__ckd_add(at, bytes, &end))
            return mm__fail(err, MM_E_ARG, "tensor %s cannot be written: it is no F32 tensor of a sane shape", names[i]);
        if (i) mm__buf_putc(b, ',');
        mm__buf_json_string(b, names[i], strlen(names[i]));
        mm__buf_puts(b, ":{\"dtype\":\"F32\",\"shape\":[");
        for (int k = 0; k < s->n; k++) mm__buf_printf(b, k ? ",%" PRId64 : "%" PRId64, s->d[k]);
        mm__buf_printf(b, "],\"data_offsets\":[%zu,%zu]}", at, end);
        at = end;
    }
    mm__buf_putc(b, '}');
    while (b->len % 8 && !b->failed) mm__buf_putc(b, ' ');
    if (b->failed) return mm__nomem(err, "the header of a safetensors file");
    for (int i = 0; i < 8; i++) b->data[i] = (char)((uint64_t)(b->len - 8) >> (8 * i) & 255);
    return MM_OK;
}

mm_status mm__safetensors_write(mm__mem *mem, const char *path, const char *const *names, const mm__view *tensors, size_t n, mm_error *err)
{
    mm__buf header;
    int fd = -1;
    bool ok = true;
    mm__buf_init(&header, mem);
    mm_status st = write_header(&header, names, tensors, n, err);
    if (st) goto done;
    fd = mm__os_create(path);
    if (fd < 0) {
        st = mm__fail_os(err, MM_E_IO, errno, "%s: cannot be created", path);
        goto done;
    }
    ok = mm__os_write(fd, header.data, header.len);
    for (size_t i = 0; i < n && ok; i++) {
        const int64_t rows = mm__view_rows(&tensors[i]);
        const size_t cols = (size_t)mm__view_cols(&tensors[i]);
        for (int64_t r = 0; r < rows && cols && ok; r++) ok = mm__os_write(fd, mm__view_row(&tensors[i], r), 4 * cols);
    }
    if (!mm__os_close(fd) || !ok) st = mm__fail_os(err, MM_E_IO, errno, "%s: writing failed", path);
done:
    mm__buf_free(&header);
    return st;
}

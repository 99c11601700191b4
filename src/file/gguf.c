/* GGUF v2 and v3, little-endian:
 *
 *   "GGUF", u32 version, u64 n_tensors, u64 n_keys
 *   n_keys    x  string key, u32 type, value          string = u64 length, bytes; array = u32 type, u64 count, elements
 *   n_tensors x  string name, u32 n_dims, u64 dims[n_dims], u32 ggml type, u64 offset
 *   padding to general.alignment (32), then the data; offsets count from there
 *
 * The part before the data is read once, in growing steps, into one block that stays for the life of the handle: keys,
 * names and values are places in it. Strings become NUL-terminated where they lie: a length never needs its top byte, so
 * each string is moved down by one byte over it and the freed byte behind takes the NUL; the low half of the length stays
 * in front. An array of strings costs 4 bytes an element more (the places), which makes element i O(1).
 *
 * A split file ("x-00002-of-00005.gguf" with key split.count) is one handle over all shards; key-values are those of the
 * first. Nothing changes after opening, so reading from any thread is safe.
 * Format: ggml docs/gguf.md and the checks of its reader; limits in gguf.h. Dims are stored fastest axis first and are
 * turned into row-major order here. */
#include "gguf.h"
#include "ggml_type.h"
#include "../base/ckd.h"
#include "../base/error.h"
#include "../base/map.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    MAX_KEY = 65535, MAX_SHARDS = 99999, MIN_READ = 1 << 18,
    MIN_KEY_BYTES = 8 + 4 + 1, MIN_TENSOR_BYTES = 8 + 4 + 4 + 8,
};

enum { T_STRING = 8, T_ARRAY = 9, N_TYPES = 13 };

static const struct {
    uint8_t bytes; /* 0: no fixed size */
    mm__gguf_kind kind;
} types[N_TYPES] = {
    {1, MM__GGUF_INT}, {1, MM__GGUF_INT}, {2, MM__GGUF_INT}, {2, MM__GGUF_INT}, {4, MM__GGUF_INT}, {4, MM__GGUF_INT}, {4, MM__GGUF_REAL},
    {1, MM__GGUF_BOOL}, {0, MM__GGUF_STR}, {0, MM__GGUF_ARRAY}, {8, MM__GGUF_INT}, {8, MM__GGUF_INT}, {8, MM__GGUF_REAL},
};

typedef struct shard shard;

typedef struct item { /* a key-value */
    const shard *owner;
    uint32_t key;     /* places in the block */
    uint32_t value;   /* a string's length field; a number; an array's first element */
    uint32_t type, elem;
    uint64_t count;
    uint32_t *places; /* of each string's length field, for arrays of strings */
} item;

typedef struct entry { /* a tensor */
    uint32_t name;
    mm__dtype dtype;
    mm__shape shape;
    uint64_t offset; /* from the start of the file */
    size_t bytes;
} entry;

struct shard {
    mm__mem *mem;
    char *path;
    mm__io *io; /* NULL once a weight set has it */
    uint8_t *data;
    size_t len, cap, at;
    item *items;
    size_t n_items;
    entry *entries;
    size_t n_entries;
    mm__map *keys;
};

struct mm__gguf {
    mm__mem *mem;
    shard *shards;
    size_t n_shards;
};

/* ---- the block ---------------------------------------------------------------------------------------------------- */

static uint64_t remaining(const shard *s)
{
    return mm__io_size(s->io) - s->at;
}

/* Makes the next n bytes available at data + at. */
static mm_status need(shard *s, uint64_t n, mm_error *err)
{
    if (n <= s->len - s->at) return MM_OK;
    const uint64_t size = mm__io_size(s->io);
    if (n > remaining(s)) return mm__fail(err, MM_E_FORMAT, "%s: the file ends inside its metadata at byte %zu; it may be incomplete", s->path, s->at);
    uint64_t want = s->at + n;
    if (want < (uint64_t)s->len * 2) want = (uint64_t)s->len * 2;
    if (want < MIN_READ) want = MIN_READ;
    if (want > size) want = size;
    const uint64_t most = mm__limit(s->mem, MM__LIMIT_METADATA_BYTES);
    if (s->at + n > most) return mm__limit_fail(s->mem, MM__LIMIT_METADATA_BYTES, s->path, err);
    if (want > most) want = most;
    uint8_t *grown = mm__realloc(s->mem, s->data, (size_t)want);
    if (!grown) return mm__nomem(err, "the metadata of a GGUF file");
    s->data = grown;
    const mm_status st = mm__io_read(s->io, s->len, s->data + s->len, (size_t)want - s->len, err);
    if (!st) s->len = (size_t)want;
    return st;
}

static uint64_t load(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    while (n-- > 0) v = v << 8 | p[n];
    return v;
}

static mm_status take(shard *s, size_t n, uint64_t *out, mm_error *err)
{
    const mm_status st = need(s, n, err);
    if (st) return st;
    *out = load(s->data + s->at, n);
    s->at += n;
    return MM_OK;
}

static mm_status take_u32(shard *s, uint32_t *out, mm_error *err)
{
    uint64_t v = 0;
    const mm_status st = take(s, 4, &v, err);
    *out = (uint32_t)v;
    return st;
}

/* Consumes a string, NUL-terminates it in place, and gives the place of its length field. */
static mm_status take_string(shard *s, uint32_t *place, mm_error *err)
{
    const size_t start = s->at;
    uint64_t len = 0;
    mm_status st = take(s, 8, &len, err);
    if (st) return st;
    if (len > remaining(s)) return mm__fail(err, MM_E_FORMAT, "%s: the string at byte %zu is longer than the rest of the file", s->path, start);
    st = mm__limit_check(s->mem, MM__LIMIT_STRING_BYTES, len, s->path, err);
    if (st || (st = need(s, len, err)) != MM_OK) return st;
    uint8_t *p = s->data + start;
    memmove(p + 7, p + 8, (size_t)len);
    p[7 + len] = 0;
    s->at += (size_t)len;
    *place = (uint32_t)start;
    return MM_OK;
}

static const char *string_at(const shard *s, uint32_t place, size_t *len)
{
    if (len) *len = (size_t)load(s->data + place, 4);
    return (const char *)s->data + place + 7;
}

/* The name of a key or of a tensor. */
static mm_status take_name(shard *s, uint32_t *place, mm_error *err)
{
    size_t len = 0;
    const mm_status st = take_string(s, place, err);
    if (!st) string_at(s, *place, &len);
    if (len > MAX_KEY) return mm__fail(err, MM_E_LIMIT, "%s: a name of %zu bytes; %d are possible", s->path, len, (int)MAX_KEY);
    return st;
}

/* ---- key-values --------------------------------------------------------------------------------------------------- */

/* Numbers have a meaning: bools are 0 or 1, integers fit int64. */
static mm_status check_numbers(const shard *s, const item *it, uint32_t type, uint64_t n, mm_error *err)
{
    const size_t bytes = types[type].bytes;
    const uint8_t *p = s->data + it->value;
    const uint64_t max = types[type].kind == MM__GGUF_BOOL ? 1 : INT64_MAX;
    if (types[type].kind != MM__GGUF_BOOL && type != 10) return MM_OK;
    for (uint64_t i = 0; i < n; i++)
        if (load(p + i * bytes, bytes) > max)
            return mm__fail(err, MM_E_FORMAT, "%s: key %s has a value that is no %s", s->path, string_at(s, it->key, NULL), max == 1 ? "truth value" : "64-bit integer");
    return MM_OK;
}

static mm_status read_strings(shard *s, item *it, mm_error *err)
{
    it->places = mm__calloc(s->mem, (size_t)it->count, sizeof *it->places);
    if (!it->places) return mm__nomem(err, "an array of strings of a GGUF file");
    mm_status st = MM_OK;
    for (uint64_t i = 0; i < it->count && !st; i++) st = take_string(s, &it->places[i], err);
    return st;
}

static mm_status read_array(shard *s, item *it, mm_error *err)
{
    mm_status st = take_u32(s, &it->elem, err);
    if (!st) st = take(s, 8, &it->count, err);
    if (st) return st;
    const char *key = string_at(s, it->key, NULL);
    if (it->elem == T_ARRAY) return mm__fail(err, MM_E_UNSUPPORTED, "%s: key %s is an array of arrays", s->path, key);
    if (it->elem >= N_TYPES) return mm__fail(err, MM_E_FORMAT, "%s: key %s has elements of unknown type %" PRIu32, s->path, key, it->elem);
    const uint64_t each = it->elem == T_STRING ? 8 : types[it->elem].bytes;
    if (it->count > remaining(s) / each)
        return mm__fail(err, MM_E_FORMAT, "%s: key %s claims %" PRIu64 " elements, more than the file holds", s->path, key, it->count);
    if ((st = mm__limit_check(s->mem, MM__LIMIT_ARRAY_ELEMENTS, it->count, s->path, err)) != MM_OK) return st;
    it->value = (uint32_t)s->at;
    if (it->elem == T_STRING) return read_strings(s, it, err);
    st = need(s, it->count * each, err);
    if (!st) st = check_numbers(s, it, it->elem, it->count, err);
    if (!st) s->at += (size_t)(it->count * each);
    return st;
}

static mm_status read_value(shard *s, item *it, mm_error *err)
{
    if (it->type == T_ARRAY) return read_array(s, it, err);
    if (it->type == T_STRING) return take_string(s, &it->value, err);
    if (it->type >= N_TYPES)
        return mm__fail(err, MM_E_FORMAT, "%s: key %s has unknown type %" PRIu32, s->path, string_at(s, it->key, NULL), it->type);
    const mm_status st = need(s, types[it->type].bytes, err);
    if (st) return st;
    it->value = (uint32_t)s->at;
    s->at += types[it->type].bytes;
    return check_numbers(s, it, it->type, 1, err);
}

static mm_status read_items(shard *s, uint64_t n, mm_error *err)
{
    if (n > remaining(s) / MIN_KEY_BYTES) return mm__fail(err, MM_E_FORMAT, "%s: claims %" PRIu64 " keys, more than the file holds", s->path, n);
    mm_status st = mm__limit_check(s->mem, MM__LIMIT_METADATA_KEYS, n, s->path, err);
    if (st) return st;
    s->items = mm__calloc(s->mem, (size_t)n, sizeof *s->items);
    s->keys = mm__map_create(s->mem, (size_t)n);
    if (!s->items || !s->keys) return mm__nomem(err, "the keys of a GGUF file");
    for (uint64_t i = 0; i < n; i++) {
        item *it = &s->items[s->n_items++];
        bool twice;
        size_t len;
        it->owner = s;
        if ((st = take_name(s, &it->key, err)) != MM_OK) return st;
        const char *key = string_at(s, it->key, &len);
        if (len == 0 || strlen(key) != len) return mm__fail(err, MM_E_FORMAT, "%s: key %" PRIu64 " is empty or holds a NUL", s->path, i);
        if (!mm__map_put(s->keys, key, len, i, &twice)) return mm__nomem(err, "the keys of a GGUF file");
        if (twice) return mm__fail(err, MM_E_FORMAT, "%s: key %s occurs twice", s->path, key);
        st = take_u32(s, &it->type, err);
        if (!st) st = read_value(s, it, err);
        if (st) return st;
    }
    return MM_OK;
}

static mm__gguf_value number(const uint8_t *p, uint32_t type)
{
    mm__gguf_value v = {.kind = types[type].kind};
    const uint64_t u = load(p, types[type].bytes);
    const uint32_t low = (uint32_t)u;
    float f;
    switch (type) {
    case 1: v.i = (int8_t)u; break;
    case 3: v.i = (int16_t)u; break;
    case 5: v.i = (int32_t)u; break;
    case 6: memcpy(&f, &low, 4); v.f = f; return v;
    case 12: memcpy(&v.f, &u, 8); return v;
    default: v.i = (int64_t)u; break;
    }
    v.f = (double)v.i;
    return v;
}

static mm__gguf_value value_of(const item *it)
{
    mm__gguf_value v = {.kind = types[it->type].kind};
    if (it->type == T_STRING) {
        v.s = string_at(it->owner, it->value, &v.n);
    } else if (it->type == T_ARRAY) {
        v.elem = types[it->elem].kind;
        v.n = (size_t)it->count;
        v.array = it;
    } else {
        return number(it->owner->data + it->value, it->type);
    }
    return v;
}

static mm__gguf_value shard_get(const shard *s, const char *key)
{
    uint64_t at;
    return mm__map_get(s->keys, key, strlen(key), &at) ? value_of(&s->items[at]) : (mm__gguf_value){.kind = MM__GGUF_ABSENT};
}

mm__gguf_value mm__gguf_get(const mm__gguf *g, const char *key)
{
    return shard_get(&g->shards[0], key);
}

mm__gguf_value mm__gguf_elem(const mm__gguf_value *v, size_t i)
{
    const item *it = v->array;
    mm__gguf_value e = {.kind = MM__GGUF_ABSENT};
    if (v->kind != MM__GGUF_ARRAY || i >= v->n) return e;
    if (it->elem != T_STRING) return number(it->owner->data + it->value + i * types[it->elem].bytes, it->elem);
    e.kind = MM__GGUF_STR;
    e.s = string_at(it->owner, it->places[i], &e.n);
    return e;
}

const char *mm__gguf_path(const mm__gguf *g)
{
    return g->shards[0].path;
}

/* An integer key in a range, or `fallback` when it is absent. */
static mm_status get_int(const shard *s, const char *key, int64_t fallback, int64_t lo, int64_t hi, int64_t *out, mm_error *err)
{
    const mm__gguf_value v = shard_get(s, key);
    *out = fallback;
    if (v.kind == MM__GGUF_ABSENT) return MM_OK;
    if (v.kind != MM__GGUF_INT || v.i < lo || v.i > hi)
        return mm__fail(err, MM_E_FORMAT, "%s: key %s is no integer from %" PRId64 " to %" PRId64, s->path, key, lo, hi);
    *out = v.i;
    return MM_OK;
}

/* ---- tensors ------------------------------------------------------------------------------------------------------ */

/* One directory entry; offset is still relative to the data. */
static mm_status read_entry(shard *s, entry *e, mm_error *err)
{
    uint32_t n_dims = 0, type = 0;
    uint64_t d = 0;
    const char *type_name;
    mm_status st = take_name(s, &e->name, err);
    if (!st) st = take_u32(s, &n_dims, err);
    if (st) return st;
    if (n_dims > MM__MAX_DIM)
        return mm__fail(err, MM_E_FORMAT, "%s: tensor %s has %" PRIu32 " axes, more than %d", s->path, string_at(s, e->name, NULL), n_dims, MM__MAX_DIM);
    e->shape.n = (int32_t)n_dims;
    for (uint32_t i = n_dims; i-- > 0;) {
        if ((st = take(s, 8, &d, err)) != MM_OK) return st;
        if (d == 0 || d > INT64_MAX) return mm__fail(err, MM_E_FORMAT, "%s: tensor %s has an axis of impossible length", s->path, string_at(s, e->name, NULL));
        e->shape.d[i] = (int64_t)d;
    }
    st = take_u32(s, &type, err);
    if (!st) st = take(s, 8, &e->offset, err);
    if (st) return st;
    if (!mm__ggml_dtype(type, &e->dtype, &type_name))
        return mm__fail(err, MM_E_UNSUPPORTED, "%s: tensor %s is of type %s (%" PRIu32 "), which this build cannot read", s->path,
                        string_at(s, e->name, NULL), type_name, type);
    if (!mm__tensor_bytes(e->dtype, &e->shape, &e->bytes))
        return mm__fail(err, MM_E_FORMAT, "%s: tensor %s of type %s has an impossible shape", s->path, string_at(s, e->name, NULL), type_name);
    return MM_OK;
}

/* Turns offsets into file positions: aligned, ascending without overlap, inside the file. */
static mm_status place_entries(shard *s, mm_error *err)
{
    int64_t align;
    size_t start;
    uint64_t end, used = 0;
    mm_status st = get_int(s, "general.alignment", 32, 8, 65536, &align, err);
    if (st) return st;
    if (align & (align - 1)) return mm__fail(err, MM_E_FORMAT, "%s: general.alignment %" PRId64 " is no power of two", s->path, align);
    if (!mm__ckd_align(s->at, (size_t)align, &start)) return mm__fail(err, MM_E_FORMAT, "%s: metadata are too long", s->path);
    for (size_t i = 0; i < s->n_entries; i++) {
        entry *e = &s->entries[i];
        const char *name = string_at(s, e->name, NULL);
        if (e->offset % (uint64_t)align) return mm__fail(err, MM_E_FORMAT, "%s: tensor %s is not aligned to %" PRId64 " bytes", s->path, name, align);
        if (e->offset < used) return mm__fail(err, MM_E_FORMAT, "%s: tensor %s overlaps the one before it", s->path, name);
        if (!mm__ckd_add64(e->offset, e->bytes, &used) || !mm__ckd_add64(used, start, &end) || end > mm__io_size(s->io))
            return mm__fail(err, MM_E_FORMAT, "%s: tensor %s reaches beyond the end of the file; it may be incomplete", s->path, name);
        e->offset += start;
    }
    return MM_OK;
}

static mm_status read_entries(shard *s, uint64_t n, mm_error *err)
{
    if (n > remaining(s) / MIN_TENSOR_BYTES) return mm__fail(err, MM_E_FORMAT, "%s: claims %" PRIu64 " tensors, more than the file holds", s->path, n);
    mm_status st = mm__limit_check(s->mem, MM__LIMIT_TENSORS, n, s->path, err);
    if (st) return st;
    s->entries = mm__calloc(s->mem, (size_t)n, sizeof *s->entries);
    mm__map *names = mm__map_create(s->mem, (size_t)n);
    if (!s->entries || !names) st = mm__nomem(err, "the tensor directory of a GGUF file");
    for (uint64_t i = 0; i < n && !st; i++) {
        bool twice;
        size_t len;
        entry *e = &s->entries[s->n_entries++];
        if ((st = read_entry(s, e, err)) != MM_OK) break;
        const char *name = string_at(s, e->name, &len);
        if (!mm__map_put(names, name, len, i, &twice))
            st = mm__nomem(err, "the tensor directory of a GGUF file");
        else if (twice)
            st = mm__fail(err, MM_E_FORMAT, "%s: tensor %s occurs twice", s->path, name);
    }
    mm__map_destroy(names);
    return st ? st : place_entries(s, err);
}

mm_status mm__gguf_add_weights(mm__gguf *g, mm__weights *w, mm_error *err)
{
    for (size_t k = 0; k < g->n_shards; k++) {
        shard *s = &g->shards[k];
        mm__io *io = s->io;
        if (!io) return mm__fail(err, MM_E_STATE, "%s: its tensors were added to a set before", s->path);
        s->io = NULL;
        mm_status st = mm__weights_own_io(w, io, err);
        for (size_t i = 0; i < s->n_entries && !st; i++) {
            const entry *e = &s->entries[i];
            size_t len;
            const char *name = string_at(s, e->name, &len);
            st = mm__weights_add(w, name, len, e->dtype, e->shape, io, e->offset, e->bytes, err);
        }
        if (st) return st;
    }
    return MM_OK;
}

/* ---- opening ------------------------------------------------------------------------------------------------------ */

static void shard_close(shard *s)
{
    for (size_t i = 0; i < s->n_items; i++) mm__free(s->mem, s->items[i].places);
    mm__free(s->mem, s->items);
    mm__free(s->mem, s->entries);
    mm__free(s->mem, s->data);
    mm__free(s->mem, s->path);
    mm__map_destroy(s->keys);
    mm__io_close(s->io);
}

/* Leaves a half-made shard on failure; shard_close takes it. Its address must not change afterwards. */
static mm_status shard_open(const mm__files *files, const char *path, shard *s, mm_error *err)
{
    mm__mem *mem = files->mem;
    uint32_t version = 0;
    uint64_t n_tensors = 0, n_keys = 0;
    *s = (shard){.mem = mem, .path = mm__strdup(mem, path)};
    if (!s->path) return mm__nomem(err, "a path");
    mm_status st = mm__io_open_path(files, path, &s->io, err);
    if (!st) st = need(s, 24, err);
    if (st) return st;
    if (memcmp(s->data, "GGUF", 4) != 0) return mm__fail(err, MM_E_FORMAT, "%s: does not start with GGUF", path);
    s->at = 4;
    st = take_u32(s, &version, err);
    if (!st && version != 2 && version != 3)
        st = mm__fail(err, MM_E_UNSUPPORTED, "%s: GGUF version %" PRIu32 "%s; versions 2 and 3 are read", path, version,
                      version && !(version & 0xffff) ? " (a big-endian file)" : "");
    if (!st) st = take(s, 8, &n_tensors, err);
    if (!st) st = take(s, 8, &n_keys, err);
    if (!st) st = read_items(s, n_keys, err);
    if (!st) st = read_entries(s, n_tensors, err);
    if (st) return st;
    uint8_t *exact = mm__realloc(mem, s->data, s->at);
    if (exact) s->data = exact;
    s->len = s->at;
    return MM_OK;
}

/* "-00002-of-00005.gguf" at the end of a path: its numbers and where it starts. */
static bool split_name(const char *path, unsigned *no, unsigned *count, size_t *stem)
{
    const size_t len = strlen(path), tail = strlen("-00001-of-00001.gguf");
    int used = 0;
    if (len < tail) return false;
    *stem = len - tail;
    return sscanf(path + *stem, "-%5u-of-%5u.gguf%n", no, count, &used) == 2 && (size_t)used == tail && *no >= 1 && *no <= *count;
}

/* Opens every shard of the file whose shard `path` is already open in *one, which is moved or closed. */
static mm_status open_split(mm__gguf *g, const mm__files *files, const char *path, int64_t count, mm_error *err)
{
    unsigned no, n;
    size_t stem;
    if (!split_name(path, &no, &n, &stem) || n != count)
        return mm__fail(err, MM_E_FORMAT, "%s: is one of %" PRId64 " shards but is not named like x-00001-of-%05" PRId64 ".gguf", path, count, count);
    shard_close(&g->shards[0]);
    mm__free(g->mem, g->shards);
    g->n_shards = 0;
    g->shards = mm__calloc(g->mem, n, sizeof *g->shards);
    const size_t room = strlen(path) + 1;
    char *name = mm__strdup(g->mem, path);
    mm_status st = g->shards && name ? MM_OK : mm__nomem(err, "the shards of a GGUF file");
    for (unsigned i = 0; i < n && !st; i++) {
        int64_t at, all;
        snprintf(name + stem, room - stem, "-%05u-of-%05u.gguf", i + 1, n);
        shard *s = &g->shards[g->n_shards++];
        st = shard_open(files, name, s, err);
        if (!st) st = get_int(s, "split.no", -1, 0, MAX_SHARDS, &at, err);
        if (!st) st = get_int(s, "split.count", -1, 0, MAX_SHARDS, &all, err);
        if (!st && (at != i || all != n)) st = mm__fail(err, MM_E_FORMAT, "%s: is not shard %u of %u", name, i + 1, n);
    }
    mm__free(g->mem, name);
    return st;
}

mm_status mm__gguf_open(const mm__files *files, const char *path, mm__gguf **out, mm_error *err)
{
    mm__mem *mem = files->mem;
    int64_t count;
    *out = NULL;
    mm__gguf *g = mm__zalloc(mem, sizeof *g);
    if (!g) return mm__nomem(err, "a GGUF file");
    g->mem = mem;
    g->shards = mm__calloc(mem, 1, sizeof *g->shards);
    if (!g->shards) {
        mm__free(mem, g);
        return mm__nomem(err, "a GGUF file");
    }
    g->n_shards = 1;
    mm_status st = shard_open(files, path, &g->shards[0], err);
    if (!st) st = get_int(&g->shards[0], "split.count", 1, 0, MAX_SHARDS, &count, err);
    if (!st) st = mm__limit_check(mem, MM__LIMIT_SHARDS, (uint64_t)count, path, err);
    if (!st && count > 1) st = open_split(g, files, path, count, err);
    if (st) {
        mm__gguf_close(g);
        return st;
    }
    *out = g;
    return MM_OK;
}

void mm__gguf_shut(mm__gguf *g)
{
    for (size_t i = 0; g && i < g->n_shards; i++) mm__io_shut(g->shards[i].io);
}

void mm__gguf_close(mm__gguf *g)
{
    if (!g) return;
    for (size_t i = 0; i < g->n_shards; i++) shard_close(&g->shards[i]);
    mm__free(g->mem, g->shards);
    mm__free(g->mem, g);
}

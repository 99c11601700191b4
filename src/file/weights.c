/* The set of tensors of a model. Entries live in blocks of their own (entry, then name), so pointers handed out stay valid
 * while more files are added; a hash map leads from names and aliases to positions. Extents are checked when an entry is
 * added and once more at every read, because a file may have shrunk in between.
 * Filling is single-threaded; afterwards lookups and reads may come from any thread. */
#include "weights.h"
#include "../base/ckd.h"
#include "../base/error.h"
#include "../base/map.h"
#include <inttypes.h>
#include <string.h>

enum { MAX_NAME = 255 };

struct mm__weights {
    mm__mem *mem;
    mm__map *by_name;
    mm__weight **items;
    size_t n, cap;
    char **aliases;
    size_t n_aliases, aliases_cap;
    mm__io **ios;
    size_t n_ios, ios_cap;
};

mm_status mm__weights_create(mm__mem *mem, mm__weights **out, mm_error *err)
{
    *out = NULL;
    mm__weights *w = mm__zalloc(mem, sizeof *w);
    if (!w) return mm__nomem(err, "a set of weights");
    w->mem = mem;
    w->by_name = mm__map_create(mem, 64);
    if (!w->by_name) {
        mm__free(mem, w);
        return mm__nomem(err, "the index of a set of weights");
    }
    *out = w;
    return MM_OK;
}

void mm__weights_destroy(mm__weights *w)
{
    if (!w) return;
    for (size_t i = 0; i < w->n; i++) mm__free(w->mem, w->items[i]);
    for (size_t i = 0; i < w->n_aliases; i++) mm__free(w->mem, w->aliases[i]);
    for (size_t i = 0; i < w->n_ios; i++) mm__io_close(w->ios[i]);
    mm__free(w->mem, w->items);
    mm__free(w->mem, w->aliases);
    mm__free(w->mem, w->ios);
    mm__map_destroy(w->by_name);
    mm__free(w->mem, w);
}

void mm__weights_shut(mm__weights *w)
{
    for (size_t i = 0; w && i < w->n_ios; i++) mm__io_shut(w->ios[i]);
}

mm_status mm__weights_own_io(mm__weights *w, mm__io *io, mm_error *err)
{
    if (!mm__grow(w->mem, &w->ios, w->n_ios, &w->ios_cap, sizeof *w->ios)) {
        mm__io_close(io);
        return mm__nomem(err, "the files of a set of weights");
    }
    w->ios[w->n_ios++] = io;
    return MM_OK;
}

static mm_status check_name(const char *file, const char *name, size_t len, mm_error *err)
{
    if (len == 0 || len > MAX_NAME || memchr(name, 0, len))
        return mm__fail(err, MM_E_FORMAT, "%s: a tensor name of %zu bytes is not a text of 1 to %d bytes", file, len, (int)MAX_NAME);
    return MM_OK;
}

static mm_status check_extent(const mm__weight *t, mm_error *err)
{
    const uint64_t size = mm__io_size(t->io);
    uint64_t end;
    if (!mm__ckd_add64(t->offset, t->bytes, &end) || end > size)
        return mm__fail(err, MM_E_FORMAT, "%s: tensor %s at byte %" PRIu64 " of %zu bytes reaches beyond the end of the file (%" PRIu64 " bytes); the file may be incomplete",
                        mm__io_name(t->io), t->name, t->offset, t->bytes, size);
    return MM_OK;
}

mm_status mm__weights_add(mm__weights *w, const char *name, size_t name_len, mm__dtype t, mm__shape s, mm__io *io,
                          uint64_t offset, size_t bytes, mm_error *err)
{
    const char *file = mm__io_name(io);
    mm_status st = check_name(file, name, name_len, err);
    if (st) return st;
    if ((st = mm__limit_check(w->mem, MM__LIMIT_TENSORS, w->n + 1, file, err)) != MM_OK) return st;
    size_t want;
    char text[96];
    if (!mm__tensor_bytes(t, &s, &want) || want != bytes)
        return mm__fail(err, MM_E_FORMAT, "%s: tensor %.*s of %zu bytes cannot hold %s elements of shape %s", file, (int)name_len, name, bytes,
                        mm__dtype_info_of(t)->name, mm__shape_str(&s, text));
    if (mm__map_get(w->by_name, name, name_len, &(uint64_t){0}))
        return mm__fail(err, MM_E_FORMAT, "%s: tensor %.*s occurs twice", file, (int)name_len, name);

    mm__weight *item = mm__alloc(w->mem, sizeof *item + name_len + 1);
    if (!item) return mm__nomem(err, "a tensor's entry");
    char *copy = (char *)(item + 1);
    memcpy(copy, name, name_len);
    copy[name_len] = 0;
    *item = (mm__weight){copy, t, s, offset, bytes, io};
    st = check_extent(item, err);
    if (!st && (!mm__grow(w->mem, &w->items, w->n, &w->cap, sizeof *w->items) || !mm__map_put(w->by_name, name, name_len, w->n, NULL)))
        st = mm__nomem(err, "the index of a set of weights");
    if (st) {
        mm__free(w->mem, item);
        return st;
    }
    w->items[w->n++] = item;
    return MM_OK;
}

mm_status mm__weights_alias(mm__weights *w, const char *alias, const char *target, mm_error *err)
{
    uint64_t at;
    const size_t len = strlen(alias);
    if (!mm__map_get(w->by_name, target, strlen(target), &at))
        return mm__fail(err, MM_E_FORMAT, "tensor name %s stands for %s, which is not in the file", alias, target);
    const char *file = mm__io_name(w->items[at]->io);
    mm_status st = check_name(file, alias, len, err);
    if (st) return st;
    if (mm__map_get(w->by_name, alias, len, &(uint64_t){0})) return mm__fail(err, MM_E_FORMAT, "%s: tensor name %s occurs twice", file, alias);
    if ((st = mm__limit_check(w->mem, MM__LIMIT_TENSORS, w->n_aliases + 1, file, err)) != MM_OK) return st;
    char *copy = mm__strdup(w->mem, alias);
    if (!copy || !mm__grow(w->mem, &w->aliases, w->n_aliases, &w->aliases_cap, sizeof *w->aliases) ||
        !mm__map_put(w->by_name, alias, len, at, NULL)) {
        mm__free(w->mem, copy);
        return mm__nomem(err, "a tensor's second name");
    }
    w->aliases[w->n_aliases++] = copy;
    return MM_OK;
}

size_t mm__weights_count(const mm__weights *w)
{
    return w->n;
}

const mm__weight *mm__weights_at(const mm__weights *w, size_t i)
{
    return i < w->n ? w->items[i] : NULL;
}

const mm__weight *mm__weights_find(const mm__weights *w, const char *name)
{
    uint64_t at;
    return mm__map_get(w->by_name, name, strlen(name), &at) ? w->items[at] : NULL;
}

bool mm__weights_any(const mm__weights *w, const char *prefix)
{
    const size_t len = strlen(prefix);
    for (size_t i = 0; i < w->n; i++)
        if (!strncmp(w->items[i]->name, prefix, len)) return true;
    for (size_t i = 0; i < w->n_aliases; i++)
        if (!strncmp(w->aliases[i], prefix, len)) return true;
    return false;
}

mm_status mm__weight_read(const mm__weight *t, size_t from, void *dst, size_t n, mm_error *err)
{
    if (from > t->bytes || n > t->bytes - from)
        return mm__fail(err, MM_E_ARG, "%s: bytes %zu and the %zu after it are not all inside tensor %s of %zu bytes", mm__io_name(t->io), from, n,
                        t->name, t->bytes);
    const mm_status st = check_extent(t, err);
    return st ? st : mm__io_read(t->io, t->offset + from, dst, n, err);
}

/* Reading and writing the cache of a device. */
#include "cache.h"

#include "../../base/error.h"
#include "../../base/io.h"
#include "../../base/newfile.h"
#include "../../base/sha256.h"
#include "fallback.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define MOST_BYTES (512u << 20)        /* a larger file is not read */

static const char magic[8] = {'M', 'M', 'V', 'K', 'C', 0, 0, 1};

typedef struct header {
    char magic[8];
    uint8_t key[32], digest[32];
    uint32_t n_records, n_bytes;       /* the digest begins here */
} header;
_Static_assert(sizeof(header) == 80, "no gaps in a header");

typedef struct record {
    uint8_t op, type, rows, with, verdict, zero[3];
    double error;
} record;
_Static_assert(sizeof(record) == 16, "no gaps in a record");

enum { DIGEST_FROM = offsetof(header, n_records) };

/* ---- whose it is ---- */

static void add_text(mm__sha256 *s, const char *text) { mm__sha256_add(s, text, strlen(text) + 1); }

static void make_key(const mm__vulkan *v, uint8_t out[32])
{
    const mm__vk_limits *l = &v->device.limits;
    const uint64_t limits[] = {l->binding, l->allocation, l->align, l->groups, l->invocations, l->shared, l->subgroup, l->has, l->parts};
    const uint32_t numbers[] = {MM_VERSION, MM__VK_ROWS, MM__VK_VARIANTS, v->base.exact};
    mm__sha256 s;
    mm__sha256_init(&s);
    mm__sha256_add(&s, v->device.identity, sizeof v->device.identity);
    mm__sha256_add(&s, limits, sizeof limits);
    mm__sha256_add(&s, numbers, sizeof numbers);
    for (int i = 0; i < MM__VK_N_SHADER; i++) {
        add_text(&s, mm__vk_shaders[i].name);
        mm__sha256_add(&s, mm__vk_shaders[i].code, mm__vk_shaders[i].bytes);
    }
    for (int i = 0; i < MM__N_OP; i++) add_text(&s, mm__op_name((mm__op)i));
    for (int i = 0; i < MM__N_DTYPE; i++) add_text(&s, mm__dtype_info_of((mm__dtype)i)->name);
    mm__sha256_end(&s, out);
}

static char *path_in(mm__vulkan *v, const char *folder, const uint8_t key[32])
{
    char name[64], hex[65];
    mm__sha256_hex(key, hex);
    snprintf(name, sizeof name, "libmm-%.16s.vkcache", hex);
    return mm__path_join(v->base.mem, folder, name);
}

static void digest_of(const char *file, size_t n, uint8_t out[32])
{
    mm__sha256 s;
    mm__sha256_init(&s);
    mm__sha256_add(&s, file + DIGEST_FROM, n - DIGEST_FROM);
    mm__sha256_end(&s, out);
}

/* ---- reading ---- */

/* The content of the file, or NULL where there is none that can be read. */
static char *read_file(mm__mem *mem, const char *path, size_t *n)
{
    const mm__files files = {.mem = mem};
    mm__io *io;
    *n = 0;
    if (mm__io_open_path(&files, path, &io, NULL) != MM_OK) return NULL;
    const uint64_t size = mm__io_size(io);
    char *file = size >= sizeof(header) && size <= MOST_BYTES ? mm__alloc(mem, (size_t)size) : NULL;
    if (file && mm__io_read(io, 0, file, (size_t)size, NULL) == MM_OK) {
        *n = (size_t)size;
    } else {
        mm__free(mem, file);
        file = NULL;
    }
    mm__io_close(io);
    return file;
}

static bool is_whole(const header *h, const char *file, size_t n, const uint8_t key[32])
{
    uint8_t digest[32];
    if (memcmp(h->magic, magic, sizeof magic) != 0 || memcmp(h->key, key, sizeof h->key) != 0) return false;
    if (n - sizeof *h != (uint64_t)h->n_records * sizeof(record) + h->n_bytes) return false;
    digest_of(file, n, digest);
    return memcmp(h->digest, digest, sizeof digest) == 0;
}

static void recall(mm__vulkan *v, const record *r)
{
    const mm__vk_family f = {(mm__op)r->op, (mm__dtype)r->type, (mm__vk_rows)r->rows, r->with};
    if (r->op >= MM__N_OP || r->type >= MM__N_DTYPE || r->rows >= MM__VK_ROWS || r->with >= MM__VK_VARIANTS || !isfinite(r->error)) return;
    if (r->verdict == MM__VK_RIGHT || r->verdict == MM__VK_WRONG) mm__vk_recall(v, &f, (mm__vk_verdict)r->verdict, r->error);
}

/* With the turn. A driver that refuses its data compiles as if there were none. */
static void take_in(mm__vulkan *v, const char *file, size_t n)
{
    header h;
    record r;
    memcpy(&h, file, sizeof h);
    if (!is_whole(&h, file, n, v->cache.key)) {
        mm__logf(&v->base.log, MM_LOG_INFO, "backend", "%s is damaged, or of another driver, and is made anew", v->cache.path);
        return;
    }
    const char *at = file + sizeof h;
    for (uint32_t i = 0; i < h.n_records; i++, at += sizeof r) {
        memcpy(&r, at, sizeof r);
        recall(v, &r);
    }
    if (h.n_bytes && mm__vk_pipelines_recall(&v->pipelines, at, h.n_bytes, NULL) < 0) return;
    memcpy(v->cache.digest, h.digest, sizeof h.digest);
}

/* ---- writing ---- */

static uint32_t put_records(mm__vulkan *v, mm__buf *out)
{
    uint32_t n = 0;
    for (unsigned i = 0; i < MM__VK_FAMILIES; i++) {
        const mm__vk_family f = mm__vk_family_numbered(i);
        mm__vk_proof *p = mm__vk_proof_of(v, &f);
        record r = {.op = (uint8_t)f.op, .type = (uint8_t)f.type, .rows = (uint8_t)f.rows, .with = (uint8_t)f.with};
        r.verdict = (uint8_t)atomic_load_explicit(&p->verdict, memory_order_acquire);
        if ((r.verdict != MM__VK_RIGHT && r.verdict != MM__VK_WRONG) || !isfinite(p->error)) continue; /* the next engine tries again */
        r.error = p->error;
        mm__buf_put(out, &r, sizeof r);
        n++;
    }
    return n;
}

/* The whole file, with the turn; false when it is the one that is there, or memory lacks. */
static bool compose(mm__vulkan *v, mm__buf *out)
{
    header h = {0};
    memcpy(h.magic, magic, sizeof magic);
    memcpy(h.key, v->cache.key, sizeof h.key);
    mm__buf_put(out, &h, sizeof h);
    h.n_records = put_records(v, out);
    const size_t at = out->len;
    mm__vk_pipelines_data(&v->pipelines, out);
    if (out->failed || out->len > MOST_BYTES) return false;
    h.n_bytes = (uint32_t)(out->len - at);
    memcpy(out->data, &h, sizeof h);
    digest_of(out->data, out->len, h.digest);
    if (memcmp(h.digest, v->cache.digest, sizeof h.digest) == 0) return false;
    memcpy(out->data, &h, sizeof h);
    memcpy(v->cache.digest, h.digest, sizeof h.digest);
    return h.n_records || h.n_bytes;
}

/* Writing it is no condition for anything, so a failure is only told. */
static void write_file(mm__vulkan *v, const char *path, const mm__buf *content)
{
    mm__newfile f;
    mm_error err = {.size = sizeof err};
    mm_status s = mm__newfile_open(v->base.mem, path, &f, &err);
    if (s == MM_OK) s = mm__newfile_close(&f, mm__newfile_write(&f, content->data, content->len, &err), &err);
    if (s != MM_OK) mm__logf(&v->base.log, MM_LOG_WARN, "backend", "what was learnt of %s is not kept: %s", v->device.name, err.text);
}

/* ---- life ---- */

/* `path`, or NULL, becomes the cache, which owns it, and the file of the one before is written if anything is new. */
static mm_status exchange(mm__vulkan *v, char *path, const uint8_t key[32], const char *file, size_t n, mm_error *err)
{
    mm__buf content;
    mm__buf_init(&content, v->base.mem);
    const mm_status s = mm__vk_turn(&v->stream, NULL, err);
    if (s < 0) return s;
    char *before = v->cache.path;
    const bool fresh = before && compose(v, &content);
    v->cache = (mm__vk_cache){.path = path};
    if (path) memcpy(v->cache.key, key, sizeof v->cache.key);
    if (file) take_in(v, file, n);
    mm__vk_turn_end(&v->stream);
    if (fresh) write_file(v, before, &content);
    mm__free(v->base.mem, before);
    mm__buf_free(&content);
    return MM_OK;
}

mm_status mm__vk_cache_use(mm__vulkan *v, const char *folder, mm_error *err)
{
    const mm__files files = {.mem = v->base.mem};
    uint8_t key[32];
    size_t n;
    if (!folder[0]) return exchange(v, NULL, NULL, NULL, 0, err);
    if (mm__path_kind(&files, folder) != MM__PATH_DIR) return mm__fail(err, MM_E_IO, "device_cache: %s is no folder; make it first", folder);
    make_key(v, key);
    char *path = path_in(v, folder, key);
    if (!path) return mm__nomem(err, "device_cache");
    char *file = read_file(v->base.mem, path, &n);
    const mm_status s = exchange(v, path, key, file, n, err);
    if (s < 0) mm__free(v->base.mem, path);
    mm__free(v->base.mem, file);
    return s;
}

void mm__vk_cache_close(mm__vulkan *v)
{
    if (v->cache.path) exchange(v, NULL, NULL, NULL, 0, NULL);
    mm__free(v->base.mem, v->cache.path); /* of a device that was lost */
    v->cache.path = NULL;
}

/* The CPU backend: memory is the engine's, work is done by its thread pool (run.c) with the kernels the processor has
 * (dispatch.c).
 *
 * Constants keep the rows of the file in `data`, in the file's type, except
 *   - vectors, which become F32,
 *   - weights of LINEAR, which kern/linear may turn into a packed form of its own.
 * States and arenas are plain memory, so host and device pointers are the same. */
#include "cpu.h"

#include "../../base/ckd.h"
#include "../../base/error.h"
#include "../../base/os/os.h"
#include "../../base/pool.h"
#include "kern/linear/linear.h"

#include <stdio.h>
#include <string.h>

#define CHUNK_BYTES (1u << 20) /* read at a time when the form changes; small enough to stay in the cache */

/* Rows up to which LINEAR and ATTENTION take their kernels for few rows, which treat each as if it were alone. */
#define ALIKE 4

typedef struct cpu {
    mm__backend base;
    mm__pool *pool;
    unsigned isa;
    mm__cpu_table table;
} cpu;

static cpu *self(mm__backend *b) { return (cpu *)b; }

/* ---- tensors ---- */

static void tensor_free(mm__tensor *t)
{
    if (!t) return;
    mm__mem *mem = t->backend->mem;
    mm__linear_pack_free(mem, t);
    mm__free(mem, t->data);
    mm__free(mem, t);
}

typedef enum data_kind { DATA_NONE, DATA_RAW, DATA_ZERO } data_kind;

static mm_status tensor_new(mm__backend *b, mm__dtype type, const mm__shape *s, data_kind kind, const char *name, mm__tensor **out, mm_error *err)
{
    size_t bytes;
    char str[96];
    *out = NULL;
    if (s->n < 1 || !mm__tensor_bytes(type, s, &bytes) || bytes == 0)
        return mm__fail(err, MM_E_ARG, "%s: impossible shape %s", name, mm__shape_str(s, str));
    mm__tensor *t = mm__zalloc(b->mem, sizeof *t);
    void *data = NULL;
    if (t && kind != DATA_NONE) data = kind == DATA_ZERO ? mm__zalloc(b->mem, bytes) : mm__alloc(b->mem, bytes);
    if (!t || (!data && kind != DATA_NONE)) {
        mm__free(b->mem, t);
        return mm__nomem(err, name);
    }
    *t = (mm__tensor){.backend = b, .dtype = type, .shape = *s, .data = data, .bytes = bytes};
    *out = t;
    return MM_OK;
}

/* Reads all rows into dst as they are. */
static mm_status read_raw(const mm__upload *u, size_t row_bytes, uint8_t *dst, mm_error *err)
{
    const int64_t rows = mm__shape_rows(&u->shape), step = row_bytes < CHUNK_BYTES ? (int64_t)(CHUNK_BYTES / row_bytes) : 1;
    mm_status s = MM_OK;
    for (int64_t r = 0; r < rows && s >= 0; r += step) s = u->read(u->ctx, r, rows - r < step ? rows - r : step, dst + (size_t)r * row_bytes, err);
    return s;
}

/* Reads all rows into dst as F32. */
static mm_status read_f32(mm__backend *b, const mm__upload *u, size_t row_bytes, float *dst, mm_error *err)
{
    const int64_t rows = mm__shape_rows(&u->shape), cols = mm__shape_cols(&u->shape);
    int64_t step = row_bytes < CHUNK_BYTES ? (int64_t)(CHUNK_BYTES / row_bytes) : 1;
    if (u->dtype == MM__F32) return read_raw(u, row_bytes, (uint8_t *)dst, err);
    if (step > rows) step = rows;
    mm_status s = MM_OK;
    uint8_t *chunk = mm__alloc(b->mem, (size_t)step * row_bytes);
    if (!chunk) return mm__nomem(err, u->name);
    for (int64_t r = 0; r < rows; r += step) {
        const int64_t n = rows - r < step ? rows - r : step;
        s = u->read(u->ctx, r, n, chunk, err);
        if (s < 0) break;
        for (int64_t i = 0; i < n; i++) mm__unpack_row(u->dtype, chunk + (size_t)i * row_bytes, dst + (r + i) * cols, cols);
    }
    mm__free(b->mem, chunk);
    return s;
}

/* ---- weights of LINEAR ---- */

typedef struct packing {
    mm__linear_packed *packed;
    const uint8_t *rows; /* of panel `first` on */
    size_t panel_bytes;  /* of its rows */
    int64_t first, n;
} packing;

static void pack_panels(void *arg, int ith, int nth)
{
    const packing *p = arg;
    for (int64_t i = p->n * ith / nth; i < p->n * (ith + 1) / nth; i++)
        mm__linear_pack_panel(p->packed, p->first + i, p->rows + (size_t)i * p->panel_bytes);
}

/* Fills `packed` from all rows, a chunk at a time: read by one thread, packed by all. Into `raw` when it is not NULL, where
 * the rows stay. */
static mm_status pack_rows(mm__backend *b, const mm__upload *u, size_t row_bytes, mm__linear_packed *packed, uint8_t *raw, mm_error *err)
{
    const int64_t rows = mm__shape_rows(&u->shape), panels = mm__linear_panels(packed);
    packing p = {.packed = packed, .panel_bytes = row_bytes * MM__LINEAR_PANEL};
    int64_t step = p.panel_bytes < CHUNK_BYTES ? (int64_t)(CHUNK_BYTES / p.panel_bytes) : 1;
    if (step < mm__pool_size(self(b)->pool)) step = mm__pool_size(self(b)->pool);
    if (step > panels) step = panels;
    uint8_t *chunk = raw ? NULL : mm__alloc(b->mem, (size_t)step * p.panel_bytes);
    if (!raw && !chunk) return mm__nomem(err, u->name);
    mm_status s = MM_OK;
    for (; p.first < panels; p.first += step) {
        const int64_t row = p.first * MM__LINEAR_PANEL;
        uint8_t *dst = raw ? raw + (size_t)row * row_bytes : chunk;
        p.rows = dst;
        p.n = panels - p.first < step ? panels - p.first : step;
        s = u->read(u->ctx, row, rows - row < p.n * MM__LINEAR_PANEL ? rows - row : p.n * MM__LINEAR_PANEL, dst, err);
        if (s < 0) break;
        mm__pool_run_or_alone(self(b)->pool, pack_panels, &p);
    }
    mm__free(b->mem, chunk);
    return s;
}

static mm_status upload_linear(mm__backend *b, const mm__upload *u, size_t row_bytes, mm__tensor **out, mm_error *err)
{
    mm__linear_packed *packed;
    mm__tensor *t;
    const mm__linear_grade grade = b->exact ? MM__LINEAR_EXACT : u->use & MM__USE_COARSE ? MM__LINEAR_COARSE : MM__LINEAR_FAST;
    mm_status s = mm__linear_packed_new(b->mem, self(b)->isa, grade, u->dtype, &u->shape, &packed, err);
    if (s < 0) return s;
    s = tensor_new(b, u->dtype, &u->shape, packed && !(u->use & MM__USE_ROWS) ? DATA_NONE : DATA_RAW, u->name, &t, err);
    if (s < 0) {
        mm__free(b->mem, packed);
        return s;
    }
    t->packed = packed;
    s = packed ? pack_rows(b, u, row_bytes, packed, t->data, err) : read_raw(u, row_bytes, t->data, err);
    if (packed) t->bytes = mm__linear_packed_bytes(packed) + (t->data ? t->bytes : 0);
    if (s < 0) {
        tensor_free(t);
        return s;
    }
    *out = t;
    return MM_OK;
}

static mm_status upload(mm__backend *b, const mm__upload *u, mm__tensor **out, mm_error *err)
{
    const bool vector = u->use & MM__USE_VECTOR;
    size_t row_bytes;
    mm__tensor *t;
    *out = NULL;
    if (!mm__dtype_row_bytes(u->dtype, mm__shape_cols(&u->shape), &row_bytes) || row_bytes == 0)
        return mm__fail(err, MM_E_ARG, "%s: rows are no multiple of the block of %s", u->name, mm__dtype_info_of(u->dtype)->name);
    if ((u->use & MM__USE_LINEAR) && !vector && u->shape.n == 2 && mm__cpu_has_kernels(&self(b)->table, MM__OP_LINEAR))
        return upload_linear(b, u, row_bytes, out, err);
    mm_status s = tensor_new(b, vector ? MM__F32 : u->dtype, &u->shape, DATA_RAW, u->name, &t, err);
    if (s < 0) return s;
    s = vector ? read_f32(b, u, row_bytes, t->data, err) : read_raw(u, row_bytes, t->data, err);
    if (s < 0) {
        tensor_free(t);
        return s;
    }
    *out = t;
    return MM_OK;
}

static mm_status state(mm__backend *b, mm__where where, mm__dtype type, mm__shape s, mm__tensor **out, mm_error *err)
{
    return tensor_new(b, type, &s, DATA_ZERO, "state", out, err);
}

/* ---- work memory ---- */

static mm_status arena_reserve(mm__backend *b, mm__arena *a, size_t bytes, mm_error *err)
{
    if (a->data && a->bytes >= bytes) return MM_OK;
    mm__free(b->mem, a->data);
    *a = (mm__arena){.backend = b, .data = mm__alloc(b->mem, bytes)};
    if (!a->data) return mm__nomem(err, "work memory");
    a->bytes = bytes;
    return MM_OK;
}

static void arena_free(mm__arena *a)
{
    if (!a || !a->backend) return;
    mm__free(a->backend->mem, a->data);
    *a = (mm__arena){0};
}

static mm_status copy_in(mm__backend *b, void *device, const void *host, size_t bytes, mm_error *err)
{
    memcpy(device, host, bytes);
    return MM_OK;
}

static mm_status copy_out(mm__backend *b, const void *device, void *host, size_t bytes, mm_error *err)
{
    memcpy(host, device, bytes);
    return MM_OK;
}

/* ---- work ---- */

static bool supports(mm__backend *b, const mm__call *call) { return true; }
static size_t scratch(mm__backend *b, const mm__call *call) { return mm__cpu_scratch(self(b)->pool, &self(b)->table, call); }

static mm_status run(mm__backend *b, const mm__call *calls, size_t n, void *scratch_mem, const atomic_int *cancel, mm_error *err)
{
    return mm__cpu_run(self(b)->pool, &self(b)->table, calls, n, scratch_mem, cancel, err);
}

static void describe(mm__backend *b, char *buf, size_t cap) { mm__cpu_describe(self(b)->isa, mm__pool_size(self(b)->pool), buf, cap); }

static void destroy(mm__backend *b)
{
    mm__mem *mem = b->mem;
    mm__pool_destroy(self(b)->pool);
    mm__cpu_table_free(mem, &self(b)->table);
    mm__free(mem, b);
}

static const mm__backend_ops ops = {
    .name = "cpu",
    .destroy = destroy,
    .upload = upload,
    .state = state,
    .tensor_free = tensor_free,
    .arena_reserve = arena_reserve,
    .arena_free = arena_free,
    .supports = supports,
    .scratch = scratch,
    .run = run,
    .write = copy_in,
    .read = copy_out,
    .describe = describe,
};

const char *mm__cpu_tier(unsigned index, unsigned *isa)
{
    static const struct { const char *name; unsigned isa; } tiers[] = {
        {"c", MM__ISA_C},
        {"avx2", MM__ISA_AVX2},
        {"avxvnni", MM__ISA_AVX2 | MM__ISA_AVXVNNI},
        {"avx512", MM__ISA_AVX2 | MM__ISA_AVX512},
        {"avx512bf16", MM__ISA_AVX2 | MM__ISA_AVX512 | MM__ISA_AVX512BF16},
    };
    if (index >= sizeof tiers / sizeof tiers[0]) return NULL;
    if (isa) *isa = tiers[index].isa;
    return tiers[index].name;
}

static bool tier_isa(const char *tier, unsigned *isa)
{
    const char *name;
    for (unsigned i = 0; (name = mm__cpu_tier(i, isa)); i++)
        if (!strcmp(tier, name)) return true;
    return false;
}

/* The highest tier that `isa` has in full. */
static const char *tier_of(unsigned isa)
{
    const char *name, *best = "c";
    unsigned needs;
    for (unsigned i = 0; (name = mm__cpu_tier(i, &needs)); i++)
        if (!(needs & ~isa)) best = name;
    return best;
}

void mm__cpu_device(mm__device *out)
{
    const unsigned isa = mm__cpu_features();
    const char *name;
    unsigned needs;
    size_t n = 0;
    out->id = out->kind = "cpu";
    out->threads = mm__os_cores();
    mm__cpu_brand(out->name);
    mm__cpu_describe(isa, 0, out->summary, sizeof out->summary);
    for (unsigned i = 1; (name = mm__cpu_tier(i, &needs)); i++)
        if (!(needs & ~isa)) n += (size_t)snprintf(out->features + n, sizeof out->features - n, "%s%s", n ? " " : "", name);
}

mm_status mm__cpu_create(mm__mem *mem, const mm__log *log, const char *tier, int n_threads, const mm_executor *host, bool exact,
                         mm__backend **out, mm_error *err)
{
    unsigned isa = mm__cpu_features(), wanted = isa;
    *out = NULL;
    if (tier && (!tier_isa(tier, &wanted) || (wanted & ~isa)))
        return mm__fail(err, MM_E_DEVICE, "device cpu:%s: this processor has no such instruction set", tier);
    cpu *c = mm__zalloc(mem, sizeof *c);
    if (!c) return mm__nomem(err, "cpu backend");
    c->base = (mm__backend){.ops = &ops, .mem = mem, .exact = exact};
    if (log) c->base.log = *log;
    c->isa = wanted;
    mm_status s = mm__cpu_table_init(mem, c->isa, &c->table) ? MM_OK : mm__nomem(err, "kernel table");
    if (s >= 0 && host) s = mm__pool_create_on(mem, host, &c->pool, err);
    else if (s >= 0) s = mm__pool_create(mem, n_threads > 0 ? n_threads : mm__os_cores(), &c->pool, err);
    if (s < 0) {
        mm__cpu_table_free(mem, &c->table);
        mm__free(mem, c);
        return s;
    }
    if (!host && n_threads > mm__pool_size(c->pool))
        mm__logf(log, MM_LOG_WARN, "backend", "%d threads were asked for, %d could be started", n_threads, mm__pool_size(c->pool));
    c->base.isa = tier_of(c->isa);
    c->base.threads = mm__pool_size(c->pool);
    c->base.alike = ALIKE;
    *out = &c->base;
    return MM_OK;
}

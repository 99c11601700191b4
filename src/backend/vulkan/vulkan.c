/* The backend: tensors, arenas, states and lists of calls on one device.
 *
 * Constants keep the rows of the file, in the file's type, in memory of the device; shaders unpack them. Vectors become F32.
 * Pointers of tensors and arenas are keys (memory.h), never memory of the process.
 *
 * A list is recorded call by call: a barrier where the graph says a call waits, one or a few dispatches by the kernel of its
 * operator (kern.h). A call that no shader does runs on the CPU backend given at creation: the device finishes, the views of
 * the call are copied out, the result is copied back. Lists of several threads take turns. */
#include "fallback.h"

#include "../../base/ckd.h"
#include "../../base/error.h"
#include "../../base/stop.h"

#include <stdio.h>
#include <string.h>

#define CHUNK_BYTES (1u << 20)         /* of a constant, read at a time */

typedef struct tensor {
    mm__tensor base;
    mm__vk_piece *piece;
} tensor;

static mm__vulkan *self(mm__backend *b) { return (mm__vulkan *)b; }

/* ---- copies ---- */

static mm_status place_of(mm__vulkan *v, const void *address, size_t bytes, mm__vk_place *out, mm_error *err)
{
    if (mm__vk_find(&v->memory, address, out) && bytes <= out->end - out->offset) return MM_OK;
    return mm__fail(err, MM_E_INTERNAL, "an address that is not the device's");
}

static mm_status put(mm__backend *b, void *device, const void *host, size_t bytes, mm_error *err)
{
    mm__vulkan *v = self(b);
    mm__vk_place to;
    if (!mm__vk_is_key(&v->memory, device)) return v->host->ops->write(v->host, device, host, bytes, err);
    mm_status s = mm__vk_alive(&v->device, err);
    if (s >= 0) s = place_of(v, device, bytes, &to, err);
    if (s < 0 || to.mapped) return s < 0 ? s : mm__vk_put(&v->stream, &to, host, bytes, err);
    if ((s = mm__vk_turn(&v->stream, NULL, err)) < 0) return s;
    s = mm__vk_put(&v->stream, &to, host, bytes, err);
    mm__vk_turn_end(&v->stream);
    return s;
}

static mm_status fetch(mm__backend *b, const void *device, void *host, size_t bytes, mm_error *err)
{
    mm__vulkan *v = self(b);
    mm__vk_place from;
    if (!mm__vk_is_key(&v->memory, device)) return v->host->ops->read(v->host, device, host, bytes, err);
    mm_status s = mm__vk_alive(&v->device, err); /* what was mapped may be anything once it is lost */
    if (s >= 0) s = place_of(v, device, bytes, &from, err);
    if (s < 0 || from.mapped) return s < 0 ? s : mm__vk_fetch(&v->stream, &from, host, bytes, err);
    if ((s = mm__vk_turn(&v->stream, NULL, err)) < 0) return s;
    s = mm__vk_fetch(&v->stream, &from, host, bytes, err);
    mm__vk_turn_end(&v->stream);
    return s;
}

/* ---- tensors ---- */

/* Whether the host has what belongs there; it then makes the tensor, and calls with it run there. */
static bool elsewhere(const mm__vulkan *v, mm__where w)
{
    if (atomic_load_explicit(&v->on_host, memory_order_relaxed) >> w.part & 1) return true;
    return w.part == MM__PART_DECODER && w.layer >= atomic_load_explicit(&v->gpu_layers, memory_order_relaxed);
}

static void tensor_free(mm__tensor *t)
{
    if (!t) return;
    mm__vulkan *v = self(t->backend);
    mm__vk_piece_free(&v->memory, ((tensor *)t)->piece);
    mm__free(v->base.mem, t);
}

static mm_status tensor_new(mm__vulkan *v, mm__dtype type, const mm__shape *s, const char *name, mm__tensor **out, mm_error *err)
{
    size_t bytes;
    char str[96];
    *out = NULL;
    if (s->n < 1 || !mm__tensor_bytes(type, s, &bytes) || bytes == 0)
        return mm__fail(err, MM_E_ARG, "%s: impossible shape %s", name, mm__shape_str(s, str));
    tensor *t = mm__zalloc(v->base.mem, sizeof *t);
    if (!t) return mm__nomem(err, name);
    const mm_status st = mm__vk_piece_new(&v->memory, MM__VK_OWN, bytes, name, &t->piece, err);
    if (st < 0) {
        mm__free(v->base.mem, t);
        return st;
    }
    t->base = (mm__tensor){.backend = &v->base, .dtype = type, .shape = *s, .data = mm__vk_address(t->piece), .bytes = bytes};
    *out = &t->base;
    return MM_OK;
}

/* Rows from the source into the tensor, a chunk at a time; as F32 when that is the tensor's type and not the source's. */
static mm_status fill(mm__vulkan *v, const mm__upload *u, size_t row_bytes, mm__tensor *t, mm_error *err)
{
    const int64_t rows = mm__shape_rows(&u->shape), cols = mm__shape_cols(&u->shape);
    const bool convert = t->dtype != u->dtype;
    const size_t out_bytes = convert ? (size_t)cols * sizeof(float) : row_bytes;
    int64_t step = (int64_t)(CHUNK_BYTES / (row_bytes > out_bytes ? row_bytes : out_bytes));
    if (step < 1) step = 1;
    if (step > rows) step = rows;
    unsigned char *raw = mm__alloc(v->base.mem, (size_t)step * row_bytes), *values = convert ? mm__alloc(v->base.mem, (size_t)step * out_bytes) : raw;
    mm_status s = raw && values ? MM_OK : mm__nomem(err, u->name);
    for (int64_t r = 0; r < rows && s >= 0; r += step) {
        const int64_t n = rows - r < step ? rows - r : step;
        s = u->read(u->ctx, r, n, raw, err);
        for (int64_t i = 0; i < n && convert && s >= 0; i++)
            mm__unpack_row(u->dtype, raw + (size_t)i * row_bytes, (float *)(values + (size_t)i * out_bytes), cols);
        if (s >= 0) s = put(&v->base, (unsigned char *)t->data + (size_t)r * out_bytes, values, (size_t)n * out_bytes, err);
    }
    if (convert) mm__free(v->base.mem, values);
    mm__free(v->base.mem, raw);
    return s;
}

static mm_status upload(mm__backend *b, const mm__upload *u, mm__tensor **out, mm_error *err)
{
    size_t row_bytes;
    mm__tensor *t;
    *out = NULL;
    if (elsewhere(self(b), u->where)) return self(b)->host->ops->upload(self(b)->host, u, out, err);
    if (!mm__dtype_row_bytes(u->dtype, mm__shape_cols(&u->shape), &row_bytes) || row_bytes == 0)
        return mm__fail(err, MM_E_ARG, "%s: rows are no multiple of the block of %s", u->name, mm__dtype_info_of(u->dtype)->name);
    mm_status s = tensor_new(self(b), u->use & MM__USE_VECTOR ? MM__F32 : u->dtype, &u->shape, u->name, &t, err);
    if (s < 0) return s;
    s = fill(self(b), u, row_bytes, t, err);
    if (s < 0) tensor_free(t);
    else *out = t;
    return s;
}

static mm_status clear(mm__vulkan *v, const mm__tensor *t, mm_error *err)
{
    mm__vk_place to;
    mm_status s = place_of(v, t->data, t->bytes, &to, err);
    if (s >= 0) s = mm__vk_turn(&v->stream, NULL, err);
    if (s < 0) return s;
    s = mm__vk_clear(&v->stream, &to, t->bytes, err);
    mm__vk_turn_end(&v->stream);
    return s;
}

static mm_status state(mm__backend *b, mm__where where, mm__dtype type, mm__shape s, mm__tensor **out, mm_error *err)
{
    if (elsewhere(self(b), where)) return self(b)->host->ops->state(self(b)->host, where, type, s, out, err);
    if (mm__dtype_is_quant(type)) /* it would be copied to the processor and back for every token */
        return mm__fail(err, MM_E_UNSUPPORTED, "a cache of %s is kept by the processor only; take F16 or F32 on this device", mm__dtype_info_of(type)->name);
    mm_status st = tensor_new(self(b), type, &s, "state", out, err);
    if (st >= 0 && (st = clear(self(b), *out, err)) < 0) {
        tensor_free(*out);
        *out = NULL;
    }
    return st;
}

/* ---- work memory ---- */

static void arena_free(mm__arena *a)
{
    if (!a || !a->backend) return;
    mm__vulkan *v = self(a->backend);
    mm__vk_piece_free(&v->memory, mm__vk_piece_at(&v->memory, a->data));
    *a = (mm__arena){0};
}

static mm_status arena_reserve(mm__backend *b, mm__arena *a, size_t bytes, mm_error *err)
{
    mm__vk_piece *p;
    if (a->data && a->bytes >= bytes) return MM_OK;
    arena_free(a);
    const mm_status s = mm__vk_piece_new(&self(b)->memory, MM__VK_OWN, bytes, "work memory", &p, err);
    *a = (mm__arena){.backend = b};
    if (s < 0) return s;
    a->data = mm__vk_address(p);
    a->bytes = bytes;
    return MM_OK;
}

/* ---- work ---- */

/* The kernel for a call and its variant, or NULL and why there is none. `turn`: the caller has the stream's. */
static mm_status choose(mm__vulkan *v, const mm__call *call, bool turn, const mm__vk_kern **k, unsigned *with, mm__vk_reason *why, mm_error *err)
{
    bool good = true;
    *k = NULL;
    *with = 0;
    *why = MM__VK_PLACED;
    if (call->aside) return MM_OK;
    *k = mm__vk_pick(&v->device.limits, call);
    *why = *k ? MM__VK_DIFFERS : MM__VK_NO_SHADER;
    if (!*k) return MM_OK;
    if ((*k)->uses) *with = (*k)->uses(&v->device.limits, call);
    mm_status s = mm__vk_proven(v, *k, call, *with, turn, &good, err);
    if (s >= 0 && !good && *with) s = mm__vk_proven(v, *k, call, *with = 0, turn, &good, err);
    if (!good) *k = NULL;
    return s;
}

/* Every call is: the CPU does what no shader does. The first such call of an operator is reported. */
static bool supports(mm__backend *b, const mm__call *call)
{
    mm__vulkan *v = self(b);
    const mm__vk_kern *k;
    mm__vk_reason why;
    unsigned with;
    choose(v, call, false, &k, &with, &why, NULL);                   /* of a device that is lost running tells */
    if (k || why != MM__VK_NO_SHADER) return true;            /* a self-test that failed has been reported */
    if (!(atomic_fetch_or(&v->reported, 1u << call->op) >> call->op & 1))
        mm__logf(&v->base.log, MM_LOG_INFO, "backend", "%s runs on the processor: no shader for it here", mm__op_name(call->op));
    return true;
}

static size_t scratch(mm__backend *b, const mm__call *call)
{
    const mm__vk_kern *k = call->aside ? NULL : mm__vk_pick(&self(b)->device.limits, call);
    return k && k->scratch ? k->scratch(&self(b)->device.limits, call) : 0;
}

static void count_fallen(mm__vulkan *v, const mm__call *c, mm__vk_reason why)
{
    atomic_fetch_add_explicit(&v->fallen[c->op][why], 1, memory_order_relaxed);
    if (why != MM__VK_PLACED) mm__vk_count_up(&v->stream, MM__VK_FALLBACKS, 1);
}

/* Records the first call, or runs it and those behind it that are the processor's, too; *done: how many that were. */
static mm_status run_some(mm__vulkan *v, mm__vk_recorder *r, const mm__call *c, size_t n, const atomic_int *cancel, size_t *done, mm_error *err)
{
    const mm__vk_kern *k;
    mm__vk_reason reason;
    mm_error why = {.size = sizeof why};
    mm_status s = choose(v, c, true, &k, &r->with, &reason, err);
    *done = 1;
    if (s >= 0 && k && c->wait) s = mm__vk_barrier(&v->stream, err);
    if (s < 0) return s;
    if (k) {
        s = k->record(r, c, &why);
        if (s != MM_E_UNSUPPORTED) return s < 0 ? mm__fail_as(err, &why) : s;
        count_fallen(v, c, MM__VK_OUT_OF_REACH);
    } else {
        count_fallen(v, c, reason);
        for (; *done < n && c[*done].aside; ++*done) count_fallen(v, &c[*done], MM__VK_PLACED);
    }
    return mm__vulkan_fallback(v, c, *done, cancel, err);
}

static mm_status run(mm__backend *b, const mm__call *calls, size_t n, void *scratch_mem, const atomic_int *cancel, mm_error *err)
{
    mm__vulkan *v = self(b);
    mm__vk_recorder r = {.stream = &v->stream, .nothing = v->nothing, .scratch = scratch_mem};
    size_t done;
    mm_status s = mm__vk_turn(&v->stream, cancel, err);
    if (s < 0) return s;
    for (size_t i = 0; i < n && s >= 0; i += done) {
        s = run_some(v, &r, &calls[i], n - i, cancel, &done, err);
        if (s >= 0 && mm__told_to_stop(cancel)) s = mm__fail(err, MM_E_CANCELLED, "cancelled while computing");
    }
    const mm_status finished = mm__vk_finish(&v->stream, s < 0 ? NULL : err);
    mm__vk_turn_end(&v->stream);
    return s < 0 ? s : finished;
}

static void describe(mm__backend *b, char *buf, size_t cap)
{
    const mm__vulkan *v = self(b);
    snprintf(buf, cap, "vulkan  %s, %s", v->device.name, v->device.driver);
}

static const struct { const char *key, *what; } count_names[MM__VK_COUNTS] = {
#define MM__VK_COUNT(name, key, what) {key, what},
#include "counts.def"
#undef MM__VK_COUNT
};

static bool counts(mm__backend *b, unsigned i, mm__count *out)
{
    if (i >= MM__VK_COUNTS) return false;
    *out = (mm__count){count_names[i].key, count_names[i].what, atomic_load_explicit(&self(b)->stream.counts[i], memory_order_relaxed)};
    return true;
}

static bool fallbacks(mm__backend *b, unsigned i, mm__count *out)
{
    static const char *const reasons[MM__VK_REASONS] = {
#define MM__VK_REASON(name, text) text,
#include "reasons.def"
#undef MM__VK_REASON
    };
    for (unsigned k = 0; k < MM__N_OP * MM__VK_REASONS; k++) {
        const uint64_t n = atomic_load_explicit(&self(b)->fallen[k / MM__VK_REASONS][k % MM__VK_REASONS], memory_order_relaxed);
        if (!n || i-- > 0) continue;
        *out = (mm__count){mm__op_name((mm__op)(k / MM__VK_REASONS)), reasons[k % MM__VK_REASONS], n};
        return true;
    }
    return false;
}

static mm_status prove(mm__backend *b, unsigned i, mm__proof *out, mm_error *err)
{
    static const char *const verdicts[] = {[MM__VK_UNTRIED] = "untried", [MM__VK_RIGHT] = "right", [MM__VK_WRONG] = "off", [MM__VK_UNPROVABLE] = "unprovable"};
    mm__vulkan *v = self(b);
    mm__vk_family f;
    const mm__vk_kern *k;
    *out = (mm__proof){0};
    if (!mm__vk_family_at(v, i, &f, &k)) return MM_END;
    const mm_status s = mm__vk_prove(v, k, &f, err);
    const mm__vk_proof *p = mm__vk_proof_of(v, &f);
    mm__vk_family_name(&f, out->name, sizeof out->name);
    out->verdict = verdicts[atomic_load_explicit(&p->verdict, memory_order_acquire)];
    out->error = p->error;
    out->tolerance = mm__vk_tolerance(k, f.with);
    return s;
}

/* ---- options ---- */

enum { MOST_LAYERS = 999999 };

static mm_status set_layers(mm__vulkan *v, const char *value, mm_error *err)
{
    uint64_t n = INT32_MAX;
    if (strcmp(value, "all") != 0 && (!mm__ckd_whole(value, &n) || n > MOST_LAYERS))
        return mm__fail(err, MM_E_ARG, "gpu_layers \"%s\" is neither \"all\" nor a number of layers", value);
    atomic_store(&v->gpu_layers, (int)n);
    return MM_OK;
}

/* "part=place,part=place" */
static mm_status set_place(mm__vulkan *v, const char *value, mm_error *err)
{
    static const char *const parts[MM__PART_KINDS] = {[MM__PART_ENCODER] = "encoder=", [MM__PART_BRIDGE] = "bridge=", [MM__PART_DECODER] = "decoder="};
    unsigned bits = 0;
    for (const char *at = value; *at; at += *at == ',') {
        int part = MM__PART_ENCODER;
        while (part < MM__PART_KINDS && strncmp(at, parts[part], strlen(parts[part])) != 0) part++;
        const char *place = part < MM__PART_KINDS ? at + strlen(parts[part]) : "";
        const size_t len = strcspn(place, ",");
        const bool cpu = len == 3 && strncmp(place, "cpu", 3) == 0;
        if (!cpu && (len != 6 || strncmp(place, "device", 6) != 0))
            return mm__fail(err, MM_E_ARG, "place \"%s\": pairs such as decoder=cpu are wanted, of encoder, bridge or decoder, and cpu or device", value);
        bits = cpu ? bits | 1u << part : bits & ~(1u << part);
        at = place + len;
    }
    atomic_store(&v->on_host, bits);
    return MM_OK;
}

static mm_status set(mm__backend *b, const char *key, const char *value, mm_error *err)
{
    if (strcmp(key, "device_cache") == 0) return mm__vk_cache_use(self(b), value, err);
    return strcmp(key, "place") == 0 ? set_place(self(b), value, err) : set_layers(self(b), value, err);
}

/* ---- life ---- */

static void destroy(mm__backend *b)
{
    mm__vulkan *v = self(b);
    mm__mem *mem = b->mem;
    mm__vk_cache_close(v);
    mm__vk_stream_close(&v->stream);
    mm__vk_pipelines_close(&v->pipelines);
    mm__vk_memory_close(&v->memory);
    mm__vk_device_close(&v->device);
    mm__backend_destroy(v->host);
    mm__free(mem, v);
}

static const mm__backend_ops ops = {
    .name = "vulkan",
    .destroy = destroy,
    .set = set,
    .upload = upload,
    .state = state,
    .tensor_free = tensor_free,
    .arena_reserve = arena_reserve,
    .arena_free = arena_free,
    .supports = supports,
    .scratch = scratch,
    .run = run,
    .write = put,
    .read = fetch,
    .describe = describe,
    .counts = counts,
    .fallbacks = fallbacks,
    .prove = prove,
};

const char *mm__vulkan_isa(void) { return "spirv"; }

/* "" is the first device; ":N" counts from 0. */
static bool index_of(const char *name, uint32_t *index)
{
    *index = 0;
    if (!*name) return true;
    if (*name++ != ':' || !*name) return false;
    for (; *name; name++) {
        if (*name < '0' || *name > '9' || *index > 1000) return false;
        *index = *index * 10 + (uint32_t)(*name - '0');
    }
    return true;
}

static mm_status open_all(mm__vulkan *v, uint32_t index, const mm__vulkan_options *o, mm_error *err)
{
    mm__vk_place zeros;
    mm_status s = mm__vk_device_open(&v->device, v->base.mem, &v->base.log, index, o, err);
    if (s >= 0) s = mm__vk_memory_open(&v->memory, &v->device, o, err);
    if (s >= 0) s = mm__vk_pipelines_open(&v->pipelines, &v->device, err);
    if (s >= 0) s = mm__vk_stream_open(&v->stream, &v->device, &v->memory, &v->pipelines, o, err);
    if (s >= 0) s = mm__vk_piece_new(&v->memory, MM__VK_OWN, v->device.limits.align, "zeros", &v->nothing, err);
    if (s >= 0) s = place_of(v, mm__vk_address(v->nothing), 16, &zeros, err);
    return s < 0 ? s : mm__vk_clear(&v->stream, &zeros, 16, err);
}

mm_status mm__vulkan_create(mm__mem *mem, const mm__log *log, const char *name, mm__backend *host, bool exact,
                            const mm__vulkan_options *options, mm__backend **out, mm_error *err)
{
    const mm__vulkan_options none = {0};
    uint32_t index;
    *out = NULL;
    if (!index_of(name, &index)) return mm__fail(err, MM_E_DEVICE, "device vulkan%s is not known; the first is \"vulkan:0\"", name);
    mm__vulkan *v = mm__zalloc(mem, sizeof *v);
    if (!v) return mm__nomem(err, "vulkan backend");
    v->base = (mm__backend){.ops = &ops, .mem = mem, .exact = exact, .isa = mm__vulkan_isa(), .threads = host->threads, .alike = 1};
    if (log) v->base.log = *log;
    atomic_init(&v->gpu_layers, INT32_MAX);
    const mm_status s = open_all(v, index, options ? options : &none, err);
    if (s >= 0) {
        v->host = host;
        *out = &v->base;
    } else {
        destroy(&v->base); /* without the host, which stays the caller's */
    }
    return s;
}

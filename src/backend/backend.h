/* What the graph needs from a device. A backend owns memory and runs lists of calls; nothing above this header knows
 * which backend it is. Tensors are constants (weights, uploaded once, possibly repacked) or states (KV caches). */
#ifndef MM__BACKEND_BACKEND_H
#define MM__BACKEND_BACKEND_H

#include "../base/alloc.h"
#include "../base/log.h"
#include "../op/op.h"
#include <stdatomic.h>

typedef struct mm__backend mm__backend;

/* How a constant will be read; decides its form on the device. */
#define MM__USE_VECTOR 1u /* norms, biases, small tables: becomes F32 */
#define MM__USE_LINEAR 2u /* weight of LINEAR */
#define MM__USE_ROWS 4u   /* table of ROWS */
#define MM__USE_COARSE 8u /* weight of LINEAR that stands eight bits where the precision is `fast` */

/* What a tensor belongs to. A backend that has a host beside its device may place it by that (see `set`). */
typedef enum mm__part_kind { MM__PART_OTHER, MM__PART_ENCODER, MM__PART_BRIDGE, MM__PART_DECODER, MM__PART_KINDS } mm__part_kind;
typedef struct mm__where {
    mm__part_kind part;
    int32_t layer;        /* 0 where there is none */
} mm__where;

typedef struct mm__tensor {
    mm__backend *backend; /* that has its memory: the one it was made by, or that one's host */
    mm__dtype dtype;      /* as kernels see it */
    mm__shape shape;
    void *data;           /* host-visible row-major data, or NULL when only `packed` exists */
    void *packed;         /* the backend's own form, or NULL. Both NULL: a sketch, for graphs that are planned only */
    size_t bytes;         /* memory it takes */
} mm__tensor;

static inline bool mm__only_packed(const mm__tensor *t) { return t && t->packed && !t->data; }

/* Pulls rows [row, row + n) of the source, in file order, contiguous, in the source dtype. */
typedef struct mm__upload {
    const char *name;     /* for messages */
    mm__dtype dtype;
    mm__shape shape;
    unsigned use;
    mm__where where;
    mm_status (*read)(void *ctx, int64_t row, int64_t n, void *dst, mm_error *err);
    void *ctx;
} mm__upload;

/* Work memory of one session; grows, never shrinks. */
typedef struct mm__arena {
    mm__backend *backend;
    void *data;
    size_t bytes;
} mm__arena;

typedef struct mm__count {
    const char *key, *what;   /* static */
    uint64_t n;
} mm__count;

/* What the self-test of one kind of call found. */
typedef struct mm__proof {
    char name[64];            /* of the calls: "LINEAR Q4_K, many rows" */
    const char *verdict;      /* "right", "off" (the processor does them), "unprovable", "untried"; static */
    double error, tolerance;  /* squared error over squared signal */
} mm__proof;

typedef struct mm__backend_ops {
    const char *name;
    void (*destroy)(mm__backend *b);
    /* An option, as mm__backend_set takes it. NULL: there are none. */
    mm_status (*set)(mm__backend *b, const char *key, const char *value, mm_error *err);
    mm_status (*upload)(mm__backend *b, const mm__upload *u, mm__tensor **out, mm_error *err);
    /* Zeroed state. */
    mm_status (*state)(mm__backend *b, mm__where where, mm__dtype t, mm__shape s, mm__tensor **out, mm_error *err);
    void (*tensor_free)(mm__tensor *t);
    mm_status (*arena_reserve)(mm__backend *b, mm__arena *a, size_t bytes, mm_error *err);
    void (*arena_free)(mm__arena *a);
    bool (*supports)(mm__backend *b, const mm__call *call);
    /* Bytes of scratch the call needs beside its views (shared by all calls of a list: the largest counts). */
    size_t (*scratch)(mm__backend *b, const mm__call *call);
    /* Runs the calls in order. `scratch` has the largest size asked for. *cancel (may be NULL) is polled at least every few
     * milliseconds: MM_E_CANCELLED. */
    mm_status (*run)(mm__backend *b, const mm__call *calls, size_t n, void *scratch, const atomic_int *cancel, mm_error *err);
    /* Host <-> device memory of arena and states; plain copies on the CPU. */
    mm_status (*write)(mm__backend *b, void *device, const void *host, size_t bytes, mm_error *err);
    mm_status (*read)(mm__backend *b, const void *device, void *host, size_t bytes, mm_error *err);
    /* One line: name, what it runs on. */
    void (*describe)(mm__backend *b, char *buf, size_t cap);
    /* What it has counted since it was made; false past the last. NULL: it counts nothing. Any thread. */
    bool (*counts)(mm__backend *b, unsigned i, mm__count *out);
    /* Calls that ran elsewhere, by operator and reason, as above. */
    bool (*fallbacks)(mm__backend *b, unsigned i, mm__count *out);
    /* Tests the i-th kind of call against the oracles, unless it was tested; MM_END past the last. NULL: nothing to test. Any
     * thread. */
    mm_status (*prove)(mm__backend *b, unsigned i, mm__proof *out, mm_error *err);
} mm__backend_ops;

struct mm__backend {
    const mm__backend_ops *ops;
    mm__mem *mem;
    mm__log log;
    bool exact;           /* precision of everything uploaded and run */
    const char *isa;      /* instruction set it works with, static */
    int threads;
    int32_t alike;        /* so many rows at once give each the very bits that it has alone, through every operator of a decoder */
};

/* A device of this machine. */
typedef struct mm__device {
    const char *id, *kind; /* static */
    char name[64], features[64], summary[160];
    int threads;           /* that an engine starts on it when not told otherwise */
} mm__device;

/* `host` not NULL: threads of the host, in place of n_threads own ones. "cpu" or "auto"; MM_E_DEVICE names an unknown device. */
mm_status mm__backend_create(mm__mem *mem, const mm__log *log, const char *device, int n_threads, const mm_executor *host,
                             bool exact, mm__backend **out, mm_error *err);
void mm__backend_destroy(mm__backend *b);
/* Options of devices that mm_engine_set takes: "gpu_layers", "place", "device_cache". MM_E_KEY: there is no such option; MM_E_UNSUPPORTED: not on
 * this device; MM_E_ARG: bad value. Any thread. */
mm_status mm__backend_set(mm__backend *b, const char *key, const char *value, mm_error *err);
/* Describes device `index` of this machine without opening it; false past the last. */
bool mm__backend_device(uint32_t index, mm__device *out);
/* The `index`-th instruction set this build has kernels for; NULL past the last. */
const char *mm__backend_isa(uint32_t index);

#endif

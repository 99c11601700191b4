/* From names in files to constants on the device. A part declares a table that maps its canonical keys to the names each
 * naming scheme uses; the loader tries prefixes (given by the assembly, e.g. "language_model.") x roots (given by the
 * part, e.g. "model.") x alternatives ('|'). '%d' in a name is the layer; an alternative that ends with '=' takes no
 * suffix. The first error sticks; after it every call returns NULL, so a part checks once at the end.
 *
 * Every constant belongs to the store and lives as long as it does. */
#ifndef MM__PART_LOAD_H
#define MM__PART_LOAD_H

#include "../file/config.h"
#include "../file/weights.h"
#include "../nn/nn.h"

typedef enum mm__scheme { MM__NAMES_HF, MM__NAMES_GGUF, MM__NAMES_GGML, MM__NAMES_CT2, MM__N_NAMES } mm__scheme;

typedef struct mm__names {
    const char *key;                  /* canonical, e.g. "attn_q" */
    const char *in[MM__N_NAMES];      /* by scheme, without ".weight"/".bias" when loaded as linear or norm */
} mm__names;

/* All constants of a model. */
typedef struct mm__store mm__store;
mm_status mm__store_create(mm__backend *backend, mm_progress_fn progress, void *user, uint64_t total_bytes, mm__store **out, mm_error *err);
void mm__store_destroy(mm__store *s);
size_t mm__store_bytes(const mm__store *s);
mm__backend *mm__store_backend(const mm__store *s);

typedef struct mm__loader {
    mm__store *store;
    mm__mem *mem;
    mm__config config;                /* of this part */
    const mm__weights *weights;
    mm__scheme scheme;
    const char *prefixes[8];          /* NULL-terminated; {""} when none */
    const char *roots[8];             /* HF scheme only: set by the part; {""} when none */
    const mm__names *names;           /* set by the part; ends with key NULL */
    mm__part_kind part;               /* set when a part is created (find.c) */
    mm_status status;                 /* first error */
    mm_error error;
} mm__loader;

/* A copy of `ld` for another part: other table, fresh status. prefixes NULL-terminated, at most 7, or NULL: none. */
mm__loader mm__loader_for(const mm__loader *ld, const mm__config *config, const char *const *prefixes);
/* The first error, described in err; MM_OK when there was none. */
mm_status mm__loader_status(const mm__loader *ld, mm_error *err);
/* Records an error of the part's own (the first one sticks). */
void mm__loader_fail(mm__loader *ld, mm_status code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Hyper-parameters with the loader's sticky error; arguments as mm__config_int and mm__config_num. After an error they
 * return lo, so derived sizes stay in range. */
int32_t mm__loader_int(mm__loader *ld, const char *json, const char *gguf, int32_t fallback, int32_t lo, int32_t hi);
double mm__loader_num(mm__loader *ld, const char *json, const char *gguf, double fallback, double lo, double hi);
mm__act mm__loader_act(mm__loader *ld, const char *json, const char *fallback);

#define MM__LOAD_OPTIONAL 1u  /* absent: NULL, no error */
#define MM__LOAD_ADD_ONE 2u   /* 1 + w (norms stored as an offset), HF scheme only: GGUF stores the sum */
#define MM__LOAD_TRANSPOSE 4u /* stored [in, out] in the HF scheme */
#define MM__LOAD_ROWS 8u      /* also read by ROWS (tied embeddings) */
#define MM__LOAD_NO_BIAS 16u  /* linear: never look for a bias */
#define MM__LOAD_NEED_BIAS 32u
#define MM__LOAD_RESHAPE 64u  /* any stored shape with the same number of elements (convolutions, [1,N,D] tables) */
#define MM__LOAD_COARSE 128u  /* linear: eight bits are enough in `fast` (an encoder of media) */

bool mm__loader_has(const mm__loader *ld, const char *key, int32_t layer, const char *suffix);
/* Entry by key (not loaded), NULL when absent. */
const mm__weight *mm__loader_find(const mm__loader *ld, const char *key, int32_t layer, const char *suffix);
/* One tensor of exactly `shape`; suffix ".weight", ".bias" or "". */
const mm__tensor *mm__load(mm__loader *ld, const char *key, int32_t layer, const char *suffix, mm__shape shape, unsigned use, unsigned flags);
/* Rows [from, from + n) of a stored tensor whose full first axis is `of`. */
const mm__tensor *mm__load_part(mm__loader *ld, const char *key, int32_t layer, const char *suffix, mm__shape shape, int64_t from,
                                int64_t of, unsigned use, unsigned flags);
/* A vector or small table as F32 in host memory (also for computing constants at load); n elements. The caller frees it
 * with mm__free(ld->mem, ..). */
float *mm__load_host(mm__loader *ld, const char *key, int32_t layer, const char *suffix, int64_t n, unsigned flags);
/* A constant computed by the part; data are copied. */
const mm__tensor *mm__store_vector(mm__loader *ld, const char *name, int32_t layer, const float *data, mm__shape shape);

/* W [out,in] (+ bias). */
mm__linear mm__load_linear(mm__loader *ld, const char *key, int32_t layer, int64_t in, int64_t out, unsigned flags);
/* Stacks up to three linears on the same input: keys[i] with outs[i] rows; missing biases are zero when another has one.
 * When `fused` is named in the table and present in the file, that one tensor is taken instead. */
mm__linear mm__load_linear_stack(mm__loader *ld, const char *fused, const char *const *keys, int n, int32_t layer, int64_t in,
                                 const int64_t *outs, unsigned flags);
mm__norm mm__load_norm(mm__loader *ld, const char *key, int32_t layer, mm__norm_kind kind, int64_t width, double eps, unsigned flags);

/* Activation by its configuration name ("gelu", "gelu_new", "gelu_pytorch_tanh", "quick_gelu", "silu", "relu", ...). */
mm_status mm__act_from_name(const char *name, mm__act *out, mm_error *err);

#endif

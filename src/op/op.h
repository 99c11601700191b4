/* What an operator is: a number, arguments, typed views in, one view out. op.def lists and defines them; this header
 * gives the call record that the graph fills and kernels read; ref/<op>.c holds the readable scalar oracle of each.
 *
 * Work is cut into units, at the operator's choice (usually output rows); an oracle computes units [begin, end), so a
 * backend can spread it over threads without the oracle knowing. Results never depend on how units are spread. */
#ifndef MM__OP_OP_H
#define MM__OP_OP_H

#include "../tensor/shape.h"
#include "../../include/libmm.h"

typedef enum mm__op {
#define MM__OP(name, n_in, in_place) MM__OP_##name,
#include "op.def"
#undef MM__OP
    MM__N_OP
} mm__op;

#define MM__MAX_IN 6

typedef enum mm__act {
    MM__ACT_NONE,
    MM__ACT_RELU,
    MM__ACT_GELU,       /* 0.5 x (1 + erf(x / sqrt 2)) */
    MM__ACT_GELU_TANH,  /* gelu_new, gelu_pytorch_tanh */
    MM__ACT_GELU_QUICK, /* x sigmoid(1.702 x) */
    MM__ACT_SILU,
    MM__ACT_TANH,
    MM__ACT_SIGMOID
} mm__act;

/* Arguments of all operators; each uses the fields named after it. */
typedef struct mm__args {
    mm__act act;          /* LINEAR ACT GLU */
    float eps;            /* NORM RMSNORM L2NORM */
    float scale;          /* ROWS SCALE MATMUL: factor; ATTENTION: of the scores; ROPE: of cos and sin (1 usually) */
    float offset;         /* SCALE */
    float softcap;        /* ATTENTION: c * tanh(s / c) on scaled scores, 0: none */
    int32_t interleaved;  /* ROPE: pairs (2j, 2j+1) instead of (j, j + r/2) */
    int32_t bidirectional;/* ATTENTION with bias: T5 buckets of both signs */
    int32_t max_distance; /* ATTENTION with bias: T5's max_distance. The bias of query t and key j is
                             bias[bucket(j - pos[t]), head] */
    int32_t kernel, step, pad;   /* PATCHES: kernel = step = p; UNFOLD1D */
    int32_t channels_first;      /* UNFOLD1D */
    int32_t out_h, out_w;        /* RESIZE */
    int32_t antialias;           /* RESIZE: widen the filter when shrinking, with the a = -0.5 of picture libraries */
} mm__args;

typedef struct mm__call {
    mm__op op;
    mm__args args;
    mm__view out;
    mm__view in[MM__MAX_IN];      /* data NULL: absent */
    const void *packed[MM__MAX_IN]; /* a backend's own form of a constant input, or NULL; then in[i].data may be NULL */
    bool exact;                   /* F32 arithmetic throughout */
    bool aside;                   /* for the host beside the device (backend.h): an input is there */
    bool wait;                    /* must not start before every earlier call of the list has finished */
} mm__call;

static inline bool mm__call_has(const mm__call *c, int i) { return c->in[i].data || c->packed[i]; }

const char *mm__op_name(mm__op op);
int mm__op_inputs(mm__op op);
int mm__op_in_place(mm__op op);
/* The shape of a result, or MM_E_ARG with a sentence that gives the shapes. Also checks every rule of op.def. in[i] NULL:
 * absent. */
mm_status mm__op_infer(mm__op op, const mm__args *args, const mm__shape *const in[MM__MAX_IN], const mm__dtype dtypes[MM__MAX_IN],
                       mm__shape *out, mm_error *err);

/* Oracles. */
typedef void (*mm__ref_fn)(const mm__call *call, int64_t begin, int64_t end);
mm__ref_fn mm__ref_of(mm__op op);
int64_t mm__ref_units(const mm__call *call);

float mm__act_apply(mm__act act, float x);
/* T5 relative position bucket, Raffel et al. 2020: `rel` = key position - query position. */
int32_t mm__t5_bucket(int64_t rel, int32_t n_buckets, int32_t max_distance, bool bidirectional);

#endif

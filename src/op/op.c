/* Facts about operators that need no tensor: their names, numbers of inputs, in-place rules (all from op.def), the
 * scalar activation functions, and T5's relative position buckets.
 *
 * Activations are computed in double and rounded once, so that they can serve as oracles. GELU is written with erfc
 * rather than 1 + erf: the same function, without the cancellation for negative x (Hendrycks and Gimpel 2016). */
#include "op.h"

#include <math.h>

typedef struct info {
    const char *name;
    int8_t inputs, in_place;
} info;

static const info table[MM__N_OP] = {
#define MM__OP(name, n_in, in_place) {#name, n_in, in_place},
#include "op.def"
#undef MM__OP
};

const char *mm__op_name(mm__op op) { return (unsigned)op < MM__N_OP ? table[op].name : "?"; }
int mm__op_inputs(mm__op op) { return (unsigned)op < MM__N_OP ? table[op].inputs : 0; }
int mm__op_in_place(mm__op op) { return (unsigned)op < MM__N_OP ? table[op].in_place : -1; }

float mm__act_apply(mm__act act, float x)
{
    const double v = x;
    switch (act) {
    case MM__ACT_NONE: break;
    case MM__ACT_RELU: return x > 0.0f ? x : 0.0f;
    case MM__ACT_GELU: return (float)(0.5 * v * erfc(-v * 0.70710678118654752440));
    case MM__ACT_GELU_TANH: return (float)(0.5 * v * (1.0 + tanh(0.79788456080286535588 * (v + 0.044715 * v * v * v))));
    case MM__ACT_GELU_QUICK: return (float)(v / (1.0 + exp(-1.702 * v)));
    case MM__ACT_SILU: return (float)(v / (1.0 + exp(-v)));
    case MM__ACT_TANH: return (float)tanh(v);
    case MM__ACT_SIGMOID: return (float)(1.0 / (1.0 + exp(-v)));
    }
    return x;
}

/* Half of the buckets are exact distances, the other half grows logarithmically up to max_distance. Bidirectional: keys
 * after the query use the upper half of the table. The float arithmetic is that of the reference implementation, so that
 * distances on a bucket's border fall to the same side. */
int32_t mm__t5_bucket(int64_t rel, int32_t n_buckets, int32_t max_distance, bool bidirectional)
{
    int32_t base = 0;
    if (bidirectional) {
        n_buckets /= 2;
        if (rel > 0) base = n_buckets;
        if (rel < 0) rel = -rel;
    } else {
        rel = rel < 0 ? -rel : 0;
    }
    const int32_t exact = n_buckets / 2;
    if (rel < exact) return base + (int32_t)rel;
    if (exact < 1 || max_distance <= exact) return base + n_buckets - 1;
    const float ratio = logf((float)rel / (float)exact) / (float)log((double)max_distance / exact);
    const float far = ratio * (float)(n_buckets - exact);
    const int32_t bucket = far < (float)n_buckets ? exact + (int32_t)far : n_buckets - 1;
    return base + (bucket < n_buckets ? bucket : n_buckets - 1);
}

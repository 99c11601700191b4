/* Whether this driver runs a kernel rightly. Drivers compile shaders, and some compile some of them wrongly; so the first call of
 * a family - an operator, the type of its weights or cache, and whether it has few or many rows - is preceded by a small case of
 * that family, whose result is compared with the oracle of the operator (op/ref). A family that differs by more than its kernel
 * allows is off from then on: its calls run on the processor, and the log says which family and by how much. Variants of a
 * kernel (subgroups, F16, bytes, matrix units, wide tiles) are families of their own; where one is off, the kernel that needs no variant takes over.
 *
 * A family that cannot be tried (no memory, a device that is lost) stays untried, and is used: what hinders the case hinders the
 * call, too, and that reports it. Verdicts last as long as the device is open, or as its cache (cache.h). Thread-safe. */
#ifndef MM__VK_PROVE_H
#define MM__VK_PROVE_H

#include "kern.h"

#define MM__VK_TOLERANCE 1e-7  /* squared error over squared signal, where a kernel does not say otherwise */
#define MM__VK_F16_TOLERANCE 1e-5 /* of products of F16 numbers */
#define MM__VK_DOT_TOLERANCE 1e-4 /* of products of bytes: rounding to 127 steps alone makes 1.5e-5 of even values */
#define MM__VK_VARIANTS 32     /* sets of MM__VULKAN_*, which are the index */

struct mm__vulkan;

typedef enum mm__vk_verdict { MM__VK_UNTRIED, MM__VK_RIGHT, MM__VK_WRONG, MM__VK_UNPROVABLE /* its case exceeds a limit of the device */ } mm__vk_verdict;

/* Rows of the call: LINEAR and ATTENTION have kernels of their own for few. */
typedef enum mm__vk_rows { MM__VK_ONE, MM__VK_FEW, MM__VK_MANY, MM__VK_ROWS } mm__vk_rows;

#define MM__VK_FAMILIES (MM__N_OP * MM__N_DTYPE * MM__VK_ROWS * MM__VK_VARIANTS)

typedef struct mm__vk_proof {
    atomic_int verdict;
    float error;               /* of the case; written before the verdict */
} mm__vk_proof;

typedef mm__vk_proof mm__vk_proofs[MM__N_OP][MM__N_DTYPE][MM__VK_ROWS][MM__VK_VARIANTS];

typedef struct mm__vk_family {
    mm__op op;
    mm__dtype type;
    mm__vk_rows rows;
    unsigned with;             /* MM__VULKAN_*: the variant of the kernel */
} mm__vk_family;

/* Whether variant `with` of kernel k may run the call, in *good; tries its families if that was not done yet. `turn`: the caller has the stream's;
 * what it has recorded is finished before a family is tried, and its failure is returned. */
mm_status mm__vk_proven(struct mm__vulkan *v, const mm__vk_kern *k, const mm__call *c, unsigned with, bool turn, bool *good, mm_error *err);
/* What there may be, whether or not a device has it; i is below MM__VK_FAMILIES. */
mm__vk_family mm__vk_family_numbered(unsigned i);
/* The index-th family that a kernel of this device accepts, and its kernel; false past the last. Variants are among them that
 * the device has, whether or not calls suit them. */
bool mm__vk_family_at(const struct mm__vulkan *v, unsigned index, mm__vk_family *out, const mm__vk_kern **k);
/* Tries a family, unless it was; MM_E_DEVICE when the device is lost. Takes the stream's turn. */
mm_status mm__vk_prove(struct mm__vulkan *v, const mm__vk_kern *k, const mm__vk_family *f, mm_error *err);
/* What an earlier engine found of a family that is untried here. */
void mm__vk_recall(struct mm__vulkan *v, const mm__vk_family *f, mm__vk_verdict verdict, double error);
/* "LINEAR Q4_K, one row, subgroups" */
void mm__vk_family_name(const mm__vk_family *f, char *buf, size_t cap);
mm__vk_proof *mm__vk_proof_of(struct mm__vulkan *v, const mm__vk_family *f);
static inline double mm__vk_tolerance(const mm__vk_kern *k, unsigned with)
{
    if (with & MM__VULKAN_DOT) return MM__VK_DOT_TOLERANCE;
    return with & (MM__VULKAN_F16 | MM__VULKAN_MATRIX) ? MM__VK_F16_TOLERANCE : k->tolerance > 0.0 ? k->tolerance : MM__VK_TOLERANCE;
}

#endif

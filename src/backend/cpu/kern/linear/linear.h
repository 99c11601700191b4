/* LINEAR on the CPU: what the backend sees of it.
 *
 * Three arithmetics, chosen for each weight of a call by the form its tensor has:
 *   int8  a quantised weight packed by mm__linear_pack (fast mode, vector ISA): activations become int8 (or 15 bits); a float
 *         weight packed as coarse becomes Q8_0
 *   bf16  a float weight packed by mm__linear_pack (fast mode, AVX512BF16): activations become BF16
 *   byte  a float weight packed as coarse (AVX512): weights and activations become int8
 *   f32   raw rows in any type: exact mode, and whatever is not packed
 * and two regimes: at most MM__LINEAR_FEW rows of x run without a meeting of the threads (every thread converts the few
 * rows for itself), more rows run in two phases, convert then multiply. A row's result does not depend on the other
 * rows, nor on the cut into units; in the f32 arithmetic it differs between the regimes by rounding.
 *
 * Every descriptor accepts exactly the calls that its regime covers, so list all of them, in this order:
 *   mm__kern_linear_c, _linear_avx2, _linear_few_avx2, _linear_avx512, _linear_few_avx512, _linear_avx512bf16,
 *   _linear_few_avx512bf16
 * A packed tensor must be run by a kernel of the very `isa` it was packed for. */
#ifndef MM__CPU_LINEAR_H
#define MM__CPU_LINEAR_H

#include "../../kern.h"
#include "../../../backend.h"

#define MM__LINEAR_FEW 8

extern const mm__kern mm__kern_linear_c;
extern const mm__kern mm__kern_linear_avx2, mm__kern_linear_few_avx2;
extern const mm__kern mm__kern_linear_avxvnni, mm__kern_linear_few_avxvnni;
extern const mm__kern mm__kern_linear_avx512, mm__kern_linear_few_avx512;
extern const mm__kern mm__kern_linear_avx512bf16, mm__kern_linear_few_avx512bf16;

#define MM__LINEAR_PANEL 16 /* rows of a weight that are packed together; the last panel may have fewer */

/* How near to the oracle the products of a weight must be: MM__LINEAR_COARSE also lets float weights become Q8_0. */
typedef enum mm__linear_grade { MM__LINEAR_FAST, MM__LINEAR_EXACT, MM__LINEAR_COARSE } mm__linear_grade;

/* The packed form of a weight of `type` and `shape` for kernels of `isa` (MM__ISA_* bits of the processor), its panels still
 * to be filled; *out NULL: raw rows are the best form (always so when exact). Only failure: MM_E_NOMEM. */
typedef struct mm__linear_packed mm__linear_packed;
mm_status mm__linear_packed_new(mm__mem *mem, unsigned isa, mm__linear_grade grade, mm__dtype type, const mm__shape *shape,
                                mm__linear_packed **out, mm_error *err);
int64_t mm__linear_panels(const mm__linear_packed *p);
size_t mm__linear_packed_bytes(const mm__linear_packed *p);
/* Fills one panel from its rows, contiguous in the type of the file. Panels may be filled in any order and on any threads. */
void mm__linear_pack_panel(mm__linear_packed *p, int64_t panel, const void *rows);

/* All of it on one thread: may build t->packed from t->data (contiguous row-major rows, made by mm__alloc). When it does,
 * t->data is freed and set to NULL unless `keep_raw`; t->bytes becomes what is held. On failure the tensor is unchanged. */
mm_status mm__linear_pack(mm__mem *mem, unsigned isa, mm__linear_grade grade, mm__tensor *t, bool keep_raw, mm_error *err);
/* Frees t->packed; NULL allowed. */
void mm__linear_pack_free(mm__mem *mem, mm__tensor *t);

#endif

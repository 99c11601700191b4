/* What a kernel of this backend is: an operator, which calls of it a shader can do, and how such a call is recorded. The list
 * is kern.def; an operator without a line, and a call that no line accepts, runs on the CPU.
 *
 * A recording function builds jobs with the helpers below. They remember a failure in the job (`bad`), so that recording
 * reads like a list of what the shader gets; mm__vk_emit reports it. Push constants lie in the order of the calls:
 *
 *     mm__vk_draft j;
 *     mm__vk_begin(&j, MM__VK_SHADER_add, MM__VK_LANES);
 *     mm__vk_view(r, &j, &c->out);          // binding 0 and a View (shaders/common.glsl) of six words
 *     mm__vk_view(r, &j, &c->in[0]);        // binding 1
 *     mm__vk_u32(&j, rows);
 *     return mm__vk_emit(r, &j, err);
 *
 * Two questions have two answers. `accepts` sees shapes, types and arguments only (the graph asks while planning, before
 * memory exists: use mm__vk_has, not mm__call_has); a call it turned down runs on the CPU from the start. Recording may
 * still find that a view lies where the shader cannot reach it, and answers MM_E_UNSUPPORTED; then this call runs on the
 * CPU this time. */
#ifndef MM__VK_KERN_H
#define MM__VK_KERN_H

#include "stream.h"

#define MM__VK_VEC_ROWS 8      /* rows of x up to which LINEAR reads its weights by linear_vec */
#define MM__VK_LANES 128       /* invocations of a workgroup where nothing speaks for another number */

typedef struct mm__vk_recorder {
    mm__vk_stream *stream;
    mm__vk_piece *nothing;     /* zeros, bound where an optional input is absent */
    void *scratch;             /* of the list, for kernels that asked for some */
    unsigned with;             /* MM__VULKAN_*: the variant to record: what `uses` said, or 0 */
} mm__vk_recorder;

typedef struct mm__vk_kern {
    const char *name;          /* "linear" */
    bool (*accepts)(const mm__vk_limits *l, const mm__call *c);  /* NULL: every call */
    mm_status (*record)(mm__vk_recorder *r, const mm__call *c, mm_error *err);
    size_t (*scratch)(const mm__vk_limits *l, const mm__call *c); /* bytes of arena it needs; NULL: none */
    unsigned (*uses)(const mm__vk_limits *l, const mm__call *c);  /* MM__VULKAN_*, the variant that suits the call best; NULL: 0 */
    double tolerance;          /* of its self-test: squared error over squared signal; 0: MM__VK_TOLERANCE (prove.h) */
} mm__vk_kern;

/* kern.c. The kernel for a call, NULL: the CPU's. */
const mm__vk_kern *mm__vk_pick(const mm__vk_limits *l, const mm__call *c);

/* ---- for `accepts` ---- */

/* Whether input i is there, before and after memory exists. */
static inline bool mm__vk_has(const mm__call *c, int i) { return c->in[i].shape.n > 0; }
/* Fewer than 2^31 elements, so that a shader can count them. */
bool mm__vk_countable(const mm__view *v);
/* `uses` of kernels that call mm__vk_reducing for every call. */
unsigned mm__vk_uses_subgroups(const mm__vk_limits *l, const mm__call *c);
/* Bytes from the first element of v to the end of its last. */
uint64_t mm__vk_extent(const mm__view *v);
/* All rows of v are equally far apart; *stride (may be NULL) gets the distance in elements. */
bool mm__vk_flat(const mm__view *v, uint32_t *stride);

/* ---- for `record` ---- */

/* The shader, or its variant that adds up in subgroups (shaders/variants.def: the next one). */
static inline mm__vk_shader_id mm__vk_reducing(const mm__vk_recorder *r, mm__vk_shader_id plain)
{
    return r->with & MM__VULKAN_SUBGROUPS ? plain + 1 : plain;
}

/* An empty job; lanes is specialisation constant 0. */
typedef struct mm__vk_draft {
    mm__vk_job job;
    const char *bad;           /* why this job cannot run, or NULL */
} mm__vk_draft;

void mm__vk_begin(mm__vk_draft *j, mm__vk_shader_id shader, uint32_t lanes);
/* The next binding shows v; returns the number of 32-bit words between the start of the window and v's first element, and
 * through *odd (may be NULL: must be 0) the bytes left over. An absent v (no axes) binds zeros. */
uint32_t mm__vk_bind(mm__vk_recorder *r, mm__vk_draft *j, const mm__view *v, uint32_t *odd);
/* Binds an F32 or I32 view and pushes where its rows are: offset, n1, n2, s0, s1, s2, in elements. */
void mm__vk_view(mm__vk_recorder *r, mm__vk_draft *j, const mm__view *v);
/* Binds a view whose rows are equally far apart and pushes offset and distance; returns the offset. */
uint32_t mm__vk_flat_view(mm__vk_recorder *r, mm__vk_draft *j, const mm__view *v);
/* As mm__vk_bind for up to three weights of one type through one binding; at[i] gets the byte at which each begins: a multiple
 * of what the bytes of a block are one of, up to 16 (shaders/weights.glsl). */
void mm__vk_bind_together(mm__vk_recorder *r, mm__vk_draft *j, const mm__view *w, int n, int64_t *at);
/* Whether one binding can show them all. */
bool mm__vk_together(mm__vk_recorder *r, const mm__view *w, int n);
/* Rows of v that fit a binding, at least 1; v's rows are equally far apart. */
int64_t mm__vk_rows_bound(const mm__vk_recorder *r, const mm__view *v);
/* Rows [row, row + n) of v, whose rows are equally far apart, as a view with two axes. */
mm__view mm__vk_slice(const mm__view *v, int64_t row, int64_t n);
/* Binds rows of a weight in any type and pushes offset and distance, in bytes (shaders/weights.glsl). */
void mm__vk_weights(mm__vk_recorder *r, mm__vk_draft *j, const mm__view *w);
void mm__vk_u32(mm__vk_draft *j, int64_t value);
void mm__vk_f32(mm__vk_draft *j, float value);
/* Specialisation constant 1..5. */
static inline void mm__vk_spec(mm__vk_draft *j, int id, uint32_t value) { j->job.spec[id] = value; }
/* Workgroups; shaders loop, so more than the device's limit are cut. */
void mm__vk_groups(mm__vk_recorder *r, mm__vk_draft *j, int64_t x, int64_t y, int64_t z);
/* Workgroups of MM__VK_LANES for an invocation per element of v. */
void mm__vk_by_elements(mm__vk_recorder *r, mm__vk_draft *j, const mm__view *v);
static inline double mm__vk_elements(const mm__view *v) { return (double)mm__view_rows(v) * (double)mm__view_cols(v); }
mm_status mm__vk_emit(mm__vk_recorder *r, mm__vk_draft *j, double work, mm_error *err);

#endif

/* The list of kernels, and what their recording functions build jobs with. */
#include "kern.h"

#include "../../base/error.h"

#include <string.h>

#define MM__VK_KERN(op, name) extern const mm__vk_kern mm__vk_kern_##name;
#include "kern.def"
#undef MM__VK_KERN

static const struct entry {
    mm__op op;
    const mm__vk_kern *kern;
} entries[] = {
#define MM__VK_KERN(op, name) {MM__OP_##op, &mm__vk_kern_##name},
#include "kern.def"
#undef MM__VK_KERN
};

/* ---- choosing ---- */

bool mm__vk_countable(const mm__view *v)
{
    int64_t n;
    return mm__shape_count(&v->shape, &n) && n < INT32_MAX;
}

bool mm__vk_flat(const mm__view *v, uint32_t *stride)
{
    const int last = v->shape.n - 2; /* the axis of rows */
    int64_t expect = 0;
    bool flat = true;
    for (int i = last; i >= 0; i--) {
        if (v->shape.d[i] == 1) continue;
        flat = flat && (!expect || v->stride[i] == expect);
        expect = (expect ? expect : v->stride[i]) * v->shape.d[i];
    }
    if (!stride) return flat;
    *stride = 0;
    for (int i = last; i >= 0 && !*stride; i--)
        if (v->shape.d[i] != 1) *stride = (uint32_t)v->stride[i];
    return flat;
}

uint64_t mm__vk_extent(const mm__view *v)
{
    const mm__dtype_info *type = mm__dtype_info_of(v->dtype);
    int64_t n = mm__view_cols(v);
    for (int i = 0; i + 1 < v->shape.n; i++) n += (v->shape.d[i] - 1) * v->stride[i];
    return (uint64_t)(n + type->block - 1) / type->block * type->bytes;
}

const mm__vk_kern *mm__vk_pick(const mm__vk_limits *l, const mm__call *c)
{
    if (!mm__vk_countable(&c->out)) return NULL;
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
        if (entries[i].op == c->op && (!entries[i].kern->accepts || entries[i].kern->accepts(l, c))) return entries[i].kern;
    return NULL;
}

/* ---- recording ---- */

void mm__vk_begin(mm__vk_draft *j, mm__vk_shader_id shader, uint32_t lanes)
{
    *j = (mm__vk_draft){.job = {.shader = shader, .spec = {lanes}, .groups = {1, 1, 1}}};
}

static void push(mm__vk_draft *j, uint32_t word)
{
    if (j->job.n_push < MM__VK_PUSH / 4) j->job.push[j->job.n_push++] = word;
    else j->bad = "too many push constants";
}

void mm__vk_u32(mm__vk_draft *j, int64_t value)
{
    if (value < 0 || value > UINT32_MAX) j->bad = "a number does not fit 32 bits";
    else push(j, (uint32_t)value);
}

void mm__vk_f32(mm__vk_draft *j, float value)
{
    uint32_t word;
    memcpy(&word, &value, sizeof word);
    push(j, word);
}

uint32_t mm__vk_bind(mm__vk_recorder *r, mm__vk_draft *j, const mm__view *v, uint32_t *odd)
{
    const mm__vk_limits *l = &r->stream->device->limits;
    const bool absent = v->shape.n == 0;
    mm__vk_place place;
    if (odd) *odd = 0;
    if (j->job.n_bind == MM__VK_BINDINGS || !mm__vk_find(r->stream->memory, absent ? mm__vk_address(r->nothing) : v->data, &place)) {
        j->bad = "a view lies outside the device's memory";
        return 0;
    }
    const uint64_t from = place.offset & ~(uint64_t)(l->align - 1), off = place.offset - from, bytes = absent ? 16 : off + mm__vk_extent(v), padded = (bytes + 3) & ~3ull;
    if (padded > l->binding) j->bad = "a view is larger than a binding";
    if (from < place.begin || from + padded > place.end) j->bad = "a view leaves its piece of memory";
    if (!odd && off % 4) j->bad = "a view begins between words";
    j->job.bind[j->job.n_bind++] = (mm__vk_window){place.buffer, from, padded};
    if (odd) *odd = (uint32_t)(off % 4);
    return (uint32_t)(off / 4);
}

void mm__vk_view(mm__vk_recorder *r, mm__vk_draft *j, const mm__view *v)
{
    const int leading = v->shape.n > 1 ? v->shape.n - 1 : 0;
    mm__vk_u32(j, mm__vk_bind(r, j, v, NULL));
    mm__vk_u32(j, leading > 1 ? v->shape.d[1] : 1);
    mm__vk_u32(j, leading > 2 ? v->shape.d[2] : 1);
    for (int i = 0; i < 3; i++) mm__vk_u32(j, i < leading ? v->stride[i] : 0);
}

void mm__vk_flat_view(mm__vk_recorder *r, mm__vk_draft *j, const mm__view *v)
{
    uint32_t stride;
    mm__vk_u32(j, mm__vk_bind(r, j, v, NULL));
    if (!mm__vk_flat(v, &stride)) j->bad = "the rows of a view are not equally far apart";
    mm__vk_u32(j, stride);
}

void mm__vk_weights(mm__vk_recorder *r, mm__vk_draft *j, const mm__view *w)
{
    const mm__dtype_info *type = mm__dtype_info_of(w->dtype);
    uint32_t odd;
    const uint32_t words = mm__vk_bind(r, j, w, &odd);
    if (odd % 2) j->bad = "a weight begins at an odd byte";
    mm__vk_u32(j, (int64_t)words * 4 + odd);
    mm__vk_u32(j, w->stride[0] / type->block * type->bytes);
}

void mm__vk_groups(mm__vk_recorder *r, mm__vk_draft *j, int64_t x, int64_t y, int64_t z)
{
    const int64_t n[3] = {x, y, z}, most = r->stream->device->limits.groups;
    for (int i = 0; i < 3; i++) j->job.groups[i] = (uint32_t)(n[i] < 1 ? 1 : n[i] > most ? most : n[i]);
}

void mm__vk_by_elements(mm__vk_recorder *r, mm__vk_draft *j, const mm__view *v)
{
    mm__vk_groups(r, j, (mm__view_rows(v) * mm__view_cols(v) + MM__VK_LANES - 1) / MM__VK_LANES, 1, 1);
}

mm_status mm__vk_emit(mm__vk_recorder *r, mm__vk_draft *j, double work, mm_error *err)
{
    if (j->bad) return mm__fail(err, MM_E_UNSUPPORTED, "shader %s: %s", mm__vk_shaders[j->job.shader].name, j->bad);
    j->job.work = work;
    return mm__vk_dispatch(r->stream, &j->job, err);
}

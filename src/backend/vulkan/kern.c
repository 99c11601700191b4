/* The list of kernels, and what their recording functions build jobs with. */
#include "kern.h"

#include "../../base/error.h"

#include <string.h>

#define GAP_BYTES (64u << 10) /* between weights that share a binding: room for biases and norms */

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

unsigned mm__vk_uses_subgroups(const mm__vk_limits *l, const mm__call *c) { return l->has & MM__VULKAN_SUBGROUPS; }

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

/* The smallest window over the views of a type that lie in one buffer; false when they do not, or when it is larger than a
 * binding. */
static bool window_over(const mm__vk_recorder *r, const mm__view *v, int n, mm__vk_window *out, uint64_t *at)
{
    const mm__vk_limits *l = &r->stream->device->limits;
    uint64_t lo = UINT64_MAX, hi = 0;
    for (int i = 0; i < n; i++) {
        mm__vk_place place;
        if (!mm__vk_find(r->stream->memory, v[i].data, &place) || (i && place.buffer != out->buffer)) return false;
        const uint64_t end = (place.offset + mm__vk_extent(&v[i]) + 3) & ~3ull;
        if (end > place.end) return false;
        out->buffer = place.buffer;
        at[i] = place.offset;
        if (place.offset < lo) lo = place.offset;
        if (end > hi) hi = end;
    }
    out->offset = lo & ~(uint64_t)(l->align - 1);
    out->bytes = hi - out->offset;
    for (int i = 0; i < n; i++) at[i] -= out->offset;
    return out->bytes <= l->binding;
}

uint32_t mm__vk_bind(mm__vk_recorder *r, mm__vk_draft *j, const mm__view *v, uint32_t *odd)
{
    const mm__view zeros = mm__view_of(MM__F32, mm__shape1(4), mm__vk_address(r->nothing));
    mm__vk_window w;
    uint64_t at;
    if (odd) *odd = 0;
    if (j->job.n_bind == MM__VK_BINDINGS || !window_over(r, v->shape.n ? v : &zeros, 1, &w, &at)) {
        j->bad = "a view is larger than a binding or lies outside the device's memory";
        return 0;
    }
    if (!odd && at % 4) j->bad = "a view begins between words";
    j->job.bind[j->job.n_bind++] = w;
    if (odd) *odd = (uint32_t)(at % 4);
    return (uint32_t)(at / 4);
}

/* The power of two, up to 16, at whose multiples blocks of a type begin; even, for of single values rows may begin anywhere. */
static uint64_t step_of(mm__dtype t)
{
    const uint64_t bytes = mm__dtype_info_of(t)->bytes, step = bytes & (~bytes + 1);
    return step > 16 ? 16 : step;
}

void mm__vk_bind_together(mm__vk_recorder *r, mm__vk_draft *j, const mm__view *w, int n, int64_t *at)
{
    mm__vk_window window;
    uint64_t from[3];
    if (n > 3 || j->job.n_bind == MM__VK_BINDINGS || !window_over(r, w, n, &window, from)) {
        j->bad = "weights are larger than a binding";
        return;
    }
    j->job.bind[j->job.n_bind++] = window;
    for (int i = 0; i < n; i++) {
        if (from[i] % step_of(w[i].dtype)) j->bad = "a weight begins where shaders cannot read it";
        at[i] = (int64_t)from[i];
    }
}

/* Not across memory that something else may write: a binding claims all that it shows. */
bool mm__vk_together(mm__vk_recorder *r, const mm__view *w, int n)
{
    mm__vk_window window;
    uint64_t at[3], sum = GAP_BYTES;
    for (int i = 0; i < n; i++) sum += mm__vk_extent(&w[i]);
    return window_over(r, w, n, &window, at) && window.bytes <= sum;
}

/* Bytes between rows that are equally far apart. */
static uint64_t row_bytes(const mm__view *v)
{
    const mm__dtype_info *type = mm__dtype_info_of(v->dtype);
    uint32_t stride;
    mm__vk_flat(v, &stride);
    return (uint64_t)(stride + type->block - 1) / type->block * type->bytes;
}

int64_t mm__vk_rows_bound(const mm__vk_recorder *r, const mm__view *v)
{
    const mm__vk_limits *l = &r->stream->device->limits;
    const uint64_t bytes = row_bytes(v), room = l->binding - l->align;
    if (mm__vk_extent(v) <= room || !bytes) return INT32_MAX;
    return bytes > room ? 1 : (int64_t)(room / bytes);
}

mm__view mm__vk_slice(const mm__view *v, int64_t row, int64_t n)
{
    const mm__dtype_info *type = mm__dtype_info_of(v->dtype);
    const uint64_t bytes = row_bytes(v);
    mm__view out = mm__view_of(v->dtype, mm__shape2(n, mm__view_cols(v)), (unsigned char *)v->data + (uint64_t)row * bytes);
    out.stride[0] = (int64_t)(bytes / type->bytes * type->block);
    return out;
}

void mm__vk_view(mm__vk_recorder *r, mm__vk_draft *j, const mm__view *v)
{
    const int leading = v->shape.n > 1 ? v->shape.n - 1 : 0;
    mm__vk_u32(j, mm__vk_bind(r, j, v, NULL));
    mm__vk_u32(j, leading > 1 ? v->shape.d[1] : 1);
    mm__vk_u32(j, leading > 2 ? v->shape.d[2] : 1);
    for (int i = 0; i < 3; i++) mm__vk_u32(j, i < leading ? v->stride[i] : 0);
}

uint32_t mm__vk_flat_view(mm__vk_recorder *r, mm__vk_draft *j, const mm__view *v)
{
    const uint32_t off = mm__vk_bind(r, j, v, NULL);
    uint32_t stride;
    mm__vk_u32(j, off);
    if (!mm__vk_flat(v, &stride)) j->bad = "the rows of a view are not equally far apart";
    mm__vk_u32(j, stride);
    return off;
}

void mm__vk_weights(mm__vk_recorder *r, mm__vk_draft *j, const mm__view *w)
{
    int64_t at = 0;
    mm__vk_bind_together(r, j, w, 1, &at);
    mm__vk_u32(j, at);
    mm__vk_u32(j, (int64_t)row_bytes(w));
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

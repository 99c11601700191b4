/* Blocks, pieces, keys. A block keeps its free ranges sorted by offset; there are few of them, for weights are freed all at
 * once and arenas only grow. */
#include "memory.h"

#include "../../base/error.h"
#include "../../base/limits.h"

#include <string.h>

#define BLOCK_BYTES (128ull << 20)
#define GRAIN 256u                     /* pieces begin at multiples; the largest alignment a binding may ask for */
#define KEY_GAP 4096u
#define FIRST_KEY (UINTPTR_MAX / 4 + 1)

typedef struct range { uint64_t offset, bytes; } range;

struct mm__vk_block {
    mm__vk_block *next;
    mm__vk_kind kind;
    VkDeviceMemory memory;
    VkBuffer buffer;
    uint64_t bytes;
    unsigned char *mapped;
    range *gaps;                       /* sorted, never adjacent */
    size_t n_gaps, cap_gaps;
    size_t n_pieces;
};

static uint64_t round_up(uint64_t n, uint64_t to) { return (n + to - 1) / to * to; }

/* ---- which memory ---- */

/* The first type among `allowed` with all of the wanted properties. */
static bool find_type(const VkPhysicalDeviceMemoryProperties *p, uint32_t allowed, VkMemoryPropertyFlags wanted, uint32_t *type)
{
    for (uint32_t i = 0; i < p->memoryTypeCount; i++)
        if ((allowed >> i & 1) && (p->memoryTypes[i].propertyFlags & wanted) == wanted) {
            *type = i;
            return true;
        }
    return false;
}

static uint64_t heap_bytes(const VkPhysicalDeviceMemoryProperties *p, uint32_t type) { return p->memoryHeaps[p->memoryTypes[type].heapIndex].size; }

/* Own memory is what the host sees too, where that is as large as what only the device sees (unified memory, a resizable
 * BAR); otherwise the device's alone. */
static bool choose_types(mm__vk_memory *m, uint32_t allowed)
{
    const VkPhysicalDeviceMemoryProperties *p = &m->device->memory;
    const VkMemoryPropertyFlags host = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    uint32_t *own = &m->type[MM__VK_OWN], both;
    if (!find_type(p, allowed, host | VK_MEMORY_PROPERTY_HOST_CACHED_BIT, &m->type[MM__VK_STAGING]) &&
        !find_type(p, allowed, host, &m->type[MM__VK_STAGING]))
        return false;
    m->visible[MM__VK_STAGING] = true;
    if (!find_type(p, allowed, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, own)) *own = m->type[MM__VK_STAGING];
    if (!m->staged && find_type(p, allowed, host | VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, &both) && heap_bytes(p, both) >= heap_bytes(p, *own)) *own = both;
    m->visible[MM__VK_OWN] = !m->staged && (p->memoryTypes[*own].propertyFlags & host) == host;
    m->quick = m->visible[MM__VK_OWN] && (p->memoryTypes[*own].propertyFlags & VK_MEMORY_PROPERTY_HOST_CACHED_BIT);
    return true;
}

static mm_status buffer_new(mm__vk_memory *m, uint64_t bytes, VkBuffer *out, mm_error *err)
{
    const VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO, .size = bytes,
        .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT};
    const mm_status s = mm__vk_check(m->device, m->device->api.CreateBuffer(m->device->device, &info, NULL, out), "vkCreateBuffer", err);
    if (s < 0) *out = VK_NULL_HANDLE;
    return s;
}

mm_status mm__vk_memory_open(mm__vk_memory *m, mm__vk_device *d, const mm__vulkan_options *o, mm_error *err)
{
    const mm__vk_api *api = &d->api;
    VkMemoryRequirements need;
    VkBuffer probe;
    *m = (mm__vk_memory){.device = d, .staged = o->staged, .block_bytes = o->block_bytes ? o->block_bytes : BLOCK_BYTES,
                         .next_key = FIRST_KEY};
    m->locked_ok = mm__mutex_init(&m->lock);
    if (!m->locked_ok) return mm__nomem(err, "memory of a device");
    const mm_status s = buffer_new(m, GRAIN, &probe, err);
    if (s < 0) return s;
    api->GetBufferMemoryRequirements(d->device, probe, &need);
    api->DestroyBuffer(d->device, probe, NULL);
    if (!choose_types(m, need.memoryTypeBits)) return mm__fail(err, MM_E_DEVICE, "%s has no memory that the host can see", d->name);
    if (m->block_bytes > d->limits.allocation) m->block_bytes = d->limits.allocation;
    return MM_OK;
}

/* ---- blocks ---- */

static void block_free(mm__vk_memory *m, mm__vk_block *b)
{
    mm__vk_device *d = m->device;
    for (mm__vk_block **p = &m->blocks; *p; p = &(*p)->next)
        if (*p == b) {
            *p = b->next;
            m->used -= b->bytes;
            break;
        }
    if (!d->hung) {
        if (b->buffer) d->api.DestroyBuffer(d->device, b->buffer, NULL);
        if (b->memory) d->api.FreeMemory(d->device, b->memory, NULL); /* and unmaps it */
    }
    mm__free(d->mem, b->gaps);
    mm__free(d->mem, b);
}

/* Buffer and memory of an empty block. */
static mm_status block_fill(mm__vk_memory *m, mm__vk_block *b, mm_error *err)
{
    mm__vk_device *d = m->device;
    VkMemoryRequirements need;
    void *mapped;
    mm_status s = buffer_new(m, b->bytes, &b->buffer, err);
    if (s < 0) return s;
    d->api.GetBufferMemoryRequirements(d->device, b->buffer, &need);
    const VkMemoryAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, .allocationSize = need.size, .memoryTypeIndex = m->type[b->kind]};
    s = mm__vk_check(d, d->api.AllocateMemory(d->device, &info, NULL, &b->memory), "vkAllocateMemory", err);
    if (s < 0) {
        b->memory = VK_NULL_HANDLE;
        return s;
    }
    s = mm__vk_check(d, d->api.BindBufferMemory(d->device, b->buffer, b->memory, 0), "vkBindBufferMemory", err);
    if (s < 0 || !m->visible[b->kind]) return s;
    s = mm__vk_check(d, d->api.MapMemory(d->device, b->memory, 0, VK_WHOLE_SIZE, 0, &mapped), "vkMapMemory", err);
    if (s >= 0) b->mapped = mapped;
    return s;
}

static mm_status block_new(mm__vk_memory *m, mm__vk_kind kind, uint64_t bytes, const char *what, mm__vk_block **out, mm_error *err)
{
    mm__vk_device *d = m->device;
    const uint64_t limit = mm__limit(d->mem, MM__LIMIT_DEVICE_MEMORY);
    if (limit && (m->used > limit || bytes > limit - m->used))
        return mm__fail(err, MM_E_NOMEM, "%s: with %llu MiB more than there are the limit \"device_memory\", %llu MiB of %s, would be exceeded", what,
                        (unsigned long long)(bytes >> 20), (unsigned long long)(limit >> 20), d->name);
    mm__vk_block *b = mm__zalloc(d->mem, sizeof *b);
    if (!b || !mm__grow(d->mem, &b->gaps, 0, &b->cap_gaps, sizeof *b->gaps)) {
        mm__free(d->mem, b);
        return mm__nomem(err, what);
    }
    b->kind = kind;
    b->bytes = bytes;
    b->gaps[b->n_gaps++] = (range){0, bytes};
    const mm_status s = block_fill(m, b, err);
    if (s < 0) {
        block_free(m, b);
        return mm__fail_prefix(err, s, what);
    }
    b->next = m->blocks;
    m->blocks = b;
    m->used += bytes;
    *out = b;
    return MM_OK;
}

/* ---- ranges of a block ---- */

static bool take(mm__vk_block *b, uint64_t bytes, uint64_t *offset)
{
    for (size_t i = 0; i < b->n_gaps; i++) {
        if (b->gaps[i].bytes < bytes) continue;
        *offset = b->gaps[i].offset;
        b->gaps[i].offset += bytes;
        b->gaps[i].bytes -= bytes;
        if (!b->gaps[i].bytes) memmove(b->gaps + i, b->gaps + i + 1, (--b->n_gaps - i) * sizeof *b->gaps);
        return true;
    }
    return false;
}

/* Gives a range back. Without memory for one more gap the range stays taken until the block is empty. */
static void give(mm__mem *mem, mm__vk_block *b, range r)
{
    size_t i = 0;
    while (i < b->n_gaps && b->gaps[i].offset < r.offset) i++;
    const bool left = i > 0 && b->gaps[i - 1].offset + b->gaps[i - 1].bytes == r.offset, right = i < b->n_gaps && r.offset + r.bytes == b->gaps[i].offset;
    if (left && right) {
        b->gaps[i - 1].bytes += r.bytes + b->gaps[i].bytes;
        memmove(b->gaps + i, b->gaps + i + 1, (--b->n_gaps - i) * sizeof *b->gaps);
    } else if (left) {
        b->gaps[i - 1].bytes += r.bytes;
    } else if (right) {
        b->gaps[i] = (range){r.offset, r.bytes + b->gaps[i].bytes};
    } else if (mm__grow(mem, &b->gaps, b->n_gaps, &b->cap_gaps, sizeof *b->gaps)) {
        memmove(b->gaps + i + 1, b->gaps + i, (b->n_gaps++ - i) * sizeof *b->gaps);
        b->gaps[i] = r;
    }
}

/* ---- pieces ---- */

/* A range of `bytes` in an old block or a new one. */
static mm_status find_room(mm__vk_memory *m, mm__vk_kind kind, uint64_t bytes, const char *what, mm__vk_block **block, uint64_t *offset, mm_error *err)
{
    mm_status s = MM_OK;
    for (mm__vk_block *b = m->blocks; b; b = b->next)
        if (b->kind == kind && take(b, bytes, offset)) {
            *block = b;
            return MM_OK;
        }
    const uint64_t wanted = kind == MM__VK_OWN && bytes <= m->block_bytes / 2 ? m->block_bytes : bytes;
    s = block_new(m, kind, wanted, what, block, err);
    if (s == MM_E_NOMEM && wanted > bytes) s = block_new(m, kind, bytes, what, block, err);
    if (s >= 0) take(*block, bytes, offset);
    return s;
}

mm_status mm__vk_piece_new(mm__vk_memory *m, mm__vk_kind kind, uint64_t bytes, const char *what, mm__vk_piece **out, mm_error *err)
{
    mm__mem *mem = m->device->mem;
    *out = NULL;
    if (bytes > m->device->limits.allocation - GRAIN)
        return mm__fail(err, MM_E_NOMEM, "%s: %llu MiB are more than %s allocates at once", what, (unsigned long long)(bytes >> 20), m->device->name);
    mm__vk_piece *p = mm__zalloc(mem, sizeof *p);
    if (!p) return mm__nomem(err, what);
    p->bytes = round_up(bytes ? bytes : 1, GRAIN);
    mm__mutex_lock(&m->lock);
    mm_status s = mm__grow(mem, &m->pieces, m->n_pieces, &m->cap_pieces, sizeof *m->pieces) ? MM_OK : mm__nomem(err, what);
    if (s >= 0) s = find_room(m, kind, p->bytes, what, &p->block, &p->offset, err);
    if (s >= 0) {
        p->key = m->next_key;
        m->next_key += round_up(p->bytes, KEY_GAP) + KEY_GAP;
        p->block->n_pieces++;
        m->pieces[m->n_pieces++] = p;
    }
    mm__mutex_unlock(&m->lock);
    if (s < 0) mm__free(mem, p);
    else *out = p;
    return s;
}

/* Index of the last piece whose key is not above `key`; n_pieces when there is none. */
static size_t search(const mm__vk_memory *m, uintptr_t key)
{
    size_t lo = 0, hi = m->n_pieces;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (m->pieces[mid]->key <= key) lo = mid + 1;
        else hi = mid;
    }
    return lo ? lo - 1 : m->n_pieces;
}

void mm__vk_piece_free(mm__vk_memory *m, mm__vk_piece *p)
{
    if (!p) return;
    mm__mutex_lock(&m->lock);
    const size_t i = search(m, p->key);
    memmove(m->pieces + i, m->pieces + i + 1, (--m->n_pieces - i) * sizeof *m->pieces);
    if (--p->block->n_pieces == 0) block_free(m, p->block);
    else give(m->device->mem, p->block, (range){p->offset, p->bytes});
    mm__mutex_unlock(&m->lock);
    mm__free(m->device->mem, p);
}

mm__vk_piece *mm__vk_piece_at(mm__vk_memory *m, const void *address)
{
    mm__mutex_lock(&m->lock);
    const size_t i = search(m, (uintptr_t)address);
    mm__vk_piece *p = i < m->n_pieces && m->pieces[i]->key == (uintptr_t)address ? m->pieces[i] : NULL;
    mm__mutex_unlock(&m->lock);
    return p;
}

bool mm__vk_is_key(mm__vk_memory *m, const void *address)
{
    mm__mutex_lock(&m->lock);
    const bool is = (uintptr_t)address >= FIRST_KEY && (uintptr_t)address < m->next_key;
    mm__mutex_unlock(&m->lock);
    return is;
}

bool mm__vk_find(mm__vk_memory *m, const void *address, mm__vk_place *out)
{
    const uintptr_t key = (uintptr_t)address;
    mm__mutex_lock(&m->lock);
    const size_t i = search(m, key);
    const bool found = i < m->n_pieces && key - m->pieces[i]->key < m->pieces[i]->bytes;
    if (found) {
        const mm__vk_piece *p = m->pieces[i];
        const uint64_t offset = p->offset + (key - p->key);
        *out = (mm__vk_place){p->block->buffer, offset, p->offset, p->offset + p->bytes, p->block->mapped ? p->block->mapped + offset : NULL};
    }
    mm__mutex_unlock(&m->lock);
    return found;
}

void mm__vk_memory_close(mm__vk_memory *m)
{
    if (!m->device) return;
    while (m->n_pieces) mm__vk_piece_free(m, m->pieces[m->n_pieces - 1]);
    while (m->blocks) block_free(m, m->blocks);
    mm__free(m->device->mem, m->pieces);
    if (m->locked_ok) mm__mutex_destroy(&m->lock);
    *m = (mm__vk_memory){0};
}

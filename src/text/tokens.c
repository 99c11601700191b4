/* The token table: id -> spelling and spelling -> id. Spellings lie in one pool; the hash table holds ids only, so a
 * quarter of a million tokens cost their bytes plus 13 bytes each. Seeded hash, linear probing, load at most one half. */
#include "tokenizer_impl.h"

uint64_t mm__text_seed(const void *where)
{
    uint64_t x = (uint64_t)(uintptr_t)where ^ ((uint64_t)(uintptr_t)&mm__text_seed << 17);
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

uint64_t mm__text_hash(uint64_t seed, const char *s, size_t n)
{
    uint64_t h = seed ^ (n * 0x9E3779B97F4A7C15u), w;
    for (; n >= 8; s += 8, n -= 8) {
        memcpy(&w, s, 8);
        h = (h ^ w) * 0xD6E8FEB86659FD93u;
        h ^= h >> 32;
    }
    w = 0;
    for (size_t i = 0; i < n; i++) w |= (uint64_t)(uint8_t)s[i] << (8 * i);
    h = (h ^ w) * 0xD6E8FEB86659FD93u;
    h = (h ^ h >> 32) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 29;
}

bool mm__tokens_init(mm__tokens *t, mm__mem *mem, size_t n, size_t expected_bytes)
{
    memset(t, 0, sizeof *t);
    t->mem = mem;
    t->n = n;
    t->seed = mm__text_seed(t);
    mm__buf_init(&t->pool, mem);
    size_t slots = 16;
    while (slots < n * 2) slots *= 2;
    t->mask = slots - 1;
    t->off = mm__calloc(mem, n ? n : 1, sizeof *t->off);
    t->len = mm__calloc(mem, n ? n : 1, sizeof *t->len);
    t->attr = mm__calloc(mem, n ? n : 1, sizeof *t->attr);
    t->slot = mm__calloc(mem, slots, sizeof *t->slot);
    if (!t->off || !t->len || !t->attr || !t->slot) return false;
    memset(t->slot, 0xFF, slots * sizeof *t->slot);
    mm__buf_putc(&t->pool, '\0'); /* ids without a spelling point here */
    return !t->pool.failed;
}

void mm__tokens_free(mm__tokens *t)
{
    if (!t->mem) return;
    mm__free(t->mem, t->off);
    mm__free(t->mem, t->len);
    mm__free(t->mem, t->attr);
    mm__free(t->mem, t->slot);
    mm__buf_free(&t->pool);
    memset(t, 0, sizeof *t);
}

static size_t find_slot(const mm__tokens *t, const char *s, size_t len)
{
    size_t i = (size_t)mm__text_hash(t->seed, s, len) & t->mask;
    for (; t->slot[i] >= 0; i = (i + 1) & t->mask) {
        int32_t id = t->slot[i];
        if (t->len[id] == len && !memcmp(t->pool.data + t->off[id], s, len)) break;
    }
    return i;
}

bool mm__tokens_put(mm__tokens *t, int32_t id, const char *s, size_t len, unsigned attr)
{
    if ((t->attr[id] & MM__ATTR_PRESENT) && t->len[id] == len && !memcmp(t->pool.data + t->off[id], s, len)) {
        t->attr[id] |= (uint8_t)attr;
        return true;
    }
    size_t at = t->pool.len;
    if (at > UINT32_MAX - 1 || len > UINT32_MAX - 1 - at) return false;
    mm__buf_put(&t->pool, s, len);
    mm__buf_putc(&t->pool, '\0');
    if (t->pool.failed) return false;
    t->off[id] = (uint32_t)at;
    t->len[id] = (uint32_t)len;
    t->attr[id] = (uint8_t)(attr | MM__ATTR_PRESENT);
    size_t i = find_slot(t, s, len);
    if (t->slot[i] < 0) {
        if (t->used + 1 > (t->mask + 1) / 4 * 3) return true; /* renamed ids crowd the table: reachable by id only */
        t->used++;
    }
    t->slot[i] = id;
    return true;
}

int32_t mm__tokens_find(const mm__tokens *t, const char *s, size_t len)
{
    return t->slot[find_slot(t, s, len)];
}

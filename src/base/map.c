/* Hash map, open addressing with linear probing, at most three quarters full, never shrinking.
 *
 * Slots hold the key's place, length, hash and value; keys are copied one after another into chunks that never move,
 * so a put costs one memory copy and rarely an allocation. The hash is SipHash-1-3 (Aumasson and Bernstein, "SipHash: a
 * fast short-input PRF", 2012) under a key drawn per map: a vocabulary file cannot be crafted to collide. The map has no
 * order and no iteration, so the random key never shows in a result. A failed put leaves the map as it was. */
#include "map.h"
#include "ckd.h"
#include "os/os.h"
#include <string.h>

#define CHUNK ((size_t)32 * 1024)

typedef struct slot {
    const char *key; /* NULL: free */
    size_t len;
    uint64_t hash, value;
} slot;

typedef struct chunk {
    struct chunk *next;
    size_t used, cap;
    char bytes[];
} chunk;

struct mm__map {
    mm__mem *mem;
    uint64_t k0, k1;
    slot *slots;
    size_t mask, count;
    chunk *chunks;
};

static uint64_t rotl(uint64_t x, int r)
{
    return x << r | x >> (64 - r);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] = rotl(v[0], 32) + v[3];
    v[2] += v[1];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

uint64_t mm__map_hash(uint64_t k0, uint64_t k1, const void *data, size_t len)
{
    /* the initial state spells "somepseudorandomlygeneratedbytes" */
    uint64_t v[4] = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du, k0 ^ 0x6c7967656e657261u, k1 ^ 0x7465646279746573u};
    const unsigned char *p = data;
    uint64_t last = (uint64_t)len << 56, m;
    size_t n = len;
    for (; n >= 8; n -= 8, p += 8) {
        memcpy(&m, p, 8);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    for (size_t i = 0; i < n; i++) last |= (uint64_t)p[i] << (8 * i);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xFF;
    for (int i = 0; i < 3; i++) sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

mm__map *mm__map_create(mm__mem *mem, size_t expected)
{
    size_t cap = 16;
    while (cap - cap / 4 <= expected) {
        if (cap > SIZE_MAX / 4) return NULL;
        cap *= 2;
    }
    mm__map *map = mm__zalloc(mem, sizeof *map);
    if (!map) return NULL;
    map->mem = mem;
    map->k0 = mm__os_random();
    map->k1 = mm__os_random();
    map->mask = cap - 1;
    map->slots = mm__calloc(mem, cap, sizeof *map->slots);
    if (map->slots) return map;
    mm__map_destroy(map);
    return NULL;
}

void mm__map_destroy(mm__map *map)
{
    if (!map) return;
    for (chunk *c = map->chunks; c;) {
        chunk *next = c->next;
        mm__free(map->mem, c);
        c = next;
    }
    mm__free(map->mem, map->slots);
    mm__free(map->mem, map);
}

size_t mm__map_count(const mm__map *map)
{
    return map ? map->count : 0;
}

/* The slot that holds the key, or the free one where it belongs. */
static slot *probe(const mm__map *map, const char *key, size_t len, uint64_t hash)
{
    for (size_t i = (size_t)hash & map->mask;; i = (i + 1) & map->mask) {
        slot *s = &map->slots[i];
        if (!s->key) return s;
        if (s->hash == hash && s->len == len && (len == 0 || memcmp(s->key, key, len) == 0)) return s;
    }
}

static bool enlarge(mm__map *map)
{
    size_t cap;
    if (!mm__ckd_mul(map->mask + 1, 2, &cap)) return false;
    slot *slots = mm__calloc(map->mem, cap, sizeof *slots);
    if (!slots) return false;
    for (size_t i = 0; i <= map->mask; i++) {
        if (!map->slots[i].key) continue;
        size_t to = (size_t)map->slots[i].hash & (cap - 1);
        while (slots[to].key) to = (to + 1) & (cap - 1);
        slots[to] = map->slots[i];
    }
    mm__free(map->mem, map->slots);
    map->slots = slots;
    map->mask = cap - 1;
    return true;
}

/* The map's own copy of a key; NULL when memory is short. */
static const char *keep(mm__map *map, const char *key, size_t len)
{
    chunk *c = map->chunks;
    if (!c || c->cap - c->used < len) {
        const size_t cap = len > CHUNK ? len : CHUNK;
        size_t bytes;
        if (!mm__ckd_add(sizeof *c, cap, &bytes)) return NULL;
        c = mm__alloc(map->mem, bytes);
        if (!c) return NULL;
        *c = (chunk){.next = map->chunks, .cap = cap};
        map->chunks = c;
    }
    char *copy = c->bytes + c->used;
    if (len) memcpy(copy, key, len);
    c->used += len;
    return copy;
}

bool mm__map_put(mm__map *map, const char *key, size_t len, uint64_t value, bool *existed)
{
    const uint64_t hash = mm__map_hash(map->k0, map->k1, key, len);
    slot *s = probe(map, key, len, hash);
    if (existed) *existed = s->key != NULL;
    if (!s->key) {
        const size_t cap = map->mask + 1;
        if (map->count + 1 > cap - cap / 4) {
            if (!enlarge(map)) return false;
            s = probe(map, key, len, hash);
        }
        const char *copy = keep(map, key, len);
        if (!copy) return false;
        *s = (slot){.key = copy, .len = len, .hash = hash};
        map->count++;
    }
    s->value = value;
    return true;
}

bool mm__map_get(const mm__map *map, const char *key, size_t len, uint64_t *value)
{
    if (!map) return false;
    const slot *s = probe(map, key, len, mm__map_hash(map->k0, map->k1, key, len));
    if (!s->key) return false;
    if (value) *value = s->value;
    return true;
}

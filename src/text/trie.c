/* A trie whose edges live in one open-addressing table: key (parent, byte) -> child. Building is linear in the bytes,
 * needs no sorting and no recursion; a step costs one probe. The hash is seeded per trie, so a crafted vocabulary cannot
 * prepare collisions. Chosen over a double array because building one of those for 250 000 strings takes seconds. */
#include "tokenizer_impl.h"

static size_t slot_of(const mm__trie *t, uint64_t key)
{
    uint64_t h = (key ^ t->seed) * 0x9E3779B97F4A7C15u;
    h ^= h >> 32;
    h *= 0xD6E8FEB86659FD93u;
    return (size_t)(h >> 20) & t->mask;
}

static bool table_resize(mm__trie *t, size_t slots)
{
    uint64_t *key = mm__calloc(t->mem, slots, sizeof *key);
    uint32_t *child = mm__calloc(t->mem, slots, sizeof *child);
    if (!key || !child) {
        mm__free(t->mem, key);
        mm__free(t->mem, child);
        return false;
    }
    uint64_t *old_key = t->key;
    uint32_t *old_child = t->child;
    size_t old = old_key ? t->mask + 1 : 0;
    t->key = key;
    t->child = child;
    t->mask = slots - 1;
    for (size_t i = 0; i < old; i++) {
        if (!old_key[i]) continue;
        size_t s = slot_of(t, old_key[i]);
        while (key[s]) s = (s + 1) & t->mask;
        key[s] = old_key[i];
        child[s] = old_child[i];
    }
    mm__free(t->mem, old_key);
    mm__free(t->mem, old_child);
    return true;
}

bool mm__trie_init(mm__trie *t, mm__mem *mem, size_t expected_bytes)
{
    memset(t, 0, sizeof *t);
    t->mem = mem;
    t->seed = mm__text_seed(t);
    size_t slots = 64;
    while (slots < expected_bytes && slots < ((size_t)1 << 20)) slots *= 2;
    if (!table_resize(t, slots)) return false;
    if (!mm__grow(mem, &t->value, 0, &t->cap_nodes, sizeof *t->value)) return false;
    t->value[0] = -1;
    t->n_nodes = 1;
    return true;
}

void mm__trie_free(mm__trie *t)
{
    if (!t->mem) return;
    mm__free(t->mem, t->key);
    mm__free(t->mem, t->child);
    mm__free(t->mem, t->value);
    memset(t, 0, sizeof *t);
}

uint32_t mm__trie_step(const mm__trie *t, uint32_t node, uint8_t byte)
{
    if (node == 0) return t->root[byte];
    uint64_t key = ((uint64_t)node << 8 | byte) + 1;
    for (size_t s = slot_of(t, key); t->key[s]; s = (s + 1) & t->mask)
        if (t->key[s] == key) return t->child[s];
    return 0;
}

static uint32_t add_child(mm__trie *t, uint32_t node, uint8_t byte)
{
    if (t->n_nodes >= UINT32_MAX - 1 || !mm__grow(t->mem, &t->value, t->n_nodes, &t->cap_nodes, sizeof *t->value)) return 0;
    uint32_t child = (uint32_t)t->n_nodes;
    if (node == 0) {
        t->root[byte] = child;
    } else {
        if (t->n_edges + 1 > (t->mask + 1) / 4 * 3 && !table_resize(t, (t->mask + 1) * 2)) return 0;
        uint64_t key = ((uint64_t)node << 8 | byte) + 1;
        size_t s = slot_of(t, key);
        while (t->key[s]) s = (s + 1) & t->mask;
        t->key[s] = key;
        t->child[s] = child;
        t->n_edges++;
    }
    t->value[child] = -1;
    t->n_nodes++;
    return child;
}

bool mm__trie_put(mm__trie *t, const char *s, size_t n, int32_t value)
{
    uint32_t node = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t next = mm__trie_step(t, node, (uint8_t)s[i]);
        if (!next) next = add_child(t, node, (uint8_t)s[i]);
        if (!next) return false;
        node = next;
    }
    if (n) t->value[node] = value;
    return true;
}

int32_t mm__trie_longest(const mm__trie *t, const char *s, size_t n, size_t *len)
{
    int32_t best = -1;
    uint32_t node = 0;
    for (size_t i = 0; i < n; i++) {
        node = mm__trie_step(t, node, (uint8_t)s[i]);
        if (!node) break;
        if (t->value[node] >= 0) {
            best = t->value[node];
            *len = i + 1;
        }
    }
    return best;
}

/* A hash table of rows whose entries stand in one list as well, the one used last in front. Nothing is allocated under the lock,
 * because an allocation may ask this cache to give (give_one). */
#include "mediacache.h"

#include "../base/ckd.h"
#include "../base/os/os.h"
#include "../base/sha256.h"

#include <string.h>

#define BUCKETS 256 /* by the digest's first byte */

typedef struct entry entry;
struct entry {
    mm__media_key key;
    entry *next;              /* of the bucket */
    entry *newer, *older;
    int32_t n, width;
    size_t bytes;             /* of this block */
    float rows[];             /* [n, width] */
};

struct mm__media_cache {
    mm__mem *mem;
    const _Atomic uint64_t *most;
    mm__spare spare;
    mm__mutex lock;           /* for all below */
    entry *buckets[BUCKETS], *newest, *oldest;
    mm__media_counts counts;
};

/* ---- under the lock ---- */

static entry **place_of(mm__media_cache *c, const mm__media_key *key)
{
    entry **at = &c->buckets[key->digest[0]];
    while (*at && memcmp(&(*at)->key, key, sizeof *key) != 0) at = &(*at)->next;
    return at;
}

static void list_remove(mm__media_cache *c, entry *e)
{
    *(e->newer ? &e->newer->older : &c->newest) = e->older;
    *(e->older ? &e->older->newer : &c->oldest) = e->newer;
}

static void list_push(mm__media_cache *c, entry *e)
{
    e->newer = NULL;
    e->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = e;
    c->newest = e;
}

/* What was not used for the longest time, out of the table and the list. */
static entry *take_oldest(mm__media_cache *c)
{
    entry *e = c->oldest;
    if (!e) return NULL;
    *place_of(c, &e->key) = e->next;
    list_remove(c, e);
    c->counts.bytes -= e->bytes;
    return e;
}

/* The rows' entry, now the newest; NULL: not there. */
static entry *use(mm__media_cache *c, const mm__media_key *key)
{
    entry *e = *place_of(c, key);
    if (!e) return NULL;
    list_remove(c, e);
    list_push(c, e);
    return e;
}

/* ---- life ---- */

static void *give(void *user)
{
    mm__media_cache *c = user;
    mm__mutex_lock(&c->lock);
    entry *e = take_oldest(c);
    mm__mutex_unlock(&c->lock);
    return e;
}

/* Frees what was not used for long until no more than `most` bytes are held. */
static void shrink(mm__media_cache *c, uint64_t most)
{
    for (;;) {
        mm__mutex_lock(&c->lock);
        entry *e = c->counts.bytes > most ? take_oldest(c) : NULL;
        mm__mutex_unlock(&c->lock);
        if (!e) return;
        mm__free(c->mem, e);
    }
}

mm__media_cache *mm__media_cache_create(mm__mem *mem, const _Atomic uint64_t *most)
{
    mm__media_cache *c = mm__zalloc(mem, sizeof *c);
    if (!c || !mm__mutex_init(&c->lock)) {
        mm__free(mem, c);
        return NULL;
    }
    c->mem = mem;
    c->most = most;
    c->spare = (mm__spare){.give = give, .user = c};
    mm__mem_spare_add(mem, &c->spare);
    return c;
}

void mm__media_cache_destroy(mm__media_cache *c)
{
    if (!c) return;
    mm__mem_spare_remove(c->mem, &c->spare);
    shrink(c, 0);
    mm__mutex_destroy(&c->lock);
    mm__free(c->mem, c);
}

bool mm__media_cache_on(mm__media_cache *c)
{
    return c && atomic_load(c->most);
}

mm__media_counts mm__media_cache_counts(mm__media_cache *c)
{
    mm__mutex_lock(&c->lock);
    const mm__media_counts counts = c->counts;
    mm__mutex_unlock(&c->lock);
    return counts;
}

/* ---- rows ---- */

void mm__media_key_of(const char *kind, int64_t rows, int64_t columns, const float *values, mm__media_key *out)
{
    const int64_t shape[2] = {rows, columns};
    mm__sha256 h;
    mm__sha256_init(&h);
    mm__sha256_add(&h, kind, strlen(kind) + 1);
    mm__sha256_add(&h, shape, sizeof shape);
    mm__sha256_add(&h, values, (size_t)rows * (size_t)columns * sizeof *values);
    mm__sha256_end(&h, out->digest);
}

/* The size is looked up first, and memory asked for without the lock; meanwhile the entry may go. */
bool mm__media_cache_find(mm__media_cache *c, const mm__media_key *key, mm__media_rows *out)
{
    *out = (mm__media_rows){0};
    mm__mutex_lock(&c->lock);
    entry *e = use(c, key);
    if (e) *out = (mm__media_rows){.n = e->n, .width = e->width};
    mm__mutex_unlock(&c->lock);
    const size_t count = (size_t)out->n * (size_t)out->width;
    if (e) out->data = mm__alloc(c->mem, count * sizeof *out->data);
    mm__mutex_lock(&c->lock);
    e = out->data ? use(c, key) : NULL;
    if (e) memcpy(out->data, e->rows, count * sizeof *out->data);
    e ? c->counts.hits++ : c->counts.misses++;
    mm__mutex_unlock(&c->lock);
    if (e) return true;
    mm__free(c->mem, out->data);
    *out = (mm__media_rows){0};
    return false;
}

void mm__media_cache_keep(mm__media_cache *c, const mm__media_key *key, const mm__media_rows *rows)
{
    const uint64_t most = atomic_load(c->most);
    size_t count, bytes;
    if (!mm__ckd_mul((size_t)rows->n, (size_t)rows->width, &count) || !mm__ckd_mul(count, sizeof *rows->data, &bytes) ||
        !mm__ckd_add(bytes, sizeof(entry), &bytes) || bytes > most)
        return;
    shrink(c, most - bytes); /* first, so that the old and the new need not fit memory together */
    mm__account *account = mm__account_enter(NULL);
    entry *e = mm__alloc(c->mem, bytes);
    mm__account_enter(account);
    if (!e) return;
    *e = (entry){.key = *key, .n = rows->n, .width = rows->width, .bytes = bytes};
    memcpy(e->rows, rows->data, count * sizeof *rows->data);
    mm__mutex_lock(&c->lock);
    entry **at = place_of(c, key);
    const bool there = *at != NULL; /* another thread had the same medium */
    if (!there) {
        *at = e;
        list_push(c, e);
        c->counts.bytes += bytes;
    }
    mm__mutex_unlock(&c->lock);
    if (there) mm__free(c->mem, e);
    else shrink(c, atomic_load(c->most)); /* others may have kept something, too, or the number changed */
}

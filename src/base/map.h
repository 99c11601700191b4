/* Hash map from byte strings to 64-bit values (ids, indices, pointers). Keys are copied. Seeded hash, so crafted keys
 * cannot force collisions across processes. Not thread-safe for writing; reading is. */
#ifndef MM__BASE_MAP_H
#define MM__BASE_MAP_H

#include "alloc.h"

typedef struct mm__map mm__map;

mm__map *mm__map_create(mm__mem *mem, size_t expected);
void mm__map_destroy(mm__map *map);
size_t mm__map_count(const mm__map *map);
/* Inserts or overwrites; false only when memory is short. *existed (may be NULL) tells which. */
bool mm__map_put(mm__map *map, const char *key, size_t len, uint64_t value, bool *existed);
bool mm__map_get(const mm__map *map, const char *key, size_t len, uint64_t *value);
/* The keyed hash itself, for other tables; the value depends on the machine's byte order. */
uint64_t mm__map_hash(uint64_t k0, uint64_t k1, const void *data, size_t len);

#endif

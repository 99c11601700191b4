/* GGUF v2/v3 container: key-values and tensor directory. Everything is validated on opening (counts against the bytes
 * that remain, types, duplicate names, extents, alignment); no tensor data are read here. Limits: 65536 keys, 2^20
 * tensors, 16 MiB strings, 16 Mi array elements. */
#ifndef MM__FILE_GGUF_H
#define MM__FILE_GGUF_H

#include "../base/io.h"
#include "weights.h"

typedef struct mm__gguf mm__gguf;

/* Opens all shards of a split file when `path` is one of them. */
mm_status mm__gguf_open(const mm__files *files, const char *path, mm__gguf **out, mm_error *err);
void mm__gguf_close(mm__gguf *g);
/* Gives the files back; keys stay. */
void mm__gguf_shut(mm__gguf *g);
/* Adds the tensors to a set. */
mm_status mm__gguf_add_weights(mm__gguf *g, mm__weights *w, mm_error *err);

typedef enum mm__gguf_kind { MM__GGUF_ABSENT, MM__GGUF_INT, MM__GGUF_REAL, MM__GGUF_BOOL, MM__GGUF_STR, MM__GGUF_ARRAY } mm__gguf_kind;
typedef struct mm__gguf_value {
    mm__gguf_kind kind;       /* of the value, or ARRAY */
    mm__gguf_kind elem;       /* of the elements */
    int64_t i;                /* INT, BOOL; unsigned values above INT64_MAX are refused on opening */
    double f;                 /* REAL (and INT as a number) */
    const char *s;            /* STR: bytes, NUL-terminated */
    size_t n;                 /* STR: length; ARRAY: count */
    const void *array;        /* opaque */
} mm__gguf_value;

mm__gguf_value mm__gguf_get(const mm__gguf *g, const char *key);
/* Element i of an array value; ABSENT beyond the end. */
mm__gguf_value mm__gguf_elem(const mm__gguf_value *v, size_t i);
const char *mm__gguf_path(const mm__gguf *g);

#endif

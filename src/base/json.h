/* Read-only JSON documents. Duplicate keys, invalid UTF-8, trailing bytes, and texts over the limits "json_depth" and
 * "json_values" are refused, and the whole memory of a document counts against the limit of `mem`, before a tree exists. Nodes
 * are borrowed from the document. All accessors accept NULL nodes and wrong kinds and return defaults, so a chain of lookups
 * needs one check at its end. */
#ifndef MM__BASE_JSON_H
#define MM__BASE_JSON_H

#include "buf.h"

typedef struct mm__json_doc mm__json_doc;
typedef struct mm__json mm__json; /* one node, opaque */

#define MM__JSON_NULL 0
#define MM__JSON_BOOL 1
#define MM__JSON_INT 2
#define MM__JSON_REAL 3
#define MM__JSON_STRING 4
#define MM__JSON_ARRAY 5
#define MM__JSON_OBJECT 6

/* `what` names the text in error messages (a path, say). */
mm_status mm__json_parse(mm__mem *mem, const char *text, size_t len, const char *what, mm__json_doc **out, mm_error *err);
void mm__json_free(mm__json_doc *doc);
const mm__json *mm__json_root(const mm__json_doc *doc);

int mm__json_kind(const mm__json *v);                    /* MM__JSON_NULL for NULL */
const mm__json *mm__json_get(const mm__json *obj, const char *key);
/* "text_config.rope_scaling.factor": keys joined by dots, array indices as numbers. */
const mm__json *mm__json_path(const mm__json *obj, const char *path);
size_t mm__json_count(const mm__json *v);                /* array elements or object members */
const mm__json *mm__json_at(const mm__json *array, size_t i);
/* Object member i in file order; *key borrowed, *key_len may be NULL. O(1) amortised when i ascends. */
const mm__json *mm__json_member(const mm__json *obj, size_t i, const char **key, size_t *key_len);
const char *mm__json_str(const mm__json *v, size_t *len, const char *fallback);
int64_t mm__json_int(const mm__json *v, int64_t fallback); /* also integral reals */
double mm__json_num(const mm__json *v, double fallback);
bool mm__json_bool(const mm__json *v, bool fallback);
/* Writes a value as compact JSON, members in file order; or the members of an object without its braces. */
void mm__json_write(const mm__json *v, mm__buf *out);
void mm__json_write_members(const mm__json *obj, mm__buf *out);

#endif

/* Hyper-parameters and other facts of a model, whatever file they come from. Two backings: a JSON object (config.json
 * and its nested objects) or the key-values of a GGUF file. Readers name both keys and a range; out of range is an error
 * that names file and key, so parts can trust every value they get. */
#ifndef MM__FILE_CONFIG_H
#define MM__FILE_CONFIG_H

#include "../base/json.h"
#include "gguf.h"

typedef struct mm__config {
    const char *source;       /* path for messages */
    const mm__json *json;     /* the object this part reads, or NULL */
    const mm__gguf *gguf;     /* or the file's key-values */
    const char *arch;         /* GGUF: prefix of keys that start with '.' ("llama"); JSON: model_type of the object */
} mm__config;

/* The nested object at `path` of a JSON config; an absent one gives a config whose every key is missing. */
mm__config mm__config_sub(const mm__config *c, const char *path);

/* A key pair: `json` is a dotted path inside the object (alternatives separated by '|', first hit wins); `gguf` is a key,
 * prefixed by arch when it starts with '.'. Either may be NULL. */
bool mm__config_has(const mm__config *c, const char *json, const char *gguf);
/* Present: checked against [lo, hi]; absent: `fallback`, or an error "missing" when fallback < lo. */
mm_status mm__config_int(const mm__config *c, const char *json, const char *gguf, int64_t fallback, int64_t lo, int64_t hi,
                         int64_t *out, mm_error *err);
/* As above for reals; a NaN fallback means required. */
mm_status mm__config_num(const mm__config *c, const char *json, const char *gguf, double fallback, double lo, double hi,
                         double *out, mm_error *err);
bool mm__config_bool(const mm__config *c, const char *json, const char *gguf, bool fallback);
/* Borrowed string or fallback. */
const char *mm__config_str(const mm__config *c, const char *json, const char *gguf, const char *fallback);
/* Reads up to cap numbers of an array (a scalar counts as one); returns the count, 0 when absent. */
size_t mm__config_array(const mm__config *c, const char *json, const char *gguf, double *out, size_t cap);
/* Element i of an array of strings, NULL when absent. */
const char *mm__config_str_at(const mm__config *c, const char *json, const char *gguf, size_t i);

#endif

/* Files that are made up: right in every size, name and header, random in every weight. For measuring speed, where values do
 * not matter. synthetic.c lists the models and serves their files to the library through mm_files; synthetic_file.c knows
 * the containers. */
#ifndef MM_CLI_SYNTHETIC_H
#define MM_CLI_SYNTHETIC_H

#include "mm.h"

typedef enum element { F32, F16, Q8_0, Q4_0, Q4_K, Q6_K, N_ELEMENTS } element;
typedef enum fill { NOISE, ONES, ZEROS } fill;

typedef struct tensor {
    char name[96];
    element type;
    fill fill;
    uint32_t n;
    uint64_t shape[4];        /* rows first, as in PyTorch */
} tensor;

/* Bytes that grow. */
typedef struct blob { uint8_t *data; size_t n, cap; } blob;
void blob_put(blob *b, const void *p, size_t n);
void blob_u32(blob *b, uint32_t v);
void blob_text(blob *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A stretch of a file: `period` bytes at `data` again and again, or zeros where data is NULL. */
typedef struct stretch { uint64_t at, bytes; const uint8_t *data; size_t period; bool owned; } stretch;
typedef struct made_file { char name[64]; uint64_t bytes; stretch *stretches; size_t n; } made_file;

typedef struct tensors { tensor *items; size_t n; } tensors;
/* Appends a tensor of 1 to 4 axes (0 ends them early); its name as printf makes it. */
void add_tensor(tensors *t, element type, fill with, const uint64_t shape[4], const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* A container's bytes from its header and tensors, both of which are emptied.
 * gguf: `head` holds the n_keys key-values; ggml_bin: all that precedes the tensors; plain: the whole file. */
void gguf_key_text(blob *head, const char *key, const char *value);
void gguf_key_u32(blob *head, const char *key, uint32_t value);
void gguf_key_f32(blob *head, const char *key, float value);
void gguf_key_bool(blob *head, const char *key, bool value);
void gguf_key_array(blob *head, const char *key, uint32_t type, uint64_t n); /* the elements follow */
void gguf_text(blob *head, const char *value);
void finish_gguf(made_file *f, blob *head, uint64_t n_keys, tensors *t);
void finish_safetensors(made_file *f, tensors *t);
void finish_ggml_bin(made_file *f, blob *head, tensors *t);
void finish_plain(made_file *f, blob *head);
void free_file(made_file *f);
/* Exactly n bytes from `offset`. */
void read_made(const made_file *f, uint64_t offset, void *dst, size_t n);

/* The files of model `name` below the folder of that name; NULL and a line on standard error where there is none. One at a time. */
const mm_files *synthetic_files(const char *name, const char **path);
/* Writes them into `folder`; *path: what to open there. 0 or an exit status. */
int synthetic_keep(const char *name, const char *folder, char *path, size_t cap);
void synthetic_free(void);
/* Prints one line a model. */
void synthetic_list(FILE *to);

#endif

/* A set of named tensors in one or more files: name -> dtype, shape, place. No data are held; reading goes through
 * mm__io at the moment of use, with the extent checked again. Names are as the files write them; which name means what is
 * the business of the parts. */
#ifndef MM__FILE_WEIGHTS_H
#define MM__FILE_WEIGHTS_H

#include "../base/io.h"
#include "../tensor/shape.h"

typedef struct mm__weights mm__weights;

typedef struct mm__weight {
    const char *name;
    mm__dtype dtype;
    mm__shape shape;          /* PyTorch order; GGUF's reversed dims are already turned */
    uint64_t offset;          /* in io */
    size_t bytes;
    mm__io *io;
} mm__weight;

mm_status mm__weights_create(mm__mem *mem, mm__weights **out, mm_error *err);
void mm__weights_destroy(mm__weights *w);
/* Gives the files of the set back; names, types and shapes stay. */
void mm__weights_shut(mm__weights *w);
/* Takes over `io`: it is closed with the set. */
mm_status mm__weights_own_io(mm__weights *w, mm__io *io, mm_error *err);
/* Adds an entry after checking bytes == size of shape and offset + bytes <= size of io. A second entry of one name is
 * MM_E_FORMAT. The name is copied. */
mm_status mm__weights_add(mm__weights *w, const char *name, size_t name_len, mm__dtype t, mm__shape s, mm__io *io,
                          uint64_t offset, size_t bytes, mm_error *err);
/* Gives an existing entry a second name. */
mm_status mm__weights_alias(mm__weights *w, const char *alias, const char *target, mm_error *err);
size_t mm__weights_count(const mm__weights *w);
const mm__weight *mm__weights_at(const mm__weights *w, size_t i);
const mm__weight *mm__weights_find(const mm__weights *w, const char *name);
/* True when some name starts with `prefix`. */
bool mm__weights_any(const mm__weights *w, const char *prefix);
/* n bytes from byte `from` of the tensor. */
mm_status mm__weight_read(const mm__weight *t, size_t from, void *dst, size_t n, mm_error *err);

/* Container readers that fill a set. */
mm_status mm__safetensors_add(const mm__files *files, const char *path, mm__weights *w, mm_error *err);
/* model.safetensors, or every shard of model.safetensors.index.json. */
mm_status mm__safetensors_add_dir(const mm__files *files, const char *dir, mm__weights *w, mm_error *err);
/* One file with one F32 tensor per entry, for stage dumps. */
mm_status mm__safetensors_write(mm__mem *mem, const char *path, const char *const *names, const mm__view *tensors, size_t n,
                                mm_error *err);

#endif

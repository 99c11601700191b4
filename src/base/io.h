/* Reading, from a path, from memory or from the host's callbacks, behind one handle. Positions are absolute, reads are
 * exact: a short read is an error that names the source and the place. Thread-safe (pread, and the host's promise).
 *
 * An mm__files says whose files a path names: the operating system's, the host's, or a single one that lies in memory. */
#ifndef MM__BASE_IO_H
#define MM__BASE_IO_H

#include "limits.h"

typedef struct mm__io mm__io;

typedef struct mm__files {
    mm__mem *mem;
    mm_files host;            /* open NULL: the operating system's files */
    const char *name;         /* not NULL: the only file there is, `n` borrowed bytes under this path */
    const void *bytes;
    size_t n;
} mm__files;

mm_status mm__io_open_path(const mm__files *files, const char *path, mm__io **out, mm_error *err);
/* Borrows bytes; they must outlive the handle. */
mm_status mm__io_open_memory(mm__mem *mem, const void *bytes, size_t len, const char *name, mm__io **out, mm_error *err);
void mm__io_close(mm__io *io);
/* Gives the file back but keeps the handle, for its name and size; reading is MM_E_INTERNAL from here on. */
void mm__io_shut(mm__io *io);
uint64_t mm__io_size(const mm__io *io);
const char *mm__io_name(const mm__io *io);
mm_status mm__io_read(mm__io *io, uint64_t offset, void *dst, size_t n, mm_error *err);
/* Whole content, NUL-terminated behind *len, refused where it is over the limit; mm__free it. */
mm_status mm__io_read_all(mm__mem *mem, mm__io *io, mm__limit_id limit, char **out, size_t *len, mm_error *err);
mm_status mm__read_file(const mm__files *files, const char *path, mm__limit_id limit, char **out, size_t *len, mm_error *err);

/* Kind of what lies at a path, with the values of MM_FILE_*. */
#define MM__PATH_NONE 0
#define MM__PATH_FILE 1
#define MM__PATH_DIR 2
int mm__path_kind(const mm__files *files, const char *path);
/* dir + "/" + name in a new block. */
char *mm__path_join(mm__mem *mem, const char *dir, const char *name);
/* Directory part of a path ("." when there is none), in a new block; last component, borrowed. */
char *mm__path_dir(mm__mem *mem, const char *path);
const char *mm__path_base(const char *path);
/* A file name taken from a file's content: letters, digits, ". _ -" only, no leading dot, <= 255 bytes. */
bool mm__path_safe_name(const char *name);
/* First directory entry, in sorted order, whose name starts with `prefix` and ends with `suffix`: a new block in *out, or
 * NULL when there is none, as in a directory that is not there or may not be listed. MM_E_IO, MM_E_NOMEM. */
mm_status mm__path_find(const mm__files *files, const char *dir, const char *prefix, const char *suffix, char **out, mm_error *err);

#endif

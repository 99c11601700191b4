/* Writing a file of the operating system as a whole or not at all: into a file beside it, which takes its name at the end. */
#ifndef MM__BASE_NEWFILE_H
#define MM__BASE_NEWFILE_H

#include "alloc.h"

typedef struct mm__newfile {
    mm__mem *mem;
    char *path, *part;        /* what is being written, and where it is until then */
    int fd;
} mm__newfile;

/* On failure there is nothing to close. */
mm_status mm__newfile_open(mm__mem *mem, const char *path, mm__newfile *out, mm_error *err);
mm_status mm__newfile_write(mm__newfile *out, const void *bytes, size_t n, mm_error *err);
/* `st`: how the writing went; unless it is MM_OK the old file stays. Returns it, or what went wrong here. */
mm_status mm__newfile_close(mm__newfile *out, mm_status st, mm_error *err);

#endif

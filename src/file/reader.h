/* A forward reader with a small buffer, for containers whose directory lies scattered between the data. Every read is
 * checked against the end of the file first. One thread at a time. */
#ifndef MM__FILE_READER_H
#define MM__FILE_READER_H

#include "../base/io.h"

typedef struct mm__reader {
    mm__io *io;
    uint64_t at, size;    /* next byte; bytes of the file */
    uint64_t have, have_n; /* what buf holds: place and count */
    uint8_t buf[4096];
} mm__reader;

void mm__reader_init(mm__reader *r, mm__io *io);
static inline uint64_t mm__reader_left(const mm__reader *r) { return r->size - r->at; }
mm_status mm__reader_bytes(mm__reader *r, void *dst, size_t n, mm_error *err);
mm_status mm__reader_skip(mm__reader *r, uint64_t n, mm_error *err);
/* Little-endian integers. */
mm_status mm__reader_u8(mm__reader *r, uint8_t *out, mm_error *err);
mm_status mm__reader_u16(mm__reader *r, uint16_t *out, mm_error *err);
mm_status mm__reader_u32(mm__reader *r, uint32_t *out, mm_error *err);
/* A two's complement number in [lo, hi]; `what` names it in the error. */
mm_status mm__reader_i32(mm__reader *r, const char *what, int32_t lo, int32_t hi, int32_t *out, mm_error *err);

#endif

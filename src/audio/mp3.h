/* MP3 files, block by block. */
#ifndef MM__AUDIO_MP3_H
#define MM__AUDIO_MP3_H

#include "../base/alloc.h"

typedef struct mm__mp3 mm__mp3;

/* The bytes are borrowed until the close. MM_E_MEDIA when nothing in them can be played. */
mm_status mm__mp3_open(mm__mem *mem, const uint8_t *bytes, size_t len, const char *what, mm__mp3 **out, int32_t *rate,
                       int32_t *channels, mm_error *err);
void mm__mp3_close(mm__mp3 *m);
/* Up to `frames` interleaved samples of each channel, in -1..1. 0 at the end, -1 when rate or channels change there. */
int64_t mm__mp3_read(mm__mp3 *m, float *to, int64_t frames);
/* After the end: whether the file stopped before it should have, given the frames that were read. */
bool mm__mp3_cut(const mm__mp3 *m, int64_t frames);

#endif

/* Power spectra of several real frames at once, in double precision. */
#ifndef MM__AUDIO_FFT_H
#define MM__AUDIO_FFT_H

#include "../base/alloc.h"

#define MM__FFT_BATCH 8 /* frames per call */

typedef struct mm__fft mm__fft; /* tables for one size; immutable */

/* n: even, 4..65536, with no prime factor above 5. MM_E_UNSUPPORTED otherwise. */
mm_status mm__fft_create(mm__mem *mem, int32_t n, mm__fft **out, mm_error *err);
void mm__fft_destroy(mm__fft *f);
/* Doubles of working memory mm__fft_power needs. */
size_t mm__fft_work(const mm__fft *f);
/* frames: [n][MM__FFT_BATCH]; power: [n/2 + 1][MM__FFT_BATCH]. `frames` is overwritten. */
void mm__fft_power(const mm__fft *f, double *frames, double *work, double *power);

#endif

/* Sample-rate conversion of mono sound. */
#ifndef MM__AUDIO_RESAMPLE_H
#define MM__AUDIO_RESAMPLE_H

#include "audio.h"

/* Replaces s->data, n and rate. ceil(n * rate / s->rate) samples come out. Both rates are at most 768000 (a table of taps is in
 * proportion to how they relate). MM_E_NOMEM. */
mm_status mm__audio_resample(mm__samples *s, int32_t rate, mm_error *err);

#endif

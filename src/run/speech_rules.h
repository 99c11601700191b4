/* Which tokens a transcription may say next: the filters of Radford et al. 2022 (openai/whisper decoding.py), in their
 * order - blanks at the start, suppressed ids, timestamp grammar. */
#ifndef MM__RUN_SPEECH_RULES_H
#define MM__RUN_SPEECH_RULES_H

#include "../assembly/assembly.h"

/* Sets the logits of forbidden ids to -infinity. `said`: tokens sampled so far in this window. */
void mm__speech_filter(const mm__speech_policy *p, float *logits, int32_t n_vocab, const int32_t *said, size_t n_said, bool timestamps);

#endif

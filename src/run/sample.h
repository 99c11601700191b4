/* Choosing the next token from logits. Order: repeat penalty, top-k, temperature, top-p, min-p, draw. Greedy when the
 * temperature is 0. The draw depends on (seed, index) only. */
#ifndef MM__RUN_SAMPLE_H
#define MM__RUN_SAMPLE_H

#include "../base/alloc.h"

typedef struct mm__sampler {
    float temperature, top_p, min_p, repeat_penalty;
    uint32_t top_k;
    uint64_t seed;
} mm__sampler;

/* `history`: ids a repeat penalty applies to. Works on a copy of the logits. MM_E_NUMERIC when no logit is finite. */
mm_status mm__sample(mm__mem *mem, const mm__sampler *p, const float *logits, int32_t n, const int32_t *history, size_t n_history,
                     uint64_t index, int32_t *id, mm_error *err);
int32_t mm__argmax(const float *logits, int32_t n);
/* log(sum(exp)) of the logits. */
double mm__log_sum_exp(const float *logits, int32_t n);
/* The k most likely ids with their log-probabilities, most likely first; returns how many. */
size_t mm__top_logprobs(const float *logits, int32_t n, double lse, mm_logprob *out, size_t k);

#endif

/* Sampling. Candidates are kept as (id, logit) pairs; filters shorten the list, never the distribution's order. */
#include "sample.h"

#include "../base/error.h"
#include "../base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct candidate { int32_t id; float logit; } candidate;

int32_t mm__argmax(const float *logits, int32_t n)
{
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

double mm__log_sum_exp(const float *logits, int32_t n)
{
    const float top = logits[mm__argmax(logits, n)];
    double sum = 0;
    for (int32_t i = 0; i < n; i++) sum += exp((double)logits[i] - top);
    return top + log(sum);
}

size_t mm__top_logprobs(const float *logits, int32_t n, double lse, mm_logprob *out, size_t k)
{
    size_t m = 0;
    for (int32_t i = 0; i < n; i++) {
        const float lp = (float)(logits[i] - lse);
        if (m == k && (k == 0 || lp <= out[m - 1].logprob)) continue;
        size_t at = m < k ? m++ : m - 1;
        while (at > 0 && out[at - 1].logprob < lp) {
            out[at] = out[at - 1];
            at--;
        }
        out[at] = (mm_logprob){i, lp};
    }
    return m;
}

static int by_logit(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->logit != y->logit) return x->logit < y->logit ? 1 : -1;
    return x->id < y->id ? -1 : 1; /* a total order, so the result does not depend on the sort */
}

static void penalise(candidate *c, int32_t n, const int32_t *history, size_t n_history, float penalty)
{
    for (size_t i = 0; i < n_history; i++) {
        const int32_t id = history[i];
        bool seen = id < 0 || id >= n;
        for (size_t j = 0; j < i && !seen; j++) seen = history[j] == id;
        if (!seen) c[id].logit = c[id].logit > 0 ? c[id].logit / penalty : c[id].logit * penalty;
    }
}

/* Probabilities of the sorted candidates at the temperature, then the cuts; returns how many stay. */
static int32_t filter(const candidate *c, int32_t n, const mm__sampler *p, float *prob)
{
    double sum = 0;
    for (int32_t i = 0; i < n; i++) sum += prob[i] = expf((c[i].logit - c[0].logit) / p->temperature);
    double mass = 0;
    int32_t keep = 0;
    while (keep < n) {
        const bool enough = p->top_p < 1 && keep > 0 && mass >= p->top_p;
        if (enough || prob[keep] < p->min_p * prob[0]) break;
        mass += prob[keep++] / sum;
    }
    return keep;
}

static int32_t draw(const candidate *c, const float *prob, int32_t n, double u)
{
    double sum = 0, acc = 0;
    for (int32_t i = 0; i < n; i++) sum += prob[i];
    for (int32_t i = 0; i < n; i++)
        if ((acc += prob[i]) > u * sum) return c[i].id;
    return c[n - 1].id;
}

mm_status mm__sample(mm__mem *mem, const mm__sampler *p, const float *logits, int32_t n, const int32_t *history, size_t n_history,
                     uint64_t index, int32_t *id, mm_error *err)
{
    const int32_t top = mm__argmax(logits, n);
    if (!isfinite(logits[top])) return mm__fail(err, MM_E_NUMERIC, "the model produced no finite logit");
    const bool penalty = p->repeat_penalty != 1.0f && p->repeat_penalty > 0 && n_history;
    if (p->temperature <= 0 && !penalty) {
        *id = top;
        return MM_OK;
    }
    candidate *c = mm__calloc(mem, (size_t)n, sizeof *c);
    float *prob = mm__calloc(mem, (size_t)n, sizeof *prob);
    mm_status st = MM_OK;
    if (!c || !prob) {
        st = mm__nomem(err, "a sampler");
        goto done;
    }
    for (int32_t i = 0; i < n; i++) c[i] = (candidate){i, isnan(logits[i]) ? -INFINITY : logits[i]};
    if (penalty) penalise(c, n, history, n_history, p->repeat_penalty);
    qsort(c, (size_t)n, sizeof *c, by_logit);
    *id = c[0].id;
    if (p->temperature > 0) {
        int32_t keep = p->top_k && p->top_k < (uint32_t)n ? (int32_t)p->top_k : n;
        keep = filter(c, keep, p, prob);
        *id = draw(c, prob, keep, mm__rng_unit(p->seed, index));
    }
done:
    mm__free(mem, c);
    mm__free(mem, prob);
    return st;
}

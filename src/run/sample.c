/* Sampling. Candidates are kept as (id, logit) pairs; filters shorten the list, never the distribution's order. */
#include "sample.h"

#include "../base/error.h"
#include "../base/rng.h"

#include <math.h>
#include <string.h>

#define NEGLIGIBLE 40.0f /* nats */

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

/* A total order, so the result does not depend on how it is sorted. */
static bool before(const candidate *x, const candidate *y)
{
    return x->logit != y->logit ? x->logit > y->logit : x->id < y->id;
}

/* Most likely first: a heap whose root is the least likely, taken apart from the end. In place, without memory of its own. */
static void sink(candidate *c, int32_t at, int32_t n)
{
    for (int32_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && before(&c[child], &c[child + 1])) child++;
        if (!before(&c[at], &c[child])) return;
        const candidate t = c[at];
        c[at] = c[child];
        c[child] = t;
    }
}

static void sort(candidate *c, int32_t n)
{
    for (int32_t i = n / 2 - 1; i >= 0; i--) sink(c, i, n);
    for (int32_t i = n - 1; i > 0; i--) {
        const candidate t = c[0];
        c[0] = c[i];
        c[i] = t;
        sink(c, 0, i);
    }
}

/* Each id of the history once. */
static mm_status penalise(mm__mem *mem, candidate *c, int32_t n, const int32_t *history, size_t n_history, float penalty, mm_error *err)
{
    bool *seen = mm__calloc(mem, (size_t)n, sizeof *seen);
    if (!seen) return mm__nomem(err, "a sampler");
    for (size_t i = 0; i < n_history; i++) {
        const int32_t id = history[i];
        if (id < 0 || id >= n || seen[id]) continue;
        seen[id] = true;
        c[id].logit = c[id].logit > 0 ? c[id].logit / penalty : c[id].logit * penalty;
    }
    mm__free(mem, seen);
    return MM_OK;
}

/* Drops what could not be drawn anyway - below exp(-NEGLIGIBLE) of the most likely - so that the sort is short. Returns how
 * many stay; *best is the most likely. */
static int32_t shorten(candidate *c, int32_t n, float temperature, candidate *best)
{
    int32_t keep = 0;
    *best = c[0];
    for (int32_t i = 1; i < n; i++)
        if (before(&c[i], best)) *best = c[i];
    for (int32_t i = 0; i < n; i++)
        if (c[i].logit >= best->logit - NEGLIGIBLE * temperature) c[keep++] = c[i];
    return keep;
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

static bool any_nan(const float *logits, int32_t n)
{
    bool any = false;
    for (int32_t i = 0; i < n; i++) any |= isnan(logits[i]);
    return any;
}

mm_status mm__sample(mm__mem *mem, const mm__sampler *p, const float *logits, int32_t n, const int32_t *history, size_t n_history,
                     uint64_t index, int32_t *id, mm_error *err)
{
    const int32_t top = mm__argmax(logits, n);
    /* -infinity is a word that cannot come; anything else that is not a number spoils the whole distribution. */
    if (any_nan(logits, n) || !isfinite(logits[top])) return mm__fail(err, MM_E_NUMERIC, "the model produced logits that are not numbers");
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
    for (int32_t i = 0; i < n; i++) c[i] = (candidate){i, logits[i]};
    if (penalty && (st = penalise(mem, c, n, history, n_history, p->repeat_penalty, err)) != MM_OK) goto done;
    candidate best;
    int32_t keep = shorten(c, n, p->temperature, &best);
    *id = best.id;
    if (p->temperature > 0) {
        sort(c, keep);
        if (p->top_k && p->top_k < (uint32_t)keep) keep = (int32_t)p->top_k;
        keep = filter(c, keep, p, prob);
        *id = draw(c, prob, keep, mm__rng_unit(p->seed, index));
    }
done:
    mm__free(mem, c);
    mm__free(mem, prob);
    return st;
}

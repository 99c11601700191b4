/* The timestamp grammar: timestamps come in pairs (end of one segment, start of the next), never run backwards, one opens
 * every window, and when all timestamps together are more likely than any text, a timestamp is due. */
#include "speech_rules.h"

#include <math.h>

static void forbid(float *logits, int32_t n_vocab, int32_t from, int32_t to)
{
    for (int32_t i = from < 0 ? 0 : from; i < to && i < n_vocab; i++) logits[i] = -INFINITY;
}

static void forbid_list(float *logits, int32_t n_vocab, const int32_t *ids, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        if (ids[i] < n_vocab) logits[ids[i]] = -INFINITY;
}

/* log(sum(exp)) over [from, to) against the largest logit of [0, from): the common normaliser cancels. */
static bool timestamp_due(const float *logits, int32_t n_vocab, int32_t begin)
{
    float top_text = -INFINITY, top = -INFINITY;
    for (int32_t i = 0; i < begin; i++) top_text = fmaxf(top_text, logits[i]);
    for (int32_t i = begin; i < n_vocab; i++) top = fmaxf(top, logits[i]);
    if (!isfinite(top)) return false;
    double sum = 0;
    for (int32_t i = begin; i < n_vocab; i++) sum += exp((double)logits[i] - top);
    return top + log(sum) > top_text;
}

static void order_rules(const mm__speech_policy *p, float *logits, int32_t n_vocab, const int32_t *said, size_t n)
{
    const int32_t begin = p->timestamp_begin;
    const bool last = n > 0 && said[n - 1] >= begin;
    const bool before = n < 2 || said[n - 2] >= begin;
    if (last && before) forbid(logits, n_vocab, begin, n_vocab);
    else if (last) forbid(logits, n_vocab, 0, p->eot);
    int32_t latest = -1;
    for (size_t i = 0; i < n; i++)
        if (said[i] >= begin) latest = said[i];
    if (latest >= 0) forbid(logits, n_vocab, begin, last && !before ? latest : latest + 1);
}

void mm__speech_filter(const mm__speech_policy *p, float *logits, int32_t n_vocab, const int32_t *said, size_t n_said, bool timestamps)
{
    if (n_said == 0) forbid_list(logits, n_vocab, p->begin_suppress, p->n_begin_suppress);
    forbid_list(logits, n_vocab, p->suppress, p->n_suppress);
    if (!timestamps) return;
    const int32_t begin = p->timestamp_begin;
    forbid(logits, n_vocab, p->no_timestamps, p->no_timestamps + 1);
    order_rules(p, logits, n_vocab, said, n_said);
    if (n_said == 0) {
        forbid(logits, n_vocab, 0, begin);
        if (p->max_initial_timestamp >= 0) forbid(logits, n_vocab, begin + p->max_initial_timestamp + 1, n_vocab);
    }
    if (timestamp_due(logits, n_vocab, begin)) forbid(logits, n_vocab, 0, begin);
}

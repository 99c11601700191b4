/* The event queue. Records own their text, values and ids; popping frees the previous record. */
#include "event.h"

#include <string.h>

static void event_free(mm__mem *mem, mm__event *e)
{
    mm__free(mem, e->text);
    mm__free(mem, e->values);
    mm__free(mem, e->ids);
    mm__free(mem, e->top);
    *e = (mm__event){0};
}

void mm__queue_init(mm__queue *q, mm__mem *mem)
{
    *q = (mm__queue){.mem = mem};
}

void mm__queue_clear(mm__queue *q)
{
    for (size_t i = q->first; i < q->n; i++) event_free(q->mem, &q->items[i]);
    q->first = q->n = 0;
}

void mm__queue_free(mm__queue *q)
{
    mm__queue_clear(q);
    event_free(q->mem, &q->current);
    mm__free(q->mem, q->items);
    *q = (mm__queue){0};
}

mm__event *mm__queue_push(mm__queue *q, uint32_t kind, const char *text, size_t len)
{
    if (q->first == q->n) q->first = q->n = 0;
    if (!mm__grow(q->mem, &q->items, q->n, &q->cap, sizeof *q->items)) return NULL;
    char *copy = mm__strndup(q->mem, text ? text : "", len);
    if (!copy) return NULL;
    mm__event *e = &q->items[q->n++];
    *e = (mm__event){.text = copy};
    e->pub.kind = kind;
    e->pub.id = -1;
    e->pub.data = copy;
    e->pub.len = len;
    return e;
}

static void *copy_block(mm__mem *mem, const void *p, size_t n, size_t each)
{
    void *r = mm__calloc(mem, n, each);
    if (r && n) memcpy(r, p, n * each);
    return r;
}

bool mm__event_ids(mm__queue *q, mm__event *e, const int32_t *ids, size_t n)
{
    if (!e || !(e->ids = copy_block(q->mem, ids, n, sizeof *ids))) return false;
    e->pub.ids = e->ids;
    e->pub.n_ids = n;
    return true;
}

bool mm__event_values(mm__queue *q, mm__event *e, const float *values, size_t n)
{
    if (!e || !(e->values = copy_block(q->mem, values, n, sizeof *values))) return false;
    e->pub.values = e->values;
    e->pub.n_values = n;
    return true;
}

bool mm__event_top(mm__queue *q, mm__event *e, const mm_logprob *top, size_t n)
{
    if (!e || !(e->top = copy_block(q->mem, top, n, sizeof *top))) return false;
    e->pub.top = e->top;
    e->pub.n_top = n;
    return true;
}

bool mm__queue_pop(mm__queue *q, mm_event *out)
{
    if (q->first == q->n) return false;
    event_free(q->mem, &q->current);
    q->current = q->items[q->first++];
    const uint32_t size = out->size;
    const size_t known = size < sizeof q->current.pub ? size : sizeof q->current.pub;
    q->current.pub.size = size;
    memcpy(out, &q->current.pub, known);
    return true;
}

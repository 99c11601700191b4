/* Events on their way to the host: a queue of owned records. What mm_event borrows belongs to the record that was popped
 * last. */
#ifndef MM__RUN_EVENT_H
#define MM__RUN_EVENT_H

#include "../base/alloc.h"

typedef struct mm__event {
    mm_event pub;             /* pointers into the blocks below */
    char *text;
    float *values;
    int32_t *ids;
    mm_logprob *top;
} mm__event;

typedef struct mm__queue {
    mm__mem *mem;
    mm__event *items;
    size_t first, n, cap;     /* items[first .. n) are waiting */
    mm__event current;
} mm__queue;

void mm__queue_init(mm__queue *q, mm__mem *mem);
void mm__queue_free(mm__queue *q);
void mm__queue_clear(mm__queue *q);
/* Appends an event of `kind` with copies of what is given (NULL, 0: none). Returns it for further fields, valid until the
 * next push; NULL when memory is short. */
mm__event *mm__queue_push(mm__queue *q, uint32_t kind, const char *text, size_t len);
bool mm__event_ids(mm__queue *q, mm__event *e, const int32_t *ids, size_t n);
bool mm__event_values(mm__queue *q, mm__event *e, const float *values, size_t n);
bool mm__event_top(mm__queue *q, mm__event *e, const mm_logprob *top, size_t n);
/* Moves the first waiting event into `current` and copies its public half; false when none waits. */
bool mm__queue_pop(mm__queue *q, mm_event *out);

#endif

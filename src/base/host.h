/* Calls out of the library. Every call of a function that the host gave (allocator, log, files, executor, progress, write)
 * stands between mm__host_enter and mm__host_leave, so that api/ can refuse to be called from inside one: the caller may hold
 * half-made state. The depth belongs to the thread and needs no clean-up when the library is unloaded. */
#ifndef MM__BASE_HOST_H
#define MM__BASE_HOST_H

#include <stdbool.h>

extern _Thread_local int mm__host_depth;

static inline void mm__host_enter(void)
{
    mm__host_depth++;
}
static inline void mm__host_leave(void)
{
    mm__host_depth--;
}
static inline bool mm__host_inside(void)
{
    return mm__host_depth > 0;
}

#endif

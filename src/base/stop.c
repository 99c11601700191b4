#include "stop.h"

#include <stddef.h>

bool mm__told_to_stop(const atomic_int *cancel)
{
    return cancel != NULL && atomic_load_explicit(cancel, memory_order_relaxed) != 0;
}

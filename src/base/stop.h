/* The one place where a flag is read that tells work to stop, so that a test can stop it at each. */
#ifndef MM__BASE_STOP_H
#define MM__BASE_STOP_H

#include <stdatomic.h>
#include <stdbool.h>

/* Whether *cancel was set; NULL is a flag that nobody sets. What else the setter wrote is not yet to be seen. [any] */
bool mm__told_to_stop(const atomic_int *cancel);

#endif

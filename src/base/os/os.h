/* The platform: threads, clock, files, processor count. The only room with platform ifdefs. */
#ifndef MM__BASE_OS_H
#define MM__BASE_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

double mm__os_now(void);               /* monotonic seconds */
int64_t mm__os_wall(void);             /* seconds since 1970, UTC */
int mm__os_cores(void);                /* physical cores this process may use, >= 1 */
int mm__os_cpus(void);                 /* logical processors this process may use, >= 1 */
int64_t mm__os_process(void);          /* number of this process; another one after a fork */
uint64_t mm__os_random(void);          /* unpredictable bits for hash seeds; not for keys */

/* Asks for large pages behind fresh memory: weights are read in long streams, which stop at every page otherwise. A hint. */
void mm__os_large_pages(void *p, size_t bytes);

typedef struct mm__mutex { _Alignas(8) unsigned char opaque[64]; } mm__mutex;
typedef struct mm__cond { _Alignas(8) unsigned char opaque[64]; } mm__cond;
typedef struct mm__thread { _Alignas(8) unsigned char opaque[32]; } mm__thread; /* stays in place until joined */

bool mm__mutex_init(mm__mutex *m);
void mm__mutex_destroy(mm__mutex *m);
void mm__mutex_lock(mm__mutex *m);
void mm__mutex_unlock(mm__mutex *m);
bool mm__cond_init(mm__cond *c);
void mm__cond_destroy(mm__cond *c);
void mm__cond_wait(mm__cond *c, mm__mutex *m);
void mm__cond_wait_for(mm__cond *c, mm__mutex *m, double seconds); /* or less */
void mm__cond_broadcast(mm__cond *c);
/* The new thread receives no signals of the host. */
bool mm__thread_start(mm__thread *t, void (*fn)(void *), void *arg);
void mm__thread_join(mm__thread *t);
void mm__os_pause(void);               /* spin hint */

/* From here on this thread, and no other, reads and writes numbers with a point, whatever locale the host has chosen; until
 * mm__os_point_end gets what this returned. */
void *mm__os_point_begin(void);
void mm__os_point_end(void *before);

/* Files; -1 and errno on failure. Opening never blocks, not even on a pipe. */
int mm__os_open(const char *path);
int mm__os_create(const char *path);   /* for writing; an existing file is emptied */
int mm__os_create_like(const char *path, const char *other); /* with the permissions of `other`, if that is there */
bool mm__os_write(int fd, const void *p, size_t n);
bool mm__os_close(int fd);             /* false: what was written may not have arrived */
bool mm__os_sync(int fd);              /* until the file's content is on its medium */
bool mm__os_rename(const char *from, const char *to); /* replaces `to` in one step, for good */
void mm__os_remove(const char *path);
int64_t mm__os_size(int fd);           /* regular files only, else -1 */
int64_t mm__os_pread(int fd, void *dst, size_t n, uint64_t offset); /* short only at the end of the file */
/* 1 directory, 0 something else, -1 nothing there. What cannot be looked at counts as something: opening it says why. */
int mm__os_is_dir(const char *path);
/* Calls each(arg, name) for every entry of a directory except "." and "..", in no particular order. False and
 * errno when the list is not whole. */
bool mm__os_list(const char *dir, void (*each)(void *arg, const char *name), void *arg);

/* A shared library of the system, found as the dynamic linker finds it; NULL when there is none or a symbol is missing. */
void *mm__os_library(const char *name);
void *mm__os_symbol(void *library, const char *name);
void mm__os_library_close(void *library); /* NULL allowed */
/* How many libraries the process has loaded; those that were loaded since there were `before` stay loaded from now on, whoever
 * closes them. For libraries, and what they load in their turn, that cannot be loaded any number of times. */
size_t mm__os_libraries(void);
void mm__os_libraries_keep(size_t before);

#endif

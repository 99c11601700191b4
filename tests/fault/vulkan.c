/* A Vulkan device that fails while a model loads on it and answers twice: the N-th call of the driver that can report an error does,
 * or all from there on do, or nothing that is waited for ever ends. The program is linked with --wrap=dlsym, which leads the library
 * to functions that stand before the driver (vulkan.h), and with --wrap=clock_gettime, so that waits without end take no time.
 *
 * Expected of a failure: MM_E_DEVICE or MM_E_NOMEM with one sentence, and nothing left behind. Where the device is not lost, the same
 * engine, model and session go on where they stopped, with the usual answers. Where it is, the session is saved, and the processor
 * gives the answers that are missing. A session of another engine on the same device answers as before. A sixteenth of all N by
 * default, each in one of the ways to fail, both as the seed chooses; every N in every way, and of one model more,
 * with -a. */
#include "fault.h"
#include "vulkan.h"

#include <time.h>

typedef struct way {
    VkResult error;
    bool from_on, never_done; /* as in vulkan.h */
    bool lost;                /* the device is gone for its engine */
    const char *what;
} way;

static const way ways[] = {
    {VK_ERROR_DEVICE_LOST, .from_on = true, .lost = true, .what = "the device is lost"},
    {VK_ERROR_OUT_OF_DEVICE_MEMORY, .what = "no memory of the device"},
    {VK_ERROR_OUT_OF_HOST_MEMORY, .from_on = true, .what = "no memory of the host from there on"},
    {VK_ERROR_INITIALIZATION_FAILED, .what = "it fails"},
    {VK_TIMEOUT, .from_on = true, .never_done = true, .lost = true, .what = "no wait ends from there on"},
};

enum { N_WAYS = sizeof ways / sizeof *ways };

/* ---- between the library and the system ---- */

void *__real_dlsym(void *library, const char *name);
void *__wrap_dlsym(void *library, const char *name);
int __real_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_clock_gettime(clockid_t id, struct timespec *t);

void *__wrap_dlsym(void *library, const char *name)
{
    void *found = __real_dlsym(library, name);
    if (!found || strcmp(name, "vkGetInstanceProcAddr") != 0) return found;
    shim.driver = (PFN_vkGetInstanceProcAddr)found;
    return (void *)shim_proc;
}

int __wrap_clock_gettime(clockid_t id, struct timespec *t)
{
    const int rc = __real_clock_gettime(id, t);
    t->tv_sec += (time_t)shim.waited;
    return rc;
}

/* w NULL: nothing fails. Counting starts again. */
static void arm(const way *w, long at)
{
    shim.at = 0;
    shim.fail_at = w ? (int)at : 0;
    shim.error = w ? w->error : VK_SUCCESS;
    shim.from_on = w && w->from_on;
    shim.never_done = w && w->never_done;
    shim.waited = 0.0;
}

/* What a device holds that counts as hung is never taken apart, for it might be in use; here it is known not to be. */
static void end_hung(int memories)
{
    const PFN_vkDestroyDevice end = (PFN_vkDestroyDevice)shim.get_device(shim.device, "vkDestroyDevice");
    const PFN_vkDestroyInstance end_instance = (PFN_vkDestroyInstance)shim.driver(shim.instance, "vkDestroyInstance");
    end(shim.device, NULL);
    end_instance(shim.instance, NULL);
    shim.memories = memories;
}

/* ---- a life ---- */

enum { TURNS = 2 };

typedef struct being {
    mm_engine *e;
    mm_model *m;
    mm_session *s;
    facts f;
    int turns;                /* answers that were given */
    uint64_t hash[TURNS];
} being;

static mm_status open_engine(const char *device, mm_engine **out, mm_error *err)
{
    mm_engine_options o;
    mm_engine_options_init(&o, sizeof o);
    o.n_threads = 1;
    o.allocator = &counting;
    o.precision = MM_PRECISION_EXACT;
    o.device = device;
    return mm_engine_create(&o, out, err);
}

/* Goes on from where it stopped, to the last answer. */
static mm_status live(being *b, const char *device, const char *path, mm_error *err)
{
    mm_status st = b->e ? MM_OK : open_engine(device, &b->e, err);
    if (st == MM_OK && !b->m) st = mm_model_load(b->e, path, NULL, &b->m, err);
    if (st == MM_OK) b->f = facts_of(b->m);
    if (st == MM_OK && !b->s) st = open_session(b->m, &b->f, TOKENS, &b->s, err);
    for (; st == MM_OK && b->turns < TURNS; b->turns += st == MM_OK) st = answer(b->e, &b->f, b->s, &b->hash[b->turns], err);
    return st;
}

static void end_session(being *b)
{
    mm_session_release(b->s);
    b->s = NULL;
    b->turns = 0;
}

static void end(being *b)
{
    end_session(b);
    mm_model_release(b->m);
    mm_engine_release(b->e);
    *b = (being){0};
}

/* ---- one case ---- */

static being processor, beside; /* beside: on the same device, in an engine of its own */
static uint64_t want[TURNS];

static void check_answers(const being *b, mm_status st, const mm_error *err, const char *who)
{
    check(st == MM_OK && b->turns == TURNS && !memcmp(b->hash, want, sizeof want), "%s: %s \"%s\"%s", who, mm_status_name(st), err->text,
          st == MM_OK ? ", another answer" : "");
}

/* Another being gives its answers, and its session ends. */
static void check_other(being *b, const char *path, const char *who)
{
    mm_error err = {.size = sizeof err};
    const mm_status st = live(b, NULL, path, &err);
    check_answers(b, st, &err, who);
    end_session(b);
}

/* The processor takes over a session from its last answer. */
static void take_over(const being *b, const char *path)
{
    blob file = {0};
    mm_error err = {.size = sizeof err};
    mm_status st = mm_session_save(b->s, keep_written, &file, &err);
    check(st == MM_OK, "saving: %s \"%s\"", mm_status_name(st), err.text);
    if (st == MM_OK) st = mm_session_load(processor.m, file.p, file.n, &processor.s, &err);
    check(st == MM_OK, "opening: %s \"%s\"", mm_status_name(st), err.text);
    free(file.p);
    if (st != MM_OK) return;
    processor.turns = b->turns;
    memcpy(processor.hash, b->hash, sizeof processor.hash);
    check_other(&processor, path, "the processor goes on");
}

static void try_failure(const char *path, const way *w, long at)
{
    const long before = atomic_load(&mem_live);
    const int files = open_files(), memories = shim.memories;
    mm_error err = {.size = sizeof err};
    being b = {0};
    arm(w, at);
    mm_status st = live(&b, "vulkan:0", path, &err);
    const int met = shim.at;
    arm(NULL, 0);
    check(met >= at || st == MM_OK, "the call was not made"); /* how much goes into one submission depends on time */
    if (st == MM_OK) check_answers(&b, st, &err, "in spite of it");
    else check((st == MM_E_DEVICE || st == MM_E_NOMEM) && described(st, &err), "%s \"%s\"", mm_status_name(st), err.text);
    if (st != MM_OK) {
        const bool opened = b.e != NULL;
        st = live(&b, "vulkan:0", path, &err);
        const bool gone = st == MM_E_DEVICE && strstr(err.text, "was lost");
        if (w->lost && opened) check(gone, "a lost device: %s \"%s\"", mm_status_name(st), err.text);
        if (!gone || !w->from_on) check_answers(&b, st, &err, "going on"); /* what cannot even be waited for counts as lost */
        else if (b.s) take_over(&b, path);
    }
    check_other(&beside, path, "another engine");
    end(&b);
    if (w->never_done && shim.memories != memories) end_hung(memories);
    check(atomic_load(&mem_live) == before, "%ld bytes are left", atomic_load(&mem_live) - before);
    check(shim.memories == memories, "%d pieces of the device's memory are left", shim.memories - memories);
    check(open_files() <= files || w->never_done, "files are left open");
}

/* ---- all of them ---- */

static void family(const char *path)
{
    const int failed = n_failed, passed = n_passed;
    mm_error err = {.size = sizeof err};
    being b = {0};
    if (!begin("%s", path) && !strstr(only, path)) return;
    mm_status st = live(&processor, NULL, path, &err);
    check(st == MM_OK, "on the processor: %s \"%s\"", mm_status_name(st), err.text);
    memcpy(want, processor.hash, sizeof want);
    end_session(&processor);
    check_answers(&beside, st = live(&beside, "vulkan:0", path, &err), &err, "on the device");
    end_session(&beside);
    arm(NULL, 0);
    check_answers(&b, st = live(&b, "vulkan:0", path, &err), &err, "on the device again");
    const long total = shim.at;
    end(&b);
    for (size_t k = 0; k < N_WAYS; k++)
        for (long i = 0; i < n_chosen(total); i++) {
            const long at = 1 + choose(total, i);
            if (!all_cases && ((uint64_t)i + seed) % N_WAYS != k) continue;
            if (begin("%s call %ld: %s", path, at, ways[k].what)) try_failure(path, &ways[k], at);
        }
    end(&beside);
    end(&processor);
    snprintf(current, sizeof current, "%s", path);
    check(atomic_load(&mem_live) == 0, "%ld bytes are left at the end", atomic_load(&mem_live));
    printf("%-4s %-30s %5ld calls of the driver, %d checks\n", n_failed == failed ? "ok" : "FAIL", path, total, n_passed - passed + n_failed - failed);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const char *const paths[] = {GOLDEN "/llama", GOLDEN "/llava", GOLDEN "/blip2_flan_t5"};
    mm_engine *e = NULL;
    start(argc, argv);
    if (open_engine("vulkan:0", &e, NULL) == MM_E_DEVICE) {
        printf("ok   there is no Vulkan device here\n");
        return 0;
    }
    mm_engine_release(e);
    for (size_t i = 0; i < (all_cases ? sizeof paths / sizeof *paths : 2); i++) family(paths[i]);
    return finish();
}

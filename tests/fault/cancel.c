/* Cancels at every poll point: each test model is told to stop at the N-th call of its progress while it loads, and the N-th time
 * that a flag is looked at while it encodes and answers with eight tokens. The program is linked with --wrap=mm__told_to_stop.
 *
 * Expected: MM_E_CANCELLED with one sentence, nothing left behind, and the same answer when the session is fed again, with or
 * without a reset. A sixteenth of all N by default, which the seed chooses; every N with -a. */
#include "fault.h"

static long polls, poll_at; /* poll_at < 0: none stops */
static mm_session *at_work;

bool __real_mm__told_to_stop(const atomic_int *cancel);
bool __wrap_mm__told_to_stop(const atomic_int *cancel);

/* From the one thread that computes. */
bool __wrap_mm__told_to_stop(const atomic_int *cancel)
{
    if (cancel && polls++ == poll_at) mm_session_cancel(at_work);
    return __real_mm__told_to_stop(cancel);
}

static int32_t progress(void *user, const char *stage, uint64_t done, uint64_t total)
{
    (void)user, (void)stage;
    check(done <= total, "progress %llu of %llu", (unsigned long long)done, (unsigned long long)total);
    return polls++ == poll_at ? 7 : 0;
}

static mm_status load(mm_engine *e, const char *path, long at, mm_model **m, mm_error *err)
{
    mm_model_options o;
    mm_model_options_init(&o, sizeof o);
    o.progress = progress;
    polls = 0;
    poll_at = at;
    return mm_model_load(e, path, &o, m, err);
}

static mm_status live(mm_engine *e, mm_model *m, const facts *f, mm_session *s, long at, uint64_t *hash, mm_error *err)
{
    polls = 0;
    poll_at = at;
    at_work = s;
    return life(e, m, f, &s, hash, err);
}

static void loads(mm_engine *e, const char *path, long total)
{
    const long before = atomic_load(&mem_live);
    for (long i = 0; i < n_chosen(total); i++) {
        const long n = choose(total, i);
        if (!begin("%s load, stopped at %ld", path, n)) continue;
        mm_error err = {.size = sizeof err};
        mm_model *m = NULL;
        const mm_status st = load(e, path, n, &m, &err);
        check(st == MM_E_CANCELLED && described(st, &err) && !m && err.os_code == 7, "%s \"%s\"", mm_status_name(st), err.text);
        mm_model_release(m);
        check(atomic_load(&mem_live) == before, "%ld bytes are left", atomic_load(&mem_live) - before);
    }
}

static void works(mm_engine *e, mm_model *m, const facts *f, const char *path, long total, uint64_t want)
{
    const long before = atomic_load(&mem_live);
    for (long i = 0; i < n_chosen(total); i++) {
        const long n = choose(total, i);
        if (!begin("%s at work, stopped at %ld", path, n)) continue;
        mm_error err = {.size = sizeof err};
        mm_session *s = NULL;
        uint64_t hash = 0;
        mm_status st = open_session(m, f, TOKENS, &s, &err);
        if (st == MM_OK) st = live(e, m, f, s, n, &hash, &err);
        check(st == MM_E_CANCELLED && described(st, &err), "%s \"%s\"", mm_status_name(st), err.text);
        if (n & 1) mm_session_reset(s, NULL);
        st = live(e, m, f, s, -1, &hash, &err);
        check(st == MM_OK && hash == want, "again: %s \"%s\"%s", mm_status_name(st), err.text, st == MM_OK ? ", another answer" : "");
        mm_session_release(s);
        check(atomic_load(&mem_live) == before, "%ld bytes are left", atomic_load(&mem_live) - before);
    }
}

static void family(const char *path)
{
    if (only && strncmp(only, path, strlen(path)) != 0 && !strstr(path, only)) return;
    const int failed = n_failed, passed = n_passed, files = open_files();
    mm_error err = {.size = sizeof err};
    mm_model *m = NULL;
    mm_session *s = NULL;
    uint64_t want = 0;
    snprintf(current, sizeof current, "%s", path);
    allow_time();
    mm_engine *e = new_engine(1, 0);
    mm_engine_set(e, "media_cache_bytes", "0", NULL); /* or only the first run would use the encoder */
    mm_status st = load(e, path, -1, &m, &err);
    const long load_polls = polls;
    const facts f = st == MM_OK ? facts_of(m) : (facts){0};
    if (st == MM_OK) st = open_session(m, &f, TOKENS, &s, &err);
    if (st == MM_OK) st = live(e, m, &f, s, -1, &want, &err);
    const long work_polls = polls;
    check(st == MM_OK, "undisturbed: %s \"%s\"", mm_status_name(st), err.text);
    check(load_polls > 0 && work_polls > 0, "%ld and %ld poll points", load_polls, work_polls);
    mm_session_release(s);
    if (st == MM_OK) {
        loads(e, path, load_polls);
        works(e, m, &f, path, work_polls, want);
    }
    mm_model_release(m);
    mm_engine_release(e);
    snprintf(current, sizeof current, "%s", path);
    check(atomic_load(&mem_live) == 0, "%ld bytes are left at the end", atomic_load(&mem_live));
    check(open_files() == files, "files are left open");
    printf("%-4s %-45s %4ld + %6ld poll points, %d checks\n", n_failed == failed ? "ok" : "FAIL", path, load_polls, work_polls,
           n_passed - passed + n_failed - failed);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    start(argc, argv);
    model_list l = list_models();
    for (size_t i = 0; i < l.n; i++) family(l.paths[i]);
    free(l.paths);
    return finish();
}

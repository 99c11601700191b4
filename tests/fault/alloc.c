/* Failing memory: for every test model, the N-th request for memory is refused (once, or all from there on) while an engine
 * opens, while the model loads, and while it tokenises a text, encodes, answers with eight tokens and is saved. Expected each
 * time: MM_E_NOMEM (or the same answer, where the library can do without), no memory left behind, and the same answer when
 * asked again.
 *
 * A sixteenth of all N by default, which the seed chooses; every N with -a. */
#include "fault.h"

static void engines(void)
{
    mm_engine *e = NULL;
    refuse(-1, false);
    e = new_engine(2, 0);
    const long total = atomic_load(&mem_calls);
    mm_engine_release(e);
    for (int from_on = 0; from_on < 2; from_on++)
        for (long n = 0; n < total; n++) {
            if (!begin("engine, request %ld%s", n, from_on ? " and later" : "")) continue;
            mm_engine_options o;
            mm_error err = {.size = sizeof err};
            mm_engine_options_init(&o, sizeof o);
            o.n_threads = 2;
            o.allocator = &counting;
            refuse(n, from_on);
            const mm_status st = mm_engine_create(&o, &e, &err);
            check(st == MM_OK || (st == MM_E_NOMEM && described(st, &err) && !e), "%s \"%s\"", mm_status_name(st), err.text);
            mm_engine_release(e);
            check(atomic_load(&mem_live) == 0, "%ld bytes are left", atomic_load(&mem_live));
        }
    refuse(-1, false);
}

/* A model that loaded although a request was refused must be whole. */
static void check_whole(mm_engine *e, mm_model *m, const facts *f, uint64_t want)
{
    mm_error err = {.size = sizeof err};
    mm_session *s = NULL;
    uint64_t hash = 0;
    const mm_status st = life(e, m, f, &s, &hash, &err);
    check(st == MM_OK && hash == want, "loaded, then: %s \"%s\"%s", mm_status_name(st), err.text, st == MM_OK ? ", another answer" : "");
    mm_session_release(s);
}

static void loads(mm_engine *e, const facts *f, const char *path, long total, uint64_t want)
{
    const long before = atomic_load(&mem_live);
    for (int from_on = 0; from_on < 2; from_on++)
        for (long i = 0; i < n_chosen(total); i++) {
            const long n = choose(total, i);
            if (!begin("%s load, request %ld%s", path, n, from_on ? " and later" : "")) continue;
            mm_error err = {.size = sizeof err};
            mm_model *m = NULL;
            refuse(n, from_on);
            const mm_status st = mm_model_load(e, path, NULL, &m, &err);
            check(st == MM_OK || (st == MM_E_NOMEM && described(st, &err) && !m), "%s \"%s\"", mm_status_name(st), err.text);
            if (st == MM_OK) {
                refuse(-1, false);
                check_whole(e, m, f, want);
            }
            mm_model_release(m);
            refuse(-1, false);
            check(atomic_load(&mem_live) == before, "%ld bytes are left", atomic_load(&mem_live) - before);
        }
}

/* `how`: "", or what is special about it. */
static void works(mm_engine *e, mm_model *m, const facts *f, const char *path, const char *how, long total, uint64_t want)
{
    const long before = atomic_load(&mem_live);
    for (int from_on = 0; from_on < 2; from_on++)
        for (long i = 0; i < n_chosen(total); i++) {
            const long n = choose(total, i);
            if (!begin("%s at work%s, request %ld%s", path, how, n, from_on ? " and later" : "")) continue;
            mm_error err = {.size = sizeof err};
            mm_session *s = NULL;
            uint64_t hash = 0;
            refuse(n, from_on);
            mm_status st = life(e, m, f, &s, &hash, &err);
            check(st == MM_OK ? hash == want : st == MM_E_NOMEM && described(st, &err), "%s \"%s\"%s", mm_status_name(st), err.text,
                  st == MM_OK ? ", another answer" : "");
            if (from_on || hash == want) { /* released while memory is short; then a fresh session. Else the same one again */
                mm_session_release(s);
                s = NULL;
            }
            refuse(-1, false);
            double entries = 0;
            if (s) mm_session_stat(s, "entries", &entries, NULL);
            if (entries > 0) mm_session_reset(s, NULL); /* it had answered: saving failed */
            st = life(e, m, f, &s, &hash, &err);
            check(st == MM_OK && hash == want, "again: %s \"%s\"%s", mm_status_name(st), err.text, st == MM_OK ? ", another answer" : "");
            mm_session_release(s);
            check(atomic_load(&mem_live) == before, "%ld bytes are left", atomic_load(&mem_live) - before);
        }
}

/* The same with media out of the cache, which gives them up where that helps, and makes do without what it cannot have. */
static void works_from_cache(mm_engine *e, mm_model *m, const facts *f, const char *path, uint64_t want)
{
    mm_error err = {.size = sizeof err};
    uint64_t hash = 0;
    mm_status st = mm_engine_set(e, "media_cache_bytes", "100000000", &err);
    for (int i = 0; st == MM_OK && i < 2; i++) { /* makes them, takes them */
        mm_session *s = NULL;
        refuse(-1, false);
        st = life(e, m, f, &s, &hash, &err);
        mm_session_release(s);
    }
    const long calls = atomic_load(&mem_calls);
    check(st == MM_OK && hash == want && !model_has(m, "media_cache", "\"hits\":0"), "with a cache: %s \"%s\"", mm_status_name(st), err.text);
    works(e, m, f, path, " with known media", calls, want);
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
    refuse(-1, false);
    mm_engine *e = new_engine(1, 0);
    mm_engine_set(e, "media_cache_bytes", "0", NULL); /* or only the first run would use the encoder */
    refuse(-1, false);
    mm_status st = mm_model_load(e, path, NULL, &m, &err);
    const long load_calls = atomic_load(&mem_calls);
    facts f = {0};
    if (st == MM_OK) f = facts_of(m);
    refuse(-1, false);
    if (st == MM_OK) st = life(e, m, &f, &s, &want, &err);
    const long work_calls = atomic_load(&mem_calls);
    check(st == MM_OK, "without failures: %s \"%s\"", mm_status_name(st), err.text);
    mm_session_release(s);
    if (st == MM_OK) {
        loads(e, &f, path, load_calls, want);
        works(e, m, &f, path, "", work_calls, want);
        if ((f.image && f.generate) || f.transcribe) works_from_cache(e, m, &f, path, want);
    }
    mm_model_release(m);
    mm_engine_release(e);
    snprintf(current, sizeof current, "%s", path);
    check(atomic_load(&mem_live) == 0, "%ld bytes are left at the end", atomic_load(&mem_live));
    check(open_files() == files, "files are left open");
    printf("%-4s %-45s %6ld + %6ld requests, %d checks\n", n_failed == failed ? "ok" : "FAIL", path, load_calls, work_calls,
           n_passed - passed + n_failed - failed);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    start(argc, argv);
    engines();
    model_list l = list_models();
    for (size_t i = 0; i < l.n; i++) family(l.paths[i]);
    free(l.paths);
    return finish();
}

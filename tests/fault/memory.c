/* The limit of an engine's memory against what the system counts: every test model, and the real ones that are there, loads
 * and answers in a process of its own, first without a limit, then with the most it took then, and with parts of that.
 *
 * Expected: the engine's own count never passes the limit; of memory that belongs to no file the process holds at most 8 MiB
 * more than the limit beside what it held before, which is stacks, tables of libraries and what malloc keeps; the most that
 * was taken is enough the next time; with less the answer is MM_E_NOMEM or, where something can be spared, an answer. Two
 * parts by default, which the seed chooses, eight with -a. */
#include "api.h"

#include <sys/mman.h>
#include <sys/wait.h>

#define BESIDE ((int64_t)8 << 20)

typedef struct result { mm_status st; uint64_t peak; int64_t grown; char text[256]; bool done; } result;

static result *out; /* of the child */

/* In the child, with the system's malloc. */
static void live(const char *path, uint64_t limit)
{
    const int64_t before = process_status("RssAnon");
    mm_error e = {.size = sizeof e};
    mm_engine_options o;
    mm_engine *own = NULL;
    mm_model *m = NULL;
    mm_session *s = NULL;
    char text[32] = "0";
    uint64_t hash = 0;
    mm_engine_options_init(&o, sizeof o);
    o.n_threads = 2;
    o.memory_limit = limit;
    mm_status st = mm_engine_create(&o, &own, &e);
    if (st == MM_OK) st = mm_model_load(own, path, NULL, &m, &e);
    if (st == MM_OK) {
        const facts f = facts_of(m);
        st = life(own, m, &f, &s, &hash, &e);
    }
    if (own) mm_engine_info(own, "memory_peak", text, sizeof text, NULL, NULL);
    *out = (result){.st = st, .peak = strtoull(text, NULL, 10),
                    .grown = (process_status("VmHWM") - process_status("RssFile") - before) * 1024, .done = true};
    if (described(st, &e)) snprintf(out->text, sizeof out->text, "%.200s", e.text);
    mm_session_release(s);
    mm_model_release(m);
    mm_engine_release(own);
}

static void run_child(const char *path, uint64_t limit)
{
    int status = 0;
    *out = (result){0};
    fflush(stdout);
    const pid_t pid = fork();
    if (pid < 0) exit(3);
    if (pid == 0) {
        live(path, limit);
        _exit(0);
    }
    const bool ended = waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    check(ended && out->done, "the child ended with status %d", status);
}

static double widest;

static void check_limit(uint64_t limit)
{
    const char *slow = getenv("MM_TEST_SLOW");
    const double mib = 1.0 / (1 << 20), grown = (double)out->grown * mib, allowed = (double)limit * mib;
    check(out->peak <= limit, "%llu bytes counted", (unsigned long long)out->peak);
    if (slow && *slow) return; /* a sanitizer takes more for itself */
    check(out->grown <= (int64_t)limit + BESIDE, "%.1f MiB more than before, with a limit of %.1f MiB", grown, allowed);
    if (grown - allowed > widest) widest = grown - allowed;
}

static void model(const char *path)
{
    if (!begin("memory of %s", path)) return;
    run_child(path, 0);
    const uint64_t most = out->peak;
    check(out->st == MM_OK, "without a limit: %s \"%s\"", mm_status_name(out->st), out->text);
    check_limit(most);
    run_child(path, most);
    check(out->st == MM_OK, "with what it took: %s \"%s\"", mm_status_name(out->st), out->text);
    check_limit(most);
    const int parts = all_cases ? 8 : 2;
    for (int i = 0; i < parts; i++) {
        const uint64_t limit = most - 1 - mix(seed * 31 + (uint64_t)i) % (most - most / 8);
        run_child(path, limit);
        check(out->st == MM_OK || (out->st == MM_E_NOMEM && out->text[0]), "limit %llu: %s \"%s\"", (unsigned long long)limit,
              mm_status_name(out->st), out->text);
        check_limit(limit);
    }
}

int main(int argc, char **argv)
{
    static const char *const real[] = {"models/smollm2-135m-instruct-q4_1.gguf", "models/gemma-3-270m-q4_k_m.gguf",
                                       "models/all-MiniLM-L6-v2", "models/dinov2-small", "models/ggml-base.bin",
                                       "models/whisper-base-ct2", "models/whisper-base-hf", "examples/demo/demo-vlm.mm.json"};
    start(argc, argv);
    out = mmap(NULL, sizeof *out, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (out == MAP_FAILED) return 3;
    model_list l = list_models();
    for (size_t i = 0; i < l.n; i++) model(l.paths[i]);
    const size_t n_golden = l.n;
    free(l.paths);
    const bool fetched = access("models/demo-vlm-vision.safetensors", R_OK) == 0;
    int n_real = 0;
    for (size_t i = 0; i < sizeof real / sizeof *real; i++)
        if (fetched && access(real[i], R_OK) == 0) {
            model(real[i]);
            n_real++;
        }
    printf("%-4s %zu test models and %d real ones: at most %.1f MiB beside the limit\n", n_failed ? "FAIL" : "ok", n_golden,
           n_real, widest);
    return finish();
}

/* hooks MODEL PROMPT: the host's own allocator, log and progress. Prints what the library tells, the answer, and how much
 * memory it had; in the end everything has come back. */
#include <libmm.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Both functions may be called from several threads at once. */
typedef struct counter {
    atomic_size_t held, most;
} counter;

static void *take(void *user, size_t bytes, size_t align)
{
    counter *c = user;
    void *p = aligned_alloc(align, (bytes + align - 1) / align * align);
    if (!p) return NULL;
    const size_t now = atomic_fetch_add(&c->held, bytes) + bytes;
    for (size_t most = atomic_load(&c->most); now > most && !atomic_compare_exchange_weak(&c->most, &most, now);) {}
    return p;
}

static void give(void *user, void *p, size_t bytes, size_t align)
{
    counter *c = user;
    (void)align;
    atomic_fetch_sub(&c->held, bytes);
    free(p);
}

static void log_line(void *user, int32_t level, const char *area, const char *line)
{
    static const char *const names[] = {"", "error", "warning", "info", "debug"};
    (void)user;
    printf("[%s] %s: %s\n", level >= MM_LOG_ERROR && level <= MM_LOG_DEBUG ? names[level] : "?", area, line);
}

static int32_t progress(void *user, const char *stage, uint64_t done, uint64_t total)
{
    int *shown = user;
    const int tenth = total ? (int)(10 * done / total) : 0;
    if (tenth > *shown) printf("%s %d %%\n", stage, 10 * tenth);
    *shown = tenth;
    return 0; /* another number would stop the load */
}

static mm_status answer(mm_session *session, mm_input *input, const char *prompt, mm_error *err)
{
    mm_event event = {.size = sizeof event};
    mm_status st = mm_input_text(input, prompt, strlen(prompt), err);
    if (st == MM_OK) st = mm_session_feed(session, input, err);
    while (st == MM_OK && (st = mm_session_next(session, &event, err)) == MM_OK)
        if (event.kind == MM_EVENT_TEXT) fwrite(event.data, 1, event.len, stdout);
    puts("");
    return st;
}

int main(int argc, char **argv)
{
    static counter memory;
    int shown = 0;
    mm_allocator allocator = {.size = sizeof allocator, .user = &memory, .alloc = take, .release = give};
    mm_engine_options eo;
    mm_model_options mo;
    mm_session_options so;
    mm_engine *engine = NULL;
    mm_model *model = NULL;
    mm_session *session = NULL;
    mm_input *input = NULL;
    mm_error err = MM_ERROR_INIT;
    if (argc != 3) {
        fprintf(stderr, "usage: hooks MODEL PROMPT\n");
        return 2;
    }
    mm_engine_options_init(&eo, sizeof eo);
    eo.allocator = &allocator;
    eo.log = log_line;
    eo.log_level = MM_LOG_INFO;
    mm_model_options_init(&mo, sizeof mo);
    mo.progress = progress;
    mo.progress_user = &shown;
    mm_session_options_init(&so, sizeof so);
    so.max_tokens = 32;
    mm_status st = mm_engine_create(&eo, &engine, &err);
    if (st == MM_OK) st = mm_model_load(engine, argv[1], &mo, &model, &err);
    if (st == MM_OK) st = mm_session_create(model, &so, &session, &err);
    if (st == MM_OK) st = mm_input_create(engine, &input, &err);
    if (st == MM_OK) st = answer(session, input, argv[2], &err);
    if (st < 0) fprintf(stderr, "hooks: %s\n", err.text);
    mm_input_release(input);
    mm_session_release(session);
    mm_model_release(model);
    mm_engine_release(engine);
    printf("at most %.1f MiB; %zu bytes left\n", (double)memory.most / (1 << 20), (size_t)memory.held);
    return st < 0;
}

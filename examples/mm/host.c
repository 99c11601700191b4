/* Engine, model and session of a command, and how errors become exit statuses. */
#include "mm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static bool progress_shown;

static void clear_progress(void)
{
    if (progress_shown) fputs("\r\033[K", stderr);
    progress_shown = false;
}

int fail(const mm_error *err, mm_status st)
{
    clear_progress();
    fprintf(stderr, "mm: %s\n", err->text[0] ? err->text : mm_status_name(st));
    if (st == MM_E_UNSUPPORTED) return EXIT_UNSUPPORTED;
    if (st == MM_E_FORMAT) return EXIT_DAMAGED;
    if (st == MM_E_ARG || st == MM_E_KEY) return EXIT_USAGE; /* every argument of the library's calls is one of the command's */
    return EXIT_RUN;
}

int fail_at(const char *where, const mm_error *err, mm_status st)
{
    mm_error named = *err;
    snprintf(named.text, sizeof named.text, "%.200s: %.280s", where, err->text);
    return fail(&named, st);
}

int finish_output(int status)
{
    const bool failed = fflush(stdout) != 0 || ferror(stdout);
    if (!failed || status) return status;
    fputs("mm: standard output: not all of it could be written; is the disk full, or the output closed?\n", stderr);
    return EXIT_RUN;
}

void log_line(void *user, int32_t level, const char *area, const char *line)
{
    static const char *const names[] = {"", "error", "warning", "info", "debug"};
    (void)user;
    clear_progress();
    fprintf(stderr, "mm: %s: %s: %s\n", names[level < 0 || level > 4 ? 0 : level], area, line);
}

static int32_t progress(void *user, const char *stage, uint64_t done, uint64_t total)
{
    static double last;
    (void)user;
    const double t = now_ms();
    if (!total || t - last < 100) return 0;
    last = t;
    progress_shown = true;
    fprintf(stderr, "\rmm: %s %3.0f %%", stage, 100.0 * (double)done / (double)total);
    return 0;
}

/* An option of the engine's device; 0 or an exit status. */
static int set_device(mm_engine *e, const char *option, const char *key, const char *value)
{
    mm_error err = {.size = sizeof err};
    const mm_status st = value ? mm_engine_set(e, key, value, &err) : MM_OK;
    if (st == MM_OK) return 0;
    fail_at(option, &err, st);
    return EXIT_USAGE;
}

int host_open(host *h, const options *o)
{
    mm_error err = {.size = sizeof err};
    mm_engine_options eo;
    mm_engine_options_init(&eo, sizeof eo);
    eo.n_threads = o->threads;
    eo.device = o->device;
    eo.precision = o->precision;
    eo.files = o->files;
    eo.log = log_line;
    eo.log_level = o->verbose ? MM_LOG_DEBUG : MM_LOG_WARN;
    memset(h, 0, sizeof *h);
    mm_status st = mm_engine_create(&eo, &h->engine, &err);
    if (st == MM_E_DEVICE) {
        fprintf(stderr, "mm: --device %s: %s; see mm devices\n", o->device, err.text);
        return EXIT_USAGE;
    }
    if (st != MM_OK) return fail(&err, st);
    int status = set_device(h->engine, "--gpu-layers", "gpu_layers", o->gpu_layers);
    if (!status) status = set_device(h->engine, "--place", "place", o->place);
    if (!status) status = set_device(h->engine, "--device-cache", "device_cache", o->device_cache);
    if (status) {
        host_close(h);
        return status;
    }
    const double start = now_ms();
    const bool show = isatty(STDERR_FILENO) && !o->json;
    mm_model_options mo;
    mm_model_options_init(&mo, sizeof mo);
    if (show) mo.progress = progress;
    st = mm_model_load(h->engine, o->model, &mo, &h->model, &err);
    h->load_ms = now_ms() - start;
    clear_progress();
    if (st != MM_OK) {
        host_close(h);
        return fail(&err, st);
    }
    return 0;
}

/* A key of the session from an option of the command line. */
static void set(mm_session *s, const char *option, const char *key, const char *value, int *status)
{
    mm_error err = {.size = sizeof err};
    if (*status || !value) return;
    const mm_status st = mm_session_set(s, key, value, &err);
    char where[128];
    snprintf(where, sizeof where, "%s %.100s", option, value);
    if (st != MM_OK) *status = fail_at(where, &err, st);
}

/* The command that does a task. */
static const char *command_of(const char *task)
{
    return strcmp(task, "generate") == 0 ? "run" : task;
}

/* The model does the task, or it is said what it does; 0 or an exit status. */
static int check_task(const host *h, const options *o, const char *task)
{
    char *tasks = info_text(h->model, "tasks"), *rest = NULL;
    bool found = false;
    for (const char *p = tasks; p && (p = strstr(p, task)); p += strlen(task))
        found |= (p == tasks || p[-1] == ' ' || p[-1] == ',') && strchr(" ,", p[strlen(task)]);
    if (!found) {
        fprintf(stderr, "mm: %s: this model cannot %s; use", o->model, task);
        for (char *t = tasks ? strtok_r(tasks, " ,", &rest) : NULL, *first = t; t; t = strtok_r(NULL, " ,", &rest))
            fprintf(stderr, "%s mm %s", t == first ? "" : " or", command_of(t));
        fputc('\n', stderr);
    }
    free(tasks);
    return found ? 0 : EXIT_UNSUPPORTED;
}

/* Pictures and sound are given to a model that takes them; 0 or an exit status. */
static int check_media(const host *h, const options *o)
{
    int status = 0;
    char *takes = info_text(h->model, "modalities_in");
    for (size_t i = 0; takes && !status && i < o->n_items; i++) {
        const item *it = &o->items[i];
        if (it->kind == 't' || strstr(takes, it->kind == 'i' ? "image" : "audio")) continue;
        fprintf(stderr, "mm: %s: the model %s takes no %s, only %s; choose one whose mm info lists them\n", it->value, o->model,
                it->kind == 'i' ? "pictures" : "sound", takes);
        status = EXIT_UNSUPPORTED;
    }
    free(takes);
    return status;
}

int host_session(host *h, const options *o, const char *task)
{
    mm_error err = {.size = sizeof err};
    mm_session_options so = o->session;
    if (o->raw) so.flags |= MM_SESSION_RAW;
    if (o->ignore_eos) so.flags |= MM_SESSION_IGNORE_EOS;
    if (o->json) so.flags |= MM_SESSION_LOGPROBS;
    int status = check_task(h, o, task);
    if (!status) status = check_media(h, o);
    if (status) return status;
    const mm_status st = mm_session_create(h->model, &so, &h->session, &err);
    if (st == MM_E_CONTEXT) {
        fprintf(stderr, "mm: %s: %s; use a smaller --ctx\n", o->model, err.text);
        return EXIT_USAGE;
    }
    if (st != MM_OK) return fail_at(o->model, &err, st);
    set(h->session, "task", "task", task, &status);
    set(h->session, "--kv-type", "kv_type", o->kv_type, &status);
    set(h->session, "--language", "language", o->language, &status);
    set(h->session, "--translate", "translate", o->translate ? "1" : NULL, &status);
    set(h->session, "--truncate", "truncate", o->truncate ? "1" : NULL, &status);
    set(h->session, "--force-ids", "force_ids", o->force_ids, &status);
    set(h->session, "--decoder-prompt", "decoder_prompt", o->decoder_prompt, &status);
    set(h->session, "--lookup", "lookup", o->lookup, &status);
    for (size_t i = 0; i < o->stops.n; i++) set(h->session, "--stop", "stop", o->stops.items[i], &status);
    return status ? status : dump_watch(h->session, o);
}

void host_close(host *h)
{
    mm_session_release(h->session);
    mm_model_release(h->model);
    mm_engine_release(h->engine);
    memset(h, 0, sizeof *h);
}

char *info_text(const mm_model *m, const char *key)
{
    size_t need = 0;
    if (mm_model_info(m, key, NULL, 0, &need, NULL) != MM_OK) need = 0;
    char *buf = calloc(need + 1, 1);
    if (buf && need && mm_model_info(m, key, buf, need + 1, &need, NULL) != MM_OK) buf[0] = 0;
    return buf;
}

#define TEXT_MAX ((size_t)1 << 28) /* bytes; a conversation may hold pictures */

/* The whole stream, NUL-terminated. It ends early, for read_text() to refuse, behind a NUL byte and behind TEXT_MAX: a device
 * or a pipe may have no end. NULL on failure. */
static char *read_all(FILE *f, size_t *len)
{
    size_t cap = 1 << 16;
    char *buf = malloc(cap);
    *len = 0;
    for (size_t n; buf && (n = fread(buf + *len, 1, cap - *len - 1, f)) > 0;) {
        *len += n;
        if (*len > TEXT_MAX || memchr(buf + *len - n, 0, n)) break;
        if (cap - *len > 1) continue;
        char *grown = realloc(buf, cap *= 2);
        if (!grown) free(buf);
        buf = grown;
    }
    if (buf && ferror(f)) {
        free(buf);
        return NULL;
    }
    if (buf) buf[*len] = 0;
    return buf;
}

char *read_text(const char *path, size_t *len)
{
    const char *name = path ? path : "standard input";
    errno = 0;
    FILE *f = path ? fopen(path, "rb") : stdin;
    char *text = f ? read_all(f, len) : NULL;
    const int reason = errno;
    if (f && path) fclose(f);
    if (!text) fprintf(stderr, "mm: %s: cannot be read: %s\n", name, strerror(reason ? reason : ENOMEM));
    else if (memchr(text, 0, *len)) fprintf(stderr, "mm: %s: holds a NUL byte, so it is no text\n", name);
    else if (*len > TEXT_MAX) fprintf(stderr, "mm: %s: is longer than %zu MiB; give a shorter text\n", name, TEXT_MAX >> 20);
    else return text;
    free(text);
    return NULL;
}

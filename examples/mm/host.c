/* Engine, model and session of a command, and how errors become exit statuses. */
#include "mm.h"

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

int fail(const mm_error *err, mm_status st)
{
    fprintf(stderr, "mm: %s\n", err->text[0] ? err->text : mm_status_name(st));
    if (st == MM_E_UNSUPPORTED) return EXIT_UNSUPPORTED;
    if (st == MM_E_FORMAT) return EXIT_DAMAGED;
    if (st == MM_E_ARG || st == MM_E_KEY) return EXIT_USAGE; /* every argument of the library's calls is one of the command's */
    return EXIT_RUN;
}

/* As fail, for what the model cannot do. */
static int fail_model(const options *o, const mm_error *err, mm_status st)
{
    mm_error named = *err;
    snprintf(named.text, sizeof named.text, "%.200s: %.280s", o->model, err->text);
    const int status = fail(&named, st);
    return st == MM_E_CONTEXT ? EXIT_USAGE : status; /* --ctx is too large for it */
}

static void log_line(void *user, int32_t level, const char *area, const char *line)
{
    static const char *const names[] = {"", "error", "warning", "info", "debug"};
    (void)user;
    fprintf(stderr, "mm: %s: %s: %s\n", names[level < 0 || level > 4 ? 0 : level], area, line);
}

static int32_t progress(void *user, const char *stage, uint64_t done, uint64_t total)
{
    static double last;
    (void)user;
    const double t = now_ms();
    if (total && (done == total || t - last > 100)) {
        last = t;
        fprintf(stderr, "\rmm: %s %3.0f %%%s", stage, 100.0 * (double)done / (double)total, done == total ? "\r\033[K" : "");
    }
    return 0;
}

int host_open(host *h, const options *o)
{
    mm_error err = {.size = sizeof err};
    mm_engine_options eo;
    mm_engine_options_init(&eo, sizeof eo);
    eo.n_threads = o->threads;
    eo.device = o->device;
    eo.precision = o->precision;
    eo.log = log_line;
    eo.log_level = o->verbose ? MM_LOG_DEBUG : MM_LOG_WARN;
    memset(h, 0, sizeof *h);
    mm_status st = mm_engine_create(&eo, &h->engine, &err);
    if (st == MM_E_DEVICE) {
        fprintf(stderr, "mm: %s; see mm devices\n", err.text);
        return EXIT_USAGE;
    }
    if (st != MM_OK) return fail(&err, st);
    const double start = now_ms();
    const bool show = isatty(STDERR_FILENO) && !o->json;
    mm_model_options mo;
    mm_model_options_init(&mo, sizeof mo);
    if (show) mo.progress = progress;
    st = mm_model_load(h->engine, o->model, &mo, &h->model, &err);
    h->load_ms = now_ms() - start;
    if (st != MM_OK) {
        host_close(h);
        return fail(&err, st);
    }
    return 0;
}

static mm_status set(mm_session *s, const char *key, const char *value, mm_error *err)
{
    return value ? mm_session_set(s, key, value, err) : MM_OK;
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
    mm_status st = mm_session_create(h->model, &so, &h->session, &err);
    if (st == MM_OK) st = set(h->session, "task", task, &err);
    if (st == MM_OK) st = set(h->session, "language", o->language, &err);
    if (st == MM_OK) st = set(h->session, "translate", o->translate ? "1" : NULL, &err);
    if (st == MM_OK) st = set(h->session, "truncate", o->truncate ? "1" : NULL, &err);
    if (st == MM_OK) st = set(h->session, "force_ids", o->force_ids, &err);
    if (st == MM_OK) st = set(h->session, "decoder_prompt", o->decoder_prompt, &err);
    for (size_t i = 0; st == MM_OK && i < o->stops.n; i++) st = mm_session_set(h->session, "stop", o->stops.items[i], &err);
    if (st != MM_OK) return fail_model(o, &err, st);
    const int status = check_media(h, o);
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

char *read_all(FILE *f, size_t *len)
{
    size_t cap = 1 << 16;
    char *buf = malloc(cap);
    *len = 0;
    for (size_t n; buf && (n = fread(buf + *len, 1, cap - *len - 1, f)) > 0;) {
        *len += n;
        if (cap - *len > 1) continue;
        char *grown = realloc(buf, cap *= 2);
        if (!grown) free(buf);
        buf = grown;
    }
    if (buf) buf[*len] = 0;
    return buf;
}

/* mm run: one answer, or a chat on a terminal (chat.c). Control-C cancels the answer, not the program. */
#include "mm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted, answering;
static mm_session *cancel_target;
static int wake[2] = {-1, -1};         /* a pipe: any thread may get the signal, and the one that waits for a line must know */

static void on_interrupt(int sig)
{
    const int saved = errno;
    (void)sig;
    interrupted = 1;
    if (answering) mm_session_cancel(cancel_target);
    const ssize_t n = write(wake[1], "", 1); /* when the pipe is full it wakes as well */
    (void)n;
    errno = saved;
}

static void catch_interrupts(mm_session *s)
{
    struct sigaction a = {.sa_handler = s ? on_interrupt : SIG_DFL, .sa_flags = SA_RESTART};
    cancel_target = s;
    sigemptyset(&a.sa_mask);
    if (s && wake[0] < 0 && pipe2(wake, O_CLOEXEC | O_NONBLOCK) != 0) return;
    sigaction(SIGINT, &a, NULL);
}

void forget_interrupts(void)
{
    char bytes[64];
    interrupted = 0;
    while (read(wake[0], bytes, sizeof bytes) > 0) {}
}

bool wait_for_line(void)
{
    struct pollfd either[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = wake[0], .events = POLLIN}};
    while (poll(either, 2, -1) < 0 && errno == EINTR) {}
    return !(either[1].revents & POLLIN);
}

static int fail_answer(const mm_error *err, mm_status st, const char *remedy)
{
    if (st == MM_E_CANCELLED && interrupted) {
        fputs("(interrupted)\n", stderr);
        return EXIT_RUN;
    }
    if (st != MM_E_CONTEXT) return fail(err, st);
    mm_error said = *err;
    char *end = strchr(said.text, ';'); /* the library's remedy is for programmers */
    const size_t len = end ? (size_t)(end - said.text) : strlen(said.text);
    snprintf(said.text + len, sizeof said.text - len, "; %s", remedy);
    return fail(&said, st);
}

/* Prints events until the answer ends, or cannot be printed any more. */
static int answer(host *h, const options *o, const char *remedy)
{
    mm_error err = {.size = sizeof err};
    mm_event e = {.size = sizeof e};
    mm_status st = MM_OK;
    bool printed = false;
    while (!ferror(stdout) && (st = mm_session_next(h->session, &e, &err)) == MM_OK) {
        if (e.kind == MM_EVENT_TENSOR) dump_take(&e);
        else if (o->json) json_event(stdout, h->session, &e);
        else if (e.kind == MM_EVENT_TEXT) {
            fwrite(e.data, 1, e.len, stdout);
            fflush(stdout);
            printed |= e.len > 0;
        }
    }
    if (!o->json && (printed || st == MM_END)) putchar('\n');
    fflush(stdout);
    if (st == MM_OK || st == MM_END) return 0;
    return fail_answer(&err, st, remedy);
}

static void report_speed(host *h)
{
    double encode = 0, prefill = 0, decode = 0, np = 0, nd = 0;
    mm_session_stat(h->session, "encode_ms", &encode, NULL);
    mm_session_stat(h->session, "prefill_ms", &prefill, NULL);
    mm_session_stat(h->session, "decode_ms", &decode, NULL);
    mm_session_stat(h->session, "prefill_tokens", &np, NULL);
    mm_session_stat(h->session, "decode_tokens", &nd, NULL);
    fprintf(stderr, "mm: load %.0f ms, encode %.0f ms, prompt %.0f tokens in %.0f ms (%.0f/s), answer %.0f tokens in %.0f ms (%.0f/s)\n",
            h->load_ms, encode, np, prefill, prefill > 0 ? np / prefill * 1e3 : 0, nd, decode,
            decode > 0 ? (nd - 1) / decode * 1e3 : 0);
}

mm_status add_media(mm_input *in, const options *o, mm_error *err)
{
    mm_status st = MM_OK;
    for (size_t i = 0; st == MM_OK && i < o->n_items; i++) {
        const item *it = &o->items[i];
        if (it->kind == 'i') st = mm_input_image_file(in, it->value, err);
        else if (it->kind == 'a') st = mm_input_audio_file(in, it->value, err);
        else st = mm_input_text(in, it->value, strlen(it->value), err);
    }
    return st;
}

/* 0 or an exit status. */
static int add_messages(mm_input *in, const char *path)
{
    mm_error err = {.size = sizeof err};
    char dir[4096];
    size_t len = 0;
    char *json = read_text(path, &len);
    if (!json) return EXIT_RUN;
    const char *slash = strrchr(path, '/');
    snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    const mm_status st = mm_input_messages(in, json, len, dir, &err);
    free(json);
    return st == MM_OK ? 0 : fail_at(path, &err, st);
}

int feed_and_answer(host *h, const options *o, mm_input *in, const char *remedy)
{
    mm_error err = {.size = sizeof err};
    mm_event e = {.size = sizeof e};
    forget_interrupts();
    answering = 1;
    const mm_status st = mm_session_feed(h->session, in, &err);
    const int status = st == MM_OK ? answer(h, o, remedy) : fail(&err, st);
    answering = 0;
    if (interrupted && !status) mm_session_next(h->session, &e, NULL); /* it came too late: nothing is left to cancel */
    return status;
}

static int one_answer(host *h, const options *o, const char *prompt, size_t len)
{
    mm_error err = {.size = sizeof err};
    mm_input *in;
    int status = 0;
    mm_status st = mm_input_create(h->engine, &in, &err);
    if (st == MM_OK && o->system) st = mm_input_role(in, "system", &err);
    if (st == MM_OK && o->system) st = mm_input_text(in, o->system, strlen(o->system), &err);
    if (st == MM_OK && o->messages) status = add_messages(in, o->messages);
    if (st == MM_OK && !status && (len || o->n_items)) {
        if (o->system || o->messages) st = mm_input_role(in, "user", &err);
        if (st == MM_OK) st = add_media(in, o, &err);
        if (st == MM_OK && len) st = mm_input_text(in, prompt, len, &err);
    }
    if (st != MM_OK) status = fail(&err, st);
    if (!status) status = feed_and_answer(h, o, in, o->truncate ? "use a larger --ctx N" : "use a larger --ctx N, or --truncate");
    mm_input_release(in);
    return status;
}

int cmd_run(const options *o)
{
    host h;
    size_t len = o->prompt ? strlen(o->prompt) : 0;
    char *from_stdin = NULL;
    const char *prompt = o->prompt;
    const bool interactive = !prompt && !o->messages && isatty(STDIN_FILENO);
    if ((prompt && strcmp(prompt, "-") == 0) || (!prompt && !o->messages && !interactive)) {
        if (!(from_stdin = read_text(NULL, &len))) return EXIT_RUN;
        if (len && from_stdin[len - 1] == '\n' && !o->raw) len--;
        prompt = from_stdin;
    }
    if (!len && !o->messages && !o->n_items && !interactive) {
        fprintf(stderr, "mm: the prompt %s; see mm --help\n", from_stdin ? "on standard input is empty; write one after the model" : "is empty");
        free(from_stdin);
        return EXIT_USAGE;
    }
    int status = host_open(&h, o);
    if (!status) status = host_session(&h, o, "generate");
    if (!status) {
        catch_interrupts(h.session);
        status = interactive ? chat(&h, o) : one_answer(&h, o, prompt, len);
        catch_interrupts(NULL);
        if (o->verbose && !status) report_speed(&h);
        if (!status) status = dump_write(o);
    }
    host_close(&h);
    free(from_stdin);
    return status;
}

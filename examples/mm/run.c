/* mm run: one answer, or a chat on a terminal. Ctrl-C cancels the answer, not the program. */
#include "mm.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static mm_session *cancel_target;

static void on_interrupt(int sig)
{
    (void)sig;
    mm_session_cancel(cancel_target);
}

/* Prints events until the answer ends. */
static int answer(host *h, const options *o)
{
    mm_error err = {.size = sizeof err};
    mm_event e = {.size = sizeof e};
    mm_status st;
    while ((st = mm_session_next(h->session, &e, &err)) == MM_OK) {
        if (e.kind == MM_EVENT_TENSOR) dump_take(&e);
        else if (o->json) json_event(stdout, h->session, &e);
        else if (e.kind == MM_EVENT_TEXT) {
            fwrite(e.data, 1, e.len, stdout);
            fflush(stdout);
        }
    }
    if (!o->json) putchar('\n');
    return st == MM_END ? 0 : fail(&err, st);
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

static mm_status add_media(mm_input *in, const options *o, mm_error *err)
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

static mm_status add_messages(mm_input *in, const char *path, mm_error *err)
{
    FILE *f = fopen(path, "rb");
    size_t len;
    char *json = f ? read_all(f, &len) : NULL, dir[4096];
    if (f) fclose(f);
    if (!json) {
        snprintf(err->text, sizeof err->text, "%s: cannot be read; check the path", path);
        return err->code = MM_E_IO;
    }
    const char *slash = strrchr(path, '/');
    snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    mm_status st = mm_input_messages(in, json, len, dir, err);
    free(json);
    return st;
}

static int feed_and_answer(host *h, const options *o, mm_input *in)
{
    mm_error err = {.size = sizeof err};
    const mm_status st = mm_session_feed(h->session, in, &err);
    return st == MM_OK ? answer(h, o) : fail(&err, st);
}

static int one_answer(host *h, const options *o, const char *prompt, size_t len)
{
    mm_error err = {.size = sizeof err};
    mm_input *in;
    mm_status st = mm_input_create(h->engine, &in, &err);
    if (st == MM_OK && o->system) st = mm_input_role(in, "system", &err);
    if (st == MM_OK && o->system) st = mm_input_text(in, o->system, strlen(o->system), &err);
    if (st == MM_OK && o->messages) st = add_messages(in, o->messages, &err);
    if (st == MM_OK && (prompt || o->n_items)) {
        if (o->system || o->messages) st = mm_input_role(in, "user", &err);
        if (st == MM_OK) st = add_media(in, o, &err);
        if (st == MM_OK && prompt) st = mm_input_text(in, prompt, len, &err);
    }
    const int status = st == MM_OK ? feed_and_answer(h, o, in) : fail(&err, st);
    mm_input_release(in);
    return status;
}

/* ---- chat ---- */

typedef struct talk { host *h; const options *o; mm_input *in; bool answered; } talk;

/* What stands before the first question: the system message and the pictures of the command line. */
static mm_status open_talk(talk *t, mm_error *err)
{
    mm_status st = MM_OK;
    mm_input_clear(t->in);
    t->answered = false;
    if (t->o->system) st = mm_input_role(t->in, "system", err);
    if (st == MM_OK && t->o->system) st = mm_input_text(t->in, t->o->system, strlen(t->o->system), err);
    if (st == MM_OK && t->o->system) st = mm_input_role(t->in, "user", err);
    return st == MM_OK ? add_media(t->in, t->o, err) : st;
}

/* A question. When the very first one fails or is cancelled, what stood before it was taken back with it. */
static mm_status ask(talk *t, const char *line, mm_error *err)
{
    mm_status st = mm_input_text(t->in, line, strlen(line), err);
    if (st != MM_OK) return st;
    const bool ok = feed_and_answer(t->h, t->o, t->in) == 0;
    t->answered |= ok;
    mm_input_clear(t->in);
    return t->answered ? MM_OK : open_talk(t, err);
}

static void chat_line(talk *t, const char *line)
{
    mm_error err = {.size = sizeof err};
    mm_status st = MM_OK;
    if (strncmp(line, "/image ", 7) == 0) st = mm_input_image_file(t->in, line + 7, &err);
    else if (strncmp(line, "/audio ", 7) == 0) st = mm_input_audio_file(t->in, line + 7, &err);
    else if (strcmp(line, "/reset") == 0) {
        st = mm_session_reset(t->h->session, &err);
        if (st == MM_OK) st = open_talk(t, &err);
    } else if (line[0] == '/') puts("/image FILE  /audio FILE  /reset  /quit");
    else st = ask(t, line, &err);
    if (st != MM_OK) fail(&err, st);
}

static int chat(host *h, const options *o)
{
    mm_error err = {.size = sizeof err};
    talk t = {.h = h, .o = o};
    char *line = NULL;
    size_t cap = 0;
    mm_status st = mm_input_create(h->engine, &t.in, &err);
    if (st == MM_OK) st = open_talk(&t, &err);
    if (st != MM_OK) {
        mm_input_release(t.in);
        return fail(&err, st);
    }
    for (;;) {
        fputs("> ", stdout);
        fflush(stdout);
        const ssize_t n = getline(&line, &cap, stdin);
        if (n < 0) break;
        line[strcspn(line, "\r\n")] = 0;
        if (strcmp(line, "/quit") == 0) break;
        if (line[0]) chat_line(&t, line);
    }
    putchar('\n');
    free(line);
    mm_input_release(t.in);
    return 0;
}

int cmd_run(const options *o)
{
    host h;
    size_t len = o->prompt ? strlen(o->prompt) : 0;
    char *from_stdin = NULL;
    const char *prompt = o->prompt;
    const bool interactive = !prompt && !o->messages && isatty(STDIN_FILENO);
    if ((prompt && strcmp(prompt, "-") == 0) || (!prompt && !o->messages && !interactive)) {
        prompt = from_stdin = read_all(stdin, &len);
        if (len && from_stdin[len - 1] == '\n' && !o->raw) from_stdin[--len] = 0;
        if (!len) prompt = NULL;
    }
    int status = host_open(&h, o);
    if (!status) status = host_session(&h, o, "generate");
    if (!status) {
        cancel_target = h.session;
        signal(SIGINT, on_interrupt);
        status = interactive ? chat(&h, o) : one_answer(&h, o, prompt, len);
        signal(SIGINT, SIG_DFL);
        if (o->verbose && !status) report_speed(&h);
        if (!status) status = dump_write(o);
    }
    host_close(&h);
    free(from_stdin);
    return status;
}

/* The chat of mm run on a terminal: questions, and lines that begin with a slash. Control-C stops an answer; at the prompt it
 * gives a new one, and the second in a row leaves. */
#include "mm.h"

#include <stdlib.h>
#include <string.h>

typedef struct talk { host *h; const options *o; mm_input *in; bool answered; } talk;

static const char commands[] = "/image FILE and /audio FILE add to the next question; /reset forgets; /quit or Ctrl-D leaves";

/* What stands before the first question: the system message and the pictures of the command line. */
static mm_status open_talk(talk *t, mm_error *err)
{
    mm_status st = MM_OK;
    mm_input_clear(t->in, NULL);
    t->answered = false;
    if (t->o->system) st = mm_input_role(t->in, "system", err);
    if (st == MM_OK && t->o->system) st = mm_input_text(t->in, t->o->system, strlen(t->o->system), err);
    if (st == MM_OK && t->o->system) st = mm_input_role(t->in, "user", err);
    return st == MM_OK ? add_media(t->in, t->o, err) : st;
}

static void say_if_full(const talk *t)
{
    double held = 0, room = 0;
    mm_session_stat(t->h->session, "n_past", &held, NULL);
    mm_session_stat(t->h->session, "n_ctx", &room, NULL);
    if (room > 0 && held >= room) fprintf(stderr, "(the context of %.0f positions is full: /reset forgets; or start with --ctx N or --truncate)\n", room);
}

/* A question. When the very first one fails or is cancelled, what stood before it was taken back with it. */
static mm_status ask(talk *t, const char *line, mm_error *err)
{
    mm_status st = mm_input_text(t->in, line, strlen(line), err);
    if (st != MM_OK) return st;
    const bool ok = feed_and_answer(t->h, t->o, t->in, "/reset forgets; or start with --ctx N or --truncate") == 0;
    t->answered |= ok;
    if (ok && !t->o->truncate) say_if_full(t);
    mm_input_clear(t->in, NULL);
    return t->answered ? MM_OK : open_talk(t, err);
}

/* The path in the rest of a line: without the blanks around it, and without the quotes that terminals put around a file that
 * was dropped on them. */
static const char *path_in(char *rest)
{
    rest += strspn(rest, " \t");
    size_t len = strlen(rest);
    while (len && strchr(" \t", rest[len - 1])) len--;
    const bool quoted = len > 1 && strchr("'\"", rest[0]) && rest[len - 1] == rest[0];
    rest[len - quoted] = 0;
    return rest + quoted;
}

static void chat_line(talk *t, char *line)
{
    mm_error err = {.size = sizeof err};
    mm_status st = MM_OK;
    if (strncmp(line, "/image ", 7) == 0) st = mm_input_image_file(t->in, path_in(line + 7), &err);
    else if (strncmp(line, "/audio ", 7) == 0) st = mm_input_audio_file(t->in, path_in(line + 7), &err);
    else if (strcmp(line, "/reset") == 0) {
        st = mm_session_reset(t->h->session, &err);
        if (st == MM_OK) st = open_talk(t, &err);
    } else if (line[0] == '/') puts(commands);
    else st = ask(t, line, &err);
    if (st != MM_OK) fail(&err, st);
}

/* The next line without its end; NULL when the talk is over. */
static char *next_line(char **line, size_t *cap)
{
    forget_interrupts();
    for (bool again = false; !ferror(stdout); again = true) {
        fputs("> ", stdout);
        fflush(stdout);
        if (wait_for_line()) {
            if (getline(line, cap, stdin) < 0) break;
            (*line)[strcspn(*line, "\r\n")] = 0;
            return strcmp(*line, "/quit") == 0 || strcmp(*line, "/exit") == 0 ? NULL : *line;
        }
        if (again) break;
        forget_interrupts();
        puts("\n(Ctrl-C again leaves)");
    }
    putchar('\n');
    return NULL;
}

int chat(host *h, const options *o)
{
    mm_error err = {.size = sizeof err};
    talk t = {.h = h, .o = o};
    char *line = NULL;
    size_t cap = 0;
    mm_status st = mm_input_create(h->engine, &t.in, &err);
    if (st == MM_OK) st = open_talk(&t, &err);
    if (st == MM_OK) {
        puts(commands);
        while (next_line(&line, &cap))
            if (line[0]) chat_line(&t, line);
    }
    free(line);
    mm_input_release(t.in);
    return st == MM_OK ? 0 : fail(&err, st);
}

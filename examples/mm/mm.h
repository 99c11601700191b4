/* The `mm` command line: what its files share. Built on the public header only. */
#ifndef MM_CLI_H
#define MM_CLI_H

#include "../../include/libmm.h"
#include <stdbool.h>
#include <stdio.h>

#define EXIT_RUN 1
#define EXIT_USAGE 2
#define EXIT_UNSUPPORTED 3
#define EXIT_DAMAGED 4

typedef struct list { const char **items; size_t n; } list;
typedef struct item { char kind; const char *value; } item; /* 't' text, 'i' image, 'a' audio, in the order given */

typedef struct options {
    const char *command, *model, *prompt;
    item *items;              /* --text --image --audio */
    size_t n_items;
    list stops, dumps;
    const char *system, *messages, *language, *file, *device, *force_ids, *decoder_prompt, *synthetic, *keep, *gpu_layers, *place, *device_cache,
        *lookup, *kv_type;
    const mm_files *files;    /* of a synthetic model; NULL: the system's */
    bool raw, json, ignore_eos, translate, srt, vtt, special, tensors, encode, counts, verbose, truncate, self_test;
    mm_session_options session;
    uint32_t threads, n_prompt, n_gen, reps;
    int precision;
} options;

/* args.c: exits with EXIT_USAGE on a bad command line. */
void parse_args(int argc, char **argv, options *o);
void free_args(options *o);

/* usage.c */
void usage(FILE *to);
void version(FILE *to);

/* host.c */
typedef struct host { mm_engine *engine; mm_model *model; mm_session *session; double load_ms; } host;
int fail(const mm_error *err, mm_status st);           /* prints one line, returns the exit status */
int fail_at(const char *where, const mm_error *err, mm_status st); /* the same with "WHERE: " in front */
void log_line(void *user, int32_t level, const char *area, const char *line); /* an mm_log_fn */
int finish_output(int status);                         /* at the end: whether standard output took all; the exit status */
int host_open(host *h, const options *o);              /* engine and model; 0 or an exit status */
int host_session(host *h, const options *o, const char *task); /* a session with the options applied */
void host_close(host *h);
char *info_text(const mm_model *m, const char *key);   /* free() it; "" on failure */
double now_ms(void);
char *read_text(const char *path, size_t *len);        /* a file, or with NULL standard input; NULL: it was said why not */

/* run.c */
int feed_and_answer(host *h, const options *o, mm_input *in, const char *remedy); /* `remedy`: for a full context */
mm_status add_media(mm_input *in, const options *o, mm_error *err);
void forget_interrupts(void);
bool wait_for_line(void);                              /* false: control-C came first */

/* chat.c */
int chat(host *h, const options *o);

/* json.c */
void json_string(FILE *to, const char *s, size_t n);
void json_floats(FILE *to, const float *v, size_t n);
void json_ids(FILE *to, const int32_t *v, size_t n);
void json_event(FILE *to, mm_session *s, const mm_event *e); /* one line */

/* counts.c: what a device counts during one answer */
int counts_open(const host *h);                        /* without it nothing is counted; 0 or an exit status */
void counts_begin(const host *h);                      /* before the answer */
void counts_event(const host *h);                      /* after each event */
void counts_end(const host *h);                        /* after it */
void counts_print(const host *h, bool json);           /* of the last answer; JSON: a member and a comma */

/* dump.c: collects watched stages and writes them when the command ends */
int dump_watch(mm_session *s, const options *o);
void dump_take(const mm_event *e);
int dump_write(const options *o);

/* commands; each returns an exit status */
int cmd_run(const options *o);
int cmd_transcribe(const options *o);
int cmd_embed(const options *o);
int cmd_score(const options *o);
int cmd_tokenize(const options *o);
int cmd_info(const options *o);
int cmd_devices(const options *o);
int cmd_bench(const options *o);

#endif

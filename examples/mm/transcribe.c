/* mm transcribe: segments as they come, plain, as JSON lines, or as SubRip or WebVTT subtitles. */
#include "mm.h"

#include <stdlib.h>
#include <string.h>

static void stamp(double t, char mark, bool hours, char buf[32])
{
    const long ms = (long)(t * 1000 + 0.5);
    if (hours || ms >= 3600000) snprintf(buf, 32, "%02ld:%02ld:%02ld%c%03ld", ms / 3600000, ms / 60000 % 60, ms / 1000 % 60, mark, ms % 1000);
    else snprintf(buf, 32, "%02ld:%02ld%c%03ld", ms / 60000, ms / 1000 % 60, mark, ms % 1000);
}

static void print_segment(const options *o, const mm_event *e)
{
    char t0[32], t1[32];
    const char *text = e->data;
    size_t len = e->len;
    while (len && *text == ' ') {
        text++;
        len--;
    }
    stamp(e->t0, o->srt ? ',' : '.', o->srt || o->vtt, t0);
    stamp(e->t1, o->srt ? ',' : '.', o->srt || o->vtt, t1);
    if (o->srt) printf("%u\n%s --> %s\n%.*s\n\n", (unsigned)e->index + 1, t0, t1, (int)len, text);
    else if (o->vtt) printf("%s --> %s\n%.*s\n\n", t0, t1, (int)len, text);
    else printf("[%s --> %s]  %.*s\n", t0, t1, (int)len, text);
    fflush(stdout);
}

static int play(host *h, const options *o)
{
    mm_error err = {.size = sizeof err};
    mm_event e = {.size = sizeof e};
    char where[128];
    mm_status st = MM_OK;
    if (o->vtt) puts("WEBVTT\n");
    while (!ferror(stdout) && (st = mm_session_next(h->session, &e, &err)) == MM_OK) {
        if (e.kind == MM_EVENT_TENSOR) dump_take(&e);
        else if (o->json) json_event(stdout, h->session, &e);
        else if (e.kind == MM_EVENT_SEGMENT) print_segment(o, &e);
        else if (e.kind == MM_EVENT_LANGUAGE && o->verbose)
            fprintf(stderr, "mm: language %.*s, probability %.3f\n", (int)e.len, e.data, e.value);
    }
    if (st == MM_OK || st == MM_END) return 0;
    snprintf(where, sizeof where, "--language %.100s", o->language ? o->language : "");
    return st == MM_E_ARG && o->language ? fail_at(where, &err, st) : fail(&err, st);
}

int cmd_transcribe(const options *o)
{
    host h;
    mm_error err = {.size = sizeof err};
    mm_input *in = NULL;
    const char *path = o->prompt ? o->prompt : o->n_items ? o->items[0].value : NULL;
    if (!path || !!o->prompt + o->n_items > 1) {
        fputs("mm: transcribe needs one AUDIO file after the model; see mm --help\n", stderr);
        return EXIT_USAGE;
    }
    int status = host_open(&h, o);
    if (!status) status = host_session(&h, o, "transcribe");
    if (!status) {
        mm_status st = mm_input_create(h.engine, &in, &err);
        if (st == MM_OK) st = mm_input_audio_file(in, path, &err);
        if (st == MM_OK) st = mm_session_feed(h.session, in, &err);
        status = st == MM_OK ? play(&h, o) : fail(&err, st);
        if (!status) status = dump_write(o);
        if (!status && o->verbose) {
            double encode = 0, decode = 0;
            mm_session_stat(h.session, "encode_ms", &encode, NULL);
            mm_session_stat(h.session, "decode_ms", &decode, NULL);
            fprintf(stderr, "mm: load %.0f ms, encode %.0f ms, decode %.0f ms\n", h.load_ms, encode, decode);
        }
    }
    mm_input_release(in);
    host_close(&h);
    return status;
}

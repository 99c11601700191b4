/* mm bench: tokens a second on random ids, milliseconds an encode, load time and peak memory. Medians over the
 * repetitions, after one run that is not counted; what a model does not do is left out. */
#include "mm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

typedef struct samples { double v[10000]; size_t n; } samples;

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(samples *s)
{
    if (!s->n) return 0;
    qsort(s->v, s->n, sizeof *s->v, ascending);
    return s->n % 2 ? s->v[s->n / 2] : 0.5 * (s->v[s->n / 2 - 1] + s->v[s->n / 2]);
}

static double stat(const mm_session *s, const char *key)
{
    double v = 0;
    mm_session_stat(s, key, &v, NULL);
    return v;
}

static mm_status drain(mm_session *s, mm_error *err)
{
    mm_event e = {.size = sizeof e};
    mm_status st;
    while ((st = mm_session_next(s, &e, err)) == MM_OK) {}
    return st == MM_END ? MM_OK : st;
}

/* One prompt of n random ids and the options' answer. */
static mm_status generate(host *h, uint32_t n, uint32_t vocab, mm_error *err)
{
    mm_input *in = NULL;
    int32_t *ids = calloc(n, sizeof *ids);
    uint32_t x = 12345;
    for (uint32_t i = 0; ids && i < n; i++) ids[i] = (int32_t)((x = x * 1664525u + 1013904223u) >> 8) % (int32_t)vocab;
    mm_status st = mm_session_reset(h->session, err);
    if (st == MM_OK) st = mm_input_create(h->engine, &in, err);
    if (st == MM_OK) st = mm_input_tokens(in, ids, n, err);
    if (st == MM_OK) st = mm_session_feed(h->session, in, err);
    if (st == MM_OK) st = drain(h->session, err);
    mm_input_release(in);
    free(ids);
    return st;
}

/* How long the last encode() took, all in all: of a model that makes vectors that is what its encoder takes. */
static double vectors_ms;

/* A gradient picture, with a word where the model takes text; or half a minute of a soft tone; or a sentence. */
static mm_status encode(host *h, const char *takes, mm_error *err)
{
    static const char sentence[] = "The quick brown fox jumps over the lazy dog while the band plays on.";
    const bool image = strstr(takes, "image") != NULL, text = strstr(takes, "text") != NULL, sound = strstr(takes, "audio") != NULL;
    const uint32_t side = 336, rate = 16000, frames = 30 * rate;
    mm_input *in = NULL;
    uint8_t *pixels = image ? malloc((size_t)side * side * 3) : NULL;
    float *pcm = sound && !image ? malloc(frames * sizeof *pcm) : NULL;
    for (uint32_t i = 0; pixels && i < side * side * 3; i++) pixels[i] = (uint8_t)(i / 3 % side ^ i / (3 * side));
    for (uint32_t i = 0; pcm && i < frames; i++) pcm[i] = 0.1f * sinf((float)i * 0.05f);
    const mm_image im = {.size = sizeof im, .width = side, .height = side, .format = MM_PIXELS_RGB, .pixels = pixels};
    const mm_audio au = {.size = sizeof au, .rate = rate, .channels = 1, .format = MM_SAMPLES_F32, .frames = frames, .samples = pcm};
    mm_status st = mm_session_reset(h->session, err);
    if (st == MM_OK) st = mm_input_create(h->engine, &in, err);
    if (st == MM_OK && image) st = mm_input_image(in, &im, err);
    if (st == MM_OK && pcm) st = mm_input_audio(in, &au, err);
    if (st == MM_OK && text && !sound) st = image ? mm_input_text(in, "a", 1, err) : mm_input_text(in, sentence, sizeof sentence - 1, err);
    const double start = now_ms();
    if (st == MM_OK) st = mm_session_feed(h->session, in, err);
    if (st == MM_OK) st = drain(h->session, err);
    vectors_ms = now_ms() - start;
    mm_input_release(in);
    free(pixels);
    free(pcm);
    return st;
}

typedef struct figures { double prefill, decode, encode; } figures;

static mm_status bench_text(host *h, uint32_t n, uint32_t reps, figures *f, mm_error *err)
{
    static samples prefill, decode;
    char *vocab = info_text(h->model, "vocab");
    const uint32_t n_vocab = (uint32_t)strtoul(vocab, NULL, 10);
    free(vocab);
    for (uint32_t i = 0; i <= reps; i++) {
        const mm_status st = generate(h, n, n_vocab ? n_vocab : 1, err);
        if (st != MM_OK) return st;
        if (!i) continue;
        prefill.v[prefill.n++] = stat(h->session, "prefill_tokens") / stat(h->session, "prefill_ms") * 1e3;
        const double steps = stat(h->session, "decode_tokens") - 1;
        if (steps > 0) decode.v[decode.n++] = steps / stat(h->session, "decode_ms") * 1e3;
    }
    f->prefill = median(&prefill);
    f->decode = median(&decode);
    return MM_OK;
}

static mm_status bench_encode(host *h, const char *takes, uint32_t reps, figures *f, mm_error *err)
{
    static samples encodes;
    for (uint32_t i = 0; i <= reps; i++) {
        const mm_status st = encode(h, takes, err);
        if (st != MM_OK) return st;
        const double ms = stat(h->session, "encode_ms");
        if (i) encodes.v[encodes.n++] = ms > 0 ? ms : vectors_ms;
    }
    f->encode = median(&encodes);
    return MM_OK;
}

/* "name" and value as JSON or as text; what was not measured is left out. */
static void print_figure(bool json, const char *key, const char *label, double v, const char *unit)
{
    if (v > 0 && json) printf("\"%s\":%.2f,", key, v);
    else if (v > 0) printf("%s %.1f %s   ", label, v, unit);
}

static void print(const host *h, const options *o, const figures *f)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    const bool json = o->json;
    const char *precision = o->precision == MM_PRECISION_EXACT ? "exact" : "fast";
    if (json) putchar('{');
    print_figure(json, "prefill_tps", "prefill", f->prefill, "tokens/s");
    print_figure(json, "decode_tps", "decode", f->decode, "tokens/s");
    print_figure(json, "encode_ms", "encode", f->encode, "ms");
    print_figure(json, "load_ms", "load", h->load_ms, "ms");
    print_figure(json, "peak_mb", "peak", (double)u.ru_maxrss / 1024, "MiB");
    if (json)
        printf("\"threads\":%u,\"precision\":\"%s\",\"arena_mb\":%.2f,\"kv_mb\":%.2f}\n", (unsigned)o->threads, precision,
               stat(h->session, "arena_bytes") / 1048576, stat(h->session, "kv_bytes") / 1048576);
    else printf("(%s)\n", precision);
}

/* The prompt's length: what was asked for, or 512, or what the model's context has room for. */
static uint32_t prompt_length(const host *h, const options *o)
{
    char *context = info_text(h->model, "context");
    const unsigned long most = context ? strtoul(context, NULL, 10) : 0;
    free(context);
    if (o->n_prompt || !most) return o->n_prompt ? o->n_prompt : 512;
    const unsigned long room = most > 2ul * o->session.max_tokens ? most - o->session.max_tokens : most / 2 + !(most / 2);
    return room < 512 ? (uint32_t)room : 512;
}

int cmd_bench(const options *given)
{
    host h;
    options o = *given;
    mm_error err = {.size = sizeof err};
    figures f = {0};
    if (!o.threads) o.threads = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
    int status = host_open(&h, &o);
    if (status) return status;
    char *tasks = info_text(h.model, "tasks"), *takes = info_text(h.model, "modalities_in");
    const bool speech = strstr(tasks, "transcribe") != NULL, text = strstr(tasks, "generate") != NULL;
    const bool image = strstr(takes, "image") != NULL;
    const uint32_t reps = o.reps ? o.reps : 3;
    if (text && o.encode && !image) {
        fprintf(stderr, "mm: %s: the model takes no pictures, so it has no encoder to time; leave out --encode\n", o.model);
        status = EXIT_UNSUPPORTED;
    }
    o.json = false;
    o.raw = o.ignore_eos = true;
    o.session.max_tokens = o.n_gen ? o.n_gen : 64;
    const uint32_t n = prompt_length(&h, &o);
    if (!o.session.n_ctx && text) o.session.n_ctx = n + o.session.max_tokens;
    if (!status) status = host_session(&h, &o, speech ? "transcribe" : text ? "generate" : "embed");
    mm_status st = MM_OK;
    if (!status && text) st = bench_text(&h, n, reps, &f, &err);
    if (!status && st == MM_OK && (!text || (image && o.encode))) st = bench_encode(&h, takes, reps, &f, &err);
    if (!status && st != MM_OK) status = fail_at(o.model, &err, st);
    o.json = given->json;
    if (!status) print(&h, &o, &f);
    free(tasks);
    free(takes);
    host_close(&h);
    return status;
}

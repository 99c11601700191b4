/* mm bench: tokens a second on random ids, milliseconds an encode, load time and peak memory. Medians over the
 * repetitions, after one run that is not counted. */
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

/* A gradient picture, with a word where the model takes text, or half a minute of a soft tone. */
static mm_status encode(host *h, const char *takes, mm_error *err)
{
    const bool image = strstr(takes, "image") != NULL, text = strstr(takes, "text") != NULL;
    const uint32_t side = 336, rate = 16000, frames = 30 * rate;
    mm_input *in = NULL;
    uint8_t *pixels = image ? malloc((size_t)side * side * 3) : NULL;
    float *pcm = image ? NULL : malloc(frames * sizeof *pcm);
    for (uint32_t i = 0; pixels && i < side * side * 3; i++) pixels[i] = (uint8_t)(i / 3 % side ^ i / (3 * side));
    for (uint32_t i = 0; pcm && i < frames; i++) pcm[i] = 0.1f * sinf((float)i * 0.05f);
    const mm_image im = {.size = sizeof im, .width = side, .height = side, .format = MM_PIXELS_RGB, .pixels = pixels};
    const mm_audio au = {.size = sizeof au, .rate = rate, .channels = 1, .format = MM_SAMPLES_F32, .frames = frames, .samples = pcm};
    mm_status st = mm_session_reset(h->session, err);
    if (st == MM_OK) st = mm_input_create(h->engine, &in, err);
    if (st == MM_OK) st = image ? mm_input_image(in, &im, err) : mm_input_audio(in, &au, err);
    if (st == MM_OK && image && text) st = mm_input_text(in, "a", 1, err);
    if (st == MM_OK) st = mm_session_feed(h->session, in, err);
    if (st == MM_OK) st = drain(h->session, err);
    mm_input_release(in);
    free(pixels);
    free(pcm);
    return st;
}

typedef struct figures { double prefill, decode, encode; } figures;

static mm_status bench_text(host *h, const options *o, uint32_t reps, figures *f, mm_error *err)
{
    static samples prefill, decode;
    char *vocab = info_text(h->model, "vocab");
    const uint32_t n_vocab = (uint32_t)strtoul(vocab, NULL, 10), n = o->n_prompt ? o->n_prompt : 512;
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
        if (i) encodes.v[encodes.n++] = stat(h->session, "encode_ms");
    }
    f->encode = median(&encodes);
    return MM_OK;
}

static void print(const host *h, const options *o, const figures *f)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    const double peak = (double)u.ru_maxrss / 1024;
    const char *precision = o->precision == MM_PRECISION_EXACT ? "exact" : "fast";
    if (o->json)
        printf("{\"prefill_tps\":%.2f,\"decode_tps\":%.2f,\"encode_ms\":%.2f,\"load_ms\":%.2f,\"peak_mb\":%.1f,\"threads\":%u,"
               "\"precision\":\"%s\",\"arena_mb\":%.2f,\"kv_mb\":%.2f}\n",
               f->prefill, f->decode, f->encode, h->load_ms, peak, (unsigned)o->threads, precision,
               stat(h->session, "arena_bytes") / 1048576, stat(h->session, "kv_bytes") / 1048576);
    else
        printf("prefill %.1f tokens/s   decode %.1f tokens/s   encode %.1f ms   load %.1f ms   peak %.1f MiB   (%s)\n", f->prefill,
               f->decode, f->encode, h->load_ms, peak, precision);
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
    o.json = false;
    o.raw = o.ignore_eos = true;
    o.session.max_tokens = o.n_gen ? o.n_gen : 64;
    if (!o.session.n_ctx && text) o.session.n_ctx = (o.n_prompt ? o.n_prompt : 512) + o.session.max_tokens;
    status = host_session(&h, &o, speech ? "transcribe" : text ? "generate" : "embed");
    mm_status st = MM_OK;
    if (!status && text) st = bench_text(&h, &o, reps, &f, &err);
    if (!status && st == MM_OK && (speech || (image && (o.encode || !text)))) st = bench_encode(&h, takes, reps, &f, &err);
    if (!status && st != MM_OK) status = fail(&err, st);
    o.json = given->json;
    if (!status) print(&h, &o, &f);
    free(tasks);
    free(takes);
    host_close(&h);
    return status;
}

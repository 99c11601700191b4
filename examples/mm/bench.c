/* mm bench: tokens a second on random ids or a text, with and without drafts, milliseconds an encode, from a picture to the first token of the answer, load time and
 * peak memory. Medians over the repetitions, after one run that is not counted; what a model does not do is left out. */
#include "synthetic.h"

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

static void sample(samples *s, double v)
{
    s->v[s->n++] = v;
}

static double stat(const mm_session *s, const char *key)
{
    double v = 0;
    mm_session_stat(s, key, &v, NULL);
    return v;
}

static mm_status drain(const host *h, mm_error *err)
{
    mm_event e = {.size = sizeof e};
    mm_status st;
    while ((st = mm_session_next(h->session, &e, err)) == MM_OK) counts_event(h);
    counts_end(h);
    return st == MM_END ? MM_OK : st;
}

/* Appends n random ids. */
static mm_status put_ids(mm_input *in, uint32_t n, uint32_t vocab, mm_error *err)
{
    int32_t *ids = calloc(n, sizeof *ids);
    uint32_t x = 12345;
    for (uint32_t i = 0; ids && i < n; i++) ids[i] = (int32_t)((x = x * 1664525u + 1013904223u) >> 8) % (int32_t)vocab;
    const mm_status st = ids ? mm_input_tokens(in, ids, n, err) : MM_E_NOMEM;
    free(ids);
    return st;
}

/* What is to be answered: a text, or else n random ids. */
typedef struct question { char *text; size_t len; uint32_t n, vocab; } question;

static mm_status put_question(mm_input *in, const question *q, mm_error *err)
{
    if (!q->text) return put_ids(in, q->n, q->vocab, err);
    const mm_status st = mm_input_role(in, "user", err);
    return st == MM_OK ? mm_input_text(in, q->text, q->len, err) : st;
}

/* One question and the options' answer, with drafts of `lookup` tokens. */
static mm_status generate(host *h, const question *q, const char *lookup, mm_error *err)
{
    mm_input *in = NULL;
    mm_status st = mm_session_reset(h->session, err);
    if (st == MM_OK) st = mm_session_set(h->session, "lookup", lookup, err);
    if (st == MM_OK) st = mm_input_create(h->engine, &in, err);
    if (st == MM_OK) st = put_question(in, q, err);
    counts_begin(h);
    if (st == MM_OK) st = mm_session_feed(h->session, in, err);
    if (st == MM_OK) st = drain(h, err);
    mm_input_release(in);
    return st;
}

/* A gradient, another one for each seed up to 2^24, so that nothing can know it from before: the model keeps what it made of earlier
 * pictures. */
static mm_status put_picture(mm_input *in, uint32_t seed, mm_error *err)
{
    const uint32_t side = 336;
    uint8_t *pixels = malloc((size_t)side * side * 3);
    for (uint32_t i = 0; pixels && i < side * side * 3; i++) pixels[i] = (uint8_t)((i / 3 % side ^ i / (3 * side)) + (seed >> 8 * (i % 3)));
    const mm_image im = {.size = sizeof im, .width = side, .height = side, .format = MM_PIXELS_RGB, .pixels = pixels};
    const mm_status st = pixels ? mm_input_image(in, &im, err) : MM_E_NOMEM;
    free(pixels);
    return st;
}

/* How long the last encode() took, all in all: of a model that makes vectors that is what its encoder takes. */
static double vectors_ms;

/* A new picture, with a word where the model takes text; or half a minute of a soft tone; or a sentence. */
static mm_status encode(host *h, const char *takes, uint32_t seed, mm_error *err)
{
    static const char sentence[] = "The quick brown fox jumps over the lazy dog while the band plays on.";
    const bool image = strstr(takes, "image") != NULL, text = strstr(takes, "text") != NULL, sound = strstr(takes, "audio") != NULL;
    const uint32_t rate = 16000, frames = 30 * rate;
    mm_input *in = NULL;
    float *pcm = sound && !image ? malloc(frames * sizeof *pcm) : NULL;
    for (uint32_t i = 0; pcm && i < frames; i++) pcm[i] = 0.1f * sinf((float)i * (0.05f + 0.001f * (float)seed));
    const mm_audio au = {.size = sizeof au, .rate = rate, .channels = 1, .format = MM_SAMPLES_F32, .frames = frames, .samples = pcm};
    mm_status st = mm_session_reset(h->session, err);
    if (st == MM_OK) st = mm_input_create(h->engine, &in, err);
    if (st == MM_OK && image) st = put_picture(in, seed, err);
    if (st == MM_OK && pcm) st = mm_input_audio(in, &au, err);
    if (st == MM_OK && text && !sound) st = image ? mm_input_text(in, "a", 1, err) : mm_input_text(in, sentence, sizeof sentence - 1, err);
    counts_begin(h);
    const double start = now_ms();
    if (st == MM_OK) st = mm_session_feed(h->session, in, err);
    if (st == MM_OK) st = drain(h, err);
    vectors_ms = now_ms() - start;
    mm_input_release(in);
    free(pcm);
    return st;
}

/* Milliseconds from a picture and n ids to the first token of the answer. */
static mm_status first_token(host *h, uint32_t seed, uint32_t n, uint32_t vocab, double *ms, mm_error *err)
{
    mm_event e = {.size = sizeof e};
    mm_input *in = NULL;
    mm_status st = mm_session_reset(h->session, err);
    if (st == MM_OK) st = mm_input_create(h->engine, &in, err);
    if (st == MM_OK) st = put_picture(in, seed, err);
    if (st == MM_OK) st = put_ids(in, n, vocab, err);
    const double start = now_ms();
    if (st == MM_OK) st = mm_session_feed(h->session, in, err);
    while (st == MM_OK && (st = mm_session_next(h->session, &e, err)) == MM_OK && e.kind != MM_EVENT_TEXT) {}
    *ms = now_ms() - start;
    if (st == MM_OK) st = mm_session_reset(h->session, err); /* the rest of the answer is of no interest */
    mm_input_release(in);
    return st == MM_END ? MM_OK : st;
}

typedef struct figures { double prefill, decode, drafted, ratio, right, encode, first, again; } figures;

static uint32_t vocabulary(const host *h)
{
    char *text = info_text(h->model, "vocab");
    const uint32_t n = text ? (uint32_t)strtoul(text, NULL, 10) : 0;
    free(text);
    return n ? n : 1;
}

/* Tokens a second of the last answer behind its first; 0: it has no more. */
static double decode_speed(const host *h)
{
    const double steps = stat(h->session, "decode_tokens") - 1;
    return steps > 0 ? steps / stat(h->session, "decode_ms") * 1e3 : 0;
}

/* The same answer with drafts, where without it took `plain` tokens a second. */
static mm_status bench_drafts(host *h, const question *q, const char *lookup, double plain, samples *drafted, samples *ratio, figures *f,
                              mm_error *err)
{
    const mm_status st = generate(h, q, lookup, err);
    const double speed = st == MM_OK ? decode_speed(h) : 0, tokens = stat(h->session, "draft_tokens");
    if (speed > 0) sample(drafted, speed);
    if (speed > 0 && plain > 0) sample(ratio, speed / plain);
    f->right = tokens > 0 ? 100 * stat(h->session, "draft_taken") / tokens : 0;
    return st;
}

/* lookup NULL: no drafts. */
static mm_status bench_text(host *h, const question *q, const char *lookup, uint32_t reps, figures *f, mm_error *err)
{
    static samples prefill, decode, drafted, ratio;
    for (uint32_t i = 0; i <= reps; i++) {
        if (i == 1) drafted.n = ratio.n = 0;
        mm_status st = generate(h, q, "0", err);
        const double speed = decode_speed(h);
        if (st == MM_OK && i) sample(&prefill, stat(h->session, "prefill_tokens") / stat(h->session, "prefill_ms") * 1e3);
        if (st == MM_OK && i && speed > 0) sample(&decode, speed);
        if (st == MM_OK && lookup) st = bench_drafts(h, q, lookup, speed, &drafted, &ratio, f, err);
        if (st != MM_OK) return st;
    }
    f->prefill = median(&prefill);
    f->decode = median(&decode);
    f->drafted = median(&drafted);
    f->ratio = median(&ratio);
    return MM_OK;
}

static mm_status bench_encode(host *h, const char *takes, uint32_t reps, figures *f, mm_error *err)
{
    static samples encodes, decode;
    for (uint32_t i = 0; i <= reps; i++) {
        const mm_status st = encode(h, takes, i, err);
        if (st != MM_OK) return st;
        const double ms = stat(h->session, "encode_ms"), steps = stat(h->session, "decode_tokens");
        if (!i) continue;
        if (!stat(h->session, "media_cache_hits")) sample(&encodes, ms > 0 ? ms : vectors_ms);
        if (steps > 0) sample(&decode, steps / stat(h->session, "decode_ms") * 1e3);
    }
    f->encode = median(&encodes);
    if (!f->decode) f->decode = median(&decode); /* speech: of what the encoder's rows said */
    return MM_OK;
}

#define OF_FIRST (1u << 16) /* seeds that bench_encode did not use */

/* A picture before a prompt: one that is new, and the same again, which is not encoded. What was not so counts for neither. */
static mm_status bench_first(host *h, uint32_t n, uint32_t reps, figures *f, mm_error *err)
{
    static samples first, again;
    for (uint32_t i = 0; i <= reps; i++) {
        double fresh = 0, known = 0;
        mm_status st = first_token(h, OF_FIRST + i, n, vocabulary(h), &fresh, err);
        const bool unknown = !stat(h->session, "media_cache_hits");
        if (st == MM_OK) st = first_token(h, OF_FIRST + i, n, vocabulary(h), &known, err);
        if (st != MM_OK) return st;
        if (i && unknown) sample(&first, fresh);
        if (i && stat(h->session, "media_cache_hits")) sample(&again, known);
    }
    f->first = median(&first);
    f->again = median(&again);
    return MM_OK;
}

/* "name" and value as JSON or as text; what was not measured is left out. */
static void print_figure(bool json, const char *key, const char *label, double v, const char *unit)
{
    if (v > 0 && json) printf("\"%s\":%.2f,", key, v);
    else if (v > 0) printf(v < 10 ? "%s %.2f %s   " : "%s %.1f %s   ", label, v, unit);
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
    print_figure(json, "lookup_tps", "with drafts", f->drafted, "tokens/s");
    print_figure(json, "lookup_ratio", "ratio", f->ratio, "x");
    print_figure(json, "lookup_right", "drafts right", f->right, "%");
    print_figure(json, "encode_ms", "encode", f->encode, "ms");
    print_figure(json, "first_token_ms", "picture to first token", f->first, "ms");
    print_figure(json, "first_token_again_ms", "the same again, cached", f->again, "ms");
    if (json) counts_print(h, true);
    print_figure(json, "load_ms", "load", h->load_ms, "ms");
    print_figure(json, "peak_mb", "peak", (double)u.ru_maxrss / 1024, "MiB");
    if (json)
        printf("\"threads\":%u,\"precision\":\"%s\",\"arena_mb\":%.2f,\"kv_mb\":%.2f}\n", (unsigned)o->threads, precision,
               stat(h->session, "arena_bytes") / 1048576, stat(h->session, "kv_bytes") / 1048576);
    else printf("(%s)\n", precision);
    if (!json) counts_print(h, false);
}

/* Positions the model was made for; 0: it does not say. */
static uint32_t most_positions(const host *h)
{
    char *context = info_text(h->model, "context");
    const uint32_t most = context ? (uint32_t)strtoul(context, NULL, 10) : 0;
    free(context);
    return most;
}

/* The prompt's length: what was asked for, or 512, or what the model's context has room for. */
static uint32_t prompt_length(const host *h, const options *o)
{
    const uint32_t most = most_positions(h), answer = o->session.max_tokens;
    if (o->n_prompt || !most) return o->n_prompt ? o->n_prompt : 512;
    const uint32_t room = most / 2 > answer ? most - answer : most / 2 + !(most / 2);
    return room < 512 ? room : 512;
}

/* The context: room for prompt, answer and, with --encode, the rows of a picture. */
static uint32_t context_length(const host *h, const options *o, uint32_t prompt)
{
    enum { PICTURE_ROWS = 1024 };
    const uint32_t most = most_positions(h), tight = prompt + o->session.max_tokens, want = tight + (o->encode ? PICTURE_ROWS : 0);
    return !most || want <= most ? want : most > tight ? most : tight;
}

/* Everything the model does, measured; 0 or an exit status. */
static int bench(host *h, options *o, figures *f)
{
    mm_error err = {.size = sizeof err};
    char *tasks = info_text(h->model, "tasks"), *takes = info_text(h->model, "modalities_in");
    const bool speech = strstr(tasks, "transcribe") != NULL, text = strstr(tasks, "generate") != NULL;
    const bool image = strstr(takes, "image") != NULL;
    const uint32_t reps = o->reps ? o->reps : 3, n = prompt_length(h, o);
    question q = {.n = n, .vocab = vocabulary(h)};
    int status = 0;
    if (o->file && !(q.text = read_text(o->file, &q.len))) status = EXIT_RUN;
    if (!status && !text && (o->lookup || o->file)) {
        fprintf(stderr, "mm: %s: the model generates no text; leave out --lookup and --file\n", o->model);
        status = EXIT_UNSUPPORTED;
    }
    if (!status && text && o->encode && !image) {
        fprintf(stderr, "mm: %s: the model takes no pictures, so it has no encoder to time; leave out --encode\n", o->model);
        status = EXIT_UNSUPPORTED;
    }
    if (!o->session.n_ctx && text && !o->file) o->session.n_ctx = context_length(h, o, n);
    if (!status) status = host_session(h, o, speech ? "transcribe" : text ? "generate" : "embed");
    mm_status st = MM_OK;
    if (!status && text) st = bench_text(h, &q, o->lookup, reps, f, &err);
    if (!status && st == MM_OK && (!text || (image && o->encode))) st = bench_encode(h, takes, reps, f, &err);
    if (!status && st == MM_OK && text && image && o->encode) st = bench_first(h, n, reps, f, &err);
    if (!status && st != MM_OK) status = fail_at(o->model, &err, st);
    free(q.text);
    free(tasks);
    free(takes);
    return status;
}

int cmd_bench(const options *given)
{
    host h;
    options o = *given;
    figures f = {0};
    char kept[1024];
    int status = 0;
    if (o.synthetic && strcmp(o.synthetic, "?") == 0) {
        synthetic_list(stdout);
        return finish_output(0);
    }
    if (o.keep) {
        status = synthetic_keep(o.synthetic, o.keep, kept, sizeof kept);
        o.model = kept;
    } else if (o.synthetic) {
        o.files = synthetic_files(o.synthetic, &o.model);
        status = o.files ? 0 : EXIT_USAGE;
    }
    if (!o.threads) o.threads = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
    if (!status) status = host_open(&h, &o);
    if (!status && o.counts && (status = counts_open(&h)) != 0) host_close(&h);
    if (!status) {
        o.json = false;
        o.raw = o.ignore_eos = !o.file;
        o.session.max_tokens = o.n_gen ? o.n_gen : 64;
        status = bench(&h, &o, &f);
        o.json = given->json;
        if (!status) print(&h, &o, &f);
        host_close(&h);
    }
    synthetic_free();
    return status;
}

/* The command line's options: one table says the type, range and commands of each. Anything unknown, missing, out of range
 * or of no use to the command ends with usage status. */
#include "mm.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { RUN = 1, TRANSCRIBE = 2, EMBED = 4, SCORE = 8, TOKENIZE = 16, INFO = 32, DEVICES = 64, BENCH = 128 };
#define ON_MODEL (RUN | TRANSCRIBE | EMBED | SCORE | TOKENIZE | INFO | BENCH)
#define ALL (ON_MODEL | DEVICES)

typedef struct command { const char *name; unsigned bit; int arguments; } command;
static const command commands[] = {{"run", RUN, 2},       {"transcribe", TRANSCRIBE, 2}, {"embed", EMBED, 1},     {"score", SCORE, 1},
                                   {"tokenize", TOKENIZE, 2}, {"info", INFO, 1},         {"devices", DEVICES, 0}, {"bench", BENCH, 1}};

typedef enum kind { FLAG, TEXT, LIST, ITEM, WHOLE, WHOLE64, REAL, PRECISION } kind;
typedef struct option {
    const char *name;
    kind kind;
    unsigned commands;
    size_t at;                /* offset in `options`; ITEM: the kind of item */
    double min, max;          /* of numbers; REAL: min itself only where `from` */
    bool from;
} option;

#define AT(field) offsetof(options, field)
static const option table[] = {
    {"--image", ITEM, RUN | EMBED | SCORE, 'i', 0, 0, 0},
    {"--audio", ITEM, RUN | TRANSCRIBE | EMBED, 'a', 0, 0, 0},
    {"--text", ITEM, EMBED | SCORE, 't', 0, 0, 0},
    {"--system", TEXT, RUN, AT(system), 0, 0, 0},
    {"--messages", TEXT, RUN, AT(messages), 0, 0, 0},
    {"--raw", FLAG, RUN, AT(raw), 0, 0, 0},
    {"--json", FLAG, ALL, AT(json), 0, 0, 0},
    {"--max-tokens", WHOLE, RUN | TRANSCRIBE, AT(session.max_tokens), 0, UINT32_MAX, 0},
    {"--ctx", WHOLE, RUN | BENCH, AT(session.n_ctx), 0, 1 << 24, 0},
    {"--kv-type", TEXT, RUN | BENCH, AT(kv_type), 0, 0, 0},
    {"--truncate", FLAG, RUN, AT(truncate), 0, 0, 0},
    {"--temp", REAL, RUN, AT(session.temperature), 0, INFINITY, true},
    {"--top-k", WHOLE, RUN, AT(session.top_k), 0, UINT32_MAX, 0},
    {"--top-p", REAL, RUN, AT(session.top_p), 0, 1, false},
    {"--min-p", REAL, RUN, AT(session.min_p), 0, 1, true},
    {"--repeat-penalty", REAL, RUN, AT(session.repeat_penalty), 0, INFINITY, false},
    {"--seed", WHOLE64, RUN, AT(session.seed), 0, 0, 0},
    {"--stop", LIST, RUN, AT(stops), 0, 0, 0},
    {"--ignore-eos", FLAG, RUN, AT(ignore_eos), 0, 0, 0},
    {"--top-logprobs", WHOLE, RUN, AT(session.top_logprobs), 0, 20, 0},
    {"--decoder-prompt", TEXT, RUN, AT(decoder_prompt), 0, 0, 0},
    {"--force-ids", TEXT, RUN, AT(force_ids), 0, 0, 0},
    {"--lookup", TEXT, RUN | BENCH, AT(lookup), 0, 0, 0},
    {"--language", TEXT, TRANSCRIBE, AT(language), 0, 0, 0},
    {"--translate", FLAG, TRANSCRIBE, AT(translate), 0, 0, 0},
    {"--srt", FLAG, TRANSCRIBE, AT(srt), 0, 0, 0},
    {"--vtt", FLAG, TRANSCRIBE, AT(vtt), 0, 0, 0},
    {"--file", TEXT, TOKENIZE | BENCH, AT(file), 0, 0, 0},
    {"--special", FLAG, TOKENIZE, AT(special), 0, 0, 0},
    {"--self-test", FLAG, DEVICES, AT(self_test), 0, 0, 0},
    {"--tensors", FLAG, INFO, AT(tensors), 0, 0, 0},
    {"--prompt", WHOLE, BENCH, AT(n_prompt), 1, 1 << 24, 0},
    {"--gen", WHOLE, BENCH, AT(n_gen), 1, 1 << 24, 0},
    {"--reps", WHOLE, BENCH, AT(reps), 1, 10000, 0},
    {"--encode", FLAG, BENCH, AT(encode), 0, 0, 0},
    {"--counts", FLAG, BENCH, AT(counts), 0, 0, 0},
    {"--synthetic", TEXT, BENCH, AT(synthetic), 0, 0, 0},
    {"--keep", TEXT, BENCH, AT(keep), 0, 0, 0},
    {"--threads", WHOLE, ON_MODEL, AT(threads), 0, 1024, 0},
    {"--device", TEXT, ON_MODEL, AT(device), 0, 0, 0},
    {"--gpu-layers", TEXT, ON_MODEL, AT(gpu_layers), 0, 0, 0},
    {"--place", TEXT, ON_MODEL, AT(place), 0, 0, 0},
    {"--device-cache", TEXT, ON_MODEL, AT(device_cache), 0, 0, 0},
    {"--precision", PRECISION, ON_MODEL, AT(precision), 0, 0, 0},
    {"--dump", LIST, RUN | TRANSCRIBE | EMBED | SCORE, AT(dumps), 0, 0, 0},
    {"-v", FLAG, ALL, AT(verbose), 0, 0, 0},
    {"--verbose", FLAG, ALL, AT(verbose), 0, 0, 0},
};
enum { N_OPTIONS = sizeof table / sizeof *table };

static void bad(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
static void bad(const char *fmt, ...)
{
    va_list ap;
    fputs("mm: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputs("; see mm --help\n", stderr);
    exit(EXIT_USAGE);
}

static void *grow(void *p, size_t n, size_t each)
{
    p = realloc(p, (n + 1) * each);
    if (!p) {
        fputs("mm: out of memory\n", stderr);
        exit(EXIT_RUN);
    }
    return p;
}

static void push(list *l, const char *s)
{
    l->items = grow(l->items, l->n, sizeof *l->items);
    l->items[l->n++] = s;
}

static void push_item(options *o, char what, const char *value)
{
    o->items = grow(o->items, o->n_items, sizeof *o->items);
    o->items[o->n_items++] = (item){what, value};
}

static uint64_t whole(const char *name, const char *s, uint64_t min, uint64_t max)
{
    char *end;
    errno = 0;
    const unsigned long long v = strtoull(s, &end, 10);
    if (!errno && !*end && s[0] >= '0' && s[0] <= '9' && v >= min && v <= max) return v;
    bad("a whole number from %llu to %llu is needed after %s, not \"%s\"", (unsigned long long)min, (unsigned long long)max, name, s);
}

static float real(const option *p, const char *s)
{
    char *end, range[64];
    const float v = strtof(s, &end);
    if (!*end && end != s && isfinite(v) && (p->from ? (double)v >= p->min : (double)v > p->min) && (double)v <= p->max) return v;
    if (isfinite(p->max)) snprintf(range, sizeof range, p->from ? "from %g to %g" : "above %g and up to %g", p->min, p->max);
    else snprintf(range, sizeof range, p->from ? "from %g up" : "above %g", p->min);
    bad("a number %s is needed after %s, not \"%s\"", range, p->name, s);
}

static int precision(const char *s)
{
    if (strcmp(s, "exact") == 0) return MM_PRECISION_EXACT;
    if (strcmp(s, "fast") == 0) return MM_PRECISION_FAST;
    bad("--precision is exact or fast, not \"%s\"", s);
}

static void set(options *o, const option *p, const char *value)
{
    void *at = (char *)o + p->at;
    switch (p->kind) {
    case FLAG: *(bool *)at = true; break;
    case TEXT: *(const char **)at = value; break;
    case LIST: push(at, value); break;
    case ITEM: push_item(o, (char)p->at, value); break;
    case WHOLE: *(uint32_t *)at = (uint32_t)whole(p->name, value, (uint64_t)p->min, (uint64_t)p->max); break;
    case WHOLE64: *(uint64_t *)at = whole(p->name, value, 0, UINT64_MAX); break;
    case REAL: *(float *)at = real(p, value); break;
    case PRECISION: *(int *)at = precision(value); break;
    }
}

/* Takes one option, "--name value" or "--name=value"; returns how many arguments it was. */
static int take(options *o, bool used[N_OPTIONS], char **argv)
{
    const size_t len = strcspn(argv[0], "=");
    const char *value = argv[0][len] ? argv[0] + len + 1 : NULL;
    for (size_t i = 0; i < N_OPTIONS; i++) {
        const option *p = &table[i];
        if (strlen(p->name) != len || memcmp(p->name, argv[0], len) != 0) continue;
        used[i] = true;
        if (p->kind == FLAG && value) bad("%s takes no value", p->name);
        if (p->kind != FLAG && !value && !argv[1]) bad("a value is missing after %s", p->name);
        set(o, p, p->kind == FLAG || value ? value : argv[1]);
        return p->kind == FLAG || value ? 1 : 2;
    }
    bad("unknown option %.*s", (int)len, argv[0]);
}

static const command *find_command(const char *name)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(commands[i].name, name) == 0) return &commands[i];
    bad("unknown command %s", name);
}

static void say_and_go(void (*what)(FILE *to))
{
    what(stdout);
    exit(finish_output(0));
}

/* What only the whole line can tell. */
static void check(const options *o, const command *c, const bool used[N_OPTIONS])
{
    for (size_t i = 0; i < N_OPTIONS; i++)
        if (used[i] && !(table[i].commands & c->bit)) bad("%s has no use for %s", c->name, table[i].name);
    if (o->synthetic && o->model) bad("bench takes a MODEL or --synthetic, not both");
    if (o->keep && !o->synthetic) bad("--keep needs --synthetic");
    if (c->arguments && !o->model && !o->synthetic) bad("a MODEL is needed after %s", c->name);
    if (o->model && !o->model[0]) bad("the MODEL after %s is an empty text", c->name);
    if (o->json + o->srt + o->vtt > 1) bad("only one of --json, --srt and --vtt can be given");
    if (o->session.top_logprobs && !o->json) bad("--top-logprobs needs --json");
    if (o->file && o->n_prompt) bad("bench takes --prompt or --file, not both");
    if (o->file && o->prompt) bad("tokenize takes a TEXT or --file, not both");
    for (size_t i = 0; i < o->stops.n; i++)
        if (!o->stops.items[i][0]) bad("a text is needed after --stop, not an empty string");
    for (size_t i = 0; i < o->dumps.n; i++)
        if (!strchr(o->dumps.items[i], '=')) bad("--dump takes STAGE=FILE.safetensors, not \"%s\"", o->dumps.items[i]);
}

void parse_args(int argc, char **argv, options *o)
{
    const char *words[3];
    bool used[N_OPTIONS] = {0};
    int n = 0;
    memset(o, 0, sizeof *o);
    mm_session_options_init(&o->session, sizeof o->session);
    for (int i = 1, options_end = 0; i < argc;) {
        const char *a = argv[i];
        if (options_end || a[0] != '-' || !a[1]) {
            if (n == 3 || (n && n > find_command(words[0])->arguments)) bad("one argument too many: %s", a);
            words[n++] = a;
            i++;
        } else if (strcmp(a, "--") == 0) {
            options_end = 1;
            i++;
        } else if (strcmp(a, "--help") == 0 || strcmp(a, "-h") == 0) {
            say_and_go(usage);
        } else if (strcmp(a, "--version") == 0) {
            say_and_go(version);
        } else {
            i += take(o, used, argv + i);
        }
        if (n == 1 && strcmp(words[0], "help") == 0) say_and_go(usage);
        if (n == 1 && strcmp(words[0], "version") == 0) say_and_go(version);
    }
    if (!n) {
        usage(stderr);
        exit(EXIT_USAGE);
    }
    o->command = words[0];
    o->model = n > 1 ? words[1] : NULL;
    o->prompt = n > 2 ? words[2] : NULL;
    check(o, find_command(words[0]), used);
}

void free_args(options *o)
{
    free(o->items);
    free(o->stops.items);
    free(o->dumps.items);
}

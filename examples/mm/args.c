/* The command line's options: one table, typed. Anything unknown, missing or out of range ends with usage status. */
#include "mm.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void usage(FILE *to)
{
    fputs("usage: mm COMMAND MODEL [ARGUMENT] [OPTIONS]\n"
          "\n"
          "  run MODEL [PROMPT|-]      answer a prompt; without one, chat (on a terminal)\n"
          "      --image FILE  --audio FILE  --system TEXT  --messages FILE.json  --raw  --json\n"
          "      --max-tokens N  --temp X  --top-k N  --top-p X  --min-p X  --repeat-penalty X  --seed N\n"
          "      --stop TEXT  --ctx N  --top-logprobs N  --ignore-eos  --truncate  --decoder-prompt TEXT\n"
          "  transcribe MODEL AUDIO    [--language xx] [--translate] [--json | --srt | --vtt]\n"
          "  embed MODEL               (--text S | --image F | --audio F)... [--json]\n"
          "  score MODEL               --image F --text A --text B ... [--json]\n"
          "  tokenize MODEL            [--json] [--special] (TEXT | --file F)\n"
          "  info MODEL                [--json] [--tensors]\n"
          "  devices\n"
          "  bench MODEL               [--prompt N] [--gen N] [--encode] [--reps N] [--json]\n"
          "\n"
          "common: --threads N  --device cpu|vulkan:N|auto  --precision exact|fast  --dump STAGE=FILE.safetensors  -v\n"
          "exit status: 0 ok, 1 run-time error, 2 usage, 3 unsupported model, 4 damaged file\n",
          to);
}

static void bad(const char *what, const char *arg)
{
    fprintf(stderr, "mm: %s%s%s; see mm --help\n", what, arg ? " " : "", arg ? arg : "");
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

static void push_item(options *o, char kind, const char *value)
{
    o->items = grow(o->items, o->n_items, sizeof *o->items);
    o->items[o->n_items++] = (item){kind, value};
}

static uint64_t whole(const char *name, const char *s, uint64_t max)
{
    char *end;
    errno = 0;
    const unsigned long long v = strtoull(s, &end, 10);
    if (!errno && !*end && end != s && s[0] != '-' && v <= max) return v;
    fprintf(stderr, "mm: a whole number from 0 to %llu is needed after %s, not \"%s\"; see mm --help\n", (unsigned long long)max, name, s);
    exit(EXIT_USAGE);
}

/* Real numbers and where they may lie. */
typedef struct real { const char *name; size_t offset; bool (*ok)(float v); const char *range; } real;

static bool from_zero(float v) { return v >= 0; }
static bool above_zero(float v) { return v > 0; }
static bool share(float v) { return v >= 0 && v <= 1; }
static bool some_share(float v) { return v > 0 && v <= 1; }

static bool take_real(options *o, const char *name, const char *s)
{
    static const real reals[] = {{"--temp", offsetof(mm_session_options, temperature), from_zero, "from 0 up"},
                                 {"--top-p", offsetof(mm_session_options, top_p), some_share, "above 0 and up to 1"},
                                 {"--min-p", offsetof(mm_session_options, min_p), share, "from 0 to 1"},
                                 {"--repeat-penalty", offsetof(mm_session_options, repeat_penalty), above_zero, "above 0"}};
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        if (strcmp(reals[i].name, name) != 0) continue;
        char *end;
        const float v = strtof(s, &end);
        if (*end || end == s || !isfinite(v) || !reals[i].ok(v)) {
            fprintf(stderr, "mm: a number %s is needed after %s, not \"%s\"; see mm --help\n", reals[i].range, name, s);
            exit(EXIT_USAGE);
        }
        *(float *)(void *)((char *)&o->session + reals[i].offset) = v;
        return true;
    }
    return false;
}

typedef struct flag { const char *name; size_t offset; } flag;

/* Options without a value. */
static bool take_flag(options *o, const char *name)
{
    static const flag flags[] = {
        {"--raw", offsetof(options, raw)},           {"--json", offsetof(options, json)},
        {"--ignore-eos", offsetof(options, ignore_eos)}, {"--translate", offsetof(options, translate)},
        {"--srt", offsetof(options, srt)},           {"--vtt", offsetof(options, vtt)},
        {"--special", offsetof(options, special)},   {"--tensors", offsetof(options, tensors)},
        {"--encode", offsetof(options, encode)},     {"--truncate", offsetof(options, truncate)},
        {"-v", offsetof(options, verbose)},          {"--verbose", offsetof(options, verbose)},
    };
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (strcmp(flags[i].name, name) == 0) {
            *(bool *)((char *)o + flags[i].offset) = true;
            return true;
        }
    return false;
}

static bool take_string(options *o, const char *name, const char *value)
{
    static const flag strings[] = {
        {"--system", offsetof(options, system)},     {"--messages", offsetof(options, messages)},
        {"--language", offsetof(options, language)}, {"--file", offsetof(options, file)},
        {"--device", offsetof(options, device)},     {"--force-ids", offsetof(options, force_ids)},
        {"--decoder-prompt", offsetof(options, decoder_prompt)},
    };
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
        if (strcmp(strings[i].name, name) == 0) {
            *(const char **)((char *)o + strings[i].offset) = value;
            return true;
        }
    if (strcmp(name, "--image") == 0) push_item(o, 'i', value);
    else if (strcmp(name, "--audio") == 0) push_item(o, 'a', value);
    else if (strcmp(name, "--text") == 0) push_item(o, 't', value);
    else if (strcmp(name, "--stop") == 0) push(&o->stops, value);
    else if (strcmp(name, "--dump") == 0) push(&o->dumps, value);
    else return false;
    return true;
}

static bool take_number(options *o, const char *name, const char *value)
{
    mm_session_options *s = &o->session;
    if (strcmp(name, "--threads") == 0) o->threads = (uint32_t)whole(name, value, 1024);
    else if (strcmp(name, "--prompt") == 0) o->n_prompt = (uint32_t)whole(name, value, 1u << 24);
    else if (strcmp(name, "--gen") == 0) o->n_gen = (uint32_t)whole(name, value, 1u << 24);
    else if (strcmp(name, "--reps") == 0) o->reps = (uint32_t)whole(name, value, 10000);
    else if (strcmp(name, "--max-tokens") == 0) s->max_tokens = (uint32_t)whole(name, value, UINT32_MAX);
    else if (strcmp(name, "--ctx") == 0) s->n_ctx = (uint32_t)whole(name, value, 1u << 24);
    else if (strcmp(name, "--top-k") == 0) s->top_k = (uint32_t)whole(name, value, UINT32_MAX);
    else if (strcmp(name, "--top-logprobs") == 0) s->top_logprobs = (uint32_t)whole(name, value, 20);
    else if (strcmp(name, "--seed") == 0) s->seed = whole(name, value, UINT64_MAX);
    else return take_real(o, name, value);
    return true;
}

static bool take_precision(options *o, const char *name, const char *value)
{
    if (strcmp(name, "--precision") != 0) return false;
    if (strcmp(value, "exact") == 0) o->precision = MM_PRECISION_EXACT;
    else if (strcmp(value, "fast") == 0) o->precision = MM_PRECISION_FAST;
    else bad("--precision is exact or fast, not", value);
    return true;
}

static void positional(options *o, const char *arg)
{
    if (!o->command) o->command = arg;
    else if (!o->model) o->model = arg;
    else if (!o->prompt) o->prompt = arg;
    else bad("one argument too many:", arg);
}

void parse_args(int argc, char **argv, options *o)
{
    bool options_end = false;
    memset(o, 0, sizeof *o);
    mm_session_options_init(&o->session, sizeof o->session);
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        if (options_end || a[0] != '-' || !a[1]) {
            positional(o, a);
            continue;
        }
        if (strcmp(a, "--") == 0) {
            options_end = true;
            continue;
        }
        if (strcmp(a, "--help") == 0 || strcmp(a, "-h") == 0) {
            usage(stdout);
            exit(0);
        }
        if (take_flag(o, a)) continue;
        if (i + 1 == argc) bad("unknown option, or its value is missing:", a);
        const char *value = argv[++i];
        if (!take_string(o, a, value) && !take_number(o, a, value) && !take_precision(o, a, value)) bad("unknown option", a);
    }
    if (!o->command) {
        usage(stderr);
        exit(EXIT_USAGE);
    }
    if (!o->model && strcmp(o->command, "devices") != 0) bad("a MODEL is needed after", o->command);
    for (size_t i = 0; i < o->dumps.n; i++)
        if (!strchr(o->dumps.items[i], '=')) bad("--dump takes STAGE=FILE.safetensors, not", o->dumps.items[i]);
}

void free_args(options *o)
{
    free(o->items);
    free(o->stops.items);
    free(o->dumps.items);
}

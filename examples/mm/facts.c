/* mm tokenize, info and devices. */
#include "mm.h"

#include <stdlib.h>
#include <string.h>

static int print_tokens(const host *h, const options *o, const char *text, size_t len)
{
    mm_error err = {.size = sizeof err};
    const uint32_t flags = MM_TOKENIZE_AROUND | (o->special ? MM_TOKENIZE_SPECIAL : 0);
    size_t n = 0;
    mm_status st = mm_model_tokenize(h->model, text, len, flags, NULL, 0, &n, &err);
    int32_t *ids = calloc(n + 1, sizeof *ids);
    if (st == MM_OK && ids) st = mm_model_tokenize(h->model, text, len, flags, ids, n, &n, &err);
    if (st == MM_OK && o->json) {
        fputs("{\"ids\":", stdout);
        json_ids(stdout, ids, n);
        puts("}");
    }
    for (size_t i = 0; st == MM_OK && !o->json && i < n; i++) {
        char piece[256] = "";
        mm_model_detokenize(h->model, &ids[i], 1, MM_TOKENIZE_SPECIAL, piece, sizeof piece, NULL, NULL);
        printf("%7d  ", (int)ids[i]);
        json_string(stdout, piece, strlen(piece));
        putchar('\n');
    }
    free(ids);
    return st == MM_OK ? 0 : fail_at(o->model, &err, st);
}

int cmd_tokenize(const options *o)
{
    host h;
    char *from_file = NULL;
    const char *text = o->prompt;
    size_t len = text ? strlen(text) : 0;
    if (o->file) {
        text = from_file = read_text(o->file, &len);
        if (!text) return EXIT_RUN;
    }
    if (!text) {
        fputs("mm: tokenize needs a TEXT or --file; see mm --help\n", stderr);
        return EXIT_USAGE;
    }
    int status = host_open(&h, o);
    if (!status) status = print_tokens(&h, o, text, len);
    host_close(&h);
    free(from_file);
    return status;
}

static void print_key(const mm_model *m, const char *label, const char *key)
{
    char *text = info_text(m, key);
    if (text && text[0]) printf("%-14s %s\n", label, text);
    free(text);
}

/* A plan's JSON for people: {"weights":1048576,"kv":0,...} as "weights 1.0 MiB, ...", what is nothing left out. */
static void print_plan(const mm_model *m)
{
    char *text = info_text(m, "plan:2048"), *p = text, *end;
    const char *sep = "";
    printf("%-14s ", "memory");
    while (p && (p = strchr(p, '"')) && (end = strchr(p + 1, '"')) && end[1] == ':') {
        const double bytes = strtod(end + 2, NULL);
        if (bytes > 0) printf("%s%.*s %.1f MiB", sep, (int)(end - p - 1), p + 1, bytes / (1 << 20));
        if (bytes > 0) sep = ", ";
        p = end + 1;
    }
    puts(" (a session of 2048 positions)");
    free(text);
}

/* The lines of "tensors": name, type, shape and bytes, separated by tabs; the shape is a list as JSON writes it. */
static void print_tensors(const mm_model *m, bool json)
{
    char *text = info_text(m, "tensors"), *rest = NULL;
    if (!json) fputs(text ? text : "", stdout);
    else fputs(",\"tensors\":[", stdout);
    for (char *line = json && text ? strtok_r(text, "\n", &rest) : NULL, *first = line; line; line = strtok_r(NULL, "\n", &rest)) {
        char *in = NULL, *name = strtok_r(line, "\t", &in), *type = strtok_r(NULL, "\t", &in), *shape = strtok_r(NULL, "\t", &in);
        if (!name || !type || !shape) continue;
        fputs(line == first ? "{\"name\":" : ",{\"name\":", stdout);
        json_string(stdout, name, strlen(name));
        fputs(",\"dtype\":", stdout);
        json_string(stdout, type, strlen(type));
        printf(",\"shape\":%s,\"bytes\":%s}", shape, in);
    }
    if (json) putchar(']');
    free(text);
}

int cmd_info(const options *o)
{
    static const char *const keys[][2] = {
        {"name", "name"}, {"assembly", "assembly"}, {"format", "format"}, {"parts", "parts"}, {"tasks", "tasks"},
        {"takes", "modalities_in"}, {"gives", "modalities_out"}, {"context", "context"}, {"vocabulary", "vocab"},
        {"parameters", "parameters"}, {"dtypes", "dtypes"}, {"prompt", "prompt_layout"}};
    host h;
    const int status = host_open(&h, o);
    if (status) return status;
    if (o->json) {
        char *summary = info_text(h.model, "summary"), *plan = info_text(h.model, "plan:2048");
        const size_t n = strlen(summary);
        printf("%.*s,\"memory_plan\":%s", (int)(n ? n - 1 : 0), summary, plan[0] ? plan : "null");
        if (o->tensors) print_tensors(h.model, true);
        puts("}");
        free(summary);
        free(plan);
    } else {
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) print_key(h.model, keys[i][0], keys[i][1]);
        print_plan(h.model);
    }
    if (o->tensors && !o->json) print_tensors(h.model, false);
    host_close(&h);
    return 0;
}

/* Why only processors were listed. */
static void say_no_vulkan(void)
{
    char kernels[256];
    const bool built = mm_build_info("kernels", kernels, sizeof kernels, NULL, NULL) == MM_OK && strstr(kernels, "spirv");
    puts(built ? "no Vulkan device on this machine" : "no Vulkan in this build: glslc or Vulkan's headers were not there");
}

/* {"id":"cpu",...} of the lines of "all", which are keys and values with tabs between. */
static void print_facts(char *lines)
{
    char *rest = NULL;
    const char *sep = "{";
    for (char *key = strtok_r(lines, "\n", &rest); key; key = strtok_r(NULL, "\n", &rest)) {
        char *value = strchr(key, '\t');
        if (!value || strncmp(key, "summary", 7) == 0) continue;
        *value++ = 0;
        printf("%s\"%s\":", sep, key);
        if (value[0] && strspn(value, "0123456789") == strlen(value)) fputs(value, stdout);
        else json_string(stdout, value, strlen(value));
        sep = ",";
    }
    puts("}");
}

/* The table of a device's self-test; an exit status. */
static int self_test(const char *device, const options *o)
{
    mm_error err = {.size = sizeof err};
    mm_engine_options eo;
    mm_engine *engine = NULL;
    size_t need = 0;
    char *text = NULL, *rest = NULL;
    mm_engine_options_init(&eo, sizeof eo);
    eo.device = device;
    eo.log = log_line;
    mm_status st = mm_engine_create(&eo, &engine, &err);
    if (st == MM_OK) st = mm_engine_info(engine, "self_test", NULL, 0, &need, &err);
    if (st == MM_OK && !(text = calloc(need + 1, 1))) {
        fputs("mm: out of memory\n", stderr);
        mm_engine_release(engine);
        return EXIT_RUN;
    }
    if (st == MM_OK) st = mm_engine_info(engine, "self_test", text, need + 1, &need, &err);
    for (char *line = st == MM_OK ? strtok_r(text, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest)) {
        char *in = NULL, *kind = strtok_r(line, "\t", &in), *verdict = strtok_r(NULL, "\t", &in), *error = strtok_r(NULL, "\t", &in);
        if (!kind || !verdict || !error) continue;
        if (o->json) printf("{\"id\":\"%s\",\"kind\":\"%s\",\"verdict\":\"%s\",\"error\":\"%s\",\"allowed\":\"%s\"}\n", device, kind, verdict, error, in);
        else printf("  %-34s %-10s %8s of %s\n", kind, verdict, error, in);
    }
    free(text);
    mm_engine_release(engine);
    return st == MM_OK ? 0 : fail_at(device, &err, st);
}

int cmd_devices(const options *o)
{
    bool vulkan = false;
    int status = 0;
    char text[512], id[64];
    for (uint32_t i = 0; mm_device_info(i, "all", text, sizeof text, NULL, NULL) == MM_OK; i++) {
        char *summary = strstr(text, "\nsummary\t");
        snprintf(id, sizeof id, "%.*s", (int)strcspn(text + 3, "\n"), text + 3); /* behind "id" and a tab */
        if (!o->json && summary) fputs(summary + 9, stdout);
        if (o->json) print_facts(text);
        vulkan = vulkan || strncmp(id, "vulkan", 6) == 0;
        if (o->self_test && strcmp(id, "cpu") != 0 && !status) status = self_test(id, o);
    }
    if (!o->json && !vulkan) say_no_vulkan();
    return status;
}

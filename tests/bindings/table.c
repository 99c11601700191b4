/* table TABLE.json: runs the cases of tests/bindings/table.json through the public header and prints one JSON object a line,
 * {"name":..,"ids":[..],"text":hex,"vectors":[[..]],"scores":[[..]],"segments":[[t0,t1,text]..],"language":..}, floats with
 * digits enough to tell all apart. The bindings run the same table and compare. */
#include <libmm.h>

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static mm_error err = MM_ERROR_INIT;

static int stop(const char *name, mm_status st)
{
    fprintf(stderr, "table: %s: %s: %s\n", name, mm_status_name(st), err.text);
    return 1;
}

static const char *str(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

static json_t *floats(const float *v, size_t n)
{
    json_t *row = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(row, json_real((double)v[i]));
    return row;
}

static json_t *ids_of(const int32_t *ids, size_t n)
{
    json_t *row = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(row, json_integer(ids[i]));
    return row;
}

/* Text of tokens need not be UTF-8, JSON must be: as hexadecimal digits. */
static json_t *text_of(const char *text, size_t n)
{
    char *hex = calloc(n + 1, 2);
    for (size_t i = 0; i < n; i++) sprintf(hex + 2 * i, "%02x", (unsigned char)text[i]);
    json_t *v = json_string(hex);
    free(hex);
    return v;
}

static int32_t *list(const json_t *ids, size_t *n)
{
    *n = json_array_size(ids);
    int32_t *out = calloc(*n + 1, sizeof *out);
    for (size_t i = 0; i < *n; i++) out[i] = (int32_t)json_integer_value(json_array_get(ids, i));
    return out;
}

static mm_status tokenize(mm_model *m, const json_t *c, json_t *got)
{
    const char *text = str(c, "text");
    const uint32_t flags = (uint32_t)json_integer_value(json_object_get(c, "flags"));
    int32_t ids[4096];
    size_t n = 0;
    mm_status st = mm_model_tokenize(m, text, strlen(text), flags, ids, 4096, &n, &err);
    if (st == MM_OK) json_object_set_new(got, "ids", ids_of(ids, n));
    return st;
}

static mm_status detokenize(mm_model *m, const json_t *c, json_t *got)
{
    const uint32_t flags = (uint32_t)json_integer_value(json_object_get(c, "flags"));
    char text[8192];
    size_t n, need = 0;
    int32_t *ids = list(json_object_get(c, "ids"), &n);
    mm_status st = mm_model_detokenize(m, ids, n, flags, text, sizeof text, &need, &err);
    if (st == MM_OK) json_object_set_new(got, "text", text_of(text, need));
    free(ids);
    return st;
}

static mm_status render(mm_model *m, const json_t *c, json_t *got)
{
    char text[8192], *messages = json_dumps(json_object_get(c, "messages"), JSON_COMPACT);
    size_t need = 0;
    mm_status st = mm_model_apply_template(m, messages, strlen(messages), 1, text, sizeof text, &need, &err);
    if (st == MM_OK) json_object_set_new(got, "text", text_of(text, need));
    free(messages);
    return st;
}

static mm_status add_item(mm_input *in, const json_t *item)
{
    const char *s;
    size_t n;
    if ((s = str(item, "text"))) return mm_input_text(in, s, strlen(s), &err);
    if ((s = str(item, "role"))) return mm_input_role(in, s, &err);
    if ((s = str(item, "image"))) return mm_input_image_file(in, s, &err);
    if ((s = str(item, "audio"))) return mm_input_audio_file(in, s, &err);
    if (json_object_get(item, "tokens")) {
        int32_t *ids = list(json_object_get(item, "tokens"), &n);
        mm_status st = mm_input_tokens(in, ids, n, &err);
        free(ids);
        return st;
    }
    char *messages = json_dumps(json_object_get(item, "messages"), JSON_COMPACT);
    mm_status st = mm_input_messages(in, messages, strlen(messages), NULL, &err);
    free(messages);
    return st;
}

static void append(json_t *got, const char *key, json_t *value)
{
    if (!json_object_get(got, key)) json_object_set_new(got, key, json_array());
    json_array_append_new(json_object_get(got, key), value);
}

static void take(json_t *got, const mm_event *e)
{
    switch (e->kind) {
    case MM_EVENT_VECTOR: append(got, "vectors", floats(e->values, e->n_values)); break;
    case MM_EVENT_SCORES: append(got, "scores", floats(e->values, e->n_values)); break;
    case MM_EVENT_LANGUAGE: json_object_set_new(got, "language", text_of(e->data, e->len)); break;
    case MM_EVENT_SEGMENT: append(got, "segments", json_pack("[ffo]", e->t0, e->t1, text_of(e->data, e->len))); break;
    case MM_EVENT_END:
        json_object_set_new(got, "ids", ids_of(e->ids, e->n_ids));
        json_object_set_new(got, "reason", json_string(e->data));
        json_object_set_new(got, "prompt_tokens", json_integer(e->prompt_tokens));
        break;
    default: break;
    }
}

static mm_status play(mm_session *s, mm_input *in, const json_t *c, json_t *got)
{
    mm_event e = {.size = sizeof e};
    mm_status st = MM_OK;
    char text[16384];
    size_t len = 0;
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(c, "set"), key, value)
        if (st == MM_OK) st = mm_session_set(s, key, json_string_value(value), &err);
    const json_t *items = json_object_get(c, "input");
    for (size_t i = 0; st == MM_OK && i < json_array_size(items); i++) st = add_item(in, json_array_get(items, i));
    if (st == MM_OK) st = mm_session_feed(s, in, &err);
    while (st == MM_OK && (st = mm_session_next(s, &e, &err)) == MM_OK) {
        take(got, &e);
        if (e.kind != MM_EVENT_TEXT || len + e.len > sizeof text) continue;
        memcpy(text + len, e.data, e.len);
        len += e.len;
    }
    if (len) json_object_set_new(got, "text", text_of(text, len));
    return st == MM_END ? MM_OK : st;
}

static mm_status run(mm_engine *engine, mm_model *m, const json_t *c, json_t *got)
{
    const json_t *given = json_object_get(c, "options");
    mm_session_options o;
    mm_session *s = NULL;
    mm_input *in = NULL;
    mm_session_options_init(&o, sizeof o);
    o.max_tokens = (uint32_t)json_integer_value(json_object_get(given, "max_tokens"));
    o.flags = (json_is_true(json_object_get(given, "raw")) ? MM_SESSION_RAW : 0) |
              (json_is_true(json_object_get(given, "ignore_eos")) ? MM_SESSION_IGNORE_EOS : 0);
    mm_status st = mm_session_create(m, &o, &s, &err);
    if (st == MM_OK) st = mm_input_create(engine, &in, &err);
    if (st == MM_OK) st = play(s, in, c, got);
    mm_input_release(in);
    mm_session_release(s);
    return st;
}

static int run_case(mm_engine *engine, const json_t *c)
{
    const char *name = str(c, "name"), *call = str(c, "call");
    mm_model *m = NULL;
    json_t *got = json_pack("{ss}", "name", name);
    mm_status st = mm_model_load(engine, str(c, "model"), NULL, &m, &err);
    if (st == MM_OK && strcmp(call, "tokenize") == 0) st = tokenize(m, c, got);
    else if (st == MM_OK && strcmp(call, "detokenize") == 0) st = detokenize(m, c, got);
    else if (st == MM_OK && strcmp(call, "template") == 0) st = render(m, c, got);
    else if (st == MM_OK) st = run(engine, m, c, got);
    if (st == MM_OK) {
        json_dumpf(got, stdout, JSON_COMPACT | JSON_REAL_PRECISION(17));
        putchar('\n');
    }
    json_decref(got);
    mm_model_release(m);
    return st == MM_OK ? 0 : stop(name, st);
}

int main(int argc, char **argv)
{
    json_error_t bad;
    json_t *table = argc == 2 ? json_load_file(argv[1], 0, &bad) : NULL;
    const json_t *cases = json_object_get(table, "cases");
    mm_engine_options o;
    mm_engine *engine = NULL;
    int status = 0;
    if (!table) {
        fputs("usage: table TABLE.json\n", stderr);
        return 2;
    }
    mm_engine_options_init(&o, sizeof o);
    o.precision = MM_PRECISION_EXACT;
    mm_status st = mm_engine_create(&o, &engine, &err);
    if (st != MM_OK) status = stop("engine", st);
    for (size_t i = 0; st == MM_OK && i < json_array_size(cases); i++) status |= run_case(engine, json_array_get(cases, i));
    mm_engine_release(engine);
    json_decref(table);
    return status;
}

/* JSON out. Bytes that are no UTF-8 become U+FFFD, so every line is valid. */
#include "mm.h"

#include <math.h>
#include <string.h>

/* Length of the valid UTF-8 character at s, 0 when there is none. */
static size_t character(const unsigned char *s, size_t n)
{
    static const struct { unsigned char mask, lead; size_t len; uint32_t min; } forms[] = {
        {0x80, 0x00, 1, 0}, {0xE0, 0xC0, 2, 0x80}, {0xF0, 0xE0, 3, 0x800}, {0xF8, 0xF0, 4, 0x10000}};
    for (size_t f = 0; f < 4; f++) {
        if ((s[0] & forms[f].mask) != forms[f].lead || forms[f].len > n) continue;
        uint32_t cp = s[0] & (unsigned char)~forms[f].mask;
        for (size_t i = 1; i < forms[f].len; i++) {
            if ((s[i] & 0xC0) != 0x80) return 0;
            cp = cp << 6 | (s[i] & 0x3F);
        }
        const bool valid = cp >= forms[f].min && cp <= 0x10FFFF && (cp < 0xD800 || cp > 0xDFFF);
        return valid ? forms[f].len : 0;
    }
    return 0;
}

void json_string(FILE *to, const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;
    putc('"', to);
    for (size_t i = 0; i < n;) {
        const size_t len = character(s + i, n - i);
        if (len > 1) fwrite(s + i, 1, len, to);
        else if (!len) fputs("\\ufffd", to);
        else if (s[i] == '"' || s[i] == '\\') fprintf(to, "\\%c", s[i]);
        else if (s[i] == '\n') fputs("\\n", to);
        else if (s[i] < 0x20 || s[i] == 0x7F) fprintf(to, "\\u%04x", s[i]);
        else putc(s[i], to);
        i += len ? len : 1;
    }
    putc('"', to);
}

static void number(FILE *to, double v)
{
    if (isfinite(v)) fprintf(to, "%.9g", v);
    else fputs("null", to);
}

void json_floats(FILE *to, const float *v, size_t n)
{
    putc('[', to);
    for (size_t i = 0; i < n; i++) {
        if (i) putc(',', to);
        number(to, (double)v[i]);
    }
    putc(']', to);
}

void json_ids(FILE *to, const int32_t *v, size_t n)
{
    putc('[', to);
    for (size_t i = 0; i < n; i++) fprintf(to, "%s%d", i ? "," : "", (int)v[i]);
    putc(']', to);
}

static void text_event(FILE *to, const mm_event *e)
{
    fprintf(to, "{\"kind\":\"text\",\"id\":%d,\"text\":", (int)e->id);
    json_string(to, e->data, e->len);
    if (e->id >= 0) {
        fputs(",\"logprob\":", to);
        number(to, e->value);
    }
    if (e->n_top) fputs(",\"top\":[", to);
    for (size_t i = 0; i < e->n_top; i++) {
        fprintf(to, "%s{\"id\":%d,\"logprob\":", i ? "," : "", (int)e->top[i].id);
        number(to, (double)e->top[i].logprob);
        putc('}', to);
    }
    if (e->n_top) putc(']', to);
}

static void end_event(FILE *to, mm_session *s, const mm_event *e)
{
    static const char *const keys[] = {"encode_ms", "prefill_ms", "decode_ms", "prefill_tokens", "decode_tokens"};
    fputs("{\"kind\":\"end\",\"reason\":", to);
    json_string(to, e->data, e->len);
    fprintf(to, ",\"prompt_tokens\":%u,\"ids\":", (unsigned)e->prompt_tokens);
    json_ids(to, e->ids, e->n_ids);
    fputs(",\"timings\":{", to);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        double v = 0;
        mm_session_stat(s, keys[i], &v, NULL);
        fprintf(to, "%s\"%s\":", i ? "," : "", keys[i]);
        number(to, v);
    }
    putc('}', to);
}

void json_event(FILE *to, mm_session *s, const mm_event *e)
{
    switch (e->kind) {
    case MM_EVENT_TEXT: text_event(to, e); break;
    case MM_EVENT_SEGMENT:
        fprintf(to, "{\"kind\":\"segment\",\"t0\":%.3f,\"t1\":%.3f,\"text\":", e->t0, e->t1);
        json_string(to, e->data, e->len);
        fputs(",\"ids\":", to);
        json_ids(to, e->ids, e->n_ids);
        break;
    case MM_EVENT_LANGUAGE:
        fputs("{\"kind\":\"language\",\"language\":", to);
        json_string(to, e->data, e->len);
        fprintf(to, ",\"probability\":%.6f", e->value);
        break;
    case MM_EVENT_VECTOR:
    case MM_EVENT_SCORES:
        fprintf(to, "{\"kind\":\"%s\",\"index\":%u,\"values\":", e->kind == MM_EVENT_VECTOR ? "vector" : "scores", (unsigned)e->index);
        json_floats(to, e->values, e->n_values);
        break;
    case MM_EVENT_END: end_event(to, s, e); break;
    default: return;
    }
    fputs("}\n", to);
    fflush(to);
}

/* Pictures, sounds, texts and messages of every odd kind: sizes, strides and rates at the limits, damaged and mistaken
 * files, NaN samples, text that is not UTF-8, JSON that is no conversation. Expected: an answer or the documented status. */
#include "api.h"

#include <math.h>

/* ---- media ---- */

static void run_picture(mm_model *m, uint32_t w, uint32_t h, uint32_t format, uint32_t stride_more)
{
    static const uint32_t channels[] = {3, 4, 3, 1};
    const uint32_t stride = w * channels[format] + stride_more;
    unsigned char *pixels = malloc((size_t)stride * h);
    if (!pixels) exit(3);
    for (size_t i = 0; i < (size_t)stride * h; i++) pixels[i] = (unsigned char)(i * 31 >> 3);
    const mm_image im = {sizeof im, w, h, stride_more ? stride : 0, format, 0, pixels};
    mm_session *s = session(m, 1, MM_SESSION_IGNORE_EOS, 0);
    mm_input *in = input_of(NULL, NULL, NULL);
    uint64_t hash;
    EXPECT(MM_OK, mm_input_image(in, &im, &err));
    free(pixels); /* borrowed during the call only */
    if (model_has(m, "modalities_in", "text")) EXPECT(MM_OK, mm_input_text(in, "what", 4, &err));
    EXPECT(MM_OK, mm_session_feed(s, in, &err));
    EXPECT(MM_OK, take_events(s, &hash, &err));
    mm_input_release(in);
    mm_session_release(s);
}

static void pictures(void)
{
    const char *paths[] = {CLIP, VLM, GOLDEN "/llava", GOLDEN "/siglip", GOLDEN "/vit", GOLDEN "/dinov2", GOLDEN "/idefics",
                           GOLDEN "/minigpt4"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        if (!begin("odd pictures for %s", paths[i])) continue;
        mm_model *m = load(paths[i]);
        run_picture(m, 1, 1, MM_PIXELS_RGB, 0);
        run_picture(m, 10000, 10, MM_PIXELS_RGBA, 4);
        run_picture(m, 10, 10000, MM_PIXELS_GREY, 0);
        run_picture(m, 1, 16384, MM_PIXELS_BGR, 1);
        run_picture(m, 16384, 1, MM_PIXELS_GREY, 7);
        mm_model_release(m);
    }
}

static void bad_pictures(void)
{
    if (!begin("bad pictures")) return;
    mm_input *in = input_of(NULL, NULL, NULL);
    unsigned char px[64] = {0};
    const mm_image bad[] = {{sizeof *bad, 0, 1, 0, 0, 0, px}, {sizeof *bad, 1, 0, 0, 0, 0, px}, {sizeof *bad, 16385, 1, 0, 0, 0, px},
                            {sizeof *bad, 1, UINT32_MAX, 0, 0, 0, px}};
    for (size_t i = 0; i < 4; i++) EXPECT(i < 2 ? MM_E_ARG : MM_E_LIMIT, mm_input_image(in, &bad[i], &err));
    EXPECT(MM_E_ARG, mm_input_image(in, &(mm_image){sizeof(mm_image), 4, 4, 11, MM_PIXELS_RGB, 0, px}, &err));
    EXPECT(MM_E_ARG, mm_input_image(in, &(mm_image){sizeof(mm_image), 4, 4, 0, 4, 0, px}, &err));
    EXPECT(MM_E_ARG, mm_input_image(in, &(mm_image){sizeof(mm_image), 4, 4, 0, UINT32_MAX, 0, px}, &err));
    EXPECT(MM_E_IO, mm_input_image_file(in, "", &err));
    EXPECT(MM_E_IO, mm_input_image_file(in, GOLDEN "/nowhere.png", &err));
    EXPECT(MM_E_IO, mm_input_image_file(in, GOLDEN, &err));
    EXPECT(MM_E_MEDIA, mm_input_image_file(in, SOUND, &err));
    EXPECT(MM_E_MEDIA, mm_input_image_file(in, LM "/config.json", &err));
    EXPECT(MM_E_MEDIA, mm_input_image_encoded(in, "", 0, &err));
    EXPECT(MM_E_MEDIA, mm_input_image_encoded(in, NULL, 0, &err));
    EXPECT(MM_E_MEDIA, mm_input_image_encoded(in, "\x89PNG\r\n\x1a\n", 8, &err));
    EXPECT(MM_E_MEDIA, mm_input_image_encoded(in, "\xff\xd8\xff\xe0", 4, &err));
    EXPECT(MM_E_MEDIA, mm_input_image_encoded(in, "BM", 2, &err));
    mm_input_release(in);
}

/* Every prefix, and single bytes changed: decoded or refused. */
static void damaged_media(void)
{
    const char *files[] = {"small.png", "grey.png", "rgba.png", "photo.jpg", "speech_16k.wav"};
    static unsigned char bytes[1 << 17];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[256];
        snprintf(path, sizeof path, GOLDEN "/_inputs/%s", files[i]);
        FILE *f = fopen(path, "rb");
        if (!f) exit(3);
        const size_t n = fread(bytes, 1, sizeof bytes, f);
        fclose(f);
        const bool sound = ends(files[i], ".wav");
        mm_input *in = input_of(NULL, NULL, NULL);
        for (size_t k = 0; k < 300; k++) {
            if (!begin("%s, damage %zu", files[i], k)) continue;
            unsigned char *copy = malloc(n); /* exact size: an overrun is seen */
            if (!copy) exit(3);
            memcpy(copy, bytes, n);
            size_t len = n;
            const uint64_t r = mix(seed * 1000 + k);
            if (k < 100) len = k < 64 ? k : n * (k - 64) / 36;
            else copy[k < 220 ? r % (n < 128 ? n : 128) : r % n] ^= (unsigned char)(k & 1 ? 1u << (r >> 40) % 8 : 1 + (r >> 32) % 255);
            unsigned char *exact = malloc(len + 1);
            if (!exact) exit(3);
            memcpy(exact, copy, len);
            err.text[0] = 0;
            const mm_status st = sound ? mm_input_audio_encoded(in, exact, len, &err) : mm_input_image_encoded(in, exact, len, &err);
            check(st == MM_OK || ((st == MM_E_MEDIA || st == MM_E_LIMIT || st == MM_E_UNSUPPORTED) && described(st, &err)), "%s \"%s\"",
                  mm_status_name(st), err.text);
            mm_input_clear(in, NULL);
            free(exact);
            free(copy);
        }
        mm_input_release(in);
    }
}

static void sounds(void)
{
    if (!begin("odd sounds")) return;
    mm_model *m = load(SPEECH);
    mm_input *in = input_of(NULL, NULL, NULL);
    static float loud[32000];
    static int16_t pcm[8 * 800];
    for (size_t i = 0; i < 32000; i++) loud[i] = i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : -3e38f;
    const mm_audio bad[] = {{sizeof *bad, 999, 1, 0, 10, loud}, {sizeof *bad, 768001, 1, 0, 10, loud}, {sizeof *bad, 16000, 0, 0, 10, loud},
                            {sizeof *bad, 16000, 9, 0, 10, loud}, {sizeof *bad, 16000, 1, 2, 10, loud}, {sizeof *bad, 16000, 1, 0, 10, NULL}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) EXPECT(MM_E_ARG, mm_input_audio(in, &bad[i], &err));
    EXPECT(MM_E_IO, mm_input_audio_file(in, GOLDEN "/nowhere.wav", &err));
    EXPECT(MM_E_MEDIA, mm_input_audio_file(in, PICTURE, &err));
    EXPECT(MM_E_MEDIA, mm_input_audio_encoded(in, "", 0, &err));
    EXPECT(MM_E_MEDIA, mm_input_audio_encoded(in, "RIFF\0\0\0\0WAVE", 12, &err));
    const struct { mm_audio a; bool may_fail; } odd[] = {
        {{sizeof(mm_audio), 16000, 1, MM_SAMPLES_F32, 0, NULL}, true},       {{sizeof(mm_audio), 16000, 1, MM_SAMPLES_F32, 0, loud}, true},
        {{sizeof(mm_audio), 16000, 1, MM_SAMPLES_I16, 1, pcm}, false},       {{sizeof(mm_audio), 1000, 1, MM_SAMPLES_I16, 1, pcm}, false},
        {{sizeof(mm_audio), 768000, 8, MM_SAMPLES_I16, 800, pcm}, false},    {{sizeof(mm_audio), 768000, 1, MM_SAMPLES_I16, 1, pcm}, true},
        {{sizeof(mm_audio), 16000, 1, MM_SAMPLES_F32, 32000, loud}, true},   {{sizeof(mm_audio), 44100, 2, MM_SAMPLES_F32, 16000, loud}, true}};
    mm_input_release(in);
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        if (!begin("odd sound %zu", i)) continue;
        mm_session *s = session(m, 2, 0, 0);
        uint64_t hash;
        mm_input *one = input_of(NULL, NULL, NULL);
        mm_status st = mm_input_audio(one, &odd[i].a, &err);
        if (st == MM_OK) st = mm_session_feed(s, one, &err);
        if (st == MM_OK) st = take_events(s, &hash, &err);
        check(st == MM_OK || (odd[i].may_fail && (st == MM_E_MEDIA || st == MM_E_ARG || st == MM_E_NUMERIC) && described(st, &err)),
              "%s \"%s\"", mm_status_name(st), err.text);
        mm_input_release(one);
        EXPECT(MM_OK, feed(s, NULL, NULL, SOUND));
        EXPECT(MM_OK, take_events(s, &hash, &err));
        mm_session_release(s);
    }
    mm_model_release(m);
}

static void modalities(void)
{
    if (!begin("modalities a model lacks")) return;
    const struct { const char *path, *text, *picture, *sound; } all[] = {
        {LM, "x", PICTURE, NULL}, {LM, NULL, NULL, SOUND}, {T5, NULL, PICTURE, NULL}, {VLM, "x", NULL, SOUND}, {CLIP, NULL, NULL, SOUND},
        {BERT, NULL, PICTURE, NULL}, {SPEECH, "x", NULL, NULL}, {SPEECH, NULL, PICTURE, NULL}, {GOLDEN "/vit", "x", NULL, NULL}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        mm_model *m = load(all[i].path);
        mm_session *s = session(m, 2, 0, 0);
        EXPECT(MM_E_UNSUPPORTED, feed(s, all[i].text, all[i].picture, all[i].sound));
        EXPECT(MM_END, end_of(s));
        mm_session_release(s);
        mm_model_release(m);
    }
}

/* ---- texts ---- */

static void texts(void)
{
    const char *paths[] = {LM, T5, VLM, GOLDEN "/llama_spm_bf16", CHAT};
    for (size_t p = 0; p < sizeof paths / sizeof *paths; p++) {
        if (!begin("odd texts for %s", paths[p])) continue;
        mm_model *m = load(paths[p]);
        const bool image = model_has(m, "modalities_in", "image");
        mm_session *s = session(m, 3, MM_SESSION_IGNORE_EOS, 64);
        mm_input *in = input_of(NULL, NULL, NULL);
        uint64_t hash;
        EXPECT(MM_E_ARG, mm_input_text(in, "a\0b", 3, &err));
        EXPECT(MM_E_LIMIT, mm_input_text(in, "a", SIZE_MAX, &err));
        EXPECT(MM_E_LIMIT, mm_input_text(in, "a", ((size_t)64 << 20) + 1, &err));
        mm_input_release(in);
        const char *odd[] = {"\xff\xfe", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\xef\xbb\xbf", "\n", " ",
                             "<|endoftext|>", "</s><s>", "{{ 7*7 }}{% raw %}", "\xf0\x9f\x98\x80\xcc\x81"};
        for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
            EXPECT(MM_OK, mm_session_reset(s, &err));
            const mm_status st = ask(s, odd[i], NULL, &hash);
            check(st == MM_OK || (st == MM_E_ARG && described(st, &err)), "text %zu: %s \"%s\"", i, mm_status_name(st), err.text);
        }
        char *big = malloc(20001);
        if (!big) exit(3);
        memset(big, 0, 20001);
        for (size_t i = 0; i < 20000; i++) big[i] = "the dog sat. "[i % 13];
        EXPECT(MM_OK, mm_session_reset(s, &err));
        EXPECT(MM_OK, feed(s, big, NULL, NULL));
        EXPECT(MM_E_CONTEXT, end_of(s));
        EXPECT(MM_OK, ask(s, "the dog", NULL, &hash));
        EXPECT(MM_OK, mm_session_reset(s, &err));
        EXPECT(MM_OK, mm_session_set(s, "truncate", "1", &err));
        EXPECT(MM_OK, ask(s, big, NULL, &hash));
        if (image) {
            EXPECT(MM_OK, mm_session_reset(s, &err));
            EXPECT(MM_OK, feed(s, big, PICTURE, NULL));
            EXPECT(MM_E_CONTEXT, end_of(s));
        }
        mm_session_release(s);
        for (uint32_t n = 1; n <= 3; n++) { /* contexts with hardly any room */
            s = session(m, 3, 0, n);
            EXPECT(MM_OK, mm_session_set(s, "truncate", n & 1 ? "1" : "0", &err));
            const mm_status st = ask(s, "the dog sat on the mat and looked", NULL, &hash);
            check(st == MM_OK || (st == MM_E_CONTEXT && described(st, &err)), "context %u: %s \"%s\"", n, mm_status_name(st), err.text);
            if (n == 2) check(st == MM_E_CONTEXT, "a prompt of many tokens in a context of 2: %s", mm_status_name(st));
            mm_session_release(s);
        }
        free(big);
        mm_model_release(m);
    }
}

/* Bytes that are no UTF-8, NULs and halves of surrogate pairs, in every place where JSON of a host has text. */
static void damaged_texts(void)
{
    static const char *const damage[] = {"\\u0000", "\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\\ud800",
                                        "\\udc00", "\\ud800x", "\\udfff\\ud800", "\x01"};
    static const char *const places[] = {"[{\"role\":\"user\",\"content\":\"a%sb\"}]", "[{\"role\":\"us%ser\",\"content\":\"a\"}]",
                                        "[{\"ro%sle\":\"user\",\"role\":\"user\",\"content\":\"a\"}]",
                                        "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"%s\"}]}]",
                                        "[{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"image\":\"%s.png\"}]}]"};
    char json[256];
    if (!begin("messages that are no UTF-8")) return;
    mm_input *in = input_of(NULL, NULL, NULL);
    mm_model *m = load(CHAT);
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++)
        for (size_t k = 0; k < sizeof places / sizeof *places; k++) {
            snprintf(json, sizeof json, places[k], damage[i]);
            EXPECT(MM_E_FORMAT, mm_input_messages(in, json, strlen(json), GOLDEN "/_inputs", &err));
            if (i && k < 4) EXPECT(MM_E_FORMAT, mm_model_apply_template(m, json, strlen(json), 1, NULL, 0, NULL, &err));
        }
    static const char nul[] = "[{\"role\":\"user\",\"content\":\"a\0b\"}]";
    static const char pair[] = "[{\"role\":\"user\",\"content\":\"\\ud83d\\ude00\"}]";
    EXPECT(MM_E_FORMAT, mm_input_messages(in, nul, sizeof nul - 1, NULL, &err));
    EXPECT(MM_E_FORMAT, mm_model_apply_template(m, nul, sizeof nul - 1, 1, NULL, 0, NULL, &err));
    EXPECT(MM_OK, mm_input_messages(in, pair, sizeof pair - 1, NULL, &err));
    EXPECT(MM_OK, mm_model_apply_template(m, pair, sizeof pair - 1, 1, json, sizeof json, NULL, &err));
    check(strstr(json, "\xf0\x9f\x98\x80") != NULL, "a pair became \"%s\"", json);
    static const char escaped[] = "[{\"role\":\"user\",\"content\":\"a\\u0000b\"}]";
    size_t need = 0; /* a template may write a NUL; the length counts it */
    EXPECT(MM_OK, mm_model_apply_template(m, escaped, sizeof escaped - 1, 1, json, sizeof json, &need, &err));
    check(strlen(json) < need && memcmp(json + strlen(json) - 1, "a\0b", 3) == 0, "a NUL became \"%s\"", json);
    mm_input_release(in);
    mm_model_release(m);
}

static void messages(void)
{
    if (!begin("messages")) return;
    mm_input *in = input_of(NULL, NULL, NULL);
    const struct { mm_status want; const char *json; } all[] = {
        {MM_E_FORMAT, ""}, {MM_E_FORMAT, "["}, {MM_E_FORMAT, "7"}, {MM_E_FORMAT, "{}"}, {MM_E_FORMAT, "[7]"}, {MM_E_FORMAT, "[{}]"},
        {MM_E_FORMAT, "[{\"role\":5,\"content\":\"a\"}]"}, {MM_E_FORMAT, "[{\"role\":\"user\",\"content\":[{}, "},
        {MM_E_UNSUPPORTED, "[{\"role\":\"user\",\"content\":[{}]}]"}, {MM_E_UNSUPPORTED, "[{\"role\":\"user\",\"content\":[7]}]"},
        {MM_E_FORMAT, "[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]"},
        {MM_E_FORMAT, "[{\"role\":\"user\",\"content\":[{\"type\":\"image\"}]}]"},
        {MM_E_IO, "[{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"image\":\"nowhere.png\"}]}]"},
        {MM_E_UNSUPPORTED, "[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"http://x/y.png\"}}]}]"},
        {MM_E_FORMAT, "[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64\"}}]}]"},
        {MM_E_FORMAT, "[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:;base64,*\"}}]}]"},
        {MM_E_UNSUPPORTED, "[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":\"data:,QUJD\"}]}]"},
        {MM_E_MEDIA, "[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":\"data:;base64,QUJD\"}]}]"},
        {MM_E_MEDIA, "[{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"QUJD\"}}]}]"},
        {MM_E_FORMAT, "[{\"role\":\"u\",\"role\":\"v\",\"content\":\"a\"}]"}, {MM_E_FORMAT, "[{\"role\":\"u\\u0000\",\"content\":\"a\"}]"},
        {MM_OK, "[]"}, {MM_OK, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}"},
        {MM_OK, "[{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"image\":\"small.png\"},{\"type\":\"text\",\"text\":\"a\"}]}]"}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        err.code = 0;
        const mm_status st = mm_input_messages(in, all[i].json, strlen(all[i].json), GOLDEN "/_inputs", &err);
        check(st == all[i].want && (st == MM_OK || described(st, &err)), "%s: %s \"%s\"", all[i].json, mm_status_name(st), err.text);
    }
    char *deep = malloc(400001);
    if (!deep) exit(3);
    memset(deep, '[', 400000);
    deep[400000] = 0;
    const mm_status st = mm_input_messages(in, deep, 400000, NULL, &err);
    check((st == MM_E_FORMAT || st == MM_E_LIMIT) && described(st, &err), "nested brackets: %s \"%s\"", mm_status_name(st), err.text);
    mm_model *m = load(CHAT), *none = load(LM);
    size_t need;
    EXPECT(MM_E_UNSUPPORTED, mm_model_apply_template(none, "[]", 2, 1, NULL, 0, &need, &err));
    const char *lists[] = {"", "7", "{}", "[7]", "[{}]", "[{\"role\":7,\"content\":{}}]", "[],\"x\":[]", "\"abc\"", "null",
                           "[{\"role\":\"user\",\"content\":null}]"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        const mm_status one = mm_model_apply_template(m, lists[i], strlen(lists[i]), 1, NULL, 0, &need, &err);
        check(documented(one) && (one >= 0 || described(one, &err)), "template of %s: %s \"%s\"", lists[i], mm_status_name(one), err.text);
    }
    const mm_status bad = mm_model_apply_template(m, deep, 400000, 1, NULL, 0, &need, &err);
    check(bad < 0 && described(bad, &err), "nested brackets: %s", mm_status_name(bad));
    free(deep);
    mm_input_release(in);
    mm_model_release(m);
    mm_model_release(none);
}

int main(int argc, char **argv)
{
    static void (*const tests[])(void) = {pictures, bad_pictures, damaged_media, sounds, modalities, texts, damaged_texts, messages};
    return run_tests(tests, sizeof tests / sizeof *tests, argc, argv);
}

/* Messages in the OpenAI layout: as an input that a session counts, and through the chat template alone. The first byte chooses
 * a model of text or one with pictures. */
#include "folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static mm_model *load(mm_engine *e, const char *path)
{
    mm_model *m = NULL;
    mm_error err = {.size = sizeof err};
    const mm_status st = mm_model_load(e, path, NULL, &m, &err);
    folder_expect(st == MM_OK, path, st, &err);
    return m;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static mm_engine *e;
    static mm_model *models[2];
    if (!n) return 0;
    if (!e) {
        e = folder_engine((uint64_t)256 << 20);
        models[0] = load(e, GOLDEN "/llama");
        models[1] = load(e, GOLDEN "/llava");
        mm_engine_set(e, "template_steps", "16384", NULL);
        mm_engine_set(e, "image_pixels", "1048576", NULL);
    }
    mm_model *m = models[bytes[0] & 1];
    const long before = atomic_load(&mem_live);
    const char *json = (const char *)bytes + 1;
    mm_error err = {.size = sizeof err};
    mm_input *in = NULL;
    mm_session *s = NULL;
    uint64_t positions;
    mm_status st = mm_input_create(e, &in, &err);
    if (st == MM_OK) st = mm_input_messages(in, json, n - 1, GOLDEN "/_inputs", &err);
    folder_status(st, &err);
    if (st == MM_OK) st = mm_session_create(m, NULL, &s, &err);
    if (st == MM_OK) st = mm_session_count(s, in, &positions, &err);
    folder_status(st, &err);
    st = mm_model_apply_template(m, json, n - 1, bytes[0] & 2, NULL, 0, NULL, &err);
    folder_status(st, &err);
    mm_session_release(s);
    mm_input_release(in);
    folder_expect(atomic_load(&mem_live) == before, "memory is left", st, &err);
    return 0;
}

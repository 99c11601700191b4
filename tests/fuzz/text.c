/* Text to ids and ids to text on a tokenizer of each kind: the first byte chooses model and flags, the rest is a text, and then,
 * two bytes each, ids. A text that came from ids is read again. */
#include "folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void there_and_back(const mm_model *m, const char *text, size_t n, uint32_t flags)
{
    mm_error err = {.size = sizeof err};
    size_t need = 0, again = 0;
    mm_status st = mm_model_tokenize(m, text, n, flags, NULL, 0, &need, &err);
    folder_status(st, &err);
    if (st != MM_OK) return;
    int32_t *ids = malloc((need + 1) * sizeof *ids);
    if (!ids) abort();
    st = mm_model_tokenize(m, text, n, flags, ids, need, &again, &err);
    folder_expect(st == MM_OK && again == need, "two lengths", st, &err);
    st = mm_model_detokenize(m, ids, need, flags & MM_TOKENIZE_SPECIAL, NULL, 0, &again, &err);
    folder_status(st, &err);
    free(ids);
}

static void back(const mm_model *m, const uint8_t *bytes, size_t n, uint32_t flags)
{
    mm_error err = {.size = sizeof err};
    size_t need = 0;
    int32_t ids[512];
    const size_t k = n / 2 < 512 ? n / 2 : 512;
    for (size_t i = 0; i < k; i++) ids[i] = (int32_t)(bytes[2 * i] | (bytes[2 * i + 1] & 0x8f) << 8) - (bytes[2 * i + 1] & 0x80 ? 100000 : 0);
    mm_status st = mm_model_detokenize(m, ids, k, flags & MM_TOKENIZE_SPECIAL, NULL, 0, &need, &err);
    folder_status(st, &err);
    if (st != MM_OK) return;
    char *text = malloc(need + 1);
    if (!text) abort();
    st = mm_model_detokenize(m, ids, k, flags & MM_TOKENIZE_SPECIAL, text, need + 1, &need, &err);
    folder_expect(st == MM_OK, "two lengths", st, &err);
    there_and_back(m, text, need, flags);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const char *const folders[] = {"llama", "llama_spm_bf16", "gpt2", "bert", "clip", "whisper", "flan_t5", "siglip", "gemma3", "qwen2", "phi3", "opt"};
    enum { N = sizeof folders / sizeof *folders };
    static mm_engine *e;
    static mm_model *models[N];
    if (!n) return 0;
    if (!e) {
        e = folder_engine((uint64_t)512 << 20);
        for (int i = 0; i < N; i++) {
            char path[256];
            mm_error err = {.size = sizeof err};
            snprintf(path, sizeof path, GOLDEN "/%s", folders[i]);
            const mm_status st = mm_model_load(e, path, NULL, &models[i], &err);
            folder_expect(st == MM_OK, path, st, &err);
        }
    }
    const mm_model *m = models[(bytes[0] >> 2) % N];
    const long before = atomic_load(&mem_live);
    there_and_back(m, (const char *)bytes + 1, n - 1, bytes[0] & 3u);
    back(m, bytes + 1, n - 1, bytes[0] & 3u);
    folder_expect(atomic_load(&mem_live) == before, "memory is left", MM_OK, &(mm_error){.size = sizeof(mm_error)});
    return 0;
}

/* The JSON files beside the weights that choose and shape a model: the first byte says which file of which test model, the rest is
 * its content. What opens answers with two tokens. */
#include "folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const char *const files[][2] = {
        {"llama", "config.json"}, {"gpt2", "config.json"}, {"bert", "config.json"}, {"clip", "config.json"}, {"whisper", "config.json"},
        {"flan_t5", "config.json"}, {"llava", "config.json"}, {"blip2_opt", "config.json"}, {"idefics", "config.json"}, {"gemma3", "config.json"},
        {"phi3_longrope", "config.json"}, {"dinov2", "config.json"}, {"siglip", "config.json"}, {"qwen3", "config.json"},
        {"whisper", "preprocessor_config.json"}, {"llava", "preprocessor_config.json"}, {"clip", "preprocessor_config.json"},
        {"whisper", "generation_config.json"}, {"llama", "tokenizer_config.json"}, {"llama", "generation_config.json"},
        {"llama_sharded_f16", "model.safetensors.index.json"}, {"whisper/ct2", "config.json"}};
    static mm_engine *e;
    if (!n) return 0;
    const char *const *f = files[bytes[0] % (sizeof files / sizeof *files)];
    char folder[256], path[512];
    if (!e) e = folder_engine((uint64_t)256 << 20);
    snprintf(folder, sizeof folder, GOLDEN "/%s", f[0]);
    snprintf(path, sizeof path, "%s/%s", folder, f[1]);
    folder_change(path, bytes + 1, n - 1);
    folder_play(e, folder);
    return 0;
}

/* GGUF: metadata, every value of every key, the tensor directory, and the first and last bytes of each tensor. */
#include "fuzz.h"

#include "../../src/file/gguf.h"
#include "../../src/file/weights.h"

static void read_values(const mm__gguf *g)
{
    static const char *const keys[] = {"general.architecture", "general.alignment", "tokenizer.ggml.tokens", "tokenizer.ggml.scores",
                                       "tokenizer.ggml.token_type", "tokenizer.ggml.merges", "llama.block_count", "split.count", "a"};
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        const mm__gguf_value v = mm__gguf_get(g, keys[k]);
        for (size_t i = 0; v.kind == MM__GGUF_ARRAY && i < v.n && i < 1000; i++) {
            const mm__gguf_value e = mm__gguf_elem(&v, i);
            if (e.kind == MM__GGUF_STR) fuzz_expect(strlen(e.s) <= e.n, "a string without an end", NULL);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    fuzz_case c = fuzz_begin(bytes, n);
    mm__gguf *g = NULL;
    mm__weights *w = NULL;
    mm_status st = mm__gguf_open(&c.files, FUZZ_FILE, &g, &c.err);
    if (st == MM_OK) {
        read_values(g);
        st = mm__weights_create(c.mem, &w, &c.err);
    }
    if (st == MM_OK) st = mm__gguf_add_weights(g, w, &c.err);
    for (size_t i = 0; st == MM_OK && i < mm__weights_count(w); i++) {
        const mm__weight *t = mm__weights_at(w, i);
        uint8_t byte;
        if (t->bytes) st = mm__weight_read(t, 0, &byte, 1, &c.err);
        if (t->bytes && st == MM_OK) st = mm__weight_read(t, t->bytes - 1, &byte, 1, &c.err);
    }
    mm__weights_destroy(w);
    mm__gguf_close(g);
    return fuzz_end(&c, st);
}

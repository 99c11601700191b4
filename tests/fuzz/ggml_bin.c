/* The ggml .bin of speech models: sizes, filterbank, vocabulary, tensors. */
#include "fuzz.h"

#include "../../src/file/legacy_speech.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    fuzz_case c = fuzz_begin(bytes, n);
    mm__weights *w = NULL;
    mm__ggml_bin *b = NULL;
    mm_status st = mm__weights_create(c.mem, &w, &c.err);
    if (st == MM_OK) st = mm__ggml_bin_open(&c.files, FUZZ_FILE, w, &b, &c.err);
    mm__ggml_bin_free(b);
    mm__weights_destroy(w);
    return fuzz_end(&c, st);
}

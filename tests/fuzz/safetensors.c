/* safetensors: the header, its extents, and the last byte of every tensor. */
#include "fuzz.h"

#include "../../src/file/weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    fuzz_case c = fuzz_begin(bytes, n);
    mm__weights *w = NULL;
    mm_status st = mm__weights_create(c.mem, &w, &c.err);
    if (st == MM_OK) st = mm__safetensors_add(&c.files, FUZZ_FILE, w, &c.err);
    for (size_t i = 0; st == MM_OK && i < mm__weights_count(w); i++) {
        const mm__weight *t = mm__weights_at(w, i);
        uint8_t byte;
        if (t->bytes) st = mm__weight_read(t, t->bytes - 1, &byte, 1, &c.err);
    }
    mm__weights_destroy(w);
    return fuzz_end(&c, st);
}

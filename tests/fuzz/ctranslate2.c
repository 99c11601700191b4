/* CTranslate2's model.bin: variables, scalars, second names. */
#include "fuzz.h"

#include "../../src/file/legacy_speech.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    fuzz_case c = fuzz_begin(bytes, n);
    mm__weights *w = NULL;
    char spec[64];
    mm_status st = mm__weights_create(c.mem, &w, &c.err);
    if (st == MM_OK) st = mm__ct2_open(&c.files, FUZZ_FILE, w, spec, &c.err);
    if (st == MM_OK) fuzz_expect(memchr(spec, 0, sizeof spec) != NULL, "a name without an end", NULL);
    mm__weights_destroy(w);
    return fuzz_end(&c, st);
}

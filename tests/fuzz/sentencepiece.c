/* A SentencePiece model. */
#include "tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    fuzz_case c = fuzz_begin(bytes, n);
    mm__tokenizer *t = NULL;
    mm_status st = mm__tokenizer_from_spm(c.mem, bytes, n, NULL, n & 1, "spiece.model", &t, &c.err);
    if (st == MM_OK) st = fuzz_tokenizer(&c, t);
    mm__tokenizer_destroy(t);
    return fuzz_end(&c, st);
}

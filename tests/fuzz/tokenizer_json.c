/* tokenizer.json, with a tokenizer_config.json behind a NUL byte where there is one. */
#include "tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    fuzz_case c = fuzz_begin(bytes, n);
    mm__json_doc *doc = NULL, *config = NULL;
    mm__tokenizer *t = NULL;
    const uint8_t *cut = n ? memchr(bytes, 0, n) : NULL;
    const size_t first = cut ? (size_t)(cut - bytes) : n;
    mm_status st = mm__json_parse(c.mem, (const char *)bytes, first, "tokenizer.json", &doc, &c.err);
    if (st == MM_OK && cut) st = mm__json_parse(c.mem, (const char *)cut + 1, n - first - 1, "tokenizer_config.json", &config, &c.err);
    if (st == MM_OK) st = mm__tokenizer_from_json(c.mem, mm__json_root(doc), config ? mm__json_root(config) : NULL, "tokenizer.json", &t, &c.err);
    if (st == MM_OK) st = fuzz_tokenizer(&c, t);
    mm__tokenizer_destroy(t);
    mm__json_free(config);
    mm__json_free(doc);
    return fuzz_end(&c, st);
}

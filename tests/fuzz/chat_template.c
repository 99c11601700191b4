/* A chat template, rendered over a conversation with a tool; behind a NUL byte a context of its own may follow. */
#include "fuzz.h"

#include "../../src/text/template.h"

static const char usual[] =
    "{\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"},{\"role\":\"user\",\"content\":[{\"type\":\"image\"},{\"type\":\"text\","
    "\"text\":\"  What?  \"}]},{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"x\",\"function\":{\"name\":\"f\",\"arguments\":"
    "{\"a\":[1,2.5,true,null]}}}]},{\"role\":\"tool\",\"content\":\"4\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\","
    "\"parameters\":{}}}],\"add_generation_prompt\":true,\"bos_token\":\"<s>\",\"eos_token\":\"</s>\"}";

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    fuzz_case c = fuzz_begin(bytes, n);
    mm__template *t = NULL;
    mm__json_doc *doc = NULL;
    mm__buf out;
    const uint8_t *cut = n ? memchr(bytes, 0, n) : NULL;
    const size_t first = cut ? (size_t)(cut - bytes) : n;
    mm__buf_init(&out, c.mem);
    mm__limit_set(c.mem, MM__LIMIT_TEMPLATE_STEPS, 1 << 14); /* the budget works at any size; this one keeps runs short */
    mm_status st = mm__template_compile(c.mem, (const char *)bytes, first, &t, &c.err);
    if (st == MM_OK && cut) st = mm__json_parse(c.mem, (const char *)cut + 1, n - first - 1, "context", &doc, &c.err);
    if (st == MM_OK && !cut) st = mm__json_parse(c.mem, usual, sizeof usual - 1, "context", &doc, &c.err);
    if (st == MM_OK) st = mm__template_render(t, mm__json_root(doc), 1700000000, &out, &c.err);
    mm__buf_free(&out);
    mm__json_free(doc);
    mm__template_free(t);
    return fuzz_end(&c, st);
}

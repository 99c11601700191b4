/* What the targets of tokenizer files share: a tokenizer that opened is used on texts of every kind, both ways. */
#ifndef MM_FUZZ_TOKENIZER_H
#define MM_FUZZ_TOKENIZER_H

#include "fuzz.h"

#include "../../src/text/tokenizer.h"

static inline mm_status fuzz_tokenizer(fuzz_case *c, const mm__tokenizer *t)
{
    static const char *const texts[] = {"The little dog ran home.", "  a\n\n\tb 12345 don't", "\xe4\xbd\xa0\xe5\xa5\xbd <s></s><|im_end|>",
                                        "\xff\xfe broken \xc3", ""};
    mm_status st = MM_OK;
    mm__ids ids;
    mm__buf text;
    mm__ids_init(&ids, c->mem);
    mm__buf_init(&text, c->mem);
    for (size_t i = 0; st == MM_OK && i < sizeof texts / sizeof *texts; i++)
        for (unsigned flags = 0; st == MM_OK && flags < 4; flags++) {
            mm__ids_clear(&ids);
            mm__buf_clear(&text);
            st = mm__tokenize(t, texts[i], strlen(texts[i]), flags, &ids, &c->err);
            for (size_t k = 0; k < ids.len; k++)
                fuzz_expect(ids.data[k] >= 0 && (size_t)ids.data[k] < mm__tokenizer_size(t), "an id outside the vocabulary", NULL);
            if (st == MM_OK && mm__detokenize(t, ids.data, ids.len, flags & 2, &text) == MM_E_NOMEM) st = mm__nomem(&c->err, "a text");
        }
    mm__ids_free(&ids);
    mm__buf_free(&text);
    return st;
}

#endif

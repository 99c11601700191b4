/* PNG, JPEG and BMP. */
#include "fuzz.h"

#include "../../src/image/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    fuzz_case c = fuzz_begin(bytes, n);
    mm__pixels *p = NULL;
    volatile unsigned sum = 0;
    mm__limit_set(c.mem, MM__LIMIT_IMAGE_PIXELS, 1 << 20);
    const mm_status st = mm__image_decode(c.mem, bytes, n, "picture", &p, &c.err);
    for (size_t i = 0; st == MM_OK && i < (size_t)p->width * (size_t)p->height * (size_t)p->channels; i++) sum += p->data[i];
    mm__pixels_free(p);
    return fuzz_end(&c, st);
}

/* The third-party decoder behind one call. */
#ifndef MM__IMAGE_STB_H
#define MM__IMAGE_STB_H

#include "../base/alloc.h"

typedef struct mm__stb_result {
    uint8_t *data; /* from `mem` */
    int width, height, channels;
    bool out_of_memory; /* set on failure when the allocator, not the file, was the reason */
} mm__stb_result;

/* Decodes a probed picture to packed 8-bit channels. No block larger than max_block is ever asked for. */
bool mm__stb_decode(mm__mem *mem, const uint8_t *bytes, size_t len, size_t max_block, mm__stb_result *out);

#endif

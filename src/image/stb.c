/* stb_image, compiled once for PNG and BMP.
 *
 * The system's copy predates several security fixes, so nothing reaches it that mm__image_probe has not walked. What is
 * left is contained here:
 *   - blocks come from the caller's mm__mem, through a thread-local pointer that lives for one call; the library keeps
 *     no other state (its failure strings, one of which is a shared static, are compiled out);
 *   - every block is zeroed, grown tails too: damaged files may make the decoder read what it never wrote (zero
 *     match distances), and zeros are harmless and the same every time;
 *   - a block larger than the caller's bound is refused: inflated data cannot outgrow the picture it belongs to;
 *   - blocks are listed, and what an error path forgets is released; a second release of one block does nothing;
 *   - its assertions are compiled out: they do not guard memory, and a library must not abort. */
#include "stb.h"
#include <limits.h>
#include <string.h>

#define MAX_BLOCKS 64 /* live at once; the decoder has under twenty */

typedef struct scope {
    mm__mem *mem;
    size_t max_block;
    bool refused, out_of_memory;
    void *blocks[MAX_BLOCKS];
} scope;

static _Thread_local scope *current;

/* The slot that holds p; a free one for NULL; NULL when there is none. */
static void **slot_of(scope *s, const void *p)
{
    for (size_t i = 0; i < MAX_BLOCKS; i++)
        if (s->blocks[i] == p) return &s->blocks[i];
    return NULL;
}

static void *stb_realloc(void *p, size_t old_bytes, size_t bytes)
{
    scope *s = current;
    void **slot = slot_of(s, p);
    if (!slot || bytes > s->max_block) {
        s->refused = true;
        return NULL;
    }
    uint8_t *q = mm__realloc(s->mem, p, bytes);
    if (!q) {
        s->out_of_memory = true;
        return NULL;
    }
    *slot = q;
    if (bytes > old_bytes) memset(q + old_bytes, 0, bytes - old_bytes);
    return q;
}

static void *stb_malloc(size_t bytes)
{
    return stb_realloc(NULL, 0, bytes);
}

static void stb_free(void *p)
{
    void **slot = p ? slot_of(current, p) : NULL;
    if (!slot) return;
    mm__free(current->mem, p);
    *slot = NULL;
}

#define STBI_MALLOC(n) stb_malloc(n)
#define STBI_REALLOC_SIZED(p, old, n) stb_realloc(p, old, n)
#define STBI_FREE(p) stb_free(p)
#define STBI_ASSERT(x) ((void)0)
#define STBI_ONLY_PNG
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_FAILURE_STRINGS
#define STBI_MAX_DIMENSIONS 16384
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wsign-compare"
#ifndef __clang__ /* which does not know it */
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <stb/stb_image.h>

bool mm__stb_decode(mm__mem *mem, const uint8_t *bytes, size_t len, size_t max_block, mm__stb_result *out)
{
    scope s = {.mem = mem, .max_block = max_block};
    memset(out, 0, sizeof *out);
    if (len > INT_MAX) return false;
    current = &s;
    out->data = stbi_load_from_memory(bytes, (int)len, &out->width, &out->height, &out->channels, 0);
    current = NULL;
    for (size_t i = 0; i < MAX_BLOCKS; i++)
        if (s.blocks[i] != out->data) mm__free(mem, s.blocks[i]);
    out->out_of_memory = s.out_of_memory && !s.refused;
    return out->data != NULL;
}

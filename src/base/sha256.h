/* SHA-256 (FIPS 180-4), for identifying templates and cached media. */
#ifndef MM__BASE_SHA256_H
#define MM__BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

typedef struct mm__sha256 {
    uint32_t h[8];
    uint64_t bytes;
    uint8_t block[64];
} mm__sha256;

void mm__sha256_init(mm__sha256 *s);
void mm__sha256_add(mm__sha256 *s, const void *p, size_t n);
void mm__sha256_end(mm__sha256 *s, uint8_t out[32]);
void mm__sha256_hex(const uint8_t digest[32], char out[65]);

#endif

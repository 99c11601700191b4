/* UTF-8 without surprises: overlong forms, surrogates and values above U+10FFFF are invalid. */
#ifndef MM__BASE_UTF8_H
#define MM__BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decodes one character at s[0..n). Returns its length 1..4 and *cp; for an invalid byte returns 1 and *cp = 0xFFFD
 * with *valid = false. n must be > 0. valid may be NULL. */
size_t mm__utf8_decode(const char *s, size_t n, uint32_t *cp, bool *valid);
/* Writes 1..4 bytes; returns the count. */
size_t mm__utf8_encode(uint32_t cp, char out[4]);
bool mm__utf8_valid(const char *s, size_t n);
/* Length of the longest prefix of s[0..n) that does not end inside a character (an unfinished tail is left out). */
size_t mm__utf8_complete(const char *s, size_t n);
/* Makes s[0..n) fit for a terminal or a log, in place: control characters and invalid bytes become '?'. */
void mm__utf8_printable(char *s, size_t n);

#endif

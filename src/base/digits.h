/* What one character of a number's or of binary data's text form stands for; -1: it is none of that alphabet's. */
#ifndef MM__BASE_DIGITS_H
#define MM__BASE_DIGITS_H

/* 0..15; both cases. */
static inline int mm__hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* 0..63 (RFC 4648, section 4); the padding '=' is none. */
static inline int mm__base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

#endif

/* The numbers by which ggml files name element types. GGUF and the speech .bin layout share them. */
#ifndef MM__FILE_GGML_TYPE_H
#define MM__FILE_GGML_TYPE_H

#include "../tensor/dtype.h"

/* False for a type the library has no unpacker for; *name (NULL allowed) is then its name, or "?" for a free number. */
bool mm__ggml_dtype(uint32_t id, mm__dtype *out, const char **name);

#endif

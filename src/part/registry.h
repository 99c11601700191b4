/* Declares every part the registries list. */
#ifndef MM__PART_REGISTRY_H
#define MM__PART_REGISTRY_H

#include "part.h"

#define MM__PART(name) extern const mm__decoder_ops mm__decoder_##name;
#include "../decoder/registry.def"
#undef MM__PART
#define MM__PART(name) extern const mm__encoder_ops mm__encoder_##name;
#include "../encoder/registry.def"
#undef MM__PART
#define MM__PART(name) extern const mm__bridge_ops mm__bridge_##name;
#include "../bridge/registry.def"
#undef MM__PART

#endif

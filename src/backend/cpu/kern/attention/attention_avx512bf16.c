/* Attention of many queries with BF16 dot products, for the fast precision; see attention_tile.h. */
#define MM__PAIRS
#include "attention_tile.h"

static bool pairs_accepts(const mm__call *c) { return !c->exact && shape_of(c).rows >= TILE / 2 && tile_accepts(c); }

const mm__kern mm__kern_attention_tile_avx512bf16 = {
    .name = "attention_tile_avx512bf16",
    .isa = MM__ISA_AVX512BF16,
    .accepts = pairs_accepts,
    .phases = 1,
    .units = tile_units,
    .thread_bytes = tile_bytes,
    .run = tile_run,
};

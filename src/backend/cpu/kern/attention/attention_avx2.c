/* Attention with AVX2 and FMA; see attention_tile.h. */
#include "attention_tile.h"

const mm__kern mm__kern_attention_tile_avx2 = {
    .name = "attention_tile_avx2",
    .isa = MM__ISA_AVX2,
    .accepts = tile_accepts,
    .phases = 1,
    .units = tile_units,
    .thread_bytes = tile_bytes,
    .run = tile_run,
};

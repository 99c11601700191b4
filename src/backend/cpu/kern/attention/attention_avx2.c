/* Attention with AVX2 and FMA; see attention_tile.h and attention_few.h. */
#include "attention_tile.h"

#include "attention_few.h"

const mm__kern mm__kern_attention_tile_avx2 = {
    .name = "attention_tile_avx2",
    .isa = MM__ISA_AVX2,
    .accepts = tile_accepts,
    .phases = 1,
    .units = tile_units,
    .thread_bytes = tile_bytes,
    .run = tile_run,
};

const mm__kern mm__kern_attention_few_avx2 = {
    .name = "attention_few_avx2",
    .isa = MM__ISA_AVX2,
    .accepts = few_accepts,
    .phases = 2,
    .units = few_units,
    .shared_bytes = few_shared,
    .thread_bytes = few_bytes,
    .run = few_run,
};

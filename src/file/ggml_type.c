/* ggml's element type numbers (enum ggml_type in ggml.h). Numbers without a name were withdrawn. */
#include "ggml_type.h"

static const struct {
    const char *name;
    bool have;
    mm__dtype dtype;
} types[] = {
    [0] = {"F32", true, MM__F32},    [1] = {"F16", true, MM__F16},    [2] = {"Q4_0", true, MM__Q4_0},  [3] = {"Q4_1", true, MM__Q4_1},
    [6] = {"Q5_0", true, MM__Q5_0},  [7] = {"Q5_1", true, MM__Q5_1},  [8] = {"Q8_0", true, MM__Q8_0},  [9] = {"Q8_1", false, 0},
    [10] = {"Q2_K", true, MM__Q2_K}, [11] = {"Q3_K", true, MM__Q3_K}, [12] = {"Q4_K", true, MM__Q4_K}, [13] = {"Q5_K", true, MM__Q5_K},
    [14] = {"Q6_K", true, MM__Q6_K}, [15] = {"Q8_K", false, 0},       [16] = {"IQ2_XXS", false, 0},    [17] = {"IQ2_XS", false, 0},
    [18] = {"IQ3_XXS", false, 0},    [19] = {"IQ1_S", false, 0},      [20] = {"IQ4_NL", false, 0},     [21] = {"IQ3_S", false, 0},
    [22] = {"IQ2_S", false, 0},      [23] = {"IQ4_XS", false, 0},     [24] = {"I8", true, MM__I8},     [25] = {"I16", true, MM__I16},
    [26] = {"I32", true, MM__I32},   [27] = {"I64", true, MM__I64},   [28] = {"F64", true, MM__F64},   [29] = {"IQ1_M", false, 0},
    [30] = {"BF16", true, MM__BF16}, [34] = {"TQ1_0", false, 0},      [35] = {"TQ2_0", false, 0},      [39] = {"MXFP4", false, 0},
    [40] = {"NVFP4", false, 0},
};

bool mm__ggml_dtype(uint32_t id, mm__dtype *out, const char **name)
{
    const bool known = id < sizeof types / sizeof *types && types[id].name;
    if (name) *name = known ? types[id].name : "?";
    if (!known || !types[id].have) return false;
    *out = types[id].dtype;
    return true;
}

/* The published classes of image preprocessors and their defaults, which a preprocessor_config.json leaves out. They are
 * named after models, so they stand here rather than with the pixels; and in one list rather than with the products, since
 * any product may name any of them (the eye of a language model is often another model's tower). */
#include "assembly.h"

#define MEAN_CLIP                                                                                                              \
    {                                                                                                                          \
        0.48145466f, 0.4578275f, 0.40821073f                                                                                   \
    }
#define STD_CLIP                                                                                                               \
    {                                                                                                                          \
        0.26862954f, 0.26130258f, 0.27577711f                                                                                  \
    }
#define HALF                                                                                                                   \
    {                                                                                                                          \
        0.5f, 0.5f, 0.5f                                                                                                       \
    }

#define EXACT(n) n, 0, 0, MM__FIT_EXACT
#define EXACT_CROP(n, c) n, c, MM__IMAGE_CROPS, MM__FIT_EXACT
#define SHORTEST(n, can) n, n, can, MM__FIT_SHORTEST
#define DROP MM__RGB_DROP_ALPHA

static const mm__image_class classes[] = {
    {"CLIP", SHORTEST(224, MM__IMAGE_CROPS), MM__RESAMPLE_BICUBIC, DROP, MEAN_CLIP, STD_CLIP},
    {"Bit", SHORTEST(224, MM__IMAGE_CROPS), MM__RESAMPLE_BICUBIC, DROP, MEAN_CLIP, STD_CLIP},
    {"Llava", SHORTEST(224, MM__IMAGE_CROPS | MM__IMAGE_PADS), MM__RESAMPLE_BICUBIC, DROP, MEAN_CLIP, STD_CLIP},
    {"ChineseCLIP", SHORTEST(224, MM__IMAGE_CROPS), MM__RESAMPLE_BICUBIC, DROP, MEAN_CLIP, STD_CLIP},
    {"Blip", EXACT(384), MM__RESAMPLE_BICUBIC, DROP, MEAN_CLIP, STD_CLIP},
    {"ViT", EXACT(224), MM__RESAMPLE_BILINEAR, DROP, HALF, HALF},
    {"Siglip", EXACT(224), MM__RESAMPLE_BICUBIC, DROP, HALF, HALF},
    {"DeiT", EXACT_CROP(256, 224), MM__RESAMPLE_BICUBIC, DROP, HALF, HALF},
    {"Beit", EXACT_CROP(256, 224), MM__RESAMPLE_BICUBIC, DROP, HALF, HALF},
    {"Gemma3", EXACT(224), MM__RESAMPLE_BILINEAR, DROP, HALF, HALF},
    {"Idefics", EXACT(224), MM__RESAMPLE_BICUBIC, MM__RGB_OVER_WHITE, MEAN_CLIP, STD_CLIP},
};

const mm__image_classes mm__assembly_image_classes = {classes, sizeof classes / sizeof *classes};

/* What an assembly is: the parts of one product, joined. An assembly's file says which parts, where their tensors and
 * configuration live in each file format, how media are prepared, and how the prompt is laid out around them - all of it
 * as data below, plus a few functions where a product computes something of its own. `run/` plays any of them. */
#ifndef MM__ASSEMBLY_ASSEMBLY_H
#define MM__ASSEMBLY_ASSEMBLY_H

#include "../audio/audio.h"
#include "../image/image.h"
#include "../part/part.h"
#include "../text/template.h"
#include "../text/tokenizer.h"
#include "source.h"

#define MM__TASK_GENERATE 1u
#define MM__TASK_EMBED 2u
#define MM__TASK_SCORE 4u
#define MM__TASK_TRANSCRIBE 8u

#define MM__IN_TEXT 1u
#define MM__IN_IMAGE 2u
#define MM__IN_AUDIO 4u

/* Where media rows go. */
#define MM__MEDIA_NONE 0
#define MM__MEDIA_SPLICE 1    /* they take the places of placeholder ids in the prompt */
#define MM__MEDIA_FIRST 2     /* placeholder ids come before the whole text, BOS included; rows take their places */
#define MM__MEDIA_CROSS 3     /* cross-attention memory: a text row sees the most recent medium before it */

/* What becomes of the rows of a text; of several, the vectors stand one behind the other, in this order. */
#define MM__POOL_FIRST 1u     /* the first row */
#define MM__POOL_MAX 2u       /* the largest value of each column */
#define MM__POOL_MEAN 4u
#define MM__POOL_ROOT 8u      /* the sum over the square root of the number of rows */
#define MM__POOL_WEIGHTED 16u /* mean in which row t counts t + 1 times */
#define MM__POOL_LAST 32u     /* the last row */

#define MM__MAX_EOS 16

typedef struct mm__prompt_policy {
    int media;                /* MM__MEDIA_* */
    const char *placeholder;  /* token that stands for one row of a medium ("<image>"); NULL when media is NONE */
    int32_t placeholder_id;   /* its id, -1 when the vocabulary lacks it (pieces around it are tokenised apart) */
    int32_t rows_per_image;   /* placeholders one picture expands to */
    const char *before, *after; /* text put around the placeholder of each picture, or NULL. A picture right behind another
                                 shares the `after` of the first with its own `before` when both are equal */
    const char *chat_template;/* used when the files have none; NULL: the text is the prompt */
} mm__prompt_policy;

typedef struct mm__speech_policy {
    mm__mel *mel;             /* front end of one window, owned */
    int32_t rate, window_samples, window_frames, hop;
    int32_t sot, eot, prev, no_timestamps, no_speech, transcribe, translate, timestamp_begin; /* ids, -1: none */
    int32_t *language_ids;    /* [n_languages], owned; codes are "en", "de", .. */
    char (*language_codes)[8];
    int32_t n_languages;
    bool multilingual;
    int32_t *suppress, n_suppress, *begin_suppress, n_begin_suppress; /* owned */
    int32_t max_initial_timestamp; /* index, -1: none */
    int32_t max_text, sample_len;  /* positions of the decoder; new tokens per window */
    double seconds_per_timestamp;
} mm__speech_policy;

typedef struct mm__score_policy {
    float scale, bias;        /* logit = scale * cosine + bias */
    bool sigmoid;             /* per pair; else softmax over the texts */
} mm__score_policy;

typedef struct mm__assembly mm__assembly;

typedef struct mm__assembly_ops {
    const char *name;
    /* Whether this product is what the source holds. */
    bool (*match)(const mm__source *s);
    mm_status (*create)(mm__assembly *a, mm__source *s, mm_error *err);
    /* Emits the graph of one picture or one text, or NULL: the default (encoder, feature layer, class row dropped or not,
     * bridge). */
    mm__node *(*image_rows)(mm__assembly *a, mm__graph *g, mm__node *pixels);
} mm__assembly_ops;

struct mm__assembly {
    const mm__assembly_ops *ops;
    mm__mem *mem;
    mm__backend *backend;
    mm__store *store;
    mm__source *source;
    mm__loader loader;        /* base for the parts' loaders */
    unsigned tasks, modalities;
    char fingerprint[65];     /* tells models apart, in hexadecimal */
    uint64_t table_bytes;     /* what it holds beside its weights: tokenizer, names, configuration */

    mm__decoder *decoder;     /* generates */
    mm__encoder *memory;      /* text encoder whose output the decoder attends to (encoder-decoder models) */
    mm__encoder *vision, *speech, *text;
    mm__bridge *bridge;

    mm__tokenizer *tokenizer;
    mm__template *chat;       /* NULL: none */
    char *chat_text;          /* source of `chat` */
    char *bos_token, *eos_token;
    int32_t eos[MM__MAX_EOS], n_eos;

    mm__image_policy image;
    int32_t feature_layer;    /* 0: last; else as mm__encoder_in.layer */
    bool drop_first;          /* leave out the first row of the features, usually the class token */
    unsigned pool;            /* texts: MM__POOL_*; 0: the vector the encoder itself gives */
    bool lower_case;          /* texts to embed are put into lower case before anything else */
    bool hide_padding;        /* text encoders that always pad: rows do not see the padding */
    bool plain_text;          /* a SentencePiece text side strips punctuation and collapses blanks first */
    mm__prompt_policy prompt;
    mm__speech_policy audio;
    mm__score_policy score;
};

/* Opens the source, finds the product that matches, creates everything, and gives the files back. */
mm_status mm__assembly_load(const mm__files *files, mm__backend *backend, const char *path, mm_progress_fn progress, void *user,
                            mm__assembly **out, mm_error *err);
void mm__assembly_destroy(mm__assembly *a);
/* The `index`-th role a part can have, and the part that has it in this product (NULL: none); false past the last. */
bool mm__assembly_part_at(const mm__assembly *a, unsigned index, const char **role, const char **name);
/* Name of the `index`-th product this build has; NULL past the last. */
const char *mm__assembly_name_at(unsigned index);

/* Rows a picture contributes: [M, n] (for MM__MEDIA_* and EMBED of pictures). */
mm__node *mm__assembly_image_rows(mm__assembly *a, mm__graph *g, mm__node *pixels);

/* Columns of a row that a medium puts into the prompt or the cross-attention memory. */
int32_t mm__assembly_media_width(const mm__assembly *a);
/* join.c: whether the parts fit each other. Called once after creation. */
mm_status mm__assembly_check(const mm__assembly *a, mm_error *err);

/* fingerprint.c: fills in a->fingerprint; the files must still be open. */
mm_status mm__assembly_fingerprint(mm__assembly *a, mm_error *err);

/* ---- shared by the assemblies ---- */

/* Tokenizer, chat template and end ids from whatever the source has. */
mm_status mm__assembly_text(mm__assembly *a, mm__source *s, mm_error *err);
/* plain_vocab.c: the tokenizer of a folder without tokenizer.json, from vocab.json and merges.txt, or from vocab.txt. */
mm_status mm__assembly_plain_vocab(mm__assembly *a, const mm__source *s, mm_error *err);
/* image_classes.c: the preprocessors that files may name. */
extern const mm__image_classes mm__assembly_image_classes;
/* preprocessor_config.json of the source over `fallback`. */
mm_status mm__assembly_image_policy(mm__assembly *a, const mm__source *s, const mm__image_policy *fallback, mm_error *err);
/* Where a product's files have no preprocessor_config.json: `size` x `size` pixels, bicubic - the whole picture squeezed
 * (MM__FIT_EXACT), or its middle (MM__FIT_SHORTEST) - with one of the usual statistics of the pixels. */
typedef enum mm__pixel_stats { MM__STATS_WEB, MM__STATS_IMAGENET, MM__STATS_HALF } mm__pixel_stats;
mm__image_policy mm__assembly_policy(int fit, int32_t size, mm__pixel_stats stats);
/* A loader for the part found under the nested config `json_path` ("" for the whole) with these name prefixes. */
mm__loader mm__assembly_loader(mm__assembly *a, const mm__source *s, const char *json_path, const char *const *prefixes);
/* model_type / general.architecture of the source, "" when there is none. */
const char *mm__source_type(const mm__source *s);

#endif

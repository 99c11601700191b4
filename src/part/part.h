/* What a part is. Parts come in three kinds - encoders, bridges, decoders; each is one file that owns one architecture:
 * it reads hyper-parameters, names its tensors, and emits its graph. A part never knows which product it serves.
 * registry.def in each room lists the parts, one line MM__PART(name) for each; the part's table is the global constant
 * mm__decoder_<name>, mm__encoder_<name> or mm__bridge_<name>. The functions at the end of this header pick one by the
 * identifier a file states. */
#ifndef MM__PART_PART_H
#define MM__PART_PART_H

#include "../file/config.h"
#include "../nn/kvcache.h"
#include "load.h"

/* ---- decoders ---- */

typedef struct mm__decoder mm__decoder;

typedef struct mm__lm_info {
    int32_t n_vocab, n_embd, n_layer, n_ctx;  /* n_ctx: positions the model was made for */
    int32_t window;           /* sliding window, 0: none */
    int32_t ctx_original;     /* where long_context begins, 0: never */
    mm__kv_layer *kv;         /* [n_layer], owned by the part */
    mm__kv_layer *cross;      /* [n_layer] or NULL: no cross-attention */
    int32_t cross_width;      /* columns of the memory cross-attention reads */
    int32_t start_id;         /* decoder start token of encoder-decoder models, else -1 */
} mm__lm_info;

typedef struct mm__decoder_ops {
    const char *name;
    const char *const *json_types;  /* model_type values, NULL-terminated */
    const char *const *gguf_archs;  /* general.architecture values, NULL-terminated; may be NULL */
    mm_status (*create)(mm__loader *ld, mm__decoder **out, mm_error *err);
    void (*destroy)(mm__decoder *d);
    /* ids I32 [T] -> rows [T, n_embd], as media rows enter (scaled where the architecture scales text only). */
    mm__node *(*embed)(mm__decoder *d, mm__graph *g, mm__node *ids);
    /* rows [T, n_embd] -> hidden [T, n_embd'] after the final norm. Stages: "hidden_states.<i>", "layer<i>", "layer<i>.attn",
     * "layer<i>.mlp", "final_norm". */
    mm__node *(*forward)(mm__decoder *d, mm__graph *g, mm__node *x, const mm__step *s);
    /* hidden [R, ..] -> logits [R, n_vocab]. */
    mm__node *(*head)(mm__decoder *d, mm__graph *g, mm__node *hidden);
    /* memory [M, cross_width] -> K and V of every cross layer at `slot` I32 [M]. NULL when info.cross is NULL. */
    void (*cross)(mm__decoder *d, mm__graph *g, mm__node *memory, mm__kv *cross, mm__node *slot);
} mm__decoder_ops;

struct mm__decoder {
    const mm__decoder_ops *ops;
    mm__mem *mem;
    mm__lm_info info;
};

/* ---- encoders ---- */

typedef struct mm__encoder mm__encoder;

#define MM__ENC_IMAGE 0
#define MM__ENC_AUDIO 1
#define MM__ENC_TEXT 2

typedef struct mm__encoder_info {
    int kind;                 /* MM__ENC_* */
    int32_t width;            /* columns of the features */
    int32_t image_size, patch;/* image: the size it was made for; 0 for other kinds */
    bool has_cls;             /* row 0 is a class token */
    int32_t n_mels, max_rows; /* audio: mel bands, and output rows at most; text: positions at most */
    int32_t projected;        /* columns of `projected`, 0: none */
    int32_t n_layer;
    int32_t pool_id;          /* text: id whose first occurrence is pooled, -1: the last row, -2: no pooling */
    int32_t pad_to, pad_id;   /* text: always padded to this many ids; 0: no */
} mm__encoder_info;

/* What an encoder gives; members it does not have, or that were not asked for, are NULL. */
typedef struct mm__features {
    mm__node *last;           /* [N, width] as the reference's last_hidden_state (final norm included where it has one) */
    mm__node *layer;          /* [N, width] after the asked-for layer, as the reference's hidden_states: the last one's rows are
                                 `last`, final norm included, where the reference has them so */
    mm__node *pooled;         /* [1, width'] */
    mm__node *projected;      /* [1, projected]: into the space shared with another encoder */
} mm__features;

typedef struct mm__encoder_in {
    mm__node *pixels;         /* image: F32 [3, H, W] */
    mm__node *mel;            /* audio: F32 [n_mels, frames] */
    mm__node *ids;            /* text: I32 [T] */
    mm__node *types;          /* text: segment ids I32 [T], or NULL: all 0 */
    mm__node *pool_row;       /* text: I32 [1], row that is pooled */
    mm__node *rows;           /* text: rows [T, width] that replace the embedding of ids, or NULL */
    mm__node *span;           /* text: I32 [T, 2], rows that each row sees (padding hidden, say), or NULL: as the
                                 architecture does */
    int32_t layer;            /* feature layer: 1 = after the first block ... ; negative counts from the end (-1 = after the
                                 last, -2 = after the last but one, -n_layer - 1 = before the first); 0: not wanted */
} mm__encoder_in;

typedef struct mm__encoder_ops {
    const char *name;
    int kind;                 /* MM__ENC_* */
    const char *const *json_types;
    const char *const *gguf_archs;
    mm_status (*create)(mm__loader *ld, mm__encoder **out, mm_error *err);
    void (*destroy)(mm__encoder *e);
    mm_status (*forward)(mm__encoder *e, mm__graph *g, const mm__encoder_in *in, mm__features *out);
    /* Text encoders whose memory feeds a decoder: ids -> rows before the first block; NULL otherwise. */
    mm__node *(*embed)(mm__encoder *e, mm__graph *g, mm__node *ids);
} mm__encoder_ops;

struct mm__encoder {
    const mm__encoder_ops *ops;
    mm__mem *mem;
    mm__encoder_info info;
};

/* ---- bridges ---- */

typedef struct mm__bridge mm__bridge;

typedef struct mm__bridge_info {
    int32_t in, out;          /* columns */
    int32_t n_query;          /* rows of the result, 0: as many as rows of the input */
} mm__bridge_info;

typedef struct mm__bridge_ops {
    const char *name;
    mm_status (*create)(mm__loader *ld, mm__bridge **out, mm_error *err);
    void (*destroy)(mm__bridge *b);
    /* features [N, in] (and instruction ids, for bridges that read text; NULL otherwise) -> [M, out] */
    mm__node *(*forward)(mm__bridge *b, mm__graph *g, mm__node *x, mm__node *text_ids);
} mm__bridge_ops;

struct mm__bridge {
    const mm__bridge_ops *ops;
    mm__mem *mem;
    mm__bridge_info info;
};

/* Pick by what the loader's config states (model_type or general.architecture); MM_E_UNSUPPORTED names an unknown one. */
mm_status mm__decoder_create(mm__loader *ld, mm__decoder **out, mm_error *err);
mm_status mm__encoder_create(mm__loader *ld, int kind, mm__encoder **out, mm_error *err);
/* Bridges are picked by name. */
mm_status mm__bridge_create(mm__loader *ld, const char *name, mm__bridge **out, mm_error *err);
/* The `index`-th part this build has and its room ("decoder", "encoder", "bridge"); NULL past the last. */
const char *mm__part_at(size_t index, const char **room);
/* Release any of them; NULL allowed. */
void mm__decoder_destroy(mm__decoder *d);
void mm__encoder_destroy(mm__encoder *e);
void mm__bridge_destroy(mm__bridge *b);

#endif

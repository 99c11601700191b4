/* What the encoders of this room share: the stack of equal transformer blocks, the stem that turns a picture into rows,
 * and the bookkeeping around them. Everything here is addressed by canonical keys, which each part maps to file names:
 *
 *   blocks   norm1 attn_qkv | attn_q attn_k attn_v, attn_out, norm2, mlp_up, mlp_down, scale1? scale2?
 *   stem     patch, cls, registers?, pos
 *
 * A part embeds mm__tower as its first member; the functions below then serve as its destroy and as pieces of its
 * create and forward. Scheme-specific spellings stay in the parts' tables. */
#ifndef MM__ENCODER_TOWER_H
#define MM__ENCODER_TOWER_H

#include "../part/registry.h"

typedef struct mm__tower {
    mm__encoder base;
    int32_t width, ffn, n_layer, n_head;
    float eps;
    mm__act act;
    bool gated;               /* MLP: gate rows first in mlp_up */
    bool normed_last;         /* feature layers: the last one is the rows behind the final norm */
    bool post_norm;           /* norms follow the branches (BERT) instead of leading them */
    mm__attn_shape attn;
    mm__block *blocks;        /* [n_layer] */
    /* stem of a picture tower */
    int32_t grid;             /* patches along a side of a picture of the size it was made for */
    bool interpolate;         /* other grids: resample the positions, antialiased beside registers (else they are refused) */
    mm__linear patch;
    const mm__tensor *cls;    /* [1, D]: class embedding with its position added, or NULL */
    const mm__tensor *registers; /* [R, D]: rows behind the class row without positions, or NULL */
    const mm__tensor *pos;    /* [grid * grid, D] */
    /* text */
    mm__tensor *causal;       /* state I32 [max_rows, 2]: visible span of each row, or NULL: all rows see all */
} mm__tower;

/* Reads the sizes as Hugging Face configurations name them; what they leave out stays as it is in z, which holds the
 * architecture's defaults. image_size 0: no picture tower. width_key: "hidden_size" usually. */
void mm__tower_read(mm__loader *ld, mm__tower *z, const char *width_key, const char *act);
/* The picture's part of it: image_size and patch_size, which are squares. */
void mm__tower_picture(mm__loader *ld, mm__encoder_info *info);
/* Zeroed part of `bytes` with ops, sizes and attention shape set; NULL after an error (noted in ld). */
void *mm__tower_new(mm__loader *ld, const mm__encoder_ops *ops, size_t bytes, const mm__tower *sizes);
void mm__tower_destroy(mm__encoder *e);
/* Ends a create: gives the part out, or destroys it and reports the loader's error. */
mm_status mm__tower_finish(mm__loader *ld, mm__tower *t, mm__encoder **out, mm_error *err);

void mm__tower_load_blocks(mm__loader *ld, mm__tower *t);
/* image_size and patch of base.info must be set. with_cls: the table has one row more, the first, for the class. */
void mm__tower_load_stem(mm__loader *ld, mm__tower *t, bool with_cls);
/* Spans for causal attention over at most n rows. */
void mm__tower_make_causal(mm__loader *ld, mm__tower *t, int32_t n);
/* First axis of a stored matrix, 0 when absent. */
int64_t mm__tower_stored_rows(const mm__loader *ld, const char *key);

/* pixels [3, H, W] -> rows [cls? + R + (H/p)(W/p), D], stage "embeddings". */
mm__node *mm__tower_embed(const mm__tower *t, mm__graph *g, mm__node *pixels);
/* All blocks. Stages "hidden_states.<i>", "layer<i>", and for the result "encoder" and "hidden_last". *feature gets the
 * rows that in->layer names, stage "layer_feature(<layer>)". */
mm__node *mm__tower_blocks(const mm__tower *t, mm__graph *g, mm__node *x, const mm__encoder_in *in, mm__node **feature);

/* Of a tower with normed_last: the final norm over the rows of the last block, stage `name`. */
mm__node *mm__tower_norm_last(mm__graph *g, const mm__norm *norm, mm__node *x, const mm__encoder_in *in, const char *name, mm__node **feature);

/* Token embedding of a text tower: rows of the table, or in->rows, plus the first T rows of `pos`. */
mm__node *mm__tower_text(const mm__tower *t, mm__graph *g, const mm__encoder_in *in, const mm__tensor *table, const mm__tensor *pos);

#endif

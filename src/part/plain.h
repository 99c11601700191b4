/* Decoders whose graph is the stack of nn/stack.h: the part reads sizes, names its tensors and states what differs; the
 * functions here load the layers and serve as the operations of mm__decoder_ops.
 *
 * Canonical keys of a part's name table: embed, head, final_norm; per layer attn_norm, attn_qkv (or attn_q, attn_k,
 * attn_v), attn_out, q_norm, k_norm, attn_post, ffn_norm, ffn_gate_up (or ffn_gate, ffn_up), ffn_down, ffn_post;
 * per layer with cross-attention cross_norm, cross_q, cross_kv (or cross_k, cross_v), cross_out, and for gated layers
 * cross_q_norm, cross_k_norm, cross_gate, cross_ffn_norm, cross_ffn_gate, cross_ffn_up, cross_ffn_down, cross_ffn_scale. */
#ifndef MM__PART_PLAIN_H
#define MM__PART_PLAIN_H

#include "../nn/stack.h"
#include "registry.h"

typedef struct mm__plain {
    mm__decoder base;
    mm__stack stack;
} mm__plain;

/* Sizes of a model. The field values on entry to mm__plain_sizes are the architecture's defaults. */
typedef struct mm__sizes {
    int32_t n_layer, n_embd, n_ff, n_head, n_head_kv, head_dim; /* n_head_kv 0: n_head; head_dim 0: n_embd / n_head */
    int32_t n_ctx;
    double eps, rope_base;
} mm__sizes;
/* Reads them under the names most JSON configurations and all GGUF files share (hidden_size, .embedding_length, ...). */
void mm__plain_sizes(mm__loader *ld, mm__sizes *s);

/* How layers are built and loaded. */
typedef struct mm__layout {
    mm__norm_kind norm;
    unsigned norm_flags;   /* MM__LOAD_ADD_ONE ... */
    unsigned linear_flags; /* of every linear layer */
    mm__act act;
    bool gated;
    bool qk_norm;      /* q_norm, k_norm */
    bool branch_norms; /* attn_post, ffn_post */
} mm__layout;

/* Allocates a decoder of sizes s; NULL with the loader's error set. */
mm__plain *mm__plain_new(mm__loader *ld, const mm__decoder_ops *ops, const mm__sizes *s);
/* Token table [V, n_embd]; V is the table's own. Sets info.n_vocab. use: MM__USE_ROWS, and MM__USE_LINEAR when it is the head.
 */
void mm__plain_load_embed(mm__loader *ld, mm__plain *p, int32_t n_embd, unsigned use);
/* Token table and head: tied when the file has no head, or the configuration says so. tie: the architecture's default. */
void mm__plain_load_ends(mm__loader *ld, mm__plain *p, int32_t n_embd, bool tie);
void mm__plain_load_layers(mm__loader *ld, mm__plain *p, const mm__sizes *s, const mm__layout *y);
/* Room for cross-attention to a memory of `width` columns, in no layer yet. False: out of memory, and the loader knows. */
bool mm__plain_begin_cross(mm__loader *ld, mm__plain *p, const mm__sizes *s, int32_t width);
/* Cross-attention after self-attention in every layer; memory has info.cross_width columns. */
void mm__plain_load_cross(mm__loader *ld, mm__plain *p, const mm__sizes *s, const mm__layout *y, int32_t width);
/* Every layer sees `window` positions (0: all). */
void mm__plain_window(mm__plain *p, int32_t window);
/* Then: the configuration's layer_types, where present, says which layers do. */
void mm__plain_window_types(mm__loader *ld, mm__plain *p);

/* Rotary positions with base s->rope_base, scaled as the configuration says: not, linear, llama3, yarn, dynamic (which
 * acts beyond n_ctx only), or by the factors in the file; anything else is MM_E_UNSUPPORTED. */
mm__rope mm__plain_rope(mm__loader *ld, const mm__sizes *s, int32_t n_rot, bool interleaved);
/* A table of frequencies as a constant. */
mm__rope mm__rope_constant(mm__loader *ld, const float *inv_freq, int32_t n_rot, bool interleaved, double scale);
/* The same rotation for all layers and contexts. */
void mm__plain_set_rope(mm__plain *p, mm__rope rope);

/* Ends a create function: hands p over, or releases it and reports the loader's error. */
mm_status mm__plain_finish(mm__loader *ld, mm__plain *p, mm__decoder **out, mm_error *err);

void mm__plain_destroy(mm__decoder *d);
mm__node *mm__plain_embed(mm__decoder *d, mm__graph *g, mm__node *ids);
mm__node *mm__plain_forward(mm__decoder *d, mm__graph *g, mm__node *x, const mm__step *s);
mm__node *mm__plain_head(mm__decoder *d, mm__graph *g, mm__node *hidden);
void mm__plain_cross(mm__decoder *d, mm__graph *g, mm__node *memory, mm__kv *cross, mm__node *slot);

#endif

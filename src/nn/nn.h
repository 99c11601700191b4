/* Architecture-neutral blocks. Each takes constants and values and emits nodes; none knows a weight name or a model. */
#ifndef MM__NN_NN_H
#define MM__NN_NN_H

#include "../graph/graph.h"

/* ---- linear: y = act(x W^T + b) + residual; W may be up to three stacked matrices ---- */
typedef struct mm__linear {
    const mm__tensor *w[3];
    int n_w;
    const mm__tensor *bias;   /* [out] or NULL */
    int64_t in, out;
} mm__linear;
mm__node *mm__linear_fwd(mm__graph *g, const mm__linear *l, mm__node *x, mm__act act, mm__node *residual);
/* As above without act. The product alone is the stage `stage`; the addition stays fused unless the graph is watched. */
mm__node *mm__linear_staged(mm__graph *g, const mm__linear *l, mm__node *x, mm__node *residual, const char *stage);

/* ---- norm ---- */
typedef enum mm__norm_kind { MM__NORM_LAYER, MM__NORM_RMS } mm__norm_kind;
typedef struct mm__norm {
    mm__norm_kind kind;
    const mm__tensor *w, *b;  /* either may be NULL */
    float eps;
} mm__norm;
mm__node *mm__norm_fwd(mm__graph *g, const mm__norm *n, mm__node *x); /* a norm without w and b is the identity only if w is NULL and eps 0 */

/* ---- MLP: plain (fc1, act, fc2) or gated (one fused gate|up linear, GLU, down) ---- */
typedef struct mm__mlp {
    mm__linear up;            /* gated: rows of gate first, then up */
    mm__linear down;
    mm__act act;
    bool gated;
} mm__mlp;
mm__node *mm__mlp_hidden(mm__graph *g, const mm__mlp *m, mm__node *x); /* what `down` reads */
mm__node *mm__mlp_fwd(mm__graph *g, const mm__mlp *m, mm__node *x, mm__node *residual);

/* ---- rotary positions ---- */
typedef struct mm__rope {
    const mm__tensor *inv_freq; /* [n_rot/2] F32, or NULL: no rotation */
    bool interleaved;
    float scale;                /* of cos and sin */
} mm__rope;
/* Fills inv_freq[n_rot/2]: base^(-2j/n_rot). */
void mm__rope_freqs(float *inv_freq, int32_t n_rot, double base);
void mm__rope_scale_linear(float *inv_freq, int32_t n_rot, double factor);
/* Llama-3 per-frequency scaling. */
void mm__rope_scale_llama3(float *inv_freq, int32_t n_rot, double factor, double low, double high, double orig_ctx);
/* YaRN (Peng et al. 2023): frequencies that turn more than `fast` times within the original context stay, those that turn
 * less than `slow` times are divided by factor, with a ramp between. whole: the ramp starts and ends at whole frequencies. */
void mm__rope_scale_yarn(float *inv_freq, int32_t n_rot, double base, double factor, double orig_ctx, double fast, double slow,
                         bool whole);
/* Divides each frequency by its factor (longrope, rope_freqs.weight). */
void mm__rope_scale_each(float *inv_freq, int32_t n_rot, const float *factors);
mm__node *mm__rope_fwd(mm__graph *g, const mm__rope *r, mm__node *x, mm__node *pos);

/* ---- attention over values (encoders): qkv [T, (H + 2 Hk) d] fused ---- */
typedef struct mm__attn_shape {
    int32_t n_head, n_head_kv, head_dim;
    float scale;              /* of the scores, usually head_dim^-0.5 */
    float softcap;
} mm__attn_shape;
mm__node *mm__self_attention(mm__graph *g, const mm__attn_shape *a, mm__node *qkv, mm__node *span);
/* q [T, H d]; kv [S, 2 Hk d]: keys first. */
mm__node *mm__cross_attention(mm__graph *g, const mm__attn_shape *a, mm__node *q, mm__node *kv, mm__node *span);

/* ---- pre-norm transformer block of an encoder (ViT and its kin) ---- */
typedef struct mm__block {
    mm__norm norm1, norm2;
    mm__linear qkv, out;
    mm__mlp mlp;
    const mm__tensor *scale1, *scale2; /* LayerScale [D] or NULL */
} mm__block;
mm__node *mm__block_pre(mm__graph *g, const mm__block *b, const mm__attn_shape *a, mm__node *x, mm__node *span);
/* Post-norm: norm1 after attention + residual, norm2 after the MLP + residual (BERT, Q-Former). */
mm__node *mm__block_post(mm__graph *g, const mm__block *b, const mm__attn_shape *a, mm__node *x, mm__node *span);

#endif

/* A session as bytes: everything that is not in the decoder's cache. Forks and snapshots go through it, so that both keep the
 * same. Little-endian; a text or list is its u64 length and its content.
 *
 *   u32 n_ctx, max_tokens, top_k, top_logprobs, flags, u64 seed, f32 temperature, top_p, min_p, repeat_penalty
 *   u64 count of keys and values, each a text           options set by key
 *   u32 state                                           idle, fed or done
 *   u64 messages, each:  text role, u32 has extra, [text], u64 pieces, each: u32 kind, text | u32 medium | list of i32 ids
 *   u64 fed messages, u64 fed media
 *   u64 media, each:     u32 kind, u32 width, height, channels, list of u8 | u32 rate, list of f32;
 *                        u32 rows, u32 width, list of f32  (rows 0: not encoded yet)
 *   u64 held positions, each: i32 id, medium, media row, sees */
#ifndef MM__RUN_RECORD_H
#define MM__RUN_RECORD_H

#include "session.h"

/* MM_E_STATE while an answer is being given. */
mm_status mm__record_write(const mm__session *s, mm__buf *out, mm_error *err);
/* Makes a session of what was written; `bytes` may come from anywhere. Its cache is empty: s->line.n_held positions are to be
 * filled in. */
mm_status mm__record_read(mm__mem *mem, const mm__log *log, mm__assembly *a, const void *bytes, size_t len, mm__session **out,
                          mm_error *err);

#endif

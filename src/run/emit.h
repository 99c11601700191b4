/* Graphs of encoders, emitted apart from running them, so that a memory plan measures what a session will run. Each
 * function stands in the file that runs its graph; the caller plans, binds and runs. */
#ifndef MM__RUN_EMIT_H
#define MM__RUN_EMIT_H

#include "../assembly/assembly.h"

/* media.c: a preprocessed picture of w x h pixels -> rows. */
typedef struct mm__picture_graph { mm__node *pixels, *rows; } mm__picture_graph;
mm_status mm__emit_picture(mm__assembly *a, mm__graph *g, int32_t w, int32_t h, mm__picture_graph *out, mm_error *err);

/* transcribe.c: a window of a spectrogram -> rows. */
typedef struct mm__speech_graph { mm__node *mel, *rows; } mm__speech_graph;
mm_status mm__emit_speech(mm__assembly *a, mm__graph *g, mm__speech_graph *out, mm_error *err);

/* memory.c: n_rows positions, n_media of them rows of media (set before the call) -> what a decoder attends to. */
typedef struct mm__memory_graph { mm__node *ids, *media, *media_at, *out; int32_t n_media; } mm__memory_graph;
mm_status mm__emit_memory(mm__assembly *a, mm__graph *g, int32_t n_rows, mm__memory_graph *m, mm_error *err);

/* vectors.c: n ids -> one vector, or the rows it is pooled from where the assembly names a pooling. */
typedef struct mm__text_graph { mm__encoder_in in; mm__node *rows; } mm__text_graph;
mm_status mm__emit_text(mm__assembly *a, mm__graph *g, int64_t n, mm__text_graph *out, mm_error *err);

#endif

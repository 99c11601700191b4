/* Chat templates: a closed subset of Jinja, interpreted over JSON-like values. Nothing outside the inputs can be
 * reached: no attribute access to host objects, no import, include or file access. Budgets (the limits "template_...",
 * and a range of 65536 numbers) end a run with MM_E_LIMIT. */
#ifndef MM__TEXT_TEMPLATE_H
#define MM__TEXT_TEMPLATE_H

#include "../base/buf.h"
#include "../base/json.h"

typedef struct mm__template mm__template;

/* Whitespace control as Hugging Face sets it: trim_blocks and lstrip_blocks on. */
mm_status mm__template_compile(mm__mem *mem, const char *text, size_t len, mm__template **out, mm_error *err);
void mm__template_free(mm__template *t);
/* `context`: an object whose members are the template's variables ("messages", "add_generation_prompt", "bos_token",
 * "eos_token", "tools", ...). raise_exception() ends with MM_E_ARG and its text; strftime_now() gives `now` (seconds since
 * 1970, UTC). Thread-safe. */
mm_status mm__template_render(const mm__template *t, const mm__json *context, int64_t now, mm__buf *out, mm_error *err);

#endif

/* Regular expressions for the patterns no scanner knows. PCRE2 interprets them (no JIT: executable memory is not ours to
 * ask for) in UTF + UCP mode under limits on matching steps, depth and heap, so a hostile pattern ends with MM_E_LIMIT. The
 * steps are counted over all matches in a text: a callout in front of every item of the pattern pays one, and one for each
 * byte between it and the callout before, so that repeats over a long text count by what they read.
 * Memory comes from the engine's allocator. The compiled code is shared, the match state belongs to one call. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "tokenizer_impl.h"
#include <pcre2.h>

#define PATTERN_MAX 65536u
#define MATCH_LIMIT 20000000u
#define DEPTH_LIMIT 1000000u
#define HEAP_LIMIT_KIB 65536u

struct mm__regex {
    mm__mem *mem;
    pcre2_general_context *general;
    pcre2_match_context *limits;
    pcre2_code *code;
};

struct mm__regex_run {
    mm__mem *mem;
    pcre2_match_data *data;
    pcre2_match_context *limits;
    uint64_t *steps;
    PCRE2_SIZE at; /* of the last callout */
};

static void *give(PCRE2_SIZE n, void *mem) { return mm__alloc(mem, n); }
static void take(void *p, void *mem) { mm__free(mem, p); }

mm_status mm__regex_compile(mm__mem *mem, const char *pattern, size_t len, const char *what, mm__regex **out, mm_error *err)
{
    mm_status st = MM_OK;
    if (len > PATTERN_MAX) return mm__fail(err, MM_E_LIMIT, "%s: a regular expression of %zu bytes exceeds %u", what, len, PATTERN_MAX);
    mm__regex *r = mm__zalloc(mem, sizeof *r);
    if (!r) return mm__nomem(err, "a regular expression");
    r->mem = mem;
    r->general = pcre2_general_context_create(give, take, mem);
    r->limits = r->general ? pcre2_match_context_create(r->general) : NULL;
    pcre2_compile_context *how = r->general ? pcre2_compile_context_create(r->general) : NULL;
    if (!r->limits || !how) {
        st = mm__nomem(err, "a regular expression");
        goto done;
    }
    pcre2_set_match_limit(r->limits, MATCH_LIMIT);
    pcre2_set_depth_limit(r->limits, DEPTH_LIMIT);
    pcre2_set_heap_limit(r->limits, HEAP_LIMIT_KIB);
    pcre2_set_parens_nest_limit(how, 64);
    int code;
    PCRE2_SIZE at;
    r->code = pcre2_compile((PCRE2_SPTR)pattern, len, PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C | PCRE2_AUTO_CALLOUT, &code, &at, how);
    if (!r->code)
        st = mm__fail(err, MM_E_UNSUPPORTED, "%s: the regular expression is not understood at byte %zu (PCRE2 error %d)", what,
                      (size_t)at, code);
done:
    pcre2_compile_context_free(how);
    if (st != MM_OK) mm__regex_free(r);
    else *out = r;
    return st;
}

void mm__regex_free(mm__regex *r)
{
    if (!r) return;
    pcre2_code_free(r->code);
    pcre2_match_context_free(r->limits);
    pcre2_general_context_free(r->general);
    mm__free(r->mem, r);
}

/* Pays for what the matcher did since the last callout; a negative result ends the match. */
static int spend(pcre2_callout_block *b, void *user)
{
    mm__regex_run *run = user;
    const PCRE2_SIZE from = run->at, to = b->current_position;
    const uint64_t cost = 1 + (uint64_t)(to > from ? to - from : from - to);
    run->at = to;
    if (*run->steps < cost) return PCRE2_ERROR_CALLOUT;
    *run->steps -= cost;
    return 0;
}

mm__regex_run *mm__regex_run_create(const mm__regex *r)
{
    mm__regex_run *run = mm__zalloc(r->mem, sizeof *run);
    if (!run) return NULL;
    run->mem = r->mem;
    run->data = pcre2_match_data_create(1, r->general);
    run->limits = pcre2_match_context_copy(r->limits);
    if (run->data && run->limits) {
        pcre2_set_callout(run->limits, spend, run);
        return run;
    }
    mm__regex_run_free(run);
    return NULL;
}

void mm__regex_run_free(mm__regex_run *run)
{
    if (!run) return;
    pcre2_match_data_free(run->data);
    pcre2_match_context_free(run->limits);
    mm__free(run->mem, run);
}

mm_status mm__regex_next(const mm__regex *r, mm__regex_run *run, const char *text, size_t len, size_t from, uint64_t *steps,
                         bool *found, size_t *start, size_t *end, mm_error *err)
{
    *found = false;
    if (from == 0 && !mm__utf8_valid(text, len)) /* looked at once a text: matching relies on it */
        return mm__fail(err, MM_E_FORMAT, "a regular expression of the tokenizer meets text that is not UTF-8");
    run->steps = steps;
    for (size_t at = from; at <= len;) {
        run->at = at;
        int rc = pcre2_match(r->code, (PCRE2_SPTR)text, len, at, PCRE2_NO_UTF_CHECK, run->data, run->limits);
        if (rc == PCRE2_ERROR_NOMATCH) return MM_OK;
        if (rc == PCRE2_ERROR_NOMEMORY) return mm__nomem(err, "matching a regular expression");
        if (rc == PCRE2_ERROR_CALLOUT)
            return mm__fail(err, MM_E_LIMIT, "the regular expressions of the tokenizer take more steps on a text than they may; tokenise it in shorter parts");
        if (rc < 0) return mm__fail(err, MM_E_LIMIT, "a pre-tokenizer expression gave up on this text (PCRE2 error %d)", rc);
        const PCRE2_SIZE *v = pcre2_get_ovector_pointer(run->data);
        if (v[1] > len) return mm__fail(err, MM_E_INTERNAL, "a regular expression matched behind the end of the text");
        if (v[1] > v[0] && v[0] >= at) {
            *found = true;
            *start = v[0];
            *end = v[1];
            return MM_OK;
        }
        at = v[1] > at ? v[1] : at; /* an empty match cuts nothing: go on behind the next character */
        uint32_t cp;
        at += at < len ? mm__char_at(text + at, len - at, &cp) : 1;
    }
    return MM_OK;
}

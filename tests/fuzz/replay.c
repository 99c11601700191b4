/* Runs a fuzz target for each file of the folders named, without libFuzzer: replay TARGET FOLDER... A crash or a hang names the
 * file it happened with. Each runs once as it is and, where the target is a parser's, again with each request for memory refused,
 * alone and with all later ones: that must end with MM_E_NOMEM, or as before where the library can do without. */
#include "../fault/fault.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* fuzz.h, which targets of whole models do without: tests/fault/alloc.c is about those. */
extern __attribute__((weak)) long fuzz_refuse, fuzz_requests;
extern __attribute__((weak)) int fuzz_once;
extern __attribute__((weak)) mm_status fuzz_ended;

#define EACH 256 /* requests that are all refused; of later ones, fewer and fewer */

static long n_refused;

static void without_memory(const char *path, const unsigned char *bytes, size_t n)
{
    const mm_status whole = fuzz_ended;
    for (fuzz_once = 0; fuzz_once < 2; fuzz_once++)
        for (long at = 0;; at += at < EACH ? 1 : at / 16) {
            fuzz_refuse = at;
            fuzz_requests = 0;
            LLVMFuzzerTestOneInput(bytes, n);
            if (fuzz_ended != MM_E_NOMEM && fuzz_ended != whole)
                check(false, "%s: with request %ld refused it ends with %s, else with %s", path, at, mm_status_name(fuzz_ended), mm_status_name(whole));
            if (fuzz_requests - 1 <= at) break; /* it needs no more than these */
            n_refused++;
        }
    fuzz_refuse = -1;
}

static void run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f || !begin("%s", path)) exit(3);
    fseek(f, 0, SEEK_END);
    const size_t n = (size_t)ftell(f);
    rewind(f);
    unsigned char *bytes = malloc(n ? n : 1); /* exactly as large as the input, so that a sanitizer sees what lies behind it */
    if (!bytes || fread(bytes, 1, n, f) != n) exit(3);
    fclose(f);
    check(LLVMFuzzerTestOneInput(bytes, n) == 0, "the target refused it");
    if (&fuzz_refuse) without_memory(path, bytes, n);
    free(bytes);
}

static void run_folder(const char *folder)
{
    struct dirent **files;
    char path[1024];
    const int n = scandir(folder, &files, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]->d_name);
        if (files[i]->d_name[0] != '.') run_file(path);
        free(files[i]);
    }
    if (n >= 0) free(files);
}

int main(int argc, char **argv)
{
    char *none[] = {argv[0], NULL};
    if (argc < 3) {
        fprintf(stderr, "usage: %s TARGET FOLDER...\n  run from the root of the repository\n", argv[0]);
        return 2;
    }
    start(1, none);
    begin("no bytes at all");
    check(LLVMFuzzerTestOneInput((const uint8_t *)"", 0) == 0, "the target refused it");
    for (int i = 2; i < argc; i++) run_folder(argv[i]);
    printf("%s %s: %d inputs, %ld refusals of memory\n", n_failed ? "FAIL" : "ok", argv[1], n_passed + n_failed, n_refused);
    return n_failed || n_passed < 2 || (&fuzz_refuse && !n_refused);
}

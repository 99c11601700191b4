/* Runs a fuzz target once for each file of the folders named, without libFuzzer: replay TARGET FOLDER... A crash or a hang names
 * the file it happened with. */
#include "../fault/fault.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

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
    printf("%s %s: %d inputs\n", n_failed ? "FAIL" : "ok", argv[1], n_passed + n_failed);
    return n_failed || n_passed < 2;
}

/* Reading: exact, by position, inside the size seen at open. Files are made in a directory below the system's temporary
 * one and removed again. */
#include "../../../src/base/io.h"
#include "../../../src/base/error.h"
#include "../../../src/base/os/os.h"
#include "failing.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char dir[] = "/tmp/libmm-io-XXXXXX";
static char file[64];

static void write_file(const char *path, const char *text)
{
    const int fd = mm__os_create(path);
    assert_true(fd >= 0);
    assert_true(mm__os_write(fd, text, strlen(text)));
    assert_true(mm__os_close(fd));
}

static int set_up(void **state)
{
    if (!mkdtemp(dir)) return -1;
    snprintf(file, sizeof file, "%s/%s", dir, "b-two.bin");
    write_file(file, "0123456789");
    return 0;
}

static int tear_down(void **state)
{
    static const char *const names[] = {"b-two.bin", "b-one.bin", "a-one.bin", "b-three.txt", "pipe"};
    char path[64];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    return rmdir(dir);
}

static void check_reads(mm__io *io)
{
    char b[11] = {0};
    mm_error e = {.size = sizeof e};
    assert_int_equal(mm__io_size(io), 10);
    assert_int_equal(mm__io_read(io, 0, b, 10, &e), MM_OK);
    assert_string_equal(b, "0123456789");
    assert_int_equal(mm__io_read(io, 7, b, 3, &e), MM_OK);
    assert_memory_equal(b, "789", 3);
    assert_int_equal(mm__io_read(io, 10, b, 0, &e), MM_OK);
    assert_int_equal(mm__io_read(io, 8, b, 3, &e), MM_E_FORMAT);
    assert_non_null(strstr(e.text, mm__io_name(io)));
    assert_non_null(strstr(e.text, "offset 8"));
    assert_int_equal(mm__io_read(io, UINT64_MAX, b, 2, &e), MM_E_FORMAT);
    assert_int_equal(mm__io_read(io, 2, b, SIZE_MAX, &e), MM_E_FORMAT);
    assert_int_equal(mm__io_read(io, 11, b, 0, NULL), MM_E_FORMAT);
}

static void reads_exactly(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__io *io;
    assert_int_equal(mm__io_open_path(&(mm__files){.mem = mem}, file, &io, NULL), MM_OK);
    assert_string_equal(mm__io_name(io), file);
    check_reads(io);
    mm__io_close(io);
    assert_int_equal(mm__io_open_memory(mem, "0123456789", 10, "ten", &io, NULL), MM_OK);
    check_reads(io);
    mm__io_close(io);
    assert_int_equal(mm__io_open_memory(mem, NULL, 0, NULL, &io, NULL), MM_OK);
    assert_int_equal(mm__io_size(io), 0);
    mm__io_close(io);
    mm__io_close(NULL);
    mm__mem_destroy(mem);
}

static void says_what_is_missing(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    const uint64_t before = mm__mem_live(mem);
    mm__io *io;
    mm_error e = {.size = sizeof e};
    char path[64];
    assert_int_equal(mm__io_open_path(&(mm__files){.mem = mem}, "/nowhere/at/all", &io, &e), MM_E_IO);
    assert_null(io);
    assert_int_equal(e.os_code, 2);
    assert_non_null(strstr(e.text, "/nowhere/at/all"));
    assert_int_equal(mm__io_open_path(&(mm__files){.mem = mem}, dir, &io, &e), MM_E_IO);
    assert_non_null(strstr(e.text, "not a regular file"));
    snprintf(path, sizeof path, "%s/pipe", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(mm__io_open_path(&(mm__files){.mem = mem}, path, &io, &e), MM_E_IO); /* and does not hang */
    assert_int_equal(mm__mem_live(mem), before);
    mm__mem_destroy(mem);
}

static void notices_a_shrinking_file(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__io *io;
    mm_error e = {.size = sizeof e};
    char b[10];
    assert_int_equal(mm__io_open_path(&(mm__files){.mem = mem}, file, &io, NULL), MM_OK);
    assert_int_equal(truncate(file, 4), 0);
    assert_int_equal(mm__io_read(io, 0, b, 4, &e), MM_OK);
    assert_int_equal(mm__io_read(io, 0, b, 10, &e), MM_E_IO);
    assert_non_null(strstr(e.text, "4 of 10"));
    mm__io_close(io);
    write_file(file, "0123456789");
    mm__mem_destroy(mem);
}

static void says_when_writing_fails(void **state)
{
    assert_int_equal(mm__os_create(dir), -1);
    const int fd = mm__os_open(file);
    assert_false(mm__os_write(fd, "x", 1)); /* opened for reading */
    assert_true(mm__os_close(fd));
    assert_false(mm__os_close(fd));
    assert_true(mm__os_close(-1));
}

static void reads_whole_files(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    char *text;
    size_t n;
    mm_error e = {.size = sizeof e};
    mm__limit_set(mem, MM__LIMIT_SIDE_FILE_BYTES, 10);
    assert_int_equal(mm__read_file(&(mm__files){.mem = mem}, file, MM__LIMIT_SIDE_FILE_BYTES, &text, &n, &e), MM_OK);
    assert_int_equal(n, 10);
    assert_string_equal(text, "0123456789");
    mm__free(mem, text);
    mm__limit_set(mem, MM__LIMIT_SIDE_FILE_BYTES, 9);
    assert_int_equal(mm__read_file(&(mm__files){.mem = mem}, file, MM__LIMIT_SIDE_FILE_BYTES, &text, &n, &e), MM_E_LIMIT);
    assert_null(text);
    assert_int_equal(mm__read_file(&(mm__files){.mem = mem}, "/nowhere", MM__LIMIT_SIDE_FILE_BYTES, &text, NULL, &e), MM_E_IO);
    mm__mem_destroy(mem);
}

static void paths(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    static const char *const cases[][3] = {
        {"a/b/c", "a/b", "c"}, {"c", ".", "c"}, {"/c", "/", "c"}, {"a//c", "a", "c"}, {"a/", "a", ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *d = mm__path_dir(mem, cases[i][0]);
        assert_string_equal(d, cases[i][1]);
        assert_string_equal(mm__path_base(cases[i][0]), cases[i][2]);
        mm__free(mem, d);
    }
    static const char *const joins[][3] = {{"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"}, {"/", "b", "/b"}};
    for (size_t i = 0; i < sizeof joins / sizeof *joins; i++) {
        char *p = mm__path_join(mem, joins[i][0], joins[i][1]);
        assert_string_equal(p, joins[i][2]);
        mm__free(mem, p);
    }
    assert_int_equal(mm__path_kind(&(mm__files){0}, dir), MM__PATH_DIR);
    assert_int_equal(mm__path_kind(&(mm__files){0}, file), MM__PATH_FILE);
    assert_int_equal(mm__path_kind(&(mm__files){0}, "/nowhere"), MM__PATH_NONE);
    mm__mem_destroy(mem);
}

static void safe_names(void **state)
{
    char name[300];
    assert_true(mm__path_safe_name("model-00001-of-00002.safetensors"));
    static const char *const bad[] = {"", ".", "..", ".hidden", "a/b", "../a", "a b", "a\\b", "a:b", "a\nb", "\xc3\xa9"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(mm__path_safe_name(bad[i]));
    assert_false(mm__path_safe_name(NULL));
    memset(name, 'a', sizeof name);
    name[255] = 0;
    assert_true(mm__path_safe_name(name));
    name[255] = 'a';
    name[256] = 0;
    assert_false(mm__path_safe_name(name));
}

static void finds_in_order(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    static const char *const more[] = {"b-one.bin", "a-one.bin", "b-three.txt"};
    char path[64];
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, more[i]);
        write_file(path, "");
    }
    static const char *const cases[][3] = {{"", ".bin", "a-one.bin"},
                                           {"b", ".bin", "b-one.bin"},
                                           {"b-t", "", "b-three.txt"},
                                           {"c", "", NULL},
                                           {"b-one.b", "b.bin", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *name = NULL;
        assert_int_equal(mm__path_find(&(mm__files){.mem = mem}, dir, cases[i][0], cases[i][1], &name, NULL), MM_OK);
        if (cases[i][2])
            assert_string_equal(name, cases[i][2]);
        else
            assert_null(name);
        mm__free(mem, name);
    }
    char *none = NULL;
    assert_int_equal(mm__path_find(&(mm__files){.mem = mem}, "/nowhere", "", "", &none, NULL), MM_OK);
    assert_null(none);
    snprintf(path, sizeof path, "%s/loop", dir); /* what cannot be looked at is there, and cannot be listed */
    assert_int_equal(symlink(path, path), 0);
    assert_int_equal(mm__path_kind(&(mm__files){0}, path), MM__PATH_FILE);
    assert_int_equal(mm__path_find(&(mm__files){.mem = mem}, path, "", "", &none, NULL), MM_E_IO);
    assert_null(none);
    unlink(path);
    mm__mem_destroy(mem);
}

static bool read_both(mm__mem *mem)
{
    char *text = NULL, *name = NULL, *path = NULL;
    mm__io *io = NULL;
    mm_error e = {.size = sizeof e};
    mm_status st = mm__read_file(&(mm__files){.mem = mem}, file, MM__LIMIT_SIDE_FILE_BYTES, &text, NULL, &e);
    if (st == MM_OK) st = mm__io_open_memory(mem, "x", 1, "x", &io, &e);
    assert_true(st == MM_OK || (st == MM_E_NOMEM && e.code == MM_E_NOMEM));
    const bool looked = st == MM_OK && mm__path_find(&(mm__files){.mem = mem}, dir, "b-", ".bin", &name, &e) == MM_OK;
    assert_true(looked == (name != NULL));
    if (name) path = mm__path_join(mem, dir, name);
    if (name) assert_string_equal(name, "b-one.bin");
    mm__free(mem, text);
    mm__free(mem, name);
    mm__free(mem, path);
    mm__io_close(io);
    return path != NULL;
}

static void io_without_memory(void **state)
{
    assert_true(sweep(read_both) >= 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_exactly),
        cmocka_unit_test(says_what_is_missing),
        cmocka_unit_test(notices_a_shrinking_file),
        cmocka_unit_test(reads_whole_files),
        cmocka_unit_test(paths),
        cmocka_unit_test(safe_names),
        cmocka_unit_test(finds_in_order),
        cmocka_unit_test(io_without_memory),
        cmocka_unit_test(says_when_writing_fails),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

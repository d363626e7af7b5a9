/* SPDX-License-Identifier: Apache-2.0 */
#include "core/spool.h"
#include "core/error.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BIG (LAKE_SPOOL_MEMORY_BYTES + 1000)
#define SKIPPED 77

static char *folder;

static guint8 *
new_pattern(gsize n_bytes)
{
    guint8 *bytes = g_malloc(n_bytes);

    for (gsize i = 0; i < n_bytes; i++)
        bytes[i] = (guint8)(i * 7 + i / 251 + 1);
    return bytes;
}

static void
assert_write(LakeSpool *spool, gint64 offset, const void *data, gsize n_bytes)
{
    g_autoptr(GError) error = NULL;
    gboolean is_good = lake_spool_write(spool, offset, data, n_bytes, &error);

    g_assert_no_error(error);
    g_assert_true(is_good);
}

static void
assert_content(LakeSpool *spool, const void *expected, gsize n_bytes)
{
    g_autofree guint8 *bytes = g_malloc(n_bytes + 1);
    g_autoptr(GError) error = NULL;

    g_assert_cmpint(lake_spool_size(spool), ==, (gint64)n_bytes);
    g_assert_cmpint(lake_spool_read(spool, 0, bytes, n_bytes + 1, &error), ==, (gssize)n_bytes);
    g_assert_no_error(error);
    g_assert_cmpmem(bytes, n_bytes, expected, n_bytes);
}

static void
assert_zeros(LakeSpool *spool, gint64 offset, gsize n_bytes)
{
    g_autofree guint8 *bytes = g_malloc(n_bytes);

    memset(bytes, 0xaa, n_bytes);
    g_assert_cmpint(lake_spool_read(spool, offset, bytes, n_bytes, NULL), ==, (gssize)n_bytes);
    for (gsize i = 0; i < n_bytes; i++)
        g_assert_cmpuint(bytes[i], ==, 0);
}

static void
test_small_stays_in_memory(void)
{
    g_autoptr(LakeSpool) spool = lake_spool_new("/nonexistent");
    g_autofree guint8 *bytes = new_pattern(LAKE_SPOOL_MEMORY_BYTES);

    g_assert_cmpint(lake_spool_size(spool), ==, 0);
    for (gsize i = 0; i < LAKE_SPOOL_MEMORY_BYTES; i += 1024)
        g_assert_true(lake_spool_append(spool, bytes + i, 1024, NULL));
    g_assert_cmpint(lake_spool_fd(spool), ==, -1);
    assert_content(spool, bytes, LAKE_SPOOL_MEMORY_BYTES);
}

static void
test_large_moves_to_an_unnamed_file(void)
{
    g_autoptr(LakeSpool) spool = lake_spool_new(folder);
    g_autofree guint8 *bytes = new_pattern(BIG);
    struct stat status;

    assert_write(spool, 0, bytes, 3000);
    assert_write(spool, 3000, bytes + 3000, BIG - 3000);
    assert_content(spool, bytes, BIG);

    int fd = lake_spool_fd(spool);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(fstat(fd, &status), ==, 0);
    g_assert_cmpint(status.st_size, ==, BIG);
    g_assert_cmpint(status.st_nlink, ==, 0);
    g_assert_cmpint(status.st_mode & 0777, ==, 0600);
    g_assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);

    g_autoptr(GDir) listing = g_dir_open(folder, 0, NULL);
    g_assert_null(g_dir_read_name(listing));
}

static void
test_holes_read_as_zeros(void)
{
    static const gint64 bases[] = {0, 10 * LAKE_SPOOL_MEMORY_BYTES};

    for (gsize i = 0; i < G_N_ELEMENTS(bases); i++) {
        g_autoptr(LakeSpool) spool = lake_spool_new(folder);
        gint64 base = bases[i];
        if (base > 0)
            assert_write(spool, 0, "x", 1);
        assert_write(spool, base + 500, "end", 3);
        g_assert_cmpint(lake_spool_size(spool), ==, base + 503);
        assert_zeros(spool, base + (base > 0), 500 - (base > 0));
        g_assert_cmpint(lake_spool_fd(spool) >= 0, ==, base > 0);
    }
}

static void
test_truncated_bytes_do_not_come_back(void)
{
    static const gsize sizes[] = {4000, BIG};

    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autoptr(LakeSpool) spool = lake_spool_new(folder);
        g_autofree guint8 *bytes = new_pattern(sizes[i]);
        assert_write(spool, 0, bytes, sizes[i]);
        g_assert_true(lake_spool_truncate(spool, 10, NULL));
        assert_content(spool, bytes, 10);

        g_assert_true(lake_spool_truncate(spool, 1000, NULL));
        assert_zeros(spool, 10, 990);
        g_assert_true(lake_spool_truncate(spool, 10, NULL));
        assert_write(spool, 2000, "x", 1);
        assert_zeros(spool, 10, 1990);
    }
}

static void
test_truncate_can_extend_into_a_file(void)
{
    g_autoptr(LakeSpool) spool = lake_spool_new(folder);

    assert_write(spool, 0, "abc", 3);
    g_assert_true(lake_spool_truncate(spool, G_GINT64_CONSTANT(1) << 33, NULL));
    g_assert_cmpint(lake_spool_size(spool), ==, G_GINT64_CONSTANT(1) << 33);
    assert_zeros(spool, 3, 1000);
    g_assert_true(lake_spool_truncate(spool, 3, NULL));
    assert_content(spool, "abc", 3);
    g_assert_true(lake_spool_truncate(spool, 0, NULL));
    assert_content(spool, "", 0);
}

/* The same random writes on a spool and on an array. */
static void
test_any_order_of_offsets(void)
{
    const gsize limit = 3 * LAKE_SPOOL_MEMORY_BYTES;
    g_autoptr(LakeSpool) spool = lake_spool_new(folder);
    g_autofree guint8 *model = g_malloc0(limit);
    g_autofree guint8 *bytes = new_pattern(limit);
    gsize size = 0;

    for (int i = 0; i < 2000; i++) {
        /* The reach grows, so that both sides of the limit see many writes. */
        gsize reach = MAX(2, limit * (gsize)i / 2000);
        gsize offset = (gsize)g_test_rand_int_range(0, (gint32)reach);
        gsize n_bytes = (gsize)g_test_rand_int_range(0, (gint32)MIN(reach, limit - offset));
        if (i % 50 == 49) {
            g_assert_true(lake_spool_truncate(spool, (gint64)offset, NULL));
            if (offset < size)
                memset(model + offset, 0, size - offset);
            size = offset;
            continue;
        }
        assert_write(spool, (gint64)offset, bytes + i, MIN(n_bytes, limit - (gsize)i));
        memcpy(model + offset, bytes + i, MIN(n_bytes, limit - (gsize)i));
        if (n_bytes > 0)
            size = MAX(size, offset + MIN(n_bytes, limit - (gsize)i));
        if (i % 100 == 0)
            assert_content(spool, model, size);
    }
    assert_content(spool, model, size);
}

static void
test_empty_write_changes_nothing(void)
{
    g_autoptr(LakeSpool) spool = lake_spool_new(folder);

    assert_write(spool, 100, "", 0);
    g_assert_cmpint(lake_spool_size(spool), ==, 0);
    assert_content(spool, "", 0);
}

static void
test_impossible_ranges_are_refused(void)
{
    g_autoptr(LakeSpool) spool = lake_spool_new(folder);
    g_autoptr(GError) error = NULL;
    char byte = 0;

    g_assert_false(lake_spool_write(spool, -1, "x", 1, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
    g_clear_error(&error);
    g_assert_false(lake_spool_write(spool, G_MAXINT64, "xy", 2, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_TOO_BIG);
    g_clear_error(&error);
    g_assert_false(lake_spool_truncate(spool, -1, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
    g_clear_error(&error);
    g_assert_cmpint(lake_spool_read(spool, -1, &byte, 1, &error), ==, -1);
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
    g_assert_cmpint(lake_spool_read(spool, G_MAXINT64, &byte, 1, NULL), ==, 0);
}

static void
test_missing_folder_keeps_the_memory(void)
{
    g_autoptr(LakeSpool) spool = lake_spool_new("/nonexistent");
    g_autofree guint8 *bytes = new_pattern(BIG);
    g_autoptr(GError) error = NULL;

    assert_write(spool, 0, bytes, 100);
    g_assert_false(lake_spool_write(spool, 0, bytes, BIG, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_NOT_FOUND);
    g_assert_nonnull(strstr(error->message, "/nonexistent"));
    assert_content(spool, bytes, 100);
}

static void
test_file_spool_only_reads(void)
{
    g_autofree char *path = g_build_filename(folder, "given", NULL);
    g_autoptr(GError) error = NULL;

    g_assert_true(g_file_set_contents(path, "hello", 5, NULL));
    g_autoptr(LakeSpool) spool = lake_spool_new_from_fd(open(path, O_RDONLY | O_CLOEXEC), 5);
    assert_content(spool, "hello", 5);
    g_assert_false(lake_spool_append(spool, "x", 1, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_REFUSED);
    g_clear_error(&error);
    g_assert_false(lake_spool_truncate(spool, 0, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_REFUSED);
    g_unlink(path);
}

/* The expected digests are those of sha256sum, or of GLib's own implementation. */
static void
test_hash(void)
{
    static const gsize sizes[] = {1, LAKE_SPOOL_MEMORY_BYTES, BIG, 3 * 1024 * 1024 + 17};
    g_autoptr(LakeSpool) empty = lake_spool_new(folder);
    g_autofree char *of_empty = lake_spool_hash(empty, NULL, NULL);
    g_autofree char *of_abc = NULL;

    g_assert_cmpstr(
        of_empty, ==, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_write(empty, 0, "abc", 3);
    of_abc = lake_spool_hash(empty, NULL, NULL);
    g_assert_cmpstr(
        of_abc, ==, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");

    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autoptr(LakeSpool) spool = lake_spool_new(folder);
        g_autofree guint8 *bytes = new_pattern(sizes[i]);
        g_autofree char *expected =
            g_compute_checksum_for_data(G_CHECKSUM_SHA256, bytes, sizes[i]);
        assert_write(spool, 0, bytes, sizes[i]);
        g_autofree char *hash = lake_spool_hash(spool, NULL, NULL);
        g_assert_cmpstr(hash, ==, expected);
    }
}

static void
test_hash_can_be_cancelled(void)
{
    g_autoptr(LakeSpool) spool = lake_spool_new(folder);
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;

    g_assert_true(lake_spool_truncate(spool, 4 * BIG, NULL));
    g_cancellable_cancel(cancellable);
    g_assert_null(lake_spool_hash(spool, cancellable, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_CANCELLED);
}

static gpointer
append_many(gpointer spool)
{
    for (int i = 0; i < 2000; i++)
        if (!lake_spool_append(spool, "0123456789abcdef", 16, NULL))
            return NULL;
    lake_spool_unref(spool);
    return spool;
}

static void
test_threads_do_not_tear_appends(void)
{
    g_autoptr(LakeSpool) spool = lake_spool_new(folder);
    GThread *threads[4];
    char bytes[16];

    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("append", append_many, lake_spool_ref(spool));
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        g_assert_nonnull(g_thread_join(threads[i]));

    g_assert_cmpint(lake_spool_size(spool), ==, 4 * 2000 * 16);
    for (gint64 offset = 0; offset < 4 * 2000 * 16; offset += 16) {
        g_assert_cmpint(lake_spool_read(spool, offset, bytes, 16, NULL), ==, 16);
        g_assert_cmpmem(bytes, 16, "0123456789abcdef", 16);
    }
}

/* On a disk of 1 MiB: what was written stays, what did not fit leaves no trace. */
static void
fill_disk(const char *disk)
{
    g_autoptr(LakeSpool) spool = lake_spool_new(disk);
    g_autoptr(LakeSpool) other = lake_spool_new(disk);
    const gsize half = 512 * 1024;
    g_autofree guint8 *bytes = new_pattern(4 * half);
    g_autoptr(GError) error = NULL;

    assert_write(other, 0, bytes, 1000);
    assert_write(spool, 0, bytes, half);
    g_assert_false(lake_spool_write(spool, (gint64)half, bytes + half, 2 * half, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_NO_SPACE);
    g_assert_nonnull(lake_error_facts(error)->hint);
    assert_content(spool, bytes, half);

    g_assert_true(lake_spool_truncate(spool, (gint64)(half + 5000), NULL));
    assert_zeros(spool, (gint64)half, 5000);

    /* The move from memory to the disk fails as a whole too. */
    g_assert_true(lake_spool_truncate(spool, (gint64)half, NULL));
    assert_write(spool, (gint64)half, bytes + half, half - 4096);
    g_clear_error(&error);
    g_assert_false(lake_spool_write(other, 1000, bytes + 1000, BIG, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_NO_SPACE);
    assert_content(other, bytes, 1000);
}

static gboolean
write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    gboolean is_good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        close(fd);
    return is_good;
}

/* A disk of 1 MiB at folder, for this process alone. */
static gboolean
mount_small_disk(void)
{
    if (geteuid() == 0)
        return unshare(CLONE_NEWNS) == 0 &&
               mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
               mount("tmpfs", folder, "tmpfs", 0, "size=1m") == 0;

    g_autofree char *users = g_strdup_printf("0 %u 1", geteuid());
    g_autofree char *groups = g_strdup_printf("0 %u 1", getegid());
    return unshare(CLONE_NEWNS | CLONE_NEWUSER) == 0 &&
           write_text("/proc/self/setgroups", "deny") &&
           write_text("/proc/self/uid_map", users) &&
           write_text("/proc/self/gid_map", groups) &&
           mount("tmpfs", folder, "tmpfs", 0, "size=1m") == 0;
}

static void
test_full_disk(void)
{
    int status = 0;
    pid_t pid = fork();

    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        if (!mount_small_disk())
            _exit(SKIPPED);
        fill_disk(folder);
        _exit(EXIT_SUCCESS);
    }
    while (waitpid(pid, &status, 0) < 0)
        g_assert_cmpint(errno, ==, EINTR);

    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
        g_test_skip("a small disk cannot be mounted here: neither root nor user namespaces");
        return;
    }
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, EXIT_SUCCESS);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    folder = g_dir_make_tmp("spool-XXXXXX", NULL);

    g_test_add_func("/core/spool/small-stays-in-memory", test_small_stays_in_memory);
    g_test_add_func(
        "/core/spool/large-moves-to-an-unnamed-file", test_large_moves_to_an_unnamed_file);
    g_test_add_func("/core/spool/hole-reads-as-zeros", test_holes_read_as_zeros);
    g_test_add_func(
        "/core/spool/truncated-bytes-do-not-come-back", test_truncated_bytes_do_not_come_back);
    g_test_add_func(
        "/core/spool/truncate-can-extend-into-a-file", test_truncate_can_extend_into_a_file);
    g_test_add_func("/core/spool/any-order-of-offsets", test_any_order_of_offsets);
    g_test_add_func(
        "/core/spool/empty-write-changes-nothing", test_empty_write_changes_nothing);
    g_test_add_func(
        "/core/spool/impossible-ranges-are-refused", test_impossible_ranges_are_refused);
    g_test_add_func(
        "/core/spool/missing-folder-keeps-the-memory", test_missing_folder_keeps_the_memory);
    g_test_add_func("/core/spool/spool-over-a-file-only-reads", test_file_spool_only_reads);
    g_test_add_func("/core/spool/hash-is-that-of-sha256sum", test_hash);
    g_test_add_func("/core/spool/hash-can-be-cancelled", test_hash_can_be_cancelled);
    g_test_add_func(
        "/core/spool/threads-do-not-tear-appends", test_threads_do_not_tear_appends);
    g_test_add_func("/core/spool/full-disk-keeps-what-was-there", test_full_disk);

    int status = g_test_run();
    g_rmdir(folder);
    g_free(folder);
    return status;
}

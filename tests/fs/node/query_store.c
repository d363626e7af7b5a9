/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/node/query_store.h"

#include "core/error.h"
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

typedef struct {
    char *dir;
} Fixture;

static void
set_up(Fixture *fixture, gconstpointer user_data)
{
    fixture->dir = g_dir_make_tmp("query_store-XXXXXX", NULL);
    g_assert_nonnull(fixture->dir);
}

static void
tear_down(Fixture *fixture, gconstpointer user_data)
{
    const char *const arguments[] = {"rm", "-rf", "--", fixture->dir, NULL};

    g_assert_true(g_spawn_sync(NULL, (char **)arguments, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL,
        NULL, NULL, NULL, NULL));
    g_free(fixture->dir);
}

static void
save(Fixture *fixture, const char *table, const char *name, FsQueryStorePart part,
    const char *text)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(fs_query_store_save(
        fixture->dir, table, name, part, text, text ? strlen(text) : 0, &error));
    g_assert_no_error(error);
}

static void
assert_part(Fixture *fixture, const char *table, const char *name, FsQueryStorePart part,
    const char *expected)
{
    g_autoptr(GError) error = NULL;
    gsize n_bytes = 0;
    g_autofree char *text =
        fs_query_store_load(fixture->dir, table, name, part, &n_bytes, &error);

    g_assert_no_error(error);
    g_assert_cmpstr(text, ==, expected);
    if (expected)
        g_assert_cmpuint(n_bytes, ==, strlen(expected));
}

static void
assert_listed(Fixture *fixture, const char *table, const char *expected)
{
    g_autoptr(GPtrArray) names = fs_query_store_list(fixture->dir, table);

    g_ptr_array_add(names, NULL);
    g_autofree char *joined = g_strjoinv(" ", (char **)names->pdata);
    g_assert_cmpstr(joined, ==, expected);
}

static void
test_bytes(Fixture *fixture, gconstpointer user_data)
{
    static const char text[] = "SELECT '\0\xff';\n";
    g_autoptr(GError) error = NULL;
    gsize n_bytes = 0;

    g_assert_true(fs_query_store_save(
        fixture->dir, NULL, "a.sql", FS_QUERY_STORE_TEXT, text, sizeof text - 1, &error));
    g_assert_no_error(error);
    g_autofree char *loaded =
        fs_query_store_load(fixture->dir, NULL, "a.sql", FS_QUERY_STORE_TEXT, &n_bytes, &error);
    g_assert_cmpmem(loaded, n_bytes, text, sizeof text - 1);

    save(fixture, NULL, "a.sql", FS_QUERY_STORE_TEXT, "");
    assert_part(fixture, NULL, "a.sql", FS_QUERY_STORE_TEXT, "");
    g_assert_true(fs_query_store_has(fixture->dir, NULL, "a.sql"));
}

static void
test_missing(Fixture *fixture, gconstpointer user_data)
{
    assert_part(fixture, NULL, "a.sql", FS_QUERY_STORE_TEXT, NULL);
    assert_part(fixture, "docs", "a.sql", FS_QUERY_STORE_RESULT, NULL);
    g_assert_false(fs_query_store_has(fixture->dir, NULL, "a.sql"));
    assert_listed(fixture, NULL, "");
    assert_listed(fixture, "docs", "");
    save(fixture, NULL, "a.sql", FS_QUERY_STORE_TEXT, NULL);
}

static void
test_parts(Fixture *fixture, gconstpointer user_data)
{
    save(fixture, NULL, "a.sql", FS_QUERY_STORE_TEXT, "text");
    save(fixture, NULL, "a.sql", FS_QUERY_STORE_RESULT, "result");
    save(fixture, NULL, "a.sql", FS_QUERY_STORE_FAILURE, "failure");
    assert_part(fixture, NULL, "a.sql", FS_QUERY_STORE_TEXT, "text");
    assert_part(fixture, NULL, "a.sql", FS_QUERY_STORE_RESULT, "result");
    assert_part(fixture, NULL, "a.sql", FS_QUERY_STORE_FAILURE, "failure");

    save(fixture, NULL, "a.sql", FS_QUERY_STORE_RESULT, NULL);
    assert_part(fixture, NULL, "a.sql", FS_QUERY_STORE_TEXT, "text");
    assert_part(fixture, NULL, "a.sql", FS_QUERY_STORE_RESULT, NULL);
    assert_part(fixture, NULL, "a.sql", FS_QUERY_STORE_FAILURE, "failure");
}

static void
test_listed(Fixture *fixture, gconstpointer user_data)
{
    save(fixture, NULL, "b.sql", FS_QUERY_STORE_TEXT, "b");
    save(fixture, NULL, "a.sql", FS_QUERY_STORE_TEXT, "a");
    save(fixture, NULL, "B.sql", FS_QUERY_STORE_TEXT, "B");
    save(fixture, NULL, "a.sql", FS_QUERY_STORE_RESULT, "[]");
    save(fixture, NULL, "a.sql", FS_QUERY_STORE_FAILURE, "{}");
    assert_listed(fixture, NULL, "B.sql a.sql b.sql");
}

static void
test_places(Fixture *fixture, gconstpointer user_data)
{
    /* The names a table may have that mean something else in a path. */
    static const char *const tables[] = {
        "docs", "Docs", "..", ".", "a/b", "../a", "root", "%2F", "/", "x.sql"};

    save(fixture, NULL, "q.sql", FS_QUERY_STORE_TEXT, "root's");
    for (gsize i = 0; i < G_N_ELEMENTS(tables); i++)
        save(fixture, tables[i], "q.sql", FS_QUERY_STORE_TEXT, tables[i]);
    for (gsize i = 0; i < G_N_ELEMENTS(tables); i++) {
        g_autofree char *path =
            fs_query_store_path(fixture->dir, tables[i], "q.sql", FS_QUERY_STORE_TEXT);
        g_autofree char *canonical = g_canonicalize_filename(path, NULL);

        g_assert_cmpstr(canonical, ==, path);
        g_assert_true(g_str_has_prefix(path, fixture->dir));
        assert_part(fixture, tables[i], "q.sql", FS_QUERY_STORE_TEXT, tables[i]);
        assert_listed(fixture, tables[i], "q.sql");
    }
    assert_part(fixture, NULL, "q.sql", FS_QUERY_STORE_TEXT, "root's");
    assert_listed(fixture, NULL, "q.sql");
}

static void
test_private(Fixture *fixture, gconstpointer user_data)
{
    struct stat status;

    save(fixture, "docs", "q.sql", FS_QUERY_STORE_TEXT, "text");
    g_autofree char *path =
        fs_query_store_path(fixture->dir, "docs", "q.sql", FS_QUERY_STORE_TEXT);
    g_autofree char *folder = g_path_get_dirname(path);
    g_assert_cmpint(g_stat(path, &status), ==, 0);
    g_assert_cmpint(status.st_mode & 0777, ==, 0600);
    g_assert_cmpint(g_stat(folder, &status), ==, 0);
    g_assert_cmpint(status.st_mode & 0777, ==, 0700);
}

static void
test_long_name(Fixture *fixture, gconstpointer user_data)
{
    char name[FS_QUERY_STORE_NAME_MAX + 1];

    memset(name, 'a', sizeof name);
    memcpy(name + FS_QUERY_STORE_NAME_MAX - strlen(".sql"), ".sql", sizeof ".sql");
    save(fixture, NULL, name, FS_QUERY_STORE_TEXT, "text");
    save(fixture, NULL, name, FS_QUERY_STORE_RESULT, "result");
    save(fixture, NULL, name, FS_QUERY_STORE_FAILURE, "failure");
    assert_part(fixture, NULL, name, FS_QUERY_STORE_FAILURE, "failure");
    assert_listed(fixture, NULL, name);
}

static void
test_remove(Fixture *fixture, gconstpointer user_data)
{
    g_autoptr(GError) error = NULL;

    save(fixture, NULL, "a.sql", FS_QUERY_STORE_TEXT, "text");
    save(fixture, NULL, "a.sql", FS_QUERY_STORE_RESULT, "result");
    save(fixture, NULL, "b.sql", FS_QUERY_STORE_TEXT, "b");
    g_assert_true(fs_query_store_remove(fixture->dir, NULL, "a.sql", &error));
    g_assert_no_error(error);
    g_assert_false(fs_query_store_has(fixture->dir, NULL, "a.sql"));
    assert_part(fixture, NULL, "a.sql", FS_QUERY_STORE_RESULT, NULL);
    assert_listed(fixture, NULL, "b.sql");
}

static void
test_rename(Fixture *fixture, gconstpointer user_data)
{
    g_autoptr(GError) error = NULL;

    save(fixture, "docs", "a.sql", FS_QUERY_STORE_TEXT, "text");
    save(fixture, "docs", "a.sql", FS_QUERY_STORE_FAILURE, "failure");
    save(fixture, "docs", "b.sql", FS_QUERY_STORE_TEXT, "old");
    save(fixture, "docs", "b.sql", FS_QUERY_STORE_RESULT, "old result");
    g_assert_true(fs_query_store_rename(fixture->dir, "docs", "a.sql", "b.sql", &error));
    g_assert_no_error(error);

    assert_listed(fixture, "docs", "b.sql");
    assert_part(fixture, "docs", "b.sql", FS_QUERY_STORE_TEXT, "text");
    assert_part(fixture, "docs", "b.sql", FS_QUERY_STORE_RESULT, NULL);
    assert_part(fixture, "docs", "b.sql", FS_QUERY_STORE_FAILURE, "failure");
    assert_part(fixture, "docs", "a.sql", FS_QUERY_STORE_FAILURE, NULL);
}

static void
test_drop(Fixture *fixture, gconstpointer user_data)
{
    save(fixture, "docs", "a.sql", FS_QUERY_STORE_TEXT, "text");
    save(fixture, "docs", "a.sql", FS_QUERY_STORE_RESULT, "result");
    save(fixture, "other", "a.sql", FS_QUERY_STORE_TEXT, "other");
    fs_query_store_move_table(fixture->dir, "docs", NULL);
    assert_listed(fixture, "docs", "");
    assert_part(fixture, "docs", "a.sql", FS_QUERY_STORE_RESULT, NULL);
    assert_part(fixture, "other", "a.sql", FS_QUERY_STORE_TEXT, "other");
    fs_query_store_move_table(fixture->dir, "never", NULL);
}

static void
test_move(Fixture *fixture, gconstpointer user_data)
{
    save(fixture, "docs", "a.sql", FS_QUERY_STORE_TEXT, "text");
    fs_query_store_move_table(fixture->dir, "docs", "new/docs");
    assert_listed(fixture, "docs", "");
    assert_part(fixture, "new/docs", "a.sql", FS_QUERY_STORE_TEXT, "text");
    fs_query_store_move_table(fixture->dir, "never", "nowhere");
    assert_listed(fixture, "nowhere", "");
}

/* A table that another client dropped leaves its queries; they are not the next one's. */
static void
test_move_over(Fixture *fixture, gconstpointer user_data)
{
    save(fixture, "docs", "a.sql", FS_QUERY_STORE_TEXT, "text");
    save(fixture, "gone", "b.sql", FS_QUERY_STORE_TEXT, "stale");
    fs_query_store_move_table(fixture->dir, "docs", "gone");
    assert_listed(fixture, "docs", "");
    assert_listed(fixture, "gone", "a.sql");
    assert_part(fixture, "gone", "a.sql", FS_QUERY_STORE_TEXT, "text");
}

/* Larger than what is copied at once, and replaced as a whole; no part file stays behind. */
static void
test_result(Fixture *fixture, gconstpointer user_data)
{
    static const gsize sizes[] = {700001, 3, 0};

    g_assert_null(fs_query_store_open_result(fixture->dir, NULL, "a.sql", NULL));
    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *bytes = g_malloc(sizes[i] + 1);
        g_autofree char *found = g_malloc(sizes[i] + 1);
        g_autoptr(LakeSpool) result = lake_spool_new(fixture->dir);

        for (gsize at = 0; at < sizes[i]; at++)
            bytes[at] = (char)(at * 7 % 251);
        g_assert_true(lake_spool_append(result, bytes, sizes[i], NULL));
        g_assert_true(fs_query_store_keep_result(fixture->dir, NULL, "a.sql", result, &error));
        g_assert_no_error(error);

        g_autoptr(LakeSpool) opened =
            fs_query_store_open_result(fixture->dir, NULL, "a.sql", &error);
        g_assert_no_error(error);
        g_assert_cmpint(lake_spool_size(opened), ==, (gint64)sizes[i]);
        g_assert_cmpint(
            lake_spool_read(opened, 0, found, sizes[i] + 1, NULL), ==, (gssize)sizes[i]);
        g_assert_cmpmem(found, sizes[i], bytes, sizes[i]);
    }

    g_autofree char *folder = g_build_filename(fixture->dir, "root", NULL);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    g_assert_cmpstr(g_dir_read_name(dir), ==, "a.sql.result");
    g_assert_null(g_dir_read_name(dir));
}

static void
test_error(Fixture *fixture, gconstpointer user_data)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *file = g_build_filename(fixture->dir, "root", NULL);

    /* A file where the folder should be. */
    g_assert_true(g_file_set_contents(file, "", 0, NULL));
    g_assert_false(fs_query_store_save(
        fixture->dir, NULL, "a.sql", FS_QUERY_STORE_TEXT, "text", 4, &error));
    g_assert_nonnull(error);
    g_assert_true(error->domain == LAKE_ERROR);
    g_assert_nonnull(strstr(error->message, "a.sql"));
}

#define ADD(path, function)                                                                    \
    g_test_add("/fs/node/query_store/" path, Fixture, NULL, set_up, function, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("a-text-is-any-bytes", test_bytes);
    ADD("what-was-never-saved-is-no-error", test_missing);
    ADD("the-parts-of-a-query-are-apart", test_parts);
    ADD("only-definitions-are-listed-in-order", test_listed);
    ADD("every-table-has-its-own-folder", test_places);
    ADD("nobody-else-may-look", test_private);
    ADD("the-longest-name-has-room-for-its-suffixes", test_long_name);
    ADD("removing-takes-all-parts", test_remove);
    ADD("renaming-leaves-nothing-of-the-replaced", test_rename);
    ADD("a-dropped-table-takes-its-queries-along", test_drop);
    ADD("a-renamed-table-takes-its-queries-along", test_move);
    ADD("a-renamed-table-finds-no-strangers-queries", test_move_over);
    ADD("a-result-is-kept-as-a-whole", test_result);
    ADD("an-error-names-the-query", test_error);
    return g_test_run();
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/node/query_store.h"

#include "core/error.h"
#include "fs/name.h"
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE_BYTES (256 * 1024)

static const FsQueryStorePart all_parts[] = {
    FS_QUERY_STORE_TEXT, FS_QUERY_STORE_RESULT, FS_QUERY_STORE_FAILURE};

static const char *
suffix_of(FsQueryStorePart part)
{
    switch (part) {
    case FS_QUERY_STORE_TEXT:
        return "";
    case FS_QUERY_STORE_RESULT:
        return ".result";
    case FS_QUERY_STORE_FAILURE:
        return ".failure";
    }
    g_assert_not_reached();
}

static char *
folder_path(const char *queries_dir, const char *table)
{
    if (!table)
        return g_build_filename(queries_dir, "root", NULL);

    g_autofree char *name = fs_name_from_table(table);
    return g_build_filename(queries_dir, "tables", name, NULL);
}

char *
fs_query_store_path(
    const char *queries_dir, const char *table, const char *name, FsQueryStorePart part)
{
    g_autofree char *folder = folder_path(queries_dir, table);

    return g_strconcat(folder, "/", name, suffix_of(part), NULL);
}

static gboolean
fail(int saved_errno, const char *act, const char *name, GError **error)
{
    lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, lake_error_code_from_errno(saved_errno),
        "%s the query %s: %s", act, name, g_strerror(saved_errno));
    return FALSE;
}

char *
fs_query_store_load(const char *queries_dir, const char *table, const char *name,
    FsQueryStorePart part, gsize *ret_n_bytes, GError **error)
{
    g_autofree char *path = fs_query_store_path(queries_dir, table, name, part);
    g_autoptr(GError) failure = NULL;
    char *text = NULL;

    if (!g_file_get_contents(path, &text, ret_n_bytes, &failure) &&
        !g_error_matches(failure, G_FILE_ERROR, G_FILE_ERROR_NOENT))
        g_propagate_error(error, g_steal_pointer(&failure));
    return text;
}

gboolean
fs_query_store_save(const char *queries_dir, const char *table, const char *name,
    FsQueryStorePart part, const char *text, gsize n_bytes, GError **error)
{
    g_autofree char *folder = folder_path(queries_dir, table);
    g_autofree char *path = fs_query_store_path(queries_dir, table, name, part);
    g_autoptr(GError) failure = NULL;

    if (!text)
        return g_unlink(path) == 0 || errno == ENOENT || fail(errno, "removing", name, error);
    if (g_mkdir_with_parents(folder, 0700) != 0)
        return fail(errno, "saving", name, error);
    /* A temporary file and a rename: another mount never reads half of it. */
    if (g_file_set_contents_full(
            path, text, (gssize)n_bytes, G_FILE_SET_CONTENTS_CONSISTENT, 0600, &failure))
        return TRUE;
    lake_error_set(error, LAKE_ERROR_CLASS_GENERAL,
        g_error_matches(failure, G_FILE_ERROR, G_FILE_ERROR_NOSPC) ? LAKE_ERROR_NO_SPACE
                                                                   : LAKE_ERROR_FAILED,
        "saving the query %s: %s", name, failure->message);
    return FALSE;
}

/* Writes all of result to fd, which must then be on disk. */
static gboolean
copy_result(int fd, LakeSpool *result, const char *name, GError **error)
{
    g_autofree char *piece = g_malloc(PIECE_BYTES);
    gint64 offset = 0;
    gssize n_read;

    while ((n_read = lake_spool_read(result, offset, piece, PIECE_BYTES, error)) > 0) {
        for (gssize n_done = 0; n_done < n_read;) {
            gssize n_written = write(fd, piece + n_done, (gsize)(n_read - n_done));
            if (n_written < 0 && errno != EINTR)
                return fail(errno, "keeping the result of", name, error);
            n_done += MAX(n_written, 0);
        }
        offset += n_read;
    }
    if (n_read < 0)
        return FALSE;
    return fsync(fd) == 0 || fail(errno, "keeping the result of", name, error);
}

gboolean
fs_query_store_keep_result(const char *queries_dir, const char *table, const char *name,
    LakeSpool *result, GError **error)
{
    g_autofree char *folder = folder_path(queries_dir, table);
    g_autofree char *path =
        fs_query_store_path(queries_dir, table, name, FS_QUERY_STORE_RESULT);
    g_autofree char *made = g_build_filename(folder, ".kept-XXXXXX", NULL);

    if (g_mkdir_with_parents(folder, 0700) != 0)
        return fail(errno, "keeping the result of", name, error);
    int fd = g_mkstemp_full(made, O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(errno, "keeping the result of", name, error);

    gboolean is_good = copy_result(fd, result, name, error);
    close(fd);
    if (is_good && g_rename(made, path) != 0)
        is_good = fail(errno, "keeping the result of", name, error);
    if (!is_good)
        (void)g_unlink(made);
    return is_good;
}

LakeSpool *
fs_query_store_open_result(
    const char *queries_dir, const char *table, const char *name, GError **error)
{
    g_autofree char *path =
        fs_query_store_path(queries_dir, table, name, FS_QUERY_STORE_RESULT);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;

    if (fd >= 0 && fstat(fd, &status) == 0)
        return lake_spool_new_from_fd(fd, status.st_size);
    if (fd >= 0 || errno != ENOENT)
        fail(errno, "reading the result of", name, error);
    if (fd >= 0)
        close(fd);
    return NULL;
}

gboolean
fs_query_store_has(const char *queries_dir, const char *table, const char *name)
{
    g_autofree char *path = fs_query_store_path(queries_dir, table, name, FS_QUERY_STORE_TEXT);

    return g_file_test(path, G_FILE_TEST_IS_REGULAR);
}

static gint
compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

GPtrArray *
fs_query_store_list(const char *queries_dir, const char *table)
{
    g_autofree char *folder = folder_path(queries_dir, table);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    const char *name;

    while (dir && (name = g_dir_read_name(dir)))
        if (g_str_has_suffix(name, ".sql"))
            g_ptr_array_add(names, g_strdup(name));
    g_ptr_array_sort(names, compare_names);
    return names;
}

gboolean
fs_query_store_remove(
    const char *queries_dir, const char *table, const char *name, GError **error)
{
    for (gsize i = 0; i < G_N_ELEMENTS(all_parts); i++)
        if (!fs_query_store_save(queries_dir, table, name, all_parts[i], NULL, 0, error))
            return FALSE;
    return TRUE;
}

gboolean
fs_query_store_rename(const char *queries_dir, const char *table, const char *name,
    const char *new_name, GError **error)
{
    for (gsize i = 0; i < G_N_ELEMENTS(all_parts); i++) {
        g_autofree char *path = fs_query_store_path(queries_dir, table, name, all_parts[i]);
        g_autofree char *new_path =
            fs_query_store_path(queries_dir, table, new_name, all_parts[i]);

        if (g_rename(path, new_path) == 0)
            continue;
        if (errno != ENOENT)
            return fail(errno, "renaming", name, error);
        /* What the replaced query had returned is not this one's. */
        (void)g_unlink(new_path);
    }
    return TRUE;
}

static void
remove_folder(const char *folder)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        (void)g_unlink(path);
    }
    (void)g_rmdir(folder);
}

void
fs_query_store_move_table(const char *queries_dir, const char *table, const char *new_table)
{
    g_autofree char *folder = folder_path(queries_dir, table);
    g_autofree char *new_folder = new_table ? folder_path(queries_dir, new_table) : NULL;

    /* Of a table that another client dropped queries may be left. */
    remove_folder(new_folder ? new_folder : folder);
    if (new_folder)
        (void)g_rename(folder, new_folder);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "mount/files.h"

#include "core/ingest.h"

#include <errno.h>
#include <string.h>

static void
free_file(gpointer data)
{
    MountFile *file = data;

    g_free(file->source);
    g_free(file->path);
    g_free(file);
}

MountFiles *
mount_files_new(void (*tell)(const char *source, const char *reason, gboolean is_failure))
{
    MountFiles *files = g_new0(MountFiles, 1);

    files->files = g_ptr_array_new_with_free_func(free_file);
    files->folders = g_ptr_array_new_with_free_func(free_file);
    files->paths = g_hash_table_new(g_str_hash, g_str_equal);
    files->tell = tell;
    return files;
}

void
mount_files_free(MountFiles *files)
{
    if (!files)
        return;
    g_hash_table_unref(files->paths); /* borrows from the files */
    g_ptr_array_unref(files->files);
    g_ptr_array_unref(files->folders);
    g_free(files);
}

static void
fail(MountFiles *files, const char *source, const char *reason)
{
    files->n_failed++;
    files->tell(source, reason, TRUE);
}

static void
add_file(MountFiles *files, const char *source, const char *path, const struct stat *status,
    gboolean is_given)
{
    /* The second would silently take the first one's place. */
    if (g_hash_table_contains(files->paths, path)) {
        g_autofree char *reason =
            g_strdup_printf("another file given here is already to become %s", path);
        fail(files, source, reason);
        return;
    }

    MountFile *file = g_new0(MountFile, 1);
    file->source = g_strdup(source);
    file->path = g_strdup(path);
    file->status = *status;
    file->is_given = is_given;
    g_ptr_array_add(files->files, file);
    g_hash_table_add(files->paths, file->path);
    files->total_bytes += status->st_size;
}

static void
add_folder(MountFiles *files, const char *source, const char *path, const struct stat *status)
{
    MountFile *folder = g_new0(MountFile, 1);

    folder->source = g_strdup(source);
    folder->path = g_strdup(path);
    folder->status = *status;
    g_ptr_array_add(files->folders, folder);
}

static gint
compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static GPtrArray *
read_names(const char *source, GError **error)
{
    g_autoptr(GDir) folder = g_dir_open(source, 0, error);
    if (!folder)
        return NULL;

    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    const char *name;
    while ((name = g_dir_read_name(folder)))
        g_ptr_array_add(names, g_strdup(name));
    g_ptr_array_sort(names, compare_names);
    return names;
}

static void
add_entry(MountFiles *files, const char *source, const char *path, gboolean is_given);

/* Everything in a folder; prefix is the folder's path in the table, "" for the drop zone
 * itself. */
static void
add_content(MountFiles *files, const char *source, const char *prefix)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) names = read_names(source, &error);
    if (!names) {
        fail(files, source, error->message);
        return;
    }

    for (guint i = 0; i < names->len; i++) {
        const char *name = names->pdata[i];
        g_autofree char *below = g_build_filename(source, name, NULL);
        g_autofree char *path = *prefix ? g_strconcat(prefix, "/", name, NULL) : g_strdup(name);
        add_entry(files, below, path, FALSE);
    }
}

static void
add_entry(MountFiles *files, const char *source, const char *path, gboolean is_given)
{
    struct stat status;

    if ((is_given ? stat(source, &status) : lstat(source, &status)) < 0) {
        fail(files, source, g_strerror(errno));
    } else if (!g_utf8_validate(path, -1, NULL)) {
        fail(files, source, "the name is not UTF-8");
    } else if (S_ISLNK(status.st_mode)) {
        files->tell(source, "a symbolic link below a folder is not followed", FALSE);
    } else if (!S_ISDIR(status.st_mode) && !S_ISREG(status.st_mode)) {
        if (is_given)
            fail(files, source, "neither a file nor a folder");
        else
            files->tell(source, "neither a file nor a folder", FALSE);
    } else if (lake_ingest_is_temporary(path)) {
        files->tell(source, "a temporary name is never ingested", FALSE);
    } else if (S_ISREG(status.st_mode)) {
        add_file(files, source, path, &status, is_given);
    } else {
        add_folder(files, source, path, &status);
        add_content(files, source, path);
    }
}

void
mount_files_add(MountFiles *files, const char *given)
{
    g_autofree char *source = g_strdup(given);

    for (gsize n = strlen(source); n > 1 && source[n - 1] == '/'; n--)
        source[n - 1] = '\0';
    g_autofree char *name = g_path_get_basename(source);

    /* These have no name of their own to take along. */
    if (g_str_equal(name, ".") || g_str_equal(name, "..") || g_str_equal(name, "/"))
        add_content(files, source, "");
    else
        add_entry(files, given, name, TRUE);
}

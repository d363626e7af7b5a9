/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mount/files.h: which files a command line names, and the path that each has in a table.
 *
 * As cp -r copies into a folder: a file under its own name, a folder under its own with all
 * below it, "folder/." without the folder's name. One thread.
 */

#include <glib.h>
#include <sys/stat.h>

typedef struct {
    char *source;       /* as it can be opened */
    char *path;         /* below the drop zone */
    struct stat status; /* when it was found */
    gboolean is_given;  /* named on the command line: a symbolic link is followed */
} MountFile;

typedef struct {
    GPtrArray *files; /* of MountFile, regular ones, in the order of arguments, then of names */
    GPtrArray *folders; /* of MountFile, each before what lies in it */
    gint64 total_bytes;
    guint n_failed;
    /* Says why something is left out; is_failure when it should not have been. */
    void (*tell)(const char *source, const char *reason, gboolean is_failure);
    GHashTable *paths; /* in use, of char * */
} MountFiles;

MountFiles *
mount_files_new(void (*tell)(const char *source, const char *reason, gboolean is_failure));
void mount_files_free(MountFiles *files);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MountFiles, mount_files_free)

/* Adds what given names: a file, or a folder with all below it. */
void mount_files_add(MountFiles *files, const char *given);

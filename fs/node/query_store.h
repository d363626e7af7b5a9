/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* fs/node/query_store.h: saved queries on disk, in the workspace's state folder, so that every
 * mount of it has the same:
 *
 *   root/<name>.sql, tables/<table>/<name>.sql     the text
 *   ….sql.result    what a statement that changed data returned, as LAKE_QUERY_KEPT: it never
 *                   runs again
 *   ….sql.failure   the error that defining it gave, as JSON
 *
 * Any thread; each file is replaced as a whole. table NULL is the root.
 */

#include "core/spool.h"

/* Suffixes are added to a name, and a file name ends at 255 bytes. */
#define FS_QUERY_STORE_NAME_MAX 240

typedef enum {
    FS_QUERY_STORE_TEXT,
    FS_QUERY_STORE_RESULT,
    FS_QUERY_STORE_FAILURE,
} FsQueryStorePart;

/* Path of a part; caller frees. queries_dir: lake_workspace_queries_dir. */
char *fs_query_store_path(
    const char *queries_dir, const char *table, const char *name, FsQueryStorePart part);

/* The part's bytes; NULL without an error when there is none. Caller frees. */
char *fs_query_store_load(const char *queries_dir, const char *table, const char *name,
    FsQueryStorePart part, gsize *ret_n_bytes, GError **error);

/* text NULL removes the part. */
gboolean fs_query_store_save(const char *queries_dir, const char *table, const char *name,
    FsQueryStorePart part, const char *text, gsize n_bytes, GError **error);

/* Keeps result as FS_QUERY_STORE_RESULT. It may be large: it is copied in parts, and opened for
 * reading rather than loaded. NULL without an error when none is kept. */
gboolean fs_query_store_keep_result(const char *queries_dir, const char *table,
    const char *name, LakeSpool *result, GError **error);
LakeSpool *fs_query_store_open_result(
    const char *queries_dir, const char *table, const char *name, GError **error);

gboolean fs_query_store_has(const char *queries_dir, const char *table, const char *name);
/* Names that end in .sql, sorted, of char*. */
GPtrArray *fs_query_store_list(const char *queries_dir, const char *table);
gboolean fs_query_store_remove(
    const char *queries_dir, const char *table, const char *name, GError **error);
gboolean fs_query_store_rename(const char *queries_dir, const char *table, const char *name,
    const char *new_name, GError **error);
/* All queries of a table go with it: dropped (new_table NULL) or renamed. */
void
fs_query_store_move_table(const char *queries_dir, const char *table, const char *new_table);

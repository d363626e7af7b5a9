/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* fs/node/query.h: `<name>.sql` in the root and in tables: writing defines a query, reading
 * gives its result. Beside it, found but not listed: `.json`, `.jsonl` and `.csv` (the
 * result in that form) and `.sql.text` (the definition).
 *
 * Definitions live in the workspace's state folder (fs/node/query_store.h). A statement is
 * tried at the close by the process that opened the file, in a READ ONLY transaction; one that
 * would change data is then run once, and its result kept.
 */

#include "fs/node.h"

/* The query file `name` of folder (root or table), with a reference; NULL without an error when
 * there is none. */
FsNode *fs_query_lookup(FsNode *folder, const char *name, GError **error);
/* Appends an FsListed for each query of folder; query.sql is always there. */
void fs_query_list(FsNode *folder, GPtrArray *listed);
FsHandle *
fs_query_create(FsNode *folder, FsCall *call, const char *name, int flags, GError **error);
/* query.sql goes back to its default; others are gone. */
gboolean fs_query_remove(FsNode *folder, const char *name, GError **error);
/* Within one folder. */
gboolean fs_query_rename(FsNode *folder, const char *name, const char *new_name,
    gboolean may_replace, GError **error);
/* The queries of a table that was dropped (new_table NULL) or renamed go with it. */
void fs_query_table_moved(FsContext *context, const char *table, const char *new_table);
/* TRUE for names that end in .sql. */
gboolean fs_query_is_name(const char *name);

/* A query failed when its result was opened: the reader of handle gets the reason as the file's
 * text, and EIO after it. FALSE, and the error, where the failure is about the moment (the
 * server is away, Ctrl-C). Consumes failure. */
gboolean fs_query_give_failure(FsHandle *handle, GError *failure, GError **error);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* fs/cache.h: what the server was last heard to say of tables, drop zones and ingested files,
 * and how long that is believed.
 *
 * What this mount does itself is entered at once, and what others announce is asked for again
 * (fs/freshness.h). What nobody announces shows after FS_CACHE_FRESH_US here and the kernel's
 * own timeout (FS_CACHE_KERNEL_SECONDS): together under a second. A
 * folder that takes long to read is read again only when that costs less than a twentieth of
 * the time. A folder of more than FS_CACHE_FOLDER_MAX entries is not held: each name is asked
 * for.
 *
 * Any thread. No lock is held while the server is asked. A call that may not block and finds
 * nothing fresh sets call->would_block and returns as if it had failed, without an error.
 */

#include "fs/node.h"

#define FS_CACHE_FRESH_US (250 * G_TIME_SPAN_MILLISECOND)
#define FS_CACHE_KERNEL_SECONDS 0.7
#define FS_CACHE_FOLDER_MAX 20000

typedef struct FsCache FsCache;

FsCache *fs_cache_new(LakeCatalog *catalog);
void fs_cache_free(FsCache *cache);

/* --- tables and drop zones --- */

/* One table or drop zone; a zone may have no table yet. */
typedef struct {
    char *name; /* the table's */
    gboolean has_table, is_view, is_zone;
} FsCacheTable;

/* *ret_found NULL: there is none. Owned by the caller: fs_cache_table_free. */
gboolean fs_cache_find_table(
    FsCache *cache, FsCall *call, const char *name, FsCacheTable **ret_found, GError **error);
/* All, of FsCacheTable, sorted by name. */
GPtrArray *fs_cache_list_tables(FsCache *cache, FsCall *call, GError **error);
void fs_cache_table_free(FsCacheTable *table);
/* Something was made, dropped or renamed: ask again next time. */
void fs_cache_tables_changed(FsCache *cache);

/* Rows went into this table: it exists. Cheap where that was known. */
void fs_cache_note_table(FsCache *cache, const char *name);

/* --- ingested files and folders --- */

/* The ledger's entry of ingest/<zone>/<path>, shared: not to be changed; *ret_entry NULL: there
 * is none. Caller unrefs. */
gboolean fs_cache_find_entry(FsCache *cache, FsCall *call, const char *zone, const char *path,
    LakeLedgerEntry **ret_entry, GError **error);
/* Entries of a folder after the name `after` (NULL: from the start), of LakeLedgerEntry,
 * sorted; *ret_is_last says that none follow. */
GPtrArray *fs_cache_list_entries(FsCache *cache, FsCall *call, const char *zone,
    const char *folder, const char *after, gboolean *ret_is_last, GError **error);
/* Without asking anyone: whether the path is thought to be there. */
LakeIngestExpectation fs_cache_expectation(FsCache *cache, const char *zone, const char *path);

/* Takes a reference; the entry is not to be changed any more. */
void fs_cache_put_entry(FsCache *cache, const char *zone, LakeLedgerEntry *entry);
void fs_cache_remove_entry(FsCache *cache, const char *zone, const char *path);
/* Everything below ingest/<zone> is asked for again. zone NULL: all of them. */
void fs_cache_forget_zone(FsCache *cache, const char *zone);
/* The same for what others have changed; but a folder that takes long to read is still read
 * only for a quarter of the time, and for half a second at most where it has few files. Calls
 * that are answered as it was meanwhile are marked (is_outdated): the kernel must not believe
 * that for a while longer. */
void fs_cache_zone_changed(FsCache *cache, const char *zone);

/* --- rows: kept by their nodes --- */

/* What is known of the rows and columns of a table is not true any more; NULL: of any. */
void fs_cache_rows_changed(FsCache *cache, const char *table);
/* Another number after each such change. */
guint64 fs_cache_rows_changes(FsCache *cache, const char *table);

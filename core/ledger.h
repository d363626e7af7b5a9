/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ledger.h: what was ingested: one entry per file and per folder of a drop zone.
 *
 * A table of the workspace, so that an entry and its rows commit together. Its key is (table,
 * folder, name): listing a folder and finding a file are both one index scan.
 * Any thread may call; each call may block on the server.
 */

#include "core/catalog.h"

#define LAKE_LEDGER_TABLE "deeplakefs_ledger"

/* A btree entry holds at most 2704 bytes (BTMaxItemSize), and the key has a table's name as
 * well. */
#define LAKE_LEDGER_PATH_MAX_BYTES 2500

/* What chmod, chown, utimens and setxattr set. */
typedef struct {
    guint32 mode; /* permission bits and the file type, as st_mode */
    guint32 uid, gid;
    gint64 mtime_ns; /* UNIX epoch */
} LakeFileAttributes;

typedef struct {
    char *path;       /* below the drop zone; "" is the zone itself */
    const char *name; /* last part of path, and part of its memory */
    gboolean is_folder;
    char *file_id; /* UUID; NULL for a folder */
    char *kind;    /* "text", "other" …; NULL for a folder */
    gint64 size_bytes;
    LakeFileAttributes attributes;
    char *content_hash; /* SHA-256, hexadecimal */
    gint64 n_rows;
    char *encoding; /* of text: "UTF-8" …; else NULL */
    char *settings; /* JSON of the sizes used, as jsonb writes it */
    char *xattrs;   /* JSON object of user.* attributes, base64 values; NULL: none */
    char *notes;    /* what its reader should know of the rows, a line each; NULL: nothing */
} LakeLedgerEntry;

LakeLedgerEntry *lake_ledger_entry_new(const char *path);
/* Ref-counted, so that a listing and a cache share one; whoever did not make it changes a copy.
 */
LakeLedgerEntry *lake_ledger_entry_ref(LakeLedgerEntry *entry);
void lake_ledger_entry_unref(LakeLedgerEntry *entry);
LakeLedgerEntry *lake_ledger_entry_copy(const LakeLedgerEntry *entry);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeLedgerEntry, lake_ledger_entry_unref)

/* Entries directly in folder ("" is the zone's top) with a name after `after` (NULL: from the
 * start), sorted bytewise, at most `limit`. Of LakeLedgerEntry. */
GPtrArray *lake_ledger_list(LakeCatalog *catalog, const char *table, const char *folder,
    const char *after, guint limit, GCancellable *cancellable, GError **error);

/* NULL with NOT_FOUND when there is none. */
LakeLedgerEntry *lake_ledger_find(LakeCatalog *catalog, const char *table, const char *path,
    GCancellable *cancellable, GError **error);

/* Many in one question: for each path an entry, or NULL where there is none. At least one. */
GPtrArray *lake_ledger_find_all(LakeCatalog *catalog, const char *table,
    const char *const *paths, guint n_paths, GCancellable *cancellable, GError **error);

/* Drop zones that are known though their table may not exist: names, of char*. */
GPtrArray *lake_ledger_zones(LakeCatalog *catalog, GCancellable *cancellable, GError **error);

/* Adds a folder (path "" opens a drop zone). EXISTS when there is an entry. */
gboolean lake_ledger_add_folder(LakeCatalog *catalog, const char *table, const char *path,
    const LakeFileAttributes *attributes, GCancellable *cancellable, GError **error);

/* Many at once, paths[i] with attributes[i]; what is there already stays as it is. All or none.
 */
gboolean lake_ledger_add_folders(LakeCatalog *catalog, const char *table,
    const char *const *paths, const LakeFileAttributes *attributes, guint n_paths,
    GCancellable *cancellable, GError **error);

/* Sets attributes and xattrs of a file or folder; a zone without an entry gets one. */
gboolean lake_ledger_set_attributes(LakeCatalog *catalog, const char *table, const char *path,
    const LakeFileAttributes *attributes, const char *xattrs, GCancellable *cancellable,
    GError **error);

/* Deletes a file's rows and entry, in one transaction. NOT_FOUND. */
gboolean lake_ledger_remove_file(LakeCatalog *catalog, const char *table, const char *path,
    GCancellable *cancellable, GError **error);

/* Deletes a folder's entry. NOT_EMPTY when anything lies in it. */
gboolean lake_ledger_remove_folder(LakeCatalog *catalog, const char *table, const char *path,
    GCancellable *cancellable, GError **error);

/* Renames a file or folder within its drop zone, with everything below it; a file that new_path
 * named is removed, rows and all, in the same transaction. */
gboolean lake_ledger_rename(LakeCatalog *catalog, const char *table, const char *path,
    const char *new_path, GCancellable *cancellable, GError **error);

/* The two parts of a path below a drop zone: "" and "a" of "a", "x/y" and "a" of "x/y/a";
 * caller frees both. The zone itself, "", gives "" and "". */
void lake_ledger_split(const char *path, char **ret_folder, char **ret_name);

/* LONG_NAME when a path cannot be a key (LAKE_LEDGER_PATH_MAX_BYTES), BAD_NAME when it is not
 * UTF-8. */
gboolean lake_ledger_check_path(const char *path, GError **error);

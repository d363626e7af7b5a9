/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/catalog.h: which tables the workspace has, the columns of each, and how they come and
 * go.
 *
 * Read from the system catalogs on every call: nothing is cached here, fs/cache.c does that.
 * Any thread may call; each call may ask the server and so may block.
 */

#include "core/changes.h"
#include "core/transport.h"

#define LAKE_CATALOG_NAME_MAX_BYTES 63 /* NAMEDATALEN - 1 */

/* Rows on their way to a service (core/api/upload.h); hidden, as the ledger. */
#define LAKE_CATALOG_STAGING_TABLE "deeplakefs_staging"

typedef enum { LAKE_TABLE_TABLE, LAKE_TABLE_VIEW } LakeTableKind;

typedef struct {
    char *name;
    LakeTableKind kind;
    gboolean takes_files; /* has file_id, or nothing but id */
} LakeTableName;

typedef struct {
    char *name;
    char *sql_type; /* as format_type() writes it */
    LakeType type;
    gboolean is_nullable;
    int key_position;  /* 1-based place in the primary key, 0: not in it */
    gboolean is_media; /* bytea or a domain over it */
    gboolean is_json;  /* json, jsonb, an array, or a domain over one of them */
} LakeTableColumn;

typedef struct {
    char *name;
    LakeTableKind kind;
    gboolean is_partitioned;
    GPtrArray *columns; /* of LakeTableColumn, in order */
} LakeTable;

void lake_table_free(LakeTable *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeTable, lake_table_free)
const LakeTableColumn *lake_table_column(const LakeTable *table, const char *name);
/* All columns but the media ones, quoted, joined by commas; caller frees. */
char *lake_table_dup_columns(const LakeTable *table);

typedef struct LakeCatalog LakeCatalog; /* transport + schema; part of the workspace */

/* Makes the schema and the ledger where they are missing, unless read_only.
 *   NOT_FOUND (class WORKSPACE)  read_only and no such schema */
LakeCatalog *lake_catalog_open(LakeTransport *transport, const char *schema, gboolean read_only,
    GCancellable *cancellable, GError **error);
void lake_catalog_free(LakeCatalog *catalog);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeCatalog, lake_catalog_free)

/* The server's reads may be behind its changes by this much: core/ledger.c remembers ours. 0:
 * they are not, as at first. Once, before it is used. */
void lake_catalog_set_lag(LakeCatalog *catalog, gint64 lag_ms);
/* Borrowed; NULL without a lag. For core/ledger.c and core/ingest/. */
struct LakeRecent *lake_catalog_recent(LakeCatalog *catalog);

/* Who is told of changes that are made here; borrowed. NULL: nobody, as at first. */
void lake_catalog_set_changes(LakeCatalog *catalog, LakeChanges *changes);
/* For what changes the workspace: after it did, and where nobody knows whether it did. table
 * NULL: everything. kinds: LakeChangeKind. Never waits for the server. */
void lake_catalog_changed(LakeCatalog *catalog, const char *table, guint kinds);

/* The same after an attempt: failure NULL, or why it failed. Where that is undone, what is
 * remembered of changes of files still counts, since nobody who reads waits for anything. */
void
lake_catalog_tried(LakeCatalog *catalog, const char *table, guint kinds, const GError *failure);

LakeTransport *lake_catalog_transport(LakeCatalog *catalog);
const char *lake_catalog_schema(LakeCatalog *catalog);

/* All tables and views that are shown, of LakeTableName, sorted by name (bytewise). */
GPtrArray *lake_catalog_list(LakeCatalog *catalog, GCancellable *cancellable, GError **error);

/* One table by its exact name, or NULL: NOT_FOUND, OFFLINE … */
LakeTable *lake_catalog_find(
    LakeCatalog *catalog, const char *name, GCancellable *cancellable, GError **error);

/* An empty table with the id column only.
 *   EXISTS, LONG_NAME (over 63 bytes), BAD_NAME (not UTF-8, or reserved for the ledger) */
gboolean lake_catalog_create(
    LakeCatalog *catalog, const char *name, GCancellable *cancellable, GError **error);

/* Drops a table (or view), its indexes and its ledger entries in one transaction.
 *   NOT_FOUND; BAD_INPUT when other objects depend on it, with their names */
gboolean lake_catalog_drop(
    LakeCatalog *catalog, const char *name, GCancellable *cancellable, GError **error);

/* EXISTS when new_name is taken. Ledger entries follow, in the same transaction. */
gboolean lake_catalog_rename(LakeCatalog *catalog, const char *name, const char *new_name,
    GCancellable *cancellable, GError **error);

/* What info.json says, as JSON text; caller frees. */
char *lake_catalog_info(
    LakeCatalog *catalog, const char *name, GCancellable *cancellable, GError **error);

/* Number of rows, exact. -1: error. */
gint64 lake_catalog_count(
    LakeCatalog *catalog, const char *name, GCancellable *cancellable, GError **error);

/* dataset_path of the specification: <root>/<workspace>/<table>; caller frees. */
char *lake_catalog_dataset_path(LakeCatalog *catalog, const char *name);

/* "schema"."name", quoted; caller frees. */
char *lake_catalog_qualify(LakeCatalog *catalog, const char *name);

/* "schema".deeplakefs_ledger, quoted; borrowed. */
const char *lake_catalog_ledger(LakeCatalog *catalog);

/* A name that a table can have and that shows: BAD_INPUT (empty, reserved), BAD_NAME,
 * LONG_NAME. */
gboolean lake_catalog_check_name(const char *name, GError **error);

/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ledger.h"

#include "core/error.h"
#include "core/ledger/entry.h"
#include "core/recent.h"
#include <string.h>
#include <sys/stat.h>

/* A statement whose first three parameters are the key. */
static LakeStatement *keyed_statement(
    const char *table, const char *path, const char *format, ...) G_GNUC_PRINTF(3, 4);

static LakeStatement *
keyed_statement(const char *table, const char *path, const char *format, ...)
{
    g_autofree char *folder = NULL;
    g_autofree char *name = NULL;
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *sql = g_strdup_vprintf(format, arguments);
    va_end(arguments);

    LakeStatement *statement = lake_statement_new(sql);
    lake_ledger_split(path, &folder, &name);
    lake_statement_add_text(statement, table);
    lake_statement_add_text(statement, folder);
    lake_statement_add_text(statement, name);
    statement->is_prepared = TRUE;
    return statement;
}

static LakeResult *
run(LakeCatalog *catalog, LakeStatement *statement, GCancellable *cancellable, GError **error)
{
    return lake_transport_run(lake_catalog_transport(catalog), LAKE_TRANSPORT_INTERACTIVE,
        statement, cancellable, error);
}

static gboolean
has_sqlstate(const GError *error, const char *sqlstate)
{
    const LakeErrorFacts *facts = error ? lake_error_facts(error) : NULL;

    return facts && g_strcmp0(facts->sqlstate, sqlstate) == 0;
}

static LakeRecent *
recent(LakeCatalog *catalog)
{
    return lake_catalog_recent(catalog);
}

/* The entry of the zone itself makes it one. */
static void
note_changed(LakeCatalog *catalog, const char *table, const char *path, guint kinds)
{
    lake_catalog_changed(
        catalog, table, LAKE_CHANGE_FILES | kinds | (*path ? 0 : LAKE_CHANGE_TABLE));
}

/* A read-only mount may meet a workspace that nobody ever ingested into. */
static gboolean
is_missing_ledger(const GError *error)
{
    return has_sqlstate(error, "42P01");
}

/* A read-only mount may meet a ledger of an earlier version too, and does not widen it. */
static LakeResult *
run_reading(
    LakeCatalog *catalog, LakeStatement *statement, GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) failure = NULL;
    LakeResult *result = run(catalog, statement, cancellable, &failure);
    char *notes = strstr(statement->sql, LAKE_LEDGER_LATER_COLUMN);

    if (!result && has_sqlstate(failure, "42703") && notes) {
        memcpy(notes, "NULL ", strlen(LAKE_LEDGER_LATER_COLUMN)); /* as long as the name */
        g_clear_error(&failure);
        result = run(catalog, statement, cancellable, &failure);
    }
    if (!result)
        g_propagate_error(error, g_steal_pointer(&failure));
    return result;
}

/* An entry with rows counts only while its table is there: others may have dropped it by SQL.
 */
#define HAS_ITS_TABLE                                                                          \
    " AND (kind = 'folder' OR n_rows = 0 OR EXISTS (SELECT FROM pg_catalog.pg_class c"         \
    "  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"                               \
    "  WHERE n.nspname = current_schema() AND c.relname = table_name))"

/* As the server has them. */
static GPtrArray *
list_stored(LakeCatalog *catalog, const char *table, const char *folder, const char *after,
    guint limit, GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autoptr(LakeStatement) statement = lake_statement_new_printf(
        "SELECT " LAKE_LEDGER_ENTRY_COLUMNS
        " FROM %s WHERE table_name = $1 AND folder = $2 AND name > $3" HAS_ITS_TABLE
        " ORDER BY name LIMIT $4",
        lake_catalog_ledger(catalog));

    lake_statement_add_text(statement, table);
    lake_statement_add_text(statement, folder);
    /* Greater than '' leaves the zone's own entry out. */
    lake_statement_add_text(statement, after ? after : "");
    lake_statement_add_int64(statement, limit);
    statement->is_prepared = TRUE;
    statement->is_repeatable = TRUE;
    statement->scope = LAKE_SCOPE_STRUCTURE;
    g_autoptr(LakeResult) result = run_reading(catalog, statement, cancellable, &failure);
    if (!result && is_missing_ledger(failure))
        return g_ptr_array_new_with_free_func((GDestroyNotify)lake_ledger_entry_unref);
    if (!result) {
        g_propagate_prefixed_error(
            error, g_steal_pointer(&failure), "listing ingest/%s/%s: ", table, folder);
        return NULL;
    }

    guint n_rows = lake_result_n_rows(result);
    GPtrArray *entries = g_ptr_array_new_full(n_rows, (GDestroyNotify)lake_ledger_entry_unref);
    for (guint row = 0; row < n_rows; row++)
        g_ptr_array_add(entries, lake_ledger_entry_from_row(result, row));
    return entries;
}

/* Where much of a part was removed since, what follows it is needed too: fewer than limit mean
 * that there are no more. */
GPtrArray *
lake_ledger_list(LakeCatalog *catalog, const char *table, const char *folder, const char *after,
    guint limit, GCancellable *cancellable, GError **error)
{
    g_autoptr(GPtrArray) all =
        g_ptr_array_new_with_free_func((GDestroyNotify)lake_ledger_entry_unref);
    g_autofree char *from = g_strdup(after);

    for (gboolean is_end = FALSE; !is_end && all->len < limit;) {
        g_autoptr(GPtrArray) part =
            list_stored(catalog, table, folder, from, limit, cancellable, error);
        if (!part)
            return NULL;

        is_end = part->len < limit;
        g_autofree char *before = g_steal_pointer(&from);
        if (!is_end)
            from = g_strdup(((LakeLedgerEntry *)part->pdata[part->len - 1])->name);
        lake_recent_correct(recent(catalog), table, folder, before, is_end, part);
        g_ptr_array_extend_and_steal(all, g_steal_pointer(&part));
    }
    if (all->len > limit)
        g_ptr_array_set_size(all, (gint)limit);
    return g_steal_pointer(&all);
}

static void
set_not_found(const char *table, const char *path, GError **error)
{
    lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_NOT_FOUND,
        "nothing was ingested as ingest/%s/%s", table, path);
}

static LakeLedgerEntry *
find_stored(LakeCatalog *catalog, const char *table, const char *path,
    GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) failure = NULL;
    /* A row in any case, of NULLs where there is no entry: no answer at all is another thing.
     */
    g_autoptr(LakeStatement) statement = keyed_statement(table, path,
        "SELECT l.* FROM (VALUES (1)) always LEFT JOIN (SELECT " LAKE_LEDGER_ENTRY_COLUMNS
        " FROM %s WHERE table_name = $1 AND folder = $2 AND name = $3" HAS_ITS_TABLE
        ") l ON true",
        lake_catalog_ledger(catalog));
    statement->is_repeatable = TRUE;
    statement->has_always_rows = TRUE;
    statement->scope = LAKE_SCOPE_STRUCTURE;
    g_autoptr(LakeResult) result = run_reading(catalog, statement, cancellable, &failure);

    if (!result && !is_missing_ledger(failure)) {
        g_propagate_prefixed_error(
            error, g_steal_pointer(&failure), "looking up ingest/%s/%s: ", table, path);
        return NULL;
    }
    if (!result || !lake_result_text(result, 0, 0)) {
        set_not_found(table, path, error);
        return NULL;
    }
    return lake_ledger_entry_from_row(result, 0);
}

LakeLedgerEntry *
lake_ledger_find(LakeCatalog *catalog, const char *table, const char *path,
    GCancellable *cancellable, GError **error)
{
    LakeLedgerEntry *entry = NULL;

    if (!lake_recent_find(recent(catalog), table, path, &entry))
        return find_stored(catalog, table, path, cancellable, error);
    if (!entry)
        set_not_found(table, path, error);
    return entry;
}

/* Their folders and names as two columns. */
static LakeRows *
split_paths(const char *const *paths, guint n_paths)
{
    static const LakeColumn columns[] = {{"folder", LAKE_TYPE_TEXT}, {"name", LAKE_TYPE_TEXT}};
    LakeRows *rows = lake_rows_new(columns, G_N_ELEMENTS(columns));

    for (guint i = 0; i < n_paths; i++) {
        g_autofree char *folder = NULL;
        g_autofree char *name = NULL;

        lake_ledger_split(paths[i], &folder, &name);
        lake_rows_add_text(rows, folder, strlen(folder));
        lake_rows_add_text(rows, name, strlen(name));
    }
    return rows;
}

static LakeResult *
find_all_stored(LakeCatalog *catalog, const char *table, const char *const *paths,
    guint n_paths, GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeRows) wanted = split_paths(paths, n_paths);
    g_autoptr(LakeStatement) statement = lake_statement_new_printf(
        "SELECT l.* FROM unnest($2::text[], $3::text[]) WITH ORDINALITY wanted(folder, name, "
        "at)"
        " LEFT JOIN LATERAL (SELECT " LAKE_LEDGER_ENTRY_COLUMNS
        " FROM %s WHERE table_name = $1 AND folder = wanted.folder AND name = "
        "wanted.name" HAS_ITS_TABLE ") l ON true ORDER BY at",
        lake_catalog_ledger(catalog));

    lake_statement_add_text(statement, table);
    lake_statement_add_array(statement, wanted, 0);
    lake_statement_add_array(statement, wanted, 1);
    statement->is_prepared = TRUE;
    statement->is_repeatable = TRUE;
    statement->has_always_rows = TRUE;
    statement->scope = LAKE_SCOPE_STRUCTURE;
    return run_reading(catalog, statement, cancellable, error);
}

GPtrArray *
lake_ledger_find_all(LakeCatalog *catalog, const char *table, const char *const *paths,
    guint n_paths, GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autoptr(LakeResult) result =
        find_all_stored(catalog, table, paths, n_paths, cancellable, &failure);

    if (!result && !is_missing_ledger(failure)) {
        g_propagate_prefixed_error(
            error, g_steal_pointer(&failure), "looking up files in ingest/%s: ", table);
        return NULL;
    }
    GPtrArray *entries = g_ptr_array_new_full(n_paths, (GDestroyNotify)lake_ledger_entry_unref);
    for (guint i = 0; i < n_paths; i++) {
        LakeLedgerEntry *entry = NULL;

        if (!lake_recent_find(recent(catalog), table, paths[i], &entry) && result &&
            i < lake_result_n_rows(result) && lake_result_text(result, i, 0))
            entry = lake_ledger_entry_from_row(result, i);
        g_ptr_array_add(entries, entry);
    }
    return entries;
}

GPtrArray *
lake_ledger_zones(LakeCatalog *catalog, GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autoptr(LakeStatement) statement =
        lake_statement_new_printf("SELECT table_name FROM %s WHERE folder = '' AND name = '' "
                                  "ORDER BY table_name COLLATE \"C\"",
            lake_catalog_ledger(catalog));
    statement->is_prepared = TRUE;
    statement->is_repeatable = TRUE;
    statement->scope = LAKE_SCOPE_STRUCTURE;
    g_autoptr(LakeResult) result = run(catalog, statement, cancellable, &failure);
    GPtrArray *zones;

    /* A role that may read the tables and not the ledger still sees the tables. */
    if (!result && !is_missing_ledger(failure) && !has_sqlstate(failure, "42501")) {
        g_propagate_prefixed_error(
            error, g_steal_pointer(&failure), "listing the drop zones: ");
        return NULL;
    }
    zones = g_ptr_array_new_with_free_func(g_free);
    for (guint row = 0; result && row < lake_result_n_rows(result); row++)
        g_ptr_array_add(zones, g_strdup(lake_result_text(result, row, 0)));
    lake_recent_correct_zones(recent(catalog), zones);
    return zones;
}

static void
add_attributes(LakeStatement *statement, const LakeFileAttributes *attributes)
{
    lake_statement_add_int64(statement, attributes->mode);
    lake_statement_add_int64(statement, attributes->uid);
    lake_statement_add_int64(statement, attributes->gid);
    lake_statement_add_int64(statement, attributes->mtime_ns);
}

static void
remember_folder(LakeCatalog *catalog, const char *table, const char *path,
    const LakeFileAttributes *attributes, const char *xattrs)
{
    g_autoptr(LakeLedgerEntry) entry = lake_ledger_entry_new(path);

    entry->is_folder = TRUE;
    entry->attributes = *attributes;
    entry->xattrs = g_strdup(xattrs);
    lake_recent_put(recent(catalog), table, entry);
}

gboolean
lake_ledger_add_folder(LakeCatalog *catalog, const char *table, const char *path,
    const LakeFileAttributes *attributes, GCancellable *cancellable, GError **error)
{
    if (!lake_ledger_check_path(path, error))
        return FALSE;

    g_autoptr(LakeStatement) statement = keyed_statement(table, path,
        "INSERT INTO %s (table_name, folder, name, kind, mode, uid, gid, mtime_ns)"
        " VALUES ($1, $2, $3, 'folder', $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING 1",
        lake_catalog_ledger(catalog));
    add_attributes(statement, attributes);
    statement->scope = LAKE_SCOPE_ROWS;
    g_autoptr(LakeResult) result = run(catalog, statement, cancellable, error);
    if (!result || lake_result_n_affected(result) > 0)
        note_changed(catalog, table, path, 0);
    if (!result)
        return FALSE;
    if (lake_result_n_affected(result) == 0) {
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_EXISTS,
            "ingest/%s/%s is there already", table, path);
        return FALSE;
    }
    remember_folder(catalog, table, path, attributes, NULL);
    return TRUE;
}

/* What the server may not show yet, in attributes of an entry that it has. */
static gboolean
remember_attributes(LakeCatalog *catalog, const char *table, const char *path,
    const LakeFileAttributes *attributes, const char *xattrs, GCancellable *cancellable,
    GError **error)
{
    if (!recent(catalog))
        return TRUE;
    if (*path == '\0') {
        remember_folder(catalog, table, path, attributes, xattrs);
        return TRUE;
    }
    g_autoptr(LakeLedgerEntry) there =
        lake_ledger_find(catalog, table, path, cancellable, error);
    if (!there)
        return FALSE;
    g_autoptr(LakeLedgerEntry) changed = lake_ledger_entry_copy(there);
    changed->attributes = *attributes;
    g_free(changed->xattrs);
    changed->xattrs = g_strdup(xattrs);
    lake_recent_put(recent(catalog), table, changed);
    return TRUE;
}

gboolean
lake_ledger_set_attributes(LakeCatalog *catalog, const char *table, const char *path,
    const LakeFileAttributes *attributes, const char *xattrs, GCancellable *cancellable,
    GError **error)
{
    gboolean is_zone = *path == '\0';
    g_autoptr(LakeStatement) statement =
        is_zone
            ? keyed_statement(table, path,
                  "INSERT INTO %s (table_name, folder, name, kind, mode, uid, gid, mtime_ns, "
                  "xattrs)"
                  " VALUES ($1, $2, $3, 'folder', $4, $5, $6, $7, $8::jsonb)"
                  " ON CONFLICT (table_name, folder, name) DO UPDATE SET mode = excluded.mode,"
                  " uid = excluded.uid, gid = excluded.gid, mtime_ns = excluded.mtime_ns,"
                  " xattrs = excluded.xattrs RETURNING 1",
                  lake_catalog_ledger(catalog))
            : keyed_statement(table, path,
                  "UPDATE %s SET mode = $4, uid = $5, gid = $6, mtime_ns = $7, xattrs = "
                  "$8::jsonb"
                  " WHERE table_name = $1 AND folder = $2 AND name = $3 RETURNING 1",
                  lake_catalog_ledger(catalog));

    add_attributes(statement, attributes);
    lake_statement_add_text(statement, xattrs);
    statement->is_repeatable = TRUE;
    statement->scope = LAKE_SCOPE_ROWS;
    g_autoptr(LakeResult) result = run(catalog, statement, cancellable, error);
    note_changed(catalog, table, path, 0);
    if (!result)
        return FALSE;
    if (lake_result_n_affected(result) == 0) {
        set_not_found(table, path, error);
        return FALSE;
    }
    return remember_attributes(catalog, table, path, attributes, xattrs, cancellable, error);
}

/* Locked by a statement of its own, so that those after it see what a concurrent change of the
 * same path has committed by then. */
static LakeStatement *
lock_entry(LakeCatalog *catalog, const char *table, const char *path)
{
    LakeStatement *statement = keyed_statement(table, path,
        "SELECT FROM %s WHERE table_name = $1 AND folder = $2 AND name = $3 FOR UPDATE",
        lake_catalog_ledger(catalog));

    statement->is_lock = TRUE;
    return statement;
}

static LakeStatement *
delete_rows(LakeCatalog *catalog, const char *table, const char *path)
{
    g_autofree char *qualified = lake_catalog_qualify(catalog, table);
    LakeStatement *statement = keyed_statement(table, path,
        "DELETE FROM %s WHERE file_id = (SELECT file_id FROM %s"
        " WHERE table_name = $1 AND folder = $2 AND name = $3)",
        qualified, lake_catalog_ledger(catalog));

    statement->scope = LAKE_SCOPE_ROWS;
    return statement;
}

static LakeStatement *
delete_entry(LakeCatalog *catalog, const char *table, const char *path)
{
    LakeStatement *statement = keyed_statement(table, path,
        "DELETE FROM %s WHERE table_name = $1 AND folder = $2 AND name = $3 AND kind <> "
        "'folder'",
        lake_catalog_ledger(catalog));

    statement->scope = LAKE_SCOPE_ROWS;
    statement->n_expected = 1;
    return statement;
}

static gboolean
remove_file(LakeCatalog *catalog, const char *table, const char *path,
    GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeStatement) lock = lock_entry(catalog, table, path);
    g_autoptr(LakeStatement) rows = delete_rows(catalog, table, path);
    g_autoptr(LakeStatement) entry = delete_entry(catalog, table, path);
    LakeStatement *all[] = {lock, rows, entry};
    LakeTransport *transport = lake_catalog_transport(catalog);
    g_autoptr(GError) failure = NULL;
    g_autoptr(LakeResult) result = lake_transport_run_all(
        transport, LAKE_TRANSPORT_BULK, all, G_N_ELEMENTS(all), cancellable, &failure);

    /* An empty file may have been entered before any row made the table, or its column. */
    if (!result && (has_sqlstate(failure, "42P01") || has_sqlstate(failure, "42703"))) {
        g_clear_error(&failure);
        result =
            lake_transport_run(transport, LAKE_TRANSPORT_BULK, entry, cancellable, &failure);
    }
    note_changed(catalog, table, path, LAKE_CHANGE_ROWS);
    gboolean is_gone = result ? lake_result_n_affected(result) == 0
                              : g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_STALE);
    if (is_gone) {
        set_not_found(table, path, error);
        return FALSE;
    }
    if (!result) {
        g_propagate_prefixed_error(
            error, g_steal_pointer(&failure), "removing ingest/%s/%s: ", table, path);
        return FALSE;
    }
    lake_recent_remove(recent(catalog), table, path);
    return TRUE;
}

/* FALSE: error is another one than that of a lost answer, or the server stays away. */
static gboolean
is_lost(LakeCatalog *catalog, const GError *failure, GCancellable *cancellable)
{
    return g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_OFFLINE) &&
           lake_transport_settle(lake_catalog_transport(catalog), cancellable, NULL);
}

gboolean
lake_ledger_remove_file(LakeCatalog *catalog, const char *table, const char *path,
    GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autoptr(GError) later = NULL;

    if (remove_file(catalog, table, path, cancellable, &failure))
        return TRUE;
    /* What is no longer there the second time, the first one has removed. */
    if (is_lost(catalog, failure, cancellable) &&
        (remove_file(catalog, table, path, cancellable, &later) ||
            g_error_matches(later, LAKE_ERROR, LAKE_ERROR_NOT_FOUND))) {
        lake_recent_remove(recent(catalog), table, path);
        return TRUE;
    }
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

/* FALSE without an error: nothing was deleted. */
static gboolean
delete_folder(LakeCatalog *catalog, const char *table, const char *path,
    GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autoptr(LakeStatement) lock = lock_entry(catalog, table, path);
    g_autoptr(LakeStatement) remove = keyed_statement(table, path,
        "DELETE FROM %s l WHERE table_name = $1 AND folder = $2 AND name = $3 AND kind = "
        "'folder'"
        " AND NOT EXISTS (SELECT FROM %s i WHERE i.table_name = $1 AND i.folder = l.path"
        "  AND i.name <> '')",
        lake_catalog_ledger(catalog), lake_catalog_ledger(catalog));
    LakeStatement *all[] = {lock, remove};

    remove->scope = LAKE_SCOPE_ROWS;
    remove->n_expected = 1;
    g_autoptr(LakeResult) result = lake_transport_run_all(lake_catalog_transport(catalog),
        LAKE_TRANSPORT_INTERACTIVE, all, G_N_ELEMENTS(all), cancellable, &failure);
    gboolean is_deleted = result && lake_result_n_affected(result) > 0;

    if (is_deleted || (failure && !g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_STALE)))
        note_changed(catalog, table, path, 0);
    if (is_deleted)
        lake_recent_remove(recent(catalog), table, path);
    if (failure && !g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_STALE))
        g_propagate_error(error, g_steal_pointer(&failure));
    return is_deleted;
}

gboolean
lake_ledger_remove_folder(LakeCatalog *catalog, const char *table, const char *path,
    GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) failure = NULL;

    if (delete_folder(catalog, table, path, cancellable, &failure))
        return TRUE;
    if (failure) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return FALSE;
    }
    /* Nothing deleted: not there, or not empty. A zone without an entry may still have files.
     */
    g_autoptr(GPtrArray) inside =
        lake_ledger_list(catalog, table, path, NULL, 1, cancellable, error);
    if (!inside)
        return FALSE;
    if (inside->len > 0) {
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_NOT_EMPTY,
            "ingest/%s/%s is not empty", table, path);
        return FALSE;
    }
    if (*path) {
        set_not_found(table, path, error);
        return FALSE;
    }
    return TRUE;
}

/* Two statements on the ledger for a file and for what lies below a folder; parameters: the
 * key, the new folder and name, then the old and new path. */
static gboolean
move_entries(LakeTransaction *transaction, LakeCatalog *catalog, const char *table,
    const char *path, const char *new_path, GCancellable *cancellable, GError **error)
{
    g_autofree char *folder = NULL;
    g_autofree char *name = NULL;

    lake_ledger_split(new_path, &folder, &name);
    g_autoptr(LakeStatement) move = keyed_statement(table, path,
        "UPDATE %s SET folder = $4, name = $5 WHERE table_name = $1 AND folder = $2 AND name = "
        "$3",
        lake_catalog_ledger(catalog));
    lake_statement_add_text(move, folder);
    lake_statement_add_text(move, name);
    move->n_expected = 1;
    g_autoptr(LakeResult) moved = lake_transaction_run(transaction, move, cancellable, error);
    if (!moved)
        return FALSE;
    if (lake_result_n_affected(moved) == 0) {
        set_not_found(table, path, error);
        return FALSE;
    }

    g_autoptr(LakeStatement) below = lake_statement_new_printf(
        "UPDATE %s SET folder = $3 || substr(folder, length($2) + 1)"
        " WHERE table_name = $1 AND (folder = $2 OR starts_with(folder, $2 || '/'))",
        lake_catalog_ledger(catalog));
    lake_statement_add_text(below, table);
    lake_statement_add_text(below, path);
    lake_statement_add_text(below, new_path);
    g_autoptr(LakeResult) followed =
        lake_transaction_run(transaction, below, cancellable, error);
    return followed != NULL;
}

/* The column `filename` of the rows follows the ledger. */
static gboolean
move_filenames(LakeTransaction *transaction, LakeCatalog *catalog, const char *table,
    const char *new_path, GCancellable *cancellable, GError **error)
{
    g_autofree char *qualified = lake_catalog_qualify(catalog, table);
    g_autoptr(LakeStatement) statement = lake_statement_new_printf(
        "UPDATE %s t SET filename = l.path FROM %s l WHERE l.table_name = $1"
        " AND (l.path = $2 OR starts_with(l.path, $2 || '/')) AND t.file_id = l.file_id"
        " AND t.filename IS NOT NULL AND t.filename <> l.path",
        qualified, lake_catalog_ledger(catalog));

    lake_statement_add_text(statement, table);
    lake_statement_add_text(statement, new_path);
    g_autoptr(LakeResult) result =
        lake_transaction_run(transaction, statement, cancellable, error);
    return result != NULL;
}

/* A file (with its rows) or an empty folder that new_path names makes room. */
static gboolean
clear_target(LakeTransaction *transaction, LakeCatalog *catalog, const char *table,
    const char *new_path, gboolean has_rows, GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeStatement) lock = lock_entry(catalog, table, new_path);
    g_autoptr(LakeStatement) rows = delete_rows(catalog, table, new_path);
    g_autoptr(LakeStatement) entry = keyed_statement(table, new_path,
        "DELETE FROM %s WHERE table_name = $1 AND folder = $2 AND name = $3",
        lake_catalog_ledger(catalog));
    LakeStatement *all[] = {lock, rows, entry};

    for (guint i = 0; i < G_N_ELEMENTS(all); i++) {
        if (all[i] == rows && !has_rows)
            continue;
        g_autoptr(LakeResult) result =
            lake_transaction_run(transaction, all[i], cancellable, error);
        if (!result)
            return FALSE;
    }
    return TRUE;
}

static gboolean
rename_in(LakeTransaction *transaction, LakeCatalog *catalog, const LakeTable *columns,
    const char *table, const char *path, const char *new_path, GCancellable *cancellable,
    GError **error)
{
    gboolean has_rows = columns && lake_table_column(columns, "file_id");
    gboolean has_filename = has_rows && lake_table_column(columns, "filename");

    return clear_target(transaction, catalog, table, new_path, has_rows, cancellable, error) &&
           move_entries(transaction, catalog, table, path, new_path, cancellable, error) &&
           (!has_filename ||
               move_filenames(transaction, catalog, table, new_path, cancellable, error)) &&
           lake_transaction_commit(transaction, cancellable, error);
}

static gboolean
rename_once(LakeCatalog *catalog, const char *table, const char *path, const char *new_path,
    GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autoptr(LakeTable) columns = lake_catalog_find(catalog, table, cancellable, &failure);

    if (!columns && !g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return FALSE;
    }
    if (!lake_ledger_check_path(new_path, error))
        return FALSE;
    g_autoptr(GPtrArray) inside =
        lake_ledger_list(catalog, table, new_path, NULL, 1, cancellable, error);
    if (!inside)
        return FALSE;
    if (inside->len > 0) {
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_NOT_EMPTY,
            "ingest/%s/%s is not empty", table, new_path);
        return FALSE;
    }

    g_autoptr(LakeTransaction) transaction = lake_transport_begin(
        lake_catalog_transport(catalog), LAKE_TRANSPORT_BULK, cancellable, error);
    if (!transaction)
        return FALSE;
    gboolean is_good =
        rename_in(transaction, catalog, columns, table, path, new_path, cancellable, error);
    lake_recent_forget(recent(catalog), table);
    note_changed(catalog, table, path, LAKE_CHANGE_ROWS);
    if (!is_good) {
        g_prefix_error(error, "renaming ingest/%s/%s to %s: ", table, path, new_path);
        return FALSE;
    }
    return TRUE;
}

static gboolean
was_renamed(LakeCatalog *catalog, const char *table, const char *path, const char *new_path,
    GCancellable *cancellable)
{
    g_autoptr(GError) failure = NULL;
    g_autoptr(LakeLedgerEntry) there =
        lake_ledger_find(catalog, table, new_path, cancellable, NULL);
    g_autoptr(LakeLedgerEntry) former =
        there ? lake_ledger_find(catalog, table, path, cancellable, &failure) : NULL;

    return there && g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_NOT_FOUND);
}

gboolean
lake_ledger_rename(LakeCatalog *catalog, const char *table, const char *path,
    const char *new_path, GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) failure = NULL;

    if (rename_once(catalog, table, path, new_path, cancellable, &failure))
        return TRUE;
    /* Asked again afterwards: the first one may come through while the second is waiting. */
    if (is_lost(catalog, failure, cancellable) &&
        (was_renamed(catalog, table, path, new_path, cancellable) ||
            rename_once(catalog, table, path, new_path, cancellable, NULL) ||
            was_renamed(catalog, table, path, new_path, cancellable)))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

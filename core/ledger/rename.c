/* SPDX-License-Identifier: Apache-2.0 */
#include "core/error.h"
#include "core/ledger.h"
#include "core/ledger/key.h"
#include "core/recent.h"

/* What is moved where. */
typedef struct {
    LakeCatalog *catalog;
    const char *table, *path, *new_path;
    const char *file_id; /* only the file that has this one; NULL: whatever is there */
    LakeTransaction *transaction;
    GCancellable *cancellable;
} Move;

static gboolean
run(Move *move, LakeStatement *statement, gint64 *ret_n_affected, GError **error)
{
    g_autoptr(LakeResult) result =
        lake_transaction_run(move->transaction, statement, move->cancellable, error);

    if (result && ret_n_affected)
        *ret_n_affected = lake_result_n_affected(result);
    return result != NULL;
}

/* Two statements on the ledger for a file and for what lies below a folder; parameters: the
 * key, the new folder and name, then the old and new path. */
static gboolean
move_entries(Move *move, GError **error)
{
    const char *ledger = lake_catalog_ledger(move->catalog);
    g_autofree char *folder = NULL;
    g_autofree char *name = NULL;
    gint64 n_moved = 0;

    lake_ledger_split(move->new_path, &folder, &name);
    g_autoptr(LakeStatement) entry = lake_ledger_key_statement(move->table, move->path,
        "UPDATE %s SET folder = $4, name = $5 WHERE table_name = $1 AND folder = $2 AND name = "
        "$3 AND ($6::text IS NULL OR file_id = $6)",
        ledger);
    lake_statement_add_text(entry, folder);
    lake_statement_add_text(entry, name);
    lake_statement_add_text(entry, move->file_id);
    entry->n_expected = 1;
    if (!run(move, entry, &n_moved, error))
        return FALSE;
    if (n_moved == 0) {
        lake_ledger_key_set_not_found(move->table, move->path, error);
        return FALSE;
    }

    g_autoptr(LakeStatement) below = lake_statement_new_printf(
        "UPDATE %s SET folder = $3 || substr(folder, length($2) + 1)"
        " WHERE table_name = $1 AND (folder = $2 OR starts_with(folder, $2 || '/'))",
        ledger);
    lake_statement_add_text(below, move->table);
    lake_statement_add_text(below, move->path);
    lake_statement_add_text(below, move->new_path);
    return run(move, below, NULL, error);
}

/* The column `filename` of the rows follows the ledger. */
static gboolean
move_filenames(Move *move, GError **error)
{
    g_autofree char *qualified = lake_catalog_qualify(move->catalog, move->table);
    g_autoptr(LakeStatement) statement = lake_statement_new_printf(
        "UPDATE %s t SET filename = l.path FROM %s l WHERE l.table_name = $1"
        " AND (l.path = $2 OR starts_with(l.path, $2 || '/')) AND t.file_id = l.file_id"
        " AND t.filename IS NOT NULL AND t.filename <> l.path",
        qualified, lake_catalog_ledger(move->catalog));

    lake_statement_add_text(statement, move->table);
    lake_statement_add_text(statement, move->new_path);
    return run(move, statement, NULL, error);
}

/* A file (with its rows) or an empty folder that new_path names makes room. */
static gboolean
clear_target(Move *move, gboolean has_rows, GError **error)
{
    g_autoptr(LakeStatement) lock =
        lake_ledger_key_lock(move->catalog, move->table, move->new_path);
    g_autoptr(LakeStatement) rows =
        lake_ledger_key_delete_rows(move->catalog, move->table, move->new_path);
    g_autoptr(LakeStatement) entry = lake_ledger_key_statement(move->table, move->new_path,
        "DELETE FROM %s WHERE table_name = $1 AND folder = $2 AND name = $3",
        lake_catalog_ledger(move->catalog));

    return run(move, lock, NULL, error) && (!has_rows || run(move, rows, NULL, error)) &&
           run(move, entry, NULL, error);
}

static gboolean
move_all(Move *move, const LakeTable *columns, GError **error)
{
    gboolean has_rows = columns && lake_table_column(columns, "file_id");
    gboolean has_filename = has_rows && lake_table_column(columns, "filename");

    return clear_target(move, has_rows, error) && move_entries(move, error) &&
           (!has_filename || move_filenames(move, error)) &&
           lake_transaction_commit(move->transaction, move->cancellable, error);
}

static gboolean
check_target(Move *move, GError **error)
{
    g_autoptr(GPtrArray) inside = NULL;

    if (!lake_ledger_check_path(move->new_path, error))
        return FALSE;
    inside = lake_ledger_list(
        move->catalog, move->table, move->new_path, NULL, 1, move->cancellable, error);
    if (!inside)
        return FALSE;
    if (inside->len == 0)
        return TRUE;
    lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_NOT_EMPTY,
        "ingest/%s/%s is not empty", move->table, move->new_path);
    return FALSE;
}

/* What was remembered of the whole folder lies elsewhere now: readers wait. Where the server
 * says that nothing was moved they do not; it may be others who changed one of the two. */
static void
forget(const Move *move, const GError *failure)
{
    LakeRecent *recent = lake_catalog_recent(move->catalog);

    if (!failure || !lake_transport_is_undone(failure)) {
        lake_recent_forget(recent, move->table);
    } else {
        lake_recent_forget_path(recent, move->table, move->path);
        lake_recent_forget_path(recent, move->table, move->new_path);
    }
}

static gboolean
rename_once(Move *move, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autoptr(LakeTable) columns =
        lake_catalog_find(move->catalog, move->table, move->cancellable, &failure);

    if (!columns && !g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return FALSE;
    }
    g_clear_error(&failure);
    if (!check_target(move, error))
        return FALSE;

    g_autoptr(LakeTransaction) transaction = lake_transport_begin(
        lake_catalog_transport(move->catalog), LAKE_TRANSPORT_BULK, move->cancellable, error);
    if (!transaction)
        return FALSE;
    move->transaction = transaction;
    gboolean is_good = move_all(move, columns, &failure);
    forget(move, failure);
    lake_ledger_key_changed(move->catalog, move->table, move->path, LAKE_CHANGE_ROWS);
    if (!is_good)
        g_propagate_prefixed_error(error, g_steal_pointer(&failure),
            "renaming ingest/%s/%s to %s: ", move->table, move->path, move->new_path);
    return is_good;
}

/* moved: what lay at the path; NULL: that is not known. */
static gboolean
was_renamed(const Move *move, const LakeLedgerEntry *moved)
{
    g_autoptr(GError) failure = NULL;
    g_autoptr(LakeLedgerEntry) there =
        lake_ledger_find(move->catalog, move->table, move->new_path, move->cancellable, NULL);

    if (!there)
        return FALSE;
    if (moved && moved->file_id)
        return g_strcmp0(there->file_id, moved->file_id) == 0;
    g_autoptr(LakeLedgerEntry) former =
        lake_ledger_find(move->catalog, move->table, move->path, move->cancellable, &failure);
    return !former && g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_NOT_FOUND);
}

gboolean
lake_ledger_rename(LakeCatalog *catalog, const char *table, const char *path,
    const char *new_path, GCancellable *cancellable, GError **error)
{
    Move move = {.catalog = catalog,
        .table = table,
        .path = path,
        .new_path = new_path,
        .cancellable = cancellable};
    g_autoptr(LakeLedgerEntry) moved = NULL;
    g_autoptr(GError) failure = NULL;

    /* Where answers get lost others may put something at either path before it is asked what
     * happened: then the file is known by its id. */
    if (lake_transport_defers(lake_catalog_transport(catalog))) {
        moved = lake_ledger_find(catalog, table, path, cancellable, error);
        if (!moved)
            return FALSE;
    }
    if (rename_once(&move, &failure))
        return TRUE;
    /* Asked again afterwards: the first one may come through while the second is waiting. */
    move.file_id = moved ? moved->file_id : NULL;
    if (lake_ledger_key_is_lost(catalog, table, path, failure, cancellable) &&
        (was_renamed(&move, moved) || rename_once(&move, NULL) || was_renamed(&move, moved)))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "core/error.h"
#include "core/ledger.h"
#include "core/ledger/key.h"
#include "core/recent.h"

/* Two statements on the ledger for a file and for what lies below a folder; parameters: the
 * key, the new folder and name, then the old and new path. */
static gboolean
move_entries(LakeTransaction *transaction, LakeCatalog *catalog, const char *table,
    const char *path, const char *new_path, GCancellable *cancellable, GError **error)
{
    g_autofree char *folder = NULL;
    g_autofree char *name = NULL;

    lake_ledger_split(new_path, &folder, &name);
    g_autoptr(LakeStatement) move = lake_ledger_key_statement(table, path,
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
        lake_ledger_key_set_not_found(table, path, error);
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
    g_autoptr(LakeStatement) lock = lake_ledger_key_lock(catalog, table, new_path);
    g_autoptr(LakeStatement) rows = lake_ledger_key_delete_rows(catalog, table, new_path);
    g_autoptr(LakeStatement) entry = lake_ledger_key_statement(table, new_path,
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
    lake_recent_forget(lake_catalog_recent(catalog), table);
    lake_ledger_key_changed(catalog, table, path, LAKE_CHANGE_ROWS);
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
    if (lake_ledger_key_is_lost(catalog, failure, cancellable) &&
        (was_renamed(catalog, table, path, new_path, cancellable) ||
            rename_once(catalog, table, path, new_path, cancellable, NULL) ||
            was_renamed(catalog, table, path, new_path, cancellable)))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

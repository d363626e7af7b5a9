/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ledger/key.h"

#include "core/error.h"
#include "core/recent.h"

LakeStatement *
lake_ledger_key_statement(const char *table, const char *path, const char *format, ...)
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

LakeStatement *
lake_ledger_key_lock(LakeCatalog *catalog, const char *table, const char *path)
{
    LakeStatement *statement = lake_ledger_key_statement(table, path,
        "SELECT FROM %s WHERE table_name = $1 AND folder = $2 AND name = $3 FOR UPDATE",
        lake_catalog_ledger(catalog));

    statement->is_lock = TRUE;
    return statement;
}

LakeStatement *
lake_ledger_key_delete_rows(LakeCatalog *catalog, const char *table, const char *path)
{
    g_autofree char *qualified = lake_catalog_qualify(catalog, table);
    LakeStatement *statement = lake_ledger_key_statement(table, path,
        "DELETE FROM %s WHERE file_id = (SELECT file_id FROM %s"
        " WHERE table_name = $1 AND folder = $2 AND name = $3)",
        qualified, lake_catalog_ledger(catalog));

    statement->scope = LAKE_SCOPE_ROWS;
    return statement;
}

/* The entry of the zone itself makes it one. */
void
lake_ledger_key_changed(LakeCatalog *catalog, const char *table, const char *path, guint kinds)
{
    lake_catalog_changed(
        catalog, table, LAKE_CHANGE_FILES | kinds | (*path ? 0 : LAKE_CHANGE_TABLE));
}

void
lake_ledger_key_set_not_found(const char *table, const char *path, GError **error)
{
    lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_NOT_FOUND,
        "nothing was ingested as ingest/%s/%s", table, path);
}

gboolean
lake_ledger_key_is_lost(LakeCatalog *catalog, const char *table, const char *path,
    const GError *failure, GCancellable *cancellable)
{
    LakeTransport *transport = lake_catalog_transport(catalog);

    if (!lake_transport_is_unclear(transport, failure) ||
        g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_CANCELLED))
        return FALSE;
    /* What is remembered is older than what is asked for. */
    lake_recent_forget_path(lake_catalog_recent(catalog), table, path);
    return lake_transport_settle(transport, cancellable, NULL);
}

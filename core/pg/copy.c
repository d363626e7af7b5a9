/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pg/copy.h"

/* Signature, no flags, no header extension: "Binary Format" under COPY in the PostgreSQL
 * manual. */
static const char copy_header[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0";
static const char copy_trailer[] = "\377\377";

typedef struct {
    LakePgConnection *connection;
    GCancellable *cancellable;
} Sender;

static gboolean
fail(LakePgConnection *connection, GError **error)
{
    connection->is_spent = TRUE;
    if (error && !*error)
        lake_pg_result_connection_error(connection->libpq, error);
    return FALSE;
}

static gboolean
send_piece(const void *data, gsize n_bytes, gpointer user_data, GError **error)
{
    Sender *sender = user_data;
    LakePgConnection *connection = sender->connection;

    if (g_cancellable_is_cancelled(sender->cancellable)) {
        /* Closing the connection is what stops the server: it is reading from us. */
        connection->is_spent = TRUE;
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_CANCELLED, "interrupted");
        return FALSE;
    }
    lake_pg_connection_start_clock(connection);
    if (PQputCopyData(connection->libpq, data, (int)n_bytes) < 0)
        return fail(connection, error);
    /* Flushed piece by piece, or libpq would buffer the whole file. */
    if (!lake_pg_connection_flush(connection, sender->cancellable, error))
        return fail(connection, error);
    return TRUE;
}

gboolean
lake_pg_copy_begin(LakePgConnection *connection, const char *table, const LakeColumn *columns,
    guint n_columns, GCancellable *cancellable, GError **error)
{
    g_autoptr(GString) sql = g_string_new("COPY ");
    g_autoptr(PGresult) result = NULL;
    Sender sender = {connection, cancellable};

    g_string_append_printf(sql, "%s (", table);
    for (guint i = 0; i < n_columns; i++) {
        g_autofree char *name = lake_statement_quote(columns[i].name);
        g_string_append_printf(sql, "%s%s", i > 0 ? ", " : "", name);
    }
    g_string_append(sql, ") FROM STDIN (FORMAT binary)");

    lake_pg_connection_start_clock(connection);
    if (!PQsendQuery(connection->libpq, sql->str))
        return fail(connection, error);
    result = lake_pg_connection_finish(connection, cancellable, error);
    if (!result)
        return FALSE;
    return send_piece(copy_header, sizeof copy_header - 1, &sender, error);
}

gboolean
lake_pg_copy_rows(LakePgConnection *connection, const LakeRows *rows, GCancellable *cancellable,
    GError **error)
{
    Sender sender = {connection, cancellable};

    if (lake_rows_write_copy(rows, send_piece, &sender, error))
        return TRUE;
    connection->is_spent = TRUE;
    return FALSE;
}

gboolean
lake_pg_copy_end(LakePgConnection *connection, GCancellable *cancellable, GError **error)
{
    g_autoptr(PGresult) result = NULL;
    Sender sender = {connection, cancellable};

    if (!send_piece(copy_trailer, sizeof copy_trailer - 1, &sender, error))
        return FALSE;
    if (PQputCopyEnd(connection->libpq, NULL) < 0)
        return fail(connection, error);
    result = lake_pg_connection_finish(connection, cancellable, error);
    if (!result) {
        connection->is_spent = TRUE;
        return FALSE;
    }
    return TRUE;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pg/run.h"

#include <string.h>

/* Statements kept prepared on one connection; more than we have kinds of, times tables in use.
 */
#define PREPARED_MAX 256

/* The parameters in the form libpq wants them. */
typedef struct {
    int n;
    Oid *types;
    const char **values;
    int *lengths;
    int *formats;
    GPtrArray *encoded; /* of GByteArray: the arrays' bytes */
} Parameters;

static void
parameters_clear(Parameters *parameters)
{
    g_free(parameters->types);
    g_free(parameters->values);
    g_free(parameters->lengths);
    g_free(parameters->formats);
    g_clear_pointer(&parameters->encoded, g_ptr_array_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Parameters, parameters_clear)

static void
append_int32(GByteArray *into, gint32 value)
{
    guint32 network = GUINT32_TO_BE((guint32)value);

    g_byte_array_append(into, (const guint8 *)&network, sizeof network);
}

/* array_recv() in PostgreSQL's arrayfuncs.c reads this: dimensions, has-nulls, element type,
 * then length and lower bound per dimension, then the elements. */
static GByteArray *
encode_array(const LakeRows *rows, guint column)
{
    const GByteArray *elements = lake_rows_elements(rows, column);
    const LakeTypeInfo *type = lake_type_info(lake_rows_column(rows, column)->type);
    GByteArray *array = g_byte_array_sized_new(elements->len + 20);
    guint n_rows = lake_rows_count(rows);

    append_int32(array, n_rows > 0 ? 1 : 0);
    append_int32(array, 1);
    append_int32(array, (gint32)type->base_oid);
    if (n_rows > 0) {
        append_int32(array, (gint32)n_rows);
        append_int32(array, 1);
        g_byte_array_append(array, elements->data, elements->len);
    }
    return array;
}

/* Of the only row; lent, not copied: it may be large. */
static void
encode_value(Parameters *to, int i, const LakeRows *rows, guint column)
{
    const GByteArray *element = lake_rows_elements(rows, column);
    guint32 length_field;

    memcpy(&length_field, element->data, sizeof length_field);
    gint32 length = (gint32)g_ntohl(length_field);

    to->values[i] = length < 0 ? NULL : (const char *)element->data + sizeof length_field;
    to->lengths[i] = MAX(length, 0);
    to->formats[i] = 1;
    to->types[i] = lake_type_info(lake_rows_column(rows, column)->type)->base_oid;
}

static void
encode_parameter(Parameters *to, int i, const LakeParameter *from)
{
    switch (from->kind) {
    case LAKE_PARAMETER_TEXT:
        to->values[i] = from->text;
        return;
    case LAKE_PARAMETER_BYTES: {
        gsize n_bytes;
        const void *bytes = g_bytes_get_data(from->bytes, &n_bytes);

        /* libpq takes a NULL pointer for SQL NULL, and so does GBytes for nothing. */
        to->values[i] = bytes ? bytes : "";
        to->lengths[i] = (int)n_bytes;
        to->formats[i] = 1;
        to->types[i] = lake_type_info(LAKE_TYPE_BINARY)->base_oid;
        return;
    }
    case LAKE_PARAMETER_ARRAY: {
        GByteArray *array = encode_array(from->rows, from->column);

        g_ptr_array_add(to->encoded, array);
        to->values[i] = (const char *)array->data;
        to->lengths[i] = (int)array->len;
        to->formats[i] = 1;
        to->types[i] =
            lake_type_info(lake_rows_column(from->rows, from->column)->type)->array_oid;
        return;
    }
    case LAKE_PARAMETER_VALUE:
        encode_value(to, i, from->rows, from->column);
        return;
    }
    g_assert_not_reached();
}

static void
parameters_init(Parameters *parameters, const LakeStatement *statement)
{
    guint n = statement->parameters->len;

    *parameters = (Parameters){
        .n = (int)n,
        .types = g_new0(Oid, n),
        .values = g_new0(const char *, n),
        .lengths = g_new0(int, n),
        .formats = g_new0(int, n),
        .encoded = g_ptr_array_new_with_free_func((GDestroyNotify)g_byte_array_unref),
    };
    for (guint i = 0; i < n; i++)
        encode_parameter(
            parameters, (int)i, &g_array_index(statement->parameters, LakeParameter, i));
}

static gboolean
fail_to_send(LakePgConnection *connection, GError **error)
{
    connection->is_spent = TRUE;
    lake_pg_result_connection_error(connection->libpq, error);
    return FALSE;
}

/* The name under which the statement is prepared on this connection; prepares it when it is
 * not. */
static const char *
prepare(LakePgConnection *connection, const LakeStatement *statement,
    const Parameters *parameters, GCancellable *cancellable, GError **error)
{
    const char *known = g_hash_table_lookup(connection->prepared, statement->sql);
    g_autoptr(PGresult) result = NULL;

    if (known)
        return known;
    if (g_hash_table_size(connection->prepared) >= PREPARED_MAX) {
        if (!lake_pg_connection_command(connection, "DEALLOCATE ALL", cancellable, error))
            return NULL;
        g_hash_table_remove_all(connection->prepared);
    }

    g_autofree char *name = g_strdup_printf("lake_%u", g_hash_table_size(connection->prepared));
    if (!PQsendPrepare(
            connection->libpq, name, statement->sql, parameters->n, parameters->types)) {
        fail_to_send(connection, error);
        return NULL;
    }
    result = lake_pg_connection_finish(connection, cancellable, error);
    if (!result)
        return NULL;
    g_hash_table_insert(connection->prepared, g_strdup(statement->sql), g_strdup(name));
    return g_hash_table_lookup(connection->prepared, statement->sql);
}

static gboolean
send_statement(LakePgConnection *connection, const LakeStatement *statement,
    GCancellable *cancellable, GError **error)
{
    g_auto(Parameters) parameters = {0};
    int sent;

    lake_pg_connection_start_clock(connection);
    parameters_init(&parameters, statement);
    if (statement->is_prepared && PQpipelineStatus(connection->libpq) == PQ_PIPELINE_OFF) {
        const char *name = prepare(connection, statement, &parameters, cancellable, error);
        if (!name)
            return FALSE;
        sent = PQsendQueryPrepared(connection->libpq, name, parameters.n, parameters.values,
            parameters.lengths, parameters.formats, statement->is_binary);
    } else {
        sent = PQsendQueryParams(connection->libpq, statement->sql, parameters.n,
            parameters.types, parameters.values, parameters.lengths, parameters.formats,
            statement->is_binary);
    }
    return sent ? TRUE : fail_to_send(connection, error);
}

/* A table that changed under a prepared statement (0A000), a pooler between us and the server
 * (26000), or a name that a query of the user's took by PREPARE (42P05): the statement itself
 * is fine. */
static gboolean
is_stale_plan(const GError *error)
{
    const LakeErrorFacts *facts = lake_error_facts(error);

    return facts && (g_strcmp0(facts->sqlstate, "0A000") == 0 ||
                        g_strcmp0(facts->sqlstate, "26000") == 0 ||
                        g_strcmp0(facts->sqlstate, "42P05") == 0);
}

/* Whether it failed for such a reason, and is worth another try; then none is prepared. */
static gboolean
forget_stale_plan(LakePgConnection *connection, const LakeStatement *statement,
    GError **failure, GCancellable *cancellable)
{
    if (!statement->is_prepared || !is_stale_plan(*failure) ||
        PQtransactionStatus(connection->libpq) != PQTRANS_IDLE)
        return FALSE;
    g_clear_error(failure);
    g_hash_table_remove_all(connection->prepared);
    return lake_pg_connection_command(connection, "DEALLOCATE ALL", cancellable, failure);
}

LakeResult *
lake_pg_run(LakePgConnection *connection, LakeStatement *statement, GCancellable *cancellable,
    GError **error)
{
    g_autoptr(GError) failure = NULL;
    PGresult *result = NULL;

    if (send_statement(connection, statement, cancellable, &failure))
        result = lake_pg_connection_finish(connection, cancellable, &failure);
    if (!result && forget_stale_plan(connection, statement, &failure, cancellable) &&
        send_statement(connection, statement, cancellable, &failure))
        result = lake_pg_connection_finish(connection, cancellable, &failure);
    if (!result) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return NULL;
    }
    return lake_pg_result_new(result);
}

/* Up to the end of the command, also after an error of the server's. */
static gboolean
hand_each(LakePgConnection *connection, LakeTransportTakeFunc take, gpointer user_data,
    gboolean *ret_has_taken, GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) failure = NULL;

    for (;;) {
        g_autoptr(GError) lost = NULL;
        g_autoptr(PGresult) result = lake_pg_connection_next(connection, cancellable, &lost);

        if (!result) {
            if (!failure && !lost)
                return TRUE;
            /* What the server said before the line went is the better reason. */
            g_propagate_error(
                error, failure ? g_steal_pointer(&failure) : g_steal_pointer(&lost));
            return FALSE;
        }
        if (PQresultStatus(result) == PGRES_FATAL_ERROR && !failure)
            lake_pg_connection_error(connection, result, &failure);
        if (PQresultStatus(result) != PGRES_SINGLE_TUPLE)
            continue;
        *ret_has_taken = TRUE;
        if (!take(lake_pg_result_new(g_steal_pointer(&result)), user_data, error)) {
            connection->is_spent = TRUE;
            return FALSE;
        }
    }
}

static gboolean
send_each(LakePgConnection *connection, LakeStatement *statement, GCancellable *cancellable,
    GError **error)
{
    return send_statement(connection, statement, cancellable, error) &&
           (PQsetSingleRowMode(connection->libpq) || fail_to_send(connection, error));
}

gboolean
lake_pg_run_each(LakePgConnection *connection, LakeStatement *statement,
    LakeTransportTakeFunc take, gpointer user_data, gboolean *ret_has_taken,
    GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) failure = NULL;
    gboolean is_good =
        send_each(connection, statement, cancellable, &failure) &&
        hand_each(connection, take, user_data, ret_has_taken, cancellable, &failure);

    if (!is_good && !*ret_has_taken &&
        forget_stale_plan(connection, statement, &failure, cancellable))
        is_good = send_each(connection, statement, cancellable, &failure) &&
                  hand_each(connection, take, user_data, ret_has_taken, cancellable, &failure);
    if (!is_good)
        g_propagate_error(error, g_steal_pointer(&failure));
    return is_good;
}

/* Reads one pipelined statement's results; NULL results separate them. */
static gboolean
read_pipelined(LakePgConnection *connection, PGresult **last, GError **failure,
    GCancellable *cancellable, GError **error)
{
    for (;;) {
        g_autoptr(GError) lost = NULL;
        PGresult *result = lake_pg_connection_next(connection, cancellable, &lost);

        if (lost) {
            g_propagate_error(error, g_steal_pointer(&lost));
            return FALSE;
        }
        if (!result)
            return TRUE;
        if (PQresultStatus(result) == PGRES_FATAL_ERROR && !*failure)
            lake_pg_connection_error(connection, result, failure);
        g_clear_pointer(last, PQclear);
        *last = result;
        if (PQresultStatus(result) == PGRES_PIPELINE_SYNC)
            return TRUE;
    }
}

static gboolean
send_pipeline(LakePgConnection *connection, LakeStatement *const *statements,
    guint n_statements, GCancellable *cancellable, GError **error)
{
    if (!PQenterPipelineMode(connection->libpq))
        return fail_to_send(connection, error);
    for (guint i = 0; i < n_statements; i++)
        if (!send_statement(connection, statements[i], cancellable, error))
            return FALSE;
    return PQpipelineSync(connection->libpq) ? TRUE : fail_to_send(connection, error);
}

LakeResult *
lake_pg_run_all(LakePgConnection *connection, LakeStatement *const *statements,
    guint n_statements, GCancellable *cancellable, GError **error)
{
    g_autoptr(PGresult) last = NULL;
    g_autoptr(PGresult) sync = NULL;
    g_autoptr(GError) failure = NULL;

    if (!send_pipeline(connection, statements, n_statements, cancellable, error)) {
        connection->is_spent = TRUE;
        return NULL;
    }
    for (guint i = 0; i < n_statements; i++)
        if (!read_pipelined(connection, &last, &failure, cancellable, error)) {
            connection->is_spent = TRUE;
            return NULL;
        }
    if (!read_pipelined(connection, &sync, &failure, cancellable, error) ||
        !PQexitPipelineMode(connection->libpq)) {
        connection->is_spent = TRUE;
        if (error && !*error)
            fail_to_send(connection, error);
        return NULL;
    }
    if (failure) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return NULL;
    }
    return lake_pg_result_new(g_steal_pointer(&last));
}

/* Hands one result of single-row mode over. */
static gboolean
hand_over(LakePgConnection *connection, PGresult *result, gboolean *has_begun,
    const LakeStreamSink *sink, gpointer user_data, GError **error)
{
    const LakePgResult wrapped = lake_pg_result_lend(result);
    ExecStatusType status = PQresultStatus(result);

    if (status == PGRES_FATAL_ERROR) {
        lake_pg_connection_error(connection, result, error);
        return FALSE;
    }
    if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) {
        connection->is_spent = TRUE;
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_UNSUPPORTED,
            "COPY to or from the client cannot be used in a query; copy files into ingest/ "
            "instead");
        return FALSE;
    }
    if (!*has_begun) {
        *has_begun = TRUE;
        if (!sink->begin(&wrapped.base, user_data, error))
            return FALSE;
    }
    return status != PGRES_SINGLE_TUPLE || sink->row(&wrapped.base, user_data, error);
}

gboolean
lake_pg_run_rows(LakePgConnection *connection, LakeStatement *statement,
    const LakeStreamSink *sink, gpointer user_data, gint64 *ret_n_affected,
    GCancellable *cancellable, GError **error)
{
    gboolean has_begun = FALSE;
    gint64 n_affected = 0;

    if (!send_statement(connection, statement, cancellable, error))
        return FALSE;
    if (!PQsetSingleRowMode(connection->libpq))
        return fail_to_send(connection, error);

    for (;;) {
        g_autoptr(GError) lost = NULL;
        g_autoptr(PGresult) result = lake_pg_connection_next(connection, cancellable, &lost);

        if (lost) {
            g_propagate_error(error, g_steal_pointer(&lost));
            return FALSE;
        }
        if (!result)
            break;
        if (PQresultStatus(result) == PGRES_COMMAND_OK ||
            PQresultStatus(result) == PGRES_TUPLES_OK)
            n_affected = g_ascii_strtoll(PQcmdTuples(result), NULL, 10);
        if (!hand_over(connection, result, &has_begun, sink, user_data, error)) {
            /* Rows may still be under way, and reading them only to drop them could take
             * minutes; after an error of the server's nothing comes but the end of the command.
             */
            if (PQresultStatus(result) != PGRES_FATAL_ERROR)
                connection->is_spent = TRUE;
            else
                PQclear(lake_pg_connection_next(connection, cancellable, NULL));
            return FALSE;
        }
    }
    if (ret_n_affected)
        *ret_n_affected = n_affected;
    return TRUE;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pg.h"
#include "core/pg/copy.h"
#include "core/pg/listen.h"
#include "core/pg/pool.h"
#include "core/pg/run.h"

typedef struct {
    LakeTransport base;
    LakePgPool *pool;
    gboolean is_read_only; /* nothing may be changed, whatever a statement does */
} PgTransport;

typedef struct {
    LakeTransaction base;
    LakePgPool *pool;
    LakeTransportUse use;
    LakePgConnection *connection;
} PgTransaction;

static LakePgPool *
pool_of(LakeTransport *transport)
{
    return ((PgTransport *)transport)->pool;
}

static gboolean
is_read_only(LakeTransport *transport)
{
    return ((PgTransport *)transport)->is_read_only;
}

static LakePgConnection *
connection_of(LakeTransaction *transaction)
{
    return ((PgTransaction *)transaction)->connection;
}

static void
transport_free(LakeTransport *transport)
{
    lake_pg_pool_free(pool_of(transport));
    g_free(transport);
}

/* What cut one line has often cut all of the pool's, which shows only when they are used; so a
 * repeatable statement has this many tries, as long as they fail at once. */
#define TRIES_MAX 4
#define TRY_US (G_TIME_SPAN_SECOND / 2)

static gboolean
is_worth_a_try(
    const LakeStatement *statement, int n_tries, gint64 started_us, const GError *failure)
{
    return statement->is_repeatable && n_tries < TRIES_MAX &&
           g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_OFFLINE) &&
           g_get_monotonic_time() - started_us <= TRY_US;
}

/* A count reads views, which may call anything, and a READ ONLY transaction of servers before
 * 16 lets large objects be made: so it is undone as well. Prepared statements of the session
 * stay.
 */
static gboolean
begin_undone(LakePgConnection *connection, GCancellable *cancellable, GError **error)
{
    return lake_pg_connection_command(connection, "BEGIN READ ONLY", cancellable, error);
}

static void
end_undone(LakePgConnection *connection)
{
    if (!connection->is_spent)
        (void)lake_pg_connection_command(
            connection, "ROLLBACK; SELECT pg_advisory_unlock_all()", NULL, NULL);
}

static LakeResult *
run_undone(LakePgConnection *connection, LakeStatement *statement, GCancellable *cancellable,
    GError **error)
{
    if (!begin_undone(connection, cancellable, error))
        return NULL;

    LakeResult *result = lake_pg_run(connection, statement, cancellable, error);
    end_undone(connection);
    return result;
}

static LakeResult *
transport_run(LakeTransport *transport, LakeTransportUse use, LakeStatement *statement,
    GCancellable *cancellable, GError **error)
{
    LakePgPool *pool = pool_of(transport);
    gint64 started_us = g_get_monotonic_time();
    gboolean is_undone = is_read_only(transport) && use == LAKE_TRANSPORT_BULK;

    for (int n_tries = 1;; n_tries++) {
        g_autoptr(GError) failure = NULL;
        LakePgConnection *connection = lake_pg_pool_borrow(pool, use, cancellable, error);
        if (!connection)
            return NULL;

        LakeResult *result = (is_undone ? run_undone : lake_pg_run)(
            connection, statement, cancellable, &failure);
        lake_pg_pool_give_back(pool, use, connection);
        if (result)
            return result;
        if (!is_worth_a_try(statement, n_tries, started_us, failure)) {
            g_propagate_error(error, g_steal_pointer(&failure));
            return NULL;
        }
    }
}

static gboolean
run_each_undone(LakePgConnection *connection, LakeStatement *statement,
    LakeTransportTakeFunc take, gpointer user_data, gboolean *ret_has_taken,
    GCancellable *cancellable, GError **error)
{
    if (!begin_undone(connection, cancellable, error))
        return FALSE;

    gboolean is_good = lake_pg_run_each(
        connection, statement, take, user_data, ret_has_taken, cancellable, error);
    end_undone(connection);
    return is_good;
}

static gboolean
transport_run_rows(LakeTransport *transport, LakeTransportUse use, LakeStatement *statement,
    LakeTransportTakeFunc take, gpointer user_data, GCancellable *cancellable, GError **error)
{
    LakePgPool *pool = pool_of(transport);
    gint64 started_us = g_get_monotonic_time();
    gboolean is_undone = is_read_only(transport) && use == LAKE_TRANSPORT_BULK;
    gboolean has_taken = FALSE;

    for (int n_tries = 1;; n_tries++) {
        g_autoptr(GError) failure = NULL;
        LakePgConnection *connection = lake_pg_pool_borrow(pool, use, cancellable, error);
        if (!connection)
            return FALSE;

        gboolean is_good = (is_undone ? run_each_undone : lake_pg_run_each)(
            connection, statement, take, user_data, &has_taken, cancellable, &failure);
        lake_pg_pool_give_back(pool, use, connection);
        if (is_good)
            return TRUE;
        if (has_taken || !is_worth_a_try(statement, n_tries, started_us, failure)) {
            g_propagate_error(error, g_steal_pointer(&failure));
            return FALSE;
        }
    }
}

static LakeResult *
transport_run_all(LakeTransport *transport, LakeTransportUse use,
    LakeStatement *const *statements, guint n_statements, GCancellable *cancellable,
    GError **error)
{
    LakePgPool *pool = pool_of(transport);
    LakePgConnection *connection = lake_pg_pool_borrow(pool, use, cancellable, error);
    if (!connection)
        return NULL;

    LakeResult *result =
        lake_pg_run_all(connection, statements, n_statements, cancellable, error);
    lake_pg_pool_give_back(pool, use, connection);
    return result;
}

/* VACUUM and the like cannot run in a transaction block (25001), a procedure that commits not
 * in ours (2D000). */
static gboolean
refuses_transaction(const GError *failure)
{
    const LakeErrorFacts *facts = failure ? lake_error_facts(failure) : NULL;

    return facts && (g_strcmp0(facts->sqlstate, "25001") == 0 ||
                        g_strcmp0(facts->sqlstate, "2D000") == 0);
}

/* In a READ ONLY transaction: rolled back at the end, so that even a SET of the user's is
 * undone. An advisory lock of the session's is not, and would stay with whoever borrows next.
 */
static gboolean
stream_reading(LakePgConnection *connection, LakeStatement *statement,
    const LakeStreamOptions *options, const LakeStreamSink *sink, gpointer user_data,
    gint64 *ret_n_affected, GCancellable *cancellable, GError **error)
{
    g_autofree char *begin =
        g_strdup_printf("BEGIN READ ONLY; SET LOCAL statement_timeout = %" G_GINT64_FORMAT,
            options->timeout_ms);
    g_autoptr(GError) failure = NULL;

    if (!lake_pg_connection_command(connection, begin, cancellable, error))
        return FALSE;
    gboolean is_good = lake_pg_run_rows(
        connection, statement, sink, user_data, ret_n_affected, cancellable, &failure);
    if (!connection->is_spent)
        (void)lake_pg_connection_command(
            connection, "ROLLBACK; SELECT pg_advisory_unlock_all()", NULL, NULL);
    if (is_good)
        return TRUE;

    /* Such a statement changes data, which is what the caller wants to know. */
    if (refuses_transaction(failure))
        failure->code = LAKE_ERROR_READ_ONLY;
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

/* In a transaction, so that a result that cannot be kept (too big, no room) undoes the change.
 * On a connection that is closed afterwards: whatever else the statement did to the session
 * (SET, LISTEN, temporary tables, locks) goes with it. */
static gboolean
stream_changing(LakePgConnection *connection, LakeStatement *statement,
    const LakeStreamOptions *options, const LakeStreamSink *sink, gpointer user_data,
    gint64 *ret_n_affected, GCancellable *cancellable, GError **error)
{
    g_autofree char *set_up = g_strdup_printf(
        "SET synchronous_commit = on; SET statement_timeout = %" G_GINT64_FORMAT,
        options->timeout_ms);
    g_autoptr(GError) failure = NULL;
    gboolean is_good;

    if (!lake_pg_connection_command(connection, set_up, cancellable, error) ||
        !lake_pg_connection_command(connection, "BEGIN", cancellable, error))
        return FALSE;
    is_good = lake_pg_run_rows(connection, statement, sink, user_data, ret_n_affected,
                  cancellable, &failure) &&
              lake_pg_connection_command(connection, "COMMIT", cancellable, &failure);
    if (!is_good && refuses_transaction(failure) && !connection->is_spent) {
        g_clear_error(&failure);
        is_good = lake_pg_connection_command(connection, "ROLLBACK", cancellable, &failure) &&
                  lake_pg_run_rows(connection, statement, sink, user_data, ret_n_affected,
                      cancellable, &failure);
    }
    connection->is_spent = TRUE;
    if (!is_good)
        g_propagate_error(error, g_steal_pointer(&failure));
    return is_good;
}

static gboolean
transport_stream(LakeTransport *transport, LakeStatement *statement,
    const LakeStreamOptions *options, const LakeStreamSink *sink, gpointer user_data,
    gint64 *ret_n_affected, GCancellable *cancellable, GError **error)
{
    LakePgPool *pool = pool_of(transport);
    LakePgConnection *connection =
        lake_pg_pool_borrow(pool, LAKE_TRANSPORT_BULK, cancellable, error);
    if (!connection)
        return FALSE;

    gboolean is_reading = options->is_read_only || is_read_only(transport);
    gboolean is_good = (is_reading ? stream_reading : stream_changing)(
        connection, statement, options, sink, user_data, ret_n_affected, cancellable, error);
    lake_pg_pool_give_back(pool, LAKE_TRANSPORT_BULK, connection);
    return is_good;
}

static LakeResult *
transaction_run(LakeTransaction *transaction, LakeStatement *statement,
    GCancellable *cancellable, GError **error)
{
    return lake_pg_run(connection_of(transaction), statement, cancellable, error);
}

static gboolean
transaction_copy_begin(LakeTransaction *transaction, const char *table,
    const LakeColumn *columns, guint n_columns, GCancellable *cancellable, GError **error)
{
    return lake_pg_copy_begin(
        connection_of(transaction), table, columns, n_columns, cancellable, error);
}

static gboolean
transaction_copy_rows(LakeTransaction *transaction, const LakeRows *rows,
    GCancellable *cancellable, GError **error)
{
    return lake_pg_copy_rows(connection_of(transaction), rows, cancellable, error);
}

static gboolean
transaction_copy_end(LakeTransaction *transaction, GCancellable *cancellable, GError **error)
{
    return lake_pg_copy_end(connection_of(transaction), cancellable, error);
}

static gboolean
transaction_commit(LakeTransaction *transaction, GCancellable *cancellable, GError **error)
{
    return lake_pg_connection_command(connection_of(transaction), "COMMIT", cancellable, error);
}

static void
transaction_free(LakeTransaction *transaction)
{
    PgTransaction *own = (PgTransaction *)transaction;

    /* Anything but idle means that it was not committed; the server rolls back as the line
     * closes, which is quicker than asking when a COPY is under way. */
    if (!own->connection->is_spent && !own->connection->is_cancelled &&
        PQtransactionStatus(own->connection->libpq) != PQTRANS_IDLE)
        (void)lake_pg_connection_command(own->connection, "ROLLBACK", NULL, NULL);
    lake_pg_pool_give_back(own->pool, own->use, own->connection);
    g_free(own);
}

static const LakeTransactionClass transaction_class = {
    .run = transaction_run,
    .copy_begin = transaction_copy_begin,
    .copy_rows = transaction_copy_rows,
    .copy_end = transaction_copy_end,
    .commit = transaction_commit,
    .free = transaction_free,
};

static LakeTransaction *
transport_begin(
    LakeTransport *transport, LakeTransportUse use, GCancellable *cancellable, GError **error)
{
    LakePgPool *pool = pool_of(transport);
    LakePgConnection *connection = lake_pg_pool_borrow(pool, use, cancellable, error);
    if (!connection)
        return NULL;
    const char *begin = is_read_only(transport) ? "BEGIN READ ONLY" : "BEGIN";
    if (!lake_pg_connection_command(connection, begin, cancellable, error)) {
        lake_pg_pool_give_back(pool, use, connection);
        return NULL;
    }

    PgTransaction *transaction = g_new0(PgTransaction, 1);
    transaction->base.class = &transaction_class;
    transaction->pool = pool;
    transaction->use = use;
    transaction->connection = connection;
    return &transaction->base;
}

static void
transport_status(LakeTransport *transport, LakeTransportStatus *ret_status)
{
    lake_pg_pool_status(pool_of(transport), ret_status);
}

static void
transport_listen(LakeTransport *transport, const char *channel, const LakeListenSink *sink,
    gpointer user_data, GCancellable *cancellable, GError **error)
{
    lake_pg_listen(
        lake_pg_pool_options(pool_of(transport)), channel, sink, user_data, cancellable, error);
}

/* More do not make a server of some cores faster. */
#define FILES_AT_ONCE 4

static const LakeTransportClass pg_transport_class = {
    .free = transport_free,
    .run = transport_run,
    .run_rows = transport_run_rows,
    .run_all = transport_run_all,
    .stream = transport_stream,
    .begin = transport_begin,
    .status = transport_status,
    .listen = transport_listen,
    .n_files_at_once = FILES_AT_ONCE,
};

LakeTransport *
lake_pg_transport_new(const LakePgOptions *options)
{
    PgTransport *transport = g_new0(PgTransport, 1);

    transport->base.class = &pg_transport_class;
    transport->base.name = options->is_embedded ? "embedded" : "postgresql";
    transport->pool = lake_pg_pool_new(options);
    transport->is_read_only = options->read_only;
    return &transport->base;
}

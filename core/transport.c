/* SPDX-License-Identifier: Apache-2.0 */
#include "core/transport.h"

#include "core/error.h"

void
lake_transport_free(LakeTransport *transport)
{
    if (transport)
        transport->class->free(transport);
}

LakeResult *
lake_transport_run(LakeTransport *transport, LakeTransportUse use, LakeStatement *statement,
    GCancellable *cancellable, GError **error)
{
    return transport->class->run(transport, use, statement, cancellable, error);
}

gboolean
lake_transport_run_rows(LakeTransport *transport, LakeTransportUse use,
    LakeStatement *statement, LakeTransportTakeFunc take, gpointer user_data,
    GCancellable *cancellable, GError **error)
{
    return transport->class->run_rows(
        transport, use, statement, take, user_data, cancellable, error);
}

LakeResult *
lake_transport_run_all(LakeTransport *transport, LakeTransportUse use,
    LakeStatement *const *statements, guint n_statements, GCancellable *cancellable,
    GError **error)
{
    return transport->class->run_all(
        transport, use, statements, n_statements, cancellable, error);
}

gboolean
lake_transport_stream(LakeTransport *transport, LakeStatement *statement,
    const LakeStreamOptions *options, const LakeStreamSink *sink, gpointer user_data,
    gint64 *ret_n_affected, GCancellable *cancellable, GError **error)
{
    return transport->class->stream(
        transport, statement, options, sink, user_data, ret_n_affected, cancellable, error);
}

LakeTransaction *
lake_transport_begin(
    LakeTransport *transport, LakeTransportUse use, GCancellable *cancellable, GError **error)
{
    return transport->class->begin(transport, use, cancellable, error);
}

LakeResult *
lake_transaction_run(LakeTransaction *transaction, LakeStatement *statement,
    GCancellable *cancellable, GError **error)
{
    return transaction->class->run(transaction, statement, cancellable, error);
}

gboolean
lake_transaction_copy_begin(LakeTransaction *transaction, const char *table,
    const LakeColumn *columns, guint n_columns, GCancellable *cancellable, GError **error)
{
    return transaction->class->copy_begin(
        transaction, table, columns, n_columns, cancellable, error);
}

gboolean
lake_transaction_copy_rows(LakeTransaction *transaction, const LakeRows *rows,
    GCancellable *cancellable, GError **error)
{
    return transaction->class->copy_rows(transaction, rows, cancellable, error);
}

gboolean
lake_transaction_copy_end(
    LakeTransaction *transaction, GCancellable *cancellable, GError **error)
{
    return transaction->class->copy_end(transaction, cancellable, error);
}

gboolean
lake_transaction_commit(LakeTransaction *transaction, GCancellable *cancellable, GError **error)
{
    return transaction->class->commit(transaction, cancellable, error);
}

void
lake_transaction_free(LakeTransaction *transaction)
{
    if (transaction)
        transaction->class->free(transaction);
}

void
lake_transport_listen(LakeTransport *transport, const char *channel, const LakeListenSink *sink,
    gpointer user_data, GCancellable *cancellable, GError **error)
{
    if (transport->class->listen)
        transport->class->listen(transport, channel, sink, user_data, cancellable, error);
    else
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_UNSUPPORTED,
            "this way to the server has no announcements");
}

void
lake_transport_status(LakeTransport *transport, LakeTransportStatus *ret_status)
{
    transport->class->status(transport, ret_status);
}

const char *
lake_transport_name(LakeTransport *transport)
{
    return transport->name;
}

gboolean
lake_transport_defers(LakeTransport *transport)
{
    return transport->class->defers;
}

gboolean
lake_transport_is_undone(const GError *failure)
{
    const LakeErrorFacts *facts = lake_error_facts(failure);

    return facts && facts->message && !g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_OFFLINE);
}

/* A connection of PostgreSQL's tells more: where it is whole, what was cancelled is undone. */
gboolean
lake_transport_is_unclear(LakeTransport *transport, const GError *failure)
{
    if (g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_OFFLINE))
        return TRUE;
    return transport->class->defers && !lake_transport_is_undone(failure) &&
           (g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_TIMED_OUT) ||
               g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_CANCELLED) ||
               g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_FAILED));
}

guint
lake_transport_n_files_at_once(LakeTransport *transport)
{
    return transport->class->n_files_at_once;
}

gboolean
lake_transport_settle(LakeTransport *transport, GCancellable *cancellable, GError **error)
{
    return !transport->class->settle || transport->class->settle(transport, cancellable, error);
}

gboolean
lake_transport_can_listen(LakeTransport *transport)
{
    return transport->class->listen != NULL;
}

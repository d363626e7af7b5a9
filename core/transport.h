/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/transport.h: one face over the ways to a server: PostgreSQL directly
 * (core/pg/transport.c), and the service that takes SQL over HTTP (core/api/transport.c).
 *
 * Every call borrows a connection until it returns and may block: never the FUSE loop. Any
 * thread. Each can fail with OFFLINE (not reached, or lost on the way: then a change may have
 * happened, and whoever must know asks the ledger), BUSY (no connection became free in time),
 * CANCELLED, TIMED_OUT and whatever the server says. A cancelled call cancels on the server
 * too.
 */

#include "core/result.h"
#include "core/statement.h"
#include <gio/gio.h>

typedef struct LakeTransport LakeTransport;

/* Whose turn it is: INTERACTIVE calls (lookups, listings) always find a connection that BULK
 * calls (ingest, users' queries) cannot take. */
typedef enum {
    LAKE_TRANSPORT_INTERACTIVE,
    LAKE_TRANSPORT_BULK,
} LakeTransportUse;

void lake_transport_free(LakeTransport *transport);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeTransport, lake_transport_free)

/* Runs one statement in its own transaction. Prepared ones cost one round trip. */
LakeResult *lake_transport_run(LakeTransport *transport, LakeTransportUse use,
    LakeStatement *statement, GCancellable *cancellable, GError **error);

/* The same for many rows or large ones: each is handed over as it comes, as a result of one row
 * that take owns. FALSE from it ends the statement, at the price of the connection. */
typedef gboolean (*LakeTransportTakeFunc)(LakeResult *row, gpointer user_data, GError **error);
gboolean lake_transport_run_rows(LakeTransport *transport, LakeTransportUse use,
    LakeStatement *statement, LakeTransportTakeFunc take, gpointer user_data,
    GCancellable *cancellable, GError **error);

/* Runs all in one transaction and one round trip; the result is that of the last. On an error
 * none has happened. */
LakeResult *lake_transport_run_all(LakeTransport *transport, LakeTransportUse use,
    LakeStatement *const *statements, guint n_statements, GCancellable *cancellable,
    GError **error);

/* A query whose rows are handed over as they come. */
typedef struct {
    gboolean
        is_read_only;  /* in a READ ONLY transaction: 25006 (READ_ONLY) when it would change */
    gint64 timeout_ms; /* 0: none */
} LakeStreamOptions;

typedef struct {
    /* Once, before the first row, and also when there are none. */
    gboolean (*begin)(const LakeResult *columns, gpointer user_data, GError **error);
    /* rows holds one row; borrowed for the call. */
    gboolean (*row)(const LakeResult *row, gpointer user_data, GError **error);
} LakeStreamSink;

gboolean lake_transport_stream(LakeTransport *transport, LakeStatement *statement,
    const LakeStreamOptions *options, const LakeStreamSink *sink, gpointer user_data,
    gint64 *ret_n_affected, GCancellable *cancellable, GError **error);

/* A transaction held open over several calls, on one connection: BEGIN when it is opened. */
typedef struct LakeTransaction LakeTransaction;

LakeTransaction *lake_transport_begin(
    LakeTransport *transport, LakeTransportUse use, GCancellable *cancellable, GError **error);
LakeResult *lake_transaction_run(LakeTransaction *transaction, LakeStatement *statement,
    GCancellable *cancellable, GError **error);
/* Rows into table (quoted, schema-qualified) by COPY BINARY: begin, any number of rows, end. */
gboolean lake_transaction_copy_begin(LakeTransaction *transaction, const char *table,
    const LakeColumn *columns, guint n_columns, GCancellable *cancellable, GError **error);
gboolean lake_transaction_copy_rows(LakeTransaction *transaction, const LakeRows *rows,
    GCancellable *cancellable, GError **error);
gboolean lake_transaction_copy_end(
    LakeTransaction *transaction, GCancellable *cancellable, GError **error);
/* Ends it well. After an OFFLINE error here the outcome is unknown: ask the ledger. */
gboolean lake_transaction_commit(
    LakeTransaction *transaction, GCancellable *cancellable, GError **error);
/* Rolls back what was not committed, frees, gives the connection back. NULL is allowed. */
void lake_transaction_free(LakeTransaction *transaction);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeTransaction, lake_transaction_free)

/* Who hears what is announced (NOTIFY) on a channel. */
typedef struct {
    /* Whatever is announced from here on is heard. FALSE ends it. */
    gboolean (*begin)(gpointer user_data, GError **error);
    void (*heard)(const char *text, gpointer user_data);
    /* About once a second. FALSE ends it. */
    gboolean (*idle)(gpointer user_data, GError **error);
} LakeListenSink;

/* Listens on a connection of its own until that is lost, sink ends it or it is cancelled, which
 * *error says. UNSUPPORTED: there is no such thing here. */
void lake_transport_listen(LakeTransport *transport, const char *channel,
    const LakeListenSink *sink, gpointer user_data, GCancellable *cancellable, GError **error);

/* For status.json. */
typedef struct {
    guint n_open, n_in_use, n_max;
    char server_version[64]; /* empty until a connection was made */
} LakeTransportStatus;

void lake_transport_status(LakeTransport *transport, LakeTransportStatus *ret_status);

/* "embedded", "postgresql" or "service". */
const char *lake_transport_name(LakeTransport *transport);

/* TRUE: a transaction goes to the server as a whole when it is committed, with lake_transport_
 * run_all as one too. Until then only a SELECT is answered, from outside of it; of what changes
 * something it is taken to be done as n_expected says, and where it is not the commit fails
 * with STALE. */
gboolean lake_transport_defers(LakeTransport *transport);

/* Whether the server itself says so of a change, so that nothing of it has happened. */
gboolean lake_transport_is_undone(const GError *failure);

/* Whether a change that failed so may have happened all the same: its answer was lost, or did
 * not come in time, could not be understood, or nobody waited for it any more. */
gboolean lake_transport_is_unclear(LakeTransport *transport, const GError *failure);

/* How many files are worth being ingested at once. */
guint lake_transport_n_files_at_once(LakeTransport *transport);

/* Returns when all that was changed through this transport is seen by whoever asks the server.
 */
gboolean
lake_transport_settle(LakeTransport *transport, GCancellable *cancellable, GError **error);

/* Whether others can be told of changes at all (lake_transport_listen). */
gboolean lake_transport_can_listen(LakeTransport *transport);

/* For those who implement one: core/transport.c only forwards to these. */
typedef struct {
    void (*free)(LakeTransport *transport);
    LakeResult *(*run)(LakeTransport *transport, LakeTransportUse use, LakeStatement *statement,
        GCancellable *cancellable, GError **error);
    gboolean (*run_rows)(LakeTransport *transport, LakeTransportUse use,
        LakeStatement *statement, LakeTransportTakeFunc take, gpointer user_data,
        GCancellable *cancellable, GError **error);
    LakeResult *(*run_all)(LakeTransport *transport, LakeTransportUse use,
        LakeStatement *const *statements, guint n_statements, GCancellable *cancellable,
        GError **error);
    gboolean (*stream)(LakeTransport *transport, LakeStatement *statement,
        const LakeStreamOptions *options, const LakeStreamSink *sink, gpointer user_data,
        gint64 *ret_n_affected, GCancellable *cancellable, GError **error);
    LakeTransaction *(*begin)(LakeTransport *transport, LakeTransportUse use,
        GCancellable *cancellable, GError **error);
    void (*status)(LakeTransport *transport, LakeTransportStatus *ret_status);
    /* May be missing. */
    void (*listen)(LakeTransport *transport, const char *channel, const LakeListenSink *sink,
        gpointer user_data, GCancellable *cancellable, GError **error);
    /* May be missing: whoever asks sees all. */
    gboolean (*settle)(LakeTransport *transport, GCancellable *cancellable, GError **error);
    gboolean defers;
    guint n_files_at_once;
} LakeTransportClass;

typedef struct {
    LakeResult *(*run)(LakeTransaction *transaction, LakeStatement *statement,
        GCancellable *cancellable, GError **error);
    gboolean (*copy_begin)(LakeTransaction *transaction, const char *table,
        const LakeColumn *columns, guint n_columns, GCancellable *cancellable, GError **error);
    gboolean (*copy_rows)(LakeTransaction *transaction, const LakeRows *rows,
        GCancellable *cancellable, GError **error);
    gboolean (*copy_end)(
        LakeTransaction *transaction, GCancellable *cancellable, GError **error);
    gboolean (*commit)(LakeTransaction *transaction, GCancellable *cancellable, GError **error);
    void (*free)(LakeTransaction *transaction);
} LakeTransactionClass;

/* First member of every implementation. */
struct LakeTransport {
    const LakeTransportClass *class;
    const char *name;
};
struct LakeTransaction {
    const LakeTransactionClass *class;
};

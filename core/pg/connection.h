/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg/connection.h: one connection: opening it, and waiting for it with a deadline and a
 * cancellable. libpq is used without blocking throughout; the socket and the cancellable are
 * polled together. One thread at a time.
 */

#include "core/pg.h"
#include "core/pg/result.h"

typedef struct {
    PGconn *libpq;
    GHashTable *prepared;  /* SQL text → name of the statement on this connection */
    gint64 timeout_us;     /* for each thing asked of the server; set by whoever borrows */
    gint64 deadline_us;    /* monotonic; of what is under way */
    gboolean is_cancelled; /* the server was asked to stop the present statement */
    gboolean is_spent;     /* its state is in doubt: close, do not give back */
    GCancellable *watched; /* who can stop what is under way, with a reference; NULL: nobody */
    GPollFD stop;          /* ready when it is cancelled */
} LakePgConnection;

/* Connects and sets the session up. Same errors as libpq: OFFLINE, NO_ACCESS (class
 * CREDENTIALS) … */
LakePgConnection *lake_pg_connection_open(
    const LakePgOptions *options, GCancellable *cancellable, GError **error);
void lake_pg_connection_close(LakePgConnection *connection);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakePgConnection, lake_pg_connection_close)

/* Lets go of the cancellable: before it is given back. */
void lake_pg_connection_unwatch(LakePgConnection *connection);

/* FALSE when the server has closed it meanwhile. Costs one poll(). */
gboolean lake_pg_connection_is_alive(LakePgConnection *connection);

/* The deadline of what is asked next starts now. */
void lake_pg_connection_start_clock(LakePgConnection *connection);

/* Sends what libpq holds back. */
gboolean lake_pg_connection_flush(
    LakePgConnection *connection, GCancellable *cancellable, GError **error);

/* The next result, or NULL: without *error set there are no more; with it the connection is
 * lost or the deadline passed (and it is spent). When cancelled, asks the server to stop and
 * goes on to the error that this gives. */
PGresult *lake_pg_connection_next(
    LakePgConnection *connection, GCancellable *cancellable, GError **error);

/* Reads results up to the end of the command and returns the last; the first failure becomes
 * *error. COPY IN comes back at once. */
PGresult *lake_pg_connection_finish(
    LakePgConnection *connection, GCancellable *cancellable, GError **error);

/* A simple command without parameters or rows: BEGIN, SET … */
gboolean lake_pg_connection_command(
    LakePgConnection *connection, const char *sql, GCancellable *cancellable, GError **error);

/* Turns a failed result into *error; a cancelled or timed-out one says which it was. */
void
lake_pg_connection_error(LakePgConnection *connection, const PGresult *result, GError **error);

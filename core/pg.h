/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg.h: PostgreSQL directly. The folder core/pg/ is the only door to libpq; what comes out
 * of it is a LakeTransport.
 *
 * A pool of connections: opened when needed, looked at before each use, closed after anything
 * that leaves their state in doubt. Any thread.
 */

#include "core/transport.h"

/* Makes sure that the server runs; asked before each new connection. */
typedef gboolean (*LakePgEnsureFunc)(
    gpointer user_data, GCancellable *cancellable, GError **error);

typedef struct {
    gboolean is_embedded;
    const char *conninfo; /* libpq's; may hold a password: never printed */
    const char *schema;   /* first in search_path */
    guint pool_size; /* connections at most; from 3 on, some are kept for interactive calls */
    gint64 connect_timeout_ms;
    gint64 statement_timeout_ms; /* of bulk calls; interactive ones get less */
    gboolean read_only;          /* every transaction is READ ONLY */
    LakePgEnsureFunc ensure;     /* may be NULL */
    gpointer ensure_data;
} LakePgOptions;

/* Never fails: the first call connects. Strings are copied. */
LakeTransport *lake_pg_transport_new(const LakePgOptions *options);

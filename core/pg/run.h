/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg/run.h: LakeStatement on a connection: once, several at once, or row by row. */

#include "core/pg/connection.h"

/* One statement; in autocommit or in the transaction that is open. */
LakeResult *lake_pg_run(LakePgConnection *connection, LakeStatement *statement,
    GCancellable *cancellable, GError **error);

/* All in one pipeline, so in one implicit transaction and one round trip; the last one's
 * result. */
LakeResult *lake_pg_run_all(LakePgConnection *connection, LakeStatement *const *statements,
    guint n_statements, GCancellable *cancellable, GError **error);

/* One statement; each row is take's as it arrives. When that returns FALSE the connection is
 * spent: what else is under way is not waited for. */
gboolean lake_pg_run_each(LakePgConnection *connection, LakeStatement *statement,
    LakeTransportTakeFunc take, gpointer user_data, gboolean *ret_has_taken,
    GCancellable *cancellable, GError **error);

/* One statement, its rows handed to sink as they arrive. */
gboolean lake_pg_run_rows(LakePgConnection *connection, LakeStatement *statement,
    const LakeStreamSink *sink, gpointer user_data, gint64 *ret_n_affected,
    GCancellable *cancellable, GError **error);

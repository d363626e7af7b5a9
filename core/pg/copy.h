/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg/copy.h: COPY … FROM STDIN (FORMAT binary) on a connection with a transaction open.
 *
 * After any failure the connection is spent: the server may still be reading, and libpq once
 * looped for ever on a line cut in the middle of a COPY. */

#include "core/pg/connection.h"

gboolean lake_pg_copy_begin(LakePgConnection *connection, const char *table,
    const LakeColumn *columns, guint n_columns, GCancellable *cancellable, GError **error);
gboolean lake_pg_copy_rows(LakePgConnection *connection, const LakeRows *rows,
    GCancellable *cancellable, GError **error);
gboolean
lake_pg_copy_end(LakePgConnection *connection, GCancellable *cancellable, GError **error);

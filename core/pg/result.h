/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg/result.h: LakeResult (core/result.h) over a PGresult, and a failed PGresult as a
 * GError. */

#include "core/error.h"
#include "core/result.h"
#include <libpq-fe.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC(PGresult, PQclear)

typedef struct {
    LakeResult base;
    PGresult *result;
} LakePgResult;

/* Owns result. */
LakeResult *lake_pg_result_new(PGresult *result);
/* One that only lends it, and need not be freed. */
LakePgResult lake_pg_result_lend(PGresult *result);

/* Sets *error from what the server said. */
void lake_pg_result_error(const PGresult *result, GError **error);

/* Sets *error for a connection that broke, or was refused: libpq's text, without the conninfo.
 */
void lake_pg_result_connection_error(PGconn *connection, GError **error);

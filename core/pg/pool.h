/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg/pool.h: connections, borrowed and given back. Any thread.
 *
 * Bulk borrowers leave at least one connection (a quarter of the pool) to interactive ones, so
 * that a listing never waits for an ingest. After a failed attempt to connect, further attempts
 * within RETRY_PAUSE_US get the same answer without asking.
 */

#include "core/pg/connection.h"

typedef struct LakePgPool LakePgPool;

LakePgPool *lake_pg_pool_new(const LakePgOptions *options);
/* All connections must have been given back. */
void lake_pg_pool_free(LakePgPool *pool);

/* A connection with the time limit of its use. BUSY when none becomes free in time. */
LakePgConnection *lake_pg_pool_borrow(
    LakePgPool *pool, LakeTransportUse use, GCancellable *cancellable, GError **error);

/* Keeps it when it is idle and sound, else closes it. */
void
lake_pg_pool_give_back(LakePgPool *pool, LakeTransportUse use, LakePgConnection *connection);

/* Borrowed. */
const LakePgOptions *lake_pg_pool_options(LakePgPool *pool);

void lake_pg_pool_status(LakePgPool *pool, LakeTransportStatus *ret_status);

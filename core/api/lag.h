/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/api/lag.h: until when the service may still answer with what was there before our own
 * changes: its servers learn of each other's work some seconds later.
 *
 * Whoever reads what we changed waits for that long, so nobody misses what he himself wrote.
 * Changes of files go by another clock than those of everything else: core/ledger.c remembers
 * its own, so that copying many files does not wait after each. Any thread.
 */

#include "core/statement.h"
#include <gio/gio.h>

typedef struct {
    GMutex lock;
    gint64 lag_us;
    gint64 all_until_us, rows_until_us; /* guarded by lock; monotonic time */
} LakeApiLag;

void lake_api_lag_init(LakeApiLag *lag, gint64 lag_us);
void lake_api_lag_clear(LakeApiLag *lag);

/* Something of this scope has been changed, or may have been. */
void lake_api_lag_note(LakeApiLag *lag, LakeStatementScope changed);

/* Returns when what is read of this scope has all of our changes. CANCELLED. */
gboolean lake_api_lag_wait(
    LakeApiLag *lag, LakeStatementScope read, GCancellable *cancellable, GError **error);

/* The same until a point of monotonic time. */
gboolean lake_api_lag_wait_until(gint64 until_us, GCancellable *cancellable, GError **error);

/* Whether tables and columns may still be unknown to the server that is asked. */
gboolean lake_api_lag_is_unsettled(LakeApiLag *lag);

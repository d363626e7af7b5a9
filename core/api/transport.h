/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/api/transport.h: the service's query endpoint as a LakeTransport.
 *
 * How it differs from PostgreSQL directly, and what hides that:
 *   a request is a transaction      core/api/transaction.h defers, core/api/upload.h stages
 *   a request takes long            core/api/group.h sends many changes in one
 *   reads lag behind writes         core/api/lag.h waits
 *   answers may lack their rows     core/api/session.h counts
 *   no READ ONLY transactions       core/api/session.h has a condition that makes one
 *   no types in answers             core/api/answer.h: values are JSON, numbers with all digits
 * There is no LISTEN: other clients' changes show when caches end.
 */

#include "core/api.h"
#include "core/transport.h"

typedef struct {
    const LakeApiOptions *api;
    gint64 read_lag_ms;          /* how long reads may show what was there before a change */
    gint64 statement_timeout_ms; /* of bulk calls; interactive ones get less */
    gint64 max_answer_bytes;
    gboolean read_only;
} LakeApiTransportOptions;

/* Finds the organization and the workspace, and makes the workspace where it is missing and may
 * be made. Errors: core/api/client.h. */
LakeTransport *lake_api_transport_open(
    const LakeApiTransportOptions *options, GCancellable *cancellable, GError **error);

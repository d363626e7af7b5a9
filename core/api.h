/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/api.h: the Deeplake service over HTTP; core/api/http.c is the only door to libcurl.
 *
 * What the service offers, and what it says when something goes wrong:
 * https://docs.deeplake.ai, "REST API". Any thread.
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

#include "core/token.h"
#include "core/transport.h"

typedef struct {
    const char *url;       /* https://api.deeplake.ai, without a slash at its end */
    const char *workspace; /* never empty */
    LakeToken *token;    /* a reference is taken; NULL: the first call says "Token required" */
    const char *ca_file; /* see core/api/http.h */
    gint64 connect_timeout_ms;
    guint n_at_once;         /* requests under way at most; 0: 5, which the service stands */
    const char *staging_dir; /* where large answers lie in files without names */
} LakeApiOptions;

/* Asks GET /health, which needs no token: TRUE when something that is the service answers
 * within timeout_ms. */
gboolean lake_api_check_health(const char *url, const char *ca_file, gint64 timeout_ms,
    GCancellable *cancellable, GError **error);

typedef struct {
    const LakeApiOptions *api;
    gint64 read_lag_ms;          /* how long reads may show what was there before a change */
    gint64 statement_timeout_ms; /* of bulk calls; interactive ones get less */
    gint64 max_result_bytes;     /* of a user's statement; 0: no limit */
    gboolean read_only;
} LakeApiTransportOptions;

/* Finds the organization and the workspace, and makes the workspace where it is missing and may
 * be made. Errors: core/api/client.h. */
LakeTransport *lake_api_transport_open(
    const LakeApiTransportOptions *options, GCancellable *cancellable, GError **error);

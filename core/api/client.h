/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/api/client.h: what is said to the Deeplake service: JSON over HTTP, and its errors as
 * ours.
 *
 * A request that fails in passing (429, 502, 503, 504, a 500 that is not PostgreSQL's, a
 * connection that was refused or cut, a web page with 403) is repeated, LAKE_API_TRIES_MAX
 * tries in all, after a random pause below 500 ms · 2ⁿ or what Retry-After asks for. But only
 * where that is safe: the call is_repeatable, or it is known that nothing was executed.
 * Interactive calls stop trying when connect_timeout_ms is over. Just after a failure to
 * connect, others get the same answer without trying.
 *
 * A token that is refused (401) and came from a file is read again, once per call.
 *
 * Errors of every call, beside those of core/api/http.h:
 *   NO_ACCESS  class AUTH: "Token required", "Token expired", "Token invalid", "Token does not
 *              contain org_id"; class GENERAL: 403, or a web page came, so a proxy answered
 *   REFUSED    402: the account has no balance
 *   NOT_FOUND  404: class WORKSPACE, else TABLE
 *   EXISTS     409
 *   BAD_INPUT  400
 *   TOO_BIG    413
 *   BUSY       429 after the last try, OFFLINE likewise after 5xx
 *   and what PostgreSQL said, with sqlstate and message as facts, as core/pg/ gives them
 * Any thread.
 */

#include "core/api.h"
#include "core/api/http.h"

#define LAKE_API_TRIES_MAX 3
#define LAKE_API_BODY_MAX_BYTES (16 * 1024 * 1024) /* of a request: larger ones are 413 */

typedef struct LakeApiClient LakeApiClient;

/* Never fails; strings are copied. */
LakeApiClient *lake_api_client_new(const LakeApiOptions *options);
/* No call may be under way. NULL is allowed. */
void lake_api_client_free(LakeApiClient *client);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeApiClient, lake_api_client_free)

/* Finds the organization (the token's claim, else GET /me) and the workspace, which is made
 * where it is missing unless read_only. Must have succeeded before lake_api_client_query; may
 * be called again after a failure. BAD_INPUT  class GENERAL: "workspace_id required" NOT_FOUND
 * class WORKSPACE: there is none, and read_only */
gboolean lake_api_client_open(
    LakeApiClient *client, gboolean read_only, GCancellable *cancellable, GError **error);

typedef struct {
    const char *body; /* JSON, as the service wants it; borrowed */
    gsize body_bytes;
    gboolean is_batch;       /* …/tables/query/batch, else …/tables/query */
    gboolean is_repeatable;  /* executing it twice does no harm */
    gboolean is_interactive; /* somebody waits: it has a place kept, and few tries */
    gint64 timeout_ms;       /* for all tries; 0: no limit. Longer than that in the body */
    gint64 max_answer_bytes; /* 0: no limit */
} LakeApiCall;

/* Runs the statement; the answer's JSON in a new spool, which is empty for 204. After OFFLINE,
 * TIMED_OUT or CANCELLED the statement may have been executed. */
LakeSpool *lake_api_client_query(
    LakeApiClient *client, const LakeApiCall *call, GCancellable *cancellable, GError **error);

/* GET /health. */
gboolean lake_api_client_health(
    LakeApiClient *client, gint64 timeout_ms, GCancellable *cancellable, GError **error);

/* For status.json. */
typedef struct {
    gint64 n_requests; /* tries too */
    gint64 n_retries;
    gint64 n_connections; /* made so far */
    guint n_under_way;
    guint n_at_once;
} LakeApiStatus;

void lake_api_client_status(LakeApiClient *client, LakeApiStatus *ret_status);

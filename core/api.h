/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/api.h: the Deeplake service over HTTP; core/api/http.c is the only door to libcurl.
 *
 * What the service offers, and what it says when something goes wrong:
 * https://docs.deeplake.ai, "REST API". Any thread.
 */

#include "core/token.h"
#include <gio/gio.h>

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

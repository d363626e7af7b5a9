/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/api/error.h: what the service says when it does not do what it was asked, as our errors.
 *
 * {"error": text} with a status; what PostgreSQL said comes as 500 with its text and SQLSTATE
 * in the text; and proxies answer with web pages, none of which is ever quoted. Any thread.
 */

#include "core/api/http.h"

/* How much of an answer is read to find out what went wrong. */
#define LAKE_API_ERROR_MAX_BYTES (64 * 1024)

/* Beside the error. */
typedef struct {
    gboolean is_passing;    /* it may be over soon */
    gboolean is_unexecuted; /* the statement was certainly not executed */
} LakeApiVerdict;

/* TRUE where answer is a success. Else *error and *ret_verdict are set. is_about_workspace:
 * that is what was asked for, and so what 403 and 404 mean. */
gboolean lake_api_error_check(const LakeHttpAnswer *answer, LakeSpool *body,
    gboolean is_about_workspace, LakeApiVerdict *ret_verdict, GError **error);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/api/session.h: one request to the service with what every request needs: waiting for our
 * own changes, making sure of an answer without rows, telling what may have been changed. What
 * core/api/transport.c, transaction.c, group.c and upload.c share. Any thread.
 */

#include "core/api/answer.h"
#include "core/api/client.h"
#include "core/api/lag.h"
#include "core/transport.h"

typedef struct {
    LakeApiClient *client; /* owned */
    LakeApiLag lag;
    gint64 statement_timeout_ms; /* of bulk calls; 0: none */
    gint64 interactive_timeout_ms;
    gint64 max_result_bytes; /* of a user's statement; 0: no limit */
    gboolean is_read_only;   /* nothing may be changed, whatever a statement does */
} LakeApiSession;

/* SELECT, and so nothing is changed by it that we would have to wait for. */
gboolean lake_api_session_is_reading(const LakeStatement *statement);

/* Asks for a statement that reads. */
typedef struct {
    const LakeStatement *statement;
    const char *sql; /* in the place of the statement's own; NULL: that */
    LakeTransportUse use;
    gint64 timeout_ms;
    gint64 max_answer_bytes; /* 0: no limit but that of our own questions */
} LakeApiReading;

LakeApiAnswer *lake_api_session_read(LakeApiSession *session, const LakeApiReading *reading,
    GCancellable *cancellable, GError **error);

/* Executes one that changes something of this scope; body is its JSON. */
typedef struct {
    const GString *body;
    LakeStatementScope scope;
    gboolean is_batch, is_repeatable, is_interactive;
    gboolean is_block; /* of encode.h, whose LAKE_API_UNEXPECTED becomes STALE */
    gint64 timeout_ms;
    gint64 max_answer_bytes; /* as above */
} LakeApiChange;

LakeApiAnswer *lake_api_session_change(LakeApiSession *session, const LakeApiChange *change,
    GCancellable *cancellable, GError **error);

/* sql without the semicolons at its end, and what follows them; caller frees. */
char *lake_api_session_dup_bare(const char *sql);

/* sql in a form that reads only, whatever functions it calls: with 25006, or as a syntax error,
 * where it would change something. Caller frees. */
char *lake_api_session_guard(const char *sql);

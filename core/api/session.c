/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/session.h"

#include "core/api/encode.h"
#include "core/error.h"
#include <string.h>

/* An answer without rows that has some is asked for this often, at growing distances. */
#define EMPTY_TRIES_MAX 5
#define EMPTY_PAUSE_MS 250

gboolean
lake_api_session_is_reading(const LakeStatement *statement)
{
    return g_str_has_prefix(statement->sql, "SELECT") && !statement->is_lock;
}

char *
lake_api_session_guard(const char *sql)
{
    /* The condition depends on no row, so the server evaluates it before the first; from then
     * on its transaction is read-only, and functions that change something fail. A statement
     * that is no query, or has one that changes in its WITH, cannot stand there at all. */
    return g_strdup_printf("SELECT q.* FROM (\n%s\n) AS q"
                           " WHERE (SELECT pg_catalog.set_config("
                           "'transaction_read_only', 'on', true)) = 'on'",
        sql);
}

static LakeApiAnswer *
ask(LakeApiSession *session, const LakeApiCall *call, GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeSpool) body =
        lake_api_client_query(session->client, call, cancellable, error);

    return body ? lake_api_answer_new(body, error) : NULL;
}

static LakeApiAnswer *
ask_reading(LakeApiSession *session, LakeTransportUse use, const LakeStatement *statement,
    const char *sql, gint64 timeout_ms, GCancellable *cancellable, GError **error)
{
    g_autoptr(GString) body = g_string_new(NULL);

    lake_api_encode_statement(body, statement, sql, timeout_ms);
    LakeApiCall call = {
        .body = body->str,
        .body_bytes = body->len,
        .is_repeatable = TRUE,
        .is_interactive = use == LAKE_TRANSPORT_INTERACTIVE,
        .timeout_ms = timeout_ms,
        .max_answer_bytes = session->max_answer_bytes,
    };
    return ask(session, &call, cancellable, error);
}

/* Answers come with no row at all while the service gets itself new credentials: so the rows
 * are counted, which gives one in any case. -1: an error. */
static gint64
count_rows(LakeApiSession *session, LakeTransportUse use, const LakeStatement *statement,
    const char *sql, gint64 timeout_ms, GCancellable *cancellable, GError **error)
{
    g_autofree char *counting =
        g_strdup_printf("SELECT count(*) FROM (\n%s\n) AS counted", sql ? sql : statement->sql);
    g_autoptr(LakeApiAnswer) answer =
        ask_reading(session, use, statement, counting, timeout_ms, cancellable, error);
    g_autoptr(GError) failure = NULL;

    if (!answer)
        return -1;
    const LakeResult *row = lake_api_answer_next_row(answer, &failure);
    if (failure) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return -1;
    }
    return row ? lake_result_int64(row, 0, 0) : 1; /* no count either: not ready */
}

/* TRUE when an answer without rows is to be believed. */
static gboolean
is_really_empty(LakeApiSession *session, LakeTransportUse use, const LakeStatement *statement,
    const char *sql, gint64 timeout_ms, gboolean *ret_is_empty, GCancellable *cancellable,
    GError **error)
{
    *ret_is_empty = FALSE;
    if (statement->has_always_rows)
        return TRUE;
    gint64 n_rows = count_rows(session, use, statement, sql, timeout_ms, cancellable, error);
    *ret_is_empty = n_rows == 0;
    return n_rows >= 0;
}

LakeApiAnswer *
lake_api_session_read(LakeApiSession *session, LakeTransportUse use,
    const LakeStatement *statement, const char *sql, gint64 timeout_ms,
    GCancellable *cancellable, GError **error)
{
    if (!lake_api_lag_wait(&session->lag, statement->scope, cancellable, error))
        return NULL;
    for (int try = 0; try < EMPTY_TRIES_MAX; try++) {
        g_autoptr(LakeApiAnswer) answer =
            ask_reading(session, use, statement, sql, timeout_ms, cancellable, error);
        gboolean is_empty;

        if (!answer)
            return NULL;
        if (lake_api_answer_has_rows(answer))
            return g_steal_pointer(&answer);
        if (!is_really_empty(
                session, use, statement, sql, timeout_ms, &is_empty, cancellable, error))
            return NULL;
        if (is_empty)
            return g_steal_pointer(&answer);
        g_usleep((gulong)(EMPTY_PAUSE_MS * 1000) << try);
    }
    lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_OFFLINE,
        "the service answers without the rows that there are");
    if (error)
        lake_error_hint(*error, "try again in some seconds");
    return NULL;
}

/* A table or column that another of the service's servers made a moment ago. */
static gboolean
is_unknown_yet(LakeApiSession *session, const GError *failure)
{
    static const char *const states[] = {"42P01", "42703", "3F000", NULL};
    const LakeErrorFacts *facts = failure ? lake_error_facts(failure) : NULL;

    return facts && facts->sqlstate && g_strv_contains(states, facts->sqlstate) &&
           lake_api_lag_is_unsettled(&session->lag);
}

LakeApiAnswer *
lake_api_session_change(LakeApiSession *session, const LakeApiChange *change,
    GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) failure = NULL;
    LakeApiCall call = {
        .body = change->body->str,
        .body_bytes = change->body->len,
        .is_batch = change->is_batch,
        .is_repeatable = change->is_repeatable,
        .is_interactive = change->is_interactive,
        .timeout_ms = change->timeout_ms,
        .max_answer_bytes = session->max_answer_bytes,
    };
    LakeApiAnswer *answer = ask(session, &call, cancellable, &failure);

    if (!answer && is_unknown_yet(session, failure)) {
        g_clear_error(&failure);
        if (!lake_api_lag_wait(&session->lag, LAKE_SCOPE_STRUCTURE, cancellable, error))
            return NULL;
        answer = ask(session, &call, cancellable, &failure);
    }
    /* Of a lost answer nobody knows; and what others were first to change is what we may not
     * have seen yet. */
    const LakeErrorFacts *facts = failure ? lake_error_facts(failure) : NULL;
    gboolean is_late = facts && g_strcmp0(facts->sqlstate, LAKE_API_UNEXPECTED) == 0;
    if (answer || !facts || !facts->sqlstate || is_late)
        lake_api_lag_note(&session->lag, is_late ? LAKE_SCOPE_ALL : change->scope);
    if (is_late)
        failure->code = LAKE_ERROR_STALE;
    if (!answer)
        g_propagate_error(error, g_steal_pointer(&failure));
    return answer;
}

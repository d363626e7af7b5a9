/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/session.h"

#include "core/api/encode.h"
#include "core/error.h"
#include "core/lexer.h"
#include <string.h>

/* An answer without rows that has some is asked for this often, at growing distances. */
#define EMPTY_TRIES_MAX 5
#define EMPTY_PAUSE_US (250 * G_TIME_SPAN_MILLISECOND)
#define GRACE_MS 2000 /* for what a server far away says of its own time limit */
/* Of what we ask for ourselves: more is a mistake of the service's. */
#define OWN_ANSWER_BYTES_MAX ((gint64)1 << 30)

gboolean
lake_api_session_is_reading(const LakeStatement *statement)
{
    return g_str_has_prefix(statement->sql, "SELECT") && !statement->is_lock;
}

/* Nothing but blanks, comments and semicolons. */
static gboolean
is_void(const char *sql)
{
    for (;;) {
        g_auto(LakeLexer) lexer;
        LakeLexerToken token = {.kind = LAKE_LEXER_SPACE};
        gboolean is_good = TRUE;

        lake_lexer_init(&lexer, sql);
        while (is_good && token.kind == LAKE_LEXER_SPACE)
            is_good = lake_lexer_next(&lexer, &token, NULL);
        if (is_good)
            return token.kind == LAKE_LEXER_END;
        if (*lexer.at != ';')
            return FALSE;
        sql = lexer.at + 1;
    }
}

char *
lake_api_session_dup_bare(const char *sql)
{
    g_auto(LakeLexer) lexer;
    LakeLexerToken token = {.kind = LAKE_LEXER_SPACE};

    lake_lexer_init(&lexer, sql);
    while (token.kind != LAKE_LEXER_END && lake_lexer_next(&lexer, &token, NULL))
        ;
    /* Stopped at a semicolon, or by what is wrong and the server will say. */
    if (*lexer.at == ';' && is_void(lexer.at))
        return g_strndup(sql, (gsize)(lexer.at - sql));
    return g_strdup(sql);
}

char *
lake_api_session_guard(const char *sql)
{
    /* The condition depends on no row, so the server evaluates it before the first; from then
     * on its transaction is read-only, and functions that change something fail. A statement
     * that is no query, or has one that changes in its WITH, cannot stand there at all. */
    g_autofree char *bare = lake_api_session_dup_bare(sql);

    return g_strdup_printf("SELECT q.* FROM (\n%s\n) AS q"
                           " WHERE (SELECT pg_catalog.set_config("
                           "'transaction_read_only', 'on', true)) = 'on'",
        bare);
}

static LakeApiAnswer *
ask(LakeApiSession *session, const LakeApiCall *call, GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeSpool) body =
        lake_api_client_query(session->client, call, cancellable, error);

    return body ? lake_api_answer_new(body, error) : NULL;
}

/* It is the server that ends a statement which takes too long: then all is undone. Of one that
 * we no longer wait for, nobody knows. */
static gint64
add_grace(gint64 timeout_ms)
{
    return timeout_ms > 0 ? timeout_ms + GRACE_MS : 0;
}

static gint64
limit_of(gint64 max_answer_bytes)
{
    return max_answer_bytes > 0 ? max_answer_bytes : OWN_ANSWER_BYTES_MAX;
}

static LakeApiAnswer *
ask_reading(LakeApiSession *session, const LakeApiReading *reading, const char *sql,
    GCancellable *cancellable, GError **error)
{
    g_autoptr(GString) body = g_string_new(NULL);

    lake_api_encode_statement(body, reading->statement, sql, reading->timeout_ms);
    LakeApiCall call = {
        .body = body->str,
        .body_bytes = body->len,
        .is_repeatable = TRUE,
        .is_interactive = reading->use == LAKE_TRANSPORT_INTERACTIVE,
        .timeout_ms = add_grace(reading->timeout_ms),
        .max_answer_bytes = limit_of(reading->max_answer_bytes),
    };
    return ask(session, &call, cancellable, error);
}

/* Answers come with no row at all while the service gets itself new credentials: so the rows
 * are counted, which gives one in any case. -1: an error. */
static gint64
count_rows(LakeApiSession *session, const LakeApiReading *reading, GCancellable *cancellable,
    GError **error)
{
    g_autofree char *counting = g_strdup_printf("SELECT count(*) FROM (\n%s\n) AS counted",
        reading->sql ? reading->sql : reading->statement->sql);
    g_autoptr(LakeApiAnswer) answer =
        ask_reading(session, reading, counting, cancellable, error);
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

/* Whether an answer without rows is to be believed; FALSE with an error: not known. */
static gboolean
is_really_empty(LakeApiSession *session, const LakeApiReading *reading,
    GCancellable *cancellable, GError **error)
{
    return !reading->statement->has_always_rows &&
           count_rows(session, reading, cancellable, error) == 0;
}

LakeApiAnswer *
lake_api_session_read(LakeApiSession *session, const LakeApiReading *reading,
    GCancellable *cancellable, GError **error)
{
    if (!lake_api_lag_wait(&session->lag, reading->statement->scope, cancellable, error))
        return NULL;
    for (int try = 0; try < EMPTY_TRIES_MAX; try++) {
        g_autoptr(GError) failure = NULL;
        g_autoptr(LakeApiAnswer) answer =
            ask_reading(session, reading, reading->sql, cancellable, error);

        if (!answer)
            return NULL;
        if (lake_api_answer_has_rows(answer) ||
            is_really_empty(session, reading, cancellable, &failure))
            return g_steal_pointer(&answer);
        if (failure) {
            g_propagate_error(error, g_steal_pointer(&failure));
            return NULL;
        }
        gint64 until_us = g_get_monotonic_time() + (EMPTY_PAUSE_US << try);
        if (try + 1 < EMPTY_TRIES_MAX && !lake_api_lag_wait_until(until_us, cancellable, error))
            return NULL;
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
        .timeout_ms = add_grace(change->timeout_ms),
        .max_answer_bytes = limit_of(change->max_answer_bytes),
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
    gboolean is_late =
        change->is_block && facts && g_strcmp0(facts->sqlstate, LAKE_API_UNEXPECTED) == 0;
    if (answer || !lake_transport_is_undone(failure) || is_late)
        lake_api_lag_note(&session->lag, is_late ? LAKE_SCOPE_ALL : change->scope);
    if (is_late)
        failure->code = LAKE_ERROR_STALE;
    if (!answer)
        g_propagate_error(error, g_steal_pointer(&failure));
    return answer;
}

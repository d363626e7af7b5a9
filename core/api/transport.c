/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api.h"

#include "core/api/encode.h"
#include "core/api/group.h"
#include "core/api/transaction.h"
#include "core/api/upload.h"
#include "core/catalog.h"
#include "core/error.h"
#include <string.h>

#define INTERACTIVE_TIMEOUT_MS 60000 /* as the specification's client has it */
/* Enough for groups to be large while others are under way. */
#define FILES_AT_ONCE 128
/* What a result takes on its way may be more than in the form that its limit is for. */
#define ANSWER_FACTOR 4
#define LOOK_FOR_CANCEL_US (100 * G_TIME_SPAN_MILLISECOND)

typedef struct {
    LakeTransport base;
    LakeApiSession session;
    LakeApiGroup *group;
    char *staging; /* quoted, qualified */
    GMutex lock;   /* guards these two */
    GCond changed;
    enum { NO_STAGING, BEING_MADE, HAS_STAGING } staging_state;
    char server_version[64];
} ApiTransport;

static ApiTransport *
own(LakeTransport *transport)
{
    return (ApiTransport *)transport;
}

static void
transport_free(LakeTransport *transport)
{
    ApiTransport *this = own(transport);

    lake_api_group_free(this->group);
    lake_api_client_free(this->session.client);
    lake_api_lag_clear(&this->session.lag);
    g_mutex_clear(&this->lock);
    g_cond_clear(&this->changed);
    g_free(this->staging);
    g_free(this);
}

static gint64
timeout_of(const LakeApiSession *session, LakeTransportUse use)
{
    return use == LAKE_TRANSPORT_INTERACTIVE ? session->interactive_timeout_ms
                                             : session->statement_timeout_ms;
}

/* --- one statement --- */

static LakeResult *
run_reading(LakeApiSession *session, LakeTransportUse use, LakeStatement *statement,
    GCancellable *cancellable, GError **error)
{
    /* A count reads views, which may call anything. */
    gboolean is_guarded = session->is_read_only && use == LAKE_TRANSPORT_BULK;
    g_autofree char *guarded = is_guarded ? lake_api_session_guard(statement->sql) : NULL;
    const LakeApiReading reading = {
        .statement = statement,
        .sql = guarded,
        .use = use,
        .timeout_ms = timeout_of(session, use),
    };
    g_autoptr(LakeApiAnswer) answer =
        lake_api_session_read(session, &reading, cancellable, error);

    return answer ? lake_api_answer_take(answer, statement, G_MAXUINT, error) : NULL;
}

/* The answer comes as a whole, but its rows need not be in memory at once. */
static gboolean
transport_run_rows(LakeTransport *transport, LakeTransportUse use, LakeStatement *statement,
    LakeTransportTakeFunc take, gpointer user_data, GCancellable *cancellable, GError **error)
{
    LakeApiSession *session = &own(transport)->session;
    const LakeApiReading reading = {
        .statement = statement, .use = use, .timeout_ms = timeout_of(session, use)};
    g_autoptr(LakeApiAnswer) answer =
        lake_api_session_read(session, &reading, cancellable, error);

    while (answer && lake_api_answer_has_rows(answer)) {
        LakeResult *row = lake_api_answer_take(answer, statement, 1, error);
        if (!row || !take(row, user_data, error))
            return FALSE;
    }
    return answer != NULL;
}

static gboolean
refuse_change(GError **error)
{
    lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_READ_ONLY,
        "the workspace is used read-only");
    return FALSE;
}

static LakeResult *
run_changing(LakeApiSession *session, LakeTransportUse use, LakeStatement *statement,
    GCancellable *cancellable, GError **error)
{
    g_autoptr(GString) body = g_string_new(NULL);
    gint64 timeout_ms = timeout_of(session, use);

    if (session->is_read_only && !refuse_change(error))
        return NULL;
    lake_api_encode_statement(body, statement, NULL, timeout_ms);
    LakeApiChange change = {
        .body = body,
        .scope = statement->scope,
        .is_repeatable = statement->is_repeatable,
        .is_interactive = use == LAKE_TRANSPORT_INTERACTIVE,
        .timeout_ms = timeout_ms,
    };
    g_autoptr(LakeApiAnswer) answer =
        lake_api_session_change(session, &change, cancellable, error);
    return answer ? lake_api_answer_take(answer, statement, G_MAXUINT, error) : NULL;
}

static LakeResult *
transport_run(LakeTransport *transport, LakeTransportUse use, LakeStatement *statement,
    GCancellable *cancellable, GError **error)
{
    ApiTransport *this = own(transport);
    gboolean is_done = FALSE;

    if (lake_api_session_is_reading(statement))
        return run_reading(&this->session, use, statement, cancellable, error);
    if (statement->is_groupable && !this->session.is_read_only) {
        g_autoptr(GError) failure = NULL;

        if (lake_api_group_run(this->group, statement, &is_done, cancellable, &failure)) {
            if (is_done)
                return lake_api_answer_new_empty(statement->n_expected);
        } else if (!statement->is_repeatable ||
                   !g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_OFFLINE)) {
            g_propagate_error(error, g_steal_pointer(&failure));
            return NULL;
        }
    }
    return run_changing(&this->session, use, statement, cancellable, error);
}

static LakeResult *
transport_run_all(LakeTransport *transport, LakeTransportUse use,
    LakeStatement *const *statements, guint n_statements, GCancellable *cancellable,
    GError **error)
{
    LakeApiSession *session = &own(transport)->session;

    if (session->is_read_only && !refuse_change(error))
        return NULL;
    return lake_api_transaction_run_all(
        session, use, statements, n_statements, cancellable, error);
}

/* --- a user's statement --- */

static gboolean
hand_over(LakeApiAnswer *answer, const LakeStreamSink *sink, gpointer user_data,
    gint64 *ret_n_affected, GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) failure = NULL;
    const LakeResult *row;
    gint64 n_rows = 0;

    if (!sink->begin(lake_api_answer_columns(answer), user_data, error))
        return FALSE;
    for (; (row = lake_api_answer_next_row(answer, &failure)); n_rows++) {
        if (g_cancellable_is_cancelled(cancellable)) {
            lake_error_set(
                error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_CANCELLED, "interrupted");
            return FALSE;
        }
        if (!sink->row(row, user_data, error))
            return FALSE;
    }
    if (failure) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return FALSE;
    }
    if (ret_n_affected)
        *ret_n_affected = MAX(lake_api_answer_n_affected(answer), n_rows);
    return TRUE;
}

static gboolean
has_sqlstate(const GError *failure, const char *sqlstate)
{
    const LakeErrorFacts *facts = failure ? lake_error_facts(failure) : NULL;

    return facts && g_strcmp0(facts->sqlstate, sqlstate) == 0;
}

static void
set_read_only(GError **error)
{
    const LakeErrorFacts facts = {
        .sqlstate = (char *)"25006", /* as PostgreSQL says it */
        .message = (char *)"this statement cannot be executed where nothing may be changed",
    };

    lake_error_set_facts(
        error, LAKE_ERROR_READ_ONLY, &facts, "%s (SQLSTATE %s)", facts.message, facts.sqlstate);
}

/* What begins otherwise is a command, such as CREATE or SHOW, and has to be run as a change. */
static gboolean
begins_as_query(const char *sql)
{
    g_autoptr(GRegex) pattern = g_regex_new("^(?:\\s|--[^\\n]*(?:\\n|$)|/\\*.*?\\*/|\\()*"
                                            "(?:SELECT|WITH|VALUES|TABLE)\\b",
        G_REGEX_DOTALL | G_REGEX_CASELESS, 0, NULL);

    return g_regex_match(pattern, sql, 0, NULL);
}

/* A statement that cannot stand in parentheses is a change or a command, or no SQL: of what
 * begins as a query EXPLAIN knows, which executes nothing. FALSE, with what is to be told:
 * READ_ONLY of what has to be run as a change. */
static gboolean
explain_refusal(LakeApiSession *session, const LakeStatement *statement, gint64 timeout_ms,
    GCancellable *cancellable, GError **error)
{
    g_autofree char *bare = lake_api_session_dup_bare(statement->sql);
    g_autofree char *explain = g_strconcat("EXPLAIN ", bare, NULL);
    const LakeApiReading reading = {
        .statement = statement,
        .sql = explain,
        .use = LAKE_TRANSPORT_BULK,
        .timeout_ms = timeout_ms,
    };
    g_autoptr(LakeApiAnswer) answer = NULL;

    if (begins_as_query(statement->sql)) {
        answer = lake_api_session_read(session, &reading, cancellable, error);
        if (!answer)
            return FALSE;
    }
    set_read_only(error);
    return FALSE;
}

/* The client's limit is that of the user. */
static void
explain_size(const LakeApiSession *session, GError *failure)
{
    if (!g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_TOO_BIG) ||
        !g_str_has_prefix(failure->message, LAKE_HTTP_LARGE_ANSWER))
        return;
    g_free(failure->message);
    failure->message = g_strdup_printf(
        "the result is larger than max_result_bytes, %" G_GINT64_FORMAT " bytes",
        session->max_result_bytes);
    lake_error_hint(
        failure, "Ask for fewer rows (LIMIT, WHERE) or columns, or raise max_result_bytes.");
}

static gboolean
stream_reading(LakeApiSession *session, LakeStatement *statement, gint64 timeout_ms,
    const LakeStreamSink *sink, gpointer user_data, gint64 *ret_n_affected,
    GCancellable *cancellable, GError **error)
{
    g_autofree char *guarded = lake_api_session_guard(statement->sql);
    g_autoptr(GError) failure = NULL;
    const LakeApiReading reading = {
        .statement = statement,
        .sql = guarded,
        .use = LAKE_TRANSPORT_BULK,
        .timeout_ms = timeout_ms,
        .max_answer_bytes = ANSWER_FACTOR * session->max_result_bytes,
    };
    g_autoptr(LakeApiAnswer) answer =
        lake_api_session_read(session, &reading, cancellable, &failure);

    if (answer)
        return hand_over(answer, sink, user_data, ret_n_affected, cancellable, error);
    if (has_sqlstate(failure, "42601") || has_sqlstate(failure, "0A000"))
        return explain_refusal(session, statement, timeout_ms, cancellable, error);
    explain_size(session, failure);
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

static gboolean
stream_changing(LakeApiSession *session, LakeStatement *statement, gint64 timeout_ms,
    const LakeStreamSink *sink, gpointer user_data, gint64 *ret_n_affected,
    GCancellable *cancellable, GError **error)
{
    g_autoptr(GString) body = g_string_new(NULL);
    g_autoptr(GError) failure = NULL;

    lake_api_encode_statement(body, statement, NULL, timeout_ms);
    LakeApiChange change = {
        .body = body,
        .scope = LAKE_SCOPE_ALL,
        .timeout_ms = timeout_ms,
        .max_answer_bytes = ANSWER_FACTOR * session->max_result_bytes,
    };
    g_autoptr(LakeApiAnswer) answer =
        lake_api_session_change(session, &change, cancellable, &failure);

    if (answer && hand_over(answer, sink, user_data, ret_n_affected, cancellable, &failure))
        return TRUE;
    explain_size(session, failure);
    /* A request cannot be undone once it is answered. */
    if (g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_TOO_BIG))
        lake_error_hint(failure, "The data was changed all the same. Return fewer rows or "
                                 "columns, or raise max_result_bytes.");
    else if (answer)
        lake_error_hint(failure, "The data was changed all the same.");
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

static gboolean
transport_stream(LakeTransport *transport, LakeStatement *statement,
    const LakeStreamOptions *options, const LakeStreamSink *sink, gpointer user_data,
    gint64 *ret_n_affected, GCancellable *cancellable, GError **error)
{
    LakeApiSession *session = &own(transport)->session;
    gboolean is_reading = options->is_read_only || session->is_read_only;

    return (is_reading ? stream_reading : stream_changing)(session, statement,
        options->timeout_ms, sink, user_data, ret_n_affected, cancellable, error);
}

/* --- transactions --- */

/* IF NOT EXISTS loses the race with others who make it too, and says one of these. */
static gboolean
is_made_by_others(const GError *failure)
{
    return has_sqlstate(failure, "23505") || has_sqlstate(failure, "42P07");
}

/* The staging table is made when it is first needed, or else rid of what was left there. */
static gboolean
make_staging(ApiTransport *this, GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autoptr(LakeStatement) ask = lake_statement_new("SELECT to_regclass($1) IS NOT NULL");
    lake_statement_add_text(ask, this->staging);
    ask->scope = LAKE_SCOPE_STRUCTURE;
    ask->has_always_rows = TRUE;
    g_autoptr(LakeResult) found =
        run_reading(&this->session, LAKE_TRANSPORT_INTERACTIVE, ask, cancellable, error);
    if (!found)
        return FALSE;
    g_autoptr(LakeStatement) make = lake_result_bool(found, 0, 0)
                                        ? lake_api_upload_clear_statement(this->staging)
                                        : lake_api_upload_create_statement(this->staging);
    make->is_repeatable = TRUE;
    /* Of what is cleared nobody hears; a new table is to be known before rows are sent. */
    make->scope = lake_result_bool(found, 0, 0) ? LAKE_SCOPE_ROWS : LAKE_SCOPE_ALL;
    g_autoptr(LakeResult) made =
        run_changing(&this->session, LAKE_TRANSPORT_BULK, make, cancellable, &failure);
    if (made || is_made_by_others(failure))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

/* *ret_is_there FALSE: the caller is who makes it, and says when he is done. FALSE: cancelled,
 * while another was about it. */
static gboolean
begin_staging(
    ApiTransport *this, gboolean *ret_is_there, GCancellable *cancellable, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&this->lock);

    while (this->staging_state == BEING_MADE) {
        if (g_cancellable_is_cancelled(cancellable)) {
            lake_error_set(
                error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_CANCELLED, "interrupted");
            return FALSE;
        }
        g_cond_wait_until(
            &this->changed, &this->lock, g_get_monotonic_time() + LOOK_FOR_CANCEL_US);
    }
    *ret_is_there = this->staging_state == HAS_STAGING;
    if (!*ret_is_there)
        this->staging_state = BEING_MADE;
    return TRUE;
}

static void
end_staging(ApiTransport *this, gboolean is_there)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&this->lock);

    this->staging_state = is_there ? HAS_STAGING : NO_STAGING;
    g_cond_broadcast(&this->changed);
}

static gboolean
prepare_staging(ApiTransport *this, GCancellable *cancellable, GError **error)
{
    gboolean is_there;

    if (this->session.is_read_only)
        return TRUE;
    if (!begin_staging(this, &is_there, cancellable, error))
        return FALSE;
    if (!is_there) {
        is_there = make_staging(this, cancellable, error);
        end_staging(this, is_there);
    }
    return is_there;
}

static LakeTransaction *
transport_begin(
    LakeTransport *transport, LakeTransportUse use, GCancellable *cancellable, GError **error)
{
    ApiTransport *this = own(transport);

    if (!prepare_staging(this, cancellable, error))
        return NULL;
    return lake_api_transaction_new(&this->session, this->staging);
}

/* --- the rest --- */

static gboolean
transport_settle(LakeTransport *transport, GCancellable *cancellable, GError **error)
{
    return lake_api_lag_wait(&own(transport)->session.lag, LAKE_SCOPE_ALL, cancellable, error);
}

static void
transport_status(LakeTransport *transport, LakeTransportStatus *ret_status)
{
    LakeApiStatus status;

    lake_api_client_status(own(transport)->session.client, &status);
    *ret_status = (LakeTransportStatus){
        .n_open = status.n_at_once, .n_in_use = status.n_under_way, .n_max = status.n_at_once};
    g_strlcpy(ret_status->server_version, own(transport)->server_version,
        sizeof ret_status->server_version);
}

static const LakeTransportClass api_transport_class = {
    .free = transport_free,
    .run = transport_run,
    .run_rows = transport_run_rows,
    .run_all = transport_run_all,
    .stream = transport_stream,
    .begin = transport_begin,
    .status = transport_status,
    .settle = transport_settle,
    .defers = TRUE,
    .n_files_at_once = FILES_AT_ONCE,
};

static gboolean
ask_version(ApiTransport *this, GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeStatement) statement =
        lake_statement_new("SELECT current_setting('server_version')");

    statement->has_always_rows = TRUE;
    g_autoptr(LakeResult) result =
        run_reading(&this->session, LAKE_TRANSPORT_INTERACTIVE, statement, cancellable, error);
    if (!result)
        return FALSE;
    const char *version = lake_result_text(result, 0, 0);
    g_strlcpy(this->server_version, version ? version : "", sizeof this->server_version);
    return TRUE;
}

LakeTransport *
lake_api_transport_open(
    const LakeApiTransportOptions *options, GCancellable *cancellable, GError **error)
{
    ApiTransport *this = g_new0(ApiTransport, 1);
    g_autofree char *schema = lake_statement_quote(options->api->workspace);
    g_autoptr(LakeTransport) transport = &this->base;

    this->base.class = &api_transport_class;
    this->base.name = "service";
    this->session = (LakeApiSession){
        .client = lake_api_client_new(options->api),
        .statement_timeout_ms = options->statement_timeout_ms,
        .interactive_timeout_ms =
            options->statement_timeout_ms > 0
                ? MIN(options->statement_timeout_ms, INTERACTIVE_TIMEOUT_MS)
                : INTERACTIVE_TIMEOUT_MS,
        .max_result_bytes = options->max_result_bytes,
        .is_read_only = options->read_only,
    };
    lake_api_lag_init(&this->session.lag, options->read_lag_ms * 1000);
    g_mutex_init(&this->lock);
    g_cond_init(&this->changed);
    this->group = lake_api_group_new(&this->session);
    this->staging = g_strconcat(schema, ".\"" LAKE_CATALOG_STAGING_TABLE "\"", NULL);
    if (!lake_api_client_open(this->session.client, options->read_only, cancellable, error) ||
        !ask_version(this, cancellable, error))
        return NULL;
    return g_steal_pointer(&transport);
}

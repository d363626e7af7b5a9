/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pg/connection.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

/* How long a server may take to obey a cancel request before we drop the connection instead. */
#define CANCEL_GRACE_US (10 * G_TIME_SPAN_SECOND)

void
lake_pg_connection_unwatch(LakePgConnection *connection)
{
    if (!connection->watched)
        return;
    g_cancellable_release_fd(connection->watched);
    g_clear_object(&connection->watched);
}

/* Until another one is watched: a large result is waited for thousands of times, and a
 * descriptor made for each would cost more than the wait. FALSE when there are none to be had.
 */
static gboolean
watch(LakePgConnection *connection, GCancellable *cancellable)
{
    if (connection->watched == cancellable)
        return cancellable != NULL;
    lake_pg_connection_unwatch(connection);
    if (!cancellable || !g_cancellable_make_pollfd(cancellable, &connection->stop))
        return FALSE;
    connection->watched = g_object_ref(cancellable);
    return TRUE;
}

void
lake_pg_connection_close(LakePgConnection *connection)
{
    if (!connection)
        return;
    lake_pg_connection_unwatch(connection);
    PQfinish(connection->libpq);
    g_clear_pointer(&connection->prepared, g_hash_table_unref);
    g_free(connection);
}

static gboolean
fail_lost(LakePgConnection *connection, GError **error)
{
    connection->is_spent = TRUE;
    lake_pg_result_connection_error(connection->libpq, error);
    return FALSE;
}

static gpointer
send_cancel(gpointer request)
{
    char text[256];

    /* Best effort: when it fails, the deadline ends the wait. */
    (void)PQcancel(request, text, sizeof text);
    PQfreeCancel(request);
    return NULL;
}

/* PQcancel connects and blocks without any limit, so it gets a thread of its own. */
static void
ask_to_stop(LakePgConnection *connection)
{
    PGcancel *request = PQgetCancel(connection->libpq);

    connection->is_cancelled = TRUE;
    connection->deadline_us = g_get_monotonic_time() + CANCEL_GRACE_US;
    if (request)
        g_thread_unref(g_thread_new("cancel", send_cancel, request));
}

void
lake_pg_connection_start_clock(LakePgConnection *connection)
{
    if (!connection->is_cancelled)
        connection->deadline_us = g_get_monotonic_time() + connection->timeout_us;
}

static int
remaining_ms(const LakePgConnection *connection)
{
    gint64 left = connection->deadline_us - g_get_monotonic_time();
    return left <= 0 ? 0 : (int)MIN((left + 999) / 1000, G_MAXINT);
}

/* Waits until the socket is ready for one of `events`. On cancellation: FALSE with CANCELLED
 * while connecting (can_stop FALSE), else asks the server to stop and goes on waiting. */
static gboolean
wait_for_socket(LakePgConnection *connection, short events, gboolean can_stop,
    GCancellable *cancellable, GError **error)
{
    for (;;) {
        gboolean watches = !connection->is_cancelled && watch(connection, cancellable);
        struct pollfd fds[] = {
            {.fd = PQsocket(connection->libpq), .events = events},
            {.fd = watches ? connection->stop.fd : -1, .events = POLLIN},
        };
        int n_ready = poll(fds, G_N_ELEMENTS(fds), remaining_ms(connection));
        int saved_errno = errno;

        if (n_ready < 0 && saved_errno == EINTR)
            continue;
        if (n_ready <= 0) {
            connection->is_spent = TRUE;
            lake_error_set(error, LAKE_ERROR_CLASS_GENERAL,
                connection->is_cancelled ? LAKE_ERROR_CANCELLED : LAKE_ERROR_OFFLINE,
                connection->is_cancelled
                    ? "interrupted; the server did not answer the request to stop"
                    : "the server did not answer in time");
            return FALSE;
        }
        if (fds[0].revents)
            return TRUE;
        if (!can_stop) {
            connection->is_spent = TRUE;
            lake_error_set(
                error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_CANCELLED, "interrupted");
            return FALSE;
        }
        ask_to_stop(connection);
    }
}

/* What libpq would otherwise take hours to notice: a peer that is gone without a word. The
 * user's own values, when the conninfo has them, come later and win. */
static const char *const connection_defaults[][2] = {
    {"fallback_application_name", "deeplakefs"},
    {"client_encoding", "UTF8"},
    {"keepalives_idle", "10"},
    {"keepalives_interval", "5"},
    {"keepalives_count", "3"},
    {"tcp_user_timeout", "20000"},
};

/* libpq's own messages quote values, and where a password was not encoded or quoted as it
 * should be, a piece of it has become one: a port, a host, the name of the database. So what
 * cannot be meant is refused first, and not repeated. */
static gboolean
is_uri_in_order(const char *conninfo)
{
    const char *authority = strstr(conninfo, "://");

    if (!g_str_has_prefix(conninfo, "postgres") || !authority)
        return TRUE;
    authority += strlen("://");
    gsize n_bytes = strcspn(authority, "?");
    const char *at_sign = memchr(authority, '@', n_bytes);
    const char *last = memrchr(authority, '@', n_bytes);

    return !at_sign ||
           (at_sign == last && !memchr(authority, '/', (gsize)(at_sign - authority)));
}

static gboolean
is_host(const char *value)
{
    g_auto(GStrv) hosts = g_strsplit(value, ",", -1);

    for (char **host = hosts; *host; host++) {
        /* A socket's folder, or an abstract one's name, may have any character. */
        if (**host != '/' && **host != '@' && strpbrk(*host, "@=;/?#\\'\" "))
            return FALSE;
    }
    return TRUE;
}

static gboolean
is_value_in_order(const PQconninfoOption *option)
{
    g_autofree char *lower = g_ascii_strdown(option->val, -1);

    if (strchr(option->dispchar, '*'))
        return TRUE;
    if (strcmp(option->keyword, "port") == 0)
        return !option->val[strspn(option->val, "0123456789,")];
    if (g_str_has_prefix(option->keyword, "host") && !is_host(option->val))
        return FALSE;
    return !strstr(lower, "password=");
}

static gboolean
check_conninfo(const char *conninfo, const PQconninfoOption *given, GError **error)
{
    const char *wrong = is_uri_in_order(conninfo) ? NULL : "password";

    for (const PQconninfoOption *option = given; option->keyword && !wrong; option++)
        if (option->val && !is_value_in_order(option))
            wrong = option->keyword;
    if (!wrong)
        return TRUE;
    lake_error_set(error, LAKE_ERROR_CLASS_CREDENTIALS, LAKE_ERROR_BAD_INPUT,
        "the DSN's %s cannot be what was meant, and is not repeated here", wrong);
    if (error)
        lake_error_hint(*error, "In a URI, encode what is no letter or digit of a password as "
                                "%%40, %%2F …; elsewhere put spaces between the settings, and "
                                "quotes around a password.");
    return FALSE;
}

static PGconn *
start_connecting(const LakePgOptions *options, GError **error)
{
    PQconninfoOption *given = PQconninfoParse(options->conninfo, NULL);
    g_autoptr(GPtrArray) keywords = g_ptr_array_new();
    g_autoptr(GPtrArray) values = g_ptr_array_new();

    if (!given) {
        /* libpq's own message may quote the string, password and all. */
        lake_error_set(error, LAKE_ERROR_CLASS_CREDENTIALS, LAKE_ERROR_BAD_INPUT,
            "the DSN is not a libpq connection string or URI");
        return NULL;
    }
    if (!check_conninfo(options->conninfo, given, error)) {
        PQconninfoFree(given);
        return NULL;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(connection_defaults); i++) {
        g_ptr_array_add(keywords, (gpointer)connection_defaults[i][0]);
        g_ptr_array_add(values, (gpointer)connection_defaults[i][1]);
    }
    for (PQconninfoOption *option = given; option->keyword; option++) {
        if (!option->val || strcmp(option->keyword, "client_encoding") == 0)
            continue;
        g_ptr_array_add(keywords, option->keyword);
        g_ptr_array_add(values, option->val);
    }
    g_ptr_array_add(keywords, NULL);
    g_ptr_array_add(values, NULL);

    PGconn *libpq = PQconnectStartParams(
        (const char *const *)keywords->pdata, (const char *const *)values->pdata, 0);
    PQconninfoFree(given);
    if (!libpq)
        g_error("out of memory in libpq");
    /* The only way to learn the SQLSTATE of a refusal. */
    PQsetErrorVerbosity(libpq, PQERRORS_VERBOSE);
    return libpq;
}

static gboolean
finish_connecting(LakePgConnection *connection, GCancellable *cancellable, GError **error)
{
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;

    if (PQstatus(connection->libpq) == CONNECTION_BAD)
        return fail_lost(connection, error);
    while (status != PGRES_POLLING_OK) {
        short events = status == PGRES_POLLING_READING ? POLLIN : POLLOUT;

        if (!wait_for_socket(connection, events, FALSE, cancellable, error))
            return FALSE;
        status = PQconnectPoll(connection->libpq);
        if (status == PGRES_POLLING_FAILED)
            return fail_lost(connection, error);
    }
    PQsetErrorVerbosity(connection->libpq, PQERRORS_DEFAULT);
    return TRUE;
}

static void
ignore_notice(void *data, const PGresult *result)
{
    (void)data;
    (void)result;
}

static gboolean
set_up_session(LakePgConnection *connection, const LakePgOptions *options,
    GCancellable *cancellable, GError **error)
{
    g_autofree char *schema = lake_statement_quote(options->schema);
    g_autofree char *sql = g_strdup_printf(
        "SET search_path = %s, public; SET synchronous_commit = off; SET datestyle = ISO;"
        " SET intervalstyle = postgres; SET bytea_output = hex; SET extra_float_digits = 1;"
        " SET standard_conforming_strings = on%s",
        schema, options->read_only ? "; SET default_transaction_read_only = on" : "");

    if (PQserverVersion(connection->libpq) < 120000) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_UNSUPPORTED,
            "the server is PostgreSQL %s; 12 or later is needed",
            PQparameterStatus(connection->libpq, "server_version"));
        return FALSE;
    }
    PQsetNoticeReceiver(connection->libpq, ignore_notice, NULL);
    return lake_pg_connection_command(connection, sql, cancellable, error);
}

LakePgConnection *
lake_pg_connection_open(const LakePgOptions *options, GCancellable *cancellable, GError **error)
{
    g_autoptr(LakePgConnection) connection = g_new0(LakePgConnection, 1);

    connection->prepared = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    connection->timeout_us = options->connect_timeout_ms * 1000;
    lake_pg_connection_start_clock(connection);
    connection->libpq = start_connecting(options, error);
    if (!connection->libpq)
        return NULL;
    if (!finish_connecting(connection, cancellable, error))
        return NULL;

    if (PQsetnonblocking(connection->libpq, 1) != 0) {
        fail_lost(connection, error);
        return NULL;
    }
    if (!set_up_session(connection, options, cancellable, error)) {
        g_prefix_error(error, "setting up the session: ");
        return NULL;
    }
    return g_steal_pointer(&connection);
}

gboolean
lake_pg_connection_is_alive(LakePgConnection *connection)
{
    struct pollfd fd = {.fd = PQsocket(connection->libpq), .events = POLLIN};

    if (connection->is_spent || PQstatus(connection->libpq) != CONNECTION_OK)
        return FALSE;
    if (poll(&fd, 1, 0) == 0)
        return TRUE;
    /* Something arrived unasked: a notice, or the end. */
    return PQconsumeInput(connection->libpq) && PQstatus(connection->libpq) == CONNECTION_OK &&
           !(fd.revents & (POLLERR | POLLHUP));
}

gboolean
lake_pg_connection_flush(
    LakePgConnection *connection, GCancellable *cancellable, GError **error)
{
    for (;;) {
        int state = PQflush(connection->libpq);

        if (state == 0)
            return TRUE;
        if (state < 0)
            return fail_lost(connection, error);
        /* The server may be stuck writing to us: read as well, or both wait for ever. */
        if (!wait_for_socket(connection, POLLIN | POLLOUT, TRUE, cancellable, error))
            return FALSE;
        if (!PQconsumeInput(connection->libpq))
            return fail_lost(connection, error);
    }
}

PGresult *
lake_pg_connection_next(LakePgConnection *connection, GCancellable *cancellable, GError **error)
{
    if (!lake_pg_connection_flush(connection, cancellable, error))
        return NULL;
    while (PQisBusy(connection->libpq)) {
        if (!wait_for_socket(connection, POLLIN, TRUE, cancellable, error))
            return NULL;
        if (!PQconsumeInput(connection->libpq)) {
            fail_lost(connection, error);
            return NULL;
        }
    }
    return PQgetResult(connection->libpq);
}

void
lake_pg_connection_error(LakePgConnection *connection, const PGresult *result, GError **error)
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    if (PQstatus(connection->libpq) == CONNECTION_BAD) {
        connection->is_spent = TRUE;
        /* A server that ends the session says why (57P01 …); a cut line says nothing. */
        if (!sqlstate) {
            lake_pg_result_connection_error(connection->libpq, error);
            return;
        }
    }
    if (connection->is_cancelled && g_strcmp0(sqlstate, "57014") == 0)
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_CANCELLED, "interrupted");
    else if (g_strcmp0(sqlstate, "57014") == 0)
        lake_error_set_facts(error, LAKE_ERROR_TIMED_OUT,
            &(LakeErrorFacts){.sqlstate = (char *)sqlstate,
                .message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY)},
            "%s (SQLSTATE 57014)", PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
    else
        lake_pg_result_error(result, error);
}

PGresult *
lake_pg_connection_finish(
    LakePgConnection *connection, GCancellable *cancellable, GError **error)
{
    g_autoptr(PGresult) last = NULL;
    g_autoptr(GError) failure = NULL;

    for (;;) {
        g_autoptr(GError) lost = NULL;
        PGresult *result = lake_pg_connection_next(connection, cancellable, &lost);

        if (lost) {
            /* What the server said before the line went is the better reason. */
            g_propagate_error(
                error, failure ? g_steal_pointer(&failure) : g_steal_pointer(&lost));
            return NULL;
        }
        if (!result)
            break;
        g_clear_pointer(&last, PQclear);
        last = result;
        if (PQresultStatus(result) == PGRES_COPY_IN)
            break;
        if (PQresultStatus(result) == PGRES_FATAL_ERROR && !failure)
            lake_pg_connection_error(connection, result, &failure);
    }
    if (failure) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return NULL;
    }
    if (!last) {
        fail_lost(connection, error);
        return NULL;
    }
    return g_steal_pointer(&last);
}

gboolean
lake_pg_connection_command(
    LakePgConnection *connection, const char *sql, GCancellable *cancellable, GError **error)
{
    g_autoptr(PGresult) result = NULL;

    lake_pg_connection_start_clock(connection);
    if (!PQsendQuery(connection->libpq, sql))
        return fail_lost(connection, error);
    result = lake_pg_connection_finish(connection, cancellable, error);
    return result != NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pg/listen.h"

#include "core/pg/connection.h"
#include <errno.h>
#include <poll.h>

/* Between two calls of the sink's idle. */
#define IDLE_US G_TIME_SPAN_SECOND

static void
hand_over(LakePgConnection *connection, const LakeListenSink *sink, gpointer user_data)
{
    PGnotify *notify;

    while ((notify = PQnotifies(connection->libpq))) {
        sink->heard(notify->extra, user_data);
        PQfreemem(notify);
    }
}

/* FALSE when cancelled. */
static gboolean
wait_for_news(LakePgConnection *connection, gint64 until_us, GCancellable *cancellable)
{
    GPollFD stop = {.fd = -1};
    gboolean watches = cancellable && g_cancellable_make_pollfd(cancellable, &stop);
    struct pollfd fds[] = {
        {.fd = PQsocket(connection->libpq), .events = POLLIN},
        {.fd = watches ? stop.fd : -1, .events = POLLIN},
    };
    gint64 left_us = until_us - g_get_monotonic_time();

    (void)poll(fds, G_N_ELEMENTS(fds), (int)(CLAMP(left_us, 0, IDLE_US) + 999) / 1000);
    if (watches)
        g_cancellable_release_fd(cancellable);
    return !g_cancellable_is_cancelled(cancellable);
}

static void
hear_until_lost(LakePgConnection *connection, const LakeListenSink *sink, gpointer user_data,
    GCancellable *cancellable, GError **error)
{
    gint64 idle_at_us = g_get_monotonic_time() + IDLE_US;

    for (;;) {
        hand_over(connection, sink, user_data);
        if (!wait_for_news(connection, idle_at_us, cancellable)) {
            lake_error_set(
                error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_CANCELLED, "interrupted");
            return;
        }
        if (!PQconsumeInput(connection->libpq)) {
            lake_pg_result_connection_error(connection->libpq, error);
            return;
        }
        if (g_get_monotonic_time() < idle_at_us)
            continue;
        if (!sink->idle(user_data, error))
            return;
        idle_at_us = g_get_monotonic_time() + IDLE_US;
    }
}

void
lake_pg_listen(const LakePgOptions *options, const char *channel, const LakeListenSink *sink,
    gpointer user_data, GCancellable *cancellable, GError **error)
{
    g_autoptr(LakePgConnection) connection =
        lake_pg_connection_open(options, cancellable, error);
    g_autofree char *quoted = lake_statement_quote(channel);
    g_autofree char *sql = g_strconcat("LISTEN ", quoted, NULL);

    if (connection && lake_pg_connection_command(connection, sql, cancellable, error) &&
        sink->begin(user_data, error))
        hear_until_lost(connection, sink, user_data, cancellable, error);
}

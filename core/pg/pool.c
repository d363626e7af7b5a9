/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pg/pool.h"

#define INTERACTIVE_TIMEOUT_US (10 * G_TIME_SPAN_SECOND)
/* As long as poll() can wait: 24 days. That a peer is gone, keepalive tells. */
#define NO_LIMIT_US (G_MAXINT * G_TIME_SPAN_MILLISECOND)
#define RETRY_PAUSE_US (200 * G_TIME_SPAN_MILLISECOND)
/* Waiting for a connection looks at the cancellable this often. */
#define WAIT_SLICE_US (100 * G_TIME_SPAN_MILLISECOND)

struct LakePgPool {
    LakePgOptions options; /* strings owned */
    guint n_bulk_max;

    GMutex lock; /* guards all below */
    GCond returned;
    GQueue idle; /* of LakePgConnection; the most recently used first */
    guint n_in_use;
    guint n_bulk_in_use;
    gint64
        failed_at_us; /* of the last attempt to connect that failed; 0: none since a success */
    GError *failure;
    char server_version[64];
};

LakePgPool *
lake_pg_pool_new(const LakePgOptions *options)
{
    LakePgPool *pool = g_new0(LakePgPool, 1);

    pool->options = *options;
    pool->options.conninfo = g_strdup(options->conninfo);
    pool->options.schema = g_strdup(options->schema);
    pool->options.pool_size = MAX(options->pool_size, 1);
    pool->n_bulk_max = pool->options.pool_size < 2
                           ? 1
                           : pool->options.pool_size - MAX(pool->options.pool_size / 4, 1);
    g_mutex_init(&pool->lock);
    g_cond_init(&pool->returned);
    g_queue_init(&pool->idle);
    return pool;
}

void
lake_pg_pool_free(LakePgPool *pool)
{
    if (!pool)
        return;
    g_assert(pool->n_in_use == 0);
    g_queue_clear_full(&pool->idle, (GDestroyNotify)lake_pg_connection_close);
    g_clear_error(&pool->failure);
    g_mutex_clear(&pool->lock);
    g_cond_clear(&pool->returned);
    g_free((char *)pool->options.conninfo);
    g_free((char *)pool->options.schema);
    g_free(pool);
}

/* With the lock held. */
static gboolean
has_room(const LakePgPool *pool, LakeTransportUse use)
{
    return pool->n_in_use < pool->options.pool_size &&
           (use == LAKE_TRANSPORT_INTERACTIVE || pool->n_bulk_in_use < pool->n_bulk_max);
}

static gint64
time_limit_us(const LakePgPool *pool, LakeTransportUse use)
{
    switch (use) {
    case LAKE_TRANSPORT_INTERACTIVE:
        return INTERACTIVE_TIMEOUT_US;
    case LAKE_TRANSPORT_BULK:
        if (pool->options.statement_timeout_ms == 0)
            return NO_LIMIT_US;
        /* The server's own statement_timeout comes first. */
        return pool->options.statement_timeout_ms * 1000 + 30 * G_TIME_SPAN_SECOND;
    }
    g_assert_not_reached();
}

/* Takes a place, and an idle connection where there is one (*ret_connection). */
static gboolean
take_place(LakePgPool *pool, LakeTransportUse use, LakePgConnection **ret_connection,
    GCancellable *cancellable, GError **error)
{
    gint64 until = g_get_monotonic_time() + time_limit_us(pool, use);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&pool->lock);

    while (!has_room(pool, use)) {
        gint64 now = g_get_monotonic_time();

        if (g_cancellable_is_cancelled(cancellable)) {
            lake_error_set(
                error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_CANCELLED, "interrupted");
            return FALSE;
        }
        if (now >= until) {
            lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_BUSY,
                "all %u connections to the server are in use", pool->options.pool_size);
            return FALSE;
        }
        g_cond_wait_until(&pool->returned, &pool->lock, MIN(until, now + WAIT_SLICE_US));
    }
    pool->n_in_use++;
    if (use == LAKE_TRANSPORT_BULK)
        pool->n_bulk_in_use++;
    *ret_connection = g_queue_pop_head(&pool->idle);
    return TRUE;
}

static void
leave_place(LakePgPool *pool, LakeTransportUse use, LakePgConnection *idle)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&pool->lock);

    pool->n_in_use--;
    if (use == LAKE_TRANSPORT_BULK)
        pool->n_bulk_in_use--;
    if (idle)
        g_queue_push_head(&pool->idle, idle);
    /* Not signal: the one woken may be a bulk borrower that has no room yet. */
    g_cond_broadcast(&pool->returned);
}

static gboolean
may_connect(LakePgPool *pool, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&pool->lock);

    if (!pool->failure || g_get_monotonic_time() - pool->failed_at_us > RETRY_PAUSE_US)
        return TRUE;
    g_propagate_error(error, g_error_copy(pool->failure));
    return FALSE;
}

static void
note_outcome(LakePgPool *pool, const LakePgConnection *connection, const GError *failure)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&pool->lock);

    g_clear_error(&pool->failure);
    if (connection) {
        g_strlcpy(pool->server_version, PQparameterStatus(connection->libpq, "server_version"),
            sizeof pool->server_version);
    } else if (!g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_CANCELLED)) {
        pool->failure = g_error_copy(failure);
        pool->failed_at_us = g_get_monotonic_time();
    }
}

static LakePgConnection *
connect_anew(LakePgPool *pool, GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) failure = NULL;
    LakePgConnection *connection = NULL;

    if (!may_connect(pool, error))
        return NULL;
    if (!pool->options.ensure ||
        pool->options.ensure(pool->options.ensure_data, cancellable, &failure))
        connection = lake_pg_connection_open(&pool->options, cancellable, &failure);
    note_outcome(pool, connection, failure);
    if (failure)
        g_propagate_error(error, g_steal_pointer(&failure));
    return connection;
}

LakePgConnection *
lake_pg_pool_borrow(
    LakePgPool *pool, LakeTransportUse use, GCancellable *cancellable, GError **error)
{
    LakePgConnection *connection = NULL;

    if (!take_place(pool, use, &connection, cancellable, error))
        return NULL;
    if (connection && !lake_pg_connection_is_alive(connection))
        g_clear_pointer(&connection, lake_pg_connection_close);
    if (!connection)
        connection = connect_anew(pool, cancellable, error);
    if (!connection) {
        leave_place(pool, use, NULL);
        return NULL;
    }
    connection->is_cancelled = FALSE;
    connection->timeout_us = time_limit_us(pool, use);
    return connection;
}

void
lake_pg_pool_give_back(LakePgPool *pool, LakeTransportUse use, LakePgConnection *connection)
{
    lake_pg_connection_unwatch(connection);
    /* A cancel request may still be on its way and would hit whoever borrows next. */
    if (connection->is_spent || connection->is_cancelled ||
        PQtransactionStatus(connection->libpq) != PQTRANS_IDLE)
        g_clear_pointer(&connection, lake_pg_connection_close);
    leave_place(pool, use, connection);
}

const LakePgOptions *
lake_pg_pool_options(LakePgPool *pool)
{
    return &pool->options;
}

void
lake_pg_pool_status(LakePgPool *pool, LakeTransportStatus *ret_status)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&pool->lock);

    ret_status->n_open = pool->n_in_use + g_queue_get_length(&pool->idle);
    ret_status->n_in_use = pool->n_in_use;
    ret_status->n_max = pool->options.pool_size;
    g_strlcpy(
        ret_status->server_version, pool->server_version, sizeof ret_status->server_version);
}

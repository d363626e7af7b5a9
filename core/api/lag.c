/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/lag.h"

#include "core/error.h"

void
lake_api_lag_init(LakeApiLag *lag, gint64 lag_us)
{
    *lag = (LakeApiLag){.lag_us = lag_us};
    g_mutex_init(&lag->lock);
}

void
lake_api_lag_clear(LakeApiLag *lag)
{
    g_mutex_clear(&lag->lock);
}

void
lake_api_lag_note(LakeApiLag *lag, LakeStatementScope changed)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lag->lock);
    gint64 until_us = g_get_monotonic_time() + lag->lag_us;

    lag->rows_until_us = until_us;
    if (changed != LAKE_SCOPE_ROWS)
        lag->all_until_us = until_us;
}

static gint64
until(LakeApiLag *lag, LakeStatementScope read)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lag->lock);

    return read == LAKE_SCOPE_STRUCTURE ? lag->all_until_us : lag->rows_until_us;
}

gboolean
lake_api_lag_is_unsettled(LakeApiLag *lag)
{
    return until(lag, LAKE_SCOPE_STRUCTURE) > g_get_monotonic_time();
}

gboolean
lake_api_lag_wait(
    LakeApiLag *lag, LakeStatementScope read, GCancellable *cancellable, GError **error)
{
    return lake_api_lag_wait_until(until(lag, read), cancellable, error);
}

gboolean
lake_api_lag_wait_until(gint64 until_us, GCancellable *cancellable, GError **error)
{
    GPollFD cancelled;

    if (until_us <= g_get_monotonic_time())
        return TRUE;
    /* Where no file descriptor is to be had the wait is just not cut short. */
    guint n_polled = cancellable && g_cancellable_make_pollfd(cancellable, &cancelled) ? 1 : 0;
    for (gint64 now_us; (now_us = g_get_monotonic_time()) < until_us;) {
        if (g_cancellable_is_cancelled(cancellable))
            break;
        g_poll(n_polled ? &cancelled : NULL, n_polled, (gint)((until_us - now_us) / 1000 + 1));
    }
    if (n_polled)
        g_cancellable_release_fd(cancellable);
    if (!g_cancellable_is_cancelled(cancellable))
        return TRUE;
    lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_CANCELLED, "cancelled");
    return FALSE;
}

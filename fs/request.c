/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/request.h"

/* More than connections: those beyond them wait in the pool for one, in turn. */
#define WORKERS_QUICK 8
#define WORKERS_LONG 24

struct FsRequests {
    GThreadPool *quick;
    GThreadPool *slow;
    GMutex lock; /* guards running */
    GCond ended;
    GQueue running; /* of FsRequest, by their links: those given to workers */
};

static void
finish(FsRequest *request)
{
    FsRequests *requests = request->requests;

    g_mutex_lock(&requests->lock);
    g_queue_unlink(&requests->running, &request->link);
    g_cond_broadcast(&requests->ended);
    g_mutex_unlock(&requests->lock);
    g_object_unref(request->call.cancellable);
    request->free(request);
}

static void
work(gpointer data, gpointer user_data)
{
    FsRequest *request = data;

    request->run(request);
    finish(request);
}

FsRequests *
fs_requests_new(void)
{
    FsRequests *requests = g_new0(FsRequests, 1);

    requests->quick = g_thread_pool_new(work, NULL, WORKERS_QUICK, FALSE, NULL);
    requests->slow = g_thread_pool_new(work, NULL, WORKERS_LONG, FALSE, NULL);
    g_mutex_init(&requests->lock);
    g_cond_init(&requests->ended);
    g_queue_init(&requests->running);
    return requests;
}

void
fs_requests_free(FsRequests *requests)
{
    g_thread_pool_free(requests->quick, FALSE, TRUE);
    g_thread_pool_free(requests->slow, FALSE, TRUE);
    g_mutex_clear(&requests->lock);
    g_cond_clear(&requests->ended);
    g_free(requests);
}

void
fs_requests_start(FsRequests *requests, FsRequest *request)
{
    request->requests = requests;
    request->call.may_block = FALSE;
    request->run(request);
    if (!request->call.would_block) {
        request->free(request);
        return;
    }

    request->call.may_block = TRUE;
    request->call.would_block = FALSE;
    request->call.cancellable = g_cancellable_new();
    request->link.data = request;
    g_mutex_lock(&requests->lock);
    g_queue_push_tail_link(&requests->running, &request->link);
    g_mutex_unlock(&requests->lock);
    request->queued(request);
    g_thread_pool_push(
        request->speed == FS_REQUEST_QUICK ? requests->quick : requests->slow, request, NULL);
}

guint
fs_requests_n_running(FsRequests *requests)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&requests->lock);

    return g_queue_get_length(&requests->running);
}

gboolean
fs_requests_wait(FsRequests *requests, gint64 timeout_ms)
{
    gint64 until = g_get_monotonic_time() + timeout_ms * 1000;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&requests->lock);

    while (!g_queue_is_empty(&requests->running))
        if (!g_cond_wait_until(&requests->ended, &requests->lock, until))
            return FALSE;
    return TRUE;
}

guint
fs_requests_cancel(FsRequests *requests)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&requests->lock);

    for (GList *item = requests->running.head; item; item = item->next)
        g_cancellable_cancel(((FsRequest *)item->data)->call.cancellable);
    return g_queue_get_length(&requests->running);
}

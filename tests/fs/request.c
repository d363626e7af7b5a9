/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/request.h"

#define N_MANY 200
/* More than there are workers of either speed. */
#define N_BLOCKED 40

/* What happened to one request; outlives it. */
typedef struct {
    GMutex lock; /* guards all below */
    GCond changed;
    GThread *ran_on[2]; /* by each run */
    guint n_runs, n_queued, n_freed;
    gboolean is_open; /* a worker may go on */
    gboolean is_started;
    gboolean was_cancelled;
    gboolean had_cancellable;
} Record;

typedef struct {
    FsRequest base;
    Record *record;
    gboolean blocks; /* needs a worker */
    gboolean waits;  /* there until the record is open, or it is cancelled */
} Request;

static void
record_init(Record *record)
{
    *record = (Record){.is_open = FALSE};
    g_mutex_init(&record->lock);
    g_cond_init(&record->changed);
}

static void
record_clear(Record *record)
{
    g_mutex_clear(&record->lock);
    g_cond_clear(&record->changed);
}

static void
wait_until_open(Record *record, GCancellable *cancellable)
{
    while (!record->is_open && !g_cancellable_is_cancelled(cancellable))
        (void)g_cond_wait_until(&record->changed, &record->lock,
            g_get_monotonic_time() + 5 * G_TIME_SPAN_MILLISECOND);
    record->was_cancelled = g_cancellable_is_cancelled(cancellable);
}

static void
run(FsRequest *base)
{
    Request *request = (Request *)base;
    Record *record = request->record;
    gboolean may_go_on = !request->blocks || fs_call_may_block(&base->call);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&record->lock);

    g_assert_cmpuint(record->n_runs, <, G_N_ELEMENTS(record->ran_on));
    record->ran_on[record->n_runs++] = g_thread_self();
    record->had_cancellable = base->call.cancellable != NULL;
    if (!may_go_on)
        return;
    record->is_started = TRUE;
    g_cond_broadcast(&record->changed);
    if (request->waits)
        wait_until_open(record, base->call.cancellable);
}

static void
queued(FsRequest *base)
{
    Record *record = ((Request *)base)->record;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&record->lock);

    g_assert_cmpuint(record->n_runs, ==, 1);
    g_assert_true(record->ran_on[0] == g_thread_self());
    record->n_queued++;
}

static void
free_request(FsRequest *base)
{
    Record *record = ((Request *)base)->record;

    g_free(base);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&record->lock);
    record->n_freed++;
}

static void
start(
    FsRequests *requests, Record *record, FsRequestSpeed speed, gboolean blocks, gboolean waits)
{
    Request *request = g_new0(Request, 1);

    request->base.speed = speed;
    request->base.run = run;
    request->base.queued = queued;
    request->base.free = free_request;
    request->record = record;
    request->blocks = blocks;
    request->waits = waits;
    fs_requests_start(requests, &request->base);
}

static void
wait_until_started(Record *record)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&record->lock);

    while (!record->is_started)
        g_cond_wait(&record->changed, &record->lock);
}

static void
open_gate(Record *record)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&record->lock);

    record->is_open = TRUE;
    g_cond_broadcast(&record->changed);
}

static void
test_inline(void)
{
    FsRequests *requests = fs_requests_new();
    Record record;

    record_init(&record);
    start(requests, &record, FS_REQUEST_QUICK, FALSE, FALSE);
    g_assert_cmpuint(record.n_runs, ==, 1);
    g_assert_true(record.ran_on[0] == g_thread_self());
    g_assert_cmpuint(record.n_queued, ==, 0);
    g_assert_cmpuint(record.n_freed, ==, 1);
    g_assert_cmpuint(fs_requests_n_running(requests), ==, 0);
    fs_requests_free(requests);
    record_clear(&record);
}

static void
test_worker(gconstpointer speed)
{
    FsRequests *requests = fs_requests_new();
    Record record;

    record_init(&record);
    start(requests, &record, (FsRequestSpeed)GPOINTER_TO_INT(speed), TRUE, TRUE);
    wait_until_started(&record);
    g_assert_cmpuint(fs_requests_n_running(requests), ==, 1);
    open_gate(&record);
    fs_requests_free(requests);

    g_assert_cmpuint(record.n_runs, ==, 2);
    g_assert_true(record.ran_on[0] == g_thread_self());
    g_assert_true(record.ran_on[1] != g_thread_self());
    g_assert_true(record.had_cancellable);
    g_assert_false(record.was_cancelled);
    g_assert_cmpuint(record.n_queued, ==, 1);
    g_assert_cmpuint(record.n_freed, ==, 1);
    record_clear(&record);
}

static void
test_wait(void)
{
    FsRequests *requests = fs_requests_new();
    gint64 start_us = g_get_monotonic_time();
    Record record;

    record_init(&record);
    g_assert_true(fs_requests_wait(requests, 0));
    start(requests, &record, FS_REQUEST_LONG, TRUE, TRUE);
    g_assert_false(fs_requests_wait(requests, 50));
    g_assert_cmpint(g_get_monotonic_time() - start_us, >=, 50 * G_TIME_SPAN_MILLISECOND);
    open_gate(&record);
    g_assert_true(fs_requests_wait(requests, 60 * 1000));
    g_assert_cmpuint(fs_requests_n_running(requests), ==, 0);
    fs_requests_free(requests);
    record_clear(&record);
}

static void
test_cancel(void)
{
    FsRequests *requests = fs_requests_new();
    Record records[3];

    g_assert_cmpuint(fs_requests_cancel(requests), ==, 0);
    for (gsize i = 0; i < G_N_ELEMENTS(records); i++) {
        record_init(&records[i]);
        start(requests, &records[i], i == 0 ? FS_REQUEST_QUICK : FS_REQUEST_LONG, TRUE, TRUE);
    }
    g_assert_false(fs_requests_wait(requests, 20));
    g_assert_cmpuint(fs_requests_cancel(requests), ==, G_N_ELEMENTS(records));
    g_assert_true(fs_requests_wait(requests, 60 * 1000));
    fs_requests_free(requests);
    for (gsize i = 0; i < G_N_ELEMENTS(records); i++) {
        g_assert_true(records[i].was_cancelled);
        g_assert_cmpuint(records[i].n_freed, ==, 1);
        record_clear(&records[i]);
    }
}

/* Whoever waits for a worker can be cancelled as well: it runs, and sees it. */
static void
test_cancel_queued(void)
{
    FsRequests *requests = fs_requests_new();
    Record records[N_BLOCKED];

    for (gsize i = 0; i < N_BLOCKED; i++) {
        record_init(&records[i]);
        start(requests, &records[i], FS_REQUEST_LONG, TRUE, TRUE);
    }
    g_assert_cmpuint(fs_requests_n_running(requests), ==, N_BLOCKED);
    g_assert_cmpuint(fs_requests_cancel(requests), ==, N_BLOCKED);
    fs_requests_free(requests);
    for (gsize i = 0; i < N_BLOCKED; i++) {
        g_assert_true(records[i].was_cancelled);
        g_assert_cmpuint(records[i].n_freed, ==, 1);
        record_clear(&records[i]);
    }
}

static void
test_speeds(void)
{
    FsRequests *requests = fs_requests_new();
    Record blocked;
    Record quick;
    Record inlined;
    Record others[N_BLOCKED - 1];

    record_init(&blocked);
    record_init(&quick);
    record_init(&inlined);
    start(requests, &blocked, FS_REQUEST_LONG, TRUE, TRUE);
    for (gsize i = 0; i < G_N_ELEMENTS(others); i++) {
        record_init(&others[i]);
        start(requests, &others[i], FS_REQUEST_LONG, TRUE, TRUE);
    }
    start(requests, &quick, FS_REQUEST_QUICK, TRUE, FALSE);
    wait_until_started(&quick);
    start(requests, &inlined, FS_REQUEST_LONG, FALSE, FALSE);
    g_assert_cmpuint(inlined.n_freed, ==, 1);
    g_assert_cmpuint(fs_requests_cancel(requests), >=, N_BLOCKED);
    fs_requests_free(requests);
    g_assert_cmpuint(quick.n_freed, ==, 1);
    record_clear(&blocked);
    record_clear(&quick);
    record_clear(&inlined);
    for (gsize i = 0; i < G_N_ELEMENTS(others); i++)
        record_clear(&others[i]);
}

typedef struct {
    FsRequests *requests;
    Record records[N_MANY];
} Loop;

static gpointer
start_many(gpointer user_data)
{
    Loop *loop = user_data;

    for (guint i = 0; i < N_MANY; i++)
        start(loop->requests, &loop->records[i], i % 3 ? FS_REQUEST_QUICK : FS_REQUEST_LONG,
            i % 4 != 0, FALSE);
    return NULL;
}

static void
test_many(void)
{
    FsRequests *requests = fs_requests_new();
    GThread *threads[3];
    g_autofree Loop *loops = g_new(Loop, G_N_ELEMENTS(threads));

    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++) {
        loops[i].requests = requests;
        for (guint j = 0; j < N_MANY; j++)
            record_init(&loops[i].records[j]);
        threads[i] = g_thread_new("loop", start_many, &loops[i]);
    }
    (void)fs_requests_cancel(requests);
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    g_assert_true(fs_requests_wait(requests, 60 * 1000));
    fs_requests_free(requests);
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        for (guint j = 0; j < N_MANY; j++) {
            g_assert_cmpuint(loops[i].records[j].n_freed, ==, 1);
            g_assert_cmpuint(loops[i].records[j].n_runs, ==, j % 4 ? 2 : 1);
            record_clear(&loops[i].records[j]);
        }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fs/request/what-needs-no-server-is-answered-at-once", test_inline);
    g_test_add_data_func("/fs/request/what-would-block-runs-again-on-a-worker/quick",
        GINT_TO_POINTER(FS_REQUEST_QUICK), test_worker);
    g_test_add_data_func("/fs/request/what-would-block-runs-again-on-a-worker/long",
        GINT_TO_POINTER(FS_REQUEST_LONG), test_worker);
    g_test_add_func("/fs/request/waiting-has-a-limit", test_wait);
    g_test_add_func("/fs/request/cancelling-reaches-all-that-run", test_cancel);
    g_test_add_func("/fs/request/cancelling-reaches-those-in-the-queue", test_cancel_queued);
    g_test_add_func("/fs/request/long-ones-do-not-delay-quick-ones", test_speeds);
    g_test_add_func("/fs/request/each-of-many-is-run-and-freed-once", test_many);
    return g_test_run();
}

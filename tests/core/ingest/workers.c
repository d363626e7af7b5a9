/* SPDX-License-Identifier: Apache-2.0 */

/* Parts on several threads: their order, their number, and how they are stopped. */

#include "core/ingest/workers.h"

#include "core/error.h"

#define N_WORKERS 4

typedef struct {
    gint number;
    guint sleep_ms;
    gboolean fails;
    gboolean waits; /* until it is stopped */
} Part;

/* What the parts saw of each other. */
typedef struct {
    gint n_running;
    gint n_running_max;
    gint n_done;
    gint n_freed;
    gint n_stopped;
} Seen;

static Seen seen;

static Part *
part_new(gint number, guint sleep_ms)
{
    Part *part = g_new0(Part, 1);

    part->number = number;
    part->sleep_ms = sleep_ms;
    return part;
}

static void
part_free(gpointer part)
{
    g_atomic_int_inc(&seen.n_freed);
    g_free(part);
}

static void
note_running(void)
{
    gint n_running = g_atomic_int_add(&seen.n_running, 1) + 1;
    gint n_max = g_atomic_int_get(&seen.n_running_max);

    while (n_running > n_max &&
           !g_atomic_int_compare_and_exchange(&seen.n_running_max, n_max, n_running))
        n_max = g_atomic_int_get(&seen.n_running_max);
}

static gboolean
work(gpointer data, gpointer user_data, GCancellable *stop, GError **error)
{
    Part *part = data;
    gboolean is_good = !part->fails;

    g_assert_true(user_data == &seen);
    note_running();
    g_usleep(part->sleep_ms * 1000);
    while (part->waits && !g_cancellable_is_cancelled(stop))
        g_usleep(1000);
    if (part->waits) {
        g_atomic_int_inc(&seen.n_stopped);
        is_good = FALSE;
        lake_error_set(
            error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_CANCELLED, "stopped %d", part->number);
    } else if (part->fails) {
        lake_error_set(
            error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_BAD_INPUT, "part %d", part->number);
        lake_error_hint(*error, "another one");
    }
    g_atomic_int_inc(&seen.n_done);
    g_atomic_int_add(&seen.n_running, -1);
    return is_good;
}

static LakeIngestSequence *
new_sequence(LakeIngestWorkers *workers, gint64 timeout_ms, GCancellable *cancellable)
{
    seen = (Seen){0};
    return lake_ingest_sequence_new(workers, work, part_free, &seen, timeout_ms, cancellable);
}

static void
test_order(void)
{
    g_autoptr(LakeIngestWorkers) workers = lake_ingest_workers_new(N_WORKERS);
    g_autoptr(LakeIngestSequence) sequence = new_sequence(workers, 0, NULL);
    gint n_pushed = 0;

    for (gint n_popped = 0; n_popped < 100; n_popped++) {
        while (n_pushed < 100 && !lake_ingest_sequence_is_full(sequence)) {
            /* Later ones are done sooner. */
            lake_ingest_sequence_push(
                sequence, part_new(n_pushed, n_pushed % N_WORKERS == 0 ? 5 : 0));
            n_pushed++;
        }
        g_autofree Part *part = lake_ingest_sequence_pop(sequence, NULL);
        g_assert_cmpint(part->number, ==, n_popped);
    }
    g_assert_cmpuint(lake_ingest_sequence_n_pending(sequence), ==, 0);
    g_assert_cmpint(seen.n_freed, ==, 0);
}

static void
test_bounded(void)
{
    g_autoptr(LakeIngestWorkers) workers = lake_ingest_workers_new(N_WORKERS);
    LakeIngestSequence *sequences[3];

    for (gsize i = 0; i < G_N_ELEMENTS(sequences); i++)
        sequences[i] = new_sequence(workers, 0, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(sequences); i++)
        for (gint number = 0; !lake_ingest_sequence_is_full(sequences[i]); number++)
            lake_ingest_sequence_push(sequences[i], part_new(number, 20));
    for (gsize i = 0; i < G_N_ELEMENTS(sequences); i++) {
        g_assert_cmpuint(lake_ingest_sequence_n_pending(sequences[i]), ==, N_WORKERS + 1);
        while (lake_ingest_sequence_n_pending(sequences[i]) > 0)
            g_free(lake_ingest_sequence_pop(sequences[i], NULL));
        lake_ingest_sequence_free(sequences[i]);
    }
    g_assert_cmpint(seen.n_done, ==, 3 * (N_WORKERS + 1));
    g_assert_cmpint(seen.n_running_max, <=, N_WORKERS);
    g_assert_cmpint(seen.n_running_max, >, 1);
}

static void
test_first_error(void)
{
    g_autoptr(LakeIngestWorkers) workers = lake_ingest_workers_new(N_WORKERS);
    LakeIngestSequence *sequence = new_sequence(workers, 0, NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(GError) again = NULL;
    Part *first = part_new(0, 0);
    Part *second = part_new(1, 10);

    first->waits = TRUE;
    second->fails = TRUE;
    lake_ingest_sequence_push(sequence, first);
    lake_ingest_sequence_push(sequence, second);
    for (gint number = 2; number < 100; number++)
        lake_ingest_sequence_push(sequence, part_new(number, 20));

    /* The first is only ended by the failure of the second, which is the one that is told. */
    g_assert_null(lake_ingest_sequence_pop(sequence, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
    g_assert_cmpstr(error->message, ==, "part 1");
    g_assert_cmpstr(lake_error_facts(error)->hint, ==, "another one");
    g_assert_null(lake_ingest_sequence_pop(sequence, &again));
    g_assert_cmpstr(again->message, ==, "part 1");

    lake_ingest_sequence_free(sequence);
    g_assert_cmpint(seen.n_stopped, ==, 1);
    g_assert_cmpint(seen.n_done, <, 100);
    g_assert_cmpint(seen.n_running, ==, 0);
    g_assert_cmpint(seen.n_freed, ==, 100);
}

static gpointer
cancel_soon(gpointer cancellable)
{
    g_usleep(20000);
    g_cancellable_cancel(cancellable);
    return NULL;
}

static void
test_cancel(void)
{
    g_autoptr(LakeIngestWorkers) workers = lake_ingest_workers_new(N_WORKERS);
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    LakeIngestSequence *sequence = new_sequence(workers, 0, cancellable);
    g_autoptr(GError) error = NULL;

    for (gint number = 0; number < 10; number++) {
        Part *part = part_new(number, 0);
        part->waits = TRUE;
        lake_ingest_sequence_push(sequence, part);
    }
    GThread *canceller = g_thread_new("cancel", cancel_soon, cancellable);
    g_assert_null(lake_ingest_sequence_pop(sequence, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_CANCELLED);
    lake_ingest_sequence_free(sequence);
    g_thread_join(canceller);
    g_assert_cmpint(seen.n_running, ==, 0);
    g_assert_cmpint(seen.n_freed, ==, 10);
}

static void
test_cancelled_before(void)
{
    g_autoptr(LakeIngestWorkers) workers = lake_ingest_workers_new(N_WORKERS);
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;

    g_cancellable_cancel(cancellable);
    LakeIngestSequence *sequence = new_sequence(workers, 0, cancellable);
    lake_ingest_sequence_push(sequence, part_new(0, 0));
    g_assert_null(lake_ingest_sequence_pop(sequence, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_CANCELLED);
    lake_ingest_sequence_free(sequence);
    g_assert_cmpint(seen.n_done, ==, 0);
}

static void
test_timeout(void)
{
    g_autoptr(LakeIngestWorkers) workers = lake_ingest_workers_new(1);
    LakeIngestSequence *sequence = new_sequence(workers, 100, NULL);
    g_autoptr(GError) error = NULL;
    gint64 begun_us = g_get_monotonic_time();
    Part *endless = part_new(3, 0);

    /* The time that a part waits for its turn does not count: these take 180 ms together. */
    for (gint number = 0; number < 3; number++)
        lake_ingest_sequence_push(sequence, part_new(number, 60));
    endless->waits = TRUE;
    lake_ingest_sequence_push(sequence, endless);
    for (gint number = 0; number < 3; number++) {
        g_autofree Part *part = lake_ingest_sequence_pop(sequence, &error);
        g_assert_no_error(error);
        g_assert_cmpint(part->number, ==, number);
    }
    g_assert_null(lake_ingest_sequence_pop(sequence, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
    g_assert_nonnull(strstr(error->message, "longer than"));
    lake_ingest_sequence_free(sequence);
    g_assert_cmpint(seen.n_stopped, ==, 1);
    g_assert_cmpint(g_get_monotonic_time() - begun_us, >=, 250 * 1000);
}

static void
test_freed_early(void)
{
    g_autoptr(LakeIngestWorkers) workers = lake_ingest_workers_new(N_WORKERS);

    for (guint round = 0; round < 50; round++) {
        LakeIngestSequence *sequence = new_sequence(workers, round % 2 ? 1000 : 0, NULL);
        for (gint number = 0; number < 8; number++)
            lake_ingest_sequence_push(sequence, part_new(number, round % 3));
        lake_ingest_sequence_free(sequence);
        g_assert_cmpint(seen.n_running, ==, 0);
        g_assert_cmpint(seen.n_freed, ==, 8);
    }
    lake_ingest_sequence_free(NULL);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/ingest/workers/results-come-in-order", test_order);
    g_test_add_func("/core/ingest/workers/all-files-share-one-bounded-number", test_bounded);
    g_test_add_func("/core/ingest/workers/the-first-error-stops-the-rest", test_first_error);
    g_test_add_func("/core/ingest/workers/cancelling-stops-all", test_cancel);
    g_test_add_func(
        "/core/ingest/workers/a-cancelled-file-does-no-part", test_cancelled_before);
    g_test_add_func("/core/ingest/workers/a-part-has-a-time-limit", test_timeout);
    g_test_add_func("/core/ingest/workers/freeing-waits-for-what-runs", test_freed_early);
    return g_test_run();
}

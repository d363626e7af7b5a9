/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/lag.h"

#include "core/error.h"

#define LAG_US (80 * 1000)
#define LONG_US (60 * G_TIME_SPAN_SECOND) /* no test waits for it */

static const LakeStatementScope scopes[] = {
    LAKE_SCOPE_ALL, LAKE_SCOPE_STRUCTURE, LAKE_SCOPE_ROWS};

/* Whether a reader of this scope would wait. */
static gboolean
must_wait(LakeApiLag *lag, LakeStatementScope read)
{
    g_autoptr(GCancellable) cancelled = g_cancellable_new();
    g_autoptr(GError) error = NULL;

    g_cancellable_cancel(cancelled);
    if (lake_api_lag_wait(lag, read, cancelled, &error))
        return FALSE;
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_CANCELLED);
    return TRUE;
}

static void
test_nothing_was_changed(void)
{
    LakeApiLag lag;

    lake_api_lag_init(&lag, LONG_US);
    for (gsize i = 0; i < G_N_ELEMENTS(scopes); i++)
        g_assert_true(lake_api_lag_wait(&lag, scopes[i], NULL, NULL));
    g_assert_false(lake_api_lag_is_unsettled(&lag));
    lake_api_lag_clear(&lag);
}

static void
test_no_lag(void)
{
    LakeApiLag lag;

    lake_api_lag_init(&lag, 0);
    for (gsize i = 0; i < G_N_ELEMENTS(scopes); i++) {
        lake_api_lag_note(&lag, scopes[i]);
        g_assert_false(lake_api_lag_is_unsettled(&lag));
        for (gsize j = 0; j < G_N_ELEMENTS(scopes); j++)
            g_assert_true(lake_api_lag_wait(&lag, scopes[j], NULL, NULL));
    }
    lake_api_lag_clear(&lag);
}

/* Copying many files does not wait after each; whoever reads their rows does. */
static void
test_rows_let_structure_pass(void)
{
    LakeApiLag lag;

    lake_api_lag_init(&lag, LONG_US);
    lake_api_lag_note(&lag, LAKE_SCOPE_ROWS);
    g_assert_false(must_wait(&lag, LAKE_SCOPE_STRUCTURE));
    g_assert_true(must_wait(&lag, LAKE_SCOPE_ROWS));
    g_assert_true(must_wait(&lag, LAKE_SCOPE_ALL));
    g_assert_false(lake_api_lag_is_unsettled(&lag));
    lake_api_lag_clear(&lag);
}

static void
test_all_else_is_waited_for(void)
{
    static const LakeStatementScope changed[] = {LAKE_SCOPE_ALL, LAKE_SCOPE_STRUCTURE};

    for (gsize i = 0; i < G_N_ELEMENTS(changed); i++) {
        LakeApiLag lag;

        lake_api_lag_init(&lag, LONG_US);
        lake_api_lag_note(&lag, changed[i]);
        for (gsize j = 0; j < G_N_ELEMENTS(scopes); j++)
            g_assert_true(must_wait(&lag, scopes[j]));
        g_assert_true(lake_api_lag_is_unsettled(&lag));
        lake_api_lag_clear(&lag);
    }
}

/* From the last change on, for as long as the lag and not much longer. */
static void
test_wait_ends(void)
{
    LakeApiLag lag;

    lake_api_lag_init(&lag, LAG_US);
    lake_api_lag_note(&lag, LAKE_SCOPE_ALL);
    g_usleep(LAG_US / 2);
    gint64 noted_us = g_get_monotonic_time();
    lake_api_lag_note(&lag, LAKE_SCOPE_ALL);
    g_assert_true(lake_api_lag_wait(&lag, LAKE_SCOPE_STRUCTURE, NULL, NULL));
    gint64 waited_us = g_get_monotonic_time() - noted_us;
    g_assert_cmpint(waited_us, >=, LAG_US);
    g_assert_cmpint(waited_us, <, 20 * G_TIME_SPAN_SECOND);
    g_assert_false(lake_api_lag_is_unsettled(&lag));
    g_assert_false(must_wait(&lag, LAKE_SCOPE_ALL));
    lake_api_lag_clear(&lag);
}

static gpointer
cancel_soon(gpointer cancellable)
{
    g_usleep(50 * 1000);
    g_cancellable_cancel(cancellable);
    return NULL;
}

static void
test_cancelled_while_waiting(void)
{
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;
    LakeApiLag lag;

    lake_api_lag_init(&lag, LONG_US);
    lake_api_lag_note(&lag, LAKE_SCOPE_ALL);
    gint64 begun_us = g_get_monotonic_time();
    GThread *thread = g_thread_new("cancel", cancel_soon, cancellable);
    g_assert_false(lake_api_lag_wait(&lag, LAKE_SCOPE_ALL, cancellable, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_CANCELLED);
    g_assert_cmpint(g_get_monotonic_time() - begun_us, <, LONG_US / 2);
    g_thread_join(thread);
    lake_api_lag_clear(&lag);
}

/* --- many threads --- */

static gpointer
note_often(gpointer lag)
{
    for (guint i = 0; i < 2000; i++)
        lake_api_lag_note(lag, scopes[i % G_N_ELEMENTS(scopes)]);
    return NULL;
}

static gpointer
wait_often(gpointer lag)
{
    for (guint i = 0; i < 200; i++)
        g_assert_true(lake_api_lag_wait(lag, scopes[i % G_N_ELEMENTS(scopes)], NULL, NULL));
    return NULL;
}

static void
test_threads(void)
{
    GThread *threads[8];
    LakeApiLag lag;

    lake_api_lag_init(&lag, 100);
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("lag", i % 2 ? note_often : wait_often, &lag);
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    lake_api_lag_clear(&lag);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/api/lag/nothing-was-changed", test_nothing_was_changed);
    g_test_add_func("/core/api/lag/no-lag", test_no_lag);
    g_test_add_func("/core/api/lag/rows-let-structure-pass", test_rows_let_structure_pass);
    g_test_add_func("/core/api/lag/all-else-is-waited-for", test_all_else_is_waited_for);
    g_test_add_func("/core/api/lag/wait-ends", test_wait_ends);
    g_test_add_func("/core/api/lag/cancelled-while-waiting", test_cancelled_while_waiting);
    g_test_add_func("/core/api/lag/threads", test_threads);
    return g_test_run();
}

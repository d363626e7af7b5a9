/* SPDX-License-Identifier: Apache-2.0 */

/* The environment is read once in a process's life, so each test runs in a process of its own.
 */
#include "core/fault.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_THREADS 4
#define N_PASSES 1000

/* TRUE in the process that the test is about; in the other one it has gone well by then. */
static gboolean
is_process_with(const char *faults)
{
    if (g_test_subprocess()) {
        if (faults)
            g_setenv("LAKE_FAULT", faults, TRUE);
        else
            g_unsetenv("LAKE_FAULT");
        return TRUE;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
    return FALSE;
}

static void
test_unset(void)
{
    if (!is_process_with(NULL))
        return;
    for (guint pass = 0; pass < 10; pass++)
        g_assert_false(lake_fault("point"));
}

static void
test_nth(void)
{
    if (!is_process_with("point:3"))
        return;
    for (guint pass = 1; pass <= 10; pass++)
        g_assert_cmpint(lake_fault("point"), ==, pass == 3);
}

static void
test_first(void)
{
    if (!is_process_with("point"))
        return;
    g_assert_true(lake_fault("point"));
    g_assert_false(lake_fault("point"));
}

static void
test_names(void)
{
    if (!is_process_with("point:2,other"))
        return;
    g_assert_false(lake_fault("poin"));
    g_assert_false(lake_fault("points"));
    g_assert_false(lake_fault("point"));
    g_assert_true(lake_fault("other"));
    g_assert_true(lake_fault("point"));
}

static void
test_twice(void)
{
    if (!is_process_with("point:2,point:4"))
        return;
    for (guint pass = 1; pass <= 6; pass++)
        g_assert_cmpint(lake_fault("point"), ==, pass == 2 || pass == 4);
}

static void
test_sleep(void)
{
    gint64 start_us;

    if (!is_process_with("point:2:sleep=80"))
        return;
    g_assert_false(lake_fault("point"));
    start_us = g_get_monotonic_time();
    g_assert_false(lake_fault("point"));
    g_assert_cmpint(g_get_monotonic_time() - start_us, >=, 80 * G_TIME_SPAN_MILLISECOND);
}

static void
test_kill(void)
{
    int status = 0;

    if (!is_process_with("point:2:kill"))
        return;
    pid_t child = fork();
    g_assert_cmpint(child, >=, 0);
    if (child == 0) {
        (void)lake_fault("point");
        (void)lake_fault("point");
        _exit(0);
    }
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_true(WIFSIGNALED(status));
    g_assert_cmpint(WTERMSIG(status), ==, SIGKILL);
}

static gpointer
pass_many_times(gpointer user_data)
{
    guint n_answers = 0;

    for (guint pass = 0; pass < N_PASSES; pass++)
        n_answers += lake_fault("point") ? 1 : 0;
    return GUINT_TO_POINTER(n_answers);
}

static void
test_threads(void)
{
    GThread *threads[N_THREADS];
    guint n_answers = 0;

    if (!is_process_with("point:1777"))
        return;
    for (guint i = 0; i < N_THREADS; i++)
        threads[i] = g_thread_new("passes", pass_many_times, NULL);
    for (guint i = 0; i < N_THREADS; i++)
        n_answers += GPOINTER_TO_UINT(g_thread_join(threads[i]));
    g_assert_cmpuint(n_answers, ==, 1);
}

static void
test_spelling(gconstpointer faults)
{
    if (g_test_subprocess()) {
        g_setenv("LAKE_FAULT", faults, TRUE);
        (void)lake_fault("point");
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_failed();
    g_test_trap_assert_stderr("*LAKE_FAULT*is not name*");
}

int
main(int argc, char **argv)
{
    static const char *const wrong[] = {"point:0", "point:x", "point:-1", "point:1:die",
        "point:1:sleep=", "point:1:kill:2", "point,,other", ":1"};

    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/fault/nothing-happens-unasked", test_unset);
    g_test_add_func("/core/fault/the-nth-pass-answers-once", test_nth);
    g_test_add_func("/core/fault/without-a-number-it-is-the-first-pass", test_first);
    g_test_add_func("/core/fault/points-are-told-apart-by-their-whole-name", test_names);
    g_test_add_func("/core/fault/a-point-may-fail-more-than-once", test_twice);
    g_test_add_func("/core/fault/sleep-waits-and-goes-on", test_sleep);
    g_test_add_func("/core/fault/kill-is-sigkill", test_kill);
    g_test_add_func("/core/fault/one-pass-of-many-threads-answers", test_threads);

    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autofree char *path =
            g_strdup_printf("/core/fault/a-wrong-spelling-aborts/%" G_GSIZE_FORMAT, i);
        g_test_add_data_func(path, wrong[i], test_spelling);
    }
    return g_test_run();
}

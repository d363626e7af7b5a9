/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/caller.h"

#include "core/error.h"

#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* A process that blocks a signal, says so, and waits. */
static pid_t
fork_sleeper(int blocked)
{
    int ready[2];
    char byte = 0;

    g_assert_cmpint(pipe(ready), ==, 0);
    pid_t child = fork();
    g_assert_cmpint(child, >=, 0);
    if (child == 0) {
        sigset_t signals;

        /* Whoever ran the tests may ignore some, as nohup does. */
        for (int number = 1; number < NSIG; number++)
            (void)signal(number, SIG_DFL);
        (void)sigemptyset(&signals);
        (void)sigaddset(&signals, blocked);
        (void)sigprocmask(SIG_BLOCK, &signals, NULL);
        if (write(ready[1], "", 1) != 1)
            _exit(1);
        for (;;)
            (void)pause();
    }
    (void)close(ready[1]);
    g_assert_cmpint(read(ready[0], &byte, 1), ==, 1);
    (void)close(ready[0]);
    return child;
}

static void
end(pid_t child)
{
    (void)kill(child, SIGKILL);
    g_assert_cmpint(waitpid(child, NULL, 0), ==, child);
}

/* Waits until the child has ended, and leaves it as it is then: gone, and not collected. */
static void
wait_for_zombie(pid_t child)
{
    siginfo_t info;

    g_assert_cmpint(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), ==, 0);
}

static void
test_killed(void)
{
    static const int signals[] = {SIGKILL, SIGTERM, SIGINT, SIGHUP};

    for (gsize i = 0; i < G_N_ELEMENTS(signals); i++) {
        pid_t child = fork_sleeper(SIGUSR1);
        int signal = 0;

        g_assert_false(fs_caller_was_killed(child, &signal));
        g_assert_cmpint(kill(child, signals[i]), ==, 0);
        wait_for_zombie(child);
        g_assert_true(fs_caller_was_killed(child, &signal));
        g_assert_cmpint(signal, ==, signals[i]);
        g_assert_cmpint(waitpid(child, NULL, 0), ==, child);
        g_assert_false(fs_caller_was_killed(child, &signal));
    }
}

static void
test_exited(void)
{
    /* 128 + 9 is what a shell says of a killed command, when it ends by itself. */
    static const int statuses[] = {0, 1, 9, 127, 137, 255};

    for (gsize i = 0; i < G_N_ELEMENTS(statuses); i++) {
        int signal = -1;
        pid_t child = fork();

        g_assert_cmpint(child, >=, 0);
        if (child == 0)
            _exit(statuses[i]);
        wait_for_zombie(child);
        g_assert_false(fs_caller_was_killed(child, &signal));
        g_assert_cmpint(waitpid(child, NULL, 0), ==, child);
    }
}

static void
test_alive(void)
{
    int signal = -1;

    g_assert_false(fs_caller_was_killed(getpid(), &signal));
    g_assert_false(fs_caller_is_stopped(getpid()));
}

static void
test_unseen(void)
{
    static const gint32 unseen[] = {0, -1, G_MAXINT32, G_MININT32};
    int signal = -1;

    for (gsize i = 0; i < G_N_ELEMENTS(unseen); i++) {
        g_assert_false(fs_caller_was_killed(unseen[i], &signal));
        g_assert_true(fs_caller_is_stopped(unseen[i]));
        g_assert_cmpint(fs_caller_process_of(unseen[i]), ==, unseen[i]);
    }
}

static void
test_stopped(void)
{
    static const int stops[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};

    for (gsize i = 0; i < G_N_ELEMENTS(stops); i++) {
        pid_t child = fork_sleeper(stops[i]);

        g_assert_false(fs_caller_is_stopped(child));
        g_assert_cmpint(kill(child, stops[i]), ==, 0);
        g_assert_true(fs_caller_is_stopped(child));
        end(child);
    }
}

/* They stand before the signals in what the kernel tells of a process. */
static void
test_many_groups(void)
{
    gid_t groups[2000];

    if (geteuid() != 0) {
        g_test_skip("only root can join groups");
        return;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(groups); i++)
        groups[i] = (gid_t)(100000 + i);
    g_assert_cmpint(setgroups(G_N_ELEMENTS(groups), groups), ==, 0);
    pid_t child = fork_sleeper(SIGINT);
    g_assert_cmpint(setgroups(0, NULL), ==, 0);

    g_assert_cmpint(kill(child, SIGINT), ==, 0);
    g_assert_true(fs_caller_is_stopped(child));
    end(child);
}

static void
test_harmless(void)
{
    static const int harmless[] = {SIGUSR1, SIGURG, SIGALRM, SIGCHLD, SIGWINCH, SIGCONT};

    for (gsize i = 0; i < G_N_ELEMENTS(harmless); i++) {
        pid_t child = fork_sleeper(harmless[i]);

        g_assert_cmpint(kill(child, harmless[i]), ==, 0);
        g_assert_false(fs_caller_is_stopped(child));
        end(child);
    }
}

static gpointer
ask_from_thread(gpointer user_data)
{
    gint32 *ret_thread = user_data;

    *ret_thread = (gint32)syscall(SYS_gettid);
    return GINT_TO_POINTER(fs_caller_process_of(*ret_thread));
}

static void
test_process(void)
{
    gint32 thread = 0;
    gint32 process =
        GPOINTER_TO_INT(g_thread_join(g_thread_new("asks", ask_from_thread, &thread)));

    g_assert_cmpint(thread, !=, getpid());
    g_assert_cmpint(process, ==, getpid());
    g_assert_cmpint(fs_caller_process_of(getpid()), ==, getpid());
}

static void
test_has_open(void)
{
    g_autofree char *path = g_strdup("/tmp/caller-XXXXXX");
    int fd = g_mkstemp(path);

    g_assert_true(fs_caller_has_open(getpid(), path));
    g_assert_true(fs_caller_has_open(getpid(), strrchr(path, '/')));
    g_assert_false(fs_caller_has_open(getpid(), "/no such file"));
    (void)close(fd);
    g_assert_false(fs_caller_has_open(getpid(), path));
    g_assert_false(fs_caller_has_open(-1, path));
    (void)unlink(path);
}

static void
test_local_paths(void)
{
    static const guint32 others[] = {0, 1001, G_MAXUINT32};
    g_autoptr(GError) none = NULL;

    g_assert_true(fs_caller_may_name_local_paths(0, 0, "coco_panoptic", &none));
    g_assert_true(fs_caller_may_name_local_paths(1000, 1000, "coco_panoptic", &none));
    g_assert_no_error(none);
    for (gsize i = 0; i < G_N_ELEMENTS(others); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_false(
            fs_caller_may_name_local_paths(others[i], 1000, "coco_panoptic", &error));
        g_assert_error(error, LAKE_ERROR, LAKE_ERROR_NO_ACCESS);
        g_assert_nonnull(strstr(error->message, "coco_panoptic"));
        g_assert_nonnull(strstr(error->message, "1000"));
        g_assert_nonnull(strstr(lake_error_facts(error)->hint, "deeplakefs ingest"));
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fs/caller/open-files-are-known-by-the-end-of-their-path", test_has_open);
    g_test_add_func("/fs/caller/a-killed-process-tells-its-signal", test_killed);
    g_test_add_func("/fs/caller/one-that-ended-by-itself-was-not-killed", test_exited);
    g_test_add_func("/fs/caller/one-that-lives-is-neither-killed-nor-stopped", test_alive);
    g_test_add_func("/fs/caller/one-that-cannot-be-seen-counts-as-stopped", test_unseen);
    g_test_add_func("/fs/caller/a-signal-to-stop-that-waits-is-seen", test_stopped);
    g_test_add_func("/fs/caller/a-signal-to-one-of-many-groups-is-seen", test_many_groups);
    g_test_add_func("/fs/caller/another-signal-is-no-stop", test_harmless);
    g_test_add_func(
        "/fs/caller/local-paths-are-for-the-owner-of-the-mount-alone", test_local_paths);
    g_test_add_func("/fs/caller/a-thread-belongs-to-its-process", test_process);
    return g_test_run();
}

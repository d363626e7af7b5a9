/* SPDX-License-Identifier: Apache-2.0 */
#include "mount/daemon.h"

#include "core/error.h"
#include "mount/commands/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t watched_child;

static void
redirect(int fd)
{
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null_fd >= 0) {
        dup2(null_fd, fd);
        close(null_fd);
    }
}

pid_t
mount_daemon_fork(int *ret_fd, GError **error)
{
    int fds[2];
    if (!g_unix_open_pipe(fds, FD_CLOEXEC, error))
        return -1;

    pid_t child = fork();
    if (child < 0) {
        int saved_errno = errno;
        close(fds[0]);
        close(fds[1]);
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_FAILED,
            "cannot start the daemon: %s", g_strerror(saved_errno));
        return -1;
    }

    close(fds[child == 0 ? 0 : 1]);
    *ret_fd = fds[child == 0 ? 1 : 0];
    if (child == 0) {
        setsid();
        if (chdir("/") < 0)
            _exit(MOUNT_EXIT_SYSTEM);
        redirect(STDIN_FILENO);
        redirect(STDOUT_FILENO);
    }
    return child;
}

static void
write_all(int fd, const char *data, gsize n_bytes)
{
    while (n_bytes > 0) {
        gssize n_written = write(fd, data, n_bytes);
        if (n_written < 0 && errno == EINTR)
            continue;
        if (n_written < 0)
            return; /* nobody waits any more */
        data += n_written;
        n_bytes -= (gsize)n_written;
    }
}

void
mount_daemon_report(int fd, int exit_status, const char *text)
{
    char status = (char)exit_status;

    write_all(fd, &status, 1);
    if (text)
        write_all(fd, text, strlen(text));
    close(fd);
}

void
mount_daemon_silence(void)
{
    redirect(STDERR_FILENO);
}

static void
pass_on(int number)
{
    if (watched_child > 0)
        kill(watched_child, number);
}

static GString *
read_verdict(int fd)
{
    GString *verdict = g_string_new(NULL);
    char buffer[4096];

    for (;;) {
        gssize n_read = read(fd, buffer, sizeof buffer);
        if (n_read < 0 && errno == EINTR)
            continue;
        if (n_read <= 0)
            return verdict;
        g_string_append_len(verdict, buffer, n_read);
    }
}

static void
print_death(pid_t child)
{
    int status = 0;

    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (WIFSIGNALED(status))
        fprintf(stderr, "deeplakefs: mount: the daemon was killed by signal %d (%s)\n",
            WTERMSIG(status), g_strsignal(WTERMSIG(status)));
    else
        fprintf(stderr,
            "deeplakefs: mount: the daemon left with status %d before it was ready\n",
            WEXITSTATUS(status));
}

int
mount_daemon_wait(pid_t child, int fd)
{
    struct sigaction pass = {.sa_handler = pass_on};
    watched_child = child;
    sigaction(SIGINT, &pass, NULL);
    sigaction(SIGTERM, &pass, NULL);

    g_autoptr(GString) verdict = read_verdict(fd);
    close(fd);
    if (verdict->len == 0) {
        print_death(child);
        return MOUNT_EXIT_SYSTEM;
    }
    fputs(verdict->str + 1, stderr);
    return (unsigned char)verdict->str[0];
}

static gboolean
wait_for_child(pid_t child, gint64 deadline_us)
{
    int status;

    for (;;) {
        pid_t ended = waitpid(child, &status, WNOHANG);
        if (ended == child)
            return WIFEXITED(status) && WEXITSTATUS(status) == 0;
        if (ended < 0 && errno != EINTR)
            return FALSE;
        if (g_get_monotonic_time() > deadline_us) {
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
            return FALSE;
        }
        g_usleep(2000);
    }
}

gboolean
mount_daemon_probe(const char *path, dev_t before, gint64 timeout_ms)
{
    gint64 deadline_us = g_get_monotonic_time() + timeout_ms * 1000;

    /* A process of its own: a stat that waits for a daemon which does not answer can be ended
     * by nothing but a fatal signal. */
    pid_t child = fork();
    if (child < 0)
        return FALSE;
    if (child == 0) {
        struct stat status;
        signal(SIGINT, SIG_DFL);
        signal(SIGTERM, SIG_DFL);
        _exit(stat(path, &status) == 0 && status.st_dev != before ? 0 : 1);
    }
    return wait_for_child(child, deadline_us);
}

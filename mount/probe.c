/* SPDX-License-Identifier: Apache-2.0 */
#include "mount/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_FILES 2

/* Either text is some KiB: 100 lines, each with a message. A file of another size is none of
 * ours. */
#define ANSWER_MAX_BYTES (16 * 1024 * 1024)

struct MountProbe {
    char *paths[N_FILES]; /* ingest.jsonl, status.json */
    pid_t reader;
    int fd; /* -1: no question is open */
    gint64 asked_us;
    GString *came; /* each text ends with a NUL */
};

MountProbe *
mount_probe_new(const char *mountpoint)
{
    MountProbe *probe = g_new0(MountProbe, 1);

    probe->paths[0] = g_build_filename(mountpoint, ".deeplake", "ingest.jsonl", NULL);
    probe->paths[1] = g_build_filename(mountpoint, ".deeplake", "status.json", NULL);
    probe->fd = -1;
    probe->came = g_string_new(NULL);
    return probe;
}

void
mount_probe_free(MountProbe *probe)
{
    if (!probe)
        return;
    if (probe->fd >= 0) {
        close(probe->fd);
        kill(probe->reader, SIGKILL);
        waitpid(probe->reader, NULL, WNOHANG);
    }
    for (guint i = 0; i < N_FILES; i++)
        g_free(probe->paths[i]);
    g_string_free(probe->came, TRUE);
    g_free(probe);
}

static void
send_all(int fd, const char *at, gsize n_bytes)
{
    while (n_bytes > 0) {
        gssize n_written = write(fd, at, n_bytes);
        if (n_written < 0)
            _exit(errno);
        at += n_written;
        n_bytes -= (gsize)n_written;
    }
}

/* In the reader. Other threads may have held locks when it was made: system calls only. */
G_GNUC_NORETURN static void
read_files(const MountProbe *probe, int answer)
{
    static char buffer[64 * 1024];

    /* Ctrl-C is its parent's to handle, and what its parent writes to must not stay open for
     * as long as a reader hangs. */
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    signal(SIGPIPE, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        close(fd);

    for (guint i = 0; i < N_FILES; i++) {
        int fd = open(probe->paths[i], O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            _exit(errno);
        gssize n_read;
        while ((n_read = read(fd, buffer, sizeof buffer)) > 0)
            send_all(answer, buffer, (gsize)n_read);
        if (n_read < 0)
            _exit(errno);
        send_all(answer, "", 1);
        close(fd);
    }
    _exit(0);
}

void
mount_probe_ask(MountProbe *probe)
{
    g_autoptr(GError) error = NULL;
    int ends[2];

    if (probe->fd >= 0)
        return;
    if (!g_unix_open_pipe(ends, FD_CLOEXEC, &error) ||
        !g_unix_set_fd_nonblocking(ends[0], TRUE, &error))
        g_error("cannot make a pipe: %s", error->message);

    probe->asked_us = g_get_monotonic_time();
    g_string_truncate(probe->came, 0);
    probe->reader = fork();
    if (probe->reader == 0)
        read_files(probe, ends[1]);
    if (probe->reader < 0)
        g_error("cannot start a process: %s", g_strerror(errno));
    close(ends[1]);
    probe->fd = ends[0];
}

gint64
mount_probe_asked_us(const MountProbe *probe)
{
    return probe->fd >= 0 ? probe->asked_us : 0;
}

int
mount_probe_fd(const MountProbe *probe)
{
    return probe->fd;
}

/* The errno that the reader left with, 0 where it went well. It has closed its pipe, so it has
 * left or was killed. */
static int
take_verdict(MountProbe *probe)
{
    int status = 0;

    close(probe->fd);
    probe->fd = -1;
    while (waitpid(probe->reader, &status, 0) < 0 && errno == EINTR)
        continue;
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    return EIO;
}

MountProbeOutcome
mount_probe_take(MountProbe *probe, char **ret_ingests, char **ret_status, int *ret_errno)
{
    char buffer[4096];
    gssize n_read;

    if (probe->fd < 0)
        return MOUNT_PROBE_PENDING;
    while ((n_read = read(probe->fd, buffer, sizeof buffer)) > 0) {
        if (probe->came->len < ANSWER_MAX_BYTES)
            g_string_append_len(probe->came, buffer, n_read);
    }
    if (n_read < 0)
        return MOUNT_PROBE_PENDING;

    int failure = take_verdict(probe);
    const char *ingests = probe->came->str;
    const char *end = memchr(ingests, '\0', probe->came->len);
    if (failure || !end ||
        memchr(end + 1, '\0', probe->came->len - (gsize)(end + 1 - ingests)) !=
            ingests + probe->came->len - 1) {
        *ret_errno = failure ? failure : EIO;
        return MOUNT_PROBE_FAILED;
    }
    *ret_ingests = g_strdup(ingests);
    *ret_status = g_strdup(end + 1);
    return MOUNT_PROBE_ANSWERED;
}

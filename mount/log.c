/* SPDX-License-Identifier: Apache-2.0 */
#include "mount/log.h"

#include "core/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_BYTES (10 * 1024 * 1024)

static struct {
    GMutex mutex; /* guards all of this */
    GLogLevelFlags shown;
    char *path; /* NULL: stderr */
    int fd;
    gint64 max_bytes;
} log_state = {.fd = STDERR_FILENO};

static const char *
get_level_name(GLogLevelFlags level)
{
    if (level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING))
        return "error";
    if (level & G_LOG_LEVEL_MESSAGE)
        return "warning";
    return level & G_LOG_LEVEL_INFO ? "info" : "debug";
}

char *
mount_log_format(gint64 time_us, GLogLevelFlags level, int pid, const char *message)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(time_us / G_USEC_PER_SEC);
    g_autofree char *seconds = g_date_time_format(time, "%Y-%m-%dT%H:%M:%S");
    char *line = g_strdup_printf("%s.%03dZ %s [%d] %s\n", seconds,
        (int)(time_us % G_USEC_PER_SEC / 1000), get_level_name(level), pid, message);

    /* File names and a server's messages come from others: they may not forge a line. */
    for (char *at = line; at[1]; at++) {
        if (g_ascii_iscntrl(*at))
            *at = ' ';
    }
    return line;
}

static int
open_file(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* Takes over a file: its descriptor also becomes stderr, so that a crash leaves its last words.
 */
static void
use_file(int fd)
{
    if (log_state.fd != STDERR_FILENO)
        close(log_state.fd);
    log_state.fd = fd;
    dup2(fd, STDERR_FILENO);
}

/* Moves a full file to .1, unless another daemon has just done it; the lock is on the full
 * file. */
static void
rotate_if_full(void)
{
    struct stat own, named;

    if (!log_state.path || fstat(log_state.fd, &own) < 0 || own.st_size < log_state.max_bytes)
        return;

    flock(log_state.fd, LOCK_EX);
    if (!stat(log_state.path, &named) && named.st_ino == own.st_ino &&
        named.st_dev == own.st_dev) {
        g_autofree char *old = g_strconcat(log_state.path, ".1", NULL);
        rename(log_state.path, old);
    }
    flock(log_state.fd, LOCK_UN);

    int fd = open_file(log_state.path);
    if (fd >= 0)
        use_file(fd);
}

static GLogWriterOutput
write_log(GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer user_data)
{
    const char *message = NULL;

    for (gsize i = 0; i < n_fields && !message; i++) {
        if (g_str_equal(fields[i].key, "MESSAGE"))
            message = fields[i].value;
    }
    if (!message || !(log_state.shown & level))
        return G_LOG_WRITER_HANDLED;

    g_autofree char *line = mount_log_format(g_get_real_time(), level, getpid(), message);
    gsize n_bytes = strlen(line);
    g_mutex_lock(&log_state.mutex);
    rotate_if_full();
    /* Where the log cannot be written there is nobody left to tell. */
    gssize n_written = write(log_state.fd, line, n_bytes);
    g_mutex_unlock(&log_state.mutex);
    return n_written == (gssize)n_bytes ? G_LOG_WRITER_HANDLED : G_LOG_WRITER_UNHANDLED;
}

void
mount_log_init(const char *level)
{
    GLogLevelFlags shown = G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING;

    if (g_strcmp0(level, "error") != 0)
        shown |= G_LOG_LEVEL_MESSAGE;
    if (!level || g_str_equal(level, "info") || g_str_equal(level, "debug"))
        shown |= G_LOG_LEVEL_INFO;
    if (g_strcmp0(level, "debug") == 0)
        shown |= G_LOG_LEVEL_DEBUG;

    log_state.shown = shown;
    g_log_set_writer_func(write_log, NULL, NULL);
}

gboolean
mount_log_to_file_of_size(const char *state_dir, gint64 max_bytes, GError **error)
{
    g_autofree char *path = g_build_filename(state_dir, "deeplakefs.log", NULL);
    int fd = open_file(path);

    if (fd < 0) {
        int saved_errno = errno;
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, lake_error_code_from_errno(saved_errno),
            "cannot write the log %s: %s", path, g_strerror(saved_errno));
        return FALSE;
    }

    g_mutex_lock(&log_state.mutex);
    g_free(log_state.path);
    log_state.path = g_steal_pointer(&path);
    log_state.max_bytes = max_bytes;
    use_file(fd);
    g_mutex_unlock(&log_state.mutex);
    return TRUE;
}

gboolean
mount_log_to_file(const char *state_dir, GError **error)
{
    return mount_log_to_file_of_size(state_dir, MAX_BYTES, error);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/caller.h"

#include "core/error.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A small file of /proc into buffer, NUL-terminated; not g_file_get_contents, which would
 * allocate on the way of every close. */
static gboolean
read_proc(gint32 pid, const char *file, char *buffer, gsize size)
{
    char path[64];

    if (pid <= 0)
        return FALSE;
    (void)snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return FALSE;
    gssize n_read = read(fd, buffer, size - 1);
    (void)close(fd);
    if (n_read <= 0)
        return FALSE;
    buffer[n_read] = '\0';
    return TRUE;
}

/* Field `number` (1-based, proc(5)) of /proc/pid/stat; those after the name in parentheses. */
static const char *
stat_field(const char *stat, int number)
{
    const char *at = strrchr(stat, ')');

    for (int field = 2; at && field < number; field++)
        at = strchr(at + 1, ' ');
    return at ? at + 1 : NULL;
}

gboolean
fs_caller_was_killed(gint32 pid, int *ret_signal)
{
    char stat[1024];
    const char *exit_code;

    /* do_exit() sets the exit code before it closes the files; a living thread's is 0. The low
     * seven bits are the signal, as for waitpid(). */
    if (!read_proc(pid, "stat", stat, sizeof stat))
        return FALSE;
    exit_code = stat_field(stat, 52);
    *ret_signal = exit_code ? (int)(g_ascii_strtoull(exit_code, NULL, 10) & 0x7f) : 0;
    return *ret_signal != 0;
}

static guint64
status_mask(const char *status, const char *label)
{
    const char *line = strstr(status, label);

    return line ? g_ascii_strtoull(line + strlen(label), NULL, 16) : 0;
}

gboolean
fs_caller_is_stopped(gint32 pid)
{
    static const int stops[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGKILL};
    g_autofree char *path = g_strdup_printf("/proc/%d/status", pid);
    g_autofree char *status = NULL;
    guint64 pending;

    /* Of any length: the groups of its user, tens of thousands at most, stand before the
     * signals. */
    if (pid <= 0 || !g_file_get_contents(path, &status, NULL, NULL))
        return TRUE; /* cannot be seen: the interrupt is all we know */
    pending = status_mask(status, "\nSigPnd:") | status_mask(status, "\nShdPnd:");
    for (gsize i = 0; i < G_N_ELEMENTS(stops); i++)
        if (pending & (G_GUINT64_CONSTANT(1) << (stops[i] - 1)))
            return TRUE;
    return FALSE;
}

gboolean
fs_caller_has_open(gint32 pid, const char *path_end)
{
    g_autofree char *folder = g_strdup_printf("/proc/%d/fd", pid);
    g_autoptr(GDir) descriptors = g_dir_open(folder, 0, NULL);
    const char *name;

    while (descriptors && (name = g_dir_read_name(descriptors)) != NULL) {
        /* Read, not followed: that would ask our own mount. */
        g_autofree char *link = g_build_filename(folder, name, NULL);
        g_autofree char *path = g_file_read_link(link, NULL);
        if (path && g_str_has_suffix(path, path_end))
            return TRUE;
    }
    return FALSE;
}

gint32
fs_caller_process_of(gint32 pid)
{
    char status[4096];
    const char *line;

    if (!read_proc(pid, "status", status, sizeof status))
        return pid;
    line = strstr(status, "\nTgid:");
    return line ? (gint32)g_ascii_strtoll(line + strlen("\nTgid:"), NULL, 10) : pid;
}

gboolean
fs_caller_may_name_local_paths(guint32 uid, guint32 owner, const char *what, GError **error)
{
    if (uid == owner)
        return TRUE;
    lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_NO_ACCESS,
        "%s: files outside of the mount are read for its owner (uid %u) alone, and this is "
        "uid %u",
        what, owner, uid);
    if (error)
        lake_error_hint(*error,
            "let uid %u do it, or use a mount of your own, or the command deeplakefs ingest",
            owner);
    return FALSE;
}

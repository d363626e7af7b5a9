/* SPDX-License-Identifier: Apache-2.0 */
#include "mount/commands/commands.h"

#include "core/error.h"
#include "mount/mountpoint.h"
#include "mount/progress.h"
#include "mount/registry.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define POLL_US (50 * 1000)
#define GRACE_MS (10 * 1000) /* beyond the drain timeout */
#define LAZY_MS 1000         /* how long a lazy unmount looks whether it was the last user */

static void
set_busy(const char *mountpoint, GError **error)
{
    g_autoptr(GError) refusal = NULL;
    g_autofree char *quoted = g_shell_quote(mountpoint);

    lake_error_set(&refusal, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_BUSY,
        "%s is in use: a program has a file open or is in a folder there; it stays mounted",
        mountpoint);
    lake_error_hint(refusal, "fuser -vm %s shows who; --lazy detaches it all the same", quoted);
    g_propagate_error(error, g_steal_pointer(&refusal));
}

/* The set-uid helper of libfuse: the way for everyone but root. */
static gboolean
unmount_with_helper(const char *mountpoint, gboolean is_lazy, GError **error)
{
    const char *arguments[] = {"fusermount3", "-u", "--", mountpoint, NULL};
    const char *lazy_arguments[] = {"fusermount3", "-u", "-z", "--", mountpoint, NULL};
    g_auto(GStrv) environment = g_environ_setenv(g_get_environ(), "LC_ALL", "C", TRUE);
    g_autofree char *said = NULL;
    g_autoptr(GError) cause = NULL;
    int status;

    if (!g_spawn_sync(NULL, (char **)(is_lazy ? lazy_arguments : arguments), environment,
            G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, NULL, &said, &status,
            &cause)) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_FAILED,
            "cannot unmount %s: %s", mountpoint, cause->message);
        return FALSE;
    }
    if (status == 0)
        return TRUE;

    if (strstr(said, "busy")) {
        set_busy(mountpoint, error);
    } else {
        g_strdelimit(g_strchomp(said), "\n", ' ');
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_FAILED,
            "cannot unmount %s: %s", mountpoint, said);
    }
    return FALSE;
}

static gboolean
unmount(const char *mountpoint, gboolean is_lazy, GError **error)
{
    if (geteuid() != 0)
        return unmount_with_helper(mountpoint, is_lazy, error);
    if (umount2(mountpoint, UMOUNT_NOFOLLOW | (is_lazy ? MNT_DETACH : 0)) == 0)
        return TRUE;

    int saved_errno = errno;
    if (saved_errno == EPERM) /* root without the capability */
        return unmount_with_helper(mountpoint, is_lazy, error);
    if (saved_errno == EBUSY)
        set_busy(mountpoint, error);
    else
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_FAILED,
            "cannot unmount %s: %s", mountpoint, g_strerror(saved_errno));
    return FALSE;
}

static void
show_progress(MountProgress *progress, const char *state_dir, int pid)
{
    g_autoptr(GPtrArray) entries = mount_registry_list(state_dir);

    for (guint i = 0; i < entries->len; i++) {
        const MountRegistryEntry *entry = entries->pdata[i];
        if (entry->pid != pid)
            continue;
        g_autofree char *text =
            entry->is_draining && entry->n_left
                ? g_strdup_printf("files still being ingested: %u …", entry->n_left)
                : g_strdup("waiting for the daemon to leave …");
        mount_progress_note(progress, text);
    }
}

/* TRUE once the daemon has gone. */
static gboolean
wait_for_daemon(const char *state_dir, const MountRegistryEntry *daemon, gint64 timeout_ms)
{
    gint64 deadline_us = g_get_monotonic_time() + timeout_ms * 1000;
    g_autoptr(MountProgress) progress = mount_progress_new(0, 0);

    while (mount_registry_is_alive(daemon)) {
        if (g_get_monotonic_time() > deadline_us)
            return FALSE;
        show_progress(progress, state_dir, daemon->pid);
        g_usleep(POLL_US);
    }
    return TRUE;
}

static gboolean
check_is_ours(const char *given, const MountMountpoint *mounted, GError **error)
{
    if (!mounted) {
        lake_error_set(
            error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_NOT_FOUND, "%s is not mounted", given);
        return FALSE;
    }
    if (!g_str_equal(mounted->type, MOUNT_MOUNTPOINT_TYPE)) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_REFUSED,
            "%s is a mount of another kind: %s (%s)", given, mounted->source, mounted->type);
        return FALSE;
    }
    return TRUE;
}

static int
leave(const MountOptions *options, const LakeConfig *config, const char *state_dir,
    const MountRegistryEntry *daemon)
{
    if (options->is_lazy) {
        if (!wait_for_daemon(state_dir, daemon, LAZY_MS))
            fputs("deeplakefs: umount: detached; the daemon leaves when the last user has\n",
                stderr);
        return MOUNT_EXIT_OK;
    }
    if (wait_for_daemon(state_dir, daemon, config->drain_timeout_ms + GRACE_MS))
        return MOUNT_EXIT_OK;

    /* It is unmounted here, yet serves: perhaps a copy of the mount lives in another mount
     * namespace. It may stop all the same. */
    kill(daemon->pid, SIGTERM);
    if (wait_for_daemon(state_dir, daemon, GRACE_MS))
        return MOUNT_EXIT_OK;
    fprintf(stderr, "deeplakefs: umount: unmounted, but the daemon (pid %d) has not left\n",
        daemon->pid);
    return MOUNT_EXIT_SYSTEM;
}

/* The daemon of a mount with another state folder than ours: the mount itself tells which. */
static MountRegistryEntry *
find_daemon(const char *mountpoint, gboolean is_mounted, char **state_dir)
{
    g_autofree char *path = g_build_filename(mountpoint, ".deeplake", "status.json", NULL);
    g_autofree char *text = NULL;
    MountRegistryEntry *daemon = mount_registry_find(*state_dir, mountpoint);

    if (daemon || !is_mounted || !g_file_get_contents(path, &text, NULL, NULL))
        return daemon;
    cJSON *status = cJSON_Parse(text);
    const cJSON *told = cJSON_GetObjectItemCaseSensitive(status, "state_dir");
    if (cJSON_IsString(told)) {
        g_free(*state_dir);
        *state_dir = g_strdup(told->valuestring);
        daemon = mount_registry_find(*state_dir, mountpoint);
    }
    cJSON_Delete(status);
    return daemon;
}

int
mount_commands_umount(const MountOptions *options)
{
    g_autoptr(GError) error = NULL;
    const char *given = options->arguments->pdata[0];
    g_autoptr(LakeConfig) config = mount_options_config(options, &error);
    if (!config)
        return mount_commands_fail(options, error, MOUNT_EXIT_USAGE);

    g_autofree char *mountpoint = mount_mountpoint_canonicalize(given);
    if (!mountpoint) {
        lake_error_set(&error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_NOT_FOUND, "%s: %s", given,
            g_strerror(errno));
        return mount_commands_fail(options, error, MOUNT_EXIT_MOUNT);
    }

    /* Unmounting comes first and makes the daemon leave by itself: a mount that is in use
     * refuses, and then nothing has changed for its users. */
    g_autofree char *state_dir = g_strdup(config->state_dir);
    g_autoptr(MountMountpoint) mounted = mount_mountpoint_find(mountpoint);
    g_autoptr(MountRegistryEntry) daemon = find_daemon(
        mountpoint, mounted && g_str_equal(mounted->type, MOUNT_MOUNTPOINT_TYPE), &state_dir);
    gboolean is_leaving = !mounted && daemon;
    if (!is_leaving && !check_is_ours(mountpoint, mounted, &error))
        return mount_commands_fail(options, error, MOUNT_EXIT_MOUNT);
    if (!is_leaving && !unmount(mountpoint, options->is_lazy, &error))
        return mount_commands_fail(options, error, MOUNT_EXIT_MOUNT);

    if (!daemon) {
        g_debug("the daemon of %s has a state folder that is not to be found, or has died",
            mountpoint);
        return MOUNT_EXIT_OK;
    }
    return leave(options, config, state_dir, daemon);
}

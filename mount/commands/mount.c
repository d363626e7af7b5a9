/* SPDX-License-Identifier: Apache-2.0 */
#include "mount/commands/commands.h"

#include "core/error.h"
#include "fs/adapter.h"
#include "mount/daemon.h"
#include "mount/log.h"
#include "mount/mountpoint.h"
#include "mount/registry.h"
#include "mount/signals.h"

#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#define PROBE_MS (10 * 1000)

/* One mount, from the fork on. */
typedef struct {
    const MountOptions *options;
    const LakeConfig *config;
    const char *mountpoint;
    int report_fd; /* -1: in the foreground, or the verdict is given */
    gboolean was_ready;
    MountRegistryEntry *entry;
} Mount;

/* To whoever waits for the mount: the parent, or in the foreground the user. */
static int
fail(Mount *mount, const GError *error, int status)
{
    if (g_error_matches(error, LAKE_ERROR, LAKE_ERROR_CANCELLED))
        status = MOUNT_EXIT_INTERRUPTED;

    g_autofree char *text = mount_commands_format_error("mount", error);
    if (mount->report_fd >= 0)
        mount_daemon_report(mount->report_fd, status, text);
    else
        fputs(text, stderr);
    mount->report_fd = -1;
    return status;
}

static void
on_failure(const FsFailure *failure, gpointer user_data)
{
    g_message("%s /%s: %s (uid %u, pid %d)%s%s", failure->operation,
        failure->path[0] == '/' ? failure->path + 1 : failure->path,
        g_strerror(failure->saved_errno), failure->uid, failure->pid,
        failure->error ? ": " : "", failure->error ? failure->error->message : "");
}

static void
on_ready(gpointer user_data)
{
    Mount *mount = user_data;
    g_autoptr(GError) error = NULL;

    mount->was_ready = TRUE;
    if (mount->report_fd >= 0) {
        if (!mount_log_to_file(mount->config->state_dir, &error)) {
            g_message("%s", error->message);
            mount_daemon_silence();
        }
        mount_daemon_report(mount->report_fd, MOUNT_EXIT_OK, NULL);
        mount->report_fd = -1;
    }
    g_info("workspace %s is mounted on %s", mount->config->workspace, mount->mountpoint);
}

static void
on_drain(guint n_left, gpointer user_data)
{
    Mount *mount = user_data;
    g_autoptr(GError) error = NULL;

    if (n_left > 0)
        g_info("%s: files still being ingested: %u", mount->mountpoint, n_left);
    mount->entry->is_draining = TRUE;
    mount->entry->n_left = n_left;
    if (!mount_registry_write(mount->config->state_dir, mount->entry, &error))
        g_message("%s", error->message);
}

/* Serves, then lets what was begun come to its end. TRUE when the session ended in order. */
static gboolean
serve_and_drain(Mount *mount, FsAdapter *adapter)
{
    mount_signals_set_adapter(adapter);
    gboolean is_orderly = fs_adapter_serve(adapter, on_ready, mount);
    mount_signals_set_adapter(NULL);

    if (mount_signals_received())
        g_info("%s: signal %d", mount->mountpoint, mount_signals_received());
    on_drain(0, mount);
    guint n_cancelled = fs_adapter_drain(adapter, on_drain, mount);
    if (n_cancelled > 0)
        g_message("%s: files not ingested within the drain timeout: %u", mount->mountpoint,
            n_cancelled);
    return is_orderly;
}

static int
serve(Mount *mount, FsAdapter *adapter)
{
    g_autoptr(GError) error = NULL;

    mount->entry = mount_registry_entry_new(mount->mountpoint, mount->config->workspace);
    mount->entry->is_read_only = mount->config->read_only;
    if (!mount_registry_write(mount->config->state_dir, mount->entry, &error))
        return fail(mount, error, MOUNT_EXIT_SYSTEM);

    gboolean is_orderly = serve_and_drain(mount, adapter);
    if (mount_signals_received() && !mount->was_ready)
        lake_error_set(&error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_CANCELLED, "interrupted");
    else if (!mount->was_ready)
        lake_error_set(&error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_FAILED,
            "%s was unmounted before it answered", mount->mountpoint);
    else if (!is_orderly)
        lake_error_set(&error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_FAILED,
            "the connection of %s to the kernel broke", mount->mountpoint);
    if (!error)
        return MOUNT_EXIT_OK;

    if (mount->was_ready)
        g_message("%s", error->message);
    return fail(mount, error, MOUNT_EXIT_MOUNT);
}

/* Everything from the workspace's opening to its close, in reverse order. */
static int
run(Mount *mount)
{
    g_autoptr(GError) error = NULL;
    GCancellable *cancellable = g_cancellable_new(); /* the signal thread's, to the end */
    mount_signals_init(cancellable);

    LakeWorkspace *workspace = lake_workspace_open(mount->config, cancellable, &error);
    if (!workspace)
        return fail(mount, error, MOUNT_EXIT_SYSTEM);

    FsAdapterOptions options = {
        .mountpoint = mount->mountpoint,
        .fuse_options =
            mount->options->fuse_words->len ? mount->options->fuse_words->str : NULL,
        .is_debug = mount->options->is_debug,
        .on_failure = on_failure,
    };
    int status;
    FsAdapter *adapter = fs_adapter_attach(workspace, &options, &error);
    if (adapter) {
        status = serve(mount, adapter);
        fs_adapter_detach(adapter);
    } else {
        gboolean is_usage = g_error_matches(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
        status = fail(mount, error, is_usage ? MOUNT_EXIT_USAGE : MOUNT_EXIT_MOUNT);
    }

    lake_workspace_close(workspace);
    if (mount->entry) {
        g_info("%s: left", mount->mountpoint);
        mount_registry_remove(mount->config->state_dir, mount->entry);
    }
    g_clear_pointer(&mount->entry, mount_registry_entry_free);
    return status;
}

static int
run_in_background(Mount *mount)
{
    g_autoptr(GError) error = NULL;
    struct stat before;
    int fd;

    if (stat(mount->mountpoint, &before) < 0)
        before.st_dev = 0;
    pid_t child = mount_daemon_fork(&fd, &error);
    if (child < 0)
        return fail(mount, error, MOUNT_EXIT_SYSTEM);
    if (child == 0) {
        mount->report_fd = fd;
        return run(mount);
    }

    int status = mount_daemon_wait(child, fd);
    if (status == MOUNT_EXIT_OK &&
        !mount_daemon_probe(mount->mountpoint, before.st_dev, PROBE_MS)) {
        kill(child, SIGTERM);
        fprintf(stderr, "deeplakefs: mount: %s was mounted but does not answer\n",
            mount->mountpoint);
        return MOUNT_EXIT_MOUNT;
    }
    return status;
}

int
mount_commands_mount(const MountOptions *options)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(LakeConfig) config = mount_options_config(options, &error);
    if (!config)
        return mount_commands_fail(options, error, MOUNT_EXIT_USAGE);

    const char *given = options->arguments->pdata[options->arguments->len - 1];
    g_autofree char *mountpoint =
        mount_mountpoint_check(given, options->allows_non_empty, config->state_dir, &error);
    if (!mountpoint)
        return mount_commands_fail(options, error, MOUNT_EXIT_MOUNT);
    if (options->is_fake)
        return MOUNT_EXIT_OK;

    Mount mount = {
        .options = options, .config = config, .mountpoint = mountpoint, .report_fd = -1};
    if (options->is_foreground || options->is_debug)
        return run(&mount);
    return run_in_background(&mount);
}

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mount/commands/commands.h: what the commands share, and each command's entry.
 *
 * Main thread only, except where a function says otherwise.
 */

#include "core/workspace.h"
#include "mount/options.h"

/* Those of mount(8). */
typedef enum {
    MOUNT_EXIT_OK = 0,
    MOUNT_EXIT_USAGE = 1,  /* wrong use; for a data command also: the operation failed */
    MOUNT_EXIT_SYSTEM = 2, /* no server, no permission for the state folder … */
    MOUNT_EXIT_MOUNT = 32, /* the mount, or the unmount, failed */
    MOUNT_EXIT_INTERRUPTED = 130,
} MountExit;

/* Runs what options say; returns the exit status. */
int mount_commands_run(const MountOptions *options);

/* "deeplakefs: mount: message", then a line with its hint, each with a newline; caller frees.
 * command may be NULL. Any thread. */
char *mount_commands_format_error(const char *command, const GError *error);

/* Prints it on stderr and returns status, or MOUNT_EXIT_INTERRUPTED when error says so. */
int mount_commands_fail(const MountOptions *options, const GError *error, int status);

/* The exit status of a data command that met error. */
int mount_commands_exit_status(const GError *error);

/* The whole text to stdout. FALSE when it cannot be written; that was said on stderr, unless
 * the reader has gone. */
gboolean mount_commands_print(const MountOptions *options, const void *text, gsize n_bytes);

/* What a data command works with. */
typedef struct {
    const MountOptions *options;
    LakeConfig *config;
    GCancellable *cancellable;
    LakeWorkspace *workspace;
} MountSession;

/* Does a data command between opening and closing the workspace. */
typedef int (*MountSessionFunc)(MountSession *session);
int mount_commands_with_workspace(const MountOptions *options, MountSessionFunc run);

int mount_commands_drop(const MountOptions *options);
int mount_commands_ingest(const MountOptions *options);
int mount_commands_mount(const MountOptions *options);
int mount_commands_query(const MountOptions *options);
int mount_commands_status(const MountOptions *options);
int mount_commands_tables(const MountOptions *options);
int mount_commands_umount(const MountOptions *options);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* fs/adapter.h: the mount, as mount/ sees it: attach, serve, detach. The only door to libfuse.
 *
 * Attach after the last fork. serve runs on the calling thread until the mount goes away.
 */

#include "core/workspace.h"

typedef struct FsAdapter FsAdapter;

/* One failed request, for the log; errors.jsonl has the same. Called from any thread. */
typedef struct {
    const char *operation; /* "flush", "open" … */
    const char *path;      /* below the mountpoint */
    guint32 uid;
    gint32 pid;
    int saved_errno;
    const GError *error;
} FsFailure;
typedef void (*FsFailureFunc)(const FsFailure *failure, gpointer user_data);

typedef struct {
    const char *mountpoint;   /* absolute, canonical */
    const char *fuse_options; /* comma-separated, for libfuse (allow_other, nonempty is ours);
                                 or NULL */
    gboolean is_debug;        /* libfuse's own trace on stderr */
    FsFailureFunc on_failure; /* may be NULL */
    gpointer failure_data;
} FsAdapterOptions;

/* Mounts. After this the kernel's requests queue until serve is called.
 *   BAD_INPUT  an option that libfuse does not know
 *   FAILED     libfuse could not mount (no /dev/fuse, no permission …), with what it printed */
FsAdapter *
fs_adapter_attach(LakeWorkspace *workspace, const FsAdapterOptions *options, GError **error);

/* Called by serve once the kernel's INIT was answered, from the serving thread. */
typedef void (*FsReadyFunc)(gpointer user_data);

/* Serves until unmounted or stopped; TRUE then, FALSE when the session broke. */
gboolean fs_adapter_serve(FsAdapter *adapter, FsReadyFunc ready, gpointer user_data);

/* Makes serve return. Safe in a signal handler. */
void fs_adapter_stop(FsAdapter *adapter);

/* Closes still in progress (ingests): waits for them up to the drain timeout, calling progress
 * about once a second with how many are left. Call after serve. Returns how many were
 * cancelled. */
guint fs_adapter_drain(
    FsAdapter *adapter, void (*progress)(guint n_left, gpointer user_data), gpointer user_data);

/* Unmounts if still mounted, removes staging, frees. */
void fs_adapter_detach(FsAdapter *adapter);

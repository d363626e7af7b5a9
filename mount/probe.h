/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mount/probe.h: what a mount says of itself, asked so that one that hangs holds nobody.
 *
 * A read that the daemon took and does not answer cannot be interrupted, not even by SIGKILL.
 * So a process of its own reads .deeplake/ingest.jsonl and .deeplake/status.json, and whoever
 * asks waits for a pipe. One thread per probe.
 */

#include <glib.h>

typedef struct MountProbe MountProbe;

typedef enum {
    MOUNT_PROBE_PENDING,  /* nothing was asked, or the answer is not there yet */
    MOUNT_PROBE_ANSWERED, /* the texts are there */
    MOUNT_PROBE_FAILED,   /* reading failed */
} MountProbeOutcome;

MountProbe *mount_probe_new(const char *mountpoint);
/* Ends a reader that still waits, without waiting for its end. NULL is allowed. */
void mount_probe_free(MountProbe *probe);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MountProbe, mount_probe_free)

/* Asks, unless the last question is still open. */
void mount_probe_ask(MountProbe *probe);

/* When the open question was asked, monotonic; 0: none is open. */
gint64 mount_probe_asked_us(const MountProbe *probe);
/* Becomes readable when something has come; -1: no question is open. */
int mount_probe_fd(const MountProbe *probe);

/* Takes what has come, without waiting. ANSWERED gives both texts, which the caller frees;
 * FAILED the errno. Each is told once. */
MountProbeOutcome
mount_probe_take(MountProbe *probe, char **ret_ingests, char **ret_status, int *ret_errno);

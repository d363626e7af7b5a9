/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* fs/caller.h: who is behind a request, and what /proc says of the process. A pid that cannot
 * be seen (another pid namespace, already gone) was not killed, counts as stopped, and is its
 * own process. */

#include <glib.h>

/* The process is on its way out, killed by a signal: its files are being closed for it,
 * unfinished. */
gboolean fs_caller_was_killed(gint32 pid, int *ret_signal);

/* A signal that means "stop" (HUP, INT, QUIT, TERM, KILL) waits to be delivered. The kernel
 * reports an interrupt for every signal, and some run-times send themselves harmless ones all
 * the time. */
gboolean fs_caller_is_stopped(gint32 pid);

/* The process has a file open whose path ends in this. */
gboolean fs_caller_has_open(gint32 pid, const char *path_end);

/* Process that the thread `pid` belongs to: requests carry thread ids. */
gint32 fs_caller_process_of(gint32 pid);

/* Whether a request of uid may name files of this machine outside of the mount, in options for
 * example. They are opened with the rights of the process that serves the mount, so for its
 * owner alone; not for root either, who then gets what another user may read. NO_ACCESS: what
 * was named, quoted by its meaning ("coco_panoptic"), and why. Whoever reads such a file for a
 * later request asks again, for the uid of that one. */
gboolean
fs_caller_may_name_local_paths(guint32 uid, guint32 owner, const char *what, GError **error);

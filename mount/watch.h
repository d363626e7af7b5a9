/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mount/watch.h: status --watch: what mounts are ingesting, shown until they go.
 *
 * Truth comes from .deeplake/ of each mount, through mount/probe.h. Main thread.
 */

#include "mount/options.h"

#include <gio/gio.h>

/* Watches the mount that options name, or all of the state folder. On a terminal it draws bars,
 * else, and with --json, it prints a JSON object per line whenever something has changed.
 * Returns the exit status when no mount is left, or cancelled. */
int mount_watch_run(
    const MountOptions *options, const LakeConfig *config, GCancellable *cancellable);

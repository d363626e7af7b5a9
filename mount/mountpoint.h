/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mount/mountpoint.h: what is mounted where, and whether a folder can be mounted on.
 *
 * Truth comes from /proc/self/mountinfo (proc(5)). Any thread, no locks.
 */

#include "core/local.h"
#include <glib.h>

#define MOUNT_MOUNTPOINT_TYPE LAKE_LOCAL_OWN_TYPE

typedef struct {
    char *target; /* absolute path of the mountpoint */
    char *type;
    char *source;
} MountMountpoint;

/* The lines of a mountinfo file as MountMountpoint, in order; lines that are none are left out.
 */
GPtrArray *mount_mountpoint_parse(const char *mountinfo);

/* "\040" and its like as the bytes they stand for; caller frees. */
char *mount_mountpoint_unescape(const char *text);

/* What is mounted on target, uppermost; NULL when nothing is. Caller frees. */
MountMountpoint *mount_mountpoint_find(const char *target);
void mount_mountpoint_free(MountMountpoint *mountpoint);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MountMountpoint, mount_mountpoint_free)

/* path as an absolute path without symbolic links; works for a mount whose daemon has died,
 * too. NULL, with errno set, when there is none. */
char *mount_mountpoint_canonicalize(const char *path);

/* Checks that path can be mounted on, and returns it canonical; caller frees.
 *   NOT_FOUND  not there
 *   BAD_INPUT  not a folder, or state_dir lies in it
 *   NOT_EMPTY  not empty, unless allows_non_empty
 *   EXISTS     already a mountpoint, perhaps one whose daemon has died
 *   NO_ACCESS  cannot be read */
char *mount_mountpoint_check(
    const char *path, gboolean allows_non_empty, const char *state_dir, GError **error);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mount/registry.h: the mounts of one state folder: <state_dir>/mounts/<pid>.json, one per
 * daemon.
 *
 * A daemon writes its own entry and removes it as its last act. A pid alone may be someone
 * else's by now; pid and start time together are not. Any thread; files are replaced whole.
 */

#include <glib.h>

typedef struct {
    int pid;
    gint64 start_time; /* field 22 of /proc/<pid>/stat: clock ticks after boot */
    char *mountpoint;  /* canonical */
    char *workspace;
    gint64 mounted_at_s; /* UNIX epoch */
    gboolean is_read_only;
    gboolean is_draining; /* no longer mounted, finishing what was begun */
    guint n_left;         /* while draining */
} MountRegistryEntry;

MountRegistryEntry *mount_registry_entry_new(const char *mountpoint, const char *workspace);
void mount_registry_entry_free(MountRegistryEntry *entry);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MountRegistryEntry, mount_registry_entry_free)

/* Writes the calling process's entry. */
gboolean
mount_registry_write(const char *state_dir, const MountRegistryEntry *entry, GError **error);
void mount_registry_remove(const char *state_dir, const MountRegistryEntry *entry);

/* Entries of daemons that live, of MountRegistryEntry, by pid. Removes those of the dead. */
GPtrArray *mount_registry_list(const char *state_dir);

/* The living daemon of mountpoint; NULL when there is none. Caller frees. */
MountRegistryEntry *mount_registry_find(const char *state_dir, const char *mountpoint);

/* FALSE once the daemon has left. */
gboolean mount_registry_is_alive(const MountRegistryEntry *entry);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/server.h: a private PostgreSQL, for when none is configured.
 *
 * Lives in <state_dir>/server: data/ (the cluster), socket/ (0700, no TCP), server.log, and two
 * lock files. Everyone who uses it holds a shared lock on `users`; whoever creates, starts or
 * stops it holds an exclusive lock on `change`. So mounts and commands of the same state folder
 * share it, a killed process counts as gone, and the last one to leave stops it.
 *
 * Started by root it runs as config->server_user, since PostgreSQL refuses root.
 * Any thread may call; start-up takes about a second.
 */

#include "core/config.h"
#include <gio/gio.h>

typedef struct LakeServer LakeServer;

/* Finds or creates the cluster, starts it unless it runs, and counts the caller as a user.
 *
 * Recovers from a server that was killed (stale postmaster.pid, backends still leaving).
 * Returns NULL, with nothing new left behind: NOT_FOUND    no PostgreSQL programs; the hint
 * names the package NO_ACCESS    the state folder is someone else's, or server_user cannot
 * enter it NO_SPACE     disk full BAD_INPUT    the cluster is of another major version;
 * server_user does not exist TIMED_OUT    it did not answer within config->connect_timeout_ms ×
 * 6 FAILED       initdb or postgres failed; the message ends with its last lines */
LakeServer *
lake_server_open(const LakeConfig *config, GCancellable *cancellable, GError **error);

/* Starts it again if it is down; cheap when it is up. Same errors as lake_server_open. */
gboolean lake_server_ensure(LakeServer *server, GCancellable *cancellable, GError **error);

/* libpq conninfo, without secrets; caller frees. */
char *lake_server_dup_conninfo(LakeServer *server);

/* Leaves; stops the server (fast shutdown) when the caller was its last user. NULL is allowed.
 */
void lake_server_close(LakeServer *server);

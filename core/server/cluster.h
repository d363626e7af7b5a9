/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/server/cluster.h: one PostgreSQL cluster in one folder: made, started, looked at,
 * stopped.
 *
 * Whoever calls prepare_socket, create, start or stop holds the exclusive lock of
 * core/server.c; state and the rest need none. Constant once prepared; any thread.
 */

#include "core/server/binaries.h"

#define LAKE_SERVER_CLUSTER_ROLE "deeplake"
#define LAKE_SERVER_CLUSTER_DATABASE "postgres"
#define LAKE_SERVER_CLUSTER_PORT "5432" /* names the socket's file; no TCP */

typedef enum {
    LAKE_SERVER_CLUSTER_DOWN,
    LAKE_SERVER_CLUSTER_MISLED, /* down, but postmaster.pid names a living process of another
                                   kind */
    LAKE_SERVER_CLUSTER_STARTING,
    LAKE_SERVER_CLUSTER_READY,
    LAKE_SERVER_CLUSTER_STOPPING,
} LakeServerClusterState;

typedef struct LakeServerCluster LakeServerCluster;

/* folder is absolute; user is borrowed. Nothing is touched. */
LakeServerCluster *lake_server_cluster_new(const char *folder, const LakeServerUser *user);
void lake_server_cluster_free(LakeServerCluster *cluster);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeServerCluster, lake_server_cluster_free)

/* Makes the folder, 0700 and user's.
 *   NO_ACCESS  it is someone else's */
gboolean lake_server_cluster_prepare(LakeServerCluster *cluster, GError **error);

/* The same for the folder of the socket, which a stop may have removed: with the lock held. */
gboolean lake_server_cluster_prepare_socket(const LakeServerCluster *cluster, GError **error);

/* Major version that made the cluster; 0: there is none. */
int lake_server_cluster_major(const LakeServerCluster *cluster);

/* Reads a small file and looks at one process: no program is run. */
LakeServerClusterState lake_server_cluster_state(const LakeServerCluster *cluster);

/* initdb, beside and then renamed, so that there is a whole cluster or none.
 *   BAD_INPUT  data/ is there and is no cluster */
gboolean lake_server_cluster_create(const LakeServerCluster *cluster, const char *binaries,
    GCancellable *cancellable, GError **error);

/* Returns once it answers; deadline_us is on g_get_monotonic_time's clock.
 *   TIMED_OUT  it does not answer; when it is recovering, it goes on doing so */
gboolean lake_server_cluster_start(const LakeServerCluster *cluster, const char *binaries,
    gint64 deadline_us, GCancellable *cancellable, GError **error);

/* Fast shutdown; returns once it is down. */
gboolean lake_server_cluster_stop(
    const LakeServerCluster *cluster, const char *binaries, GError **error);

/* The folder of its socket, after prepare; borrowed. */
const char *lake_server_cluster_socket_folder(const LakeServerCluster *cluster);

/* "postgres (uid 105)", for a message; caller frees. */
char *lake_server_cluster_describe_owner(uid_t uid);

/* SPDX-License-Identifier: Apache-2.0 */
#include "core/server.h"
#include "core/error.h"
#include "core/server/binaries.h"
#include "core/server/cluster.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE_MODE 0755
#define STATE_MODE_ROOT 0711 /* the server's user must pass */
#define PARENT_MODE 0755
#define LIMIT_FACTOR 6 /* core/server.h: connect_timeout times this */
#define LOCK_PAUSE_US (20 * 1000)

struct LakeServer {
    LakeServerUser *user;
    LakeServerCluster *cluster;
    char *state_dir;
    char *folder;
    char *server_bin_dir;
    gint64 limit_us;
    gboolean may_create; /* a cluster, where there is none */
    int users_fd;        /* holds the shared lock; -1 before */
    GMutex lock;         /* guards binaries, and keeps our threads from starting it twice */
    char *binaries;      /* NULL until something must be run */
};

static LakeServer *
new_server(const LakeConfig *config, GError **error)
{
    g_autoptr(LakeServerUser) user = lake_server_user_find(config->server_user, error);
    if (!user)
        return NULL;

    LakeServer *server = g_new0(LakeServer, 1);
    server->state_dir = g_canonicalize_filename(config->state_dir, NULL);
    server->folder = g_build_filename(server->state_dir, "server", NULL);
    server->server_bin_dir = g_strdup(config->server_bin_dir);
    server->may_create = !config->read_only;
    server->limit_us = config->connect_timeout_ms * 1000 * LIMIT_FACTOR;
    server->users_fd = -1;
    server->user = g_steal_pointer(&user);
    server->cluster = lake_server_cluster_new(server->folder, server->user);
    g_mutex_init(&server->lock);
    return server;
}

static void
free_server(LakeServer *server)
{
    if (server->users_fd >= 0)
        close(server->users_fd);
    lake_server_cluster_free(server->cluster);
    lake_server_user_free(server->user);
    g_mutex_clear(&server->lock);
    g_free(server->state_dir);
    g_free(server->folder);
    g_free(server->server_bin_dir);
    g_free(server->binaries);
    g_free(server);
}

static void
set_system_error(const char *act, const char *path, GError **error)
{
    int saved_errno = errno;

    lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, lake_error_code_from_errno(saved_errno),
        "could not %s %s: %s", act, path, g_strerror(saved_errno));
    if (error)
        lake_error_hint(*error, "Choose another folder with state_dir.");
}

/* Whether the state folder, where it is there already, belongs to us. */
static gboolean
check_owner(const LakeServer *server, GError **error)
{
    struct stat status;

    if (stat(server->state_dir, &status) < 0) {
        if (errno == ENOENT)
            return TRUE;
        set_system_error("look at the state folder", server->state_dir, error);
        return FALSE;
    }
    if (status.st_uid == geteuid())
        return TRUE;

    g_autofree char *owner = lake_server_cluster_describe_owner(status.st_uid);
    g_autofree char *self = lake_server_cluster_describe_owner(geteuid());
    lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_NO_ACCESS,
        "the state folder %s belongs to %s, and this is %s", server->state_dir, owner, self);
    if (error)
        lake_error_hint(*error, "Choose another folder with state_dir.");
    return FALSE;
}

/* Whether the server's user can come as far as the folders go that are there; those we make let
 * him pass. */
static gboolean
check_way(const LakeServer *server, GError **error)
{
    g_autofree char *blocked = NULL;
    g_autofree char *folder = g_strdup(server->state_dir);

    for (;;) {
        gboolean is_there = access(folder, F_OK) == 0;
        if (is_there && lake_server_user_can_enter(server->user, folder))
            break;
        if (is_there) {
            g_free(blocked);
            blocked = g_strdup(folder);
        }
        if (strcmp(folder, "/") == 0)
            break;
        char *parent = g_path_get_dirname(folder);
        g_free(folder);
        folder = parent;
    }
    if (!blocked)
        return TRUE;

    lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_NO_ACCESS,
        "%s, who is to run the private server, cannot enter %s", server->user->name, blocked);
    if (error)
        lake_error_hint(
            *error, "chmod o+x %s, or choose another folder with state_dir.", blocked);
    return FALSE;
}

/* mkdir -p, whatever the umask: the modes are part of the contract. */
static gboolean
make_state_folder(const LakeServer *server, GError **error)
{
    g_autofree char *path = g_strdup(server->state_dir);
    mode_t last_mode = geteuid() == 0 ? STATE_MODE_ROOT : STATE_MODE;

    for (char *slash = path; slash;) {
        slash = strchr(slash + 1, '/');
        if (slash)
            *slash = '\0';
        if (mkdir(path, 0700) == 0) {
            if (chmod(path, slash ? PARENT_MODE : last_mode) < 0) {
                set_system_error("give access to", path, error);
                return FALSE;
            }
        } else if (errno != EEXIST) {
            set_system_error("make the folder", path, error);
            return FALSE;
        }
        if (slash)
            *slash = '/';
    }
    return check_owner(server, error);
}

/* The programs, looked for when first needed. */
static gboolean
find_binaries(LakeServer *server, GCancellable *cancellable, GError **error)
{
    if (!server->binaries)
        server->binaries = lake_server_binaries_find(server->server_bin_dir,
            lake_server_cluster_major(server->cluster), server->user, cancellable, error);
    return server->binaries != NULL;
}

static int
open_lock(const LakeServer *server, const char *name, GError **error)
{
    g_autofree char *path = g_build_filename(server->folder, name, NULL);

    int fd =
        open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (fd < 0)
        set_system_error("open the lock file", path, error);
    return fd;
}

/* Takes the exclusive lock on `change`. Returns its file, whose close is the unlock, or -1. */
static int
lock_change(const LakeServer *server, GCancellable *cancellable, GError **error)
{
    gint64 deadline_us = g_get_monotonic_time() + server->limit_us;
    int fd = open_lock(server, "change", error);

    while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            set_system_error("lock a file in", server->folder, error);
        } else if (g_cancellable_is_cancelled(cancellable)) {
            lake_error_set(
                error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_CANCELLED, "interrupted");
        } else if (g_get_monotonic_time() > deadline_us) {
            lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_TIMED_OUT,
                "another process is still starting or stopping the private PostgreSQL in %s",
                server->folder);
        } else {
            g_usleep(LOCK_PAUSE_US);
            continue;
        }
        close(fd);
        fd = -1;
    }
    return fd;
}

/* With the lock on `change` held. */
static gboolean
bring_up(LakeServer *server, gboolean may_create, GCancellable *cancellable, GError **error)
{
    if (!lake_server_cluster_prepare_socket(server->cluster, error))
        return FALSE;
    if (lake_server_cluster_state(server->cluster) == LAKE_SERVER_CLUSTER_READY)
        return TRUE;
    if (!find_binaries(server, cancellable, error))
        return FALSE;

    if (lake_server_cluster_major(server->cluster) == 0) {
        if (!may_create) {
            lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_FAILED,
                "the private PostgreSQL's data is gone from %s", server->folder);
            return FALSE;
        }
        if (!lake_server_cluster_create(server->cluster, server->binaries, cancellable, error))
            return FALSE;
    }
    return lake_server_cluster_start(server->cluster, server->binaries,
        g_get_monotonic_time() + server->limit_us, cancellable, error);
}

/* Once `change` is ours nobody tries for more than a shared lock, so this does not wait. */
static gboolean
count_in(LakeServer *server, GError **error)
{
    server->users_fd = open_lock(server, "users", error);
    if (server->users_fd < 0)
        return FALSE;

    while (flock(server->users_fd, LOCK_SH) < 0)
        if (errno != EINTR) {
            set_system_error("lock a file in", server->folder, error);
            return FALSE;
        }
    return TRUE;
}

static gboolean
check_cluster(LakeServer *server, GCancellable *cancellable, GError **error)
{
    if (lake_server_cluster_major(server->cluster) != 0)
        return TRUE;
    if (server->may_create)
        return find_binaries(server, cancellable, error);

    lake_error_set(error, LAKE_ERROR_CLASS_WORKSPACE, LAKE_ERROR_NOT_FOUND,
        "%s has no private server yet, and read-only none is made", server->state_dir);
    if (error)
        lake_error_hint(*error, "Mount it once without ro, or name another folder with "
                                "state_dir or a server with dsn.");
    return FALSE;
}

static gboolean
join(LakeServer *server, GCancellable *cancellable, GError **error)
{
    /* Before anything is made, so that a machine without PostgreSQL keeps nothing of us. */
    if (!check_owner(server, error) || !check_way(server, error) ||
        !check_cluster(server, cancellable, error))
        return FALSE;

    if (!make_state_folder(server, error) ||
        !lake_server_cluster_prepare(server->cluster, error))
        return FALSE;

    int change_fd = lock_change(server, cancellable, error);
    if (change_fd < 0)
        return FALSE;
    gboolean is_good =
        bring_up(server, server->may_create, cancellable, error) && count_in(server, error);
    close(change_fd);
    return is_good;
}

LakeServer *
lake_server_open(const LakeConfig *config, GCancellable *cancellable, GError **error)
{
    LakeServer *server = new_server(config, error);

    if (server && !join(server, cancellable, error)) {
        free_server(server);
        return NULL;
    }
    return server;
}

gboolean
lake_server_ensure(LakeServer *server, GCancellable *cancellable, GError **error)
{
    if (lake_server_cluster_state(server->cluster) == LAKE_SERVER_CLUSTER_READY)
        return TRUE;

    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&server->lock);
    int change_fd = lock_change(server, cancellable, error);
    if (change_fd < 0)
        return FALSE;
    gboolean is_good = bring_up(server, FALSE, cancellable, error);
    close(change_fd);
    return is_good;
}

/* value as libpq reads it between single quotes. */
static char *
escape_conninfo(const char *value)
{
    GString *escaped = g_string_new("");

    for (; *value; value++) {
        if (*value == '\'' || *value == '\\')
            g_string_append_c(escaped, '\\');
        g_string_append_c(escaped, *value);
    }
    return g_string_free(escaped, FALSE);
}

char *
lake_server_dup_conninfo(LakeServer *server)
{
    g_autofree char *host = escape_conninfo(lake_server_cluster_socket_folder(server->cluster));

    return g_strdup_printf("host='%s' port=" LAKE_SERVER_CLUSTER_PORT
                           " user=" LAKE_SERVER_CLUSTER_ROLE
                           " dbname=" LAKE_SERVER_CLUSTER_DATABASE
                           /* What a failed statement says may hold anything, and is for its
                            * caller. Other processes of the server log as ever. */
                           " options='-c log_min_messages=log'",
        host);
}

/* With the lock on `change` held, so that nobody joins meanwhile: whoever can turn the shared
 * lock on `users` into an exclusive one is alone. */
static void
stop_if_alone(LakeServer *server)
{
    g_autoptr(GError) error = NULL;

    if (flock(server->users_fd, LOCK_EX | LOCK_NB) < 0 ||
        lake_server_cluster_state(server->cluster) == LAKE_SERVER_CLUSTER_DOWN)
        return;
    if (!find_binaries(server, NULL, &error) ||
        !lake_server_cluster_stop(server->cluster, server->binaries, &error))
        g_debug("the private PostgreSQL stays up: %s", error->message);
}

void
lake_server_close(LakeServer *server)
{
    if (!server)
        return;

    int change_fd = lock_change(server, NULL, NULL);
    if (change_fd >= 0) {
        stop_if_alone(server);
        close(server->users_fd);
        server->users_fd = -1;
        close(change_fd);
    }
    free_server(server);
}

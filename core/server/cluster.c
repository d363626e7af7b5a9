/* SPDX-License-Identifier: Apache-2.0 */
#include "core/server/cluster.h"
#include "core/error.h"
#include "core/extension.h"
#include "core/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET_NAME ".s.PGSQL." LAKE_SERVER_CLUSTER_PORT
#define NEW_DATA_PREFIX "data.new-"
#define LOG_NAME "server.log"
#define LOG_MAX_BYTES (1024 * 1024) /* older lines go at the next start */
#define LOG_TAIL_MAX_BYTES (16 * 1024)
#define PAUSE_US (50 * 1000)
#define STOP_SECONDS "60"
#define MIB (G_GINT64_CONSTANT(1) << 20)

struct LakeServerCluster {
    const LakeServerUser *user;
    char *folder;
    char *data;
    char *socket_folder; /* in folder, or elsewhere where that is too long for a socket */
};

LakeServerCluster *
lake_server_cluster_new(const char *folder, const LakeServerUser *user)
{
    LakeServerCluster *cluster = g_new0(LakeServerCluster, 1);

    cluster->user = user;
    cluster->folder = g_strdup(folder);
    cluster->data = g_build_filename(folder, "data", NULL);
    return cluster;
}

void
lake_server_cluster_free(LakeServerCluster *cluster)
{
    if (!cluster)
        return;

    g_free(cluster->folder);
    g_free(cluster->data);
    g_free(cluster->socket_folder);
    g_free(cluster);
}

const char *
lake_server_cluster_socket_folder(const LakeServerCluster *cluster)
{
    return cluster->socket_folder;
}

char *
lake_server_cluster_describe_owner(uid_t uid)
{
    char buffer[4096];
    struct passwd entry, *found = NULL;

    if (getpwuid_r(uid, &entry, buffer, sizeof buffer, &found) == 0 && found)
        return g_strdup_printf("%s (uid %u)", found->pw_name, uid);
    return g_strdup_printf("uid %u", uid);
}

static void
set_system_error(const char *act, const char *path, GError **error)
{
    int saved_errno = errno;

    lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, lake_error_code_from_errno(saved_errno),
        "could not %s %s: %s", act, path, g_strerror(saved_errno));
}

/* fd is a folder that may have been there before us, put there by anyone. */
static gboolean
make_ours(const LakeServerCluster *cluster, int fd, const char *path, GError **error)
{
    const LakeServerUser *user = cluster->user;
    struct stat status;

    if (fstat(fd, &status) < 0) {
        set_system_error("look at", path, error);
        return FALSE;
    }
    if (status.st_uid != user->uid && status.st_uid != geteuid()) {
        g_autofree char *owner = lake_server_cluster_describe_owner(status.st_uid);
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_NO_ACCESS,
            "%s belongs to %s, not to %s who is to run the private server", path, owner,
            user->name);
        if (error)
            lake_error_hint(*error, "Choose another folder with state_dir%s.",
                user->is_other ? ", or its owner with server_user" : "");
        return FALSE;
    }

    if ((status.st_uid != user->uid && fchown(fd, user->uid, user->gid) < 0) ||
        ((status.st_mode & 0777) != 0700 && fchmod(fd, 0700) < 0)) {
        set_system_error("take over", path, error);
        return FALSE;
    }
    return TRUE;
}

/* A folder that only the server's user and root may enter. */
static gboolean
make_private_folder(const LakeServerCluster *cluster, const char *path, GError **error)
{
    if (mkdir(path, 0700) < 0 && errno != EEXIST) {
        set_system_error("make the folder", path, error);
        return FALSE;
    }

    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        set_system_error("open the folder", path, error);
        return FALSE;
    }
    gboolean is_good = make_ours(cluster, fd, path, error);
    close(fd);
    return is_good;
}

/* The address of a Unix socket holds 107 bytes. Where the folder's own path leaves no room,
 * everyone who uses it must come to the same short one. Not the session's run-time folder: that
 * goes when its owner logs out, and a mount stays. */
static char *
choose_socket_folder(const LakeServerCluster *cluster)
{
    struct sockaddr_un address;
    g_autofree char *own = g_build_filename(cluster->folder, "socket", NULL);

    if (strlen(own) + strlen("/" SOCKET_NAME) < sizeof address.sun_path && !strchr(own, ','))
        return g_steal_pointer(&own);

    g_autofree char *real = realpath(cluster->folder, NULL);
    g_autofree char *digest =
        g_compute_checksum_for_string(G_CHECKSUM_SHA256, real ? real : cluster->folder, -1);
    const char *place = geteuid() == 0 && access("/run", W_OK) == 0 ? "/run" : "/tmp";
    return g_strdup_printf("%s/deeplakefs-%.16s", place, digest);
}

gboolean
lake_server_cluster_prepare(LakeServerCluster *cluster, GError **error)
{
    if (!make_private_folder(cluster, cluster->folder, error))
        return FALSE;

    g_free(cluster->socket_folder);
    cluster->socket_folder = choose_socket_folder(cluster);
    return TRUE;
}

gboolean
lake_server_cluster_prepare_socket(const LakeServerCluster *cluster, GError **error)
{
    return make_private_folder(cluster, cluster->socket_folder, error);
}

int
lake_server_cluster_major(const LakeServerCluster *cluster)
{
    g_autofree char *path = g_build_filename(cluster->data, "PG_VERSION", NULL);
    g_autofree char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) ? atoi(text) : 0;
}

/* Whether pid is this cluster's postmaster: processes come and go, and after a reboot the
 * number in postmaster.pid may be anyone's. A postmaster's current folder is its data. */
static gboolean
is_postmaster(const LakeServerCluster *cluster, pid_t pid)
{
    g_autofree char *process = g_strdup_printf("/proc/%d", pid);
    g_autofree char *current = g_build_filename(process, "cwd", NULL);
    g_autofree char *command_path = g_build_filename(process, "comm", NULL);
    g_autofree char *command = NULL;
    struct stat status, data;

    if (stat(process, &status) < 0 || status.st_uid != cluster->user->uid)
        return FALSE;
    if (stat(current, &status) == 0 && stat(cluster->data, &data) == 0)
        return status.st_dev == data.st_dev && status.st_ino == data.st_ino;

    /* Root without the right to look: its name must do. */
    return errno == EACCES && g_file_get_contents(command_path, &command, NULL, NULL) &&
           g_str_has_prefix(command, "postgres");
}

/* Whether somebody listens: the postmaster may be in another process namespace that shares the
 * folder, where its number says nothing. */
static gboolean
socket_answers(const LakeServerCluster *cluster)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (!cluster->socket_folder ||
        g_snprintf(address.sun_path, sizeof address.sun_path, "%s/" SOCKET_NAME,
            cluster->socket_folder) >= (int)sizeof address.sun_path)
        return FALSE;

    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return FALSE;
    gboolean answers =
        connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 || errno == EAGAIN;
    close(fd);
    return answers;
}

/* postmaster.pid: process, data folder, start time, port, socket folder, address, shared
 * memory, status; one line each, the later ones added as it starts. */
LakeServerClusterState
lake_server_cluster_state(const LakeServerCluster *cluster)
{
    g_autofree char *path = g_build_filename(cluster->data, "postmaster.pid", NULL);
    g_autofree char *text = NULL;

    if (!g_file_get_contents(path, &text, NULL, NULL))
        return LAKE_SERVER_CLUSTER_DOWN;

    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    const char *status = g_strv_length(lines) > 7 ? g_strstrip(lines[7]) : "starting";
    pid_t pid = lines[0] ? atoi(lines[0]) : 0;
    gboolean is_alive = pid > 0 && (kill(pid, 0) == 0 || errno == EPERM);

    if (!is_alive || !is_postmaster(cluster, pid)) {
        if (socket_answers(cluster))
            return LAKE_SERVER_CLUSTER_READY;
        return is_alive ? LAKE_SERVER_CLUSTER_MISLED : LAKE_SERVER_CLUSTER_DOWN;
    }
    if (strcmp(status, "stopping") == 0)
        return LAKE_SERVER_CLUSTER_STOPPING;
    return strcmp(status, "ready") == 0 ? LAKE_SERVER_CLUSTER_READY
                                        : LAKE_SERVER_CLUSTER_STARTING;
}

/* As the user who made it, so that nothing outside of his reach can be hit. */
static void
remove_folder(const LakeServerCluster *cluster, const char *name)
{
    const char *const arguments[] = {"rm", "-rf", "--", name, NULL};
    g_autoptr(GError) error = NULL;

    if (!lake_server_binaries_run(
            cluster->user, cluster->folder, arguments, NULL, NULL, &error))
        g_debug("%s stays: %s", name, error->message);
}

/* What an initdb left that was killed, or whose caller was. */
static void
remove_leftovers(const LakeServerCluster *cluster)
{
    g_autoptr(GDir) folder = g_dir_open(cluster->folder, 0, NULL);
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    const char *name = NULL;

    while (folder && (name = g_dir_read_name(folder)))
        if (g_str_has_prefix(name, NEW_DATA_PREFIX))
            g_ptr_array_add(names, g_strdup(name));

    for (guint i = 0; i < names->len; i++)
        remove_folder(cluster, g_ptr_array_index(names, i));
}

static gboolean
run_initdb(const LakeServerCluster *cluster, const char *binaries, const char *name,
    GCancellable *cancellable, GError **error)
{
    g_autofree char *initdb = g_build_filename(binaries, "initdb", NULL);
    locale_t unicode = newlocale(LC_ALL_MASK, "C.UTF-8", (locale_t)0);
    const char *const arguments[] = {initdb, "-D", name, "-U", LAKE_SERVER_CLUSTER_ROLE,
        "--encoding=UTF8", unicode ? "--locale=C.UTF-8" : "--locale=C", "--data-checksums",
        /* The socket's folder is the guard: 0700. */
        "--auth=trust", "--no-instructions", NULL};

    if (unicode)
        freelocale(unicode);
    return lake_server_binaries_run(
        cluster->user, cluster->folder, arguments, NULL, cancellable, error);
}

/* Puts the finished cluster in its place, so that a power failure does not undo it. */
static gboolean
put_in_place(const LakeServerCluster *cluster, const char *name, GError **error)
{
    if (lake_fault("server-created")) {
        lake_error_set(
            error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_FAILED, "fault point server-created");
        return FALSE;
    }

    int fd = open(cluster->folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    gboolean is_good = fd >= 0 && renameat(fd, name, fd, "data") == 0 && fsync(fd) == 0;
    if (!is_good)
        set_system_error("put a new cluster into", cluster->folder, error);
    if (fd >= 0)
        close(fd);
    return is_good;
}

gboolean
lake_server_cluster_create(const LakeServerCluster *cluster, const char *binaries,
    GCancellable *cancellable, GError **error)
{
    if (rmdir(cluster->data) < 0 && errno != ENOENT) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_BAD_INPUT,
            "%s is there but is no PostgreSQL cluster", cluster->data);
        return FALSE;
    }
    remove_leftovers(cluster);

    /* A new name each time: an initdb whose caller was killed may still be at work in the old.
     */
    g_autofree char *name = g_strdup_printf(NEW_DATA_PREFIX "%08x", g_random_int());
    if (!run_initdb(cluster, binaries, name, cancellable, error)) {
        remove_folder(cluster, name);
        return FALSE;
    }
    if (!put_in_place(cluster, name, error)) {
        remove_folder(cluster, name);
        return FALSE;
    }
    return TRUE;
}

/* An eighth of the memory, as PostgreSQL's own buffers share the machine with everything else.
 */
static gint64
shared_buffers_mib(void)
{
    gint64 total = (gint64)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);

    return CLAMP(total / MIB / 8, 128, 1024);
}

static void
add_option(GString *options, const char *name, const char *value)
{
    g_autofree char *setting = g_strdup_printf("%s=%s", name, value);
    g_autofree char *quoted = g_shell_quote(setting);

    g_string_append_printf(options, " -c %s", quoted);
}

/* On the command line rather than in postgresql.conf: they follow the folder when it moves and
 * the machine when it changes, and a cluster made by an earlier version gets them too. pg_ctl
 * hands them to a shell. */
static char *
server_options(const LakeServerCluster *cluster, gboolean has_extension)
{
    GString *options = g_string_new("");
    g_auto(GStrv) parts = g_strsplit(cluster->socket_folder, "\"", -1);
    g_autofree char *escaped = g_strjoinv("\"\"", parts);
    g_autofree char *folder_list = g_strdup_printf("\"%s\"", escaped);
    g_autofree char *shared_buffers =
        g_strdup_printf("%" G_GINT64_FORMAT "MB", shared_buffers_mib());

    add_option(options, "listen_addresses", "");
    add_option(options, "unix_socket_directories", folder_list);
    add_option(options, "unix_socket_permissions", "0700");
    add_option(options, "port", LAKE_SERVER_CLUSTER_PORT);
    add_option(options, "cluster_name", "deeplakefs");
    add_option(options, "fsync", "on");
    add_option(options, "full_page_writes", "on");
    add_option(options, "max_connections", "100");
    add_option(options, "shared_buffers", shared_buffers);
    add_option(options, "max_wal_size", "4GB");
    add_option(options, "wal_compression", "lz4");
    add_option(options, "checkpoint_timeout", "15min");
    add_option(options, "log_checkpoints", "off");
    /* Only where it is there: a server that cannot load it refuses every connection. */
    if (has_extension)
        add_option(options, "session_preload_libraries", LAKE_EXTENSION_NAME);
    /* A failed statement of a user may hold anything, and is not ours to keep. */
    add_option(options, "log_min_error_statement", "panic");
    return g_string_free(options, FALSE);
}

static int
open_log(const LakeServerCluster *cluster)
{
    g_autofree char *path = g_build_filename(cluster->folder, LOG_NAME, NULL);

    return open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
}

/* Where the next lines of the log will be; starts it afresh when it has grown long. */
static gint64
log_position(const LakeServerCluster *cluster)
{
    g_autofree char *path = g_build_filename(cluster->folder, LOG_NAME, NULL);
    struct stat status;

    if (lstat(path, &status) < 0)
        return 0;
    if (status.st_size > LOG_MAX_BYTES && unlink(path) == 0)
        return 0;
    return status.st_size;
}

static char *
read_log(const LakeServerCluster *cluster, gint64 position)
{
    g_autofree char *text = g_malloc(LOG_TAIL_MAX_BYTES);
    int fd = open_log(cluster);
    ssize_t n_bytes = 0;

    if (fd >= 0) {
        off_t end = lseek(fd, 0, SEEK_END);
        n_bytes = pread(fd, text, LOG_TAIL_MAX_BYTES, MAX(position, end - LOG_TAIL_MAX_BYTES));
        close(fd);
    }
    return g_utf8_make_valid(text, MAX(n_bytes, 0));
}

static gint64
remaining_us(gint64 deadline_us)
{
    return MAX(deadline_us - g_get_monotonic_time(), 0);
}

/* Runs pg_ctl once. TRUE when looking again makes sense: it started, it is still at it, or
 * processes of a server that was killed have not all left its shared memory. */
static gboolean
launch(const LakeServerCluster *cluster, const char *binaries, gint64 deadline_us,
    GCancellable *cancellable, GError **error)
{
    g_autofree char *pg_ctl = g_build_filename(binaries, "pg_ctl", NULL);
    g_autofree char *options =
        server_options(cluster, lake_server_binaries_have_library(
                                    binaries, LAKE_EXTENSION_NAME, cluster->user, cancellable));
    g_autofree char *seconds =
        g_strdup_printf("%" G_GINT64_FORMAT, remaining_us(deadline_us) / G_USEC_PER_SEC + 1);
    /* Relative names: pg_ctl puts them between double quotes for a shell, whatever they hold.
     */
    const char *const arguments[] = {pg_ctl, "start", "-D", "data", "-l", LOG_NAME, "-w", "-t",
        seconds, "-s", "-o", options, NULL};
    g_autoptr(GError) trouble = NULL;
    g_autofree char *output = NULL;

    gint64 position = log_position(cluster);
    if (lake_server_binaries_run(
            cluster->user, cluster->folder, arguments, &output, cancellable, &trouble))
        return TRUE;
    if (g_error_matches(trouble, LAKE_ERROR, LAKE_ERROR_CANCELLED)) {
        g_propagate_error(error, g_steal_pointer(&trouble));
        return FALSE;
    }
    if (lake_server_cluster_state(cluster) != LAKE_SERVER_CLUSTER_DOWN)
        return TRUE;

    g_autofree char *log = read_log(cluster, position);
    if (strstr(log, "pre-existing shared memory block"))
        return TRUE;
    lake_server_binaries_set_failed("the private PostgreSQL did not start",
        *log ? log : (output ? output : trouble->message), error);
    return FALSE;
}

/* PostgreSQL would take the living process for a server of this folder and refuse to start.
 * Removing the files loses no safety: it looks for attached shared memory by the folder's inode
 * as well. */
static void
remove_misleading_files(const LakeServerCluster *cluster)
{
    g_autofree char *pid = g_build_filename(cluster->data, "postmaster.pid", NULL);
    g_autofree char *lock = g_build_filename(cluster->socket_folder, SOCKET_NAME ".lock", NULL);

    unlink(pid);
    unlink(lock);
}

static gboolean
pause_until(const LakeServerCluster *cluster, gint64 deadline_us, GCancellable *cancellable,
    GError **error)
{
    if (g_cancellable_is_cancelled(cancellable)) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_CANCELLED, "interrupted");
        return FALSE;
    }
    if (remaining_us(deadline_us) == 0) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_TIMED_OUT,
            "the private PostgreSQL in %s does not answer yet", cluster->folder);
        if (error)
            lake_error_hint(*error,
                "It may be recovering after a crash: try again, give it longer with "
                "connect_timeout, or see %s/" LOG_NAME ".",
                cluster->folder);
        return FALSE;
    }
    g_usleep(PAUSE_US);
    return TRUE;
}

gboolean
lake_server_cluster_start(const LakeServerCluster *cluster, const char *binaries,
    gint64 deadline_us, GCancellable *cancellable, GError **error)
{
    for (;;) {
        switch (lake_server_cluster_state(cluster)) {
        case LAKE_SERVER_CLUSTER_READY:
            return TRUE;
        case LAKE_SERVER_CLUSTER_MISLED:
            remove_misleading_files(cluster);
            break;
        case LAKE_SERVER_CLUSTER_DOWN:
            if (!launch(cluster, binaries, deadline_us, cancellable, error))
                return FALSE;
            if (lake_server_cluster_state(cluster) == LAKE_SERVER_CLUSTER_READY)
                return TRUE;
            break;
        case LAKE_SERVER_CLUSTER_STARTING:
        case LAKE_SERVER_CLUSTER_STOPPING:
            break;
        }
        if (!pause_until(cluster, deadline_us, cancellable, error))
            return FALSE;
    }
}

gboolean
lake_server_cluster_stop(const LakeServerCluster *cluster, const char *binaries, GError **error)
{
    g_autofree char *pg_ctl = g_build_filename(binaries, "pg_ctl", NULL);
    g_autofree char *own = g_build_filename(cluster->folder, "socket", NULL);
    const char *const arguments[] = {
        pg_ctl, "stop", "-D", "data", "-m", "fast", "-w", "-t", STOP_SECONDS, "-s", NULL};

    if (!lake_server_binaries_run(cluster->user, cluster->folder, arguments, NULL, NULL, error))
        return FALSE;

    /* A short folder elsewhere would be litter. */
    if (strcmp(cluster->socket_folder, own) != 0 && rmdir(cluster->socket_folder) < 0)
        g_debug("%s stays: %s", cluster->socket_folder, g_strerror(errno));
    return TRUE;
}

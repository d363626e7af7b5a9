/* SPDX-License-Identifier: Apache-2.0 */
#include "core/local.h"

#include "core/error.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MAX 40 /* as the kernel follows, MAXSYMLINKS in linux/namei.h */

struct LakeLocalFolder {
    char *path; /* as it was named */
    int fd;     /* O_PATH */
    GArray *own_mounts;
};

/* --- mounts of ours --- */

/* "36 35 98:0 /root /target options optional… - type source super-options" */
static gboolean
is_own_mount(const char *line)
{
    const char *dash = strstr(line, " - "); /* a space within a field is \040 */

    return dash && g_str_has_prefix(dash + 3, LAKE_LOCAL_OWN_TYPE " ");
}

/* The ids (gint64) of all mounts of this program. */
static GArray *
find_own_mounts(void)
{
    GArray *ids = g_array_new(FALSE, FALSE, sizeof(gint64));
    g_autofree char *mountinfo = NULL;

    if (!g_file_get_contents("/proc/self/mountinfo", &mountinfo, NULL, NULL))
        return ids;
    g_auto(GStrv) lines = g_strsplit(mountinfo, "\n", -1);
    for (char **line = lines; *line; line++) {
        gint64 id = g_ascii_strtoll(*line, NULL, 10);
        if (is_own_mount(*line))
            g_array_append_val(ids, id);
    }
    return ids;
}

/* Nothing is asked of what is mounted there, as fstat would. */
static gboolean
is_on_own_mount(int fd, const GArray *own_mounts)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fdinfo/%d", fd);
    g_autofree char *fdinfo = NULL;

    if (own_mounts->len == 0 || !g_file_get_contents(path, &fdinfo, NULL, NULL))
        return FALSE;
    const char *line = strstr(fdinfo, "mnt_id:");
    gint64 id = line ? g_ascii_strtoll(line + strlen("mnt_id:"), NULL, 10) : -1;
    for (guint i = 0; i < own_mounts->len; i++)
        if (g_array_index(own_mounts, gint64, i) == id)
            return TRUE;
    return FALSE;
}

/* --- the way to a folder --- */

/* Where a walk is. One name at a time, so that none is looked up on a mount of ours. */
typedef struct {
    int fd;
    GString *rest; /* what is still to be walked */
    guint n_links;
    const GArray *own_mounts;
    gboolean is_own; /* it has come to a mount of ours */
} Walk;

static void
walk_clear(Walk *walk)
{
    if (walk->fd >= 0)
        close(walk->fd);
    g_string_free(walk->rest, TRUE);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Walk, walk_clear)

static void
stand_on(Walk *walk, int fd)
{
    if (walk->fd >= 0)
        close(walk->fd);
    walk->fd = fd;
}

/* Takes the next name off the rest; NULL at its end. */
static char *
next_name(Walk *walk)
{
    gsize n_slashes = strspn(walk->rest->str, "/");
    g_string_erase(walk->rest, 0, (gssize)n_slashes);
    gsize n_bytes = strcspn(walk->rest->str, "/");
    char *name = n_bytes > 0 ? g_strndup(walk->rest->str, n_bytes) : NULL;

    g_string_erase(walk->rest, 0, (gssize)n_bytes);
    return name;
}

/* link is one: what it says stands before the rest from here on. 0, or errno. */
static int
follow(Walk *walk, int link)
{
    char target[PATH_MAX];
    ssize_t n_bytes = readlinkat(link, "", target, sizeof target - 1);
    int saved_errno = errno;

    close(link);
    if (n_bytes < 0)
        return saved_errno;
    if (++walk->n_links > LINKS_MAX)
        return ELOOP;
    target[n_bytes] = '\0';
    g_string_prepend_c(walk->rest, '/');
    g_string_prepend(walk->rest, target);
    if (target[0] != '/')
        return 0;
    int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return errno;
    stand_on(walk, root);
    return 0;
}

/* 0, or errno; walk->is_own says it is ours. */
static int
step(Walk *walk, const char *name)
{
    struct stat status;
    int next = openat(walk->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    if (next < 0)
        return errno;
    walk->is_own = is_on_own_mount(next, walk->own_mounts);
    if (walk->is_own || fstat(next, &status) < 0) {
        int saved_errno = walk->is_own ? ELOOP : errno;
        close(next);
        return saved_errno;
    }
    if (S_ISLNK(status.st_mode))
        return follow(walk, next);
    stand_on(walk, next);
    return S_ISDIR(status.st_mode) ? 0 : ENOTDIR;
}

/* Where all of it is behind, may names be looked up there? 0, or errno. */
static int
walk_all(Walk *walk)
{
    int failed = walk->fd < 0 ? errno : 0;

    while (!failed) {
        g_autofree char *name = next_name(walk);
        if (!name)
            break;
        failed = step(walk, name);
    }
    if (failed)
        return failed;
    int inside = openat(walk->fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (inside < 0)
        return errno;
    stand_on(walk, inside);
    return 0;
}

/* --- folders --- */

/* ENOENT and such are not what whoever writes an option, or copies a file, is told by errno:
 * his file is there. */
static gboolean refuse(GError **error, int saved_errno, const char *hint, const char *format,
    ...) G_GNUC_PRINTF(4, 5);

static gboolean
refuse(GError **error, int saved_errno, const char *hint, const char *format, ...)
{
    gboolean is_rights = saved_errno == EACCES || saved_errno == EPERM;
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    lake_error_set(error, LAKE_ERROR_CLASS_INGEST,
        is_rights ? LAKE_ERROR_NO_ACCESS : LAKE_ERROR_BAD_INPUT, "%s", message);
    if (error)
        lake_error_hint(*error, "%s", hint);
    return FALSE;
}

static gboolean
refuse_folder(const char *path, const Walk *walk, int failed, GError **error)
{
    g_autofree char *shown = g_utf8_make_valid(path, -1);

    if (walk->is_own)
        return refuse(error, 0,
            "name a folder of a local disk: a daemon that reads its own mount would wait for "
            "itself",
            "the folder %s lies on a mount of deeplakefs", shown);
    return refuse(error, failed,
        failed == EACCES
            ? "it is read with the rights of who mounted: chmod it, or choose another"
            : "name a folder that is there, by its absolute path",
        "the folder %s: %s", shown, failed == ENOTDIR ? "it is no folder" : g_strerror(failed));
}

LakeLocalFolder *
lake_local_folder_open(const char *path, GError **error)
{
    if (!g_path_is_absolute(path)) {
        g_autofree char *shown = g_utf8_make_valid(path, -1);
        refuse(error, 0, "begin it with a slash", "the folder %s: not an absolute path", shown);
        return NULL;
    }
    g_autoptr(GArray) own_mounts = find_own_mounts();
    g_auto(Walk) walk = {
        .rest = g_string_new(path),
        .own_mounts = own_mounts,
        .fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC),
    };
    int failed = walk_all(&walk);
    if (failed) {
        refuse_folder(path, &walk, failed, error);
        return NULL;
    }

    LakeLocalFolder *folder = g_new0(LakeLocalFolder, 1);
    folder->path = g_strdup(path);
    folder->fd = walk.fd;
    folder->own_mounts = g_steal_pointer(&own_mounts);
    walk.fd = -1;
    return folder;
}

void
lake_local_folder_free(LakeLocalFolder *folder)
{
    if (!folder)
        return;
    close(folder->fd);
    g_array_unref(folder->own_mounts);
    g_free(folder->path);
    g_free(folder);
}

/* --- files --- */

static gboolean
refuse_file(const LakeLocalFolder *folder, const char *name, int failed, const char *reason,
    GError **error)
{
    g_autofree char *path = g_strconcat(folder->path, "/", name, NULL);
    g_autofree char *shown = g_utf8_make_valid(path, -1);

    return refuse(error, failed,
        failed == EACCES ? "files are read with the rights of who mounted: chmod it"
                         : "is it complete, and is that the right folder?",
        "the file %s: %s", shown, reason ? reason : g_strerror(failed));
}

/* Says why name can be none; NULL: it can. */
static const char *
why_no_name(const char *name)
{
    g_auto(GStrv) parts = g_strsplit(name, "/", -1);

    if (!*name)
        return "it has no name";
    if (*name == '/')
        return "a name that begins with / leads out of the folder";
    for (char **part = parts; *part; part++) {
        if (g_str_equal(*part, ".."))
            return "a name with .. leads out of the folder";
        if (!**part || g_str_equal(*part, "."))
            return "this is no name of a file";
    }
    return NULL;
}

/* The folder of name's last part, as a new descriptor; -1 with errno. */
static int
open_parent(const LakeLocalFolder *folder, const char *name, const char **ret_last)
{
    int fd = openat(folder->fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

    for (const char *slash; fd >= 0 && (slash = strchr(name, '/')); name = slash + 1) {
        g_autofree char *part = g_strndup(name, (gsize)(slash - name));
        int next = openat(fd, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int saved_errno = errno;

        close(fd);
        if (next >= 0 && is_on_own_mount(next, folder->own_mounts)) {
            close(next);
            next = -1;
            saved_errno = EXDEV;
        }
        errno = saved_errno;
        fd = next;
    }
    *ret_last = name;
    return fd;
}

static const char *
reason_of(int failed)
{
    switch (failed) {
    case ELOOP:
        return "it is a symbolic link, which is not followed";
    case EXDEV:
        return "it lies on a mount of deeplakefs";
    case ENXIO: /* of a socket, or a device that is not there */
        return "it is no regular file";
    default:
        return NULL;
    }
}

/* -1 with an error. */
static int
find_parent(
    const LakeLocalFolder *folder, const char *name, const char **ret_last, GError **error)
{
    const char *reason = why_no_name(name);
    int parent = reason ? -1 : open_parent(folder, name, ret_last);

    if (parent < 0)
        refuse_file(
            folder, name, reason ? EINVAL : errno, reason ? reason : reason_of(errno), error);
    return parent;
}

LakeSpool *
lake_local_folder_open_file(LakeLocalFolder *folder, const char *name, GError **error)
{
    const char *last;
    struct stat status = {0};
    int parent = find_parent(folder, name, &last, error);
    if (parent < 0)
        return NULL;

    int fd = openat(parent, last, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
    int failed = fd < 0 || fstat(fd, &status) < 0 ? errno : 0;
    close(parent);
    if (!failed && S_ISREG(status.st_mode))
        return lake_spool_new_from_fd(fd, status.st_size);
    if (fd >= 0)
        close(fd);
    refuse_file(folder, name, failed ? failed : EINVAL,
        failed ? reason_of(failed) : "it is no regular file", error);
    return NULL;
}

gboolean
lake_local_folder_has_file(LakeLocalFolder *folder, const char *name, GError **error)
{
    const char *last;
    struct stat status;
    int parent = find_parent(folder, name, &last, error);
    if (parent < 0)
        return FALSE;

    int failed = fstatat(parent, last, &status, AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0;
    close(parent);
    if (!failed && S_ISREG(status.st_mode))
        return TRUE;
    if (!failed)
        return refuse_file(folder, name, EINVAL,
            S_ISLNK(status.st_mode) ? reason_of(ELOOP) : "it is no regular file", error);
    return refuse_file(folder, name, failed, reason_of(failed), error);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "mount/mountpoint.h"

#include "core/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void
mount_mountpoint_free(MountMountpoint *mountpoint)
{
    if (!mountpoint)
        return;
    g_free(mountpoint->target);
    g_free(mountpoint->type);
    g_free(mountpoint->source);
    g_free(mountpoint);
}

static gboolean
is_octal(char digit)
{
    return digit >= '0' && digit <= '7';
}

char *
mount_mountpoint_unescape(const char *text)
{
    char *plain = g_malloc(strlen(text) + 1);
    char *to = plain;

    while (*text) {
        if (text[0] == '\\' && is_octal(text[1]) && is_octal(text[2]) && is_octal(text[3])) {
            *to++ = (char)((text[1] - '0') * 64 + (text[2] - '0') * 8 + (text[3] - '0'));
            text += 4;
        } else {
            *to++ = *text++;
        }
    }
    *to = '\0';
    return plain;
}

/* "36 35 98:0 /root /target options optional… - type source super-options" */
static MountMountpoint *
parse_line(const char *line)
{
    g_auto(GStrv) fields = g_strsplit(line, " ", -1);
    guint n_fields = g_strv_length(fields);
    guint dash = 6;

    while (dash < n_fields && !g_str_equal(fields[dash], "-"))
        dash++;
    if (dash + 2 >= n_fields)
        return NULL;

    MountMountpoint *mountpoint = g_new0(MountMountpoint, 1);
    mountpoint->target = mount_mountpoint_unescape(fields[4]);
    mountpoint->type = mount_mountpoint_unescape(fields[dash + 1]);
    mountpoint->source = mount_mountpoint_unescape(fields[dash + 2]);
    return mountpoint;
}

GPtrArray *
mount_mountpoint_parse(const char *mountinfo)
{
    GPtrArray *all = g_ptr_array_new_with_free_func((GDestroyNotify)mount_mountpoint_free);
    g_auto(GStrv) lines = g_strsplit(mountinfo, "\n", -1);

    for (char **line = lines; *line; line++) {
        MountMountpoint *mountpoint = parse_line(*line);
        if (mountpoint)
            g_ptr_array_add(all, mountpoint);
    }
    return all;
}

MountMountpoint *
mount_mountpoint_find(const char *target)
{
    g_autofree char *mountinfo = NULL;
    if (!g_file_get_contents("/proc/self/mountinfo", &mountinfo, NULL, NULL))
        return NULL;

    /* Later lines were mounted later, and so lie on top. */
    g_autoptr(GPtrArray) all = mount_mountpoint_parse(mountinfo);
    for (guint i = all->len; i > 0; i--) {
        MountMountpoint *mountpoint = all->pdata[i - 1];
        if (g_str_equal(mountpoint->target, target))
            return g_ptr_array_steal_index(all, i - 1);
    }
    return NULL;
}

char *
mount_mountpoint_canonicalize(const char *path)
{
    char *real = realpath(path, NULL);
    if (!real && errno == ENOTCONN) {
        /* The last part is a mount that does not answer: look at what holds it. */
        g_autofree char *folder = g_path_get_dirname(path);
        g_autofree char *name = g_path_get_basename(path);
        g_autofree char *real_folder = realpath(folder, NULL);
        return real_folder ? g_build_filename(real_folder, name, NULL) : NULL;
    }

    char *copy = g_strdup(real);
    free(real);
    return copy;
}

static gboolean
is_below(const char *path, const char *folder)
{
    gsize n_bytes = strlen(folder);

    if (g_str_equal(folder, "/"))
        return TRUE;
    return g_str_has_prefix(path, folder) && (path[n_bytes] == '/' || !path[n_bytes]);
}

/* path with its symbolic links resolved as far as it exists. */
static char *
resolve_existing(const char *path)
{
    g_autofree char *real = mount_mountpoint_canonicalize(path);
    if (real || g_str_equal(path, "/") || g_str_equal(path, "."))
        return real ? g_steal_pointer(&real) : g_strdup(path);

    g_autofree char *folder = g_path_get_dirname(path);
    g_autofree char *name = g_path_get_basename(path);
    g_autofree char *real_folder = resolve_existing(folder);
    return g_build_filename(real_folder, name, NULL);
}

static gboolean
check_is_empty(const char *path, GError **error)
{
    g_autoptr(GError) cause = NULL;
    g_autoptr(GDir) folder = g_dir_open(path, 0, &cause);

    if (!folder) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_NO_ACCESS,
            "cannot read the mountpoint: %s", cause->message);
        return FALSE;
    }
    if (g_dir_read_name(folder)) {
        g_autoptr(GError) refusal = NULL;
        lake_error_set(
            &refusal, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_NOT_EMPTY, "%s is not empty", path);
        lake_error_hint(refusal, "-o nonempty mounts over it and hides what it holds");
        g_propagate_error(error, g_steal_pointer(&refusal));
        return FALSE;
    }
    return TRUE;
}

static gboolean
check_is_free(const char *path, gboolean allows_non_empty, GError **error)
{
    g_autoptr(MountMountpoint) mounted = mount_mountpoint_find(path);
    if (!mounted)
        return TRUE;

    gboolean is_ours = g_str_equal(mounted->type, MOUNT_MOUNTPOINT_TYPE);
    if (!is_ours && allows_non_empty)
        return TRUE;

    g_autoptr(GError) refusal = NULL;
    lake_error_set(&refusal, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_EXISTS,
        "%s is already a mountpoint: %s (%s)", path, mounted->source, mounted->type);
    if (is_ours) {
        g_autofree char *quoted = g_shell_quote(path);
        lake_error_hint(refusal, "deeplakefs umount %s", quoted);
    }
    g_propagate_error(error, g_steal_pointer(&refusal));
    return FALSE;
}

static void
set_stat_error(const char *path, int saved_errno, GError **error)
{
    g_autoptr(GError) refusal = NULL;

    if (saved_errno == ENOTCONN) {
        lake_error_set(&refusal, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_EXISTS,
            "%s is a mount whose daemon has died", path);
        g_autofree char *quoted = g_shell_quote(path);
        lake_error_hint(refusal, "fusermount3 -u %s", quoted);
    } else {
        lake_error_set(&refusal, LAKE_ERROR_CLASS_GENERAL,
            lake_error_code_from_errno(saved_errno), "mountpoint %s: %s", path,
            g_strerror(saved_errno));
    }
    g_propagate_error(error, g_steal_pointer(&refusal));
}

char *
mount_mountpoint_check(
    const char *path, gboolean allows_non_empty, const char *state_dir, GError **error)
{
    struct stat status;
    if (stat(path, &status) < 0) {
        set_stat_error(path, errno, error);
        return NULL;
    }
    if (!S_ISDIR(status.st_mode)) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_BAD_INPUT,
            "mountpoint %s is not a folder", path);
        return NULL;
    }

    g_autofree char *real = mount_mountpoint_canonicalize(path);
    if (!real) {
        set_stat_error(path, errno, error);
        return NULL;
    }

    /* The daemon would wait for itself whenever it touched its own state. */
    g_autofree char *real_state_dir = resolve_existing(state_dir);
    if (is_below(real_state_dir, real)) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_BAD_INPUT,
            "the state folder %s lies in the mountpoint %s", real_state_dir, real);
        return NULL;
    }

    if (!check_is_free(real, allows_non_empty, error))
        return NULL;
    if (!allows_non_empty && !check_is_empty(real, error))
        return NULL;
    return g_steal_pointer(&real);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "mount/registry.h"

#include <cjson/cJSON.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Start time of a process, or -1 when it is gone or waits as a zombie for its parent. */
static gint64
read_start_time(int pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", pid);
    g_autofree char *text = NULL;
    if (!g_file_get_contents(path, &text, NULL, NULL))
        return -1;

    /* The second field is the program's name, and may itself hold spaces and parentheses. */
    const char *after_name = strrchr(text, ')');
    if (!after_name || strlen(after_name) < 3)
        return -1;
    g_auto(GStrv) fields = g_strsplit(after_name + 2, " ", -1);
    if (g_strv_length(fields) < 20 || *fields[0] == 'Z' || *fields[0] == 'X')
        return -1;
    return g_ascii_strtoll(fields[19], NULL, 10);
}

MountRegistryEntry *
mount_registry_entry_new(const char *mountpoint, const char *workspace)
{
    MountRegistryEntry *entry = g_new0(MountRegistryEntry, 1);

    entry->pid = getpid();
    entry->start_time = read_start_time(entry->pid);
    entry->mountpoint = g_strdup(mountpoint);
    entry->workspace = g_strdup(workspace);
    entry->mounted_at_s = g_get_real_time() / G_USEC_PER_SEC;
    return entry;
}

void
mount_registry_entry_free(MountRegistryEntry *entry)
{
    if (!entry)
        return;
    g_free(entry->mountpoint);
    g_free(entry->workspace);
    g_free(entry);
}

static char *
make_path(const char *state_dir, int pid)
{
    g_autofree char *name = g_strdup_printf("%d.json", pid);
    return g_build_filename(state_dir, "mounts", name, NULL);
}

/* Paths are bytes, JSON is UTF-8: so the path travels as a URI segment. */
static void
add_path(cJSON *object, const char *name, const char *path)
{
    g_autofree char *escaped = g_uri_escape_string(path, "/ ", FALSE);
    cJSON_AddStringToObject(object, name, escaped);
}

gboolean
mount_registry_write(const char *state_dir, const MountRegistryEntry *entry, GError **error)
{
    g_autofree char *folder = g_build_filename(state_dir, "mounts", NULL);
    g_autofree char *path = make_path(state_dir, entry->pid);
    cJSON *object = cJSON_CreateObject();

    cJSON_AddNumberToObject(object, "pid", entry->pid);
    cJSON_AddNumberToObject(object, "start_time", (double)entry->start_time);
    add_path(object, "mountpoint", entry->mountpoint);
    cJSON_AddStringToObject(object, "workspace", entry->workspace);
    cJSON_AddNumberToObject(object, "mounted_at", (double)entry->mounted_at_s);
    cJSON_AddBoolToObject(object, "read_only", entry->is_read_only);
    cJSON_AddBoolToObject(object, "draining", entry->is_draining);
    cJSON_AddNumberToObject(object, "left", entry->n_left);
    char *text = cJSON_PrintUnformatted(object);
    cJSON_Delete(object);

    g_mkdir(folder, 0700); /* where it cannot be made, writing the file says why */
    gboolean is_written =
        g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, error);
    cJSON_free(text);
    return is_written;
}

void
mount_registry_remove(const char *state_dir, const MountRegistryEntry *entry)
{
    g_autofree char *path = make_path(state_dir, entry->pid);
    g_unlink(path);
}

static gint64
get_number(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(item) ? (gint64)item->valuedouble : 0;
}

static MountRegistryEntry *
parse_entry(const char *text)
{
    cJSON *object = cJSON_Parse(text);
    const char *mountpoint =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "mountpoint"));
    const char *workspace =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "workspace"));
    MountRegistryEntry *entry = NULL;

    if (mountpoint && workspace) {
        entry = g_new0(MountRegistryEntry, 1);
        entry->pid = (int)get_number(object, "pid");
        entry->start_time = get_number(object, "start_time");
        entry->mountpoint = g_uri_unescape_string(mountpoint, NULL);
        entry->workspace = g_strdup(workspace);
        entry->mounted_at_s = get_number(object, "mounted_at");
        entry->is_read_only =
            cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, "read_only"));
        entry->is_draining = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, "draining"));
        entry->n_left = (guint)get_number(object, "left");
    }
    cJSON_Delete(object);
    return entry;
}

gboolean
mount_registry_is_alive(const MountRegistryEntry *entry)
{
    return entry->pid > 0 && read_start_time(entry->pid) == entry->start_time;
}

static gint
compare_pids(gconstpointer a, gconstpointer b)
{
    const MountRegistryEntry *const *first = a;
    const MountRegistryEntry *const *second = b;
    return (*first)->pid - (*second)->pid;
}

GPtrArray *
mount_registry_list(const char *state_dir)
{
    GPtrArray *entries =
        g_ptr_array_new_with_free_func((GDestroyNotify)mount_registry_entry_free);
    g_autofree char *folder_path = g_build_filename(state_dir, "mounts", NULL);
    g_autoptr(GDir) folder = g_dir_open(folder_path, 0, NULL);
    const char *name;

    while (folder && (name = g_dir_read_name(folder))) {
        g_autofree char *path = g_build_filename(folder_path, name, NULL);
        g_autofree char *text = NULL;
        if (!g_str_has_suffix(name, ".json") || !g_file_get_contents(path, &text, NULL, NULL))
            continue;

        g_autoptr(MountRegistryEntry) entry = parse_entry(text);
        if (entry && entry->mountpoint && mount_registry_is_alive(entry))
            g_ptr_array_add(entries, g_steal_pointer(&entry));
        else
            g_unlink(path);
    }
    g_ptr_array_sort(entries, compare_pids);
    return entries;
}

MountRegistryEntry *
mount_registry_find(const char *state_dir, const char *mountpoint)
{
    g_autoptr(GPtrArray) entries = mount_registry_list(state_dir);

    /* A daemon that drains may share its folder with the next mount: that one is meant first.
     */
    for (int is_draining = FALSE; is_draining <= TRUE; is_draining++) {
        for (guint i = 0; i < entries->len; i++) {
            MountRegistryEntry *entry = entries->pdata[i];
            if (entry->is_draining == is_draining && g_str_equal(entry->mountpoint, mountpoint))
                return g_ptr_array_steal_index(entries, i);
        }
    }
    return NULL;
}

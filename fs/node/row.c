/* SPDX-License-Identifier: Apache-2.0 */
/* <table>/rows/<key>/: a file for each value that is not NULL, and row.json. */
#include "fs/node/rows.h"

#include "core/error.h"
#include "fs/cache.h"
#include <string.h>

typedef struct {
    FsNode node;
    GMutex lock; /* guards what follows */
    LakeRowTable *table;
    char **key;
    LakeRow *found; /* NULL: not asked for yet */
    gint64 found_at_us;
    guint64 changes; /* of the table's rows, before it was asked for */
} Row;

/* What one answer needs of a row; each owned. */
typedef struct {
    LakeRowTable *table;
    char **key;
    char *version;
    GArray *values; /* of LakeRowValue, whose columns table owns */
} Sight;

static void
sight_clear(Sight *sight)
{
    lake_row_table_unref(sight->table);
    g_strfreev(sight->key);
    g_free(sight->version);
    g_clear_pointer(&sight->values, g_array_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Sight, sight_clear)

static void
row_free(FsNode *node)
{
    Row *row = (Row *)node;

    g_mutex_clear(&row->lock);
    lake_row_table_unref(row->table);
    g_strfreev(row->key);
    lake_row_free(row->found);
}

static void
keep(Row *row, LakeRowTable *table, const char *const *key, LakeRow *found, guint64 changes)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&row->lock);

    lake_row_table_ref(table);
    g_clear_pointer(&row->table, lake_row_table_unref);
    row->table = table;
    if (!row->key)
        row->key = g_strdupv((char **)key);
    lake_row_free(row->found);
    row->found = found;
    row->found_at_us = g_get_monotonic_time();
    row->changes = changes;
}

void
fs_row_note(FsNode *row, LakeRowTable *table, const char *const *key, LakeRow *found)
{
    keep((Row *)row, table, key, found, fs_rows_changes(row));
}

FsNode *
fs_row_child(FsNode *rows, const char *name, LakeRowTable *table, const char *const *key,
    LakeRow *found, guint64 changes)
{
    FsNode *child = fs_node_child(rows, name);

    if (!child) {
        FsNode *made = fs_node_new(&fs_node_row, rows->context);
        g_mutex_init(&((Row *)made)->lock);
        keep((Row *)made, table, key, NULL, 0);
        child = fs_node_adopt(rows, name, made);
    }
    if (found)
        keep((Row *)child, table, key, found, changes);
    return child;
}

static gboolean
see_fresh(Row *row, Sight *sight, guint64 changes)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&row->lock);

    if (!sight->table) {
        sight->table = lake_row_table_ref(row->table);
        sight->key = g_strdupv(row->key);
    }
    if (!row->found || row->changes != changes ||
        g_get_monotonic_time() - row->found_at_us > FS_ROWS_FRESH_US)
        return FALSE;
    sight->version = g_strdup(row->found->version);
    sight->values = g_array_ref(row->found->values);
    return TRUE;
}

/* FALSE with call->would_block, or with an error: the row may be gone. */
static gboolean
see(FsNode *node, FsCall *call, Sight *sight, GError **error)
{
    Row *row = (Row *)node;
    guint64 changes = fs_rows_changes(node);

    if (see_fresh(row, sight, changes))
        return TRUE;
    if (!fs_call_may_block(call))
        return FALSE;
    LakeRow *found = lake_row_find(lake_workspace_catalog(node->context->workspace),
        sight->table, (const char *const *)sight->key, call->cancellable, error);
    if (!found)
        return FALSE;
    sight->version = g_strdup(found->version);
    sight->values = g_array_ref(found->values);
    keep(row, sight->table, (const char *const *)sight->key, found, changes);
    return TRUE;
}

static FsNode *
row_lookup(FsNode *folder, FsCall *call, const char *name, GError **error)
{
    g_auto(Sight) sight = {0};

    if (!see(folder, call, &sight, error))
        return NULL;
    for (guint i = 0; i < sight.values->len; i++) {
        const LakeRowValue *value = &g_array_index(sight.values, LakeRowValue, i);
        g_autofree char *value_name = fs_value_name(value);

        if (strcmp(value_name, name) == 0)
            return fs_value_child(folder, name, sight.table, (const char *const *)sight.key,
                sight.version, value);
    }
    return NULL;
}

static GPtrArray *
row_list(FsNode *folder, FsCall *call, const char *after, gboolean *ret_is_last, GError **error)
{
    g_auto(Sight) sight = {0};

    if (!see(folder, call, &sight, error))
        return NULL;
    GPtrArray *listed = g_ptr_array_new_with_free_func((GDestroyNotify)fs_listed_free);
    for (guint i = 0; i < sight.values->len; i++) {
        g_autofree char *name = fs_value_name(&g_array_index(sight.values, LakeRowValue, i));
        g_ptr_array_add(listed, fs_listed_new(name, FALSE));
    }
    *ret_is_last = TRUE;
    return listed;
}

static gboolean
row_remove_file(FsNode *folder, FsCall *call, const char *name, GError **error)
{
    lake_error_set(error, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_REFUSED,
        "\"%s\" is part of a row and cannot be removed; rmdir of the row's folder deletes the "
        "row",
        name);
    return FALSE;
}

const FsNodeClass fs_node_row = {
    .name = "row",
    .size = sizeof(Row),
    .is_folder = TRUE,
    .timeout_seconds = FS_CACHE_KERNEL_SECONDS,
    .free = row_free,
    .attributes = fs_node_folder_attributes,
    .lookup = row_lookup,
    .list = row_list,
    .remove_file = row_remove_file,
};

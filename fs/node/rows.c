/* SPDX-License-Identifier: Apache-2.0 */
/* <table>/rows/: a folder per row, named by its primary key. */
#include "fs/node/rows.h"

#include "core/error.h"
#include "fs/cache.h"
#include "fs/name.h"
#include "fs/node/table.h"
#include <string.h>

#define PAGE_ROWS 1000
#define NAME_MAX_BYTES 255 /* what statfs promises, and what tools expect */

typedef struct {
    FsNode node;
    GMutex lock; /* guards what follows */
    LakeRowTable *table;
    gint64 found_at_us;
    guint64 changes; /* of its rows and columns, before it was asked for */
} Rows;

static void
rows_free(FsNode *node)
{
    Rows *rows = (Rows *)node;

    g_mutex_clear(&rows->lock);
    lake_row_table_unref(rows->table);
}

static LakeCatalog *
catalog_of(FsNode *node)
{
    return lake_workspace_catalog(node->context->workspace);
}

guint64
fs_rows_changes(FsNode *in_table)
{
    g_autofree char *name = fs_table_dup_name(in_table);

    return name ? fs_cache_rows_changes(in_table->context->cache, name) : 0;
}

/* With a reference; NULL when there is none, or it is too old. */
static LakeRowTable *
known_table(FsNode *node)
{
    Rows *rows = (Rows *)node;
    guint64 changes = fs_rows_changes(node);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&rows->lock);

    if (!rows->table || rows->changes != changes ||
        g_get_monotonic_time() - rows->found_at_us > FS_ROWS_FRESH_US)
        return NULL;
    return lake_row_table_ref(rows->table);
}

static LakeRowTable *
ask_table(FsNode *in_table, FsCall *call, GError **error)
{
    g_autofree char *name = fs_table_dup_name(in_table);

    if (!name || !fs_call_may_block(call))
        return NULL;
    return lake_row_table_find(catalog_of(in_table), name, call->cancellable, error);
}

static void
keep_table(FsNode *node, LakeRowTable *table, guint64 changes)
{
    Rows *rows = (Rows *)node;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&rows->lock);

    g_clear_pointer(&rows->table, lake_row_table_unref);
    rows->table = lake_row_table_ref(table);
    rows->found_at_us = g_get_monotonic_time();
    rows->changes = changes;
}

static LakeRowTable *
dup_table(FsNode *node, FsCall *call, GError **error)
{
    LakeRowTable *table = known_table(node);
    guint64 changes = fs_rows_changes(node);

    if (table)
        return table;
    table = ask_table(node, call, error);
    if (table)
        keep_table(node, table, changes);
    return table;
}

FsNode *
fs_rows_child(FsNode *folder, FsCall *call, GError **error)
{
    g_autoptr(FsNode) known = fs_node_child(folder, "rows");
    g_autoptr(LakeRowTable) table =
        known && known->class == &fs_node_rows ? known_table(known) : NULL;
    g_autoptr(GError) failure = NULL;
    guint64 changes = fs_rows_changes(folder);

    if (table)
        return g_steal_pointer(&known);
    table = ask_table(folder, call, &failure);
    if (!table) {
        if (failure && !g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_NOT_FOUND))
            g_propagate_error(error, g_steal_pointer(&failure));
        return NULL;
    }

    FsNode *made = fs_node_new(&fs_node_rows, folder->context);
    g_mutex_init(&((Rows *)made)->lock);
    FsNode *child = fs_node_adopt(folder, "rows", made);
    keep_table(child, table, changes);
    return child;
}

static FsNode *
rows_lookup(FsNode *folder, FsCall *call, const char *name, GError **error)
{
    g_autoptr(GError) failure = NULL;
    guint64 changes = fs_rows_changes(folder);
    g_autoptr(LakeRowTable) table = dup_table(folder, call, error);
    if (!table)
        return NULL;
    g_auto(GStrv) key = fs_name_to_key(name, lake_row_table_n_key_parts(table));
    if (!key || !fs_call_may_block(call))
        return NULL;

    LakeRow *found = lake_row_find(
        catalog_of(folder), table, (const char *const *)key, call->cancellable, &failure);
    if (found)
        return fs_row_child(folder, name, table, (const char *const *)key, found, changes);
    if (!g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_NOT_FOUND))
        g_propagate_error(error, g_steal_pointer(&failure));
    return NULL;
}

static FsNode *
rows_lookup_listed(FsNode *folder, const FsListed *listed)
{
    g_autoptr(LakeRowTable) table = known_table(folder);
    g_auto(GStrv) key =
        table ? fs_name_to_key(listed->name, lake_row_table_n_key_parts(table)) : NULL;

    return key ? fs_row_child(folder, listed->name, table, (const char *const *)key, NULL, 0)
               : NULL;
}

static FsListed *
list_row(const char *const *key)
{
    g_autofree char *name = fs_name_from_key(key);
    FsListed *listed = fs_listed_new(name, TRUE);
    g_autofree char *shown = NULL;

    if (strlen(name) <= NAME_MAX_BYTES)
        return listed;
    shown = g_utf8_substring(name, 0, 40);
    lake_error_set(&listed->failure, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_LONG_NAME,
        "a row is not listed: its name would have %zu bytes, and a file name has at most %d: "
        "\"%s…\"",
        strlen(name), NAME_MAX_BYTES, shown);
    lake_error_hint(listed->failure, "query.sql reads such rows");
    return listed;
}

static GPtrArray *
rows_list(
    FsNode *folder, FsCall *call, const char *after, gboolean *ret_is_last, GError **error)
{
    g_autoptr(LakeRowTable) table = dup_table(folder, call, error);
    if (!table)
        return NULL;
    g_auto(GStrv) key = after ? fs_name_to_key(after, lake_row_table_n_key_parts(table)) : NULL;
    if (after && !key) {
        lake_error_set(error, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_FAILED,
            "the table got another primary key while its rows were listed");
        return NULL;
    }
    g_autoptr(GPtrArray) keys = lake_row_list(catalog_of(folder), table,
        (const char *const *)key, PAGE_ROWS, call->cancellable, error);
    if (!keys)
        return NULL;

    g_autoptr(GPtrArray) listed =
        g_ptr_array_new_with_free_func((GDestroyNotify)fs_listed_free);
    for (guint i = 0; i < keys->len; i++)
        g_ptr_array_add(listed, list_row(keys->pdata[i]));
    *ret_is_last = listed->len < PAGE_ROWS;
    return g_steal_pointer(&listed);
}

static gboolean
rows_remove_folder(FsNode *folder, FsCall *call, const char *name, GError **error)
{
    g_autoptr(LakeRowTable) table = dup_table(folder, call, error);
    if (!table)
        return FALSE;
    g_auto(GStrv) key = fs_name_to_key(name, lake_row_table_n_key_parts(table));
    if (!key || !lake_row_delete(catalog_of(folder), table, (const char *const *)key,
                    call->cancellable, error))
        return FALSE;
    fs_node_detach(folder, name);
    return TRUE;
}

const FsNodeClass fs_node_rows = {
    .name = "rows",
    .size = sizeof(Rows),
    .is_folder = TRUE,
    .timeout_seconds = FS_CACHE_KERNEL_SECONDS,
    .free = rows_free,
    .attributes = fs_node_folder_attributes,
    .lookup = rows_lookup,
    .lookup_listed = rows_lookup_listed,
    .list = rows_list,
    .remove_folder = rows_remove_folder,
};

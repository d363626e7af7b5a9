/* SPDX-License-Identifier: Apache-2.0 */
/* The root: the workspace's tables and views, ingest/, .deeplake/ and the workspace's queries.
 */
#include "core/error.h"
#include "fs/cache.h"
#include "fs/freshness.h"
#include "fs/name.h"
#include "fs/node/query.h"
#include <string.h>

static LakeCatalog *
catalog_of(FsNode *node)
{
    return lake_workspace_catalog(node->context->workspace);
}

static FsNode *
fixed_child(FsNode *folder, const char *name, const FsNodeClass *class)
{
    FsNode *child = fs_node_child(folder, name);

    return child ? child : fs_node_adopt(folder, name, fs_node_new(class, folder->context));
}

static FsNode *
root_lookup(FsNode *folder, FsCall *call, const char *name, GError **error)
{
    g_autofree char *table = NULL;
    FsCacheTable *found = NULL;
    gboolean is_table;

    if (strcmp(name, "ingest") == 0)
        return fixed_child(folder, name, &fs_node_inbox);
    if (strcmp(name, ".deeplake") == 0)
        return fixed_child(folder, name, &fs_node_control);
    if (fs_name_is_reserved(name))
        return fs_query_lookup(folder, name, error);

    table = fs_name_to_table(name, NULL);
    if (!table)
        return NULL;
    if (!fs_cache_find_table(folder->context->cache, call, table, &found, error))
        return NULL;
    is_table = found && found->has_table;
    fs_cache_table_free(found);
    /* A result in another form (query.jsonl) has a name that a table could have. */
    return is_table ? fixed_child(folder, name, &fs_node_table)
                    : fs_query_lookup(folder, name, error);
}

static GPtrArray *
root_list(
    FsNode *folder, FsCall *call, const char *after, gboolean *ret_is_last, GError **error)
{
    g_autoptr(GPtrArray) tables = fs_cache_list_tables(folder->context->cache, call, error);
    GPtrArray *listed;

    if (!tables)
        return NULL;
    listed = g_ptr_array_new_with_free_func((GDestroyNotify)fs_listed_free);
    g_ptr_array_add(listed, fs_listed_new(".deeplake", TRUE));
    g_ptr_array_add(listed, fs_listed_new("ingest", TRUE));
    fs_query_list(folder, listed);
    for (guint i = 0; i < tables->len; i++) {
        const FsCacheTable *table = g_ptr_array_index(tables, i);
        g_autofree char *name = fs_name_from_table(table->name);

        if (table->has_table)
            g_ptr_array_add(listed, fs_listed_new(name, TRUE));
    }
    *ret_is_last = TRUE;
    return listed;
}

static FsNode *
root_make_folder(FsNode *folder, FsCall *call, const char *name, guint32 mode, GError **error)
{
    g_autofree char *table = NULL;

    if (fs_name_is_reserved(name)) {
        lake_error_set(error, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_REFUSED,
            "the name \"%s\" is reserved here", name);
        return NULL;
    }
    table = fs_name_to_table(name, error);
    if (!table || !lake_catalog_create(catalog_of(folder), table, call->cancellable, error))
        return NULL;
    fs_cache_tables_changed(folder->context->cache);
    return fixed_child(folder, name, &fs_node_table);
}

static gboolean
root_remove_folder(FsNode *folder, FsCall *call, const char *name, GError **error)
{
    g_autofree char *table = NULL;

    if (fs_name_is_reserved(name)) {
        lake_error_set(error, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_REFUSED,
            "\"%s\" is part of the mount and stays", name);
        return FALSE;
    }
    if (lake_workspace_config(folder->context->workspace)->no_drop) {
        lake_error_set(error, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_REFUSED,
            "tables cannot be dropped here: mounted with -o no_drop");
        return FALSE;
    }
    table = fs_name_to_table(name, error);
    if (!table || !lake_catalog_drop(catalog_of(folder), table, call->cancellable, error))
        return FALSE;
    fs_cache_tables_changed(folder->context->cache);
    fs_cache_forget_zone(folder->context->cache, table);
    lake_options_forget(lake_workspace_options(folder->context->workspace), table);
    fs_query_table_moved(folder->context, table, NULL);
    fs_node_detach(folder, name);
    /* Its drop zone. */
    fs_freshness_wait(folder->context);
    return TRUE;
}

static gboolean
rename_table(
    FsNode *folder, FsCall *call, const char *name, const char *new_name, GError **error)
{
    FsContext *context = folder->context;
    g_autofree char *table = fs_name_to_table(name, error);
    g_autofree char *new_table = table ? fs_name_to_table(new_name, error) : NULL;

    if (!new_table ||
        !lake_catalog_rename(catalog_of(folder), table, new_table, call->cancellable, error))
        return FALSE;
    fs_cache_tables_changed(context->cache);
    fs_cache_forget_zone(context->cache, table);
    fs_cache_forget_zone(context->cache, new_table);
    lake_options_forget(lake_workspace_options(context->workspace), table);
    lake_options_forget(lake_workspace_options(context->workspace), new_table);
    fs_query_table_moved(context, table, new_table);
    fs_node_move(folder, name, folder, new_name);

    /* Its drop zone has the same name. */
    g_autoptr(FsNode) inbox = fs_node_child(folder, "ingest");
    if (inbox)
        fs_node_move(inbox, name, inbox, new_name);
    fs_freshness_wait(context);
    return TRUE;
}

static gboolean
root_rename(FsNode *folder, FsCall *call, const char *name, FsNode *new_folder,
    const char *new_name, gboolean may_replace, GError **error)
{
    if (new_folder != folder) {
        lake_error_set(error, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_OTHER_TABLE,
            "this cannot be moved to another folder");
        return FALSE;
    }
    if (fs_query_is_name(name) && fs_query_is_name(new_name))
        return fs_query_rename(folder, name, new_name, may_replace, error);
    if (fs_name_is_reserved(name) || fs_name_is_reserved(new_name)) {
        lake_error_set(error, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_REFUSED,
            "\"%s\" cannot become \"%s\": one of the names is reserved here", name, new_name);
        return FALSE;
    }
    return rename_table(folder, call, name, new_name, error);
}

static FsHandle *
root_create(
    FsNode *folder, FsCall *call, const char *name, guint32 mode, int flags, GError **error)
{
    return fs_query_create(folder, call, name, flags, error);
}

static gboolean
root_remove_file(FsNode *folder, FsCall *call, const char *name, GError **error)
{
    return fs_query_remove(folder, name, error);
}

const FsNodeClass fs_node_root = {
    .name = "root",
    .size = sizeof(FsNode),
    .is_folder = TRUE,
    .timeout_seconds = 60,
    .attributes = fs_node_folder_attributes,
    .lookup = root_lookup,
    .list = root_list,
    .create = root_create,
    .make_folder = root_make_folder,
    .remove_file = root_remove_file,
    .remove_folder = root_remove_folder,
    .rename = root_rename,
};

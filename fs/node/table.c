/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/node/table.h"

#include "core/error.h"
#include "fs/name.h"
#include "fs/node/builder.h"
#include "fs/node/document.h"
#include "fs/node/query.h"
#include "fs/node/rows.h"
#include <cjson/cJSON.h>
#include <string.h>

char *
fs_table_dup_name(FsNode *node)
{
    g_autoptr(FsNode) table = fs_node_dup_ancestor(node, &fs_node_table);
    g_autofree char *name = table ? fs_node_dup_name(table) : NULL;

    return name ? fs_name_to_table(name, NULL) : NULL;
}

static gboolean
table_attributes(FsNode *node, FsCall *call, struct stat *ret_status, GError **error)
{
    g_autofree char *name = fs_table_dup_name(node);
    gint64 time_ns = name ? fs_context_ingest_time(node->context, name) : 0;

    fs_node_fill_status(node, ret_status);
    if (time_ns > 0)
        fs_node_set_mtime(ret_status, time_ns);
    return TRUE;
}

static void
add_column(cJSON *columns, const LakeTableColumn *column)
{
    cJSON *object = cJSON_CreateObject();
    gboolean is_named = column->type != LAKE_TYPE_OTHER;

    cJSON_AddStringToObject(object, "name", column->name);
    if (is_named)
        cJSON_AddStringToObject(object, "type", lake_type_info(column->type)->schema_name);
    else
        cJSON_AddNullToObject(object, "type");
    cJSON_AddStringToObject(object, "sql_type", column->sql_type);
    cJSON_AddBoolToObject(object, "nullable", column->is_nullable);
    cJSON_AddBoolToObject(object, "key", column->key_position > 0);
    cJSON_AddItemToArray(columns, object);
}

static char *
render_schema(FsNode *document, FsCall *call, GError **error)
{
    g_autofree char *name = fs_table_dup_name(document);
    g_autoptr(LakeTable) table = NULL;
    cJSON *columns;

    if (!name || !fs_call_may_block(call))
        return NULL;
    table = lake_catalog_find(
        lake_workspace_catalog(document->context->workspace), name, call->cancellable, error);
    if (!table)
        return NULL;
    columns = cJSON_CreateArray();
    for (guint i = 0; i < table->columns->len; i++)
        add_column(columns, g_ptr_array_index(table->columns, i));
    char *printed = cJSON_Print(columns);
    char *text = g_strconcat(printed, "\n", NULL);
    cJSON_free(printed);
    cJSON_Delete(columns);
    return text;
}

static char *
render_info(FsNode *document, FsCall *call, GError **error)
{
    g_autofree char *name = fs_table_dup_name(document);

    if (!name || !fs_call_may_block(call))
        return NULL;
    return lake_catalog_info(
        lake_workspace_catalog(document->context->workspace), name, call->cancellable, error);
}

static FsNode *
table_lookup(FsNode *folder, FsCall *call, const char *name, GError **error)
{
    if (strcmp(name, "indexes") == 0) {
        FsNode *known = fs_node_child(folder, name);
        return known ? known
                     : fs_node_adopt(
                           folder, name, fs_node_new(&fs_node_indexes, folder->context));
    }
    if (strcmp(name, "info.json") == 0)
        return fs_document_child(folder, name, render_info, TRUE);
    if (strcmp(name, "schema.json") == 0)
        return fs_document_child(folder, name, render_schema, FALSE);
    if (strcmp(name, "rows") == 0)
        return fs_rows_child(folder, call, error);
    FsNode *query = fs_query_lookup(folder, name, error);
    return query ? query : fs_builder_lookup(folder, name);
}

static GPtrArray *
table_list(
    FsNode *folder, FsCall *call, const char *after, gboolean *ret_is_last, GError **error)
{
    g_autoptr(GPtrArray) listed =
        g_ptr_array_new_with_free_func((GDestroyNotify)fs_listed_free);
    g_autoptr(GError) failure = NULL;
    g_autoptr(FsNode) rows = fs_rows_child(folder, call, &failure);

    if (failure) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return NULL;
    }
    g_ptr_array_add(listed, fs_listed_new("indexes", TRUE));
    g_ptr_array_add(listed, fs_listed_new("info.json", FALSE));
    g_ptr_array_add(listed, fs_listed_new("schema.json", FALSE));
    if (rows)
        g_ptr_array_add(listed, fs_listed_new("rows", TRUE));
    fs_query_list(folder, listed);
    *ret_is_last = TRUE;
    return g_steal_pointer(&listed);
}

static FsHandle *
table_create(
    FsNode *folder, FsCall *call, const char *name, guint32 mode, int flags, GError **error)
{
    return fs_query_create(folder, call, name, flags, error);
}

static gboolean
table_remove_file(FsNode *folder, FsCall *call, const char *name, GError **error)
{
    return fs_query_remove(folder, name, error);
}

static gboolean
table_rename(FsNode *folder, FsCall *call, const char *name, FsNode *new_folder,
    const char *new_name, gboolean may_replace, GError **error)
{
    if (new_folder != folder) {
        lake_error_set(error, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_OTHER_TABLE,
            "a query cannot be moved to another folder; copy it");
        return FALSE;
    }
    return fs_query_rename(folder, name, new_name, may_replace, error);
}

const FsNodeClass fs_node_table = {
    .name = "table",
    .size = sizeof(FsNode),
    .is_folder = TRUE,
    .timeout_seconds = 0.7, /* FS_CACHE_KERNEL_SECONDS */
    .attributes = table_attributes,
    .lookup = table_lookup,
    .list = table_list,
    .create = table_create,
    .remove_file = table_remove_file,
    .rename = table_rename,
};

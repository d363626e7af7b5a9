/* SPDX-License-Identifier: Apache-2.0 */
/* <table>/indexes/: a folder per index. mkdir makes the index that the name defines, rmdir
 * drops it. */
#include "core/error.h"
#include "core/index.h"
#include "fs/node/document.h"
#include "fs/node/table.h"
#include <string.h>

static LakeCatalog *
catalog_of(FsNode *node)
{
    return lake_workspace_catalog(node->context->workspace);
}

/* The table that a node lies in; NULL with NOT_FOUND, or where the call may not block. */
static char *
table_of(FsNode *node, FsCall *call, GError **error)
{
    g_autofree char *table = NULL;

    if (!fs_call_may_block(call))
        return NULL;
    table = fs_table_dup_name(node);
    if (!table)
        lake_error_set(error, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_NOT_FOUND,
            "the table was dropped or renamed");
    return g_steal_pointer(&table);
}

/* --- one index --- */

typedef char *(*Describe)(LakeCatalog *catalog, const char *table, const char *label,
    GCancellable *cancellable, GError **error);

static char *
render(FsNode *document, FsCall *call, Describe describe, GError **error)
{
    g_autofree char *table = table_of(document, call, error);
    g_autoptr(FsNode) folder = fs_node_dup_ancestor(document, &fs_node_index);
    g_autofree char *label = folder ? fs_node_dup_name(folder) : NULL;

    if (!table)
        return NULL;
    if (!label) {
        lake_error_set(
            error, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_NOT_FOUND, "the index was dropped");
        return NULL;
    }
    return describe(catalog_of(document), table, label, call->cancellable, error);
}

static char *
render_definition(FsNode *document, FsCall *call, GError **error)
{
    return render(document, call, lake_index_definition, error);
}

static char *
render_info(FsNode *document, FsCall *call, GError **error)
{
    return render(document, call, lake_index_info, error);
}

static FsNode *
index_lookup(FsNode *folder, FsCall *call, const char *name, GError **error)
{
    if (strcmp(name, "definition.sql") == 0)
        return fs_document_child(folder, name, render_definition, FALSE);
    if (strcmp(name, "info.json") == 0)
        return fs_document_child(folder, name, render_info, FALSE);
    return NULL;
}

static GPtrArray *
index_list(
    FsNode *folder, FsCall *call, const char *after, gboolean *ret_is_last, GError **error)
{
    GPtrArray *listed = g_ptr_array_new_with_free_func((GDestroyNotify)fs_listed_free);

    g_ptr_array_add(listed, fs_listed_new("definition.sql", FALSE));
    g_ptr_array_add(listed, fs_listed_new("info.json", FALSE));
    *ret_is_last = TRUE;
    return listed;
}

const FsNodeClass fs_node_index = {
    .name = "index",
    .size = sizeof(FsNode),
    .is_folder = TRUE,
    .timeout_seconds = 0.7, /* FS_CACHE_KERNEL_SECONDS */
    .attributes = fs_node_folder_attributes,
    .lookup = index_lookup,
    .list = index_list,
};

/* --- indexes/ --- */

static FsNode *
index_child(FsNode *folder, const char *label)
{
    FsNode *known = fs_node_child(folder, label);

    return known ? known
                 : fs_node_adopt(folder, label, fs_node_new(&fs_node_index, folder->context));
}

static GPtrArray *
list_labels(FsNode *folder, FsCall *call, GError **error)
{
    g_autofree char *table = table_of(folder, call, error);

    return table ? lake_index_list(catalog_of(folder), table, call->cancellable, error) : NULL;
}

static FsNode *
indexes_lookup(FsNode *folder, FsCall *call, const char *name, GError **error)
{
    g_autoptr(GPtrArray) labels = list_labels(folder, call, error);

    for (guint i = 0; labels && i < labels->len; i++)
        if (strcmp(labels->pdata[i], name) == 0)
            return index_child(folder, name);
    return NULL;
}

/* From the listing: asking for each would be one question a name. */
static FsNode *
indexes_lookup_listed(FsNode *folder, const FsListed *listed)
{
    return index_child(folder, listed->name);
}

static GPtrArray *
indexes_list(
    FsNode *folder, FsCall *call, const char *after, gboolean *ret_is_last, GError **error)
{
    g_autoptr(GPtrArray) labels = list_labels(folder, call, error);
    GPtrArray *listed;

    if (!labels)
        return NULL;
    listed = g_ptr_array_new_with_free_func((GDestroyNotify)fs_listed_free);
    for (guint i = 0; i < labels->len; i++)
        g_ptr_array_add(listed, fs_listed_new(labels->pdata[i], TRUE));
    *ret_is_last = TRUE;
    return listed;
}

static FsNode *
indexes_make_folder(
    FsNode *folder, FsCall *call, const char *name, guint32 mode, GError **error)
{
    g_autofree char *table = table_of(folder, call, error);

    if (!table || !lake_index_create(catalog_of(folder), table, name, call->cancellable, error))
        return NULL;
    return index_child(folder, name);
}

static gboolean
indexes_remove_folder(FsNode *folder, FsCall *call, const char *name, GError **error)
{
    g_autofree char *table = table_of(folder, call, error);

    if (!table || !lake_index_drop(catalog_of(folder), table, name, call->cancellable, error))
        return FALSE;
    fs_node_detach(folder, name);
    return TRUE;
}

const FsNodeClass fs_node_indexes = {
    .name = "indexes",
    .size = sizeof(FsNode),
    .is_folder = TRUE,
    .timeout_seconds = 0.7, /* FS_CACHE_KERNEL_SECONDS */
    .attributes = fs_node_folder_attributes,
    .lookup = indexes_lookup,
    .lookup_listed = indexes_lookup_listed,
    .list = indexes_list,
    .make_folder = indexes_make_folder,
    .remove_folder = indexes_remove_folder,
};

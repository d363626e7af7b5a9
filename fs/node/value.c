/* SPDX-License-Identifier: Apache-2.0 */
/* <table>/rows/<key>/<column>.<extension>: one value of one version of a row. While a file of
 * it is open the node keeps its version, so that the page cache never has bytes of two. */
#include "fs/node/rows.h"

#include "core/error.h"
#include "fs/name.h"
#include <fcntl.h>
#include <string.h>

typedef struct {
    FsNode node;
    char **key;
    GMutex lock; /* guards what follows */
    LakeRowTable *table;
    guint index;
    char *version;
    gint64 size_bytes;
} Value;

char *
fs_value_name(const LakeRowValue *value)
{
    g_autofree char *name = value->column ? fs_name_from_column(value->column) : NULL;

    if (!name)
        return g_strdup("row.json");
    /* A column of that name gives way. */
    if (strcmp(name, "row") == 0 && strcmp(value->extension, "json") == 0)
        return g_strdup("%72ow.json");
    return g_strconcat(name, ".", value->extension, NULL);
}

static void
value_free(FsNode *node)
{
    Value *value = (Value *)node;

    g_mutex_clear(&value->lock);
    lake_row_table_unref(value->table);
    g_strfreev(value->key);
    g_free(value->version);
}

/* Open files of it: node->n_results. */
static guint
n_open(FsNode *node)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&node->context->tree_lock);

    return node->n_results;
}

/* TRUE when the node is of that version now; not when more than n_allowed files are reading
 * another. */
static gboolean
take_version(Value *value, LakeRowTable *table, const char *version, const LakeRowValue *seen,
    guint n_allowed)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&value->lock);

    if (strcmp(value->version, version) != 0 && n_open(&value->node) > n_allowed)
        return FALSE;
    lake_row_table_ref(table);
    lake_row_table_unref(value->table);
    value->table = table;
    value->index = seen->index;
    g_free(value->version);
    value->version = g_strdup(version);
    value->size_bytes = seen->size_bytes;
    return TRUE;
}

FsNode *
fs_value_child(FsNode *row, const char *name, LakeRowTable *table, const char *const *key,
    const char *version, const LakeRowValue *value)
{
    FsNode *child = fs_node_child(row, name);

    if (child && take_version((Value *)child, table, version, value, 0))
        return child;
    /* Who reads the former version goes on with it. */
    if (child)
        fs_node_detach(row, name);
    fs_node_unref(child);

    FsNode *node = fs_node_new(&fs_node_value, row->context);
    Value *made = (Value *)node;
    g_mutex_init(&made->lock);
    made->table = lake_row_table_ref(table);
    made->key = g_strdupv((char **)key);
    made->index = value->index;
    made->version = g_strdup(version);
    made->size_bytes = value->size_bytes;
    return fs_node_adopt(row, name, node);
}

static gboolean
value_attributes(FsNode *node, FsCall *call, struct stat *ret_status, GError **error)
{
    Value *value = (Value *)node;

    fs_node_fill_status(node, ret_status);
    ret_status->st_mode = S_IFREG | fs_node_mode(node, 0444);
    g_mutex_lock(&value->lock);
    fs_node_set_size(ret_status, value->size_bytes);
    g_mutex_unlock(&value->lock);
    return TRUE;
}

/* The handle counts as open from here on, so that the version stays. */
static FsHandle *
start_open(FsNode *node, FsCall *call, int flags, LakeRowTable **ret_table,
    LakeRowValue *ret_value, char **ret_version)
{
    Value *value = (Value *)node;
    FsHandle *handle = fs_handle_new(node, call, flags);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&value->lock);

    g_mutex_lock(&node->context->tree_lock);
    node->n_results++;
    handle->is_result = TRUE;
    g_mutex_unlock(&node->context->tree_lock);
    *ret_table = lake_row_table_ref(value->table);
    *ret_version = g_strdup(value->version);
    *ret_value = (LakeRowValue){.index = value->index, .size_bytes = value->size_bytes};
    return handle;
}

/* Gives the handle a reader whose first bytes are there, which shows that the version is. */
static gboolean
start_reader(FsHandle *handle, FsCall *call, LakeRowTable *table, const char *version,
    const LakeRowValue *seen, GError **error)
{
    Value *value = (Value *)handle->node;
    LakeCatalog *catalog = lake_workspace_catalog(value->node.context->workspace);
    const char *const *key = (const char *const *)value->key;
    g_autoptr(LakeRowReader) reader =
        lake_row_reader_new(catalog, table, key, version, seen->index, seen->size_bytes);
    g_autoptr(GBytes) first =
        seen->size_bytes > 0
            ? lake_row_reader_read(reader, 0, 1, TRUE, call->cancellable, error)
            : lake_row_read(
                  catalog, table, key, version, seen->index, 0, 0, call->cancellable, error);

    if (!first)
        return FALSE;
    g_clear_pointer(&handle->reader, lake_row_reader_free);
    handle->reader = g_steal_pointer(&reader);
    return TRUE;
}

/* The name stands for a new version by now, and others still read the one that this node is of:
 * the kernel looks the name up again, and gets a node with the size and the cache of the new
 * one. */
static void
refuse_stale(FsNode *node, LakeRowTable *table, LakeRow *found, GError **failure)
{
    g_autoptr(FsNode) row = fs_node_dup_ancestor(node, &fs_node_row);

    if (row)
        fs_row_note(row, table, (const char *const *)((Value *)node)->key, found);
    else
        lake_row_free(found);
    g_clear_error(failure);
    lake_error_set(failure, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_STALE,
        "the row was changed since this file was looked up");
}

/* The row changed since the name was looked up: the new version it is. */
static gboolean
start_newer(FsHandle *handle, FsCall *call, LakeRowTable *table, const char *version,
    guint index, GError **failure)
{
    Value *value = (Value *)handle->node;
    g_autoptr(LakeRow) found =
        lake_row_find(lake_workspace_catalog(value->node.context->workspace), table,
            (const char *const *)value->key, call->cancellable, NULL);

    for (guint i = 0; found && i < found->values->len; i++) {
        const LakeRowValue *seen = &g_array_index(found->values, LakeRowValue, i);

        if (seen->index != index || strcmp(found->version, version) == 0)
            continue;
        if (!take_version(value, table, found->version, seen, 1)) {
            refuse_stale(&value->node, table, g_steal_pointer(&found), failure);
            return FALSE;
        }
        g_clear_error(failure);
        return start_reader(handle, call, table, found->version, seen, failure);
    }
    return FALSE;
}

static FsHandle *
value_open(FsNode *node, FsCall *call, int flags, GError **error)
{
    g_autoptr(LakeRowTable) table = NULL;
    g_autofree char *version = NULL;
    g_autoptr(GError) failure = NULL;
    LakeRowValue seen;

    if ((flags & O_ACCMODE) != O_RDONLY) {
        lake_error_set(error, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_REFUSED,
            "a row's values cannot be written here; use a query");
        return NULL;
    }
    if (!fs_call_may_block(call))
        return NULL;
    FsHandle *handle = start_open(node, call, flags, &table, &seen, &version);
    if (start_reader(handle, call, table, version, &seen, &failure) ||
        (g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_FAILED) &&
            start_newer(handle, call, table, version, seen.index, &failure)))
        return handle;
    fs_handle_free(handle);
    g_propagate_error(error, g_steal_pointer(&failure));
    return NULL;
}

static GBytes *
value_read(FsHandle *handle, FsCall *call, gint64 offset, gsize n_bytes, GError **error)
{
    g_autoptr(GError) failure = NULL;
    GBytes *bytes = lake_row_reader_read(
        handle->reader, offset, n_bytes, call->may_block, call->cancellable, &failure);

    if (!bytes && !failure)
        (void)fs_call_may_block(call); /* says that it would */
    else if (!bytes)
        g_propagate_error(error, g_steal_pointer(&failure));
    return bytes;
}

/* By a worker: what is being fetched ahead is stopped and waited for. */
static gboolean
value_release(FsHandle *handle, FsCall *call, GError **error)
{
    return fs_call_may_block(call);
}

const FsNodeClass fs_node_value = {
    .name = "value",
    .size = sizeof(Value),
    .timeout_seconds = 0, /* another version is another node */
    .free = value_free,
    .attributes = value_attributes,
    .open = value_open,
    .read = value_read,
    .release = value_release,
};

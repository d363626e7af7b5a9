/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/node/builder.h"

#include "core/error.h"
#include "fs/node/query.h"
#include "fs/node/table.h"
#include <fcntl.h>
#include <string.h>

/* A path has at most 4096 bytes, but openat() goes on from there: this bounds it. */
#define DEPTH_MAX 1000

static const LakeQueryMethod methods[] = {
    LAKE_QUERY_LIMIT,
    LAKE_QUERY_OFFSET,
    LAKE_QUERY_ORDER_BY,
    LAKE_QUERY_PARAM,
    LAKE_QUERY_SEARCH,
    LAKE_QUERY_SELECT,
    LAKE_QUERY_WHERE,
};

static const struct {
    const char *name;
    gboolean is_text; /* the statement, not what it gives */
    LakeQueryFormat format;
} results[] = {
    {"results.csv", FALSE, LAKE_QUERY_CSV},
    {"results.json", FALSE, LAKE_QUERY_JSON},
    {"results.jsonl", FALSE, LAKE_QUERY_JSONL},
    {"results.sql.text", TRUE, LAKE_QUERY_JSON},
};

/* The folder of a method or, in that, of one of its values. */
typedef struct {
    FsNode node;
    LakeQueryMethod method;
    guint depth;
} Builder;

typedef struct {
    FsNode node;
    gsize form; /* index into results */
} BuilderResult;

static const FsNodeClass method_class;
static const FsNodeClass value_class;
static const FsNodeClass result_class;

/* --- the path as a query --- */

static gboolean
find_method(const char *name, LakeQueryMethod *ret_method)
{
    for (gsize i = 0; i < G_N_ELEMENTS(methods); i++)
        if (strcmp(name, lake_query_method_name(methods[i])) == 0) {
            *ret_method = methods[i];
            return TRUE;
        }
    return FALSE;
}

static gboolean
refuse_encoding(const char *name, const char *what, GError **error)
{
    lake_error_bad_input(error, LAKE_ERROR_CLASS_GENERAL, "%s: %s", name, what);
    if (error)
        lake_error_hint(*error, "In a path %% is written %%25, and / is written %%2F.");
    return FALSE;
}

/* Caller frees. Stricter than it could be: "100%" taken as it stands would make "%41" a trap.
 */
static char *
decode(const char *name, GError **error)
{
    g_autoptr(GString) value = g_string_new(NULL);

    for (const char *byte = name; *byte; byte++) {
        int high = *byte == '%' ? g_ascii_xdigit_value(byte[1]) : -1;
        int low = high >= 0 ? g_ascii_xdigit_value(byte[2]) : -1;

        if (*byte == '%' && low < 0) {
            refuse_encoding(name, "a % is not followed by two hexadecimal digits", error);
            return NULL;
        }
        if (low >= 0)
            byte += 2;
        g_string_append_c(value, low >= 0 ? (char)(high << 4 | low) : *byte);
    }
    if (!g_utf8_validate(value->str, (gssize)value->len, NULL)) {
        refuse_encoding(name, "what its % stand for is not UTF-8, or is NUL", error);
        return NULL;
    }
    return g_string_free(g_steal_pointer(&value), FALSE);
}

static void
clear_part(gpointer data)
{
    g_free((char *)((LakeQueryPart *)data)->value);
}

/* Of the folders between table and the result: a method, a value, a method … */
static GArray *
parts_of(FsNode *result, FsNode *table, GError **error)
{
    g_autoptr(GArray) parts = g_array_new(FALSE, FALSE, sizeof(LakeQueryPart));
    g_autofree char *path = fs_node_dup_path(result, table);
    g_auto(GStrv) names = g_strsplit(path, "/", -1);

    g_array_set_clear_func(parts, clear_part);
    for (guint i = 0; names[i] && names[i + 1]; i += 2) {
        LakeQueryPart part = {.value = decode(names[i + 1], error)};
        if (!part.value || !find_method(names[i], &part.method)) {
            g_free((char *)part.value);
            return NULL;
        }
        g_array_append_val(parts, part);
    }
    return g_steal_pointer(&parts);
}

static gboolean
has_search(const GArray *parts)
{
    for (guint i = 0; i < parts->len; i++)
        if (g_array_index(parts, LakeQueryPart, i).method == LAKE_QUERY_SEARCH)
            return TRUE;
    return FALSE;
}

static LakeQuery *
query_of(FsNode *result, FsCall *call, GError **error)
{
    LakeCatalog *catalog = lake_workspace_catalog(result->context->workspace);
    g_autoptr(FsNode) table = fs_node_dup_ancestor(result, &fs_node_table);
    g_autofree char *name = table ? fs_table_dup_name(table) : NULL;
    g_autofree char *qualified = NULL;
    g_autoptr(GArray) parts = NULL;
    g_autoptr(LakeSearch) search = NULL;

    if (!name) {
        lake_error_set(error, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_NOT_FOUND,
            "the table was dropped or renamed");
        return NULL;
    }
    parts = parts_of(result, table, error);
    if (!parts)
        return NULL;
    if (has_search(parts)) {
        search = lake_search_open(catalog, name, call->cancellable, error);
        if (!search)
            return NULL;
    }
    qualified = lake_catalog_qualify(catalog, name);
    return lake_query_build(
        qualified, search, (const LakeQueryPart *)(gpointer)parts->data, parts->len, error);
}

/* --- results --- */

static FsNode *
result_child(FsNode *folder, const char *name)
{
    gint64 last_size;
    gsize form = 0;

    while (form < G_N_ELEMENTS(results) && strcmp(name, results[form].name) != 0)
        form++;
    if (form == G_N_ELEMENTS(results))
        return NULL;

    FsNode *known = fs_node_idle_child(folder, name, &last_size);
    if (known && known->class == &result_class)
        return known;
    fs_node_unref(known);

    FsNode *made = fs_node_new(&result_class, folder->context);
    ((BuilderResult *)made)->form = form;
    made->result_size = last_size;
    return fs_node_adopt(folder, name, made);
}

static gboolean
run_query(FsNode *node, FsCall *call, LakeSpool *into, GError **error)
{
    gsize form = ((BuilderResult *)node)->form;
    g_autoptr(LakeQuery) query = query_of(node, call, error);
    LakeQueryOutcome outcome;

    if (!query)
        return FALSE;
    if (results[form].is_text) {
        g_autofree char *text = lake_query_to_text(query);
        return lake_spool_append(into, text, strlen(text), error);
    }
    return lake_workspace_query(node->context->workspace, query, results[form].format,
        LAKE_QUERY_READ_ONLY, into, &outcome, call->cancellable, error);
}

static gboolean
give_result(FsHandle *handle, FsCall *call, GError **error)
{
    g_autoptr(LakeSpool) content =
        lake_spool_new(lake_workspace_spool_dir(handle->node->context->workspace));
    g_autoptr(GError) failure = NULL;

    if (!run_query(handle->node, call, content, &failure))
        return fs_query_give_failure(handle, g_steal_pointer(&failure), error);
    fs_handle_set_result(handle, content);
    return TRUE;
}

static FsHandle *
result_open(FsNode *node, FsCall *call, int flags, GError **error)
{
    FsHandle *handle;

    if ((flags & O_ACCMODE) != O_RDONLY) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_REFUSED,
            "a result cannot be written: its path is the query");
        return NULL;
    }
    if (!fs_call_may_block(call))
        return NULL;
    handle = fs_handle_new(node, call, flags);
    if (!give_result(handle, call, error))
        g_clear_pointer(&handle, fs_handle_free);
    return handle;
}

static gboolean
result_attributes(FsNode *node, FsCall *call, struct stat *ret_status, GError **error)
{
    gint64 size_bytes;

    g_mutex_lock(&node->context->tree_lock);
    size_bytes = MAX(node->result_size, 0);
    g_mutex_unlock(&node->context->tree_lock);
    fs_node_fill_status(node, ret_status);
    ret_status->st_mode = S_IFREG | fs_node_mode(node, 0444);
    fs_node_set_size(ret_status, size_bytes);
    return TRUE;
}

static const FsNodeClass result_class = {
    .name = "builder result",
    .size = sizeof(BuilderResult),
    .timeout_seconds = 0, /* the size is exact only after open */
    .attributes = result_attributes,
    .open = result_open,
};

/* --- folders --- */

static FsNode *
folder_child(FsNode *folder, const char *name, const FsNodeClass *class, LakeQueryMethod method,
    guint depth)
{
    FsNode *made = fs_node_new(class, folder->context);

    ((Builder *)made)->method = method;
    ((Builder *)made)->depth = depth;
    return fs_node_adopt(folder, name, made);
}

/* A condition, or a parameter of it, came last. */
static gboolean
may_have_parameter(const FsNode *folder)
{
    const Builder *value = (const Builder *)folder;

    return folder->class == &value_class &&
           (value->method == LAKE_QUERY_WHERE || value->method == LAKE_QUERY_PARAM);
}

/* What may follow in folder: a table's or a value's. */
static FsNode *
next_child(FsNode *folder, const char *name, guint depth)
{
    LakeQueryMethod method;

    if (!find_method(name, &method))
        return result_child(folder, name);
    if (method == LAKE_QUERY_PARAM && !may_have_parameter(folder))
        return NULL;
    return folder_child(folder, name, &method_class, method, depth);
}

FsNode *
fs_builder_lookup(FsNode *table, const char *name)
{
    return next_child(table, name, 1);
}

static FsNode *
value_lookup(FsNode *folder, FsCall *call, const char *name, GError **error)
{
    return next_child(folder, name, ((Builder *)folder)->depth + 1);
}

static FsNode *
method_lookup(FsNode *folder, FsCall *call, const char *name, GError **error)
{
    const Builder *builder = (Builder *)folder;

    if (!g_utf8_validate(name, -1, NULL)) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_BAD_NAME,
            "a part of a query must be UTF-8");
        return NULL;
    }
    if (builder->depth >= DEPTH_MAX) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_LONG_NAME,
            "a query has at most %d parts", DEPTH_MAX / 2);
        return NULL;
    }
    return folder_child(folder, name, &value_class, builder->method, builder->depth + 1);
}

/* Any value could be there: none is shown, so that find and grep -r end. */
static GPtrArray *
method_list(
    FsNode *folder, FsCall *call, const char *after, gboolean *ret_is_last, GError **error)
{
    *ret_is_last = TRUE;
    return g_ptr_array_new_with_free_func((GDestroyNotify)fs_listed_free);
}

static GPtrArray *
value_list(
    FsNode *folder, FsCall *call, const char *after, gboolean *ret_is_last, GError **error)
{
    GPtrArray *listed = method_list(folder, call, after, ret_is_last, error);

    for (gsize i = 0; i < G_N_ELEMENTS(methods); i++)
        if (methods[i] != LAKE_QUERY_PARAM || may_have_parameter(folder))
            g_ptr_array_add(listed, fs_listed_new(lake_query_method_name(methods[i]), TRUE));
    for (gsize i = 0; i < G_N_ELEMENTS(results); i++)
        g_ptr_array_add(listed, fs_listed_new(results[i].name, FALSE));
    return listed;
}

static gboolean
folder_attributes(FsNode *node, FsCall *call, struct stat *ret_status, GError **error)
{
    fs_node_fill_status(node, ret_status);
    /* Its names are SQL, which runs with the rights that the mount has on the server. */
    ret_status->st_mode = S_IFDIR | fs_node_private_mode(node, 0555);
    return TRUE;
}

static const FsNodeClass method_class = {
    .name = "builder method",
    .size = sizeof(Builder),
    .is_folder = TRUE,
    .timeout_seconds = 60,
    .attributes = folder_attributes,
    .lookup = method_lookup,
    .list = method_list,
};

static const FsNodeClass value_class = {
    .name = "builder value",
    .size = sizeof(Builder),
    .is_folder = TRUE,
    .timeout_seconds = 60,
    .attributes = folder_attributes,
    .lookup = value_lookup,
    .list = value_list,
};

/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/node/query.h"

#include "core/error.h"
#include "fs/caller.h"
#include "fs/freshness.h"
#include "fs/node/query_store.h"
#include "fs/node/table.h"
#include <fcntl.h>
#include <string.h>

/* What a name beside <name>.sql shows of it; longer suffixes first, as .sql.text ends like none
 * other but .jsonl would match .json. */
typedef enum { FORM_TEXT, FORM_JSONL, FORM_JSON, FORM_CSV, FORM_SQL } QueryForm;

static const struct {
    const char *suffix;
    QueryForm form;
    LakeQueryFormat format; /* of the result */
} forms[] = {
    {".sql.text", FORM_TEXT, LAKE_QUERY_JSON},
    {".jsonl", FORM_JSONL, LAKE_QUERY_JSONL},
    {".json", FORM_JSON, LAKE_QUERY_JSON},
    {".csv", FORM_CSV, LAKE_QUERY_CSV},
    {".sql", FORM_SQL, LAKE_QUERY_JSON},
};

typedef struct {
    FsNode node;
    gsize form; /* index into forms */
} Query;

/* Where a node's query is saved. */
typedef struct {
    const char *queries_dir; /* borrowed */
    char *table;             /* NULL: the root */
    char *name;              /* "query.sql" */
} Place;

static void
place_clear(Place *place)
{
    g_free(place->table);
    g_free(place->name);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Place, place_clear)

gboolean
fs_query_is_name(const char *name)
{
    /* A leading '%' is how tables of such names are written. */
    return g_str_has_suffix(name, ".sql") && strlen(name) > strlen(".sql") && *name != '%';
}

/* The saved query that a file name belongs to ("a.jsonl" → "a.sql"), and its form. */
static char *
saved_name(const char *name, gsize *ret_form)
{
    for (gsize i = 0; i < G_N_ELEMENTS(forms); i++) {
        gsize n_suffix = strlen(forms[i].suffix);
        gsize n_name = strlen(name);

        if (n_name > n_suffix && *name != '%' && g_str_has_suffix(name, forms[i].suffix)) {
            *ret_form = i;
            g_autofree char *stem = g_strndup(name, n_name - n_suffix);
            return g_strconcat(stem, ".sql", NULL);
        }
    }
    return NULL;
}

static const char *
queries_dir_of(const FsNode *node)
{
    return lake_workspace_queries_dir(node->context->workspace);
}

static void
place_init(Place *place, FsNode *folder, const char *saved)
{
    *place = (Place){
        .queries_dir = queries_dir_of(folder),
        .table = fs_table_dup_name(folder),
        .name = g_strdup(saved),
    };
}

static gboolean
place_of_node(Place *place, FsNode *node, GError **error)
{
    g_autoptr(FsNode) folder = fs_node_dup_parent(node);
    g_autofree char *name = fs_node_dup_name(node);
    gsize form;

    *place = (Place){0};
    if (!folder) {
        lake_error_set(
            error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_NOT_FOUND, "the query was removed");
        return FALSE;
    }
    g_autofree char *saved = saved_name(name, &form);
    place_init(place, folder, saved);
    return TRUE;
}

/* --- finding --- */

static FsNode *
query_child(FsNode *folder, const char *name, gsize form)
{
    gint64 last_size;
    FsNode *known = fs_node_idle_child(folder, name, &last_size);

    if (known && known->class == &fs_node_query)
        return known;
    fs_node_unref(known);

    FsNode *made = fs_node_new(&fs_node_query, folder->context);
    ((Query *)made)->form = form;
    made->result_size = last_size;
    return fs_node_adopt(folder, name, made);
}

FsNode *
fs_query_lookup(FsNode *folder, const char *name, GError **error)
{
    g_auto(Place) place = {0};
    gsize form;
    g_autofree char *saved = saved_name(name, &form);

    if (!saved)
        return NULL;
    place_init(&place, folder, saved);
    if (strcmp(saved, "query.sql") != 0 &&
        !fs_query_store_has(place.queries_dir, place.table, saved))
        return NULL;
    return query_child(folder, name, form);
}

void
fs_query_list(FsNode *folder, GPtrArray *listed)
{
    g_autofree char *table = fs_table_dup_name(folder);
    g_autoptr(GPtrArray) names = fs_query_store_list(queries_dir_of(folder), table);

    g_ptr_array_add(listed, fs_listed_new("query.sql", FALSE));
    for (guint i = 0; i < names->len; i++)
        if (strcmp(names->pdata[i], "query.sql") != 0)
            g_ptr_array_add(listed, fs_listed_new(names->pdata[i], FALSE));
}

static gboolean
check_name(const char *name, GError **error)
{
    if (!fs_query_is_name(name)) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_REFUSED,
            "\"%s\" cannot be made here: only queries, files that end in .sql", name);
        if (error)
            lake_error_hint(*error, "copy files into ingest/<table>/");
        return FALSE;
    }
    if (!g_utf8_validate(name, -1, NULL)) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_BAD_NAME,
            "a query's name must be UTF-8");
        return FALSE;
    }
    if (strlen(name) > FS_QUERY_STORE_NAME_MAX) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_LONG_NAME,
            "a query's name has at most %d bytes", FS_QUERY_STORE_NAME_MAX);
        return FALSE;
    }
    return TRUE;
}

gboolean
fs_query_remove(FsNode *folder, const char *name, GError **error)
{
    g_auto(Place) place = {0};

    if (!fs_query_is_name(name)) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_REFUSED,
            "\"%s\" is part of the mount and stays; rmdir drops a table", name);
        return FALSE;
    }
    place_init(&place, folder, name);
    /* Else whoever removes a file in order to make it anew (tar) would try for ever. */
    if (!fs_query_store_has(place.queries_dir, place.table, name)) {
        gboolean is_default = strcmp(name, "query.sql") == 0;
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL,
            is_default ? LAKE_ERROR_REFUSED : LAKE_ERROR_NOT_FOUND, "nobody wrote \"%s\"%s",
            name, is_default ? ": the default stays" : "");
        return FALSE;
    }
    if (!fs_query_store_remove(place.queries_dir, place.table, name, error))
        return FALSE;
    fs_node_detach(folder, name);
    return TRUE;
}

gboolean
fs_query_rename(FsNode *folder, const char *name, const char *new_name, gboolean may_replace,
    GError **error)
{
    g_auto(Place) place = {0};

    if (!check_name(name, error) || !check_name(new_name, error))
        return FALSE;
    place_init(&place, folder, name);
    if (!fs_query_store_has(place.queries_dir, place.table, name)) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_REFUSED,
            "nobody wrote \"%s\": the default stays where it is", name);
        return FALSE;
    }
    if (!may_replace && fs_query_store_has(place.queries_dir, place.table, new_name)) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_EXISTS,
            "the query \"%s\" is there already", new_name);
        return FALSE;
    }
    if (!fs_query_store_rename(place.queries_dir, place.table, name, new_name, error))
        return FALSE;
    fs_node_move(folder, name, folder, new_name);
    return TRUE;
}

void
fs_query_table_moved(FsContext *context, const char *table, const char *new_table)
{
    fs_query_store_move_table(lake_workspace_queries_dir(context->workspace), table, new_table);
}

/* --- reading --- */

static LakeSpool *
new_spool(const FsNode *node)
{
    return lake_spool_new(lake_workspace_spool_dir(node->context->workspace));
}

/* The definition, or the default where nobody wrote one; caller frees. */
static char *
load_text(FsNode *node, FsCall *call, const Place *place, gsize *ret_n_bytes, GError **error)
{
    g_autoptr(GError) failure = NULL;
    char *text = fs_query_store_load(place->queries_dir, place->table, place->name,
        FS_QUERY_STORE_TEXT, ret_n_bytes, &failure);

    if (text)
        return text;
    if (failure) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return NULL;
    }
    if (strcmp(place->name, "query.sql") != 0) {
        lake_error_set(
            error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_NOT_FOUND, "the query was removed");
        return NULL;
    }
    text = lake_query_default(lake_workspace_catalog(node->context->workspace), place->table,
        call->cancellable, error);
    *ret_n_bytes = text ? strlen(text) : 0;
    return text;
}

static gboolean
run_text(FsNode *node, FsCall *call, const char *text, gsize n_bytes, LakeQueryFormat format,
    LakeQueryMode mode, LakeSpool *into, LakeQueryOutcome *ret_outcome, GError **error)
{
    g_autoptr(LakeQuery) query = lake_query_parse(text, n_bytes, error);
    gboolean is_good = query && lake_workspace_query(node->context->workspace, query, format,
                                    mode, into, ret_outcome, call->cancellable, error);

    if (mode == LAKE_QUERY_MAY_CHANGE)
        fs_freshness_wait(node->context);
    return is_good;
}

/* Errors that are about the moment, not the statement: they fail the call itself. */
static gboolean
is_passing(const GError *error)
{
    return g_error_matches(error, LAKE_ERROR, LAKE_ERROR_OFFLINE) ||
           g_error_matches(error, LAKE_ERROR, LAKE_ERROR_CANCELLED) ||
           g_error_matches(error, LAKE_ERROR, LAKE_ERROR_BUSY);
}

/* Makes the error the handle's text, and EIO what follows it. */
static gboolean
give_failure(FsHandle *handle, const char *json, GError *failure, GError **error)
{
    g_autoptr(LakeSpool) content = new_spool(handle->node);

    if (!lake_spool_append(content, json, strlen(json), error)) {
        g_error_free(failure);
        return FALSE;
    }
    handle->is_direct = TRUE;
    fs_handle_set_result(handle, content);
    g_clear_error(&handle->at_end);
    handle->at_end = failure;
    return TRUE;
}

/* A statement that changes data is not run by reading; what its definition gave is shown again.
 */
static gboolean
give_error(FsHandle *handle, const Place *place, GError *failure, GError **error)
{
    g_autofree char *kept = NULL;
    g_autofree char *json = NULL;
    gsize n_bytes;

    if (is_passing(failure)) {
        g_propagate_error(error, failure);
        return FALSE;
    }
    if (place && g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_READ_ONLY))
        kept = fs_query_store_load(place->queries_dir, place->table, place->name,
            FS_QUERY_STORE_FAILURE, &n_bytes, NULL);
    json = kept ? NULL : lake_query_error_json(failure);
    return give_failure(handle, kept ? kept : json, failure, error);
}

gboolean
fs_query_give_failure(FsHandle *handle, GError *failure, GError **error)
{
    return give_error(handle, NULL, failure, error);
}

static gboolean
give_result(FsHandle *handle, FsCall *call, GError **error)
{
    FsNode *node = handle->node;
    LakeQueryFormat format = forms[((Query *)node)->form].format;
    g_auto(Place) place = {0};
    g_autoptr(LakeSpool) kept = NULL;
    g_autofree char *text = NULL;
    g_autoptr(LakeSpool) content = new_spool(node);
    g_autoptr(GError) failure = NULL;
    LakeQueryOutcome outcome;
    gsize n_bytes;

    if (!place_of_node(&place, node, error))
        return FALSE;
    kept = fs_query_store_open_result(place.queries_dir, place.table, place.name, &failure);
    if (kept) {
        if (!lake_query_write_kept(kept, format, content, error))
            return FALSE;
    } else if (failure || !(text = load_text(node, call, &place, &n_bytes, &failure)) ||
               !run_text(node, call, text, n_bytes, format, LAKE_QUERY_READ_ONLY, content,
                   &outcome, &failure)) {
        return give_error(handle, &place, g_steal_pointer(&failure), error);
    }
    fs_handle_set_result(handle, content);
    return TRUE;
}

static gboolean
give_text(FsHandle *handle, FsCall *call, GError **error)
{
    g_auto(Place) place = {0};
    g_autofree char *text = NULL;
    g_autoptr(LakeSpool) content = new_spool(handle->node);
    gsize n_bytes;

    if (!place_of_node(&place, handle->node, error))
        return FALSE;
    text = load_text(handle->node, call, &place, &n_bytes, error);
    if (!text || !lake_spool_append(content, text, n_bytes, error))
        return FALSE;
    fs_handle_set_result(handle, content);
    return TRUE;
}

static char *
staged_text(FsHandle *handle, gsize *ret_n_bytes, GError **error)
{
    gint64 size_bytes = lake_spool_size(handle->staged);
    g_autofree char *text = g_malloc((gsize)size_bytes + 1);
    gssize n_read = lake_spool_read(handle->staged, 0, text, (gsize)size_bytes, error);

    if (n_read < 0)
        return NULL;
    text[n_read] = '\0';
    *ret_n_bytes = (gsize)n_read;
    return g_steal_pointer(&text);
}

/* A handle open for both: what it wrote is run for it alone. */
static gboolean
query_prepare_read(FsHandle *handle, FsCall *call, GError **error)
{
    g_autoptr(LakeSpool) content = NULL;
    g_autofree char *text = NULL;
    g_autoptr(GError) failure = NULL;
    LakeQueryOutcome outcome;
    gsize n_bytes;

    if (!handle->staged || (handle->content && !handle->is_dirty))
        return TRUE;
    if (!fs_call_may_block(call))
        return FALSE;
    handle->has_read = TRUE;
    if (!handle->is_dirty)
        return give_result(handle, call, error);

    handle->is_dirty = FALSE;
    content = new_spool(handle->node);
    text = staged_text(handle, &n_bytes, error);
    if (!text)
        return FALSE;
    if (!run_text(handle->node, call, text, n_bytes, LAKE_QUERY_JSON, LAKE_QUERY_MAY_CHANGE,
            content, &outcome, &failure))
        return give_error(handle, NULL, g_steal_pointer(&failure), error);
    g_clear_error(&handle->at_end);
    fs_handle_set_result(handle, content);
    return TRUE;
}

/* --- writing --- */

static gboolean
start_staging(FsHandle *handle, FsCall *call, GError **error)
{
    g_auto(Place) place = {0};
    g_autofree char *text = NULL;
    gsize n_bytes = 0;

    handle->staged = new_spool(handle->node);
    handle->is_direct = TRUE;
    handle->is_empty_start = (handle->flags & O_TRUNC) != 0;
    if (handle->is_empty_start || (handle->flags & O_ACCMODE) == O_RDWR)
        return TRUE;
    /* Appending to what is there. */
    if (!place_of_node(&place, handle->node, error))
        return FALSE;
    text = fs_query_store_load(
        place.queries_dir, place.table, place.name, FS_QUERY_STORE_TEXT, &n_bytes, NULL);
    return !text || lake_spool_append(handle->staged, text, n_bytes, error);
}

static FsHandle *
query_open(FsNode *node, FsCall *call, int flags, GError **error)
{
    QueryForm form = forms[((Query *)node)->form].form;
    FsHandle *handle;
    gboolean is_good;

    if (!fs_call_may_block(call))
        return NULL;
    handle = fs_handle_new(node, call, flags);
    if (!fs_handle_can_write(handle)) {
        is_good = (form == FORM_TEXT ? give_text : give_result)(handle, call, error);
    } else if (form != FORM_SQL) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_REFUSED,
            "a result cannot be written; write the .sql file that defines it");
        is_good = FALSE;
    } else {
        handle->opener = fs_caller_process_of(call->pid);
        is_good = start_staging(handle, call, error);
    }
    if (!is_good)
        g_clear_pointer(&handle, fs_handle_free);
    return handle;
}

FsHandle *
fs_query_create(FsNode *folder, FsCall *call, const char *name, int flags, GError **error)
{
    gsize form;

    if (!check_name(name, error))
        return NULL;
    g_autofree char *saved = saved_name(name, &form);
    g_autoptr(FsNode) node = query_child(folder, name, form);
    return query_open(node, call, flags | O_TRUNC, error);
}

static gboolean
stage(FsHandle *handle, gint64 offset, const void *data, gsize n_bytes, GError **error)
{
    if (offset + (gint64)n_bytes > LAKE_QUERY_MAX_BYTES) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_TOO_BIG,
            "a query has at most %d bytes", LAKE_QUERY_MAX_BYTES);
        return FALSE;
    }
    if (!lake_spool_write(handle->staged, offset, data, n_bytes, error))
        return FALSE;
    return TRUE;
}

static gboolean
query_write(FsHandle *handle, FsCall *call, gint64 offset, const void *data, gsize n_bytes,
    GError **error)
{
    g_autoptr(GError) failure = NULL;

    handle->is_dirty = TRUE;
    handle->has_written = TRUE;
    if (stage(handle, offset, data, n_bytes, &failure))
        return TRUE;
    /* The beginning of a statement can be one by itself: it must not be run. */
    if (!handle->write_error)
        handle->write_error = g_error_copy(failure);
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

static gboolean
save(const Place *place, FsQueryStorePart part, const char *text, gsize n_bytes, GError **error)
{
    return fs_query_store_save(
        place->queries_dir, place->table, place->name, part, text, n_bytes, error);
}

/* Keeps what running the definition gave, as far as later readers need it. */
static gboolean
keep_outcome(const Place *place, LakeSpool *result, const LakeQueryOutcome *outcome,
    const GError *failure, GError **error)
{
    g_autofree char *json = failure ? lake_query_error_json(failure) : NULL;

    if (!failure && outcome->changed_data &&
        !fs_query_store_keep_result(
            place->queries_dir, place->table, place->name, result, error))
        return FALSE;
    return save(place, FS_QUERY_STORE_FAILURE, json, json ? strlen(json) : 0, error);
}

/* Saves the text before it is run: a statement that fails is still what the file says, and
 * whoever reads it gets the reason. */
static gboolean
define(FsHandle *handle, FsCall *call, GError **error)
{
    FsNode *node = handle->node;
    g_auto(Place) place = {0};
    g_autofree char *text = NULL;
    g_autoptr(LakeSpool) result = new_spool(node);
    g_autoptr(GError) failure = NULL;
    LakeQueryOutcome outcome = {0};
    gsize n_bytes;

    if (!place_of_node(&place, node, error) || !(text = staged_text(handle, &n_bytes, error)) ||
        !save(&place, FS_QUERY_STORE_RESULT, NULL, 0, error) ||
        !save(&place, FS_QUERY_STORE_TEXT, text, n_bytes, error))
        return FALSE;

    gboolean is_good = run_text(node, call, text, n_bytes, LAKE_QUERY_KEPT,
        LAKE_QUERY_MAY_CHANGE, result, &outcome, &failure);
    if (!keep_outcome(&place, result, &outcome, failure, error))
        return FALSE;
    if (!is_good)
        g_propagate_error(error, g_steal_pointer(&failure));
    return is_good;
}

static gboolean
query_flush(FsHandle *handle, FsCall *call, GError **error)
{
    if (!handle->staged || !handle->is_dirty || handle->has_read)
        return TRUE;
    if (handle->write_error) {
        g_propagate_error(error, g_error_copy(handle->write_error));
        return FALSE;
    }
    if (!fs_call_may_block(call))
        return FALSE;
    /* A child that inherited the file and leaves first: `{ a; b; } > query.sql`. Half a
     * statement can be one by itself, and DELETE without its WHERE must not run. */
    if (fs_caller_process_of(call->pid) != handle->opener)
        return TRUE;
    int signal;
    if (fs_caller_was_killed(call->pid, &signal)) {
        handle->is_dirty = FALSE;
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_CANCELLED,
            "the writer was killed by signal %d before it closed the file; the query is as "
            "before",
            signal);
        return FALSE;
    }
    handle->is_dirty = FALSE;
    handle->n_flushed++;
    return define(handle, call, error);
}

static gboolean
query_release(FsHandle *handle, FsCall *call, GError **error)
{
    g_auto(Place) place = {0};

    if (!handle->staged || handle->has_read || handle->write_error)
        return TRUE;
    if (!handle->is_dirty && (handle->has_written || !handle->is_empty_start))
        return TRUE;
    if (!fs_call_may_block(call))
        return FALSE;
    if (handle->is_dirty)
        return define(handle, call, error);

    /* Emptied, and nothing written: back to the default. */
    return place_of_node(&place, handle->node, error) &&
           fs_query_store_remove(place.queries_dir, place.table, place.name, error);
}

static gboolean
query_attributes(FsNode *node, FsCall *call, struct stat *ret_status, GError **error)
{
    QueryForm form = forms[((Query *)node)->form].form;
    gint64 size_bytes;

    g_mutex_lock(&node->context->tree_lock);
    size_bytes = MAX(node->result_size, 0);
    g_mutex_unlock(&node->context->tree_lock);
    fs_node_fill_status(node, ret_status);
    /* A statement may hold what its result does not show. */
    if (form == FORM_TEXT)
        ret_status->st_mode = S_IFREG | fs_node_private_mode(node, 0444);
    else if (form != FORM_SQL)
        ret_status->st_mode = S_IFREG | fs_node_mode(node, 0444);
    fs_node_set_size(ret_status, size_bytes);
    return TRUE;
}

static gboolean
query_change(
    FsNode *node, FsCall *call, FsHandle *handle, const FsChange *change, GError **error)
{
    g_auto(Place) place = {0};

    /* Times and modes of a query mean nothing; refusing them would make cp -p fail. */
    if (!(change->mask & FS_CHANGE_SIZE))
        return TRUE;
    if (change->size_bytes > LAKE_QUERY_MAX_BYTES) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_TOO_BIG,
            "a query has at most %d bytes", LAKE_QUERY_MAX_BYTES);
        return FALSE;
    }
    if (handle && handle->staged) {
        handle->is_empty_start = handle->is_empty_start || change->size_bytes == 0;
        return lake_spool_truncate(handle->staged, change->size_bytes, error);
    }
    if (change->size_bytes != 0) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_REFUSED,
            "a query is written as a whole");
        return FALSE;
    }
    return place_of_node(&place, node, error) &&
           fs_query_store_remove(place.queries_dir, place.table, place.name, error);
}

const FsNodeClass fs_node_query = {
    .name = "query",
    .size = sizeof(Query),
    .timeout_seconds = 0, /* the size is exact only after open */
    .attributes = query_attributes,
    .change = query_change,
    .open = query_open,
    .write = query_write,
    .prepare_read = query_prepare_read,
    .flush = query_flush,
    .release = query_release,
};

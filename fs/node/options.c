/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/node/options.h"

#include "core/error.h"
#include "fs/cache.h"
#include "fs/caller.h"
#include "fs/failures.h"
#include "fs/node/document.h"
#include "fs/node/inbox.h"
#include <fcntl.h>
#include <string.h>

/* Where all options that count can be read; found, and not listed. */
#define EFFECTIVE_NAME ".ingest.effective.json"

typedef struct {
    FsNode node;
    GMutex lock;                   /* guards what follows */
    guint n_writers;               /* open handles that may write */
    LakeFileAttributes attributes; /* while there are writers */
    gint64 staged_bytes;           /* of the one that wrote last */
} Options;

static LakeOptions *
options_of(FsNode *node)
{
    return lake_workspace_options(node->context->workspace);
}

static void
options_free(FsNode *node)
{
    g_mutex_clear(&((Options *)node)->lock);
}

gboolean
fs_options_is_path(const char *path)
{
    return strcmp(path, LAKE_OPTIONS_NAME) == 0;
}

/* --- finding and removing --- */

static FsNode *
options_child(FsNode *zone_folder)
{
    FsNode *known = fs_node_child(zone_folder, LAKE_OPTIONS_NAME);

    if (known && known->class == &fs_node_options)
        return known;
    fs_node_unref(known);

    FsNode *made = fs_node_new(&fs_node_options, zone_folder->context);
    g_mutex_init(&((Options *)made)->lock);
    return fs_node_adopt(zone_folder, LAKE_OPTIONS_NAME, made);
}

static gboolean
is_being_written(FsNode *node)
{
    Options *options = (Options *)node;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&options->lock);

    return options->n_writers > 0;
}

FsNode *
fs_options_lookup(FsNode *zone_folder, gboolean is_there)
{
    FsNode *known =
        is_there ? options_child(zone_folder) : fs_node_child(zone_folder, LAKE_OPTIONS_NAME);

    if (is_there || (known && known->class == &fs_node_options && is_being_written(known)))
        return known;
    fs_node_unref(known);
    return NULL;
}

gboolean
fs_options_remove(FsNode *zone_folder, FsCall *call, const char *zone, GError **error)
{
    FsContext *context = zone_folder->context;

    if (!fs_call_may_block(call) ||
        !lake_options_remove(options_of(zone_folder), zone, call->cancellable, error))
        return FALSE;
    fs_cache_remove_entry(context->cache, zone, LAKE_OPTIONS_NAME);
    fs_failures_forgive(context->failures, zone, LAKE_OPTIONS_NAME);
    fs_node_detach(zone_folder, LAKE_OPTIONS_NAME);
    return TRUE;
}

gboolean
fs_options_check_move(const char *path, const char *new_path, GError **error)
{
    if (!fs_options_is_path(path) && !fs_options_is_path(new_path))
        return TRUE;
    lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_OTHER_TABLE,
        "the options of a drop zone cannot be moved; copy them");
    return FALSE;
}

/* --- what counts --- */

static char *
render_effective(FsNode *document, FsCall *call, GError **error)
{
    g_autofree char *zone = NULL;
    g_autofree char *path = NULL;
    LakeIngestSettings settings;

    if (!fs_call_may_block(call) || !fs_inbox_locate(document, &zone, &path, error) ||
        !lake_options_get(options_of(document), zone, &settings, call->cancellable, error))
        return NULL;
    char *text = lake_options_to_json(&settings);
    lake_ingest_settings_clear(&settings);
    return text;
}

gboolean
fs_options_is_effective_path(const char *path)
{
    return strcmp(path, EFFECTIVE_NAME) == 0;
}

FsNode *
fs_options_effective(FsNode *zone_folder)
{
    return fs_document_child(zone_folder, EFFECTIVE_NAME, render_effective, FALSE);
}

/* --- attributes --- */

/* NULL with NOT_FOUND: they were removed. */
static LakeLedgerEntry *
find_entry(FsNode *node, FsCall *call, char **ret_zone, GError **error)
{
    g_autofree char *path = NULL;
    LakeLedgerEntry *entry = NULL;

    if (!fs_inbox_locate(node, ret_zone, &path, error) ||
        !fs_cache_find_entry(
            node->context->cache, call, *ret_zone, LAKE_OPTIONS_NAME, &entry, error))
        return NULL;
    if (!entry)
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_NOT_FOUND,
            "the options of ingest/%s were removed", *ret_zone);
    return entry;
}

static gboolean
options_attributes(FsNode *node, FsCall *call, struct stat *ret_status, GError **error)
{
    Options *options = (Options *)node;
    g_autofree char *zone = NULL;
    g_autoptr(LakeLedgerEntry) entry = NULL;

    g_mutex_lock(&options->lock);
    gboolean is_open = options->n_writers > 0;
    LakeFileAttributes attributes = options->attributes;
    gint64 size_bytes = options->staged_bytes;
    g_mutex_unlock(&options->lock);
    if (!is_open) {
        entry = find_entry(node, call, &zone, error);
        if (!entry)
            return FALSE;
        attributes = entry->attributes;
        size_bytes = entry->size_bytes;
    }
    fs_inbox_fill_status(node, &attributes, size_bytes, ret_status);
    return TRUE;
}

static gboolean
store_attributes(FsNode *node, FsCall *call, const FsChange *change, GError **error)
{
    g_autofree char *zone = NULL;
    g_autoptr(LakeLedgerEntry) entry = find_entry(node, call, &zone, error);

    if (!entry || !fs_call_may_block(call))
        return FALSE;
    g_autoptr(LakeLedgerEntry) changed = lake_ledger_entry_copy(entry);
    fs_inbox_apply_change(&changed->attributes, change);
    if (!lake_ledger_set_attributes(lake_workspace_catalog(node->context->workspace), zone,
            LAKE_OPTIONS_NAME, &changed->attributes, NULL, call->cancellable, error))
        return FALSE;
    fs_cache_put_entry(node->context->cache, zone, changed);
    return TRUE;
}

static gboolean
refuse_long(GError **error)
{
    return lake_error_bad_input(error, LAKE_ERROR_CLASS_INGEST,
        "the options have at most %d bytes", LAKE_OPTIONS_MAX_BYTES);
}

/* truncate(2) by its path. */
static gboolean
empty(FsNode *node, FsCall *call, GError **error)
{
    g_autofree char *zone = NULL;
    g_autoptr(LakeLedgerEntry) entry = find_entry(node, call, &zone, error);

    if (!entry || !fs_call_may_block(call))
        return FALSE;
    LakeFileAttributes attributes = entry->attributes;
    attributes.mtime_ns = fs_node_now_ns();
    g_autoptr(LakeLedgerEntry) changed =
        lake_options_set(options_of(node), zone, "", 0, &attributes, call->cancellable, error);
    if (!changed)
        return FALSE;
    fs_cache_put_entry(node->context->cache, zone, changed);
    return TRUE;
}

/* From the verdict on, the node shows what is set, and not what was written: a release comes
 * some time after its close has returned. */
static void
set_writer(FsHandle *handle, gboolean is_writer)
{
    Options *options = (Options *)handle->node;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&options->lock);

    if (handle->is_writer && !is_writer)
        options->n_writers--;
    else if (!handle->is_writer && is_writer)
        options->n_writers++;
    handle->is_writer = is_writer;
}

static gboolean
resize(FsNode *node, FsCall *call, FsHandle *handle, gint64 size_bytes, GError **error)
{
    Options *options = (Options *)node;

    if (!handle || !handle->staged) {
        if (size_bytes == 0)
            return empty(node, call, error);
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_REFUSED,
            "the options are written as a whole");
        return FALSE;
    }
    if (size_bytes > LAKE_OPTIONS_MAX_BYTES)
        return refuse_long(error);
    if (!lake_spool_truncate(handle->staged, size_bytes, error))
        return FALSE;
    handle->is_dirty = TRUE;
    set_writer(handle, TRUE);
    g_mutex_lock(&options->lock);
    options->staged_bytes = size_bytes;
    g_mutex_unlock(&options->lock);
    return TRUE;
}

static gboolean
options_change(
    FsNode *node, FsCall *call, FsHandle *handle, const FsChange *change, GError **error)
{
    Options *options = (Options *)node;

    if (change->mask & FS_CHANGE_SIZE)
        return resize(node, call, handle, change->size_bytes, error);
    g_mutex_lock(&options->lock);
    gboolean is_open = options->n_writers > 0;
    if (is_open)
        fs_inbox_apply_change(&options->attributes, change);
    g_mutex_unlock(&options->lock);
    if (!is_open)
        return store_attributes(node, call, change, error);

    /* Of what is there already, too: this writer may write nothing more. */
    g_autoptr(GError) failure = NULL;
    if (store_attributes(node, call, change, &failure) ||
        g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_NOT_FOUND))
        return TRUE;
    if (failure)
        g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

/* --- opening --- */

static FsHandle *
open_with(FsNode *node, FsCall *call, int flags, LakeSpool *content,
    const LakeFileAttributes *attributes)
{
    Options *options = (Options *)node;
    FsHandle *handle = fs_handle_new(node, call, flags);

    handle->is_direct = TRUE; /* others change it, and it is small */
    handle->content = lake_spool_ref(content);
    handle->opener = fs_caller_process_of(call->pid);
    if (!fs_handle_can_write(handle))
        return handle;
    handle->staged = lake_spool_ref(content);
    handle->is_empty_start = (flags & O_TRUNC) != 0;
    handle->is_writer = TRUE;
    g_mutex_lock(&options->lock);
    options->n_writers++;
    options->attributes = *attributes;
    options->staged_bytes = lake_spool_size(content);
    g_mutex_unlock(&options->lock);
    return handle;
}

static LakeSpool *
new_spool(FsNode *node)
{
    return lake_spool_new(lake_workspace_spool_dir(node->context->workspace));
}

static FsHandle *
options_open(FsNode *node, FsCall *call, int flags, GError **error)
{
    g_autofree char *zone = NULL;
    g_autoptr(LakeSpool) content = new_spool(node);

    if (!fs_call_may_block(call))
        return NULL;
    g_autoptr(LakeLedgerEntry) entry = find_entry(node, call, &zone, error);
    if (!entry)
        return NULL;
    if (!(flags & O_TRUNC)) {
        g_autofree char *text =
            lake_options_dup_text(options_of(node), zone, call->cancellable, error);
        if (!text || !lake_spool_append(content, text, strlen(text), error))
            return NULL;
    }
    return open_with(node, call, flags, content, &entry->attributes);
}

FsHandle *
fs_options_create(FsNode *zone_folder, FsCall *call, const char *path,
    const LakeFileAttributes *attributes, int flags, GError **error)
{
    if (!fs_options_is_path(path)) {
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_REFUSED,
            "the options of a drop zone are written to ingest/<table>/" LAKE_OPTIONS_NAME);
        return NULL;
    }
    g_autoptr(FsNode) node = options_child(zone_folder);
    g_autoptr(LakeSpool) content = new_spool(node);

    return open_with(node, call, flags | O_TRUNC, content, attributes);
}

/* --- writing --- */

static gboolean
stage(FsHandle *handle, gint64 offset, const void *data, gsize n_bytes, GError **error)
{
    if (offset + (gint64)n_bytes > LAKE_OPTIONS_MAX_BYTES)
        return refuse_long(error);
    return lake_spool_write(handle->staged, offset, data, n_bytes, error);
}

static gboolean
options_write(FsHandle *handle, FsCall *call, gint64 offset, const void *data, gsize n_bytes,
    GError **error)
{
    Options *options = (Options *)handle->node;
    g_autoptr(GError) failure = NULL;

    /* The kernel may not know yet how long the file has become. */
    if (handle->flags & O_APPEND)
        offset = lake_spool_size(handle->staged);
    handle->is_dirty = TRUE;
    handle->has_written = TRUE;
    if (call->uid != handle->node->context->uid)
        handle->writer_uid = call->uid;
    set_writer(handle, TRUE);
    if (stage(handle, offset, data, n_bytes, &failure)) {
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&options->lock);
        options->staged_bytes = lake_spool_size(handle->staged);
        options->attributes.mtime_ns = fs_node_now_ns();
        return TRUE;
    }
    if (!handle->write_error)
        handle->write_error = g_error_copy(failure);
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

/* What was written counts from here on, or is refused and what there was counts on. */
static gboolean
set_options(FsHandle *handle, FsCall *call, const char *zone, GError **error)
{
    FsNode *node = handle->node;
    Options *options = (Options *)node;
    gsize n_bytes = (gsize)lake_spool_size(handle->staged);
    g_autofree char *text = g_malloc(n_bytes + 1);

    if (handle->write_error) {
        g_propagate_error(error, g_error_copy(handle->write_error));
        return FALSE;
    }
    gssize n_read = lake_spool_read(handle->staged, 0, text, n_bytes, error);
    if (n_read < 0)
        return FALSE;
    if (lake_options_names_folders(options_of(node), text, (gsize)n_read) &&
        !fs_caller_may_name_local_paths(
            handle->writer_uid, node->context->uid, "images_dir and masks_dir", error))
        return FALSE;
    g_mutex_lock(&options->lock);
    LakeFileAttributes attributes = options->attributes;
    g_mutex_unlock(&options->lock);
    g_autoptr(LakeLedgerEntry) entry = lake_options_set(
        options_of(node), zone, text, (gsize)n_read, &attributes, call->cancellable, error);
    if (!entry)
        return FALSE;
    fs_cache_put_entry(node->context->cache, zone, entry);
    return TRUE;
}

static gboolean
define(FsHandle *handle, FsCall *call, GError **error)
{
    FsFailures *failures = handle->node->context->failures;
    g_autofree char *zone = NULL;
    g_autofree char *path = NULL;
    g_autoptr(GError) failure = NULL;

    handle->is_dirty = FALSE;
    handle->is_empty_start = FALSE;
    /* Removed meanwhile: as any file that was, it goes nowhere. */
    if (!fs_inbox_locate(handle->node, &zone, &path, NULL))
        return TRUE;
    gboolean is_good = set_options(handle, call, zone, &failure);
    set_writer(handle, FALSE);
    if (!is_good) {
        fs_failures_refuse(failures, zone, LAKE_OPTIONS_NAME, failure);
        g_propagate_error(error, g_steal_pointer(&failure));
        return FALSE;
    }
    fs_failures_forgive(failures, zone, LAKE_OPTIONS_NAME);
    return TRUE;
}

static gboolean
options_flush(FsHandle *handle, FsCall *call, GError **error)
{
    int signal;

    if (!handle->staged || !handle->is_dirty)
        return TRUE;
    if (!fs_call_may_block(call))
        return FALSE;
    /* A child that inherited the file and leaves first: the text is not complete. */
    if (fs_caller_process_of(call->pid) != handle->opener)
        return TRUE;
    if (fs_caller_was_killed(call->pid, &signal)) {
        handle->is_dirty = FALSE;
        set_writer(handle, FALSE);
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_CANCELLED,
            "the writer was killed by signal %d before it closed the file; the options are as "
            "before",
            signal);
        return FALSE;
    }
    return define(handle, call, error);
}

static gboolean
options_release(FsHandle *handle, FsCall *call, GError **error)
{
    gboolean is_good = TRUE;

    if (!handle->staged)
        return TRUE;
    if (!fs_call_may_block(call))
        return FALSE;
    /* Emptied, and nothing written: no option is set. */
    if (handle->is_dirty || (handle->is_empty_start && !handle->has_written))
        is_good = define(handle, call, error);
    set_writer(handle, FALSE);
    return is_good;
}

const FsNodeClass fs_node_options = {
    .name = "options",
    .size = sizeof(Options),
    .timeout_seconds = 0, /* other mounts write them too, and the size is part of the text */
    .free = options_free,
    .attributes = options_attributes,
    .change = options_change,
    .open = options_open,
    .write = options_write,
    .flush = options_flush,
    .release = options_release,
};

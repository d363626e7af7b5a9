/* SPDX-License-Identifier: Apache-2.0 */
#include "core/error.h"
#include "core/fault.h"
#include "fs/cache.h"
#include "fs/caller.h"
#include "fs/failures.h"
#include "fs/node/inbox.h"
#include "fs/xattr.h"
#include <fcntl.h>
#include <string.h>

typedef struct {
    FsNode node;
    GMutex lock;                   /* guards all below, and the state of the file's handles */
    gboolean is_unsaved;           /* the node is pinned exactly as long as this is TRUE */
    LakeFileAttributes attributes; /* while unsaved */
    char *xattrs;                  /* while unsaved */
    LakeSpool *staged;             /* what was written last */
    guint n_writers;
    guint64 generation; /* of drops: a handle from before one is dead */
} InboxFile;

static void
file_free(FsNode *node)
{
    InboxFile *file = (InboxFile *)node;

    g_clear_pointer(&file->staged, lake_spool_unref);
    g_free(file->xattrs);
    g_mutex_clear(&file->lock);
}

FsNode *
fs_inbox_file_child(FsNode *folder, const char *name)
{
    gint64 last_size;
    FsNode *known = fs_node_child(folder, name);

    /* Someone reads the former bytes from the page cache: the next reader gets its own. */
    if (known && known->class == &fs_node_inbox_file && !fs_inbox_file_is_unsaved(known)) {
        fs_node_unref(known);
        known = fs_node_idle_child(folder, name, &last_size);
    }
    if (known && known->class == &fs_node_inbox_file)
        return known;
    fs_node_unref(known);

    FsNode *made = fs_node_new(&fs_node_inbox_file, folder->context);
    g_mutex_init(&((InboxFile *)made)->lock);
    return fs_node_adopt(folder, name, made);
}

gboolean
fs_inbox_file_is_unsaved(FsNode *node)
{
    InboxFile *file = (InboxFile *)node;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&file->lock);

    return file->is_unsaved;
}

/* --- unsaved and saved --- */

/* With the file's lock held. entry: what it was until now, or NULL for a new file. */
static void
become_unsaved(InboxFile *file, LakeSpool *staged)
{
    LakeSpool *former = file->staged;

    file->staged = lake_spool_ref(staged);
    g_clear_pointer(&former, lake_spool_unref);
    if (!file->is_unsaved) {
        file->is_unsaved = TRUE;
        fs_node_pin(&file->node, TRUE);
    }
}

/* Without the file's lock: unpinning may free the node. */
static void
become_saved(InboxFile *file)
{
    gboolean was_unsaved;

    g_mutex_lock(&file->lock);
    was_unsaved = file->is_unsaved;
    file->is_unsaved = FALSE;
    g_clear_pointer(&file->staged, lake_spool_unref);
    g_clear_pointer(&file->xattrs, g_free);
    g_mutex_unlock(&file->lock);
    if (was_unsaved)
        fs_node_pin(&file->node, FALSE);
}

void
fs_inbox_file_drop(FsNode *node)
{
    InboxFile *file = (InboxFile *)node;

    g_mutex_lock(&file->lock);
    file->generation++;
    g_mutex_unlock(&file->lock);
    become_saved(file);
}

static LakeSpool *
new_spool(FsNode *node)
{
    return lake_spool_new(lake_workspace_spool_dir(node->context->workspace));
}

/* --- committing --- */

static void
fill_ingest(InboxFile *file, LakeIngestFile *ingest, char **ret_xattrs)
{
    const LakeConfig *config = lake_workspace_config(file->node.context->workspace);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&file->lock);

    ingest->attributes = file->attributes;
    ingest->settings.chunk_size = config->chunk_size;
    ingest->settings.chunk_overlap = config->chunk_overlap;
    *ret_xattrs = g_strdup(file->xattrs);
    ingest->xattrs = *ret_xattrs;
}

/* One file into the server; what became of it into cache, jobs and failures. */
static gboolean
ingest_spool(InboxFile *file, FsCall *call, const char *zone, const char *path,
    LakeSpool *content, GError **error)
{
    FsContext *context = file->node.context;
    LakeJobs *jobs = lake_workspace_jobs(context->workspace);
    g_autofree char *xattrs = NULL;
    g_autoptr(GError) failure = NULL;
    LakeIngestFile ingest = {
        .table = zone,
        .path = path,
        .content = content,
        .expectation = fs_cache_expectation(context->cache, zone, path),
        .progress = lake_jobs_progress,
    };

    fill_ingest(file, &ingest, &xattrs);
    LakeJob *job = lake_jobs_begin(jobs, zone, path, lake_spool_size(content));
    ingest.progress_data = job;
    g_autoptr(LakeLedgerEntry) entry = lake_ingest_file(
        lake_workspace_catalog(context->workspace), &ingest, call->cancellable, &failure);
    lake_jobs_end(jobs, job, failure);

    if (!entry) {
        fs_failures_refuse(context->failures, zone, path, failure);
        g_propagate_error(error, g_steal_pointer(&failure));
        return FALSE;
    }
    fs_cache_put_entry(context->cache, zone, entry);
    fs_cache_note_table(context->cache, zone);
    fs_failures_forgive(context->failures, zone, path);
    fs_context_note_ingest(context, zone);
    return TRUE;
}

gboolean
fs_inbox_file_commit(
    FsNode *node, FsCall *call, const char *zone, const char *path, GError **error)
{
    InboxFile *file = (InboxFile *)node;
    g_autoptr(LakeSpool) content = NULL;

    g_mutex_lock(&file->lock);
    content = file->staged ? lake_spool_ref(file->staged) : NULL;
    g_mutex_unlock(&file->lock);
    if (!content) {
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_NOT_FOUND,
            "%s was removed meanwhile", path);
        return FALSE;
    }
    if (!ingest_spool(file, call, zone, path, content, error))
        return FALSE;
    become_saved(file);
    return TRUE;
}

/* A handle's bytes. TRUE without doing anything when the name is temporary or the file is gone.
 */
static gboolean
commit_handle(FsHandle *handle, FsCall *call, GError **error)
{
    InboxFile *file = (InboxFile *)handle->node;
    g_autofree char *zone = NULL;
    g_autofree char *path = NULL;
    gboolean has_newer;

    if (!fs_inbox_locate(handle->node, &zone, &path, NULL) || lake_ingest_is_temporary(path))
        return TRUE;
    if (!ingest_spool(file, call, zone, path, handle->staged, error))
        return FALSE;
    (void)lake_fault("inbox-before-reply");
    g_mutex_lock(&file->lock);
    has_newer = handle->is_dirty || file->staged != handle->staged;
    g_mutex_unlock(&file->lock);
    if (!has_newer)
        become_saved(file);
    return TRUE;
}

/* --- opening --- */

/* With the file's lock held. */
static void
add_writer(InboxFile *file, FsHandle *handle)
{
    handle->is_direct = TRUE; /* two to seven times faster than through the page cache */
    file->n_writers++;
    handle->generation = file->generation;
}

FsHandle *
fs_inbox_file_create(FsNode *node, FsCall *call, guint32 mode, int flags)
{
    InboxFile *file = (InboxFile *)node;
    FsHandle *handle = fs_handle_new(node, call, flags);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&file->lock);

    handle->staged = new_spool(node);
    handle->content = lake_spool_ref(handle->staged);
    handle->is_empty_start = TRUE;
    file->attributes = (LakeFileAttributes){
        .mode = S_IFREG | (mode & 07777),
        .uid = call->uid,
        .gid = call->gid,
        .mtime_ns = fs_node_now_ns(),
    };
    g_clear_pointer(&file->xattrs, g_free);
    become_unsaved(file, handle->staged);
    add_writer(file, handle);
    return handle;
}

/* The entry of a saved file; NULL with NOT_FOUND when there is none (any more). */
static LakeLedgerEntry *
find_entry(FsNode *node, FsCall *call, char **ret_zone, GError **error)
{
    g_autofree char *path = NULL;
    LakeLedgerEntry *entry = NULL;

    if (!fs_inbox_locate(node, ret_zone, &path, error) ||
        !fs_cache_find_entry(node->context->cache, call, *ret_zone, path, &entry, error))
        return NULL;
    if (!entry)
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_NOT_FOUND,
            "ingest/%s/%s was removed", *ret_zone, path);
    return entry;
}

static LakeSpool *
restore(
    FsNode *node, FsCall *call, const char *zone, const LakeLedgerEntry *entry, GError **error)
{
    g_autoptr(LakeSpool) content = new_spool(node);

    if (!fs_call_may_block(call) ||
        !lake_ingest_restore(lake_workspace_catalog(node->context->workspace), zone, entry,
            content, call->cancellable, error))
        return NULL;
    return g_steal_pointer(&content);
}

static FsHandle *
open_saved_for_reading(FsNode *node, FsCall *call, int flags, GError **error)
{
    g_autofree char *zone = NULL;
    g_autoptr(LakeLedgerEntry) entry = find_entry(node, call, &zone, error);
    g_autoptr(LakeSpool) content = entry ? restore(node, call, zone, entry, error) : NULL;
    FsHandle *handle;

    if (!content)
        return NULL;
    handle = fs_handle_new(node, call, flags);
    fs_handle_set_result(handle, content);
    return handle;
}

static FsHandle *
open_saved_for_writing(FsNode *node, FsCall *call, int flags, GError **error)
{
    InboxFile *file = (InboxFile *)node;
    g_autofree char *zone = NULL;
    g_autoptr(LakeLedgerEntry) entry = find_entry(node, call, &zone, error);
    g_autoptr(LakeSpool) staged = NULL;
    FsHandle *handle;

    if (!entry)
        return NULL;
    staged = (flags & O_TRUNC) ? new_spool(node) : restore(node, call, zone, entry, error);
    if (!staged) {
        if (error && *error)
            lake_error_hint(*error, "it cannot be changed in place; copy the whole file again");
        return NULL;
    }
    handle = fs_handle_new(node, call, flags);
    handle->staged = g_steal_pointer(&staged);
    handle->content = lake_spool_ref(handle->staged);
    handle->is_empty_start = (flags & O_TRUNC) != 0;

    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&file->lock);
    if (!file->is_unsaved) {
        file->attributes = entry->attributes;
        g_free(file->xattrs);
        file->xattrs = g_strdup(entry->xattrs);
    }
    if (handle->is_empty_start) {
        file->attributes.mtime_ns = fs_node_now_ns();
        become_unsaved(file, handle->staged);
    }
    add_writer(file, handle);
    return handle;
}

/* Readers of unsaved bytes see them as they are; writers without O_TRUNC go on with them. */
static FsHandle *
open_unsaved(InboxFile *file, FsCall *call, int flags)
{
    FsHandle *handle = fs_handle_new(&file->node, call, flags);

    if (fs_handle_can_write(handle)) {
        handle->is_empty_start = (flags & O_TRUNC) != 0;
        handle->staged =
            handle->is_empty_start ? new_spool(&file->node) : lake_spool_ref(file->staged);
        become_unsaved(file, handle->staged);
        add_writer(file, handle);
        handle->content = lake_spool_ref(handle->staged);
    } else {
        handle->is_direct = TRUE;
        handle->content = lake_spool_ref(file->staged);
    }
    return handle;
}

static FsHandle *
file_open(FsNode *node, FsCall *call, int flags, GError **error)
{
    InboxFile *file = (InboxFile *)node;

    g_mutex_lock(&file->lock);
    FsHandle *handle = file->is_unsaved ? open_unsaved(file, call, flags) : NULL;
    g_mutex_unlock(&file->lock);
    if (handle)
        return handle;
    return (flags & O_ACCMODE) == O_RDONLY ? open_saved_for_reading(node, call, flags, error)
                                           : open_saved_for_writing(node, call, flags, error);
}

/* --- writing and closing --- */

static gboolean
file_write(FsHandle *handle, FsCall *call, gint64 offset, const void *data, gsize n_bytes,
    GError **error)
{
    InboxFile *file = (InboxFile *)handle->node;

    g_autoptr(GError) failure = NULL;
    gboolean is_good = lake_spool_write(handle->staged, offset, data, n_bytes, &failure);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&file->lock);

    if (!is_good) {
        if (!handle->write_error)
            handle->write_error = g_error_copy(failure);
        g_propagate_error(error, g_steal_pointer(&failure));
        return FALSE;
    }
    handle->is_dirty = TRUE;
    handle->has_written = TRUE;
    if (handle->generation == file->generation) {
        file->attributes.mtime_ns = fs_node_now_ns();
        become_unsaved(file, handle->staged);
    }
    return TRUE;
}

/* After a verdict of no, the name is at once what it was before: whoever comes next creates it
 * anew.
 */
static void
give_up(FsHandle *handle)
{
    InboxFile *file = (InboxFile *)handle->node;
    gboolean is_own;

    g_mutex_lock(&file->lock);
    is_own = file->staged == handle->staged && !handle->is_dirty;
    g_mutex_unlock(&file->lock);
    if (is_own)
        become_saved(file);
}

/* The bytes of a copy that was not finished: its writer was killed, or a write failed. */
static gboolean
refuse_unfinished(FsHandle *handle, GError *reason, GError **error)
{
    InboxFile *file = (InboxFile *)handle->node;
    g_autofree char *zone = NULL;
    g_autofree char *path = NULL;
    g_autoptr(GError) failure = reason;

    g_mutex_lock(&file->lock);
    handle->is_dirty = FALSE;
    handle->is_empty_start = FALSE;
    g_mutex_unlock(&file->lock);
    if (fs_inbox_locate(handle->node, &zone, &path, NULL) && !lake_ingest_is_temporary(path))
        fs_failures_refuse(handle->node->context->failures, zone, path, failure);
    give_up(handle);
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

static GError *
why_unfinished(const FsHandle *handle, const FsCall *call)
{
    GError *reason = NULL;
    int signal;

    if (handle->write_error)
        return g_error_copy(handle->write_error);
    if (fs_caller_was_killed(call->pid, &signal))
        lake_error_set(&reason, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_CANCELLED,
            "the writer was killed by signal %d before it closed the file; nothing was "
            "ingested",
            signal);
    return reason;
}

static gboolean
file_flush(FsHandle *handle, FsCall *call, GError **error)
{
    InboxFile *file = (InboxFile *)handle->node;
    gboolean has_news = handle->is_dirty || (handle->is_empty_start && !handle->has_written);
    gboolean is_live;
    GError *reason;

    if (!handle->staged || (!has_news && !handle->write_error))
        return TRUE;
    /* A later one only marks: `( a; b ) > f` must not be ingested once a line. */
    gboolean is_verdict = handle->is_dirty && handle->n_flushed == 0;
    if (is_verdict && !fs_call_may_block(call))
        return FALSE;
    reason = why_unfinished(handle, call);
    if (reason)
        return refuse_unfinished(handle, reason, error);
    if (!is_verdict)
        return TRUE;

    g_mutex_lock(&file->lock);
    is_live = handle->generation == file->generation;
    handle->is_dirty = FALSE;
    handle->n_flushed++;
    g_mutex_unlock(&file->lock);
    if (!is_live || commit_handle(handle, call, error))
        return TRUE;
    give_up(handle);
    return FALSE;
}

/* After the last writer of a file without a temporary name, nothing stays unsaved. */
static void
leave_writer(FsHandle *handle)
{
    InboxFile *file = (InboxFile *)handle->node;
    g_autofree char *zone = NULL;
    g_autofree char *path = NULL;
    gboolean is_last;

    g_mutex_lock(&file->lock);
    is_last = --file->n_writers == 0;
    g_mutex_unlock(&file->lock);
    if (is_last &&
        (!fs_inbox_locate(handle->node, &zone, &path, NULL) || !lake_ingest_is_temporary(path)))
        become_saved(file);
}

static gboolean
file_release(FsHandle *handle, FsCall *call, GError **error)
{
    InboxFile *file = (InboxFile *)handle->node;
    gboolean must_commit;
    gboolean is_good;

    if (!handle->staged)
        return TRUE;
    g_mutex_lock(&file->lock);
    must_commit = handle->generation == file->generation && !handle->write_error &&
                  (handle->is_dirty || (handle->is_empty_start && !handle->has_written));
    g_mutex_unlock(&file->lock);
    if (must_commit && !fs_call_may_block(call))
        return FALSE;

    g_mutex_lock(&file->lock);
    handle->is_dirty = FALSE;
    g_mutex_unlock(&file->lock);
    is_good = !must_commit || commit_handle(handle, call, error);
    leave_writer(handle);
    return is_good;
}

/* What was written becomes rows now: they must survive a power failure from here on. */
static gboolean
file_sync(FsHandle *handle, FsCall *call, GError **error)
{
    InboxFile *file = (InboxFile *)handle->node;
    gboolean must_commit;

    if (!fs_call_may_block(call))
        return FALSE;
    if (handle->write_error)
        return refuse_unfinished(handle, g_error_copy(handle->write_error), error);
    g_mutex_lock(&file->lock);
    must_commit = handle->is_dirty && handle->generation == file->generation;
    handle->is_dirty = FALSE;
    g_mutex_unlock(&file->lock);
    if (must_commit && !commit_handle(handle, call, error))
        return FALSE;
    return lake_workspace_sync(handle->node->context->workspace, call->cancellable, error);
}

/* --- attributes --- */

void
fs_inbox_fill_status(
    FsNode *node, const LakeFileAttributes *attributes, gint64 size_bytes, struct stat *status)
{
    fs_node_fill_status(node, status);
    status->st_mode = (status->st_mode & S_IFMT) | (attributes->mode & 07777);
    status->st_uid = attributes->uid;
    status->st_gid = attributes->gid;
    fs_node_set_size(status, size_bytes);
    fs_node_set_mtime(status, attributes->mtime_ns);
}

void
fs_inbox_apply_change(LakeFileAttributes *attributes, const FsChange *change)
{
    if (change->mask & FS_CHANGE_MODE)
        attributes->mode = (attributes->mode & S_IFMT) | (change->mode & 07777);
    if (change->mask & FS_CHANGE_UID)
        attributes->uid = change->uid;
    if (change->mask & FS_CHANGE_GID)
        attributes->gid = change->gid;
    if (change->mask & FS_CHANGE_MTIME)
        attributes->mtime_ns = change->mtime_ns;
}

static gboolean
file_attributes(FsNode *node, FsCall *call, struct stat *ret_status, GError **error)
{
    InboxFile *file = (InboxFile *)node;
    g_autofree char *zone = NULL;
    g_autoptr(LakeLedgerEntry) entry = NULL;

    g_mutex_lock(&file->lock);
    gboolean is_unsaved = file->is_unsaved;
    if (is_unsaved)
        fs_inbox_fill_status(
            node, &file->attributes, lake_spool_size(file->staged), ret_status);
    g_mutex_unlock(&file->lock);
    if (is_unsaved)
        return TRUE;

    entry = find_entry(node, call, &zone, error);
    if (!entry)
        return FALSE;
    fs_inbox_fill_status(node, &entry->attributes, entry->size_bytes, ret_status);
    return TRUE;
}

/* With the file's lock held. */
static gboolean
change_unsaved(InboxFile *file, FsHandle *handle, const FsChange *change, GError **error)
{
    if (change->mask & FS_CHANGE_SIZE) {
        if (!lake_spool_truncate(file->staged, change->size_bytes, error))
            return FALSE;
        file->attributes.mtime_ns = fs_node_now_ns();
        /* ftruncate counts as writing: rsync --inplace ends with one. */
        if (handle && handle->staged == file->staged) {
            handle->is_dirty = TRUE;
            handle->has_written = TRUE;
        }
    }
    fs_inbox_apply_change(&file->attributes, change);
    return TRUE;
}

/* truncate(2) of a saved file by its path or by a handle that has not written: its bytes are
 * read back, cut, and ingested as any other content. */
static gboolean
resize_saved(
    FsNode *node, FsCall *call, FsHandle *handle, const FsChange *change, GError **error)
{
    InboxFile *file = (InboxFile *)node;
    g_autoptr(LakeSpool) content = NULL;
    g_autofree char *zone = NULL;
    g_autoptr(LakeLedgerEntry) entry = find_entry(node, call, &zone, error);

    if (!entry || !fs_call_may_block(call))
        return FALSE;
    if (handle && handle->staged)
        content = lake_spool_ref(handle->staged);
    else
        content =
            change->size_bytes == 0 ? new_spool(node) : restore(node, call, zone, entry, error);
    if (!content || !lake_spool_truncate(content, change->size_bytes, error))
        return FALSE;

    g_mutex_lock(&file->lock);
    file->attributes = entry->attributes;
    file->attributes.mtime_ns = fs_node_now_ns();
    fs_inbox_apply_change(&file->attributes, change);
    g_free(file->xattrs);
    file->xattrs = g_strdup(entry->xattrs);
    if (handle && handle->staged) {
        handle->is_dirty = TRUE;
        handle->has_written = TRUE;
        become_unsaved(file, content);
    }
    g_mutex_unlock(&file->lock);
    return (handle && handle->staged) ||
           ingest_spool(file, call, zone, entry->path, content, error);
}

static gboolean
store_attributes(
    FsNode *node, FsCall *call, const char *zone, LakeLedgerEntry *entry, GError **error)
{
    if (!fs_call_may_block(call) ||
        !lake_ledger_set_attributes(lake_workspace_catalog(node->context->workspace), zone,
            entry->path, &entry->attributes, entry->xattrs, call->cancellable, error))
        return FALSE;
    fs_cache_put_entry(node->context->cache, zone, entry);
    return TRUE;
}

static gboolean
file_change(
    FsNode *node, FsCall *call, FsHandle *handle, const FsChange *change, GError **error)
{
    InboxFile *file = (InboxFile *)node;
    g_autofree char *zone = NULL;
    g_autoptr(LakeLedgerEntry) entry = NULL;
    gboolean is_good = FALSE;

    g_mutex_lock(&file->lock);
    gboolean is_unsaved = file->is_unsaved;
    if (is_unsaved)
        is_good = change_unsaved(file, handle, change, error);
    g_mutex_unlock(&file->lock);
    if (is_unsaved)
        return is_good;

    entry = find_entry(node, call, &zone, error);
    if (!entry)
        return FALSE;
    if ((change->mask & FS_CHANGE_SIZE) && change->size_bytes != entry->size_bytes)
        return resize_saved(node, call, handle, change, error);
    g_autoptr(LakeLedgerEntry) changed = lake_ledger_entry_copy(entry);
    fs_inbox_apply_change(&changed->attributes, change);
    return store_attributes(node, call, zone, changed, error);
}

static const char *const own_xattrs[] = {
    "user.deeplake.file_id", "user.deeplake.rows", "user.deeplake.kind"};

/* What the ledger knows of a file, readable as attributes of it. */
static char *
with_own_xattrs(const LakeLedgerEntry *entry)
{
    g_autofree char *n_rows = g_strdup_printf("%" G_GINT64_FORMAT, entry->n_rows);
    const char *const values[] = {entry->file_id, n_rows, entry->kind};
    g_autofree char *json = g_strdup(entry->xattrs);

    for (gsize i = 0; i < G_N_ELEMENTS(own_xattrs); i++) {
        g_autofree char *former = json;
        json = fs_xattr_with(former, own_xattrs[i], values[i], strlen(values[i]));
    }
    return g_steal_pointer(&json);
}

/* A copy that brings them along must not fail, but they are not kept. */
static char *
without_own_xattrs(const char *xattrs)
{
    g_autofree char *json = g_strdup(xattrs);

    for (gsize i = 0; i < G_N_ELEMENTS(own_xattrs); i++) {
        g_autofree char *former = json;
        json = fs_xattr_with(former, own_xattrs[i], NULL, 0);
    }
    return g_steal_pointer(&json);
}

static char *
file_xattrs(FsNode *node, FsCall *call, GError **error)
{
    InboxFile *file = (InboxFile *)node;
    g_autofree char *zone = NULL;
    g_autoptr(LakeLedgerEntry) entry = NULL;

    g_mutex_lock(&file->lock);
    gboolean is_unsaved = file->is_unsaved;
    char *xattrs = is_unsaved ? g_strdup(file->xattrs) : NULL;
    g_mutex_unlock(&file->lock);
    if (is_unsaved)
        return xattrs;
    entry = find_entry(node, call, &zone, error);
    return entry ? with_own_xattrs(entry) : NULL;
}

static gboolean
file_set_xattrs(FsNode *node, FsCall *call, const char *xattrs, GError **error)
{
    InboxFile *file = (InboxFile *)node;
    g_autofree char *zone = NULL;
    g_autoptr(LakeLedgerEntry) entry = NULL;

    g_autofree char *kept = without_own_xattrs(xattrs);

    g_mutex_lock(&file->lock);
    gboolean is_unsaved = file->is_unsaved;
    if (is_unsaved) {
        g_free(file->xattrs);
        file->xattrs = g_strdup(kept);
    }
    g_mutex_unlock(&file->lock);
    if (is_unsaved)
        return TRUE;
    entry = find_entry(node, call, &zone, error);
    if (!entry)
        return FALSE;
    g_autoptr(LakeLedgerEntry) changed = lake_ledger_entry_copy(entry);
    g_free(changed->xattrs);
    changed->xattrs = g_strdup(kept);
    return store_attributes(node, call, zone, changed, error);
}

const FsNodeClass fs_node_inbox_file = {
    .name = "inbox-file",
    .size = sizeof(InboxFile),
    .timeout_seconds = FS_CACHE_KERNEL_SECONDS,
    .free = file_free,
    .attributes = file_attributes,
    .change = file_change,
    .open = file_open,
    .write = file_write,
    .flush = file_flush,
    .release = file_release,
    .sync = file_sync,
    .xattrs = file_xattrs,
    .set_xattrs = file_set_xattrs,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* Unsaved bytes of a file in ingest/, and how they become rows. */
#include "fs/node/inbox_commit.h"

#include "core/error.h"
#include "core/fault.h"
#include "fs/cache.h"
#include "fs/caller.h"
#include "fs/failures.h"
#include "fs/freshness.h"
#include "fs/metrics.h"
#include "fs/node/inbox.h"

/* Waiting for another's commit of the same file looks at the cancellable this often. */
#define CANCEL_SLICE_US (50 * G_TIME_SPAN_MILLISECOND)

/* --- unsaved and saved --- */

void
fs_inbox_commit_become_unsaved(FsInboxFile *file, LakeSpool *staged)
{
    LakeSpool *former = file->staged;

    file->staged = lake_spool_ref(staged);
    g_clear_pointer(&former, lake_spool_unref);
    if (!file->is_unsaved) {
        file->is_unsaved = TRUE;
        fs_node_pin(&file->node, TRUE);
    }
}

/* The caller has a reference, so that unpinning frees nothing. */
void
fs_inbox_commit_become_saved(FsInboxFile *file)
{
    g_clear_pointer(&file->staged, lake_spool_unref);
    if (!file->is_unsaved)
        return;
    file->is_unsaved = FALSE;
    fs_node_pin(&file->node, FALSE);
}

void
fs_inbox_file_drop(FsNode *node)
{
    FsInboxFile *file = (FsInboxFile *)node;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&file->lock);

    if (!file->is_unsaved)
        return;
    file->generation++;
    fs_inbox_commit_become_saved(file);
}

gboolean
fs_inbox_file_is_entered(FsNode *node)
{
    FsInboxFile *file = (FsInboxFile *)node;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&file->lock);

    return file->is_entered;
}

void
fs_inbox_commit_note_writer(FsInboxFile *file, const FsCall *call)
{
    if (call->uid != file->node.context->uid)
        file->writer_uid = call->uid;
}

/* --- one at a time --- */

gboolean
fs_inbox_commit_hold(FsInboxFile *file, FsCall *call, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&file->lock);

    while (file->is_held) {
        if (g_cancellable_is_cancelled(call->cancellable)) {
            lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_CANCELLED, "interrupted");
            return FALSE;
        }
        g_cond_wait_until(&file->let_go, &file->lock, g_get_monotonic_time() + CANCEL_SLICE_US);
    }
    file->is_held = TRUE;
    return TRUE;
}

void
fs_inbox_commit_let_go(FsInboxFile *file)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&file->lock);

    file->is_held = FALSE;
    g_cond_broadcast(&file->let_go);
}

static gint
compare_inodes(gconstpointer a, gconstpointer b)
{
    const FsNode *left = *(const FsNode *const *)a;
    const FsNode *right = *(const FsNode *const *)b;

    return (left->inode > right->inode) - (left->inode < right->inode);
}

gboolean
fs_inbox_files_hold(GPtrArray *files, FsCall *call, GError **error)
{
    /* In one order for all, or two renames could wait for each other. */
    g_ptr_array_sort(files, compare_inodes);
    for (guint i = 0; i < files->len; i++)
        if (!fs_inbox_commit_hold(files->pdata[i], call, error)) {
            g_ptr_array_set_size(files, (gint)i);
            fs_inbox_files_let_go(files);
            return FALSE;
        }
    return TRUE;
}

void
fs_inbox_files_let_go(GPtrArray *files)
{
    for (guint i = 0; i < files->len; i++)
        fs_inbox_commit_let_go(files->pdata[i]);
}

LakeFileAttributes
fs_inbox_new_attributes(const FsCall *call, guint32 mode, const LakeFileAttributes *folder)
{
    gboolean has_group = folder && (folder->mode & S_ISGID);

    return (LakeFileAttributes){
        .mode = (mode & (S_IFMT | 07777)) | (has_group && S_ISDIR(mode) ? S_ISGID : 0u),
        .uid = call->uid,
        .gid = has_group ? folder->gid : call->gid,
        .mtime_ns = fs_node_now_ns(),
    };
}

LakeSpool *
fs_inbox_commit_new_spool(FsNode *node)
{
    return lake_spool_new(lake_workspace_spool_dir(node->context->workspace));
}

/* --- committing --- */

static void
fill_ingest(
    FsInboxFile *file, LakeIngestFile *ingest, guint32 *ret_writer_uid, char **ret_xattrs)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&file->lock);

    ingest->attributes = file->attributes;
    *ret_writer_uid = file->writer_uid;
    *ret_xattrs = g_strdup(file->xattrs);
    ingest->xattrs = *ret_xattrs;
}

/* One file into the server; what became of it into cache, jobs and failures. */
static LakeLedgerEntry *
ingest_spool(FsInboxFile *file, FsCall *call, const char *zone, const char *path,
    LakeSpool *content, GError **error)
{
    FsContext *context = file->node.context;
    LakeJobs *jobs = lake_workspace_jobs(context->workspace);
    g_autofree char *xattrs = NULL;
    g_autoptr(GError) failure = NULL;
    g_autoptr(GError) refuses_other_files = NULL;
    guint32 writer_uid;
    LakeIngestFile ingest = {
        .table = zone,
        .path = path,
        .content = content,
        .expectation = fs_cache_expectation(context->cache, zone, path),
        .progress = lake_jobs_progress,
    };

    fill_ingest(file, &ingest, &writer_uid, &xattrs);
    /* Not by who closes it: a release is nobody's, and comes as root. */
    if (!fs_caller_may_name_local_paths(
            writer_uid, context->uid, "coco_panoptic", &refuses_other_files))
        ingest.refuses_other_files = refuses_other_files;
    LakeJob *job = lake_jobs_begin(jobs, zone, path, lake_spool_size(content));
    ingest.progress_data = job;
    g_autoptr(LakeLedgerEntry) entry =
        lake_workspace_ingest(context->workspace, &ingest, call->cancellable, &failure);
    lake_jobs_end(jobs, job, entry, failure);
    fs_metrics_ingest(context->metrics, ingest.kind ? ingest.kind : lake_ingest_kind_name(path),
        lake_spool_size(content), entry, failure);

    if (!entry) {
        fs_failures_refuse(context->failures, zone, path, failure);
        g_propagate_error(error, g_steal_pointer(&failure));
        return NULL;
    }
    fs_cache_put_entry(context->cache, zone, entry);
    fs_cache_note_table(context->cache, zone);
    fs_failures_forgive(context->failures, zone, path);
    fs_context_note_ingest(context, zone);
    fs_freshness_table_touched(context, zone);
    fs_freshness_wait(context); /* rows that were there before */
    return g_steal_pointer(&entry);
}

gboolean
fs_inbox_commit_attributes(
    FsNode *node, FsCall *call, const char *zone, LakeLedgerEntry *entry, GError **error)
{
    if (!fs_call_may_block(call) ||
        !lake_ledger_set_attributes(lake_workspace_catalog(node->context->workspace), zone,
            entry->path, &entry->attributes, entry->xattrs, call->cancellable, error))
        return FALSE;
    fs_cache_put_entry(node->context->cache, zone, entry);
    return TRUE;
}

/* What chmod and such set while the rows were on their way, as an entry; NULL: nothing. With
 * the file's lock held. */
static LakeLedgerEntry *
late_changes(const FsInboxFile *file, const LakeLedgerEntry *entry)
{
    const LakeFileAttributes *now = &file->attributes;
    LakeLedgerEntry *changed;

    if (now->mode == entry->attributes.mode && now->uid == entry->attributes.uid &&
        now->gid == entry->attributes.gid && now->mtime_ns == entry->attributes.mtime_ns &&
        g_strcmp0(file->xattrs, entry->xattrs) == 0)
        return NULL;
    changed = lake_ledger_entry_copy(entry);
    changed->attributes = *now;
    g_free(changed->xattrs);
    changed->xattrs = g_strdup(file->xattrs);
    return changed;
}

/* The file is saved once the ledger has its attributes, or a stat in between would show those
 * from before. It stays unsaved where bytes were written after `version`. */
static gboolean
settle(FsInboxFile *file, FsCall *call, const char *zone, LakeLedgerEntry *committed,
    const LakeSpool *content, guint64 version, GError **error)
{
    g_autoptr(LakeLedgerEntry) entry = lake_ledger_entry_ref(committed);
    gboolean is_good = TRUE;

    for (;;) {
        g_mutex_lock(&file->lock);
        gboolean is_newest = file->staged == content && file->version == version;
        g_autoptr(LakeLedgerEntry) changed =
            is_newest && is_good ? late_changes(file, entry) : NULL;
        if (is_newest && !changed)
            fs_inbox_commit_become_saved(file);
        g_mutex_unlock(&file->lock);
        if (!changed)
            return is_good;

        is_good = fs_inbox_commit_attributes(&file->node, call, zone, changed, error);
        lake_ledger_entry_unref(entry);
        entry = g_steal_pointer(&changed);
    }
}

gboolean
fs_inbox_commit_spool(FsInboxFile *file, FsCall *call, const char *zone, const char *path,
    LakeSpool *content, GError **error)
{
    g_autoptr(LakeLedgerEntry) entry = NULL;
    guint64 version;

    g_mutex_lock(&file->lock);
    version = file->version;
    g_mutex_unlock(&file->lock);
    entry = ingest_spool(file, call, zone, path, content, error);
    if (!entry)
        return FALSE;
    g_mutex_lock(&file->lock);
    file->is_rewritten = TRUE;
    file->is_entered = TRUE;
    g_mutex_unlock(&file->lock);
    (void)lake_fault("inbox-before-reply");
    return settle(file, call, zone, entry, content, version, error);
}

gboolean
fs_inbox_file_commit(
    FsNode *node, FsCall *call, const char *zone, const char *path, GError **error)
{
    FsInboxFile *file = (FsInboxFile *)node;
    g_autoptr(LakeSpool) content = NULL;

    g_mutex_lock(&file->lock);
    content = file->staged ? lake_spool_ref(file->staged) : NULL;
    fs_inbox_commit_note_writer(file, call); /* who renames it makes rows of it */
    g_mutex_unlock(&file->lock);
    return !content || fs_inbox_commit_spool(file, call, zone, path, content, error);
}

/* A handle's bytes, the file being held. TRUE without doing anything when the name is
 * temporary, the file is gone, or another handle emptied or wrote it later: that one's bytes
 * count. */
static gboolean
commit_held(FsHandle *handle, FsCall *call, GError **error)
{
    FsInboxFile *file = (FsInboxFile *)handle->node;
    g_autofree char *zone = NULL;
    g_autofree char *path = NULL;
    gboolean counts;

    g_mutex_lock(&file->lock);
    counts = handle->generation == file->generation && file->staged == handle->staged;
    g_mutex_unlock(&file->lock);
    if (!counts || !fs_inbox_locate(handle->node, &zone, &path, NULL) ||
        lake_ingest_is_temporary(path))
        return TRUE;
    return fs_inbox_commit_spool(file, call, zone, path, handle->staged, error);
}

gboolean
fs_inbox_commit_handle(FsHandle *handle, FsCall *call, GError **error)
{
    FsInboxFile *file = (FsInboxFile *)handle->node;
    gboolean is_good;

    if (!fs_inbox_commit_hold(file, call, error))
        return FALSE;
    is_good = commit_held(handle, call, error);
    fs_inbox_commit_let_go(file);
    return is_good;
}

/* With the file's lock held. */
static gboolean
cut_staged(FsInboxFile *file, const FsChange *change, GError **error)
{
    if (!lake_spool_truncate(file->staged, change->size_bytes, error))
        return FALSE;
    file->version++;
    file->attributes.mtime_ns = fs_node_now_ns();
    fs_inbox_apply_change(&file->attributes, change);
    return TRUE;
}

static gboolean
resize_held(FsInboxFile *file, FsCall *call, const FsChange *change, gboolean *ret_is_done,
    GError **error)
{
    g_autofree char *zone = NULL;
    g_autofree char *path = NULL;
    g_autoptr(LakeSpool) content = NULL;
    gboolean is_good = TRUE;

    g_mutex_lock(&file->lock);
    if (file->is_unsaved) {
        content = lake_spool_ref(file->staged);
        fs_inbox_commit_note_writer(file, call);
        is_good = cut_staged(file, change, error);
    }
    g_mutex_unlock(&file->lock);
    *ret_is_done = content != NULL;
    if (!content || !is_good)
        return is_good;
    if (!fs_inbox_locate(&file->node, &zone, &path, NULL) || lake_ingest_is_temporary(path))
        return TRUE;
    return fs_inbox_commit_spool(file, call, zone, path, content, error);
}

gboolean
fs_inbox_commit_resize(FsInboxFile *file, FsCall *call, const FsChange *change,
    gboolean *ret_is_done, GError **error)
{
    gboolean is_good;

    *ret_is_done = FALSE;
    if (!fs_inbox_file_is_unsaved(&file->node))
        return TRUE;
    if (!fs_call_may_block(call) || !fs_inbox_commit_hold(file, call, error))
        return FALSE;
    is_good = resize_held(file, call, change, ret_is_done, error);
    fs_inbox_commit_let_go(file);
    return is_good;
}

/* --- entries of files that are renamed before they are saved --- */

gboolean
fs_inbox_commit_forget_entry(FsContext *context, FsCall *call, const char *zone,
    const char *path, gboolean was_entered, GError **error)
{
    LakeIngestExpectation expectation = fs_cache_expectation(context->cache, zone, path);
    g_autoptr(GError) failure = NULL;

    /* rsync's temporary files cost nothing here. What once had a final name has an entry. */
    if (expectation == LAKE_INGEST_NEW ||
        (expectation == LAKE_INGEST_UNKNOWN && !was_entered && lake_ingest_is_temporary(path)))
        return TRUE;
    if (!lake_ledger_remove_file(lake_workspace_catalog(context->workspace), zone, path,
            call->cancellable, &failure) &&
        !g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return FALSE;
    }
    fs_cache_remove_entry(context->cache, zone, path);
    return TRUE;
}

gboolean
fs_inbox_commit_move_entry(FsContext *context, FsCall *call, const char *zone, const char *path,
    const char *new_path, GError **error)
{
    LakeCatalog *catalog = lake_workspace_catalog(context->workspace);
    g_autoptr(LakeLedgerEntry) entry = NULL;
    g_autoptr(LakeLedgerEntry) replaced = NULL;
    gboolean is_good;

    if (!fs_cache_find_entry(context->cache, call, zone, path, &entry, error) ||
        !fs_cache_find_entry(context->cache, call, zone, new_path, &replaced, error))
        return FALSE;
    if (!entry && !replaced)
        return TRUE;
    is_good = entry
                  ? lake_ledger_rename(catalog, zone, path, new_path, call->cancellable, error)
                  : lake_ledger_remove_file(catalog, zone, new_path, call->cancellable, error);
    fs_cache_forget_zone(context->cache, zone);
    return is_good;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "core/error.h"
#include "fs/cache.h"
#include "fs/caller.h"
#include "fs/failures.h"
#include "fs/name.h"
#include "fs/node/inbox.h"
#include "fs/node/inbox_commit.h"
#include "fs/node/inbox_saved.h"
#include "fs/xattr.h"
#include <fcntl.h>
#include <string.h>

static void
file_free(FsNode *node)
{
    FsInboxFile *file = (FsInboxFile *)node;

    g_clear_pointer(&file->staged, lake_spool_unref);
    g_clear_pointer(&file->open_bytes, lake_spool_unref);
    g_free(file->xattrs);
    g_cond_clear(&file->let_go);
    g_mutex_clear(&file->lock);
}

/* Someone reads the former bytes from the page cache: the next reader gets a node of its own.
 * Not while there are writers: the bytes of a node without a place go nowhere. Takes known. */
static FsNode *
leave_to_reader(FsNode *folder, const char *name, FsNode *known)
{
    FsInboxFile *file = (FsInboxFile *)known;
    FsNode *next = NULL;
    gint64 last_size;

    g_mutex_lock(&file->lock);
    gboolean stays = file->is_unsaved || file->n_writers > 0;
    if (!stays)
        next = fs_node_idle_child(folder, name, &last_size);
    g_mutex_unlock(&file->lock);
    if (stays)
        return known;
    fs_node_unref(known);
    return next;
}

FsNode *
fs_inbox_file_child(FsNode *folder, const char *name)
{
    FsNode *known = fs_node_child(folder, name);

    if (known && known->class == &fs_node_inbox_file)
        known = leave_to_reader(folder, name, known);
    if (known && known->class == &fs_node_inbox_file)
        return known;
    fs_node_unref(known);

    FsNode *made = fs_node_new(&fs_node_inbox_file, folder->context);
    g_mutex_init(&((FsInboxFile *)made)->lock);
    g_cond_init(&((FsInboxFile *)made)->let_go);
    return fs_node_adopt(folder, name, made);
}

gboolean
fs_inbox_file_is_unsaved(FsNode *node)
{
    FsInboxFile *file = (FsInboxFile *)node;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&file->lock);

    return file->is_unsaved;
}

/* --- opening --- */

/* With the file's lock held. */
static void
add_writer(FsInboxFile *file, FsHandle *handle)
{
    handle->is_direct = TRUE; /* two to seven times faster than through the page cache */
    file->n_writers++;
    handle->generation = file->generation;
    g_clear_pointer(&file->open_bytes, lake_spool_unref);
    file->open_bytes = lake_spool_ref(handle->staged);
}

/* With the file's lock held: call begins bytes that are first_uid's so far. n_own: of the
 * writers that are counted, those that are the call itself. */
static void
begin_bytes(FsInboxFile *file, const FsCall *call, guint32 first_uid, guint n_own)
{
    if (file->n_writers <= n_own)
        file->writer_uid = first_uid;
    fs_inbox_commit_note_writer(file, call);
}

FsHandle *
fs_inbox_file_create(
    FsNode *node, FsCall *call, const LakeFileAttributes *attributes, int flags)
{
    FsInboxFile *file = (FsInboxFile *)node;
    FsHandle *handle = fs_handle_new(node, call, flags);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&file->lock);

    handle->staged = fs_inbox_commit_new_spool(node);
    handle->content = lake_spool_ref(handle->staged);
    handle->is_empty_start = TRUE;
    file->attributes = *attributes;
    g_clear_pointer(&file->xattrs, g_free);
    file->is_entered = FALSE;
    begin_bytes(file, call, call->uid, 0);
    fs_inbox_commit_become_unsaved(file, handle->staged);
    add_writer(file, handle);
    return handle;
}

/* With the file's lock held. */
static void
remove_writer(FsInboxFile *file)
{
    if (--file->n_writers == 0)
        g_clear_pointer(&file->open_bytes, lake_spool_unref);
}

static void
forget_writer(FsInboxFile *file)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&file->lock);

    remove_writer(file);
}

static FsHandle *
open_saved_for_reading(FsNode *node, FsCall *call, int flags, GError **error)
{
    FsInboxFile *file = (FsInboxFile *)node;
    g_autofree char *zone = NULL;
    g_autoptr(LakeLedgerEntry) entry = fs_inbox_saved_find(node, call, &zone, error);
    g_autoptr(LakeSpool) content =
        entry ? fs_inbox_saved_restore(node, call, zone, &entry, error) : NULL;
    FsHandle *handle;

    if (!content)
        return NULL;
    g_mutex_lock(&file->lock);
    if (!file->is_unsaved && file->n_writers == 0) {
        file->attributes = entry->attributes;
        file->is_rewritten = FALSE;
    }
    g_mutex_unlock(&file->lock);
    handle = fs_handle_new(node, call, flags);
    fs_handle_set_result(handle, content);
    return handle;
}

/* What a writer of a saved file begins with. Without O_TRUNC that is what others are writing
 * to, if any are: two that append to one file must not each have a copy. */
static FsHandle *
join_writers(
    FsNode *node, FsCall *call, int flags, const LakeLedgerEntry *entry, LakeSpool *staged)
{
    FsInboxFile *file = (FsInboxFile *)node;
    FsHandle *handle = fs_handle_new(node, call, flags);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&file->lock);

    handle->is_empty_start = (flags & O_TRUNC) != 0;
    if (file->open_bytes && !handle->is_empty_start)
        staged = file->open_bytes;
    handle->staged = lake_spool_ref(staged);
    handle->content = lake_spool_ref(staged);
    begin_bytes(file, call, handle->is_empty_start ? call->uid : entry->attributes.uid, 1);
    if (!file->is_unsaved && !file->open_bytes) {
        file->attributes = entry->attributes;
        file->is_entered = TRUE;
        g_free(file->xattrs);
        file->xattrs = g_strdup(entry->xattrs);
    }
    if (handle->is_empty_start) {
        file->attributes.mtime_ns = fs_node_now_ns();
        fs_inbox_commit_become_unsaved(file, staged);
    }
    add_writer(file, handle);
    return handle;
}

static FsHandle *
open_saved_for_writing(FsNode *node, FsCall *call, int flags, GError **error)
{
    g_autofree char *zone = NULL;
    g_autoptr(LakeLedgerEntry) entry = fs_inbox_saved_find(node, call, &zone, error);
    g_autoptr(LakeSpool) staged = NULL;

    if (!entry)
        return NULL;
    staged = (flags & O_TRUNC) ? fs_inbox_commit_new_spool(node)
                               : fs_inbox_saved_restore(node, call, zone, &entry, error);
    if (staged)
        return join_writers(node, call, flags, entry, staged);
    if (error && *error)
        lake_error_hint(*error, "it cannot be changed in place; copy the whole file again");
    return NULL;
}

/* Readers of unsaved bytes see them as they are; writers without O_TRUNC go on with them. */
static FsHandle *
open_unsaved(FsInboxFile *file, FsCall *call, int flags)
{
    FsHandle *handle = fs_handle_new(&file->node, call, flags);

    if (fs_handle_can_write(handle)) {
        handle->is_empty_start = (flags & O_TRUNC) != 0;
        handle->staged = handle->is_empty_start ? fs_inbox_commit_new_spool(&file->node)
                                                : lake_spool_ref(file->staged);
        if (handle->is_empty_start)
            begin_bytes(file, call, call->uid, 0);
        fs_inbox_commit_become_unsaved(file, handle->staged);
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
    FsInboxFile *file = (FsInboxFile *)node;
    gboolean is_writing = (flags & O_ACCMODE) != O_RDONLY;

    g_mutex_lock(&file->lock);
    FsHandle *handle = file->is_unsaved ? open_unsaved(file, call, flags) : NULL;
    /* Counted from here on, so that the node keeps its place while the bytes are fetched. */
    if (!handle && is_writing)
        file->n_writers++;
    g_mutex_unlock(&file->lock);
    if (handle)
        return handle;
    if (!is_writing)
        return open_saved_for_reading(node, call, flags, error);

    handle = open_saved_for_writing(node, call, flags, error);
    forget_writer(file);
    return handle;
}

/* --- writing and closing --- */

/* Who writes a file does not lend it to the rights of its owner; root means what it does. */
static void
drop_privileges(FsInboxFile *file, const FsCall *call)
{
    if (call->uid != 0)
        file->attributes.mode &= ~(guint32)(S_ISUID | S_ISGID);
}

static gboolean
file_write(FsHandle *handle, FsCall *call, gint64 offset, const void *data, gsize n_bytes,
    GError **error)
{
    FsInboxFile *file = (FsInboxFile *)handle->node;

    g_autoptr(GError) failure = NULL;
    /* The kernel may not know yet how long the file has become. */
    gboolean is_good = (handle->flags & O_APPEND)
                           ? lake_spool_append(handle->staged, data, n_bytes, &failure)
                           : lake_spool_write(handle->staged, offset, data, n_bytes, &failure);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&file->lock);

    file->version++;
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
        fs_inbox_commit_note_writer(file, call);
        drop_privileges(file, call);
        fs_inbox_commit_become_unsaved(file, handle->staged);
    }
    return TRUE;
}

/* After a verdict of no, the name is at once what it was before: whoever comes next creates it
 * anew. Not where others write the same bytes, whose verdict is still to come, and not what has
 * a temporary name: who was killed may be run again, and go on with it. */
static void
give_up(FsHandle *handle)
{
    FsInboxFile *file = (FsInboxFile *)handle->node;
    g_autofree char *zone = NULL;
    g_autofree char *path = NULL;

    if (fs_inbox_locate(handle->node, &zone, &path, NULL) && lake_ingest_is_temporary(path))
        return;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&file->lock);
    if (file->n_writers == 1 && file->staged == handle->staged && !handle->is_dirty)
        fs_inbox_commit_become_saved(file);
}

/* The bytes of a copy that was not finished: its writer was killed, or a write failed. */
static gboolean
refuse_unfinished(FsHandle *handle, GError *reason, GError **error)
{
    FsInboxFile *file = (FsInboxFile *)handle->node;
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

/* Nothing was written, which no file of this kind can be, and who opened it is done: `cp
 * empty.jpg` has closed its only descriptor, where the shell of `cmd > a.jpg` still has
 * another. */
static gboolean
is_empty_copy(const FsHandle *handle)
{
    g_autofree char *zone = NULL;
    g_autofree char *path = NULL;

    if (!handle->is_empty_start || handle->has_written ||
        !fs_inbox_locate(handle->node, &zone, &path, NULL) || lake_ingest_takes_empty(path) ||
        lake_ingest_is_temporary(path))
        return FALSE;
    g_autofree char *folder = fs_name_from_table(zone);
    g_autofree char *path_end = g_strdup_printf("/ingest/%s/%s", folder, path);
    return !fs_caller_has_open(handle->opener, path_end);
}

static gboolean
file_flush(FsHandle *handle, FsCall *call, GError **error)
{
    FsInboxFile *file = (FsInboxFile *)handle->node;
    gboolean has_news = handle->is_dirty || (handle->is_empty_start && !handle->has_written);
    GError *reason;

    if (!handle->staged || (!has_news && !handle->write_error))
        return TRUE;
    /* A later one only marks: `( a; b ) > f` must not be ingested once a line. */
    gboolean is_verdict = handle->n_flushed == 0 && (handle->is_dirty || is_empty_copy(handle));
    if (is_verdict && !fs_call_may_block(call))
        return FALSE;
    reason = why_unfinished(handle, call);
    if (reason)
        return refuse_unfinished(handle, reason, error);
    if (!is_verdict)
        return TRUE;

    g_mutex_lock(&file->lock);
    handle->is_dirty = FALSE;
    handle->is_empty_start = FALSE;
    handle->n_flushed++;
    g_mutex_unlock(&file->lock);
    if (fs_inbox_commit_handle(handle, call, error))
        return TRUE;
    give_up(handle);
    return FALSE;
}

/* After the last writer of a file without a temporary name, nothing stays unsaved. */
static void
leave_writer(FsHandle *handle)
{
    FsInboxFile *file = (FsInboxFile *)handle->node;
    g_autofree char *zone = NULL;
    g_autofree char *path = NULL;
    gboolean stays =
        fs_inbox_locate(handle->node, &zone, &path, NULL) && lake_ingest_is_temporary(path);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&file->lock);

    remove_writer(file);
    if (file->n_writers == 0 && !stays)
        fs_inbox_commit_become_saved(file);
}

static gboolean
file_release(FsHandle *handle, FsCall *call, GError **error)
{
    FsInboxFile *file = (FsInboxFile *)handle->node;
    gboolean must_commit;
    gboolean is_good;

    if (!handle->staged)
        return TRUE;
    g_mutex_lock(&file->lock);
    must_commit = handle->generation == file->generation && !handle->write_error &&
                  file->staged == handle->staged &&
                  (handle->is_dirty || (handle->is_empty_start && !handle->has_written));
    g_mutex_unlock(&file->lock);
    if (must_commit && !fs_call_may_block(call))
        return FALSE;

    g_mutex_lock(&file->lock);
    handle->is_dirty = FALSE;
    g_mutex_unlock(&file->lock);
    is_good = !must_commit || fs_inbox_commit_handle(handle, call, error);
    leave_writer(handle);
    return is_good;
}

/* Whether the handle's bytes are to be ingested; they count as ingested from here on. */
static gboolean
take_for_sync(FsHandle *handle)
{
    FsInboxFile *file = (FsInboxFile *)handle->node;
    g_autofree char *zone = NULL;
    g_autofree char *path = NULL;

    if (!handle->staged || !fs_inbox_locate(handle->node, &zone, &path, NULL) ||
        lake_ingest_is_temporary(path))
        return FALSE;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&file->lock);
    gboolean must_commit = handle->is_dirty || (handle->is_empty_start && !handle->has_written);
    handle->is_dirty = FALSE;
    handle->is_empty_start = FALSE;
    return must_commit;
}

/* What was written becomes rows now: they must survive a power failure from here on. */
static gboolean
file_sync(FsHandle *handle, FsCall *call, GError **error)
{
    FsInboxFile *file = (FsInboxFile *)handle->node;

    if (!fs_call_may_block(call))
        return FALSE;
    if (handle->write_error)
        return refuse_unfinished(handle, g_error_copy(handle->write_error), error);
    if (take_for_sync(handle) && !fs_inbox_commit_handle(handle, call, error)) {
        /* The close tries again, and says so to those who do not look at fsync. */
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&file->lock);
        handle->is_dirty = TRUE;
        return FALSE;
    }
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

/* The size of the bytes that are being read, when they are not the file's any more; else -1. */
static gint64
size_for_reader(FsInboxFile *file, gboolean is_placed)
{
    FsNode *node = &file->node;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&node->context->tree_lock);

    /* Others may have changed a file that is in its place: who opens it next gets another node,
     * once the kernel has asked for the name. What was written here is this node's. */
    return !is_placed || (node->n_results > 0 && !file->is_rewritten) ? node->result_size : -1;
}

/* Of unsaved bytes, and of a file that was removed or replaced while it is open: fstat() works
 * on. */
static gboolean
attributes_at_hand(FsInboxFile *file, struct stat *ret_status)
{
    FsNode *node = &file->node;
    gboolean is_placed = fs_node_is_placed(node);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&file->lock);
    LakeSpool *bytes = file->is_unsaved ? file->staged : is_placed ? NULL : file->open_bytes;
    gint64 size_bytes = bytes ? lake_spool_size(bytes) : size_for_reader(file, is_placed);

    if (size_bytes >= 0)
        fs_inbox_fill_status(node, &file->attributes, size_bytes, ret_status);
    return size_bytes >= 0;
}

static gboolean
file_attributes(FsNode *node, FsCall *call, struct stat *ret_status, GError **error)
{
    FsInboxFile *file = (FsInboxFile *)node;
    g_autofree char *zone = NULL;
    g_autoptr(LakeLedgerEntry) entry = NULL;

    if (attributes_at_hand(file, ret_status))
        return TRUE;
    entry = fs_inbox_saved_find(node, call, &zone, error);
    if (!entry)
        return FALSE;
    fs_inbox_fill_status(node, &entry->attributes, entry->size_bytes, ret_status);
    return TRUE;
}

/* With the file's lock held, of a file that is unsaved, or removed and open for writing. */
static gboolean
change_staged(FsInboxFile *file, FsHandle *handle, const FsChange *change, GError **error)
{
    LakeSpool *bytes = handle && handle->staged ? handle->staged
                       : file->staged           ? file->staged
                                                : file->open_bytes;

    if (change->mask & FS_CHANGE_SIZE) {
        if (!lake_spool_truncate(bytes, change->size_bytes, error))
            return FALSE;
        file->attributes.mtime_ns = fs_node_now_ns();
        /* ftruncate counts as writing: rsync --inplace ends with one. */
        if (handle && handle->staged) {
            handle->is_dirty = TRUE;
            handle->has_written = TRUE;
            file->version++;
            if (file->is_unsaved && handle->generation == file->generation)
                fs_inbox_commit_become_unsaved(file, bytes);
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
    FsInboxFile *file = (FsInboxFile *)node;
    g_autoptr(LakeSpool) content = NULL;
    g_autofree char *zone = NULL;
    g_autoptr(LakeLedgerEntry) entry = fs_inbox_saved_find(node, call, &zone, error);

    if (!entry || !fs_call_may_block(call))
        return FALSE;
    g_mutex_lock(&file->lock);
    if (handle && handle->staged)
        content = lake_spool_ref(handle->staged);
    else if (file->open_bytes)
        content = lake_spool_ref(file->open_bytes);
    g_mutex_unlock(&file->lock);
    if (!content)
        content = change->size_bytes == 0
                      ? fs_inbox_commit_new_spool(node)
                      : fs_inbox_saved_restore(node, call, zone, &entry, error);
    if (!content || !lake_spool_truncate(content, change->size_bytes, error))
        return FALSE;

    g_mutex_lock(&file->lock);
    file->attributes = entry->attributes;
    file->attributes.mtime_ns = fs_node_now_ns();
    fs_inbox_apply_change(&file->attributes, change);
    begin_bytes(file, call, entry->attributes.uid, 0);
    g_free(file->xattrs);
    file->xattrs = g_strdup(entry->xattrs);
    if (handle && handle->staged) {
        handle->is_dirty = TRUE;
        handle->has_written = TRUE;
        fs_inbox_commit_become_unsaved(file, content);
    }
    g_mutex_unlock(&file->lock);
    if (handle && handle->staged)
        return TRUE;
    if (!fs_inbox_commit_hold(file, call, error))
        return FALSE;
    gboolean is_good = fs_inbox_commit_spool(file, call, zone, entry->path, content, error);
    fs_inbox_commit_let_go(file);
    return is_good;
}

/* A writer that is still there takes them along with its next bytes. */
static void
remember_stored(FsInboxFile *file, const LakeLedgerEntry *entry)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&file->lock);

    if (file->is_unsaved)
        return;
    file->attributes = entry->attributes;
    g_free(file->xattrs);
    file->xattrs = g_strdup(entry->xattrs);
}

static gboolean
file_change(
    FsNode *node, FsCall *call, FsHandle *handle, const FsChange *change, GError **error)
{
    FsInboxFile *file = (FsInboxFile *)node;
    g_autofree char *zone = NULL;
    g_autoptr(LakeLedgerEntry) entry = NULL;
    gboolean is_placed = fs_node_is_placed(node);
    gboolean is_good = FALSE;
    gboolean is_done = FALSE;

    if ((change->mask & FS_CHANGE_SIZE) && !handle &&
        !fs_inbox_commit_resize(file, call, change, &is_done, error))
        return FALSE;
    if (is_done)
        return TRUE;

    g_mutex_lock(&file->lock);
    gboolean is_staged = file->is_unsaved || (!is_placed && file->open_bytes);
    if (is_staged)
        is_good = change_staged(file, handle, change, error);
    g_mutex_unlock(&file->lock);
    if (is_staged)
        return is_good;

    entry = fs_inbox_saved_find(node, call, &zone, error);
    if (!entry)
        return FALSE;
    if ((change->mask & FS_CHANGE_SIZE) && change->size_bytes != entry->size_bytes)
        return resize_saved(node, call, handle, change, error);
    g_autoptr(LakeLedgerEntry) changed = lake_ledger_entry_copy(entry);
    fs_inbox_apply_change(&changed->attributes, change);
    if (!fs_inbox_commit_attributes(node, call, zone, changed, error))
        return FALSE;
    remember_stored(file, changed);
    return TRUE;
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
    FsInboxFile *file = (FsInboxFile *)node;
    g_autofree char *zone = NULL;
    g_autoptr(LakeLedgerEntry) entry = NULL;

    g_mutex_lock(&file->lock);
    gboolean is_unsaved = file->is_unsaved;
    char *xattrs = is_unsaved ? g_strdup(file->xattrs) : NULL;
    g_mutex_unlock(&file->lock);
    if (is_unsaved)
        return xattrs;
    entry = fs_inbox_saved_find(node, call, &zone, error);
    return entry ? with_own_xattrs(entry) : NULL;
}

static gboolean
file_set_xattrs(FsNode *node, FsCall *call, const char *xattrs, GError **error)
{
    FsInboxFile *file = (FsInboxFile *)node;
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
    entry = fs_inbox_saved_find(node, call, &zone, error);
    if (!entry)
        return FALSE;
    g_autoptr(LakeLedgerEntry) changed = lake_ledger_entry_copy(entry);
    g_free(changed->xattrs);
    changed->xattrs = g_strdup(kept);
    if (!fs_inbox_commit_attributes(node, call, zone, changed, error))
        return FALSE;
    remember_stored(file, changed);
    return TRUE;
}

const FsNodeClass fs_node_inbox_file = {
    .name = "inbox-file",
    .size = sizeof(FsInboxFile),
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

/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/node.h"

#include "core/error.h"
#include "fs/cache.h"
#include "fs/failures.h"
#include "fs/metrics.h"
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_BYTES (1024 * 1024) /* what makes cp write a megabyte at a time */

gint64
fs_node_now_ns(void)
{
    return g_get_real_time() * 1000;
}

FsContext *
fs_context_new(LakeWorkspace *workspace)
{
    const LakeConfig *config = lake_workspace_config(workspace);
    FsContext *context = g_new0(FsContext, 1);

    context->workspace = workspace;
    context->cache = fs_cache_new(lake_workspace_catalog(workspace));
    context->failures = fs_failures_new();
    context->metrics = fs_metrics_new();
    context->uid = geteuid();
    context->gid = config->gid < 0 ? getegid() : (guint32)config->gid;
    context->umask = (guint32)config->umask;
    context->started_ns = fs_node_now_ns();
    context->next_inode = 1;
    context->ingest_times = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_mutex_init(&context->tree_lock);
    g_mutex_init(&context->times_lock);
    return context;
}

void
fs_context_free(FsContext *context)
{
    fs_cache_free(context->cache);
    fs_failures_free(context->failures);
    fs_metrics_free(context->metrics);
    g_hash_table_unref(context->ingest_times);
    g_mutex_clear(&context->tree_lock);
    g_mutex_clear(&context->times_lock);
    g_free(context);
}

gint64
fs_context_ingest_time(FsContext *context, const char *table)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&context->times_lock);
    const gint64 *time = g_hash_table_lookup(context->ingest_times, table);

    return time ? *time : 0;
}

void
fs_context_note_ingest(FsContext *context, const char *table)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&context->times_lock);
    gint64 *time = g_hash_table_lookup(context->ingest_times, table);

    if (!time) {
        time = g_new(gint64, 1);
        g_hash_table_insert(context->ingest_times, g_strdup(table), time);
    }
    *time = fs_node_now_ns();
}

void
fs_listed_free(FsListed *listed)
{
    g_free(listed->name);
    lake_ledger_entry_unref(listed->entry);
    g_clear_error(&listed->failure);
    g_free(listed);
}

FsListed *
fs_listed_new(const char *name, gboolean is_folder)
{
    FsListed *listed = g_new0(FsListed, 1);

    listed->name = g_strdup(name);
    listed->is_folder = is_folder;
    return listed;
}

FsNode *
fs_node_new(const FsNodeClass *class, FsContext *context)
{
    FsNode *node = g_malloc0(class->size);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&context->tree_lock);

    node->class = class;
    node->context = context;
    node->inode = context->next_inode++;
    node->result_size = -1;
    g_atomic_ref_count_init(&node->n_references);
    return node;
}

FsNode *
fs_node_ref(FsNode *node)
{
    g_atomic_ref_count_inc(&node->n_references);
    return node;
}

/* With the tree lock held; caller frees. */
static char *
path_of(const FsNode *node, const FsNode *ancestor)
{
    GString *path = g_string_new(NULL);
    const FsNode *at = node;

    for (; at != ancestor && at->parent; at = at->parent) {
        if (path->len > 0)
            g_string_prepend_c(path, '/');
        g_string_prepend(path, at->name);
    }
    if (!ancestor && at->former_path) {
        if (path->len > 0)
            g_string_prepend_c(path, '/');
        g_string_prepend(path, at->former_path);
    }
    return g_string_free(path, FALSE);
}

/* With the tree lock held. Its parent's reference is the caller's from here on. */
static FsNode *
leave_parent(FsNode *node)
{
    FsNode *parent = node->parent;

    if (parent && g_hash_table_lookup(parent->children, node->name) == node)
        g_hash_table_remove(parent->children, node->name);
    node->parent = NULL;
    return parent;
}

/* As that, of a node that lives on. */
static FsNode *
take_from_parent(FsNode *node)
{
    if (node->parent)
        node->former_path = path_of(node, NULL);
    return leave_parent(node);
}

/* The last reference may go while another thread finds the node among the children; so it goes
 * under the tree lock, and from the children at the same time. */
void
fs_node_unref(FsNode *node)
{
    while (node) {
        FsContext *context = node->context;
        FsNode *parent;

        g_mutex_lock(&context->tree_lock);
        if (!g_atomic_ref_count_dec(&node->n_references)) {
            g_mutex_unlock(&context->tree_lock);
            return;
        }
        parent = leave_parent(node);
        g_mutex_unlock(&context->tree_lock);

        if (node->class->free)
            node->class->free(node);
        g_clear_pointer(&node->children, g_hash_table_unref);
        g_free(node->name);
        g_free(node->former_path);
        g_free(node);
        node = parent;
    }
}

/* With the tree lock held. */
static void
place(FsNode *folder, const char *name, FsNode *node)
{
    if (!folder->children)
        folder->children = g_hash_table_new(g_str_hash, g_str_equal);
    node->parent = fs_node_ref(folder);
    g_free(node->name);
    node->name = g_strdup(name);
    g_clear_pointer(&node->former_path, g_free);
    g_hash_table_insert(folder->children, node->name, node);
}

/* With the tree lock held. */
static FsNode *
find_child(FsNode *folder, const char *name)
{
    return folder->children ? g_hash_table_lookup(folder->children, name) : NULL;
}

FsNode *
fs_node_child(FsNode *folder, const char *name)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&folder->context->tree_lock);
    FsNode *child = find_child(folder, name);

    return child ? fs_node_ref(child) : NULL;
}

FsNode *
fs_node_idle_child(FsNode *folder, const char *name, gint64 *ret_size)
{
    FsNode *former_parent = NULL;
    FsNode *child;

    g_mutex_lock(&folder->context->tree_lock);
    child = find_child(folder, name);
    *ret_size = child ? child->result_size : -1;
    if (child && child->n_results > 0) {
        former_parent = take_from_parent(child);
        child = NULL;
    }
    if (child)
        fs_node_ref(child);
    g_mutex_unlock(&folder->context->tree_lock);
    fs_node_unref(former_parent);
    return child;
}

FsNode *
fs_node_adopt(FsNode *folder, const char *name, FsNode *made)
{
    FsNode *former_parent = NULL;
    FsNode *child;

    g_mutex_lock(&folder->context->tree_lock);
    child = find_child(folder, name);
    if (child && child->class != made->class) {
        former_parent = take_from_parent(child);
        child = NULL;
    }
    if (child) {
        fs_node_ref(child);
    } else {
        place(folder, name, made);
        child = fs_node_ref(made);
    }
    g_mutex_unlock(&folder->context->tree_lock);
    fs_node_unref(former_parent);
    fs_node_unref(made);
    return child;
}

void
fs_node_detach(FsNode *folder, const char *name)
{
    FsNode *former_parent = NULL;
    FsNode *child;

    g_mutex_lock(&folder->context->tree_lock);
    child = find_child(folder, name);
    if (child)
        former_parent = take_from_parent(child);
    g_mutex_unlock(&folder->context->tree_lock);
    fs_node_unref(former_parent);
}

void
fs_node_move(FsNode *folder, const char *name, FsNode *new_folder, const char *new_name)
{
    FsNode *former_parents[2] = {NULL, NULL};
    FsNode *child;
    FsNode *replaced;

    g_mutex_lock(&folder->context->tree_lock);
    child = find_child(folder, name);
    replaced = find_child(new_folder, new_name);
    if (replaced && replaced != child)
        former_parents[0] = take_from_parent(replaced);
    if (child) {
        former_parents[1] = take_from_parent(child);
        place(new_folder, new_name, child);
    }
    g_mutex_unlock(&folder->context->tree_lock);
    fs_node_unref(former_parents[0]);
    fs_node_unref(former_parents[1]);
}

void
fs_node_pin(FsNode *node, gboolean is_pinned)
{
    gboolean changes;

    g_mutex_lock(&node->context->tree_lock);
    changes = node->is_pinned != is_pinned;
    node->is_pinned = is_pinned;
    if (changes && is_pinned)
        fs_node_ref(node);
    g_mutex_unlock(&node->context->tree_lock);
    if (changes && !is_pinned)
        fs_node_unref(node);
}

GPtrArray *
fs_node_pinned_children(FsNode *folder)
{
    GPtrArray *pinned = g_ptr_array_new_with_free_func((GDestroyNotify)fs_node_unref);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&folder->context->tree_lock);
    GHashTableIter iterator;
    gpointer child;

    if (!folder->children)
        return pinned;
    g_hash_table_iter_init(&iterator, folder->children);
    while (g_hash_table_iter_next(&iterator, NULL, &child))
        if (((FsNode *)child)->is_pinned)
            g_ptr_array_add(pinned, fs_node_ref(child));
    return pinned;
}

/* With the tree lock held. */
static void
collect_pinned(FsNode *folder, GPtrArray *pinned)
{
    GHashTableIter iterator;
    gpointer child;

    if (!folder->children)
        return;
    g_hash_table_iter_init(&iterator, folder->children);
    while (g_hash_table_iter_next(&iterator, NULL, &child)) {
        if (((FsNode *)child)->is_pinned)
            g_ptr_array_add(pinned, fs_node_ref(child));
        collect_pinned(child, pinned);
    }
}

GPtrArray *
fs_node_pinned_below(FsNode *folder)
{
    GPtrArray *pinned = g_ptr_array_new_with_free_func((GDestroyNotify)fs_node_unref);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&folder->context->tree_lock);

    collect_pinned(folder, pinned);
    return pinned;
}

FsNode *
fs_node_dup_parent(FsNode *node)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&node->context->tree_lock);

    return node->parent ? fs_node_ref(node->parent) : NULL;
}

gboolean
fs_node_is_placed(FsNode *node)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&node->context->tree_lock);

    return node->parent != NULL;
}

void
fs_node_remember(FsNode *node)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&node->context->tree_lock);

    node->told_at_us = g_get_monotonic_time();
    if (node->n_lookups++ == 0)
        fs_node_ref(node);
}

void
fs_node_forget(FsNode *node, guint64 n_lookups)
{
    gboolean is_forgotten;

    g_mutex_lock(&node->context->tree_lock);
    g_assert(node->n_lookups >= n_lookups);
    node->n_lookups -= n_lookups;
    is_forgotten = n_lookups > 0 && node->n_lookups == 0;
    g_mutex_unlock(&node->context->tree_lock);
    if (is_forgotten)
        fs_node_unref(node);
}

char *
fs_node_dup_name(FsNode *node)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&node->context->tree_lock);

    return g_strdup(node->name ? node->name : "");
}

char *
fs_node_dup_path(FsNode *node, FsNode *ancestor)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&node->context->tree_lock);

    return path_of(node, ancestor);
}

FsNode *
fs_node_dup_ancestor(FsNode *node, const FsNodeClass *class)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&node->context->tree_lock);

    for (FsNode *at = node; at; at = at->parent)
        if (at->class == class)
            return fs_node_ref(at);
    return NULL;
}

void
fs_node_set_size(struct stat *status, gint64 size_bytes)
{
    status->st_size = size_bytes;
    status->st_blocks = (size_bytes + 511) / 512;
}

void
fs_node_set_mtime(struct stat *status, gint64 mtime_ns)
{
    status->st_mtim.tv_sec = mtime_ns / G_GINT64_CONSTANT(1000000000);
    status->st_mtim.tv_nsec = mtime_ns % G_GINT64_CONSTANT(1000000000);
    if (status->st_mtim.tv_nsec < 0) {
        status->st_mtim.tv_sec--;
        status->st_mtim.tv_nsec += 1000000000;
    }
    status->st_ctim = status->st_mtim;
    status->st_atim = status->st_mtim;
}

guint32
fs_node_mode(FsNode *node, guint32 mode)
{
    return mode & ~node->context->umask;
}

guint32
fs_node_private_mode(FsNode *node, guint32 mode)
{
    guint32 writers = fs_node_mode(node, 0222);

    /* Each who may write may read and search as well. */
    return fs_node_mode(node, mode) & (writers | writers << 1 | writers >> 1);
}

void
fs_node_fill_status(FsNode *node, struct stat *ret_status)
{
    *ret_status = (struct stat){
        .st_ino = node->inode,
        .st_uid = node->context->uid,
        .st_gid = node->context->gid,
        .st_nlink = node->class->is_folder ? 2 : 1,
        .st_mode = node->class->is_folder ? S_IFDIR | fs_node_mode(node, 0777)
                                          : S_IFREG | fs_node_mode(node, 0666),
        .st_blksize = BLOCK_BYTES,
    };
    fs_node_set_mtime(ret_status, node->context->started_ns);
}

gboolean
fs_node_folder_attributes(FsNode *node, FsCall *call, struct stat *ret_status, GError **error)
{
    fs_node_fill_status(node, ret_status);
    return TRUE;
}

FsHandle *
fs_handle_new(FsNode *node, FsCall *call, int flags)
{
    FsHandle *handle = g_new0(FsHandle, 1);

    handle->node = fs_node_ref(node);
    handle->flags = flags;
    handle->opener = call->pid;
    handle->writer_uid = call->uid;
    return handle;
}

void
fs_handle_free(FsHandle *handle)
{
    if (handle->is_result) {
        g_mutex_lock(&handle->node->context->tree_lock);
        handle->node->n_results--;
        g_mutex_unlock(&handle->node->context->tree_lock);
    }
    fs_node_unref(handle->node);
    g_clear_pointer(&handle->content, lake_spool_unref);
    g_clear_pointer(&handle->staged, lake_spool_unref);
    g_clear_pointer(&handle->reader, lake_row_reader_free);
    g_clear_error(&handle->at_end);
    g_clear_error(&handle->write_error);
    g_free(handle);
}

gboolean
fs_handle_can_write(const FsHandle *handle)
{
    return (handle->flags & O_ACCMODE) != O_RDONLY;
}

void
fs_handle_set_result(FsHandle *handle, LakeSpool *content)
{
    FsNode *node = handle->node;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&node->context->tree_lock);

    g_clear_pointer(&handle->content, lake_spool_unref);
    handle->content = lake_spool_ref(content);
    if (handle->is_result) {
        node->result_size = lake_spool_size(content);
        return;
    }
    if (node->n_results > 0 || handle->is_direct) {
        handle->is_direct = TRUE;
        return;
    }
    handle->is_result = TRUE;
    node->n_results = 1;
    node->result_size = lake_spool_size(content);
}

gboolean
fs_call_may_block(FsCall *call)
{
    if (!call->may_block)
        call->would_block = TRUE;
    return call->may_block;
}

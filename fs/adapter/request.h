/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* fs/adapter/request.h: what the operations of fs/adapter/ share: the request, its arguments,
 * and the one reply that each gets. Private to fs/adapter.c and fs/adapter/, the door to
 * libfuse.
 *
 * Inode numbers of the protocol are the nodes' addresses (the root's is 1); the kernel's
 * references keep the nodes alive until it forgets them. What stat shows as st_ino is
 * node->inode.
 */

#define FUSE_USE_VERSION 314
#include "fs/adapter.h"
#include "fs/freshness.h"
#include "fs/node.h"
#include "fs/request.h"
#include <fuse3/fuse_lowlevel.h>

struct FsAdapter {
    LakeWorkspace *workspace;
    FsContext *context;
    FsNode *root;
    FsRequests *requests;
    struct fuse_session *session;
    FsFailureFunc on_failure;
    gpointer failure_data;
    FsReadyFunc ready;
    gpointer ready_data;
};

/* A request and its arguments; each operation uses some of them. */
typedef struct {
    FsRequest base;
    FsAdapter *adapter;
    fuse_req_t fuse;
    const char *operation;
    gint64 begun_us;  /* monotonic */
    FsNode *node;     /* referenced */
    FsNode *new_node; /* referenced */
    FsHandle *handle;
    struct fuse_file_info file;
    char *name;
    char *new_name;
    FsChange change;
    guint32 mode;
    guint32 flags;
    gint64 offset;
    gsize size;
    GBytes *value;
    gpointer listing;
} FsAdapterRequest;

extern const FsKernelCalls fs_adapter_kernel_calls;
/* After the loop's end: no more is told to the kernel; what it is being told, it may not take
 * before it has an answer to a request that nobody has read yet. */
void fs_adapter_settle(FsAdapter *adapter);

FsAdapter *fs_adapter_of(fuse_req_t fuse);
FsNode *fs_adapter_node(FsAdapter *adapter, fuse_ino_t number);
FsHandle *fs_adapter_handle(const struct fuse_file_info *file);
/* speed: which workers take it when it has to wait; run answers it. */
FsAdapterRequest *fs_adapter_request_new(fuse_req_t fuse, const char *operation,
    fuse_ino_t number, FsRequestSpeed speed, void (*run)(FsRequest *base));
/* Answers now or gives it to a worker; the request is not to be used afterwards. */
void fs_adapter_request_start(FsAdapterRequest *request);
void fs_adapter_request_free(FsRequest *base);
void fs_adapter_reply_errno(FsAdapterRequest *request, int number);
void fs_adapter_reply_error(FsAdapterRequest *request, const GError *error);
/* What a kind of node does not offer at all: EPERM, with this reason in the log. */
void fs_adapter_reply_refusal(FsAdapterRequest *request, const char *text);
/* Consumes node and failure. */
void fs_adapter_reply_entry(FsAdapterRequest *request, FsNode *node, GError *failure);
/* Consumes failure. */
void fs_adapter_reply_done(FsAdapterRequest *request, gboolean is_good, GError *failure);
/* Consumes failure. */
void fs_adapter_reply_attributes(FsAdapterRequest *request, GError *failure);
/* Before any reply: afterwards libfuse could report an interrupt of a request that is freed. */
void fs_adapter_request_end(FsAdapterRequest *request);
/* For errors.jsonl and the log, unless it is part of how tools work. */
void fs_adapter_record_failure(FsAdapterRequest *request, const GError *error, int saved_errno);
/* TRUE when there is nothing to answer yet: a worker will. */
gboolean fs_adapter_must_wait(const FsAdapterRequest *request);
void fs_adapter_start_entry(FsNode *node, struct fuse_entry_param *ret_entry);
/* What has changed since it was read is not to be believed: the kernel was told of the change
 * already, and would not hear of it again. */
void fs_adapter_doubt_entry(const FsAdapterRequest *request, struct fuse_entry_param *entry);
gboolean fs_adapter_fill_entry(FsAdapterRequest *request, FsNode *node,
    struct fuse_entry_param *ret_entry, GError **error);

/* The operations, as struct fuse_lowlevel_ops has them. */
void fs_adapter_op_lookup(fuse_req_t fuse, fuse_ino_t parent, const char *name);
void fs_adapter_op_forget(fuse_req_t fuse, fuse_ino_t number, uint64_t n_lookups);
void
fs_adapter_op_forget_multi(fuse_req_t fuse, size_t count, struct fuse_forget_data *forgets);
void fs_adapter_op_mkdir(fuse_req_t fuse, fuse_ino_t parent, const char *name, mode_t mode);
void fs_adapter_op_mknod(
    fuse_req_t fuse, fuse_ino_t parent, const char *name, mode_t mode, dev_t device);
void
fs_adapter_op_symlink(fuse_req_t fuse, const char *target, fuse_ino_t parent, const char *name);
void fs_adapter_op_link(
    fuse_req_t fuse, fuse_ino_t number, fuse_ino_t new_parent, const char *new_name);
void fs_adapter_op_unlink(fuse_req_t fuse, fuse_ino_t parent, const char *name);
void fs_adapter_op_rmdir(fuse_req_t fuse, fuse_ino_t parent, const char *name);
void fs_adapter_op_rename(fuse_req_t fuse, fuse_ino_t parent, const char *name,
    fuse_ino_t new_parent, const char *new_name, unsigned int flags);
void fs_adapter_op_getattr(fuse_req_t fuse, fuse_ino_t number, struct fuse_file_info *file);
void fs_adapter_op_setattr(fuse_req_t fuse, fuse_ino_t number, struct stat *status, int to_set,
    struct fuse_file_info *file);
void fs_adapter_op_statfs(fuse_req_t fuse, fuse_ino_t number);
void fs_adapter_op_getxattr(fuse_req_t fuse, fuse_ino_t number, const char *name, size_t size);
void fs_adapter_op_listxattr(fuse_req_t fuse, fuse_ino_t number, size_t size);
void fs_adapter_op_setxattr(fuse_req_t fuse, fuse_ino_t number, const char *name,
    const char *value, size_t size, int flags);
void fs_adapter_op_removexattr(fuse_req_t fuse, fuse_ino_t number, const char *name);
void fs_adapter_op_open(fuse_req_t fuse, fuse_ino_t number, struct fuse_file_info *file);
void fs_adapter_op_create(fuse_req_t fuse, fuse_ino_t parent, const char *name, mode_t mode,
    struct fuse_file_info *file);
void fs_adapter_op_read(
    fuse_req_t fuse, fuse_ino_t number, size_t size, off_t offset, struct fuse_file_info *file);
void fs_adapter_op_write(fuse_req_t fuse, fuse_ino_t number, const char *data, size_t size,
    off_t offset, struct fuse_file_info *file);
void fs_adapter_op_flush(fuse_req_t fuse, fuse_ino_t number, struct fuse_file_info *file);
void fs_adapter_op_release(fuse_req_t fuse, fuse_ino_t number, struct fuse_file_info *file);
void fs_adapter_op_fsync(
    fuse_req_t fuse, fuse_ino_t number, int datasync, struct fuse_file_info *file);
void fs_adapter_op_fsyncdir(
    fuse_req_t fuse, fuse_ino_t number, int datasync, struct fuse_file_info *file);
void fs_adapter_op_opendir(fuse_req_t fuse, fuse_ino_t number, struct fuse_file_info *file);
void fs_adapter_op_releasedir(fuse_req_t fuse, fuse_ino_t number, struct fuse_file_info *file);
void fs_adapter_op_readdir(
    fuse_req_t fuse, fuse_ino_t number, size_t size, off_t offset, struct fuse_file_info *file);
void fs_adapter_op_readdirplus(
    fuse_req_t fuse, fuse_ino_t number, size_t size, off_t offset, struct fuse_file_info *file);

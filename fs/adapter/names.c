/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/adapter/request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void
run_lookup(FsRequest *base)
{
    FsAdapterRequest *request = (FsAdapterRequest *)base;
    const FsNodeClass *class = request->node->class;
    GError *error = NULL;
    FsNode *child = class->lookup(request->node, &base->call, request->name, &error);
    double absence = child || error || !class->absence_seconds || base->call.is_outdated
                         ? 0
                         : class->absence_seconds(request->name);

    if (absence > 0 && !fs_adapter_must_wait(request)) {
        struct fuse_entry_param nothing = {.entry_timeout = absence};
        fs_adapter_request_end(request);
        fs_freshness_note_absence(request->node, request->name);
        fuse_reply_entry(request->fuse, &nothing);
        return;
    }
    fs_adapter_reply_entry(request, child, error);
}

void
fs_adapter_op_lookup(fuse_req_t fuse, fuse_ino_t parent, const char *name)
{
    FsAdapterRequest *request =
        fs_adapter_request_new(fuse, "lookup", parent, FS_REQUEST_QUICK, run_lookup);

    request->name = g_strdup(name);
    fs_adapter_request_start(request);
}

void
fs_adapter_op_forget(fuse_req_t fuse, fuse_ino_t number, uint64_t n_lookups)
{
    if (number != FUSE_ROOT_ID)
        fs_node_forget(fs_adapter_node(fs_adapter_of(fuse), number), n_lookups);
    fuse_reply_none(fuse);
}

void
fs_adapter_op_forget_multi(fuse_req_t fuse, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < count; i++)
        if (forgets[i].ino != FUSE_ROOT_ID)
            fs_node_forget(
                fs_adapter_node(fs_adapter_of(fuse), forgets[i].ino), forgets[i].nlookup);
    fuse_reply_none(fuse);
}

static void
run_mkdir(FsRequest *base)
{
    FsAdapterRequest *request = (FsAdapterRequest *)base;
    const FsNodeClass *class = request->node->class;
    GError *error = NULL;

    if (!class->make_folder) {
        fs_adapter_reply_refusal(
            request, "folders cannot be made here; mkdir at the top makes a table");
        return;
    }
    if (!fs_call_may_block(&base->call))
        return;
    FsNode *made =
        class->make_folder(request->node, &base->call, request->name, request->mode, &error);
    fs_adapter_reply_entry(request, made, error);
}

void
fs_adapter_op_mkdir(fuse_req_t fuse, fuse_ino_t parent, const char *name, mode_t mode)
{
    FsAdapterRequest *request =
        fs_adapter_request_new(fuse, "mkdir", parent, FS_REQUEST_LONG, run_mkdir);

    request->name = g_strdup(name);
    request->mode = mode;
    fs_adapter_request_start(request);
}

static void
run_remove(FsRequest *base)
{
    FsAdapterRequest *request = (FsAdapterRequest *)base;
    const FsNodeClass *class = request->node->class;
    gboolean is_folder = strcmp(request->operation, "rmdir") == 0;
    gboolean (*remove)(FsNode *, FsCall *, const char *, GError **) =
        is_folder ? class->remove_folder : class->remove_file;
    GError *error = NULL;

    if (!remove) {
        fs_adapter_reply_refusal(request,
            "this is made by deeplakefs and cannot be removed; rmdir of a "
            "table's folder drops the table");
        return;
    }
    if (!fs_call_may_block(&base->call))
        return;
    gboolean is_good = remove(request->node, &base->call, request->name, &error);
    fs_adapter_reply_done(request, is_good, error);
}

static void
start_remove(fuse_req_t fuse, const char *operation, fuse_ino_t parent, const char *name)
{
    FsAdapterRequest *request =
        fs_adapter_request_new(fuse, operation, parent, FS_REQUEST_LONG, run_remove);

    request->name = g_strdup(name);
    fs_adapter_request_start(request);
}

void
fs_adapter_op_unlink(fuse_req_t fuse, fuse_ino_t parent, const char *name)
{
    start_remove(fuse, "unlink", parent, name);
}

void
fs_adapter_op_rmdir(fuse_req_t fuse, fuse_ino_t parent, const char *name)
{
    start_remove(fuse, "rmdir", parent, name);
}

static void
run_rename(FsRequest *base)
{
    FsAdapterRequest *request = (FsAdapterRequest *)base;
    const FsNodeClass *class = request->node->class;
    GError *error = NULL;

    if (!class->rename) {
        fs_adapter_reply_refusal(request, "this cannot be renamed");
        return;
    }
    if (request->flags & ~(guint32)RENAME_NOREPLACE) {
        fs_adapter_reply_errno(request, EINVAL);
        return;
    }
    if (!fs_call_may_block(&base->call))
        return;
    gboolean is_good = class->rename(request->node, &base->call, request->name,
        request->new_node, request->new_name, !(request->flags & RENAME_NOREPLACE), &error);
    fs_adapter_reply_done(request, is_good, error);
}

void
fs_adapter_op_rename(fuse_req_t fuse, fuse_ino_t parent, const char *name,
    fuse_ino_t new_parent, const char *new_name, unsigned int flags)
{
    FsAdapterRequest *request =
        fs_adapter_request_new(fuse, "rename", parent, FS_REQUEST_LONG, run_rename);

    request->name = g_strdup(name);
    request->new_node = fs_node_ref(fs_adapter_node(request->adapter, new_parent));
    request->new_name = g_strdup(new_name);
    request->flags = flags;
    fs_adapter_request_start(request);
}

/* Unanswered, these would give ENOSYS, and no reason. */
static void
run_refused(FsRequest *base)
{
    fs_adapter_reply_refusal((FsAdapterRequest *)base,
        "only files and folders are made here: no links, pipes or devices");
}

static void
start_refused(fuse_req_t fuse, const char *operation, fuse_ino_t parent, const char *name)
{
    FsAdapterRequest *request =
        fs_adapter_request_new(fuse, operation, parent, FS_REQUEST_QUICK, run_refused);

    request->name = g_strdup(name);
    fs_adapter_request_start(request);
}

void
fs_adapter_op_mknod(
    fuse_req_t fuse, fuse_ino_t parent, const char *name, mode_t mode, dev_t device)
{
    start_refused(fuse, "mknod", parent, name);
}

void
fs_adapter_op_symlink(fuse_req_t fuse, const char *target, fuse_ino_t parent, const char *name)
{
    start_refused(fuse, "symlink", parent, name);
}

void
fs_adapter_op_link(
    fuse_req_t fuse, fuse_ino_t number, fuse_ino_t new_parent, const char *new_name)
{
    start_refused(fuse, "link", new_parent, new_name);
}

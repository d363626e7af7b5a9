/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/adapter/request.h"

#include <errno.h>
#include <sys/statvfs.h>

#define NAME_BYTES_MAX 255 /* NAME_MAX, linux/limits.h */

static void
run_getattr(FsRequest *base)
{
    fs_adapter_reply_attributes((FsAdapterRequest *)base, NULL);
}

void
fs_adapter_op_getattr(fuse_req_t fuse, fuse_ino_t number, struct fuse_file_info *file)
{
    fs_adapter_request_start(
        fs_adapter_request_new(fuse, "getattr", number, FS_REQUEST_QUICK, run_getattr));
}

static void
run_setattr(FsRequest *base)
{
    FsAdapterRequest *request = (FsAdapterRequest *)base;
    const FsNodeClass *class = request->node->class;
    GError *error = NULL;

    if (!class->change) {
        fs_adapter_reply_refusal(request, "mode, owner, times and size of this cannot be set");
        return;
    }
    if (request->change.mask != 0)
        (void)class->change(
            request->node, &base->call, request->handle, &request->change, &error);
    fs_adapter_reply_attributes(request, error);
}

static FsChange
change_from(const struct stat *status, int to_set)
{
    FsChange change = {
        .mode = status->st_mode,
        .uid = status->st_uid,
        .gid = status->st_gid,
        .size_bytes = status->st_size,
        .mtime_ns = (gint64)status->st_mtim.tv_sec * 1000000000 + status->st_mtim.tv_nsec,
    };

    if (to_set & FUSE_SET_ATTR_MODE)
        change.mask |= FS_CHANGE_MODE;
    if (to_set & FUSE_SET_ATTR_UID)
        change.mask |= FS_CHANGE_UID;
    if (to_set & FUSE_SET_ATTR_GID)
        change.mask |= FS_CHANGE_GID;
    if (to_set & FUSE_SET_ATTR_SIZE)
        change.mask |= FS_CHANGE_SIZE;
    if (to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW))
        change.mask |= FS_CHANGE_MTIME;
    if (to_set & FUSE_SET_ATTR_MTIME_NOW)
        change.mtime_ns = fs_node_now_ns();
    return change;
}

void
fs_adapter_op_setattr(fuse_req_t fuse, fuse_ino_t number, struct stat *status, int to_set,
    struct fuse_file_info *file)
{
    FsAdapterRequest *request =
        fs_adapter_request_new(fuse, "setattr", number, FS_REQUEST_LONG, run_setattr);

    request->change = change_from(status, to_set);
    request->handle = file ? fs_adapter_handle(file) : NULL;
    fs_adapter_request_start(request);
}

/* The disk that fills up first when files are copied in: that of a private server's data, or,
 * where the server is elsewhere, that of staging. */
static gboolean
find_room(LakeWorkspace *workspace, struct statvfs *ret_status)
{
    const LakeConfig *config = lake_workspace_config(workspace);
    g_autofree char *data = g_build_filename(config->state_dir, "server", "data", NULL);

    if (!config->dsn && statvfs(data, ret_status) == 0)
        return TRUE;
    /* Or the data lie where only the server's user may look. */
    return statvfs(lake_workspace_spool_dir(workspace), ret_status) == 0;
}

void
fs_adapter_op_statfs(fuse_req_t fuse, fuse_ino_t number)
{
    struct statvfs status;

    if (!find_room(fs_adapter_of(fuse)->workspace, &status)) {
        fuse_reply_err(fuse, errno);
        return;
    }
    status.f_namemax = NAME_BYTES_MAX;
    fuse_reply_statfs(fuse, &status);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/adapter/request.h"

#include "fs/xattr.h"
#include <errno.h>
#include <sys/xattr.h>

static void
reply_value(FsAdapterRequest *request, const void *value, gsize n_bytes)
{
    if (request->size > 0 && n_bytes > request->size) {
        fs_adapter_reply_errno(request, ERANGE);
        return;
    }
    fs_adapter_request_end(request);
    if (request->size == 0)
        fuse_reply_xattr(request->fuse, n_bytes);
    else
        fuse_reply_buf(request->fuse, value, n_bytes);
}

static void
run_getxattr(FsRequest *base)
{
    FsAdapterRequest *request = (FsAdapterRequest *)base;
    g_autoptr(GError) error = NULL;
    g_autofree char *json = request->node->class->xattrs(request->node, &base->call, &error);

    if (fs_adapter_must_wait(request))
        return;
    if (error) {
        fs_adapter_reply_error(request, error);
        return;
    }
    if (!request->name) {
        g_autoptr(GByteArray) names = fs_xattr_names(json);
        reply_value(request, names->data, names->len);
        return;
    }
    g_autoptr(GBytes) value = fs_xattr_get(json, request->name);
    if (value)
        reply_value(request, g_bytes_get_data(value, NULL), g_bytes_get_size(value));
    else
        fs_adapter_reply_errno(request, ENODATA);
}

static void
start_getxattr(
    fuse_req_t fuse, const char *operation, fuse_ino_t number, const char *name, size_t size)
{
    FsAdapterRequest *request =
        fs_adapter_request_new(fuse, operation, number, FS_REQUEST_QUICK, run_getxattr);

    request->name = g_strdup(name);
    request->size = size;
    fs_adapter_request_start(request);
}

/* ENOSYS makes the kernel answer for itself from then on. */
static gboolean
has_no_xattrs(fuse_req_t fuse)
{
    if (!lake_workspace_config(fs_adapter_of(fuse)->workspace)->no_xattrs)
        return FALSE;
    fuse_reply_err(fuse, ENOSYS);
    return TRUE;
}

void
fs_adapter_op_getxattr(fuse_req_t fuse, fuse_ino_t number, const char *name, size_t size)
{
    if (has_no_xattrs(fuse))
        return;
    /* security.capability is asked for before writes: answered without looking anywhere. */
    if (!fs_xattr_is_kept(name) || !fs_adapter_node(fs_adapter_of(fuse), number)->class->xattrs)
        fuse_reply_err(fuse, ENODATA);
    else
        start_getxattr(fuse, "getxattr", number, name, size);
}

void
fs_adapter_op_listxattr(fuse_req_t fuse, fuse_ino_t number, size_t size)
{
    if (has_no_xattrs(fuse))
        return;
    if (fs_adapter_node(fs_adapter_of(fuse), number)->class->xattrs)
        start_getxattr(fuse, "listxattr", number, NULL, size);
    else if (size == 0)
        fuse_reply_xattr(fuse, 0);
    else
        fuse_reply_buf(fuse, NULL, 0);
}

static void
run_setxattr(FsRequest *base)
{
    FsAdapterRequest *request = (FsAdapterRequest *)base;
    const FsNodeClass *class = request->node->class;
    GError *error = NULL;
    g_autofree char *json = class->xattrs(request->node, &base->call, &error);
    g_autoptr(GBytes) present = error ? NULL : fs_xattr_get(json, request->name);
    gsize n_bytes = 0;
    const void *value = request->value ? g_bytes_get_data(request->value, &n_bytes) : NULL;

    if (fs_adapter_must_wait(request))
        return;
    if (!error && ((request->flags & XATTR_CREATE) && present)) {
        fs_adapter_reply_errno(request, EEXIST);
        return;
    }
    if (!error && ((request->flags & XATTR_REPLACE) || !request->value) && !present) {
        fs_adapter_reply_errno(request, ENODATA);
        return;
    }
    g_autofree char *changed =
        fs_xattr_with(json, request->name, request->value && !value ? "" : value, n_bytes);
    gboolean is_good = !error && class->set_xattrs(request->node, &base->call, changed, &error);
    fs_adapter_reply_done(request, is_good, error);
}

static void
start_setxattr(fuse_req_t fuse, const char *operation, fuse_ino_t number, const char *name,
    GBytes *value, int flags)
{
    gboolean is_kept = fs_xattr_is_kept(name) &&
                       fs_adapter_node(fs_adapter_of(fuse), number)->class->set_xattrs;
    gboolean is_off = lake_workspace_config(fs_adapter_of(fuse)->workspace)->no_xattrs;

    if (!is_kept || is_off) {
        if (value)
            g_bytes_unref(value);
        fuse_reply_err(fuse, is_off ? ENOSYS : ENOTSUP);
        return;
    }
    FsAdapterRequest *request =
        fs_adapter_request_new(fuse, operation, number, FS_REQUEST_QUICK, run_setxattr);
    request->name = g_strdup(name);
    request->value = value;
    request->flags = (guint32)flags;
    fs_adapter_request_start(request);
}

void
fs_adapter_op_setxattr(fuse_req_t fuse, fuse_ino_t number, const char *name, const char *value,
    size_t size, int flags)
{
    start_setxattr(fuse, "setxattr", number, name, g_bytes_new(value, size), flags);
}

void
fs_adapter_op_removexattr(fuse_req_t fuse, fuse_ino_t number, const char *name)
{
    start_setxattr(fuse, "removexattr", number, name, NULL, 0);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/adapter/request.h"

#include "core/error.h"
#include "fs/error.h"
#include "fs/metrics.h"
#include <errno.h>

/* Reads at least this long are spliced from the spool's file instead of copied through us. */
#define SPLICE_BYTES (64 * 1024)

static void
fill_file(struct fuse_file_info *file, FsHandle *handle)
{
    file->fh = (uintptr_t)handle;
    file->direct_io = handle->is_direct;
    file->keep_cache = FALSE;
}

static void
run_open(FsRequest *base)
{
    FsAdapterRequest *request = (FsAdapterRequest *)base;
    const FsNodeClass *class = request->node->class;
    g_autoptr(GError) error = NULL;
    FsHandle *handle;

    if (!class->open) {
        fs_adapter_reply_refusal(request, "this cannot be opened");
        return;
    }
    handle = class->open(request->node, &base->call, request->file.flags, &error);
    if (fs_adapter_must_wait(request))
        return;
    if (!handle) {
        fs_adapter_reply_error(request, error);
        return;
    }
    fill_file(&request->file, handle);
    fs_adapter_request_end(request);
    if (fuse_reply_open(request->fuse, &request->file) != 0)
        fs_handle_free(handle);
}

void
fs_adapter_op_open(fuse_req_t fuse, fuse_ino_t number, struct fuse_file_info *file)
{
    FsAdapterRequest *request =
        fs_adapter_request_new(fuse, "open", number, FS_REQUEST_LONG, run_open);

    request->file = *file;
    fs_adapter_request_start(request);
}

static void
run_create(FsRequest *base)
{
    FsAdapterRequest *request = (FsAdapterRequest *)base;
    const FsNodeClass *class = request->node->class;
    g_autoptr(GError) error = NULL;
    struct fuse_entry_param entry;
    FsHandle *handle;

    if (!class->create) {
        fs_adapter_reply_refusal(
            request, "files cannot be made here; copy them into ingest/<table>/");
        return;
    }
    handle = class->create(
        request->node, &base->call, request->name, request->mode, request->file.flags, &error);
    if (fs_adapter_must_wait(request))
        return;
    if (handle && !fs_adapter_fill_entry(request, handle->node, &entry, &error))
        g_clear_pointer(&handle, fs_handle_free);
    if (!handle) {
        fs_adapter_reply_error(request, error);
        return;
    }
    fs_node_remember(handle->node);
    fill_file(&request->file, handle);
    fs_adapter_request_end(request);
    if (fuse_reply_create(request->fuse, &entry, &request->file) != 0) {
        fs_node_forget(handle->node, 1);
        fs_handle_free(handle);
    }
}

void
fs_adapter_op_create(fuse_req_t fuse, fuse_ino_t parent, const char *name, mode_t mode,
    struct fuse_file_info *file)
{
    FsAdapterRequest *request =
        fs_adapter_request_new(fuse, "create", parent, FS_REQUEST_LONG, run_create);

    request->name = g_strdup(name);
    request->mode = mode;
    request->file = *file;
    fs_adapter_request_start(request);
}

static void
reply_bytes(FsAdapterRequest *request, LakeSpool *content)
{
    FsMetrics *metrics = request->adapter->context->metrics;
    int fd = lake_spool_fd(content);
    g_autofree char *buffer = NULL;
    g_autoptr(GError) error = NULL;

    if (fd >= 0 && request->size >= SPLICE_BYTES) {
        struct fuse_bufvec bytes = FUSE_BUFVEC_INIT(request->size);
        bytes.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
        bytes.buf[0].fd = fd;
        bytes.buf[0].pos = request->offset;
        fs_adapter_request_end(request);
        gint64 n_left = lake_spool_size(content) - request->offset;
        fs_metrics_read(metrics, (guint64)CLAMP(n_left, 0, (gint64)request->size));
        fuse_reply_data(request->fuse, &bytes, FUSE_BUF_SPLICE_MOVE);
        return;
    }
    buffer = g_malloc(request->size);
    gssize n_read = lake_spool_read(content, request->offset, buffer, request->size, &error);
    if (n_read < 0) {
        fs_adapter_reply_error(request, error);
        return;
    }
    fs_metrics_read(metrics, (guint64)n_read);
    fs_adapter_request_end(request);
    fuse_reply_buf(request->fuse, buffer, (size_t)n_read);
}

static void
reply_read(FsAdapterRequest *request)
{
    FsHandle *handle = request->handle;
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes = handle->node->class->read(
        handle, &request->base.call, request->offset, request->size, &error);

    if (fs_adapter_must_wait(request))
        return;
    if (!bytes) {
        fs_adapter_reply_error(request, error);
        return;
    }
    fs_adapter_request_end(request);
    fuse_reply_buf(request->fuse, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
}

static void
run_read(FsRequest *base)
{
    FsAdapterRequest *request = (FsAdapterRequest *)base;
    FsHandle *handle = request->handle;
    g_autoptr(GError) error = NULL;

    if (handle->node->class->read) {
        reply_read(request);
        return;
    }

    if (handle->node->class->prepare_read &&
        !handle->node->class->prepare_read(handle, &base->call, &error)) {
        if (!fs_adapter_must_wait(request))
            fs_adapter_reply_error(request, error);
        return;
    }
    if (handle->content && request->offset < lake_spool_size(handle->content)) {
        reply_bytes(request, handle->content);
        return;
    }
    if (handle->at_end) {
        fs_adapter_record_failure(request, handle->at_end, EIO);
        fs_adapter_reply_errno(request, EIO);
        return;
    }
    fs_adapter_request_end(request);
    fuse_reply_buf(request->fuse, NULL, 0);
}

void
fs_adapter_op_read(
    fuse_req_t fuse, fuse_ino_t number, size_t size, off_t offset, struct fuse_file_info *file)
{
    FsAdapterRequest *request =
        fs_adapter_request_new(fuse, "read", number, FS_REQUEST_LONG, run_read);

    request->handle = fs_adapter_handle(file);
    request->size = size;
    request->offset = offset;
    fs_adapter_request_start(request);
}

static void
run_write(FsRequest *base)
{
    fs_adapter_reply_refusal((FsAdapterRequest *)base, "this cannot be written");
}

void
fs_adapter_op_write(fuse_req_t fuse, fuse_ino_t number, const char *data, size_t size,
    off_t offset, struct fuse_file_info *file)
{
    FsHandle *handle = fs_adapter_handle(file);
    FsMetrics *metrics = fs_adapter_of(fuse)->context->metrics;
    FsCall call = {.uid = fuse_req_ctx(fuse)->uid, .pid = fuse_req_ctx(fuse)->pid};
    gint64 begun_us = g_get_monotonic_time();
    g_autoptr(GError) error = NULL;

    /* Never waits for the server, so without the round about a request. */
    if (handle->staged && handle->node->class->write &&
        handle->node->class->write(handle, &call, offset, data, size, &error)) {
        fs_metrics_written(metrics, size);
        fs_metrics_request(metrics, "write", g_get_monotonic_time() - begun_us);
        fuse_reply_write(fuse, size);
        return;
    }
    FsAdapterRequest *request =
        fs_adapter_request_new(fuse, "write", number, FS_REQUEST_QUICK, run_write);
    if (!error) {
        fs_adapter_request_start(request);
        return;
    }
    fs_adapter_reply_error(request, error);
    fs_adapter_request_free(&request->base);
}

static void
run_flush(FsRequest *base)
{
    FsAdapterRequest *request = (FsAdapterRequest *)base;
    const FsNodeClass *class = request->handle->node->class;
    GError *error = NULL;
    gboolean is_good = !class->flush || class->flush(request->handle, &base->call, &error);

    fs_adapter_reply_done(request, is_good, error);
}

void
fs_adapter_op_flush(fuse_req_t fuse, fuse_ino_t number, struct fuse_file_info *file)
{
    FsAdapterRequest *request =
        fs_adapter_request_new(fuse, "flush", number, FS_REQUEST_LONG, run_flush);

    request->handle = fs_adapter_handle(file);
    fs_adapter_request_start(request);
}

/* Nobody hears of an error here; the log and errors.jsonl do. */
static void
run_release(FsRequest *base)
{
    FsAdapterRequest *request = (FsAdapterRequest *)base;
    FsHandle *handle = request->handle;
    g_autoptr(GError) error = NULL;
    gboolean is_good = !handle->node->class->release ||
                       handle->node->class->release(handle, &base->call, &error);

    if (fs_adapter_must_wait(request))
        return;
    if (!is_good && error)
        fs_adapter_record_failure(request, error, fs_error_to_errno(error));
    fs_handle_free(handle);
    fs_adapter_reply_errno(request, 0);
}

void
fs_adapter_op_release(fuse_req_t fuse, fuse_ino_t number, struct fuse_file_info *file)
{
    FsAdapterRequest *request =
        fs_adapter_request_new(fuse, "release", number, FS_REQUEST_LONG, run_release);

    request->handle = fs_adapter_handle(file);
    fs_adapter_request_start(request);
}

static void
run_fsync(FsRequest *base)
{
    FsAdapterRequest *request = (FsAdapterRequest *)base;
    FsHandle *handle = request->handle;
    GError *error = NULL;
    gboolean is_good;

    if (handle && handle->node->class->sync)
        is_good = handle->node->class->sync(handle, &base->call, &error);
    else
        is_good =
            fs_call_may_block(&base->call) &&
            lake_workspace_sync(request->adapter->workspace, base->call.cancellable, &error);
    fs_adapter_reply_done(request, is_good, error);
}

void
fs_adapter_op_fsync(
    fuse_req_t fuse, fuse_ino_t number, int datasync, struct fuse_file_info *file)
{
    FsAdapterRequest *request =
        fs_adapter_request_new(fuse, "fsync", number, FS_REQUEST_LONG, run_fsync);

    request->handle = fs_adapter_handle(file);
    fs_adapter_request_start(request);
}

void
fs_adapter_op_fsyncdir(
    fuse_req_t fuse, fuse_ino_t number, int datasync, struct fuse_file_info *file)
{
    fs_adapter_request_start(
        fs_adapter_request_new(fuse, "fsync", number, FS_REQUEST_QUICK, run_fsync));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/adapter/request.h"

#include "core/error.h"
#include "fs/caller.h"
#include "fs/error.h"
#include "fs/failures.h"
#include "fs/metrics.h"
#include <errno.h>
#include <string.h>

FsAdapter *
fs_adapter_of(fuse_req_t fuse)
{
    return fuse_req_userdata(fuse);
}

FsNode *
fs_adapter_node(FsAdapter *adapter, fuse_ino_t number)
{
    return number == FUSE_ROOT_ID ? adapter->root : (FsNode *)(uintptr_t)number; /* NOLINT */
}

FsHandle *
fs_adapter_handle(const struct fuse_file_info *file)
{
    return (FsHandle *)(uintptr_t)file->fh; /* NOLINT */
}

void
fs_adapter_request_free(FsRequest *base)
{
    FsAdapterRequest *request = (FsAdapterRequest *)base;

    fs_node_unref(request->node);
    fs_node_unref(request->new_node);
    g_free(request->name);
    g_free(request->new_name);
    g_clear_pointer(&request->value, g_bytes_unref);
    g_free(request);
}

/* --- interrupts --- */

static void
on_interrupt(fuse_req_t fuse, void *data)
{
    FsAdapterRequest *request = data;

    if (fs_caller_is_stopped(request->base.call.pid))
        g_cancellable_cancel(request->base.call.cancellable);
}

static void
watch_interrupts(FsRequest *base)
{
    FsAdapterRequest *request = (FsAdapterRequest *)base;

    fuse_req_interrupt_func(request->fuse, on_interrupt, request);
}

/* Before any reply: afterwards libfuse could call on_interrupt with a request that is freed. */
void
fs_adapter_request_end(FsAdapterRequest *request)
{
    if (request->base.call.cancellable)
        fuse_req_interrupt_func(request->fuse, NULL, NULL);
    fs_metrics_request(request->adapter->context->metrics, request->operation,
        g_get_monotonic_time() - request->begun_us);
}

FsAdapterRequest *
fs_adapter_request_new(fuse_req_t fuse, const char *operation, fuse_ino_t number,
    FsRequestSpeed speed, void (*run)(FsRequest *base))
{
    const struct fuse_ctx *context = fuse_req_ctx(fuse);
    FsAdapterRequest *request = g_new0(FsAdapterRequest, 1);

    request->adapter = fs_adapter_of(fuse);
    request->fuse = fuse;
    request->operation = operation;
    request->begun_us = g_get_monotonic_time();
    request->node = fs_node_ref(fs_adapter_node(request->adapter, number));
    request->base.speed = speed;
    request->base.run = run;
    request->base.queued = watch_interrupts;
    request->base.free = fs_adapter_request_free;
    request->base.call.uid = context->uid;
    request->base.call.gid = context->gid;
    request->base.call.pid = context->pid;
    return request;
}

void
fs_adapter_request_start(FsAdapterRequest *request)
{
    fs_requests_start(request->adapter->requests, &request->base);
}

/* --- replies --- */

/* Answers that are part of how tools work, and not failures of anything. */
static gboolean
is_ordinary(const char *operation, const GError *error)
{
    if (g_error_matches(error, LAKE_ERROR, LAKE_ERROR_NOT_FOUND))
        return strcmp(operation, "lookup") == 0 || strcmp(operation, "getattr") == 0;
    /* The kernel finds the file again; but of a row, the bytes of one version. */
    if (g_error_matches(error, LAKE_ERROR, LAKE_ERROR_STALE))
        return strcmp(operation, "read") != 0;
    return g_error_matches(error, LAKE_ERROR, LAKE_ERROR_OTHER_TABLE);
}

void
fs_adapter_record_failure(FsAdapterRequest *request, const GError *error, int saved_errno)
{
    FsAdapter *adapter = request->adapter;
    g_autofree char *folder = fs_node_dup_path(request->node, NULL);
    g_autofree char *path = request->name && *folder
                                ? g_strconcat(folder, "/", request->name, NULL)
                                : g_strdup(request->name ? request->name : folder);
    g_autofree char *safe_path = g_utf8_make_valid(path, -1);
    FsFailure failure = {
        .operation = request->operation,
        .path = safe_path,
        .uid = request->base.call.uid,
        .pid = request->base.call.pid,
        .saved_errno = saved_errno,
        .error = error,
    };

    if (is_ordinary(request->operation, error))
        return;
    fs_failures_add(adapter->context->failures, &failure);
    if (adapter->on_failure)
        adapter->on_failure(&failure, adapter->failure_data);
}

/* TRUE when there is nothing to answer yet: a worker will. */
gboolean
fs_adapter_must_wait(const FsAdapterRequest *request)
{
    return request->base.call.would_block;
}

void
fs_adapter_reply_errno(FsAdapterRequest *request, int number)
{
    fs_adapter_request_end(request);
    if (number != 0)
        fs_metrics_error(request->adapter->context->metrics, request->operation, number);
    fuse_reply_err(request->fuse, number);
}

void
fs_adapter_reply_error(FsAdapterRequest *request, const GError *error)
{
    /* A function that fails without saying why has not found what it was asked about. */
    int number = error ? fs_error_to_errno(error) : ENOENT;

    if (error)
        fs_adapter_record_failure(request, error, number);
    fs_adapter_reply_errno(request, number);
}

/* What a kind of node does not offer at all. */
void
fs_adapter_reply_refusal(FsAdapterRequest *request, const char *text)
{
    g_autoptr(GError) error = NULL;

    lake_error_set(&error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_REFUSED, "%s", text);
    fs_adapter_reply_error(request, error);
}

/* A file whose close fails goes, or becomes what it was: its name must be asked for every time,
 * and that brings its attributes along. While it is there, only this kernel changes them. */
static double
name_timeout(FsNode *node)
{
    return node->is_pinned ? 0 : node->class->timeout_seconds;
}

void
fs_adapter_start_entry(FsNode *node, struct fuse_entry_param *ret_entry)
{
    *ret_entry = (struct fuse_entry_param){
        .ino = (uintptr_t)node,
        .attr_timeout = node->class->timeout_seconds,
        .entry_timeout = name_timeout(node),
    };
}

gboolean
fs_adapter_fill_entry(
    FsAdapterRequest *request, FsNode *node, struct fuse_entry_param *ret_entry, GError **error)
{
    fs_adapter_start_entry(node, ret_entry);
    if (!node->class->attributes(node, &request->base.call, &ret_entry->attr, error))
        return FALSE;
    fs_adapter_doubt_entry(request, ret_entry);
    return TRUE;
}

void
fs_adapter_doubt_entry(const FsAdapterRequest *request, struct fuse_entry_param *entry)
{
    if (request->base.call.is_outdated)
        entry->attr_timeout = entry->entry_timeout = 0;
}

void
fs_adapter_reply_entry(FsAdapterRequest *request, FsNode *node, GError *failure)
{
    g_autoptr(FsNode) owned = node;
    g_autoptr(GError) error = failure;
    struct fuse_entry_param entry;

    if (!fs_adapter_must_wait(request) && node &&
        !fs_adapter_fill_entry(request, node, &entry, &error))
        node = NULL;
    if (fs_adapter_must_wait(request))
        return;
    /* It went between the finding and the looking: for whoever asks for the name, it is gone.
     */
    if (g_error_matches(error, LAKE_ERROR, LAKE_ERROR_STALE))
        error->code = LAKE_ERROR_NOT_FOUND;
    if (!node) {
        fs_adapter_reply_error(request, error);
        return;
    }
    fs_node_remember(node);
    fs_adapter_request_end(request);
    if (fuse_reply_entry(request->fuse, &entry) != 0)
        fs_node_forget(node, 1);
}

void
fs_adapter_reply_done(FsAdapterRequest *request, gboolean is_good, GError *failure)
{
    g_autoptr(GError) error = failure;

    if (fs_adapter_must_wait(request))
        return;
    if (is_good)
        fs_adapter_reply_errno(request, 0);
    else
        fs_adapter_reply_error(request, error);
}

void
fs_adapter_reply_attributes(FsAdapterRequest *request, GError *failure)
{
    g_autoptr(GError) error = failure;
    FsNode *node = request->node;
    struct stat status;

    if (fs_adapter_must_wait(request))
        return;
    if (error || !node->class->attributes(node, &request->base.call, &status, &error)) {
        if (!fs_adapter_must_wait(request))
            fs_adapter_reply_error(request, error);
        return;
    }
    fs_adapter_request_end(request);
    fuse_reply_attr(request->fuse, &status,
        request->base.call.is_outdated ? 0 : node->class->timeout_seconds);
}

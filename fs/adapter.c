/* SPDX-License-Identifier: Apache-2.0 */
/* FUSE request → node call → one reply. Inode numbers of the protocol are the nodes' addresses
 * (the root's is 1); the kernel's references keep the nodes alive until it forgets them. What
 * stat shows as st_ino is node->inode. */
#define FUSE_USE_VERSION 314
#include "fs/adapter.h"

#include "core/error.h"
#include "fs/caller.h"
#include "fs/error.h"
#include "fs/failures.h"
#include "fs/node.h"
#include "fs/request.h"
#include "fs/xattr.h"
#include <errno.h>
#include <fuse3/fuse_lowlevel.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

#define LOOP_THREADS 2 /* more only pass the work around; a large write keeps one busy */
/* Reads at least this long are spliced from the spool's file instead of copied through us. */
#define SPLICE_BYTES (64 * 1024)

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
} Request;

/* An open folder: the page of its listing that was read last. */
typedef struct {
    GMutex lock;       /* guards all below; the kernel may ask twice at once */
    GPtrArray *page;   /* of FsListed */
    gint64 page_start; /* index of its first entry in the whole listing */
    gboolean is_last;
} Listing;

static FsAdapter *
adapter_of(fuse_req_t fuse)
{
    return fuse_req_userdata(fuse);
}

static FsNode *
node_of(FsAdapter *adapter, fuse_ino_t number)
{
    return number == FUSE_ROOT_ID ? adapter->root : (FsNode *)(uintptr_t)number; /* NOLINT */
}

static FsHandle *
handle_of(const struct fuse_file_info *file)
{
    return (FsHandle *)(uintptr_t)file->fh; /* NOLINT */
}

static void
request_free(FsRequest *base)
{
    Request *request = (Request *)base;

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
    Request *request = data;

    if (fs_caller_is_stopped(request->base.call.pid))
        g_cancellable_cancel(request->base.call.cancellable);
}

static void
watch_interrupts(FsRequest *base)
{
    Request *request = (Request *)base;

    fuse_req_interrupt_func(request->fuse, on_interrupt, request);
}

/* Before any reply: afterwards libfuse could call on_interrupt with a request that is freed. */
static void
end_request(Request *request)
{
    if (request->base.call.cancellable)
        fuse_req_interrupt_func(request->fuse, NULL, NULL);
}

static Request *
request_new(fuse_req_t fuse, const char *operation, fuse_ino_t number, FsRequestSpeed speed,
    void (*run)(FsRequest *base))
{
    const struct fuse_ctx *context = fuse_req_ctx(fuse);
    Request *request = g_new0(Request, 1);

    request->adapter = adapter_of(fuse);
    request->fuse = fuse;
    request->operation = operation;
    request->node = fs_node_ref(node_of(request->adapter, number));
    request->base.speed = speed;
    request->base.run = run;
    request->base.queued = watch_interrupts;
    request->base.free = request_free;
    request->base.call.uid = context->uid;
    request->base.call.gid = context->gid;
    request->base.call.pid = context->pid;
    return request;
}

static void
start(Request *request)
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
    return g_error_matches(error, LAKE_ERROR, LAKE_ERROR_OTHER_TABLE);
}

static void
record_failure(Request *request, const GError *error, int saved_errno)
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
static gboolean
must_wait(const Request *request)
{
    return request->base.call.would_block;
}

static void
reply_errno(Request *request, int number)
{
    end_request(request);
    fuse_reply_err(request->fuse, number);
}

static void
reply_error(Request *request, const GError *error)
{
    /* A function that fails without saying why has not found what it was asked about. */
    int number = error ? fs_error_to_errno(error) : ENOENT;

    if (error)
        record_failure(request, error, number);
    reply_errno(request, number);
}

/* What a kind of node does not offer at all. */
static void
reply_refusal(Request *request, const char *text)
{
    g_autoptr(GError) error = NULL;

    lake_error_set(&error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_REFUSED, "%s", text);
    reply_error(request, error);
}

/* A file whose close fails goes, or becomes what it was: its name must be asked for every time,
 * and that brings its attributes along. While it is there, only this kernel changes them. */
static double
name_timeout(FsNode *node)
{
    return node->is_pinned ? 0 : node->class->timeout_seconds;
}

static void
start_entry(FsNode *node, struct fuse_entry_param *ret_entry)
{
    *ret_entry = (struct fuse_entry_param){
        .ino = (uintptr_t)node,
        .attr_timeout = node->class->timeout_seconds,
        .entry_timeout = name_timeout(node),
    };
}

static gboolean
fill_entry(Request *request, FsNode *node, struct fuse_entry_param *ret_entry, GError **error)
{
    start_entry(node, ret_entry);
    return node->class->attributes(node, &request->base.call, &ret_entry->attr, error);
}

static void
reply_entry(Request *request, FsNode *node, GError *failure)
{
    g_autoptr(FsNode) owned = node;
    g_autoptr(GError) error = failure;
    struct fuse_entry_param entry;

    if (!must_wait(request) && node && !fill_entry(request, node, &entry, &error))
        node = NULL;
    if (must_wait(request))
        return;
    if (!node) {
        reply_error(request, error);
        return;
    }
    fs_node_remember(node);
    end_request(request);
    if (fuse_reply_entry(request->fuse, &entry) != 0)
        fs_node_forget(node, 1);
}

static void
reply_done(Request *request, gboolean is_good, GError *failure)
{
    g_autoptr(GError) error = failure;

    if (must_wait(request))
        return;
    if (is_good)
        reply_errno(request, 0);
    else
        reply_error(request, error);
}

static void
reply_attributes(Request *request, GError *failure)
{
    g_autoptr(GError) error = failure;
    FsNode *node = request->node;
    struct stat status;

    if (must_wait(request))
        return;
    if (error || !node->class->attributes(node, &request->base.call, &status, &error)) {
        if (!must_wait(request))
            reply_error(request, error);
        return;
    }
    end_request(request);
    fuse_reply_attr(request->fuse, &status, node->class->timeout_seconds);
}

/* --- names --- */

static void
run_lookup(FsRequest *base)
{
    Request *request = (Request *)base;
    const FsNodeClass *class = request->node->class;
    GError *error = NULL;
    FsNode *child = class->lookup(request->node, &base->call, request->name, &error);
    double absence =
        child || error || !class->absence_seconds ? 0 : class->absence_seconds(request->name);

    if (absence > 0 && !must_wait(request)) {
        struct fuse_entry_param nothing = {.entry_timeout = absence};
        end_request(request);
        fuse_reply_entry(request->fuse, &nothing);
        return;
    }
    reply_entry(request, child, error);
}

static void
op_lookup(fuse_req_t fuse, fuse_ino_t parent, const char *name)
{
    Request *request = request_new(fuse, "lookup", parent, FS_REQUEST_QUICK, run_lookup);

    request->name = g_strdup(name);
    start(request);
}

static void
op_forget(fuse_req_t fuse, fuse_ino_t number, uint64_t n_lookups)
{
    if (number != FUSE_ROOT_ID)
        fs_node_forget(node_of(adapter_of(fuse), number), n_lookups);
    fuse_reply_none(fuse);
}

static void
op_forget_multi(fuse_req_t fuse, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < count; i++)
        if (forgets[i].ino != FUSE_ROOT_ID)
            fs_node_forget(node_of(adapter_of(fuse), forgets[i].ino), forgets[i].nlookup);
    fuse_reply_none(fuse);
}

static void
run_mkdir(FsRequest *base)
{
    Request *request = (Request *)base;
    const FsNodeClass *class = request->node->class;
    GError *error = NULL;

    if (!class->make_folder) {
        reply_refusal(request, "folders cannot be made here; mkdir at the top makes a table");
        return;
    }
    if (!fs_call_may_block(&base->call))
        return;
    FsNode *made =
        class->make_folder(request->node, &base->call, request->name, request->mode, &error);
    reply_entry(request, made, error);
}

static void
op_mkdir(fuse_req_t fuse, fuse_ino_t parent, const char *name, mode_t mode)
{
    Request *request = request_new(fuse, "mkdir", parent, FS_REQUEST_QUICK, run_mkdir);

    request->name = g_strdup(name);
    request->mode = mode;
    start(request);
}

static void
run_remove(FsRequest *base)
{
    Request *request = (Request *)base;
    const FsNodeClass *class = request->node->class;
    gboolean is_folder = strcmp(request->operation, "rmdir") == 0;
    gboolean (*remove)(FsNode *, FsCall *, const char *, GError **) =
        is_folder ? class->remove_folder : class->remove_file;
    GError *error = NULL;

    if (!remove) {
        reply_refusal(request, "this is made by deeplakefs and cannot be removed; rmdir of a "
                               "table's folder drops the table");
        return;
    }
    if (!fs_call_may_block(&base->call))
        return;
    gboolean is_good = remove(request->node, &base->call, request->name, &error);
    reply_done(request, is_good, error);
}

static void
start_remove(fuse_req_t fuse, const char *operation, fuse_ino_t parent, const char *name)
{
    Request *request = request_new(fuse, operation, parent, FS_REQUEST_LONG, run_remove);

    request->name = g_strdup(name);
    start(request);
}

static void
op_unlink(fuse_req_t fuse, fuse_ino_t parent, const char *name)
{
    start_remove(fuse, "unlink", parent, name);
}

static void
op_rmdir(fuse_req_t fuse, fuse_ino_t parent, const char *name)
{
    start_remove(fuse, "rmdir", parent, name);
}

static void
run_rename(FsRequest *base)
{
    Request *request = (Request *)base;
    const FsNodeClass *class = request->node->class;
    GError *error = NULL;

    if (!class->rename) {
        reply_refusal(request, "this cannot be renamed");
        return;
    }
    if (request->flags & ~(guint32)RENAME_NOREPLACE) {
        reply_errno(request, EINVAL);
        return;
    }
    if (!fs_call_may_block(&base->call))
        return;
    gboolean is_good = class->rename(request->node, &base->call, request->name,
        request->new_node, request->new_name, !(request->flags & RENAME_NOREPLACE), &error);
    reply_done(request, is_good, error);
}

static void
op_rename(fuse_req_t fuse, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
    const char *new_name, unsigned int flags)
{
    Request *request = request_new(fuse, "rename", parent, FS_REQUEST_LONG, run_rename);

    request->name = g_strdup(name);
    request->new_node = fs_node_ref(node_of(request->adapter, new_parent));
    request->new_name = g_strdup(new_name);
    request->flags = flags;
    start(request);
}

/* --- attributes --- */

static void
run_getattr(FsRequest *base)
{
    reply_attributes((Request *)base, NULL);
}

static void
op_getattr(fuse_req_t fuse, fuse_ino_t number, struct fuse_file_info *file)
{
    start(request_new(fuse, "getattr", number, FS_REQUEST_QUICK, run_getattr));
}

static void
run_setattr(FsRequest *base)
{
    Request *request = (Request *)base;
    const FsNodeClass *class = request->node->class;
    GError *error = NULL;

    if (!class->change) {
        reply_refusal(request, "mode, owner, times and size of this cannot be set");
        return;
    }
    if (request->change.mask != 0)
        (void)class->change(
            request->node, &base->call, request->handle, &request->change, &error);
    reply_attributes(request, error);
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

static void
op_setattr(fuse_req_t fuse, fuse_ino_t number, struct stat *status, int to_set,
    struct fuse_file_info *file)
{
    Request *request = request_new(fuse, "setattr", number, FS_REQUEST_LONG, run_setattr);

    request->change = change_from(status, to_set);
    request->handle = file ? handle_of(file) : NULL;
    start(request);
}

static void
op_statfs(fuse_req_t fuse, fuse_ino_t number)
{
    const LakeConfig *config = lake_workspace_config(adapter_of(fuse)->workspace);
    struct statvfs status;

    if (statvfs(config->state_dir, &status) != 0) {
        fuse_reply_err(fuse, errno);
        return;
    }
    status.f_namemax = 255;
    fuse_reply_statfs(fuse, &status);
}

/* --- extended attributes --- */

static void
reply_value(Request *request, const void *value, gsize n_bytes)
{
    end_request(request);
    if (request->size == 0)
        fuse_reply_xattr(request->fuse, n_bytes);
    else if (n_bytes > request->size)
        fuse_reply_err(request->fuse, ERANGE);
    else
        fuse_reply_buf(request->fuse, value, n_bytes);
}

static void
run_getxattr(FsRequest *base)
{
    Request *request = (Request *)base;
    g_autoptr(GError) error = NULL;
    g_autofree char *json = request->node->class->xattrs(request->node, &base->call, &error);

    if (must_wait(request))
        return;
    if (error) {
        reply_error(request, error);
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
        reply_errno(request, ENODATA);
}

static void
start_getxattr(
    fuse_req_t fuse, const char *operation, fuse_ino_t number, const char *name, size_t size)
{
    Request *request = request_new(fuse, operation, number, FS_REQUEST_QUICK, run_getxattr);

    request->name = g_strdup(name);
    request->size = size;
    start(request);
}

/* ENOSYS makes the kernel answer for itself from then on. */
static gboolean
has_no_xattrs(fuse_req_t fuse)
{
    if (!lake_workspace_config(adapter_of(fuse)->workspace)->no_xattrs)
        return FALSE;
    fuse_reply_err(fuse, ENOSYS);
    return TRUE;
}

static void
op_getxattr(fuse_req_t fuse, fuse_ino_t number, const char *name, size_t size)
{
    if (has_no_xattrs(fuse))
        return;
    /* security.capability is asked for before writes: answered without looking anywhere. */
    if (!fs_xattr_is_kept(name) || !node_of(adapter_of(fuse), number)->class->xattrs)
        fuse_reply_err(fuse, ENODATA);
    else
        start_getxattr(fuse, "getxattr", number, name, size);
}

static void
op_listxattr(fuse_req_t fuse, fuse_ino_t number, size_t size)
{
    if (has_no_xattrs(fuse))
        return;
    if (node_of(adapter_of(fuse), number)->class->xattrs)
        start_getxattr(fuse, "listxattr", number, NULL, size);
    else if (size == 0)
        fuse_reply_xattr(fuse, 0);
    else
        fuse_reply_buf(fuse, NULL, 0);
}

static void
run_setxattr(FsRequest *base)
{
    Request *request = (Request *)base;
    const FsNodeClass *class = request->node->class;
    GError *error = NULL;
    g_autofree char *json = class->xattrs(request->node, &base->call, &error);
    g_autoptr(GBytes) present = error ? NULL : fs_xattr_get(json, request->name);
    gsize n_bytes = 0;
    const void *value = request->value ? g_bytes_get_data(request->value, &n_bytes) : NULL;

    if (must_wait(request))
        return;
    if (!error && ((request->flags & XATTR_CREATE) && present)) {
        reply_errno(request, EEXIST);
        return;
    }
    if (!error && ((request->flags & XATTR_REPLACE) || !request->value) && !present) {
        reply_errno(request, ENODATA);
        return;
    }
    g_autofree char *changed =
        fs_xattr_with(json, request->name, request->value && !value ? "" : value, n_bytes);
    gboolean is_good = !error && class->set_xattrs(request->node, &base->call, changed, &error);
    reply_done(request, is_good, error);
}

static void
start_setxattr(fuse_req_t fuse, const char *operation, fuse_ino_t number, const char *name,
    GBytes *value, int flags)
{
    gboolean is_kept =
        fs_xattr_is_kept(name) && node_of(adapter_of(fuse), number)->class->set_xattrs;
    gboolean is_off = lake_workspace_config(adapter_of(fuse)->workspace)->no_xattrs;

    if (!is_kept || is_off) {
        if (value)
            g_bytes_unref(value);
        fuse_reply_err(fuse, is_off ? ENOSYS : ENOTSUP);
        return;
    }
    Request *request = request_new(fuse, operation, number, FS_REQUEST_QUICK, run_setxattr);
    request->name = g_strdup(name);
    request->value = value;
    request->flags = (guint32)flags;
    start(request);
}

static void
op_setxattr(fuse_req_t fuse, fuse_ino_t number, const char *name, const char *value,
    size_t size, int flags)
{
    start_setxattr(fuse, "setxattr", number, name, g_bytes_new(value, size), flags);
}

static void
op_removexattr(fuse_req_t fuse, fuse_ino_t number, const char *name)
{
    start_setxattr(fuse, "removexattr", number, name, NULL, 0);
}

/* --- files --- */

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
    Request *request = (Request *)base;
    const FsNodeClass *class = request->node->class;
    g_autoptr(GError) error = NULL;
    FsHandle *handle;

    if (!class->open) {
        reply_refusal(request, "this cannot be opened");
        return;
    }
    handle = class->open(request->node, &base->call, request->file.flags, &error);
    if (must_wait(request))
        return;
    if (!handle) {
        reply_error(request, error);
        return;
    }
    fill_file(&request->file, handle);
    end_request(request);
    if (fuse_reply_open(request->fuse, &request->file) != 0)
        fs_handle_free(handle);
}

static void
op_open(fuse_req_t fuse, fuse_ino_t number, struct fuse_file_info *file)
{
    Request *request = request_new(fuse, "open", number, FS_REQUEST_LONG, run_open);

    request->file = *file;
    start(request);
}

static void
run_create(FsRequest *base)
{
    Request *request = (Request *)base;
    const FsNodeClass *class = request->node->class;
    g_autoptr(GError) error = NULL;
    struct fuse_entry_param entry;
    FsHandle *handle;

    if (!class->create) {
        reply_refusal(request, "files cannot be made here; copy them into ingest/<table>/");
        return;
    }
    handle = class->create(
        request->node, &base->call, request->name, request->mode, request->file.flags, &error);
    if (must_wait(request))
        return;
    if (handle && !fill_entry(request, handle->node, &entry, &error))
        g_clear_pointer(&handle, fs_handle_free);
    if (!handle) {
        reply_error(request, error);
        return;
    }
    fs_node_remember(handle->node);
    fill_file(&request->file, handle);
    end_request(request);
    if (fuse_reply_create(request->fuse, &entry, &request->file) != 0) {
        fs_node_forget(handle->node, 1);
        fs_handle_free(handle);
    }
}

static void
op_create(fuse_req_t fuse, fuse_ino_t parent, const char *name, mode_t mode,
    struct fuse_file_info *file)
{
    Request *request = request_new(fuse, "create", parent, FS_REQUEST_LONG, run_create);

    request->name = g_strdup(name);
    request->mode = mode;
    request->file = *file;
    start(request);
}

static void
reply_bytes(Request *request, LakeSpool *content)
{
    int fd = lake_spool_fd(content);
    g_autofree char *buffer = NULL;
    g_autoptr(GError) error = NULL;

    if (fd >= 0 && request->size >= SPLICE_BYTES) {
        struct fuse_bufvec bytes = FUSE_BUFVEC_INIT(request->size);
        bytes.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
        bytes.buf[0].fd = fd;
        bytes.buf[0].pos = request->offset;
        end_request(request);
        fuse_reply_data(request->fuse, &bytes, FUSE_BUF_SPLICE_MOVE);
        return;
    }
    buffer = g_malloc(request->size);
    gssize n_read = lake_spool_read(content, request->offset, buffer, request->size, &error);
    if (n_read < 0) {
        reply_error(request, error);
        return;
    }
    end_request(request);
    fuse_reply_buf(request->fuse, buffer, (size_t)n_read);
}

static void
run_read(FsRequest *base)
{
    Request *request = (Request *)base;
    FsHandle *handle = request->handle;
    g_autoptr(GError) error = NULL;

    if (handle->node->class->prepare_read &&
        !handle->node->class->prepare_read(handle, &base->call, &error)) {
        if (!must_wait(request))
            reply_error(request, error);
        return;
    }
    if (handle->content && request->offset < lake_spool_size(handle->content)) {
        reply_bytes(request, handle->content);
        return;
    }
    if (handle->at_end) {
        record_failure(request, handle->at_end, EIO);
        reply_errno(request, EIO);
        return;
    }
    end_request(request);
    fuse_reply_buf(request->fuse, NULL, 0);
}

static void
op_read(
    fuse_req_t fuse, fuse_ino_t number, size_t size, off_t offset, struct fuse_file_info *file)
{
    Request *request = request_new(fuse, "read", number, FS_REQUEST_LONG, run_read);

    request->handle = handle_of(file);
    request->size = size;
    request->offset = offset;
    start(request);
}

static void
run_write(FsRequest *base)
{
    reply_refusal((Request *)base, "this cannot be written");
}

static void
op_write(fuse_req_t fuse, fuse_ino_t number, const char *data, size_t size, off_t offset,
    struct fuse_file_info *file)
{
    FsHandle *handle = handle_of(file);
    FsCall call = {.pid = fuse_req_ctx(fuse)->pid};
    g_autoptr(GError) error = NULL;

    /* Never waits for the server, so without the round about a request. */
    if (handle->staged && handle->node->class->write &&
        handle->node->class->write(handle, &call, offset, data, size, &error)) {
        fuse_reply_write(fuse, size);
        return;
    }
    Request *request = request_new(fuse, "write", number, FS_REQUEST_QUICK, run_write);
    if (!error) {
        start(request);
        return;
    }
    reply_error(request, error);
    request_free(&request->base);
}

static void
run_flush(FsRequest *base)
{
    Request *request = (Request *)base;
    const FsNodeClass *class = request->handle->node->class;
    GError *error = NULL;
    gboolean is_good = !class->flush || class->flush(request->handle, &base->call, &error);

    reply_done(request, is_good, error);
}

static void
op_flush(fuse_req_t fuse, fuse_ino_t number, struct fuse_file_info *file)
{
    Request *request = request_new(fuse, "flush", number, FS_REQUEST_LONG, run_flush);

    request->handle = handle_of(file);
    start(request);
}

/* Nobody hears of an error here; the log and errors.jsonl do. */
static void
run_release(FsRequest *base)
{
    Request *request = (Request *)base;
    FsHandle *handle = request->handle;
    g_autoptr(GError) error = NULL;
    gboolean is_good = !handle->node->class->release ||
                       handle->node->class->release(handle, &base->call, &error);

    if (must_wait(request))
        return;
    if (!is_good && error)
        record_failure(request, error, fs_error_to_errno(error));
    fs_handle_free(handle);
    reply_errno(request, 0);
}

static void
op_release(fuse_req_t fuse, fuse_ino_t number, struct fuse_file_info *file)
{
    Request *request = request_new(fuse, "release", number, FS_REQUEST_LONG, run_release);

    request->handle = handle_of(file);
    start(request);
}

static void
run_fsync(FsRequest *base)
{
    Request *request = (Request *)base;
    FsHandle *handle = request->handle;
    GError *error = NULL;
    gboolean is_good;

    if (handle && handle->node->class->sync)
        is_good = handle->node->class->sync(handle, &base->call, &error);
    else
        is_good =
            fs_call_may_block(&base->call) &&
            lake_workspace_sync(request->adapter->workspace, base->call.cancellable, &error);
    reply_done(request, is_good, error);
}

static void
op_fsync(fuse_req_t fuse, fuse_ino_t number, int datasync, struct fuse_file_info *file)
{
    Request *request = request_new(fuse, "fsync", number, FS_REQUEST_QUICK, run_fsync);

    request->handle = handle_of(file);
    start(request);
}

static void
op_fsyncdir(fuse_req_t fuse, fuse_ino_t number, int datasync, struct fuse_file_info *file)
{
    start(request_new(fuse, "fsync", number, FS_REQUEST_QUICK, run_fsync));
}

/* --- folders --- */

static void
op_opendir(fuse_req_t fuse, fuse_ino_t number, struct fuse_file_info *file)
{
    Listing *listing = g_new0(Listing, 1);

    g_mutex_init(&listing->lock);
    file->fh = (uintptr_t)listing;
    if (fuse_reply_open(fuse, file) != 0) {
        g_mutex_clear(&listing->lock);
        g_free(listing);
    }
}

static void
op_releasedir(fuse_req_t fuse, fuse_ino_t number, struct fuse_file_info *file)
{
    Listing *listing = (Listing *)(uintptr_t)file->fh; /* NOLINT */

    g_clear_pointer(&listing->page, g_ptr_array_unref);
    g_mutex_clear(&listing->lock);
    g_free(listing);
    fuse_reply_err(fuse, 0);
}

/* Makes the page that holds entry `index`, or the last one, the present one. */
static gboolean
turn_to(Listing *listing, FsNode *folder, FsCall *call, gint64 index, GError **error)
{
    if (index == 0 || (listing->page && index < listing->page_start))
        g_clear_pointer(&listing->page, g_ptr_array_unref);
    while (!listing->page ||
           (!listing->is_last && index >= listing->page_start + listing->page->len)) {
        g_autofree char *after = NULL;
        gint64 start_index = 0;

        if (listing->page && listing->page->len > 0) {
            const FsListed *last = listing->page->pdata[listing->page->len - 1];
            after = g_strdup(last->name);
            start_index = listing->page_start + listing->page->len;
        }
        GPtrArray *page = folder->class->list(folder, call, after, &listing->is_last, error);
        if (!page)
            return FALSE;
        g_clear_pointer(&listing->page, g_ptr_array_unref);
        listing->page = page;
        listing->page_start = start_index;
    }
    return TRUE;
}

typedef struct {
    char *bytes;
    gsize used, size;
    gboolean is_plus;
    gboolean is_full;
} Page;

/* Adds one entry; *node gets a lookup of the kernel's when it went in. */
static void
add_entry(Request *request, Page *page, const char *name, const struct fuse_entry_param *entry,
    gint64 next_offset, FsNode *node)
{
    gsize room = page->size - page->used;
    gsize needed = page->is_plus ? fuse_add_direntry_plus(request->fuse,
                                       page->bytes + page->used, room, name, entry, next_offset)
                                 : fuse_add_direntry(request->fuse, page->bytes + page->used,
                                       room, name, &entry->attr, next_offset);

    if (needed > room) {
        page->is_full = TRUE;
        return;
    }
    page->used += needed;
    if (node && page->is_plus)
        fs_node_remember(node);
}

static gboolean
fill_listed(
    Request *request, FsNode *child, const FsListed *listed, struct fuse_entry_param *ret_entry)
{
    const FsNodeClass *class = request->node->class;

    start_entry(child, ret_entry);
    return (class->listed_attributes &&
               class->listed_attributes(child, listed, &ret_entry->attr)) ||
           fill_entry(request, child, ret_entry, NULL);
}

static void
add_listed(Request *request, Page *page, const FsListed *listed, gint64 next_offset)
{
    FsNode *folder = request->node;
    FsCall *call = &request->base.call;
    struct fuse_entry_param entry = {
        .attr = {.st_ino = 1, .st_mode = listed->is_folder ? S_IFDIR : S_IFREG}};
    g_autoptr(FsNode) child = NULL;

    /* Of names that the kernel may not believe (documents, queries) a lookup here would be work for
     * nothing: it asks again, and only those it needs. */
    if (page->is_plus && (listed->entry || listed->is_folder)) {
        if (folder->class->lookup_listed)
            child = folder->class->lookup_listed(folder, listed);
        if (!child)
            child = folder->class->lookup(folder, call, listed->name, NULL);
        /* Gone since the listing was made, or its attributes are not to be had now: named only,
         * and whoever asks for more gets the error. */
        if (!child || !fill_listed(request, child, listed, &entry)) {
            entry.ino = 0;
            entry.attr.st_ino = 1;
        }
    }
    add_entry(request, page, listed->name, &entry, next_offset, entry.ino ? child : NULL);
}

static gboolean
fill_page(Request *request, Listing *listing, Page *page, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&listing->lock);
    gint64 offset = request->offset;

    /* Offsets count entries; "." and ".." are the first two. */
    for (; offset < 2 && !page->is_full; offset++) {
        struct fuse_entry_param dots = {.attr = {.st_ino = 1, .st_mode = S_IFDIR}};
        add_entry(request, page, offset == 0 ? "." : "..", &dots, offset + 1, NULL);
    }
    for (; !page->is_full; offset++) {
        if (!turn_to(listing, request->node, &request->base.call, offset - 2, error))
            return page->used > 0;
        if (offset - 2 >= listing->page_start + listing->page->len)
            return TRUE;
        add_listed(
            request, page, listing->page->pdata[offset - 2 - listing->page_start], offset + 1);
    }
    return TRUE;
}

static void
run_readdir(FsRequest *base)
{
    Request *request = (Request *)base;
    g_autoptr(GError) error = NULL;
    Page page = {.size = request->size, .is_plus = request->flags != 0};

    if (!fs_call_may_block(&base->call))
        return;
    page.bytes = g_malloc(page.size);
    if (fill_page(request, request->listing, &page, &error)) {
        end_request(request);
        fuse_reply_buf(request->fuse, page.bytes, page.used);
    } else {
        reply_error(request, error);
    }
    g_free(page.bytes);
}

static void
start_readdir(fuse_req_t fuse, fuse_ino_t number, size_t size, off_t offset,
    struct fuse_file_info *file, gboolean is_plus)
{
    Request *request = request_new(fuse, "readdir", number, FS_REQUEST_QUICK, run_readdir);

    request->listing = (gpointer)(uintptr_t)file->fh; /* NOLINT */
    request->size = size;
    request->offset = offset;
    request->flags = is_plus;
    start(request);
}

static void
op_readdir(
    fuse_req_t fuse, fuse_ino_t number, size_t size, off_t offset, struct fuse_file_info *file)
{
    start_readdir(fuse, number, size, offset, file, FALSE);
}

static void
op_readdirplus(
    fuse_req_t fuse, fuse_ino_t number, size_t size, off_t offset, struct fuse_file_info *file)
{
    start_readdir(fuse, number, size, offset, file, TRUE);
}

/* --- the session --- */

static void
op_init(void *data, struct fuse_conn_info *connection)
{
    FsAdapter *adapter = data;

    /* Sizes change only at our opens; asking at every read would slow them all. */
    connection->want &= ~(unsigned)FUSE_CAP_AUTO_INVAL_DATA;
    connection->max_write = 1024 * 1024;
    if (adapter->ready)
        adapter->ready(adapter->ready_data);
}

static const struct fuse_lowlevel_ops operations = {
    .init = op_init,
    .lookup = op_lookup,
    .forget = op_forget,
    .forget_multi = op_forget_multi,
    .getattr = op_getattr,
    .setattr = op_setattr,
    .mkdir = op_mkdir,
    .unlink = op_unlink,
    .rmdir = op_rmdir,
    .rename = op_rename,
    .open = op_open,
    .read = op_read,
    .write = op_write,
    .flush = op_flush,
    .release = op_release,
    .fsync = op_fsync,
    .opendir = op_opendir,
    .readdir = op_readdir,
    .readdirplus = op_readdirplus,
    .releasedir = op_releasedir,
    .fsyncdir = op_fsyncdir,
    .statfs = op_statfs,
    .setxattr = op_setxattr,
    .getxattr = op_getxattr,
    .listxattr = op_listxattr,
    .removexattr = op_removexattr,
    .create = op_create,
};

/* What libfuse says while it attaches belongs into our error, not on stderr. */
static GString *attach_log;

static void
note_log(enum fuse_log_level level, const char *format, va_list arguments)
{
    if (attach_log)
        g_string_append_vprintf(attach_log, format, arguments);
    else if (level != FUSE_LOG_DEBUG)
        g_logv(G_LOG_DOMAIN, G_LOG_LEVEL_INFO, format, arguments);
    else
        g_logv(G_LOG_DOMAIN, G_LOG_LEVEL_DEBUG, format, arguments);
}

static struct fuse_session *
new_session(FsAdapter *adapter, const FsAdapterOptions *options)
{
    const LakeConfig *config = lake_workspace_config(adapter->workspace);
    g_autofree char *text =
        g_strconcat("fsname=deeplakefs,subtype=deeplakefs,default_permissions",
            config->read_only ? ",ro" : "", options->fuse_options ? "," : "",
            options->fuse_options ? options->fuse_options : "",
            options->is_debug ? ",debug" : "", NULL);
    struct fuse_args arguments = FUSE_ARGS_INIT(0, NULL);
    struct fuse_session *session = NULL;

    if (fuse_opt_add_arg(&arguments, "deeplakefs") == 0 &&
        fuse_opt_add_arg(&arguments, "-o") == 0 && fuse_opt_add_arg(&arguments, text) == 0)
        session = fuse_session_new(&arguments, &operations, sizeof operations, adapter);
    fuse_opt_free_args(&arguments);
    return session;
}

static gboolean
mount_session(FsAdapter *adapter, const FsAdapterOptions *options, GError **error)
{
    g_autoptr(GString) said = g_string_new(NULL);
    LakeErrorCode code = LAKE_ERROR_BAD_INPUT;

    attach_log = said;
    fuse_set_log_func(note_log);
    adapter->session = new_session(adapter, options);
    if (adapter->session && fuse_session_mount(adapter->session, options->mountpoint) != 0) {
        code = LAKE_ERROR_FAILED;
        g_clear_pointer(&adapter->session, fuse_session_destroy);
    }
    attach_log = NULL;
    if (options->is_debug)
        fuse_set_log_func(NULL);
    if (adapter->session)
        return TRUE;
    g_strdelimit(g_strstrip(said->str), "\n", ' ');
    lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, code, "cannot mount on %s: %s",
        options->mountpoint, *said->str ? said->str : "libfuse gave no reason");
    return FALSE;
}

static void
free_unmounted(FsAdapter *adapter)
{
    fs_requests_free(adapter->requests);
    fs_node_unref(adapter->root);
    fs_context_free(adapter->context);
    g_free(adapter);
}

FsAdapter *
fs_adapter_attach(LakeWorkspace *workspace, const FsAdapterOptions *options, GError **error)
{
    FsAdapter *adapter = g_new0(FsAdapter, 1);
    sigset_t all;
    sigset_t former;

    adapter->workspace = workspace;
    adapter->on_failure = options->on_failure;
    adapter->failure_data = options->failure_data;
    adapter->context = fs_context_new(workspace);
    adapter->root = fs_node_new(&fs_node_root, adapter->context);
    /* Signals are the serving thread's: workers inherit this mask. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &former);
    adapter->requests = fs_requests_new();
    pthread_sigmask(SIG_SETMASK, &former, NULL);
    if (!mount_session(adapter, options, error)) {
        free_unmounted(adapter);
        return NULL;
    }
    return adapter;
}

gboolean
fs_adapter_serve(FsAdapter *adapter, FsReadyFunc ready, gpointer user_data)
{
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    int result;

    adapter->ready = ready;
    adapter->ready_data = user_data;
    fuse_loop_cfg_set_max_threads(config, LOOP_THREADS);
    fuse_loop_cfg_set_idle_threads(config, LOOP_THREADS);
    result = fuse_session_loop_mt(adapter->session, config);
    fuse_loop_cfg_destroy(config);
    /* Positive: a signal. */
    return result >= 0;
}

void
fs_adapter_stop(FsAdapter *adapter)
{
    fuse_session_exit(adapter->session);
}

guint
fs_adapter_drain(
    FsAdapter *adapter, void (*progress)(guint n_left, gpointer user_data), gpointer user_data)
{
    const LakeConfig *config = lake_workspace_config(adapter->workspace);
    gint64 until = g_get_monotonic_time() + config->drain_timeout_ms * 1000;
    guint n_cancelled;

    for (;;) {
        gint64 left_ms = (until - g_get_monotonic_time()) / 1000;

        if (left_ms <= 0)
            break;
        if (fs_requests_wait(adapter->requests, MIN(left_ms, 1000)))
            return 0;
        if (progress)
            progress(fs_requests_n_running(adapter->requests), user_data);
    }
    n_cancelled = fs_requests_cancel(adapter->requests);
    (void)fs_requests_wait(adapter->requests, 10000);
    return n_cancelled;
}

void
fs_adapter_detach(FsAdapter *adapter)
{
    fuse_session_unmount(adapter->session);
    fuse_session_destroy(adapter->session);
    free_unmounted(adapter);
}

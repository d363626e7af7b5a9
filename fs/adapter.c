/* SPDX-License-Identifier: Apache-2.0 */
/* The session: attach, serve, detach. FUSE requests become node calls in fs/adapter/. */
#include "fs/adapter/request.h"

#include "core/error.h"
#include <pthread.h>
#include <signal.h>
#include <string.h>

#define LOOP_THREADS 2 /* more only pass the work around; a large write keeps one busy */

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
    .lookup = fs_adapter_op_lookup,
    .forget = fs_adapter_op_forget,
    .forget_multi = fs_adapter_op_forget_multi,
    .getattr = fs_adapter_op_getattr,
    .setattr = fs_adapter_op_setattr,
    .mknod = fs_adapter_op_mknod,
    .mkdir = fs_adapter_op_mkdir,
    .symlink = fs_adapter_op_symlink,
    .link = fs_adapter_op_link,
    .unlink = fs_adapter_op_unlink,
    .rmdir = fs_adapter_op_rmdir,
    .rename = fs_adapter_op_rename,
    .open = fs_adapter_op_open,
    .read = fs_adapter_op_read,
    .write = fs_adapter_op_write,
    .flush = fs_adapter_op_flush,
    .release = fs_adapter_op_release,
    .fsync = fs_adapter_op_fsync,
    .opendir = fs_adapter_op_opendir,
    .readdir = fs_adapter_op_readdir,
    .readdirplus = fs_adapter_op_readdirplus,
    .releasedir = fs_adapter_op_releasedir,
    .fsyncdir = fs_adapter_op_fsyncdir,
    .statfs = fs_adapter_op_statfs,
    .setxattr = fs_adapter_op_setxattr,
    .getxattr = fs_adapter_op_getxattr,
    .listxattr = fs_adapter_op_listxattr,
    .removexattr = fs_adapter_op_removexattr,
    .create = fs_adapter_op_create,
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
    if (adapter->requests)
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
    fs_freshness_begin(adapter->context, adapter->root, &fs_adapter_kernel_calls, adapter);
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
    fs_adapter_settle(adapter);
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
    fs_adapter_settle(adapter);
    fuse_session_unmount(adapter->session);
    fs_requests_free(g_steal_pointer(&adapter->requests));
    fs_freshness_free(adapter->context);
    fuse_session_destroy(adapter->session);
    free_unmounted(adapter);
}

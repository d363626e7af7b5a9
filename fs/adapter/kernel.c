/* SPDX-License-Identifier: Apache-2.0 */
/* What is told to the kernel unasked. */
#include "fs/adapter/request.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define SERVE_SLICE_MS 20

static fuse_ino_t
number_of(const FsAdapter *adapter, FsNode *node)
{
    return node == adapter->root ? FUSE_ROOT_ID : (uintptr_t)node;
}

/* Not fuse_lowlevel_notify_inval_entry(): that takes a folder out of the tree under those who
 * work in it. A kernel before 6.2 cannot do this, and waits for its timeouts. */
static void
expire_name(gpointer kernel, FsNode *folder, const char *name)
{
    FsAdapter *adapter = kernel;

    (void)fuse_lowlevel_notify_expire_entry(
        adapter->session, number_of(adapter, folder), name, strlen(name), FUSE_LL_EXPIRE_ONLY);
}

static void
expire_attributes(gpointer kernel, FsNode *node)
{
    FsAdapter *adapter = kernel;

    /* A negative offset: no pages, for which the kernel would wait while they are read. */
    (void)fuse_lowlevel_notify_inval_inode(adapter->session, number_of(adapter, node), -1, 0);
}

const FsKernelCalls fs_adapter_kernel_calls = {
    .expire_name = expire_name,
    .expire_attributes = expire_attributes,
};

void
fs_adapter_settle(FsAdapter *adapter)
{
    struct fuse_buf buffer = {0};
    struct pollfd fd = {.fd = fuse_session_fd(adapter->session), .events = POLLIN};

    fs_freshness_end(adapter->context);
    if (fs_freshness_is_idle(adapter->context))
        return;
    fuse_session_reset(adapter->session);
    while (!fs_freshness_is_idle(adapter->context))
        if (poll(&fd, 1, SERVE_SLICE_MS) > 0 && (fd.revents & POLLIN) &&
            fuse_session_receive_buf(adapter->session, &buffer) > 0)
            fuse_session_process_buf(adapter->session, &buffer);
    free(buffer.mem);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "mount/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

/* Written by the handler, which may run in any thread. */
static atomic_int received;
static _Atomic(FsAdapter *) stoppable;
static int wakeup_fds[2];

static void
handle_leave(int number)
{
    int saved_errno = errno;
    int none = 0;

    if (!atomic_compare_exchange_strong(&received, &none, number))
        _exit(130);

    FsAdapter *adapter = atomic_load(&stoppable);
    if (adapter)
        fs_adapter_stop(adapter);
    /* Cancelling takes locks, which a handler may not: a thread does it. */
    while (write(wakeup_fds[1], "", 1) < 0 && errno == EINTR)
        continue;
    errno = saved_errno;
}

static void
handle_pipe(int number)
{
}

static gpointer
cancel_when_woken(gpointer cancellable)
{
    char byte;

    while (read(wakeup_fds[0], &byte, 1) < 0 && errno == EINTR)
        continue;
    g_cancellable_cancel(cancellable);
    return NULL;
}

void
mount_signals_init(GCancellable *cancellable)
{
    g_autoptr(GError) error = NULL;
    if (!g_unix_open_pipe(wakeup_fds, FD_CLOEXEC, &error))
        g_error("cannot make a pipe: %s", error->message);
    g_thread_unref(g_thread_new("signals", cancel_when_woken, cancellable));

    /* No SA_RESTART: the read of the FUSE device must return. A handler for SIGPIPE rather than
     * SIG_IGN, which programs that we start would inherit. */
    struct sigaction leave = {.sa_handler = handle_leave};
    struct sigaction ignore = {.sa_handler = handle_pipe};
    sigaction(SIGINT, &leave, NULL);
    sigaction(SIGTERM, &leave, NULL);
    sigaction(SIGHUP, &leave, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
}

void
mount_signals_set_adapter(FsAdapter *adapter)
{
    atomic_store(&stoppable, adapter);
    if (adapter && atomic_load(&received))
        fs_adapter_stop(adapter);
}

int
mount_signals_received(void)
{
    return atomic_load(&received);
}

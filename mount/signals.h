/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mount/signals.h: SIGINT, SIGTERM and SIGHUP ask the program to leave; a second one makes it
 * leave at once. SIGPIPE only makes writes fail, so that a private server is left in order.
 *
 * Init after the last fork: it starts a thread.
 */

#include "fs/adapter.h"

/* The first signal cancels cancellable, which must live as long as the program. */
void mount_signals_init(GCancellable *cancellable);

/* From now on a signal also stops this mount; NULL: no longer. A signal that came before
 * counts. */
void mount_signals_set_adapter(FsAdapter *adapter);

/* The signal that came, or 0. */
int mount_signals_received(void);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mount/daemon.h: fork, and tell the parent how it went.
 *
 * Fork before any thread, connection or lock exists. The child's verdict travels through a
 * pipe: one byte of exit status, then the text to print.
 */

#include <glib.h>
#include <sys/types.h>

/* Returns 0 in the child, its pid in the parent, -1 on failure. *ret_fd is this side's end of
 * the pipe. The child is in a session of its own, in "/", with stdin and stdout on /dev/null;
 * stderr stays until mount_log_to_file or mount_daemon_silence. */
pid_t mount_daemon_fork(int *ret_fd, GError **error);

/* In the child: gives the verdict and closes fd. text is NULL where all is well. */
void mount_daemon_report(int fd, int exit_status, const char *text);

/* stderr to /dev/null: whoever reads the other end would wait for as long as we live. */
void mount_daemon_silence(void);

/* In the parent: waits for the verdict, prints its text on stderr and returns its exit status.
 * SIGINT and SIGTERM are passed on to the child meanwhile. A child that dies without one gives
 * MOUNT_EXIT_SYSTEM. */
int mount_daemon_wait(pid_t child, int fd);

/* TRUE once path answers as another file system than device before. A stat that hangs is given
 * up after timeout_ms. */
gboolean mount_daemon_probe(const char *path, dev_t before, gint64 timeout_ms);

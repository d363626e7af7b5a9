/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mount/log.h: where g_log messages go: one line each, "time level [pid] text".
 *
 * stderr at first; a daemon moves to <state_dir>/deeplakefs.log, which several daemons may
 * share. Levels: error is a bug of ours (g_warning and above), warning what went wrong in use
 * (g_message), info (g_info), debug (g_debug). Init belongs to the main thread; logging to any.
 */

#include <glib.h>

/* level: "error", "warning", "info" or "debug"; NULL is info. */
void mount_log_init(const char *level);

/* From here on into the state folder's log; FALSE when it cannot be opened, and stderr stays.
 */
gboolean mount_log_to_file(const char *state_dir, GError **error);

/* One line as the log has it, with its newline; caller frees. What would break a line is a
 * space. */
char *mount_log_format(gint64 time_us, GLogLevelFlags level, int pid, const char *message);

/* As mount_log_to_file, with the size at which the file is rotated. For tests. */
gboolean mount_log_to_file_of_size(const char *state_dir, gint64 max_bytes, GError **error);

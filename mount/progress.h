/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mount/progress.h: a bar on stderr while something takes time; nothing where stderr is no
 * terminal.
 *
 * Redrawn at most ten times a second. Any thread; one lock.
 */

#include <glib.h>

typedef struct MountProgress MountProgress;

/* total_bytes may be 0: then there is no bar, only what mount_progress_note says. */
MountProgress *mount_progress_new(gint64 total_bytes);
/* Clears the line. NULL is allowed. */
void mount_progress_free(MountProgress *progress);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MountProgress, mount_progress_free)

/* n_bytes more are done; name is what is being worked on. */
void mount_progress_add(MountProgress *progress, const char *name, gint64 n_bytes);

/* Shows text alone. */
void mount_progress_note(MountProgress *progress, const char *text);

/* Prints a line on stderr, terminal or not, above the bar. */
void mount_progress_print(MountProgress *progress, const char *line);

/* The bar's text: "name  [####    ]  42%  1.2 MB/s  ETA 0:03", at most n_columns wide.
 * bytes_per_s 0: not known. Caller frees. */
char *mount_progress_format(const char *name, gint64 done_bytes, gint64 total_bytes,
    double bytes_per_s, guint n_columns);

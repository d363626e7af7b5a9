/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mount/progress.h: bars on stderr while something takes time; nothing where stderr is no
 * terminal.
 *
 * One bar for all files, and under it one for each file that takes long. A thread of its own
 * redraws them, at most ten times a second, so that a slow terminal delays nobody's work. Any
 * thread may call.
 */

#include "core/ingest.h"

typedef struct MountProgress MountProgress;
typedef struct MountProgressJob MountProgressJob;

/* n_files 0: there are no bars, only what mount_progress_note says. */
MountProgress *mount_progress_new(guint n_files, gint64 total_bytes);
/* Clears what is shown. No job may be left. NULL is allowed. */
void mount_progress_free(MountProgress *progress);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MountProgress, mount_progress_free)

/* One of the files is begun. */
MountProgressJob *
mount_progress_begin(MountProgress *progress, const char *name, gint64 size_bytes);
/* A LakeIngestProgress; user_data is the job. */
void mount_progress_update(const LakeIngestState *state, gpointer job);
/* Its part of all is done, whatever became of it. Frees the job. */
void mount_progress_end(MountProgressJob *job);

/* Shows text alone. */
void mount_progress_note(MountProgress *progress, const char *text);

/* Prints a line on stderr, terminal or not, above the bars. */
void mount_progress_print(MountProgress *progress, const char *line);

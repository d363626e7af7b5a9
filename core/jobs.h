/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/jobs.h: the ingests that run now and the last that ended, for status.json and progress.
 *
 * Any thread; one lock, held for a copy.
 */

#include "core/ingest.h"

typedef struct LakeJobs LakeJobs;
typedef struct LakeJob LakeJob;

LakeJobs *lake_jobs_new(void);
void lake_jobs_free(LakeJobs *jobs);

LakeJob *
lake_jobs_begin(LakeJobs *jobs, const char *table, const char *path, gint64 size_bytes);
/* A LakeIngestProgress; user_data is the job. */
void lake_jobs_progress(const LakeIngestState *state, gpointer job);
/* entry is what was committed; NULL: it failed, and error says why. The job is not to be used
 * afterwards. */
void
lake_jobs_end(LakeJobs *jobs, LakeJob *job, const LakeLedgerEntry *entry, const GError *error);

guint lake_jobs_n_running(LakeJobs *jobs);
/* Waits until none runs, or cancelled, or timeout_ms (-1: no limit) has passed; FALSE in the
 * last two. */
gboolean lake_jobs_wait(LakeJobs *jobs, gint64 timeout_ms, GCancellable *cancellable);

/* One JSON object per line: running ones in the order they began, then the last ended, latest
 * first. While a job runs its rows_written and bytes_done never fall. Caller frees. */
char *lake_jobs_to_jsonl(LakeJobs *jobs);

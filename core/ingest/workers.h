/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/workers.h: parts of one file on several cores, their results in order.
 *
 * The workers are the threads of a workspace: a bounded number, shared by all files that are
 * being ingested. A sequence is one file's parts (pages of a PDF, thumbnails of a video): they
 * are pushed in order, run in any order, and popped in the order they were pushed. The first
 * that fails stops the others.
 *
 *     seq = lake_ingest_sequence_new(workers, render, page_free, document, cancellable);
 *     while (next page, or something is pending) {
 *         while (next page && !lake_ingest_sequence_is_full(seq))
 *             lake_ingest_sequence_push(seq, page_new(…));
 *         page = lake_ingest_sequence_pop(seq, error);
 *         …
 *     }
 *     lake_ingest_sequence_free(seq);
 *
 * A part never waits for another part, or workers that all wait would never end.
 */

#include "core/ingest.h"

typedef struct LakeIngestSequence LakeIngestSequence;

/* Does one part, on some worker. Ends early, with CANCELLED, once stop is cancelled: because
 * the caller gave up, another part failed, or this one took longer than allowed. */
typedef gboolean (*LakeIngestWork)(
    gpointer part, gpointer user_data, GCancellable *stop, GError **error);

/* user_data is borrowed and outlives the sequence; part_free is called for parts that are never
 * popped. A part that runs longer than part_timeout_ms (0: no limit) fails the sequence with
 * BAD_INPUT. */
LakeIngestSequence *lake_ingest_sequence_new(LakeIngestWorkers *workers, LakeIngestWork work,
    GDestroyNotify part_free, gpointer user_data, gint64 part_timeout_ms,
    GCancellable *cancellable);
/* Stops what runs, forgets what waits, and returns when nothing runs any more. NULL is allowed.
 */
void lake_ingest_sequence_free(LakeIngestSequence *sequence);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeIngestSequence, lake_ingest_sequence_free)

/* The pusher should pop first: enough is pending to keep every worker busy. This is what bounds
 * the memory. */
gboolean lake_ingest_sequence_is_full(LakeIngestSequence *sequence);
guint lake_ingest_sequence_n_pending(LakeIngestSequence *sequence); /* pushed, not popped */

/* Takes part. */
void lake_ingest_sequence_push(LakeIngestSequence *sequence, gpointer part);

/* Waits for the part that was pushed first, and gives it away. NULL with the error of whichever
 * part failed first, or CANCELLED. Something has to be pending. */
gpointer lake_ingest_sequence_pop(LakeIngestSequence *sequence, GError **error);

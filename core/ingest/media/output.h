/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/media/output.h: one segment's packets written as a file of its own into a spool.
 *
 * The same packets give the same bytes. Memory does not grow with the packets' size, only by
 * some 100 bytes for each. One thread at a time.
 */

#include "core/ingest/media/track.h"
#include "core/spool.h"

typedef struct LakeMediaOutput LakeMediaOutput;

/* Begins a segment whose clock is 0 at that time of the file's clock. is_first: what precedes
 * it is what decoders need before the first sound, not another segment. NULL with an error. */
LakeMediaOutput *lake_media_output_open(const GPtrArray *tracks, const char *staging_dir,
    gint64 start_ticks, AVRational start_unit, gboolean is_first, GError **error);
void lake_media_output_close(LakeMediaOutput *output);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeMediaOutput, lake_media_output_close)

/* Writes a packet of the track that was at this index; packet stays the caller's.
 *   TOO_BIG  the segment is beyond LAKE_ROWS_VALUE_MAX_BYTES
 *   NO_SPACE */
gboolean lake_media_output_write(
    LakeMediaOutput *output, guint track, const AVPacket *packet, GError **error);

/* Completes the file; caller owns the spool. */
LakeSpool *lake_media_output_finish(LakeMediaOutput *output, GError **error);

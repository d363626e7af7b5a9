/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/media.h: a video file, cut into files that play on their own. The door to FFmpeg:
 * nothing of it shows here.
 *
 * MP4 and QuickTime, Matroska and WebM, AVI; the content says which. Frames are copied, never
 * encoded again. The pieces together have every frame of the main video track and of all audio
 * tracks once.
 *
 * Times are seconds from the file's start: where its clock is 0, or at its first frame where
 * that comes later.
 *
 * One thread at a time per LakeMedia. A segment belongs to whoever has it, and outlives its
 * LakeMedia.
 */

#include "core/spool.h"

typedef struct LakeMedia LakeMedia;
typedef struct LakeMediaStill LakeMediaStill;

typedef struct {
    LakeSpool *data;       /* an MP4, WebM or Matroska file; its clock begins at 0 */
    double start;          /* seconds */
    double end;            /* where the next one starts, or the last frame ends */
    char *text;            /* subtitles that appear in it, one per line; NULL: none */
    LakeMediaStill *still; /* its first frames, still encoded */
} LakeMediaSegment;

/* Opens the file, which stays borrowed, and looks at its structure.
 *
 * A segment begins at the first key frame at or after each multiple of segment_seconds; where
 * none lies between two multiples there is none. staging_dir is where the segments' data lie.
 * NULL, class INGEST:
 *   BAD_INPUT  no such container, cut off, damaged, no video track
 *   TOO_BIG    its tables are beyond what is held in memory */
LakeMedia *lake_media_open(LakeSpool *content, gint64 segment_seconds, const char *staging_dir,
    GCancellable *cancellable, GError **error);
void lake_media_close(LakeMedia *media);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeMedia, lake_media_close)

/* Cuts off the next segment; *ret_segment is NULL after the last. Once it has failed it is not
 * to be called again.
 *   BAD_INPUT  damaged, with the place
 *   TOO_BIG    a segment beyond LAKE_ROWS_VALUE_MAX_BYTES */
gboolean lake_media_next(LakeMedia *media, LakeMediaSegment **ret_segment,
    GCancellable *cancellable, GError **error);

/* What a user should know of the file, of char*; more of it after the last segment. Borrowed.
 */
const GPtrArray *lake_media_notes(const LakeMedia *media);
/* How far reading is. */
gint64 lake_media_bytes_read(const LakeMedia *media);

void lake_media_segment_free(LakeMediaSegment *segment);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeMediaSegment, lake_media_segment_free)

/* The first frame that can be shown, as JPEG: upright, square pixels, the longer side of
 * LAKE_MEDIA_THUMBNAIL_PIXELS. NULL with the reason, owned by the caller, in *ret_reason. Any
 * thread; takes as long as decoding a frame or a few. */
#define LAKE_MEDIA_THUMBNAIL_PIXELS 320
GBytes *lake_media_still_draw(
    const LakeMediaStill *still, GCancellable *cancellable, char **ret_reason);

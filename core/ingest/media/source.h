/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/media/source.h: the packets of the tracks that are kept, in the order in which
 * they go into segments, and where one segment ends and the next begins.
 *
 * Files interleave their tracks as they like. Each track has a queue; the packet with the least
 * time goes first. A key frame that begins a segment waits until everything before it has gone.
 * What is queued is bounded: a file that interleaves worse than that gets its stragglers in the
 * segment that is open. One thread at a time.
 */

#include "core/ingest/media/input.h"
#include "core/ingest/media/track.h"

typedef struct {
    LakeMediaInput *input;
    GPtrArray *tracks;    /* of LakeMediaTrack, in the file's order */
    LakeMediaTrack *main; /* one of them */
    GPtrArray *notes;     /* of char* */

    AVRational start_unit;  /* of start_ticks */
    gint64 start_ticks;     /* the file's start, as its tracks count */
    double segment_seconds; /* nominal */
    double boundary;        /* where the next segment begins at the earliest, seconds */
    double first_open;      /* the first key frame since then that was no good; < 0: none */
    gboolean is_begun;      /* the main track has given a packet */
    gboolean is_at_end;
    gboolean is_judged; /* the head of the main track: is_cut holds */
    gboolean is_cut;
} LakeMediaSource;

LakeMediaSource *lake_media_source_open(LakeSpool *content, LakeMediaContainer container,
    double segment_seconds, GCancellable *cancellable, GError **error);
void lake_media_source_close(LakeMediaSource *source);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeMediaSource, lake_media_source_close)

/* The next packet's track; *ret_is_cut: a segment begins with it. The packet is that track's
 * head, for lake_media_track_pop. *ret_track is NULL at the end. */
gboolean lake_media_source_next(
    LakeMediaSource *source, LakeMediaTrack **ret_track, gboolean *ret_is_cut, GError **error);

/* A time of that unit in seconds from the file's start. */
double lake_media_source_seconds(const LakeMediaSource *source, gint64 ticks, AVRational unit);

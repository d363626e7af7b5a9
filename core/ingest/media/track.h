/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/media/track.h: one track that is kept: its packets on their way from the file to
 * a segment, with times that a muxer accepts.
 *
 * Containers leave times out: AVI has no presentation times, Matroska no decoding times. Here
 * both are there, decoding times rise, and none is after the presentation. One thread at a
 * time.
 */

#include "core/error.h"
#include "core/ingest/media/reorder.h"

#include <libavcodec/bsf.h>
#include <libavformat/avformat.h>

typedef struct {
    AVStream *stream;              /* borrowed */
    gboolean is_main;              /* the video */
    AVRational unit;               /* of all times here, seconds */
    AVCodecParameters *parameters; /* as they are now; they can change on the way */
    AVBSFContext *filter;          /* NULL: none is needed */
    LakeMediaReorder *reorder;     /* NULL: the container says when frames are shown */

    GQueue packets;   /* of AVPacket */
    GList *unsettled; /* in packets: the first whose times are not final; NULL: all are */
    guint n_unsettled;
    gsize n_bytes;   /* of packets */
    gint64 last_dts; /* of the last settled one; AV_NOPTS_VALUE: none yet */
    gint64 n_mended; /* packets whose times were out of order */
} LakeMediaTrack;

/* NULL with an error (BAD_INPUT). */
LakeMediaTrack *
lake_media_track_new(AVStream *stream, gboolean is_main, gboolean is_avi, GError **error);
void lake_media_track_free(LakeMediaTrack *track);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeMediaTrack, lake_media_track_free)

/* Adds what packet has, which is empty afterwards; a packet without data ends the track.
 *   BAD_INPUT  times jump back, or it is encrypted */
gboolean lake_media_track_push(LakeMediaTrack *track, AVPacket *packet, GError **error);

/* The first packet and the one after it, borrowed, once their times are final; else NULL. */
const AVPacket *lake_media_track_head(const LakeMediaTrack *track);
const AVPacket *lake_media_track_second(const LakeMediaTrack *track);
/* Takes the head off. Parameters that change with it have changed then. */
AVPacket *lake_media_track_pop(LakeMediaTrack *track);

/* TRUE when the packet brings parameters that differ from those before. */
gboolean lake_media_track_changes(const LakeMediaTrack *track, const AVPacket *packet);

/* A frame's length in ticks, at least 1. */
gint64 lake_media_track_duration(const LakeMediaTrack *track, const AVPacket *packet);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/media/reorder.h: when frames are shown, where the container does not say it.
 *
 * AVI has one time per frame, in the order of decoding. H.264 and H.265 number their pictures
 * in the order of showing (the picture order count), from one refresh to the next: so many
 * places as a frame moves between the two orders, so many frames later or earlier it is shown.
 * One thread at a time.
 */

#include <glib.h>
#include <libavformat/avformat.h>

/* Frames that can be shown before one that is decoded before them. */
#define LAKE_MEDIA_REORDER_MAX 16

typedef struct LakeMediaReorder LakeMediaReorder;

/* NULL for other codecs. */
LakeMediaReorder *lake_media_reorder_new(const AVStream *stream);
void lake_media_reorder_free(LakeMediaReorder *reorder);

/* Looks into a packet, in the order of decoding; from then on its `pos` is its place among all
 * in the order of showing. */
void lake_media_reorder_look(LakeMediaReorder *reorder, AVPacket *packet);

/* Sets both times of the packet in link, whose followers, as many as matter, are behind it.
 * Once for each packet, in order. duration is a frame's, in ticks. */
void lake_media_reorder_settle(LakeMediaReorder *reorder, GList *link, gint64 duration);

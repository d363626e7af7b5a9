/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/media/still.h: the first frames of a segment, still encoded, until a worker draws
 * the thumbnail. The drawing itself is in core/ingest/media.h.
 */

#include "core/ingest/media.h"
#include "core/ingest/media/track.h"

LakeMediaStill *lake_media_still_new(const LakeMediaTrack *track);
void lake_media_still_free(LakeMediaStill *still);

/* Keeps packet too, as long as it is one of the first few. */
void lake_media_still_add(LakeMediaStill *still, const AVPacket *packet);

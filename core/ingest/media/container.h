/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/media/container.h: which container a file is, and whether all of it is there.
 *
 * Demuxers are made to play what there is of a cut file, without a word. So the sizes that a
 * container declares are compared with the file first; and its counts with what could be in it,
 * since demuxers make tables of that many entries. Truth: ISO/IEC 14496-12 (boxes), RFC 8794
 * (EBML), RFC 9559 (Matroska), the OpenDML AVI extensions. Any thread.
 */

#include "core/spool.h"

typedef enum {
    LAKE_MEDIA_UNKNOWN, /* never of a file that is accepted */
    LAKE_MEDIA_MP4,     /* and QuickTime */
    LAKE_MEDIA_MATROSKA,
    LAKE_MEDIA_AVI,
} LakeMediaContainer;

/* LAKE_MEDIA_UNKNOWN with an error: BAD_INPUT, TOO_BIG. */
LakeMediaContainer
lake_media_container_check(LakeSpool *content, GCancellable *cancellable, GError **error);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/media/subtitles.h: what a text subtitle track says, and when.
 *
 * All of it is read before the first segment is cut, since files may have it anywhere. One
 * thread at a time.
 */

#include "core/ingest/media/source.h"

typedef struct LakeMediaSubtitles LakeMediaSubtitles;

/* Reads the text subtitle track that the file marks as default, else its first; without one
 * there are no texts. Adds to the source's notes. NULL with an error: CANCELLED, BAD_INPUT. */
LakeMediaSubtitles *
lake_media_subtitles_read(LakeMediaSource *source, GCancellable *cancellable, GError **error);
void lake_media_subtitles_free(LakeMediaSubtitles *subtitles);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeMediaSubtitles, lake_media_subtitles_free)

/* What appears before `end` (seconds) and was not taken yet, one event after the other, each on
 * lines of its own; caller frees. NULL: nothing. */
char *lake_media_subtitles_take(LakeMediaSubtitles *subtitles, double end);

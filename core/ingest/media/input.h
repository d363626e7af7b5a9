/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/media/input.h: a spool opened by FFmpeg's demuxer of its container.
 *
 * Only that one demuxer, and only this spool: whatever else a file names is never opened. One
 * thread at a time.
 */

#include "core/error.h"
#include "core/ingest/media/container.h"

#include <libavformat/avformat.h>

typedef struct {
    AVFormatContext *format;
    LakeMediaContainer container;

    LakeSpool *content; /* borrowed */
    gint64 position;
    gint64 n_read;             /* bytes, again and again counted */
    GCancellable *cancellable; /* of the call that runs; borrowed */
    GError *error;             /* why reading failed, where it is not the file's fault */
} LakeMediaInput;

/* Opens it, its streams not yet looked into. container is what the check said. */
LakeMediaInput *lake_media_input_open(LakeSpool *content, LakeMediaContainer container,
    GCancellable *cancellable, GError **error);
void lake_media_input_close(LakeMediaInput *input);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeMediaInput, lake_media_input_close)

/* The next packet of a stream that is not discarded. *ret_done and no packet: the end.
 *   BAD_INPUT  damaged there; the message says where */
gboolean lake_media_input_read(
    LakeMediaInput *input, AVPacket *packet, gboolean *ret_done, GError **error);

/* Sets *error for a call of FFmpeg that failed: the cause that is not the file's fault, or
 * BAD_INPUT with the message and what FFmpeg said. */
void
lake_media_input_fail(LakeMediaInput *input, int av_error, const char *act, GError **error);

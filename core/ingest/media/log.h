/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/media/log.h: what FFmpeg says goes into errors, and nowhere else.
 *
 * Per thread: its decoders are told to make no threads of their own, so that what it says about
 * a call is said in the thread that made it. Any thread.
 */

#include "core/error.h"

/* Makes FFmpeg silent, and bounds what it allocates at once. Before anything else of it; again
 * does nothing. */
void lake_media_log_init(void);

/* Forgets what was said. */
void lake_media_log_clear(void);
/* The last complaint of this thread, "" when there is none. Borrowed until the next call of
 * FFmpeg. UTF-8, one line. */
const char *lake_media_log_last(void);

/* Sets *error with the message, a colon, and what FFmpeg said or what its error code means. */
void lake_media_log_error(GError **error, LakeErrorCode code, int av_error, const char *format,
    ...) G_GNUC_PRINTF(4, 5);

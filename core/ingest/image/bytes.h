/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/image/bytes.h: an image's bytes, looked at piece by piece, and the errors of what
 * is wrong with them.
 *
 * One thread. An error once set stays, and all later reads fail, so that a walk may check at
 * its end.
 */

#include "core/spool.h"

/* A look at a part is at most this large. */
#define LAKE_IMAGE_BYTES_WINDOW (32 * 1024)

typedef struct {
    LakeSpool *content;
    gint64 size_bytes;
    guint8 *window; /* bytes of content from `begins` on; LAKE_IMAGE_BYTES_WINDOW of room */
    gint64 begins;
    gsize n_bytes;
    GCancellable *cancellable;
    GError *error;
} LakeImageBytes;

/* Both are borrowed. */
void
lake_image_bytes_init(LakeImageBytes *bytes, LakeSpool *content, GCancellable *cancellable);
void lake_image_bytes_clear(LakeImageBytes *bytes);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(LakeImageBytes, lake_image_bytes_clear)

/* n_bytes bytes from offset on, borrowed until the next call. NULL where the file ends before
 * (the error says that `what`, which begins at offset, is cut off), or could not be read. */
const guint8 *
lake_image_bytes_get(LakeImageBytes *bytes, gint64 offset, gsize n_bytes, const char *what);

/* As many bytes as there are in one piece from offset on; *ret_n_bytes is 0 at the end, and
 * after an error. */
const guint8 *lake_image_bytes_peek(LakeImageBytes *bytes, gint64 offset, gsize *ret_n_bytes);

/* TRUE when the file has n_bytes bytes from offset on, else as for get. */
gboolean
lake_image_bytes_reach(LakeImageBytes *bytes, gint64 offset, gint64 n_bytes, const char *what);

/* The image is broken in this way, which a byte offset should be part of. Always FALSE. */
gboolean
lake_image_bytes_fail(LakeImageBytes *bytes, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* The image ends too early. Always FALSE. */
gboolean
lake_image_bytes_cut(LakeImageBytes *bytes, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* FALSE, with an error, where one is not positive. */
gboolean lake_image_bytes_check_sides(LakeImageBytes *bytes, gint64 width, gint64 height);

static inline guint32
lake_image_bytes_little(const guint8 *at, guint n_bytes)
{
    guint32 value = 0;

    for (guint i = n_bytes; i > 0; i--)
        value = value << 8 | at[i - 1];
    return value;
}

static inline guint32
lake_image_bytes_big(const guint8 *at, guint n_bytes)
{
    guint32 value = 0;

    for (guint i = 0; i < n_bytes; i++)
        value = value << 8 | at[i];
    return value;
}

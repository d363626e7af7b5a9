/* SPDX-License-Identifier: Apache-2.0 */

/* core/ingest/image/gif.c: the blocks of a GIF file (CompuServe, GIF89a) to its trailer. */

#include "core/ingest/image/formats.h"

enum {
    PADDING = 0x00, /* in no standard, and in some files between blocks */
    EXTENSION = 0x21,
    PICTURE = 0x2c,
    TRAILER = 0x3b,
};

#define HEADER_BYTES 13
#define PICTURE_BYTES 10
#define CODE_BITS_MAX 11 /* of a pixel; a code has one more at first, and 12 at most */

/* Bytes of the colour table that a field of flags announces. */
static gint64
table_bytes(guint8 flags)
{
    return flags & 0x80 ? 3 << ((flags & 7) + 1) : 0;
}

/* Passes over pieces, each a length and as many bytes, to the empty one that ends them. */
static gboolean
pass_pieces(LakeImageBytes *bytes, gint64 *offset)
{
    const guint8 *at;

    while ((at = lake_image_bytes_get(bytes, *offset, 1, "a block"))) {
        guint8 length = *at;
        *offset += 1 + length;
        if (length == 0)
            return TRUE;
    }
    return FALSE;
}

static gboolean
pass_picture(LakeImageBytes *bytes, gint64 *offset)
{
    const guint8 *at = lake_image_bytes_get(bytes, *offset, PICTURE_BYTES, "a picture");

    if (!at)
        return FALSE;
    *offset += PICTURE_BYTES + table_bytes(at[9]);
    at = lake_image_bytes_get(bytes, *offset, 1, "a picture's pixels");
    if (!at)
        return FALSE;
    if (*at < 1 || *at > CODE_BITS_MAX)
        return lake_image_bytes_fail(
            bytes, "no pixels of GIF at byte offset %" G_GINT64_FORMAT, *offset);
    *offset += 1;
    return pass_pieces(bytes, offset);
}

gboolean
lake_image_gif_check(LakeImageBytes *bytes)
{
    const guint8 *at = lake_image_bytes_get(bytes, 0, HEADER_BYTES, "the header");
    gboolean has_picture = FALSE;

    if (!at || !lake_image_bytes_check_sides(bytes, lake_image_bytes_little(at + 6, 2),
                   lake_image_bytes_little(at + 8, 2)))
        return FALSE;

    gint64 offset = HEADER_BYTES + table_bytes(at[10]);
    while ((at = lake_image_bytes_get(bytes, offset, 1, "a block or the trailer"))) {
        switch (*at) {
        case PADDING:
            offset += 1;
            break;
        case EXTENSION:
            offset += 2;
            if (!pass_pieces(bytes, &offset))
                return FALSE;
            break;
        case PICTURE:
            has_picture = TRUE;
            if (!pass_picture(bytes, &offset))
                return FALSE;
            break;
        case TRAILER:
            return has_picture ||
                   lake_image_bytes_fail(bytes,
                       "it ends at byte offset %" G_GINT64_FORMAT " without a picture", offset);
        default:
            return lake_image_bytes_fail(bytes,
                "no block of GIF at byte offset %" G_GINT64_FORMAT ": %02x", offset, *at);
        }
    }
    return FALSE;
}

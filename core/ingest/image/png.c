/* SPDX-License-Identifier: Apache-2.0 */

/* core/ingest/image/png.c: the chunks of a PNG file (W3C, Portable Network Graphics) from IHDR,
 * with its checksum, to IEND. */

#include "core/ingest/image/formats.h"

#include <string.h>

#define SIGNATURE_BYTES 8
#define HEADER_BYTES 13
#define LENGTH_MAX 0x7fffffff /* of a chunk's data, and of a side */

/* CRC-32 of ISO 3309, bit by bit: it is asked for 17 bytes. */
static guint32
checksum(const guint8 *at, gsize n_bytes)
{
    guint32 value = 0xffffffff;

    for (gsize i = 0; i < n_bytes; i++) {
        value ^= at[i];
        for (guint bit = 0; bit < 8; bit++)
            value = value & 1 ? value >> 1 ^ 0xedb88320 : value >> 1;
    }
    return ~value;
}

/* Bits per sample that a colour type allows, each as the bit of its value. */
static gboolean
is_depth_of(guint depth, guint colour_type)
{
    static const guint allowed[] = {[0] = 1 | 2 | 4 | 8 | 16,
        [2] = 8 | 16,
        [3] = 1 | 2 | 4 | 8,
        [4] = 8 | 16,
        [6] = 8 | 16};

    return colour_type < G_N_ELEMENTS(allowed) && depth != 0 && (depth & (depth - 1)) == 0 &&
           (allowed[colour_type] & depth) != 0;
}

static gboolean
check_header(LakeImageBytes *bytes)
{
    const guint8 *at = lake_image_bytes_get(
        bytes, SIGNATURE_BYTES, 4 + 4 + HEADER_BYTES + 4, "the chunk IHDR");

    if (!at)
        return FALSE;
    if (lake_image_bytes_big(at, 4) != HEADER_BYTES || memcmp(at + 4, "IHDR", 4) != 0)
        return lake_image_bytes_fail(bytes, "no chunk IHDR at byte offset %d", SIGNATURE_BYTES);
    if (checksum(at + 4, 4 + HEADER_BYTES) != lake_image_bytes_big(at + 8 + HEADER_BYTES, 4))
        return lake_image_bytes_fail(bytes,
            "the checksum at byte offset %d is not that of IHDR",
            SIGNATURE_BYTES + 8 + HEADER_BYTES);

    const guint8 *header = at + 8;
    if (!is_depth_of(header[8], header[9]) || header[10] != 0 || header[11] != 0 ||
        header[12] > 1)
        return lake_image_bytes_fail(bytes,
            "IHDR at byte offset %d has a depth, colour type or method that PNG has not",
            SIGNATURE_BYTES);

    guint32 width = lake_image_bytes_big(header, 4);
    guint32 height = lake_image_bytes_big(header + 4, 4);
    return lake_image_bytes_check_sides(bytes, width > LENGTH_MAX ? -1 : (gint64)width,
        height > LENGTH_MAX ? -1 : (gint64)height);
}

static gboolean
is_name(const guint8 *at)
{
    return g_ascii_isalpha(at[0]) && g_ascii_isalpha(at[1]) && g_ascii_isalpha(at[2]) &&
           g_ascii_isalpha(at[3]);
}

gboolean
lake_image_png_check(LakeImageBytes *bytes)
{
    gint64 offset = SIGNATURE_BYTES;
    gboolean has_data = FALSE;

    if (!check_header(bytes))
        return FALSE;

    while (offset < bytes->size_bytes) {
        const guint8 *at = lake_image_bytes_get(bytes, offset, 8, "a chunk");
        if (!at)
            return FALSE;
        guint32 length = lake_image_bytes_big(at, 4);
        if (length > LENGTH_MAX || !is_name(at + 4))
            return lake_image_bytes_fail(
                bytes, "no chunk at byte offset %" G_GINT64_FORMAT, offset);

        char what[] = "the chunk ....";
        memcpy(what + strlen(what) - 4, at + 4, 4);
        gboolean is_end = memcmp(at + 4, "IEND", 4) == 0;
        has_data |= memcmp(at + 4, "IDAT", 4) == 0 && length > 0;
        if (!lake_image_bytes_reach(bytes, offset, 12 + (gint64)length, what))
            return FALSE;
        if (is_end)
            return has_data ||
                   lake_image_bytes_fail(bytes,
                       "it ends at byte offset %" G_GINT64_FORMAT " without a chunk IDAT",
                       offset);
        offset += 12 + (gint64)length;
    }
    return !bytes->error &&
           lake_image_bytes_cut(bytes,
               "the file ends after %" G_GINT64_FORMAT " bytes, without a chunk IEND",
               bytes->size_bytes);
}

/* SPDX-License-Identifier: Apache-2.0 */

/* core/ingest/image/bmp.c: the two headers of a BMP file, and whether the pixels they announce
 * are there. The second header comes in many sizes: 12 (OS/2 1), 16 to 64 (OS/2 2, which may
 * leave out what is zero), 40, 52, 56, 108 and 124 (Windows).
 *
 * The size of the file in the first header is wrong in many good files, zero among others, so
 * it counts only where nothing else tells how long the pixels are. */

#include "core/ingest/image/formats.h"

#define FILE_HEADER_BYTES 14
#define HEADER_MIN_BYTES 12
#define HEADER_MAX_BYTES 124               /* Windows 98, the only one with a colour profile */
#define PIXELS_MAX_BYTES ((gint64)1 << 62) /* more than any file has */

enum {
    COMPRESSION_NONE = 0,
    COMPRESSION_RLE8 = 1,
    COMPRESSION_RLE4 = 2,
    COMPRESSION_BITFIELDS = 3, /* in OS/2 with one bit per pixel: Huffman 1D */
    COMPRESSION_JPEG = 4,      /* in OS/2 with 24 bits per pixel: RLE24 */
    COMPRESSION_PNG = 5,
    COMPRESSION_ALPHA_BITFIELDS = 6,
    COMPRESSION_CMYK = 11,
    COMPRESSION_CMYK_RLE8 = 12,
    COMPRESSION_CMYK_RLE4 = 13,
};

typedef struct {
    gint64 file_size;
    gint64 pixels;      /* where they begin */
    guint header_bytes; /* of the second header */
    gint64 width;
    gint64 height;
    guint depth; /* bits per pixel */
    guint compression;
    gint64 pixels_size; /* 0: not said */
} Header;

static gboolean
is_header_size(guint n_bytes)
{
    return n_bytes == HEADER_MIN_BYTES || n_bytes == 108 || n_bytes == HEADER_MAX_BYTES ||
           (n_bytes >= 16 && n_bytes <= 64 && n_bytes % 4 == 0);
}

/* A field of the second header, 0 when the header is too short to have it. */
static guint32
field(const guint8 *second, const Header *header, guint offset, guint n_bytes)
{
    return offset + n_bytes <= header->header_bytes
               ? lake_image_bytes_little(second + offset, n_bytes)
               : 0;
}

static gboolean
read_header(LakeImageBytes *bytes, Header *header)
{
    const guint8 *at =
        lake_image_bytes_get(bytes, 0, FILE_HEADER_BYTES + HEADER_MIN_BYTES, "the header");

    if (!at)
        return FALSE;
    header->file_size = lake_image_bytes_little(at + 2, 4);
    header->pixels = lake_image_bytes_little(at + 10, 4);
    header->header_bytes = lake_image_bytes_little(at + 14, 4);
    if (!is_header_size(header->header_bytes))
        return lake_image_bytes_fail(bytes, "no header of BMP has %u bytes, at byte offset %d",
            header->header_bytes, FILE_HEADER_BYTES);

    const guint8 *second =
        lake_image_bytes_get(bytes, FILE_HEADER_BYTES, header->header_bytes, "the header");
    if (!second)
        return FALSE;
    if (header->header_bytes == HEADER_MIN_BYTES) {
        header->width = field(second, header, 4, 2);
        header->height = field(second, header, 6, 2);
        header->depth = field(second, header, 10, 2);
        return TRUE;
    }
    header->width = (gint32)field(second, header, 4, 4);
    header->height = ABS((gint64)(gint32)field(second, header, 8, 4)); /* < 0: top row first */
    header->depth = field(second, header, 14, 2);
    header->compression = field(second, header, 16, 4);
    header->pixels_size = field(second, header, 20, 4);
    return TRUE;
}

/* Bytes of uncompressed pixels; the padding of the last row may be missing. */
static gint64
plain_bytes(const Header *header)
{
    gint64 row_bits = header->width * header->depth;
    gint64 row_bytes = (row_bits + 31) / 32 * 4;

    if (header->height > PIXELS_MAX_BYTES / row_bytes)
        return PIXELS_MAX_BYTES;
    return (header->height - 1) * row_bytes + (row_bits + 7) / 8;
}

static gboolean
is_plain(const Header *header)
{
    switch (header->compression) {
    case COMPRESSION_BITFIELDS:
        return header->depth != 1;
    case COMPRESSION_NONE:
    case COMPRESSION_ALPHA_BITFIELDS:
    case COMPRESSION_CMYK:
        return TRUE;
    default:
        return FALSE;
    }
}

/* FALSE for what no BMP has; a depth of 0 belongs to a JPEG or PNG within. */
static gboolean
is_possible(const Header *header)
{
    switch (header->depth) {
    case 0:
        return header->compression == COMPRESSION_JPEG ||
               header->compression == COMPRESSION_PNG;
    case 1:
    case 2:
    case 4:
    case 8:
    case 16:
    case 24:
    case 32:
    case 64:
        return header->compression <= COMPRESSION_ALPHA_BITFIELDS ||
               (header->compression >= COMPRESSION_CMYK &&
                   header->compression <= COMPRESSION_CMYK_RLE4);
    default:
        return FALSE;
    }
}

static gboolean
check_pixels(LakeImageBytes *bytes, const Header *header)
{
    gint64 n_bytes = header->pixels_size;

    if (is_plain(header))
        n_bytes = plain_bytes(header);
    else if (n_bytes == 0)
        n_bytes = header->file_size - header->pixels;
    if (n_bytes <= 0)
        return lake_image_bytes_fail(bytes,
            "the header at byte offset %d does not say how long its compressed pixels are",
            FILE_HEADER_BYTES);
    return lake_image_bytes_reach(
        bytes, header->pixels, n_bytes, "what the header calls pixels");
}

/* Of the longest header, whose last fields say where a colour profile is. */
static gboolean
check_profile(LakeImageBytes *bytes, const Header *header)
{
    if (header->header_bytes < HEADER_MAX_BYTES)
        return TRUE;

    const guint8 *at =
        lake_image_bytes_get(bytes, FILE_HEADER_BYTES, HEADER_MAX_BYTES, "the header");
    if (!at)
        return FALSE;
    guint32 colour_space = lake_image_bytes_little(at + 56, 4);
    gboolean has_profile = colour_space == 0x4c494e4b || colour_space == 0x4d424544;
    return !has_profile || lake_image_bytes_reach(bytes,
                               FILE_HEADER_BYTES + (gint64)lake_image_bytes_little(at + 112, 4),
                               lake_image_bytes_little(at + 116, 4), "the colour profile");
}

gboolean
lake_image_bmp_check(LakeImageBytes *bytes)
{
    Header header = {0};

    if (!read_header(bytes, &header) ||
        !lake_image_bytes_check_sides(bytes, header.width, header.height))
        return FALSE;
    if (!is_possible(&header))
        return lake_image_bytes_fail(bytes,
            "the header at byte offset %d has %u bits per pixel with compression %u, which BMP "
            "has not",
            FILE_HEADER_BYTES, header.depth, header.compression);
    if (header.pixels < FILE_HEADER_BYTES + (gint64)header.header_bytes)
        return lake_image_bytes_fail(bytes,
            "its pixels are to begin inside its header, at byte offset %" G_GINT64_FORMAT,
            header.pixels);
    return check_pixels(bytes, &header) && check_profile(bytes, &header);
}

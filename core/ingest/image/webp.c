/* SPDX-License-Identifier: Apache-2.0 */

/* core/ingest/image/webp.c: the chunks of a WebP file (RFC 9649) to the end of its RIFF
 * container. */

#include "core/ingest/image/formats.h"

#include <string.h>

#define CONTAINER_BYTES 12 /* "RIFF", its size, "WEBP" */
#define CHUNK_BYTES 8      /* name and size */

/* What the headers of the three kinds of picture begin with: RFC 6386 (9.1), RFC 9649 (3.4 and
 * 2.7). Each is given the data of its chunk. */
static gboolean
check_lossy(LakeImageBytes *bytes, gint64 offset)
{
    const guint8 *at = lake_image_bytes_get(bytes, offset, 10, "the picture's header");

    if (!at)
        return FALSE;
    if (at[0] & 1 || memcmp(at + 3, "\x9d\x01\x2a", 3) != 0)
        return lake_image_bytes_fail(
            bytes, "no key frame at byte offset %" G_GINT64_FORMAT, offset);
    return lake_image_bytes_check_sides(bytes, lake_image_bytes_little(at + 6, 2) & 0x3fff,
        lake_image_bytes_little(at + 8, 2) & 0x3fff);
}

static gboolean
check_lossless(LakeImageBytes *bytes, gint64 offset)
{
    const guint8 *at = lake_image_bytes_get(bytes, offset, 5, "the picture's header");

    /* Both sides are stored less one, so that none is zero. */
    return at && ((at[0] == 0x2f && at[4] >> 5 == 0) ||
                     lake_image_bytes_fail(bytes,
                         "no lossless picture at byte offset %" G_GINT64_FORMAT, offset));
}

/* A canvas, whose sides are stored less one too. */
static gboolean
check_extended(LakeImageBytes *bytes, gint64 offset)
{
    return lake_image_bytes_get(bytes, offset, 10, "the picture's header") != NULL;
}

static const struct {
    const char name[5];
    guint header_bytes; /* of its data */
    gboolean (*check)(LakeImageBytes *bytes, gint64 offset);
    gboolean is_picture;
    gboolean is_first; /* may be the first of the file */
} chunks[] = {
    {"VP8 ", 10, check_lossy, TRUE, TRUE},
    {"VP8L", 5, check_lossless, TRUE, TRUE},
    {"VP8X", 10, check_extended, FALSE, TRUE},
    {"ANMF", 16, NULL, TRUE, FALSE},
};

/* Reads the chunk at offset, which ends before `end`, and moves *offset after it. */
static gboolean
read_chunk(LakeImageBytes *bytes, gint64 *offset, gint64 end, gboolean *has_picture)
{
    const guint8 *at = lake_image_bytes_get(bytes, *offset, CHUNK_BYTES, "a chunk");
    gboolean is_first = *offset == CONTAINER_BYTES;
    gint64 data = *offset + CHUNK_BYTES;
    char name[5] = "";

    if (!at)
        return FALSE;
    memcpy(name, at, 4);
    gint64 length = lake_image_bytes_little(at + 4, 4);
    if (data + length > end)
        return lake_image_bytes_fail(bytes,
            "the chunk at byte offset %" G_GINT64_FORMAT " reaches beyond its container",
            *offset);

    gint64 begins = *offset;
    *offset = data + length + (length & 1);
    for (gsize i = 0; i < G_N_ELEMENTS(chunks); i++) {
        if (strcmp(name, chunks[i].name) != 0 || (is_first && !chunks[i].is_first))
            continue;
        if (length < chunks[i].header_bytes)
            return lake_image_bytes_fail(bytes,
                "the chunk %s at byte offset %" G_GINT64_FORMAT " is too short", name, begins);
        *has_picture |= chunks[i].is_picture;
        return !chunks[i].check || chunks[i].check(bytes, data);
    }
    return !is_first || lake_image_bytes_fail(bytes,
                            "no picture begins at byte offset %" G_GINT64_FORMAT, begins);
}

gboolean
lake_image_webp_check(LakeImageBytes *bytes)
{
    const guint8 *at = lake_image_bytes_get(bytes, 0, CONTAINER_BYTES, "the container");
    gint64 offset = CONTAINER_BYTES;
    gboolean has_picture = FALSE;

    if (!at)
        return FALSE;
    gint64 end = 8 + (gint64)lake_image_bytes_little(at + 4, 4);
    if (!lake_image_bytes_reach(bytes, 0, end, "the container"))
        return FALSE;

    /* A byte that pads the container to an even size may follow the last chunk, or be missing.
     */
    while (offset + 1 < end)
        if (!read_chunk(bytes, &offset, end, &has_picture))
            return FALSE;
    return has_picture ||
           lake_image_bytes_fail(bytes,
               "its container ends at byte offset %" G_GINT64_FORMAT " without a picture", end);
}

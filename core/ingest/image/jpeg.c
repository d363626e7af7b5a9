/* SPDX-License-Identifier: Apache-2.0 */

/* core/ingest/image/jpeg.c: the markers of a JPEG file (ITU-T T.81, annex B) to its end (EOI).
 *
 * A marker is 0xff and a code; in compressed data 0xff is followed by 0, so that one search
 * finds both the next segment and the end of a scan. Readers pass over what stands between
 * segments, and so does the search. */

#include "core/ingest/image/formats.h"

#include <string.h>

enum {
    TEM = 0x01,
    SOF0 = 0xc0, /* to 0xcf: frames, but for the three below */
    DHT = 0xc4,
    JPG = 0xc8,
    DAC = 0xcc,
    SOF15 = 0xcf,
    RST0 = 0xd0,
    RST7 = 0xd7,
    SOI = 0xd8,
    EOI = 0xd9,
    SOS = 0xda,
    DNL = 0xdc,
    DHP = 0xde,
};

typedef struct {
    LakeImageBytes *bytes;
    gint64 width;
    gint64 height; /* 0: comes after the first scan, in a DNL */
    gboolean has_frame;
    gboolean has_scan;
} Walk;

/* The offset after the next marker at or after offset, and its code; -1 when there is none. */
static gint64
next_marker(LakeImageBytes *bytes, gint64 offset, guint8 *ret_code)
{
    gboolean is_after_ff = FALSE;
    const guint8 *at;
    gsize n_bytes;

    while ((at = lake_image_bytes_peek(bytes, offset, &n_bytes))) {
        for (gsize i = 0; i < n_bytes; i++) {
            if (!is_after_ff) {
                const guint8 *found = memchr(at + i, 0xff, n_bytes - i);
                if (!found)
                    break;
                i = (gsize)(found - at);
                is_after_ff = TRUE;
            } else if (at[i] != 0xff) {
                is_after_ff = FALSE;
                if (at[i] == 0)
                    continue;
                *ret_code = at[i];
                return offset + (gint64)i + 1;
            }
        }
        offset += (gint64)n_bytes;
    }
    return -1;
}

static gboolean
has_no_segment(guint8 code)
{
    return code == TEM || (code >= RST0 && code <= RST7);
}

static gboolean
is_frame(guint8 code)
{
    return code == DHP ||
           (code >= SOF0 && code <= SOF15 && code != DHT && code != JPG && code != DAC);
}

/* Precision, lines, samples per line, number of components, three bytes for each. */
static gboolean
read_frame(Walk *walk, gint64 offset, guint length)
{
    const guint8 *at =
        lake_image_bytes_get(walk->bytes, offset, MIN(length, 8), "a frame header");

    if (!at)
        return FALSE;
    if (length < 8 || at[7] == 0 || length != 8 + 3u * at[7] || at[2] < 2 || at[2] > 16)
        return lake_image_bytes_fail(
            walk->bytes, "no frame header at byte offset %" G_GINT64_FORMAT, offset);

    walk->height = lake_image_bytes_big(at + 3, 2);
    walk->width = lake_image_bytes_big(at + 5, 2);
    walk->has_frame = TRUE;
    return TRUE;
}

static gboolean
read_scan(Walk *walk, gint64 offset, guint length)
{
    const guint8 *at =
        lake_image_bytes_get(walk->bytes, offset, MIN(length, 3), "a scan header");

    if (!at)
        return FALSE;
    if (!walk->has_frame)
        return lake_image_bytes_fail(walk->bytes,
            "a scan at byte offset %" G_GINT64_FORMAT " comes before any frame header", offset);
    if (length < 3 || at[2] == 0 || at[2] > 4 || length != 6 + 2u * at[2])
        return lake_image_bytes_fail(
            walk->bytes, "no scan header at byte offset %" G_GINT64_FORMAT, offset);

    walk->has_scan = TRUE;
    return TRUE;
}

static gboolean
read_lines(Walk *walk, gint64 offset, guint length)
{
    const guint8 *at = lake_image_bytes_get(walk->bytes, offset, length, "a number of lines");

    if (!at)
        return FALSE;
    if (walk->height == 0 && length == 4)
        walk->height = lake_image_bytes_big(at + 2, 2);
    return TRUE;
}

/* The segment of code whose length stands at *offset; moves *offset to its end. */
static gboolean
read_segment(Walk *walk, guint8 code, gint64 *offset)
{
    LakeImageBytes *bytes = walk->bytes;
    const guint8 *at = lake_image_bytes_get(bytes, *offset, 2, "a segment");

    if (!at)
        return FALSE;
    guint length = lake_image_bytes_big(at, 2);
    if (length < 2)
        return lake_image_bytes_fail(bytes,
            "the segment at byte offset %" G_GINT64_FORMAT " has no room for its own length",
            *offset);
    if (!lake_image_bytes_reach(bytes, *offset, length, "a segment"))
        return FALSE;

    gint64 begins = *offset;
    *offset += length;
    if (is_frame(code))
        return read_frame(walk, begins, length);
    if (code == SOS)
        return read_scan(walk, begins, length);
    if (code == DNL)
        return read_lines(walk, begins, MIN(length, 4));
    return TRUE;
}

static gboolean
check_end(Walk *walk, gint64 offset)
{
    if (!walk->has_scan)
        return lake_image_bytes_fail(walk->bytes,
            "it ends at byte offset %" G_GINT64_FORMAT " without a picture", offset);
    return lake_image_bytes_check_sides(walk->bytes, walk->width, walk->height);
}

gboolean
lake_image_jpeg_check(LakeImageBytes *bytes)
{
    Walk walk = {.bytes = bytes};
    gint64 offset = 2; /* after SOI */
    guint8 code;

    while ((offset = next_marker(bytes, offset, &code)) >= 0) {
        if (has_no_segment(code))
            continue;
        if (code == EOI)
            return check_end(&walk, offset);
        if (code == SOI)
            return lake_image_bytes_fail(bytes,
                "another image begins at byte offset %" G_GINT64_FORMAT
                " before the first has ended",
                offset - 2);
        if (code < SOF0) {
            /* In a scan it is damage that decoders pass over. */
            if (walk.has_scan)
                continue;
            return lake_image_bytes_fail(bytes,
                "no marker of JPEG at byte offset %" G_GINT64_FORMAT ": ff %02x", offset - 2,
                code);
        }
        if (!read_segment(&walk, code, &offset))
            return FALSE;
    }
    return lake_image_bytes_cut(bytes,
        "the file ends after %" G_GINT64_FORMAT " bytes, without the marker of the image's end",
        bytes->size_bytes);
}

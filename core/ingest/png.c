/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/png.h"

#include "core/ingest/png/deflate.h"

#include <string.h>
#include <zlib.h>

#define PIXEL_BYTES 3
#define SAMPLE_PIXELS 29 /* one in so many is looked at, to tell a picture */
#define SUM_BASE 65521   /* of Adler-32 (RFC 1950, 8.2) */
#define SUM_BLOCK_BYTES 32
#define SUM_BLOCKS_MAX 173      /* after so many at the latest the sums are reduced */
#define IDAT_BYTES (256 * 1024) /* compressed bytes from which on they are handed over */

/* What a row is described by (ISO/IEC 15948, 9.2). */
typedef enum { FILTER_NONE, FILTER_SUB, FILTER_UP } Filter;

struct LakePng {
    gsize row_bytes; /* of pixels */
    LakePngSink sink;
    gpointer user_data;
    LakeDeflate *deflate;
    GByteArray *compressed;
    guint8 *above; /* the row before this one */
    gboolean has_above;
    gboolean has_begun;
    guint8 header[8 + 25 + 21]; /* signature, IHDR, pHYs */
    guint32 sum;                /* Adler-32 of all filtered bytes */
};

static void
write_uint32(guint8 *at, guint32 value)
{
    guint32 ordered = GUINT32_TO_BE(value);

    memcpy(at, &ordered, sizeof ordered);
}

/* Fills a chunk around n_bytes that are in place at chunk + 8. */
static void
frame(guint8 *chunk, const char *type, guint32 n_bytes)
{
    write_uint32(chunk, n_bytes);
    memcpy(chunk + 4, type, 4);
    write_uint32(chunk + 8 + n_bytes, (guint32)crc32_z(0, chunk + 4, 4 + (gsize)n_bytes));
}

static void
fill_header(LakePng *png, guint32 width, guint32 height, guint32 dots_per_metre)
{
    static const guint8 signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    guint8 *chunk = png->header;

    memcpy(chunk, signature, sizeof signature);
    chunk += sizeof signature;
    write_uint32(chunk + 8, width);
    write_uint32(chunk + 12, height);
    chunk[16] = 8; /* bits; then red, green and blue; and no choice in the rest */
    chunk[17] = 2;
    frame(chunk, "IHDR", 13);
    chunk += 25;
    write_uint32(chunk + 8, dots_per_metre);
    write_uint32(chunk + 12, dots_per_metre);
    chunk[16] = 1; /* per metre */
    frame(chunk, "pHYs", 9);
}

LakePng *
lake_png_new(
    guint32 width, guint32 height, guint32 dots_per_metre, LakePngSink sink, gpointer user_data)
{
    static const guint8 zlib_header[2] = {0x78, 0x01};
    LakePng *png = g_new0(LakePng, 1);

    png->row_bytes = (gsize)width * PIXEL_BYTES;
    png->sink = sink;
    png->user_data = user_data;
    png->compressed = g_byte_array_new();
    g_byte_array_append(png->compressed, zlib_header, sizeof zlib_header);
    png->deflate = lake_deflate_new(png->compressed);
    png->above = g_malloc0(png->row_bytes);
    png->sum = 1;
    fill_header(png, width, height, dots_per_metre);
    return png;
}

void
lake_png_free(LakePng *png)
{
    if (!png)
        return;
    lake_deflate_free(png->deflate);
    g_byte_array_unref(png->compressed);
    g_free(png->above);
    g_free(png);
}

/* Hands over what is compressed. */
static gboolean
write_data(LakePng *png, GError **error)
{
    guint8 head[8], tail[4];
    guint32 n_bytes = png->compressed->len;

    write_uint32(head, n_bytes);
    memcpy(head + 4, "IDAT", 4);
    gulong sum = crc32(0, head + 4, 4);
    write_uint32(tail, (guint32)crc32_z(sum, png->compressed->data, n_bytes));
    if (!png->has_begun && !png->sink(png->header, sizeof png->header, png->user_data, error))
        return FALSE;
    png->has_begun = TRUE;
    if (!png->sink(head, sizeof head, png->user_data, error) ||
        !png->sink(png->compressed->data, n_bytes, png->user_data, error) ||
        !png->sink(tail, sizeof tail, png->user_data, error))
        return FALSE;
    g_byte_array_set_size(png->compressed, 0);
    return TRUE;
}

/* Whether few pixels are those beside or above them, as in photographs, where the difference to
 * what is beside is worth more than the pixel. A sample of them will do. */
static gboolean
is_picture(const LakePng *png, const guint8 *row)
{
    gsize n_new = 0;
    gsize n_seen = 0;

    for (gsize i = PIXEL_BYTES; i + PIXEL_BYTES <= png->row_bytes;
         i += SAMPLE_PIXELS * PIXEL_BYTES) {
        n_new += memcmp(row + i, row + i - PIXEL_BYTES, PIXEL_BYTES) != 0 &&
                 memcmp(row + i, png->above + i, PIXEL_BYTES) != 0;
        n_seen++;
    }
    return n_new * 2 > n_seen;
}

static void
subtract(guint8 *into, const guint8 *from, const guint8 *less, gsize n_bytes)
{
    for (gsize i = 0; i < n_bytes; i++)
        into[i] = (guint8)(from[i] - less[i]);
}

/* Adler-32, as zlib has it, in blocks that the compiler makes vectors of: twice as fast. */
static guint32
sum_bytes(guint32 sum, const guint8 *bytes, gsize n_bytes)
{
    static const gint16 weights[SUM_BLOCK_BYTES] = {32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22,
        21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1};
    guint32 a = sum & 0xffff;
    guint32 b = sum >> 16;

    while (n_bytes >= SUM_BLOCK_BYTES) {
        gsize n_blocks = MIN(n_bytes / SUM_BLOCK_BYTES, SUM_BLOCKS_MAX);
        n_bytes -= n_blocks * SUM_BLOCK_BYTES;
        for (; n_blocks > 0; n_blocks--, bytes += SUM_BLOCK_BYTES) {
            guint32 plain = 0;
            guint32 weighted = 0;
            for (guint i = 0; i < SUM_BLOCK_BYTES; i++)
                plain += bytes[i];
            for (guint i = 0; i < SUM_BLOCK_BYTES; i++)
                weighted += (guint32)(weights[i] * (gint16)bytes[i]);
            b += SUM_BLOCK_BYTES * a + weighted;
            a += plain;
        }
        a %= SUM_BASE;
        b %= SUM_BASE;
    }
    for (; n_bytes > 0; n_bytes--) {
        a += *bytes++;
        b += a;
    }
    return b % SUM_BASE << 16 | a % SUM_BASE;
}

/* The same of a row that only says that it is the one above: a 2, then zeros. */
static guint32
sum_repeated(guint32 sum, gsize n_bytes)
{
    guint64 a = sum & 0xffff;
    guint64 b = sum >> 16;

    a = (a + FILTER_UP) % SUM_BASE;
    b = (b + a * (n_bytes % SUM_BASE)) % SUM_BASE;
    return (guint32)(b << 16 | a);
}

static void
add_row(LakePng *png, const guint8 *row)
{
    gsize n_bytes = 1 + png->row_bytes;
    guint8 *into = lake_deflate_reserve(png->deflate, n_bytes);

    if (png->has_above && memcmp(row, png->above, png->row_bytes) == 0) {
        into[0] = FILTER_UP;
        memset(into + 1, 0, png->row_bytes);
        png->sum = sum_repeated(png->sum, n_bytes);
    } else {
        if (is_picture(png, row)) {
            into[0] = FILTER_SUB;
            memcpy(into + 1, row, PIXEL_BYTES);
            subtract(
                into + 1 + PIXEL_BYTES, row + PIXEL_BYTES, row, png->row_bytes - PIXEL_BYTES);
        } else {
            into[0] = FILTER_NONE;
            memcpy(into + 1, row, png->row_bytes);
        }
        memcpy(png->above, row, png->row_bytes);
        png->has_above = TRUE;
        png->sum = sum_bytes(png->sum, into, n_bytes);
    }
    lake_deflate_add(png->deflate, n_bytes);
}

gboolean
lake_png_add_rows(
    LakePng *png, const guint8 *rows, gsize stride, guint32 n_rows, GError **error)
{
    for (guint32 i = 0; i < n_rows; i++) {
        add_row(png, rows + i * stride);
        if (png->compressed->len >= IDAT_BYTES && !write_data(png, error))
            return FALSE;
    }
    return TRUE;
}

gboolean
lake_png_finish(LakePng *png, GError **error)
{
    guint8 sum[4];
    guint8 end[12];

    lake_deflate_finish(png->deflate);
    write_uint32(sum, png->sum);
    g_byte_array_append(png->compressed, sum, sizeof sum);
    frame(end, "IEND", 0);
    return write_data(png, error) && png->sink(end, sizeof end, png->user_data, error);
}

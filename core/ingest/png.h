/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/png.h: pixels become a PNG file (ISO/IEC 15948), row by row.
 *
 * Made for pages: rows that repeat, and runs of one colour, cost next to nothing. A page of
 * text at 300 DPI takes some 12 ms, where zlib takes 150, and its file is a twentieth larger
 * than zlib's. One thread at a time; memory is a few rows.
 */

#include <glib.h>

#define LAKE_PNG_SIDE_MAX 1000000 /* pixels; beyond, libpng and others refuse to read it */

typedef struct LakePng LakePng;

/* Takes the next bytes of the file. */
typedef gboolean (*LakePngSink)(
    const void *bytes, gsize n_bytes, gpointer user_data, GError **error);

/* 8 bits each of red, green and blue. dots_per_metre is what the file says of its size in
 * print. */
LakePng *lake_png_new(guint32 width, guint32 height, guint32 dots_per_metre, LakePngSink sink,
    gpointer user_data);
void lake_png_free(LakePng *png);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakePng, lake_png_free)

/* n_rows × width × 3 bytes, stride bytes from a row to the next. FALSE: the sink's error. */
gboolean lake_png_add_rows(
    LakePng *png, const guint8 *rows, gsize stride, guint32 n_rows, GError **error);
/* After the last of height rows. */
gboolean lake_png_finish(LakePng *png, GError **error);

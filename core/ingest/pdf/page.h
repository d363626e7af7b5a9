/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/pdf/page.h: one page becomes a PNG image and its text, as `mutool draw` gives
 * both. Any thread; each page is on one.
 */

#include "core/ingest/pdf/document.h"

/* Beyond this a page is rendered at a lower resolution. */
#define LAKE_PDF_PIXELS_MAX ((gint64)200 * 1000 * 1000)

typedef struct {
    int index;               /* from 0 */
    int dpi;                 /* wished for */
    const char *staging_dir; /* borrowed; where a large image waits */

    GByteArray *image; /* owned; NULL when it is in image_spool */
    LakeSpool *image_spool;
    GString *text; /* owned; UTF-8, no NUL */
    char *note;    /* owned; what the user should know of this page, or NULL */
} LakePdfPage;

LakePdfPage *lake_pdf_page_new(int index, int dpi, const char *staging_dir);
void lake_pdf_page_free(LakePdfPage *page);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakePdfPage, lake_pdf_page_free)

/* Fills page. FALSE: its number is in the message. */
gboolean
lake_pdf_page_render(LakePdf *pdf, LakePdfPage *page, GCancellable *stop, GError **error);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/pdf/inspect.h: what must not reach MuPDF, because nothing would stop it there:
 * streams that unpack to a thousand times a thousand times a thousand their size, and images
 * whose libraries take memory of their own by what the image says of its size.
 *
 * The caller holds the document's mutex.
 */

#include "core/ingest/pdf/document.h"

/* Looks at the dictionary of every stream, and at the head of every JPEG and JPEG 2000 image.
 * BAD_INPUT or TOO_BIG, with the number of the object. */
gboolean lake_pdf_inspect(LakePdf *pdf, LakePdfThread *thread, GError **error);

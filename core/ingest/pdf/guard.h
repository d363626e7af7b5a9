/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/pdf/guard.h: keeps a page from what keeps MuPDF busy without its looking whether
 * it is to stop: a pattern whose tiles are next to nothing apart, and so paint each pixel
 * millions of times.
 */

#include "core/ingest/pdf/document.h"

/* Of a device that draws the pixels of box, before it draws any. The user of its context is
 * thread, which fails as absurd where the guard steps in. */
void lake_pdf_guard(LakePdfThread *thread, fz_device *device, fz_rect box);

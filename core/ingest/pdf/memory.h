/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/pdf/memory.h: an allocator for MuPDF that knows what it gave.
 *
 * It refuses beyond a limit, upon which MuPDF forgets what it keeps for later, and only then
 * gives up. And it takes back what MuPDF has lost by the end: the dictionary of every page that
 * is found by a map, for one (1.21), and more where a file is broken. Any thread.
 */

#include <glib.h>
#include <mupdf/fitz.h>

/* What one document may take, pages in progress included. */
#define LAKE_PDF_MEMORY_MAX_BYTES ((gsize)512 * 1024 * 1024)

typedef struct LakePdfBlock LakePdfBlock;

typedef struct {
    GMutex mutex; /* guards the rest */
    gsize n_bytes;
    LakePdfBlock *first;
} LakePdfMemory;

/* ret_alloc is for a context; memory outlives it. */
void lake_pdf_memory_init(LakePdfMemory *memory, fz_alloc_context *ret_alloc);
/* Frees all that is left. */
void lake_pdf_memory_clear(LakePdfMemory *memory);

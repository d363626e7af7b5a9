/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/pdf/tree.h: which pages there are: by the tree of pages itself, since the numbers
 * that it gives of itself may be wrong.
 *
 * The caller holds the document's mutex.
 */

#include "core/ingest/pdf/document.h"

/* Walks the tree, sets n_pages and n_claimed, and lets MuPDF find every page at once, where
 * otherwise it walks the tree for each. TOO_BIG beyond max_pages. */
gboolean
lake_pdf_tree_load(LakePdf *pdf, LakePdfThread *thread, gint64 max_pages, GError **error);
void lake_pdf_tree_unload(LakePdf *pdf);

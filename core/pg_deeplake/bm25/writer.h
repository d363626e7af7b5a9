/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg_deeplake/bm25/writer.h: writes one segment, page by page.
 *
 * First the documents, which are numbered as they come, and the NULL rows; then the terms in
 * byte order, each with its postings in order. In memory: a page per section, two bytes per
 * document, four per page. Nobody sees the segment until the caller puts it into the metapage.
 * The caller holds the merge lock, or the index is being built.
 */

#include "core/pg_deeplake/bm25/page.h"

typedef struct DeeplakeBm25Writer DeeplakeBm25Writer;

DeeplakeBm25Writer *deeplake_bm25_writer_begin(Relation index);
/* Returns its number. */
uint32 deeplake_bm25_writer_document(
    DeeplakeBm25Writer *writer, const ItemPointerData *tid, uint32 length);
void deeplake_bm25_writer_null(DeeplakeBm25Writer *writer, const ItemPointerData *tid);
void deeplake_bm25_writer_term(DeeplakeBm25Writer *writer, const char *token, int size);
void deeplake_bm25_writer_posting(DeeplakeBm25Writer *writer, uint32 document, uint32 tf);
/* Frees writer. id is 0 where nothing was given: then there is no segment. */
void deeplake_bm25_writer_finish(DeeplakeBm25Writer *writer, DeeplakeBm25Segment *ret_segment);

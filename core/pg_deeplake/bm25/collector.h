/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg_deeplake/bm25/collector.h: documents in, a segment's postings out, within
 * maintenance_work_mem: what does not fit is sorted and put into temporary files, which are
 * merged at the end.
 */

#include "core/pg_deeplake/bm25/terms.h"
#include "core/pg_deeplake/bm25/writer.h"

/* Terms in byte order, each with its postings in order of documents. */
typedef struct DeeplakeBm25Source DeeplakeBm25Source;
struct DeeplakeBm25Source {
    bool (*next_term)(DeeplakeBm25Source *source); /* sets token and size */
    bool (*next_posting)(DeeplakeBm25Source *source, uint32 *ret_document, uint32 *ret_tf);
    const char *token;
    int size;
};

/* Writes all terms of the sources; documents of a later one are greater than any before. */
void deeplake_bm25_write_sources(
    DeeplakeBm25Writer *writer, DeeplakeBm25Source **sources, int n_sources);

typedef struct DeeplakeBm25Collector DeeplakeBm25Collector;

/* In the current memory context, of which it makes its own below. */
DeeplakeBm25Collector *deeplake_bm25_collector_new(void);
void deeplake_bm25_collector_add(DeeplakeBm25Collector *collector, uint32 document,
    const char *token, int size, uint32 count);
/* After the last token of a document. */
void deeplake_bm25_collector_end_document(DeeplakeBm25Collector *collector);
/* Writes all terms and frees collector. */
void
deeplake_bm25_collector_finish(DeeplakeBm25Collector *collector, DeeplakeBm25Writer *writer);

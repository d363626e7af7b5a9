/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg_deeplake/bm25.h: keyword search: index type bm25.
 *
 *   score = Σ over the query's distinct terms of  idf · tf·(k1+1) / (tf + k1·(1 − b +
 * b·dl/avgdl)) idf   = max(DEEPLAKE_BM25_IDF_MIN, ln((N − df + 0.5) / (df + 0.5)))
 *
 * N documents in the index, df of them with the term, tf its count in the document, dl the
 * document's length in tokens, avgdl the mean length. Terms are summed in the query's order, in
 * float8, and the sum is rounded to float4 once: the same numbers wherever it is computed, so
 * an index scan and a sequential one give the same score to the last bit. A term that is there
 * n times in the query counts n times.
 *
 * N, df and avgdl are of what the index holds. Rows that were deleted and not vacuumed, and
 * those that VACUUM has taken out of a segment that was not merged since, still count;
 * deeplake_index_merge(regclass), or VACUUM where a segment has many of them, makes it exact.
 *
 * A row whose text is NULL is no document; its TID is kept apart, so that ORDER BY … DESC,
 * where NULL comes first, can be served. A text without tokens is a document of length 0.
 */

#include "core/pg_deeplake/index.h"

#include <storage/itemptr.h>
#if PG_VERSION_NUM >= 160000
#include <varatt.h>
#endif

#define DEEPLAKE_BM25_IDF_MIN 1e-6

extern const DeeplakeIndexKind deeplake_bm25_kind;

/* --- scores without a scan --- */

/* A query prepared against the statistics of one index: what one document scores. */
typedef struct DeeplakeBm25Scorer DeeplakeBm25Scorer;

/* Allocated in the current memory context, and gone with it; the index is not kept open. The
 * statistics are those of this moment. */
DeeplakeBm25Scorer *deeplake_bm25_scorer(Relation index, const char *query, int query_size);
float4 deeplake_bm25_score(DeeplakeBm25Scorer *scorer, const char *document, int document_size);

/* --- best first --- */

/* The documents of an index that have at least one of the query's terms, by descending score,
 * equal scores by TID. They may be dead: the heap has the last word. MVCC snapshots only, since
 * no page stays pinned between calls. */
typedef struct DeeplakeBm25Scan DeeplakeBm25Scan;

/* n_wanted: how many the caller probably wants, 0 when it cannot know; the scan goes on beyond
 * it, at the cost of further passes that each take at least twice as many. */
DeeplakeBm25Scan *
deeplake_bm25_scan_begin(Relation index, const char *query, int query_size, int64 n_wanted);
/* FALSE: there are no more. */
bool deeplake_bm25_scan_next(DeeplakeBm25Scan *scan, ItemPointer ret_tid, float4 *ret_score);
/* The TIDs of rows whose text is NULL, in no order; independent of the other. */
bool deeplake_bm25_scan_next_null(DeeplakeBm25Scan *scan, ItemPointer ret_tid);
void deeplake_bm25_scan_end(DeeplakeBm25Scan *scan);

/* --- what the planner asks --- */

typedef struct {
    int64 n_documents;
    int64 n_tokens; /* of all documents */
    int32 n_segments;
    int64 n_pending; /* documents that are in no segment yet */
    int64 n_dead;    /* vacuumed, and still counted in the above */
    int64 n_nulls;   /* rows whose text is NULL */
} DeeplakeBm25Statistics;

void deeplake_bm25_statistics(Relation index, DeeplakeBm25Statistics *ret_statistics);

/* --- words --- */

/* Splits text into tokens, as the index option `tokenizer` says. 'unicode': maximal runs of
 * letters, marks and digits, lower-cased. Any other name is a text search configuration: its
 * lexemes, stop words left out. The text is in the database's encoding, and so are
 * lexemes; tokens of 'unicode' are UTF-8 (but for SQL_ASCII). token is not NUL-terminated, at
 * most DEEPLAKE_BM25_TOKEN_MAX bytes (longer ones are cut at a character).
 */
#define DEEPLAKE_BM25_TOKEN_MAX 255

typedef void (*DeeplakeTokenFunction)(const char *token, int size, void *data);
void deeplake_bm25_tokenize(const char *tokenizer, const char *text, int size,
    DeeplakeTokenFunction function, void *data);

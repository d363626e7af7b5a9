/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg_deeplake/topk/hybrid.h: what a hybrid search measures its scores by.
 *
 * Candidates are the n best rows of the table by vector and the n best by text (of those that
 * match at all), equal ones by their place in the table, under the statement's snapshot, and
 * whatever the query's WHERE says. Each has both scores, exactly. They measure each side
 * (fusion.h); then
 *
 *   value = vector weight · value of the row's similarity + text weight · value of its BM25
 *
 * is a function of the row, the query, n and the table, and of no plan: it is the same for a
 * row that is no candidate, without ORDER BY, and within any other query. What is NULL (a row's
 * vector or text, or the query's) adds 0.
 *
 * Candidates are not restricted to what row security lets the user see: so values tell
 * something of hidden rows, as BM25's statistics do (README.md says so), in exchange for being
 * the same for everybody.
 *
 * BM25 is by the text column's bm25 index, or by statistics that are counted first.
 */

#include "core/pg_deeplake/record.h"

#include <access/attnum.h>
#include <nodes/primnodes.h>
#include <storage/itemptr.h>

typedef struct {
    Oid table;          /* as the query names it … */
    bool with_children; /* … and not as FROM ONLY */
    AttrNumber vector_column, text_column;
    int64 n_wanted; /* of each side */
} DeeplakeHybridSource;

typedef struct DeeplakeHybrid DeeplakeHybrid;

/* Reads the table. In the current memory context, with a copy of query, a
 * deeplake_hybrid_record_weighted. Raises an ERROR where a weight is no finite number. */
DeeplakeHybrid *
deeplake_hybrid_prepare(const DeeplakeHybridSource *source, HeapTupleHeader query);
/* Whether it is of this query: the same to the last bit. */
bool deeplake_hybrid_is_of(const DeeplakeHybrid *hybrid, HeapTupleHeader query);

/* The value of a row of `table` (the source's, or a child): NULL values have a flag. */
float4 deeplake_hybrid_value(
    DeeplakeHybrid *hybrid, Oid table, NullableDatum vector, NullableDatum text);

typedef struct {
    ItemPointerData tid;
    float4 value;
} DeeplakeHybridCandidate;

/* Of a table without children: best first. No other row has a value above *ret_bound. */
const DeeplakeHybridCandidate *deeplake_hybrid_candidates(
    const DeeplakeHybrid *hybrid, int64 *ret_n_candidates, float4 *ret_bound);

/* Whether a call of a function is a hybrid search on columns of a table. */
bool deeplake_is_hybrid_call(Node *expression);
/* Its arguments. */
enum {
    DEEPLAKE_HYBRID_VECTOR,
    DEEPLAKE_HYBRID_TEXT,
    DEEPLAKE_HYBRID_QUERY,
    DEEPLAKE_HYBRID_TABLE,
    DEEPLAKE_HYBRID_ROW_TABLE,
    DEEPLAKE_HYBRID_VECTOR_COLUMN,
    DEEPLAKE_HYBRID_TEXT_COLUMN,
    DEEPLAKE_HYBRID_N_WANTED,
    DEEPLAKE_HYBRID_N_ARGUMENTS,
};

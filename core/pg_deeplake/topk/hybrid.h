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
 * BM25 is by the text column's bm25 index, or by statistics that are counted first.
 */

#include "core/pg_deeplake/record.h"

#include <access/attnum.h>

typedef struct {
    Oid table; /* as the query names it: it may have children */
    AttrNumber vector_column, text_column;
    int64 n_wanted; /* of each side */
} DeeplakeHybridSource;

typedef struct DeeplakeHybrid DeeplakeHybrid;

/* Reads the table. In the current memory context; keeps query's parts, which must stay. */
DeeplakeHybrid *
deeplake_hybrid_new(const DeeplakeHybridSource *source, const DeeplakeRecord *query);

/* The value of a row of `table` (the source's, or a child): NULL values have a flag. */
float4 deeplake_hybrid_value(
    DeeplakeHybrid *hybrid, Oid table, NullableDatum vector, NullableDatum text);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg_deeplake/topk/score.h: scores of texts one by one, by the statistics of an index.
 *
 * A Scores holds one query, prepared against each index that rows ask for: of one table, or of
 * its partitions. It keeps the statistics of its first use.
 */

#include "core/pg_deeplake/module.h"

#include <nodes/primnodes.h>

typedef struct DeeplakeScores DeeplakeScores;

/* index is that of the table which the query names. Lives in the current memory context. */
DeeplakeScores *deeplake_scores_new(Oid index, const char *query, int query_size);

/* table: the row's own. FALSE: it has no index, and so no score but 0. */
bool deeplake_scores_of(DeeplakeScores *scores, Oid table, const char *document,
    int document_size, float4 *ret_score);

/* Whether a call of a function is text <#> text on a column that has an index. */
bool deeplake_is_bm25_call(Node *expression);
/* Its arguments. */
#define DEEPLAKE_CALL_DOCUMENT 0
#define DEEPLAKE_CALL_QUERY 1
#define DEEPLAKE_CALL_INDEX 2
#define DEEPLAKE_CALL_ROW_TABLE 3

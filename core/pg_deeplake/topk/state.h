/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg_deeplake/topk/state.h: what the two searches of "Deeplake TopK" share: scan.c makes
 * the rows and runs the node; a search says which row is next, and what a row scores.
 *
 * custom_exprs: the arguments that the search wants, in its order; the query is the last.
 * custom_private: DeeplakeTopkPrivate. custom_scan_tlist: columns of the table, and the score
 * last. */

#include "core/pg_deeplake/module.h"

#include <commands/explain.h>
#include <executor/executor.h>
#include <nodes/extensible.h>

/* Places in custom_private. Limits are written as floats, which are 64 bits wide there. */
enum {
    DEEPLAKE_TOPK_SEARCH, /* DeeplakeTopkSearchNumber */
    DEEPLAKE_TOPK_INDEX,  /* text: the index's OID */
    DEEPLAKE_TOPK_LIMIT,  /* what LIMIT and OFFSET want, 0: not known */
    DEEPLAKE_TOPK_WANTED, /* the same, before filters take their part */
    DEEPLAKE_TOPK_NULLS_FIRST,
    DEEPLAKE_TOPK_CALL, /* hybrid: the constants of the call: n, and both columns */
};

typedef enum {
    DEEPLAKE_TOPK_TEXT,
    DEEPLAKE_TOPK_HYBRID,
} DeeplakeTopkSearchNumber;

typedef struct DeeplakeTopk DeeplakeTopk;

typedef struct {
    Size state_size; /* a struct that begins with DeeplakeTopk */
    void (*begin)(DeeplakeTopk *scan);
    /* The query, which is not NULL: begins a search in scan->context. */
    void (*begin_query)(DeeplakeTopk *scan, Datum query);
    /* NULL: there are no more. */
    TupleTableSlot *(*next)(DeeplakeTopk *scan);
    /* A row of the table by itself, as a row of the scan. */
    TupleTableSlot *(*score)(DeeplakeTopk *scan, TupleTableSlot *row);
    /* Ends the search; scan->context is reset afterwards. */
    void (*end_query)(DeeplakeTopk *scan);
    void (*end)(DeeplakeTopk *scan);
    void (*explain)(DeeplakeTopk *scan, List *arguments, ExplainState *output);
} DeeplakeTopkSearch;

extern const DeeplakeTopkSearch deeplake_topk_text, deeplake_topk_hybrid;

struct DeeplakeTopk {
    CustomScanState scan;
    const DeeplakeTopkSearch *search;
    CustomScan *plan;
    List *arguments;         /* ExprState, of custom_exprs */
    TupleTableSlot *row;     /* of the table */
    ProjectionInfo *columns; /* of it: all of the scan's row but the score */
    MemoryContext context;   /* of what belongs to one query */
    bool has_begun, is_null; /* a query; and it is NULL, as is then every score */
    struct TableScanDescData *table_scan;
};

/* The scan's row out of the table's, with a score that is known. */
TupleTableSlot *
deeplake_topk_row(DeeplakeTopk *scan, TupleTableSlot *row, bool has_score, float4 score);
/* An argument of the scan's row, which is there but for its score. FALSE: it is NULL. */
bool deeplake_topk_argument(DeeplakeTopk *scan, int number, Datum *ret_value);
/* The next row of the table into scan->row, by a scan that begins with the first call. */
bool deeplake_topk_next_of_table(DeeplakeTopk *scan);

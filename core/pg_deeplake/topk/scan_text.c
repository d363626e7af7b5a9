/* SPDX-License-Identifier: Apache-2.0 */

/* "Deeplake TopK" by text. In parts, one after the other: rows that the index finds by the
 * query; the rest, which match no term and score 0, by a scan of the table; and rows whose
 * document is NULL before or after both. Nobody asks for the later parts as a rule. */

#include "core/pg_deeplake/bm25.h"
#include "core/pg_deeplake/topk/score.h"
#include "core/pg_deeplake/topk/seen.h"
#include "core/pg_deeplake/topk/state.h"

#include <access/genam.h>
#include <access/tableam.h>
#include <miscadmin.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>

/* Of the arguments. */
#define DOCUMENT 0

typedef enum {
    PART_NULLS,
    PART_MATCHES,
    PART_REST,
    PART_END,
} Part;

typedef struct {
    DeeplakeTopk scan;
    Oid index_oid;
    Relation index;
    int64 n_wanted;
    bool nulls_first;
    /* Of one query: */
    Part part;
    char *query_text;
    int query_size;
    DeeplakeBm25Scan *matches;
    DeeplakeScores *scores;
    DeeplakeSeen *seen; /* what the index gave; NULL when there was more than fits */
    IndexFetchTableData *fetch;
    int64 n_matches, n_rest;
} TextTopk;

/* What it needs of memory is gone with the next row. */
static float4
score_of(TextTopk *state, Datum document)
{
    ExprContext *context = state->scan.scan.ss.ps.ps_ExprContext;
    MemoryContext old = MemoryContextSwitchTo(state->scan.context);
    float4 score;

    if (!state->scores)
        state->scores =
            deeplake_scores_new(state->index_oid, state->query_text, state->query_size);
    MemoryContextSwitchTo(context->ecxt_per_tuple_memory);
    text *value = DatumGetTextPP(document);
    deeplake_scores_of(state->scores, state->index->rd_index->indrelid, VARDATA_ANY(value),
        (int)VARSIZE_ANY_EXHDR(value), &score);
    MemoryContextSwitchTo(old);
    return score;
}

/* By a TID of the index: the row that the snapshot sees there, if any. */
static bool
fetch_row(TextTopk *state, ItemPointer tid)
{
    bool call_again = false, all_dead;

    if (!state->fetch)
        state->fetch = table_index_fetch_begin(state->scan.scan.ss.ss_currentRelation);
    return table_index_fetch_tuple(state->fetch, tid, state->scan.scan.ss.ps.state->es_snapshot,
        state->scan.row, &call_again, &all_dead);
}

static void
remember(TextTopk *state, ItemPointer tid)
{
    if (!state->seen || deeplake_seen_add(state->seen, tid))
        return;
    deeplake_seen_free(state->seen);
    state->seen = NULL;
}

/* --- parts --- */

static TupleTableSlot *
next_null(TextTopk *state)
{
    ItemPointerData tid;
    Datum document;

    while (deeplake_bm25_scan_next_null(state->matches, &tid)) {
        CHECK_FOR_INTERRUPTS();
        if (!fetch_row(state, &tid))
            continue;
        ResetExprContext(state->scan.scan.ss.ps.ps_ExprContext);
        TupleTableSlot *made = deeplake_topk_row(&state->scan, state->scan.row, false, 0);
        if (!deeplake_topk_argument(&state->scan, DOCUMENT, &document))
            return made;
    }
    return NULL;
}

static TupleTableSlot *
next_match(TextTopk *state)
{
    ItemPointerData tid;
    float4 score;

    while (deeplake_bm25_scan_next(state->matches, &tid, &score)) {
        CHECK_FOR_INTERRUPTS();
        if (!fetch_row(state, &tid))
            continue;
        remember(state, &state->scan.row->tts_tid);
        state->n_matches++;
        return deeplake_topk_row(&state->scan, state->scan.row, true, score);
    }
    return NULL;
}

/* Where the TIDs of the matches do not fit into work_mem, a row is one of them if its text says
 * so: a match never scores 0. */
static TupleTableSlot *
next_of_rest(TextTopk *state)
{
    Datum document;

    while (deeplake_topk_next_of_table(&state->scan)) {
        CHECK_FOR_INTERRUPTS();
        if (state->seen && deeplake_seen_has(state->seen, &state->scan.row->tts_tid))
            continue;
        ResetExprContext(state->scan.scan.ss.ps.ps_ExprContext);
        TupleTableSlot *made = deeplake_topk_row(&state->scan, state->scan.row, true, 0);
        if (!deeplake_topk_argument(&state->scan, DOCUMENT, &document))
            continue;
        if (!state->seen && score_of(state, document) > 0)
            continue;
        state->n_rest++;
        return made;
    }
    return NULL;
}

static Part
part_after(const TextTopk *state)
{
    switch (state->part) {
    case PART_NULLS:
        return state->nulls_first ? PART_MATCHES : PART_END;
    case PART_MATCHES:
        return PART_REST;
    case PART_REST:
        return state->nulls_first ? PART_END : PART_NULLS;
    case PART_END:
        break;
    }
    return PART_END;
}

/* --- as scan.c calls it --- */

static void
begin(DeeplakeTopk *scan)
{
    TextTopk *state = (TextTopk *)scan;
    List *private = scan->plan->custom_private;

    state->index_oid = (Oid)intVal(list_nth(private, DEEPLAKE_TOPK_INDEX));
    state->n_wanted = (int64)floatVal(list_nth(private, DEEPLAKE_TOPK_WANTED));
    state->nulls_first = intVal(list_nth(private, DEEPLAKE_TOPK_NULLS_FIRST)) != 0;
    state->index = index_open(state->index_oid, AccessShareLock);
}

static void
begin_query(DeeplakeTopk *scan, Datum query)
{
    TextTopk *state = (TextTopk *)scan;

    state->query_text = TextDatumGetCString(query);
    state->query_size = (int)strlen(state->query_text);
    state->matches = deeplake_bm25_scan_begin(
        state->index, state->query_text, state->query_size, state->n_wanted);
    state->seen = deeplake_seen_new();
    state->part = state->nulls_first ? PART_NULLS : PART_MATCHES;
}

static TupleTableSlot *
next(DeeplakeTopk *scan)
{
    TextTopk *state = (TextTopk *)scan;

    while (state->part != PART_END) {
        TupleTableSlot *made = NULL;

        if (state->part == PART_NULLS)
            made = next_null(state);
        else if (state->part == PART_MATCHES)
            made = next_match(state);
        else
            made = next_of_rest(state);
        if (made)
            return made;
        state->part = part_after(state);
    }
    return NULL;
}

static TupleTableSlot *
score(DeeplakeTopk *scan, TupleTableSlot *row)
{
    Datum document;
    TupleTableSlot *made = deeplake_topk_row(scan, row, false, 0);

    if (!deeplake_topk_argument(scan, DOCUMENT, &document))
        return made;
    return deeplake_topk_row(scan, row, true, score_of((TextTopk *)scan, document));
}

static void
end_query(DeeplakeTopk *scan)
{
    TextTopk *state = (TextTopk *)scan;

    if (state->fetch)
        table_index_fetch_end(state->fetch);
    deeplake_bm25_scan_end(state->matches);
    state->fetch = NULL;
    state->matches = NULL;
    state->scores = NULL;
    state->seen = NULL;
}

static void
end(DeeplakeTopk *scan)
{
    TextTopk *state = (TextTopk *)scan;

    if (state->index)
        index_close(state->index, NoLock);
}

static void
explain(DeeplakeTopk *scan, List *arguments, ExplainState *output)
{
    TextTopk *state = (TextTopk *)scan;
    Oid index = (Oid)intVal(list_nth(scan->plan->custom_private, DEEPLAKE_TOPK_INDEX));

    ExplainPropertyText("Index", get_rel_name(index), output);
    ExplainPropertyText("Order By",
        psprintf("(%s <#> %s) DESC", (char *)linitial(arguments), (char *)lsecond(arguments)),
        output);
    if (output->analyze) {
        ExplainPropertyInteger("Rows by Index", NULL, state->n_matches, output);
        ExplainPropertyInteger("Rows without Match", NULL, state->n_rest, output);
    }
}

const DeeplakeTopkSearch deeplake_topk_text = {
    .state_size = sizeof(TextTopk),
    .begin = begin,
    .begin_query = begin_query,
    .next = next,
    .score = score,
    .end_query = end_query,
    .end = end,
    .explain = explain,
};

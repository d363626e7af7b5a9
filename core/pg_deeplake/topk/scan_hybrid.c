/* SPDX-License-Identifier: Apache-2.0 */

/* "Deeplake TopK" by vector and text. The candidates that the measure is made of come first, as
 * long as no other row can have a better value; they are nearly always what LIMIT wants. Only
 * then all other rows are valued, and sorted. */

#include "core/pg_deeplake/topk/hybrid.h"
#include "core/pg_deeplake/topk/state.h"

#include <access/tableam.h>
#include <catalog/pg_operator.h>
#include <catalog/pg_type.h>
#include <miscadmin.h>
#include <utils/rel.h>
#include <utils/tuplesort.h>
#include <utils/typcache.h>

/* Of the arguments. */
#define VECTOR 0
#define TEXT 1

typedef struct {
    DeeplakeTopk scan;
    /* Of one query: */
    DeeplakeHybrid *hybrid;
    const DeeplakeHybridCandidate *candidates; /* best first */
    int64 n_candidates, next;
    float4 bound; /* no other row has more */
    Tuplesortstate *rest;
    TupleTableSlot *sorted; /* value, TID */
    int64 n_early;
} HybridTopk;

static float4
value_of(HybridTopk *state)
{
    NullableDatum vector, text;

    vector.isnull = !deeplake_topk_argument(&state->scan, VECTOR, &vector.value);
    text.isnull = !deeplake_topk_argument(&state->scan, TEXT, &text.value);
    return deeplake_hybrid_value(
        state->hybrid, RelationGetRelid(state->scan.scan.ss.ss_currentRelation), vector, text);
}

static TupleTableSlot *
fetch_row(HybridTopk *state, ItemPointer tid, float4 value)
{
    DeeplakeTopk *scan = &state->scan;
    ItemPointerData copy = *tid;

    if (!table_tuple_fetch_row_version(scan->scan.ss.ss_currentRelation, &copy,
            scan->scan.ss.ps.state->es_snapshot, scan->row))
        elog(ERROR, "a row that was just visible is not");
    return deeplake_topk_row(scan, scan->row, true, value);
}

/* --- the rest --- */

static int
compare_tids(const void *left, const void *right)
{
    return ItemPointerCompare((ItemPointer)left, (ItemPointer)right);
}

/* The TIDs of the candidates that were given already, sorted. */
static ItemPointerData *
given_tids(const HybridTopk *state)
{
    ItemPointerData *tids = palloc(sizeof(*tids) * (Size)(state->next + 1));

    for (int64 i = 0; i < state->next; i++)
        tids[i] = state->candidates[i].tid;
    if (state->next > 1)
        qsort(tids, (size_t)state->next, sizeof(*tids), compare_tids);
    return tids;
}

static Tuplesortstate *
begin_sort(TupleDesc columns)
{
    TypeCacheEntry *value = lookup_type_cache(FLOAT4OID, TYPECACHE_GT_OPR);
    TypeCacheEntry *tid = lookup_type_cache(TIDOID, TYPECACHE_LT_OPR);
    AttrNumber numbers[] = {1, 2};
    Oid operators[] = {value->gt_opr, tid->lt_opr};
    Oid collations[] = {InvalidOid, InvalidOid};
    bool nulls_first[] = {true, true};

    return tuplesort_begin_heap(columns, 2, numbers, operators, collations, nulls_first,
        work_mem, NULL, TUPLESORT_NONE);
}

static void
sort_rest(HybridTopk *state)
{
    DeeplakeTopk *scan = &state->scan;
    MemoryContext old = MemoryContextSwitchTo(scan->context);
    TupleDesc columns = CreateTemplateTupleDesc(2);

    TupleDescInitEntry(columns, 1, "value", FLOAT4OID, -1, 0);
    TupleDescInitEntry(columns, 2, "tid", TIDOID, -1, 0);
    ItemPointerData *given = given_tids(state);
    TupleTableSlot *pair = MakeSingleTupleTableSlot(columns, &TTSOpsVirtual);
    state->sorted = MakeSingleTupleTableSlot(columns, &TTSOpsMinimalTuple);
    state->rest = begin_sort(columns);
    MemoryContextSwitchTo(old);

    while (deeplake_topk_next_of_table(scan)) {
        CHECK_FOR_INTERRUPTS();
        if (bsearch(
                &scan->row->tts_tid, given, (size_t)state->next, sizeof(*given), compare_tids))
            continue;
        ResetExprContext(scan->scan.ss.ps.ps_ExprContext);
        deeplake_topk_row(scan, scan->row, false, 0);
        old = MemoryContextSwitchTo(scan->scan.ss.ps.ps_ExprContext->ecxt_per_tuple_memory);
        float4 value = value_of(state);
        MemoryContextSwitchTo(old);
        ExecClearTuple(pair);
        pair->tts_values[0] = Float4GetDatum(value);
        pair->tts_values[1] = PointerGetDatum(&scan->row->tts_tid);
        pair->tts_isnull[0] = pair->tts_isnull[1] = false;
        tuplesort_puttupleslot(state->rest, ExecStoreVirtualTuple(pair));
    }
    tuplesort_performsort(state->rest);
    ExecDropSingleTupleTableSlot(pair);
}

static TupleTableSlot *
next_of_rest(HybridTopk *state)
{
    bool absent;

    if (!state->rest)
        sort_rest(state);
    if (!tuplesort_gettupleslot(state->rest, true, false, state->sorted, NULL))
        return NULL;
    float4 value = DatumGetFloat4(slot_getattr(state->sorted, 1, &absent));
    return fetch_row(
        state, (ItemPointer)DatumGetPointer(slot_getattr(state->sorted, 2, &absent)), value);
}

/* --- as scan.c calls it --- */

static void
begin_query(DeeplakeTopk *scan, Datum query)
{
    HybridTopk *state = (HybridTopk *)scan;
    List *call = list_nth(scan->plan->custom_private, DEEPLAKE_TOPK_CALL);
    DeeplakeHybridSource source = {
        .table = RelationGetRelid(scan->scan.ss.ss_currentRelation),
        .with_children = false, /* topk.c takes no other */
        .vector_column = (AttrNumber)intVal(linitial(call)),
        .text_column = (AttrNumber)intVal(lsecond(call)),
        .n_wanted = intVal(lthird(call)),
    };

    state->hybrid = deeplake_hybrid_prepare(&source, DatumGetHeapTupleHeader(query));
    state->candidates =
        deeplake_hybrid_candidates(state->hybrid, &state->n_candidates, &state->bound);
    state->next = 0;
}

static TupleTableSlot *
next(DeeplakeTopk *scan)
{
    HybridTopk *state = (HybridTopk *)scan;

    if (!state->rest && state->next < state->n_candidates) {
        const DeeplakeHybridCandidate *candidate = &state->candidates[state->next];
        if (candidate->value >= state->bound) {
            ItemPointerData tid = candidate->tid;
            state->next++;
            state->n_early++;
            return fetch_row(state, &tid, candidate->value);
        }
    }
    return next_of_rest(state);
}

static TupleTableSlot *
score(DeeplakeTopk *scan, TupleTableSlot *row)
{
    deeplake_topk_row(scan, row, false, 0);
    return deeplake_topk_row(scan, row, true, value_of((HybridTopk *)scan));
}

static void
end_query(DeeplakeTopk *scan)
{
    HybridTopk *state = (HybridTopk *)scan;

    if (state->rest) {
        ExecDropSingleTupleTableSlot(state->sorted);
        tuplesort_end(state->rest);
    }
    state->rest = NULL;
    state->sorted = NULL;
    state->hybrid = NULL;
}

static void
explain(DeeplakeTopk *scan, List *arguments, ExplainState *output)
{
    HybridTopk *state = (HybridTopk *)scan;
    List *call = list_nth(scan->plan->custom_private, DEEPLAKE_TOPK_CALL);

    ExplainPropertyText("Order By",
        psprintf("((%s, %s) <#> %s) DESC", (char *)linitial(arguments),
            (char *)lsecond(arguments), (char *)lthird(arguments)),
        output);
    ExplainPropertyInteger("Candidates per Side", NULL, intVal(lthird(call)), output);
    if (output->analyze)
        ExplainPropertyInteger("Rows before Sorting", NULL, state->n_early, output);
}

const DeeplakeTopkSearch deeplake_topk_hybrid = {
    .state_size = sizeof(HybridTopk),
    .begin_query = begin_query,
    .next = next,
    .score = score,
    .end_query = end_query,
    .explain = explain,
};

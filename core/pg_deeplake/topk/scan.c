/* SPDX-License-Identifier: Apache-2.0 */

/* "Deeplake TopK": the rows of a table, best score first, each once.
 *
 * In parts, one after the other: rows that the index finds by the query; the rest, which match
 * no term and score 0, by a scan of the table; and rows whose document is NULL before or after
 * both. Nobody asks for the later parts as a rule. */

#include "core/pg_deeplake/topk/scan.h"

#include "core/pg_deeplake/bm25.h"
#include "core/pg_deeplake/topk/score.h"
#include "core/pg_deeplake/topk/seen.h"

#include <access/genam.h>
#include <access/tableam.h>
#include <commands/explain.h>
#include <executor/executor.h>
#include <miscadmin.h>
#include <nodes/makefuncs.h>
#include <storage/predicate.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>
#include <utils/rel.h>
#include <utils/ruleutils.h>

typedef enum {
    PART_BEGIN,
    PART_NULLS,
    PART_MATCHES,
    PART_REST,
    PART_ALL_NULL, /* the query is NULL, and so is every score */
    PART_END,
} Part;

typedef struct {
    CustomScanState scan;
    Oid index_oid;
    Relation index;
    int64 limit_hint;
    bool nulls_first;

    ExprState *document, *query;
    TupleTableSlot *row;     /* of the table */
    ProjectionInfo *columns; /* of it: all of the scan's row but the score */

    Part part;
    MemoryContext context; /* of what belongs to one query */
    char *query_text;
    int query_size;
    DeeplakeBm25Scan *matches;
    DeeplakeScores *scores;
    DeeplakeSeen *seen; /* what the index gave; NULL when there was more than fits */
    IndexFetchTableData *fetch;
    TableScanDesc rest;
    int64 n_matches, n_rest;
} TopkState;

/* --- one row --- */

/* The scan's row out of the table's, with a score that is known. */
static TupleTableSlot *
make_row(TopkState *state, TupleTableSlot *row, bool has_score, float4 score)
{
    ExprContext *context = state->scan.ss.ps.ps_ExprContext;

    context->ecxt_scantuple = row;
    TupleTableSlot *made = ExecProject(state->columns);
    int last = made->tts_tupleDescriptor->natts - 1;
    made->tts_values[last] = has_score ? Float4GetDatum(score) : (Datum)0;
    made->tts_isnull[last] = !has_score;
    context->ecxt_scantuple = made;
    return made;
}

/* Of the scan's row, which is there but for its score. */
static bool
has_document(TopkState *state, Datum *ret_document)
{
    bool absent;

    *ret_document = ExecEvalExpr(state->document, state->scan.ss.ps.ps_ExprContext, &absent);
    return !absent;
}

static float4
score_of(TopkState *state, Datum document)
{
    text *value = DatumGetTextPP(document);
    float4 score;

    if (!state->scores) {
        MemoryContext old = MemoryContextSwitchTo(state->context);
        state->scores =
            deeplake_scores_new(state->index_oid, state->query_text, state->query_size);
        MemoryContextSwitchTo(old);
    }
    deeplake_scores_of(state->scores, state->index->rd_index->indrelid, VARDATA_ANY(value),
        (int)VARSIZE_ANY_EXHDR(value), &score);
    return score;
}

/* --- parts --- */

/* By a TID of the index: the row that the snapshot sees there, if any. */
static bool
fetch_row(TopkState *state, ItemPointer tid)
{
    bool call_again = false, all_dead;

    if (!state->fetch)
        state->fetch = table_index_fetch_begin(state->scan.ss.ss_currentRelation);
    return table_index_fetch_tuple(state->fetch, tid, state->scan.ss.ps.state->es_snapshot,
        state->row, &call_again, &all_dead);
}

static void
remember(TopkState *state, ItemPointer tid)
{
    if (!state->seen || deeplake_seen_add(state->seen, tid))
        return;
    deeplake_seen_free(state->seen);
    state->seen = NULL;
}

static TupleTableSlot *
next_null(TopkState *state)
{
    ItemPointerData tid;
    Datum document;

    while (deeplake_bm25_scan_next_null(state->matches, &tid)) {
        CHECK_FOR_INTERRUPTS();
        if (!fetch_row(state, &tid))
            continue;
        TupleTableSlot *made = make_row(state, state->row, false, 0);
        if (!has_document(state, &document))
            return made;
    }
    return NULL;
}

static TupleTableSlot *
next_match(TopkState *state)
{
    ItemPointerData tid;
    float4 score;

    while (deeplake_bm25_scan_next(state->matches, &tid, &score)) {
        CHECK_FOR_INTERRUPTS();
        if (!fetch_row(state, &tid))
            continue;
        remember(state, &state->row->tts_tid);
        state->n_matches++;
        return make_row(state, state->row, true, score);
    }
    return NULL;
}

static bool
next_of_table(TopkState *state)
{
    if (!state->rest)
        state->rest = table_beginscan(
            state->scan.ss.ss_currentRelation, state->scan.ss.ps.state->es_snapshot, 0, NULL);
    return table_scan_getnextslot(state->rest, ForwardScanDirection, state->row);
}

/* Where the TIDs of the matches do not fit into work_mem, a row is one of them if its text says
 * so: a match never scores 0. */
static TupleTableSlot *
next_of_rest(TopkState *state)
{
    Datum document;

    while (next_of_table(state)) {
        CHECK_FOR_INTERRUPTS();
        if (state->seen && deeplake_seen_has(state->seen, &state->row->tts_tid))
            continue;
        TupleTableSlot *made = make_row(state, state->row, true, 0);
        if (!has_document(state, &document))
            continue;
        if (!state->seen && score_of(state, document) > 0)
            continue;
        state->n_rest++;
        return made;
    }
    return NULL;
}

static TupleTableSlot *
next_of_all(TopkState *state)
{
    return next_of_table(state) ? make_row(state, state->row, false, 0) : NULL;
}

/* --- the order of the parts --- */

static Part
begin_query(TopkState *state)
{
    ExprContext *context = state->scan.ss.ps.ps_ExprContext;
    bool absent;
    Datum query = ExecEvalExpr(state->query, context, &absent);
    if (absent)
        return PART_ALL_NULL;

    MemoryContext old = MemoryContextSwitchTo(state->context);
    state->query_text = TextDatumGetCString(query);
    state->query_size = (int)strlen(state->query_text);
    state->matches = deeplake_bm25_scan_begin(
        state->index, state->query_text, state->query_size, state->limit_hint);
    state->seen = deeplake_seen_new();
    MemoryContextSwitchTo(old);
    return state->nulls_first ? PART_NULLS : PART_MATCHES;
}

static Part
part_after(const TopkState *state)
{
    switch (state->part) {
    case PART_NULLS:
        return state->nulls_first ? PART_MATCHES : PART_END;
    case PART_MATCHES:
        return PART_REST;
    case PART_REST:
        return state->nulls_first ? PART_END : PART_NULLS;
    case PART_BEGIN:
    case PART_ALL_NULL:
    case PART_END:
        break;
    }
    return PART_END;
}

static TupleTableSlot *
next_row(TopkState *state)
{
    if (state->part == PART_BEGIN)
        state->part = begin_query(state);
    while (state->part != PART_END) {
        TupleTableSlot *made = NULL;

        if (state->part == PART_NULLS)
            made = next_null(state);
        else if (state->part == PART_MATCHES)
            made = next_match(state);
        else if (state->part == PART_REST)
            made = next_of_rest(state);
        else
            made = next_of_all(state);
        if (made)
            return made;
        state->part = part_after(state);
    }
    return NULL;
}

/* --- another version of a row, after a concurrent update --- */

/* The row that EvalPlanQual tests, if it is one of this table; *ret_is_test tells. It is given
 * once, and its score is by its own text. */
static TupleTableSlot *
test_row(TopkState *state, EPQState *test, bool *ret_is_test)
{
    Index at = ((Scan *)state->scan.ss.ps.plan)->scanrelid - 1;
    TupleTableSlot *row = test->relsubs_slot[at];
    Datum document;

    *ret_is_test = true;
    if (test->relsubs_done[at])
        return NULL;
    if (!row && !test->relsubs_rowmark[at]) {
        *ret_is_test = false;
        return NULL;
    }
    test->relsubs_done[at] = true;
    if (!row) {
        row = state->row;
        if (!EvalPlanQualFetchRowMark(test, at + 1, row))
            return NULL;
    }
    if (TupIsNull(row))
        return NULL;

    if (state->part == PART_BEGIN)
        state->part = begin_query(state);
    TupleTableSlot *made = make_row(state, row, false, 0);
    if (state->part == PART_ALL_NULL || !has_document(state, &document))
        return made;
    return make_row(state, row, true, score_of(state, document));
}

/* --- as the executor calls it --- */

static TupleTableSlot *
execute(CustomScanState *node)
{
    TopkState *state = (TopkState *)node;
    PlanState *plan = &node->ss.ps;
    EPQState *test = plan->state->es_epq_active;

    for (;;) {
        bool is_test = false;
        TupleTableSlot *made = NULL;

        CHECK_FOR_INTERRUPTS();
        ResetExprContext(plan->ps_ExprContext);
        if (test)
            made = test_row(state, test, &is_test);
        if (!is_test)
            made = next_row(state);
        if (!made)
            return ExecClearTuple(node->ss.ss_ScanTupleSlot);
        plan->ps_ExprContext->ecxt_scantuple = made;
        if (plan->qual && !ExecQual(plan->qual, plan->ps_ExprContext)) {
            InstrCountFiltered1(plan, 1);
            continue;
        }
        return plan->ps_ProjInfo ? ExecProject(plan->ps_ProjInfo) : made;
    }
}

static void
begin(CustomScanState *node, EState *estate, int flags)
{
    TopkState *state = (TopkState *)node;
    CustomScan *plan = (CustomScan *)node->ss.ps.plan;
    Relation table = node->ss.ss_currentRelation;
    List *columns = list_copy(plan->custom_scan_tlist);

    state->index_oid = (Oid)intVal(linitial(plan->custom_private));
    state->limit_hint = (int64)floatVal(lsecond(plan->custom_private));
    state->nulls_first = intVal(lthird(plan->custom_private)) != 0;
    state->document = ExecInitExpr(linitial(plan->custom_exprs), &node->ss.ps);
    state->query = ExecInitExpr(lsecond(plan->custom_exprs), &node->ss.ps);
    state->row =
        ExecInitExtraTupleSlot(estate, RelationGetDescr(table), table_slot_callbacks(table));
    /* No parent: its slots are the scan's rows, and these are the table's. */
    state->columns = ExecBuildProjectionInfo(list_truncate(columns, list_length(columns) - 1),
        node->ss.ps.ps_ExprContext, node->ss.ss_ScanTupleSlot, NULL, RelationGetDescr(table));
    state->context =
        AllocSetContextCreate(estate->es_query_cxt, DEEPLAKE_TOPK_NAME, ALLOCSET_DEFAULT_SIZES);
    if (flags & EXEC_FLAG_EXPLAIN_ONLY)
        return;

    state->index = index_open(state->index_oid, AccessShareLock);
    /* Whoever inserts a row might change what is best. */
    PredicateLockRelation(table, estate->es_snapshot);
}

static void
forget_query(TopkState *state)
{
    if (state->fetch)
        table_index_fetch_end(state->fetch);
    if (state->rest)
        table_endscan(state->rest);
    if (state->matches)
        deeplake_bm25_scan_end(state->matches);
    MemoryContextReset(state->context);
    state->fetch = NULL;
    state->rest = NULL;
    state->matches = NULL;
    state->scores = NULL;
    state->seen = NULL;
    state->part = PART_BEGIN;
}

static void
end(CustomScanState *node)
{
    TopkState *state = (TopkState *)node;

    forget_query(state);
    if (state->index)
        index_close(state->index, NoLock);
}

static void
rescan(CustomScanState *node)
{
    forget_query((TopkState *)node);
    ExecScanReScan(&node->ss);
}

static void
explain(CustomScanState *node, List *ancestors, ExplainState *output)
{
    TopkState *state = (TopkState *)node;
    CustomScan *plan = (CustomScan *)node->ss.ps.plan;
    List *context = set_deparse_context_plan(output->deparse_cxt, &plan->scan.plan, ancestors);
    bool several = list_length(output->rtable) > 1 || output->verbose;
    char *document = deparse_expression(linitial(plan->custom_exprs), context, several, false);
    char *query = deparse_expression(lsecond(plan->custom_exprs), context, several, false);

    ExplainPropertyText("Index", get_rel_name(state->index_oid), output);
    ExplainPropertyText("Order By", psprintf("(%s <#> %s) DESC", document, query), output);
    if (state->limit_hint > 0)
        ExplainPropertyInteger("Limit Hint", NULL, state->limit_hint, output);
    if (output->analyze) {
        ExplainPropertyInteger("Rows by Index", NULL, state->n_matches, output);
        ExplainPropertyInteger("Rows without Match", NULL, state->n_rest, output);
    }
}

static const CustomExecMethods exec_methods = {
    .CustomName = DEEPLAKE_TOPK_NAME,
    .BeginCustomScan = begin,
    .ExecCustomScan = execute,
    .EndCustomScan = end,
    .ReScanCustomScan = rescan,
    .ExplainCustomScan = explain,
};

static Node *
create_state(CustomScan *plan)
{
    TopkState *state = (TopkState *)newNode(sizeof(TopkState), T_CustomScanState);

    state->scan.methods = &exec_methods;
    return (Node *)state;
}

const CustomScanMethods deeplake_topk_scan_methods = {
    .CustomName = DEEPLAKE_TOPK_NAME,
    .CreateCustomScanState = create_state,
};

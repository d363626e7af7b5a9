/* SPDX-License-Identifier: Apache-2.0 */

/* "Deeplake TopK": the rows of a table, best score first, each once. */

#include "core/pg_deeplake/topk/scan.h"

#include "core/pg_deeplake/topk/state.h"

#include <access/tableam.h>
#include <miscadmin.h>
#include <nodes/makefuncs.h>
#include <storage/predicate.h>
#include <utils/builtins.h>
#include <utils/rel.h>
#include <utils/ruleutils.h>

/* --- one row --- */

TupleTableSlot *
deeplake_topk_row(DeeplakeTopk *scan, TupleTableSlot *row, bool has_score, float4 score)
{
    ExprContext *context = scan->scan.ss.ps.ps_ExprContext;

    context->ecxt_scantuple = row;
    TupleTableSlot *made = ExecProject(scan->columns);
    int last = made->tts_tupleDescriptor->natts - 1;
    made->tts_values[last] = has_score ? Float4GetDatum(score) : (Datum)0;
    made->tts_isnull[last] = !has_score;
    context->ecxt_scantuple = made;
    return made;
}

bool
deeplake_topk_argument(DeeplakeTopk *scan, int number, Datum *ret_value)
{
    bool absent;

    *ret_value = ExecEvalExprSwitchContext(
        list_nth(scan->arguments, number), scan->scan.ss.ps.ps_ExprContext, &absent);
    return !absent;
}

bool
deeplake_topk_next_of_table(DeeplakeTopk *scan)
{
    if (!scan->table_scan)
        scan->table_scan = table_beginscan(
            scan->scan.ss.ss_currentRelation, scan->scan.ss.ps.state->es_snapshot, 0, NULL);
    return table_scan_getnextslot(scan->table_scan, ForwardScanDirection, scan->row);
}

/* --- a query --- */

static void
begin_query(DeeplakeTopk *scan)
{
    Datum query;

    scan->has_begun = true;
    scan->is_null = !deeplake_topk_argument(scan, list_length(scan->arguments) - 1, &query);
    if (scan->is_null)
        return;
    MemoryContext old = MemoryContextSwitchTo(scan->context);
    scan->search->begin_query(scan, query);
    MemoryContextSwitchTo(old);
}

static void
end_query(DeeplakeTopk *scan)
{
    if (scan->table_scan)
        table_endscan(scan->table_scan);
    scan->table_scan = NULL;
    if (scan->has_begun && !scan->is_null)
        scan->search->end_query(scan);
    scan->has_begun = false;
    MemoryContextReset(scan->context);
}

static TupleTableSlot *
next_row(DeeplakeTopk *scan)
{
    if (!scan->has_begun)
        begin_query(scan);
    if (!scan->is_null)
        return scan->search->next(scan);
    return deeplake_topk_next_of_table(scan) ? deeplake_topk_row(scan, scan->row, false, 0)
                                             : NULL;
}

/* --- another version of a row, after a concurrent update --- */

/* The row that EvalPlanQual tests, if it is one of this table; *ret_is_test tells. It is given
 * once, and its score is its own. */
static TupleTableSlot *
test_row(DeeplakeTopk *scan, EPQState *test, bool *ret_is_test)
{
    Index at = scan->plan->scan.scanrelid - 1;
    TupleTableSlot *row = test->relsubs_slot[at];

    *ret_is_test = true;
    if (test->relsubs_done[at])
        return NULL;
    if (!row && !test->relsubs_rowmark[at]) {
        *ret_is_test = false;
        return NULL;
    }
    test->relsubs_done[at] = true;
    if (!row) {
        row = scan->row;
        if (!EvalPlanQualFetchRowMark(test, at + 1, row))
            return NULL;
    }
    if (TupIsNull(row))
        return NULL;

    if (!scan->has_begun)
        begin_query(scan);
    return scan->is_null ? deeplake_topk_row(scan, row, false, 0)
                         : scan->search->score(scan, row);
}

/* --- as the executor calls it --- */

static TupleTableSlot *
execute(CustomScanState *node)
{
    DeeplakeTopk *scan = (DeeplakeTopk *)node;
    PlanState *plan = &node->ss.ps;
    EPQState *test = plan->state->es_epq_active;

    for (;;) {
        bool is_test = false;
        TupleTableSlot *made = NULL;

        CHECK_FOR_INTERRUPTS();
        ResetExprContext(plan->ps_ExprContext);
        if (test)
            made = test_row(scan, test, &is_test);
        if (!is_test)
            made = next_row(scan);
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
    DeeplakeTopk *scan = (DeeplakeTopk *)node;
    Relation table = node->ss.ss_currentRelation;
    List *columns = list_copy(scan->plan->custom_scan_tlist);

    scan->arguments = ExecInitExprList(scan->plan->custom_exprs, &node->ss.ps);
    scan->row =
        ExecInitExtraTupleSlot(estate, RelationGetDescr(table), table_slot_callbacks(table));
    /* No parent: its slots are the scan's rows, and these are the table's. */
    scan->columns = ExecBuildProjectionInfo(list_truncate(columns, list_length(columns) - 1),
        node->ss.ps.ps_ExprContext, node->ss.ss_ScanTupleSlot, NULL, RelationGetDescr(table));
    scan->context =
        AllocSetContextCreate(estate->es_query_cxt, DEEPLAKE_TOPK_NAME, ALLOCSET_DEFAULT_SIZES);
    if (flags & EXEC_FLAG_EXPLAIN_ONLY)
        return;

    if (scan->search->begin)
        scan->search->begin(scan);
    /* Whoever inserts a row might change what is best. */
    PredicateLockRelation(table, estate->es_snapshot);
}

static void
end(CustomScanState *node)
{
    DeeplakeTopk *scan = (DeeplakeTopk *)node;

    end_query(scan);
    if (scan->search->end)
        scan->search->end(scan);
}

static void
rescan(CustomScanState *node)
{
    end_query((DeeplakeTopk *)node);
    ExecScanReScan(&node->ss);
}

static void
explain(CustomScanState *node, List *ancestors, ExplainState *output)
{
    DeeplakeTopk *scan = (DeeplakeTopk *)node;
    List *context =
        set_deparse_context_plan(output->deparse_cxt, &scan->plan->scan.plan, ancestors);
    bool several = list_length(output->rtable) > 1 || output->verbose;
    List *arguments = NIL;
    ListCell *cell;

    foreach (cell, scan->plan->custom_exprs)
        arguments =
            lappend(arguments, deparse_expression(lfirst(cell), context, several, false));
    scan->search->explain(scan, arguments, output);

    int64 limit = (int64)floatVal(list_nth(scan->plan->custom_private, DEEPLAKE_TOPK_LIMIT));
    if (limit > 0)
        ExplainPropertyInteger("Limit Hint", NULL, limit, output);
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
    bool is_text =
        intVal(list_nth(plan->custom_private, DEEPLAKE_TOPK_SEARCH)) == DEEPLAKE_TOPK_TEXT;
    const DeeplakeTopkSearch *search = is_text ? &deeplake_topk_text : &deeplake_topk_hybrid;
    DeeplakeTopk *scan = (DeeplakeTopk *)newNode(search->state_size, T_CustomScanState);

    scan->scan.methods = &exec_methods;
    scan->search = search;
    scan->plan = plan;
    return (Node *)scan;
}

const CustomScanMethods deeplake_topk_scan_methods = {
    .CustomName = DEEPLAKE_TOPK_NAME,
    .CreateCustomScanState = create_state,
};

/* SPDX-License-Identifier: Apache-2.0 */

/* The path: where the first key of the wanted order is text <#> text, descending, on a table
 * that has the index. The score is one more column of the scan, so the planner's own machinery
 * puts it wherever the query names the expression. */

#include "core/pg_deeplake/topk.h"

#include "core/pg_deeplake/index.h"
#include "core/pg_deeplake/topk/scan.h"
#include "core/pg_deeplake/topk/score.h"
#include "core/pg_deeplake/topk/source.h"

#include <access/stratnum.h>
#include <catalog/pg_class.h>
#include <math.h>
#include <nodes/extensible.h>
#include <nodes/makefuncs.h>
#include <optimizer/clauses.h>
#include <optimizer/cost.h>
#include <optimizer/optimizer.h>
#include <optimizer/pathnode.h>
#include <optimizer/paths.h>
#include <optimizer/restrictinfo.h>
#include <optimizer/tlist.h>

/* Of the documents, how many a query's words are in; nothing better is known when a plan is
 * made for any query. */
#define MATCHING_FRACTION 0.05

static set_rel_pathlist_hook_type previous_hook;

static Plan *plan_path(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *targets,
    List *clauses, List *plans);

static const CustomPathMethods path_methods = {
    .CustomName = DEEPLAKE_TOPK_NAME,
    .PlanCustomPath = plan_path,
};

/* The member of an equivalence class that is computed from this relation alone. */
static FuncExpr *
find_call(PathKey *key, RelOptInfo *rel)
{
    ListCell *cell;

    foreach (cell, key->pk_eclass->ec_members) {
        EquivalenceMember *member = lfirst(cell);
        if (bms_equal(member->em_relids, rel->relids) &&
            deeplake_is_bm25_call((Node *)member->em_expr))
            return (FuncExpr *)member->em_expr;
    }
    return NULL;
}

/* Which of the relation's indexes gives that order; NULL where none does. */
static IndexOptInfo *
find_index(PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *entry, FuncExpr *call)
{
    Node *query = list_nth(call->args, DEEPLAKE_CALL_QUERY);
    Const *parent = list_nth(call->args, DEEPLAKE_CALL_INDEX);
    ListCell *cell;

    if (!IsA(parent, Const) || parent->constisnull || contain_volatile_functions(query) ||
        contain_subplans(query) || pull_varnos(root, query) != NULL)
        return NULL;

    Oid oid = deeplake_source_child_index(DatumGetObjectId(parent->constvalue), entry->relid);
    foreach (cell, rel->indexlist) {
        IndexOptInfo *index = lfirst(cell);
        if (index->indexoid == oid && index->indpred == NIL)
            return index;
    }
    return NULL;
}

/* Postings first, then a row of the table for each that is wanted. Read to its end it visits
 * every row one by one, and loses against a scan and a sort, as it should. */
static void
estimate_cost(CustomPath *path, RelOptInfo *rel, IndexOptInfo *index)
{
    double n_rows = Max(rel->tuples, 1);
    double n_matches = ceil(n_rows * MATCHING_FRACTION);
    QualCost filter = rel->baserestrictcost;
    Cost per_row = random_page_cost + cpu_tuple_cost + cpu_operator_cost + filter.per_tuple +
                   rel->reltarget->cost.per_tuple;

    path->path.startup_cost = filter.startup + rel->reltarget->cost.startup +
                              random_page_cost * (2 + ceil(index->pages * 0.02)) +
                              n_matches * cpu_operator_cost;
    path->path.total_cost = path->path.startup_cost + n_rows * per_row;
    path->path.rows = rel->rows;
}

static void
add_topk_path(PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *entry)
{
    PathKey *key = linitial(root->query_pathkeys);
#if PG_VERSION_NUM >= 180000
    bool descending = key->pk_cmptype == COMPARE_GT;
#else
    bool descending = key->pk_strategy == BTGreaterStrategyNumber;
#endif

    if (!descending || key->pk_eclass->ec_has_volatile)
        return;
    FuncExpr *call = find_call(key, rel);
    IndexOptInfo *index = call ? find_index(root, rel, entry, call) : NULL;
    if (!index)
        return;

    CustomPath *path = makeNode(CustomPath);
    int64 limit =
        root->limit_tuples > 0 && root->limit_tuples < 1e15 ? (int64)root->limit_tuples : 0;
    path->path.pathtype = T_CustomScan;
    path->path.parent = rel;
    path->path.pathtarget = rel->reltarget;
    path->path.pathkeys = list_make1(key);
    path->flags = CUSTOMPATH_SUPPORT_PROJECTION;
    path->methods = &path_methods;
    path->custom_private = list_make4(call, makeInteger((int)index->indexoid),
        makeFloat(psprintf(INT64_FORMAT, limit)), makeInteger(key->pk_nulls_first));
    estimate_cost(path, rel, index);
    add_path(rel, &path->path);
}

static void
set_rel_pathlist(PlannerInfo *root, RelOptInfo *rel, Index relation, RangeTblEntry *entry)
{
    if (previous_hook)
        previous_hook(root, rel, relation, entry);

    /* Cheap where it is not for us: nearly every query of a server comes by here. */
    if (!enable_indexscan || root->query_pathkeys == NIL || rel->indexlist == NIL ||
        !IS_SIMPLE_REL(rel) || entry->rtekind != RTE_RELATION || entry->inh ||
        entry->tablesample || !bms_is_empty(rel->lateral_relids) || IS_DUMMY_REL(rel) ||
        (entry->relkind != RELKIND_RELATION && entry->relkind != RELKIND_MATVIEW))
        return;
    add_topk_path(root, rel, entry);
}

/* The scan's row: each column that the query or the document needs, and last the score. Not by
 * the plan's targets, which are empty where a projection is to be put in later. */
static List *
scan_targets(RelOptInfo *rel, List *quals, FuncExpr *call)
{
    List *needed = list_make2(rel->reltarget->exprs, quals);
    List *vars = pull_var_clause((Node *)needed,
        PVC_RECURSE_AGGREGATES | PVC_RECURSE_WINDOWFUNCS | PVC_RECURSE_PLACEHOLDERS);
    List *of_document = pull_var_clause(list_nth(call->args, DEEPLAKE_CALL_DOCUMENT),
        PVC_RECURSE_AGGREGATES | PVC_RECURSE_WINDOWFUNCS | PVC_RECURSE_PLACEHOLDERS);
    List *row = add_to_flat_tlist(NIL, vars);

    row = add_to_flat_tlist(row, of_document);
    return lappend(row, makeTargetEntry((Expr *)call, list_length(row) + 1, NULL, false));
}

static Plan *
plan_path(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *targets, List *clauses,
    List *plans)
{
    CustomScan *scan = makeNode(CustomScan);
    FuncExpr *call = linitial(path->custom_private);

    scan->scan.plan.targetlist = targets;
    scan->scan.plan.qual = extract_actual_clauses(clauses, false);
    scan->scan.scanrelid = rel->relid;
    scan->flags = path->flags;
    scan->custom_scan_tlist = scan_targets(rel, scan->scan.plan.qual, call);
    scan->custom_exprs = list_make2(list_nth(call->args, DEEPLAKE_CALL_DOCUMENT),
        list_nth(call->args, DEEPLAKE_CALL_QUERY));
    scan->custom_private = list_copy_tail(path->custom_private, 1);
    scan->methods = &deeplake_topk_scan_methods;
    return &scan->scan.plan;
}

void
deeplake_topk_install(void)
{
    RegisterCustomScanMethods(&deeplake_topk_scan_methods);
    previous_hook = set_rel_pathlist_hook;
    set_rel_pathlist_hook = set_rel_pathlist;
}

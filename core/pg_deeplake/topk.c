/* SPDX-License-Identifier: Apache-2.0 */

/* The path: where the first key of the wanted order is text <#> text, descending, on a table
 * that has the index, or a hybrid search. The score is one more column of the scan, so the
 * planner's own machinery puts it wherever the query names the expression. */

#include "core/pg_deeplake/topk.h"

#include "core/pg_deeplake/index.h"
#include "core/pg_deeplake/topk/hybrid.h"
#include "core/pg_deeplake/topk/scan.h"
#include "core/pg_deeplake/topk/score.h"
#include "core/pg_deeplake/topk/source.h"
#include "core/pg_deeplake/topk/state.h"

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

/* In the script, COST of the functions that score a vector, and a text. */
#define VECTOR_COST 100
#define TEXT_COST 500

static set_rel_pathlist_hook_type previous_hook;

static Plan *plan_path(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *targets,
    List *clauses, List *plans);

static const CustomPathMethods path_methods = {
    .CustomName = DEEPLAKE_TOPK_NAME,
    .PlanCustomPath = plan_path,
};

static FuncExpr *
call_of(EquivalenceMember *member, RelOptInfo *rel)
{
    Node *expression = (Node *)member->em_expr;

    return bms_equal(member->em_relids, rel->relids) &&
                   (deeplake_is_bm25_call(expression) || deeplake_is_hybrid_call(expression))
               ? (FuncExpr *)expression
               : NULL;
}

/* The member of an equivalence class that is a search of this relation alone. */
static FuncExpr *
find_call(EquivalenceClass *class, RelOptInfo *rel)
{
#if PG_VERSION_NUM >= 180000
    EquivalenceMemberIterator members;
    EquivalenceMember *member;
    setup_eclass_member_iterator(&members, class, rel->relids);
    while ((member = eclass_member_iterator_next(&members))) {
        FuncExpr *call = call_of(member, rel);
        if (call)
            return call;
    }
#else
    ListCell *cell;
    foreach (cell, class->ec_members) {
        FuncExpr *call = call_of(lfirst(cell), rel);
        if (call)
            return call;
    }
#endif
    return NULL;
}

/* The query has one value for all rows of a scan. */
static bool
is_fixed(PlannerInfo *root, Node *query)
{
    return !contain_volatile_functions(query) && !contain_subplans(query) &&
           pull_varnos(root, query) == NULL;
}

/* Which of the relation's indexes gives the order of text; NULL where none does. */
static IndexOptInfo *
find_index(RelOptInfo *rel, RangeTblEntry *entry, FuncExpr *call)
{
    Const *parent = list_nth(call->args, DEEPLAKE_CALL_INDEX);
    ListCell *cell;

    if (!IsA(parent, Const) || parent->constisnull)
        return NULL;
    Oid oid = deeplake_source_child_index(DatumGetObjectId(parent->constvalue), entry->relid);
    foreach (cell, rel->indexlist) {
        IndexOptInfo *index = lfirst(cell);
        if (index->indexoid == oid && index->indpred == NIL)
            return index;
    }
    return NULL;
}

/* A row of the table for each that is wanted. Read to its end that is every row one by one, and
 * loses against a scan and a sort, as it should. */
static void
estimate_cost(CustomPath *path, Cost startup, Cost per_row)
{
    RelOptInfo *rel = path->path.parent;
    QualCost filter = rel->baserestrictcost;

    per_row += random_page_cost + cpu_tuple_cost + cpu_operator_cost + filter.per_tuple +
               rel->reltarget->cost.per_tuple;
    path->path.startup_cost = startup + filter.startup + rel->reltarget->cost.startup;
    path->path.total_cost = path->path.startup_cost + Max(rel->tuples, 1) * per_row;
    path->path.rows = rel->rows;
}

/* Postings first. */
static Cost
startup_of_text(RelOptInfo *rel, IndexOptInfo *index)
{
    return random_page_cost * (2 + ceil(index->pages * 0.02)) +
           Max(rel->tuples, 1) * MATCHING_FRACTION * cpu_operator_cost;
}

/* Every vector first, and only then, if ever, every text. */
static Cost
startup_of_hybrid(RelOptInfo *rel)
{
    return seq_page_cost * rel->pages +
           (cpu_tuple_cost + VECTOR_COST * cpu_operator_cost) * rel->tuples;
}

/* What scan.c reads: see topk/state.h. */
static List *
private_of(PlannerInfo *root, RelOptInfo *rel, PathKey *key, IndexOptInfo *index, List *call)
{
    double limit = root->limit_tuples > 0 && root->limit_tuples < 1e15 ? root->limit_tuples : 0;
    double wanted = ceil(limit * Max(rel->tuples, 1) / Max(rel->rows, 1));

    List *private = list_make5(makeInteger(index ? DEEPLAKE_TOPK_TEXT : DEEPLAKE_TOPK_HYBRID),
        makeInteger(index ? (int)index->indexoid : 0), makeFloat(psprintf("%.0f", limit)),
        makeFloat(psprintf("%.0f", Min(wanted, Max(rel->tuples, limit)))),
        makeInteger(key->pk_nulls_first));
    return lappend(private, call);
}

static void
add_topk_path(
    PlannerInfo *root, RelOptInfo *rel, PathKey *key, FuncExpr *call, IndexOptInfo *index)
{
    CustomPath *path = makeNode(CustomPath);
    List *constants = NIL;

    if (!index) {
        for (int i = DEEPLAKE_HYBRID_VECTOR_COLUMN; i <= DEEPLAKE_HYBRID_N_WANTED; i++) {
            Const *value = list_nth(call->args, i);
            constants = lappend(constants, makeInteger(DatumGetInt32(value->constvalue)));
        }
    }
    path->path.pathtype = T_CustomScan;
    path->path.parent = rel;
    path->path.pathtarget = rel->reltarget;
    path->path.pathkeys = list_make1(key);
    path->flags = CUSTOMPATH_SUPPORT_PROJECTION;
    path->methods = &path_methods;
    path->custom_private = list_make2(call, private_of(root, rel, key, index, constants));
    if (index)
        estimate_cost(path, startup_of_text(rel, index), 0);
    else
        estimate_cost(path, startup_of_hybrid(rel), TEXT_COST * cpu_operator_cost);
    add_path(rel, &path->path);
}

static void
consider(PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *entry)
{
    PathKey *key = linitial(root->query_pathkeys);
#if PG_VERSION_NUM >= 180000
    bool descending = key->pk_cmptype == COMPARE_GT;
#else
    bool descending = key->pk_strategy == BTGreaterStrategyNumber;
#endif

    if (!descending || key->pk_eclass->ec_has_volatile)
        return;
    FuncExpr *call = find_call(key->pk_eclass, rel);
    if (!call)
        return;
    if (deeplake_is_bm25_call((Node *)call)) {
        IndexOptInfo *index = find_index(rel, entry, call);
        if (index && is_fixed(root, list_nth(call->args, DEEPLAKE_CALL_QUERY)))
            add_topk_path(root, rel, key, call, index);
        return;
    }
    /* Not a child by itself: the candidates are those of the whole. */
    if (rel->reloptkind == RELOPT_BASEREL &&
        IsA(list_nth(call->args, DEEPLAKE_HYBRID_ROW_TABLE), Const) &&
        is_fixed(root, list_nth(call->args, DEEPLAKE_HYBRID_QUERY)))
        add_topk_path(root, rel, key, call, NULL);
}

static void
set_rel_pathlist(PlannerInfo *root, RelOptInfo *rel, Index relation, RangeTblEntry *entry)
{
    if (previous_hook)
        previous_hook(root, rel, relation, entry);

    /* Cheap where it is not for us: nearly every query of a server comes by here. */
    if (!enable_indexscan || root->query_pathkeys == NIL || !IS_SIMPLE_REL(rel) ||
        entry->rtekind != RTE_RELATION || entry->inh || entry->tablesample ||
        !bms_is_empty(rel->lateral_relids) || IS_DUMMY_REL(rel) ||
        (entry->relkind != RELKIND_RELATION && entry->relkind != RELKIND_MATVIEW))
        return;
    consider(root, rel, entry);
}

/* What the search is given of each row, and its query last: the call's arguments but for the
 * constants. */
static List *
arguments_of(FuncExpr *call)
{
    int n_arguments =
        deeplake_is_bm25_call((Node *)call) ? DEEPLAKE_CALL_INDEX : DEEPLAKE_HYBRID_TABLE;

    return list_truncate(list_copy(call->args), n_arguments);
}

/* The scan's row: each column that the query or the search needs, and last the score. Not by
 * the plan's targets, which are empty where a projection is to be put in later. */
static List *
scan_targets(RelOptInfo *rel, List *quals, FuncExpr *call)
{
    List *needed = list_make3(rel->reltarget->exprs, quals, arguments_of(call));
    List *vars = pull_var_clause((Node *)needed,
        PVC_RECURSE_AGGREGATES | PVC_RECURSE_WINDOWFUNCS | PVC_RECURSE_PLACEHOLDERS);
    List *row = add_to_flat_tlist(NIL, vars);

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
    scan->custom_exprs = arguments_of(call);
    scan->custom_private = lsecond(path->custom_private);
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

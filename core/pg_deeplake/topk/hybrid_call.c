/* SPDX-License-Identifier: Apache-2.0 */

/* (vector, text) <#> hybrid record, as SQL and the planner call it. */

#include "core/pg_deeplake/topk/hybrid.h"
#include "core/pg_deeplake/topk/source.h"

#include <access/transam.h>
#include <catalog/pg_type.h>
#include <nodes/makefuncs.h>
#include <nodes/supportnodes.h>
#include <optimizer/optimizer.h>
#include <utils/memutils.h>

#define CANDIDATES_LEAST 100
#define CANDIDATES_MOST 1000000

PG_FUNCTION_INFO_V1(deeplake_hybrid_search);
PG_FUNCTION_INFO_V1(deeplake_hybrid_search_in);
PG_FUNCTION_INFO_V1(deeplake_hybrid_search_support);

/* The query that this call is prepared for, from one row to the next. */
typedef struct {
    MemoryContext context;
    DeeplakeHybrid *hybrid;
} HybridCall;

/* Where the left side is no row of a table's columns: nothing to find candidates in. */
Datum
deeplake_hybrid_search(PG_FUNCTION_ARGS)
{
    if (!fcinfo->flinfo->fn_extra) {
        fcinfo->flinfo->fn_extra = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, 1);
        ereport(NOTICE,
            (errmsg("a hybrid search is 0 where its left side is no row of a table's columns"),
                errhint("Write (vector_column, text_column)::deeplake_hybrid_record <#> "
                        "deeplake_hybrid_record(…).")));
    }
    PG_RETURN_FLOAT4(0);
}

static void
prepare(FunctionCallInfo fcinfo, HybridCall *call, HeapTupleHeader query)
{
    deeplake_source_check_call(fcinfo);
    Node *row_table =
        list_nth(((FuncExpr *)fcinfo->flinfo->fn_expr)->args, DEEPLAKE_HYBRID_ROW_TABLE);
    DeeplakeHybridSource source = {
        .table = PG_GETARG_OID(DEEPLAKE_HYBRID_TABLE),
        .with_children = !IsA(row_table, Const), /* as the planner found */
        .vector_column = PG_GETARG_INT16(DEEPLAKE_HYBRID_VECTOR_COLUMN),
        .text_column = PG_GETARG_INT16(DEEPLAKE_HYBRID_TEXT_COLUMN),
        .n_wanted = PG_GETARG_INT32(DEEPLAKE_HYBRID_N_WANTED),
    };

    call->hybrid = NULL;
    MemoryContextReset(call->context);
    MemoryContext old = MemoryContextSwitchTo(call->context);
    call->hybrid = deeplake_hybrid_prepare(&source, query);
    MemoryContextSwitchTo(old);
}

/* (vector, text, query, table regclass, row's table oid, vector's column, text's column, n) */
Datum
deeplake_hybrid_search_in(PG_FUNCTION_ARGS)
{
    HybridCall *call = fcinfo->flinfo->fn_extra;

    if (PG_ARGISNULL(DEEPLAKE_HYBRID_QUERY))
        PG_RETURN_NULL();
    if (PG_ARGISNULL(DEEPLAKE_HYBRID_ROW_TABLE)) /* an outer join's empty row */
        PG_RETURN_FLOAT4(0);
    if (!call) {
        call = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(*call));
        call->context = AllocSetContextCreate(
            fcinfo->flinfo->fn_mcxt, "deeplake hybrid query", ALLOCSET_DEFAULT_SIZES);
        fcinfo->flinfo->fn_extra = call;
    }
    HeapTupleHeader query = PG_GETARG_HEAPTUPLEHEADER(DEEPLAKE_HYBRID_QUERY);
    if (!call->hybrid || !deeplake_hybrid_is_of(call->hybrid, query))
        prepare(fcinfo, call, query);

    PG_RETURN_FLOAT4(
        deeplake_hybrid_value(call->hybrid, PG_GETARG_OID(DEEPLAKE_HYBRID_ROW_TABLE),
            fcinfo->args[DEEPLAKE_HYBRID_VECTOR], fcinfo->args[DEEPLAKE_HYBRID_TEXT]));
}

/* --- the planner's part --- */

/* How many candidates per side: as many as the query's LIMIT says, where that is a number in
 * the statement. A parameter's value is not asked: a generic plan has none, and would give
 * other values than a plan for this one. */
static int
n_wanted(PlannerInfo *root)
{
    Node *limit = root->parse->limitCount;
    if (!limit)
        return CANDIDATES_LEAST;

    limit = eval_const_expressions(NULL, copyObject(limit));
    if (!IsA(limit, Const) || ((Const *)limit)->constisnull)
        return CANDIDATES_LEAST;
    int64 number = DatumGetInt64(((Const *)limit)->constvalue);
    return (int)Min(Max(number, CANDIDATES_LEAST), CANDIDATES_MOST);
}

static Node *
strip(Node *value)
{
    for (;;) {
        if (value && IsA(value, RelabelType))
            value = (Node *)((RelabelType *)value)->arg;
        else if (value && IsA(value, ConvertRowtypeExpr))
            value = (Node *)((ConvertRowtypeExpr *)value)->arg;
        else
            return value;
    }
}

/* Both columns are of the same row of the same table. */
static bool
find_columns(
    PlannerInfo *root, RowExpr *row, DeeplakeSource *ret_vector, DeeplakeSource *ret_text)
{
    Node *vector = strip(linitial(row->args));
    Node *text = strip(lsecond(row->args));

    return IsA(vector, Var) && IsA(text, Var) &&
           ((Var *)vector)->varno == ((Var *)text)->varno &&
           ((Var *)vector)->varlevelsup == ((Var *)text)->varlevelsup &&
           deeplake_source_find(root, vector, ret_vector) &&
           deeplake_source_find(root, text, ret_text) && ret_vector->table == ret_text->table &&
           ret_vector->column > 0 && ret_text->column > 0;
}

static Const *
constant(Oid type, int16 size, Datum value)
{
    return makeConst(type, -1, InvalidOid, size, value, false, true);
}

Datum
deeplake_hybrid_search_support(PG_FUNCTION_ARGS)
{
    Node *request = (Node *)PG_GETARG_POINTER(0);
    DeeplakeSource vector, words;

    if (!IsA(request, SupportRequestSimplify))
        PG_RETURN_POINTER(NULL);
    SupportRequestSimplify *simplify = (SupportRequestSimplify *)request;
    Node *left = strip(linitial(simplify->fcall->args));
    if (!simplify->root || !IsA(left, RowExpr) || list_length(((RowExpr *)left)->args) != 2 ||
        !find_columns(simplify->root, (RowExpr *)left, &vector, &words))
        PG_RETURN_POINTER(NULL);

    List *arguments = list_make5(linitial(((RowExpr *)left)->args),
        lsecond(((RowExpr *)left)->args), lsecond(simplify->fcall->args),
        constant(REGCLASSOID, sizeof(Oid), ObjectIdGetDatum(vector.table)), vector.row_table);
    arguments =
        lappend(arguments, constant(INT2OID, sizeof(int16), Int16GetDatum(vector.column)));
    arguments =
        lappend(arguments, constant(INT2OID, sizeof(int16), Int16GetDatum(words.column)));
    arguments = lappend(
        arguments, constant(INT4OID, sizeof(int32), Int32GetDatum(n_wanted(simplify->root))));
    PG_RETURN_POINTER(
        deeplake_source_call(simplify->fcall->funcid, "deeplake_hybrid_search_in", arguments));
}

bool
deeplake_is_hybrid_call(Node *expression)
{
    FmgrInfo function;

    if (!IsA(expression, FuncExpr))
        return false;
    FuncExpr *call = (FuncExpr *)expression;
    if (call->funcid < FirstNormalObjectId || call->funcformat != COERCE_SQL_SYNTAX ||
        list_length(call->args) != DEEPLAKE_HYBRID_N_ARGUMENTS)
        return false;
    fmgr_info(call->funcid, &function);
    return function.fn_addr == deeplake_hybrid_search_in;
}

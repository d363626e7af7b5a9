/* SPDX-License-Identifier: Apache-2.0 */

/* text <#> text wherever it is not an index that gives the score. */

#include "core/pg_deeplake/topk/score.h"

#include "core/pg_deeplake/bm25.h"
#include "core/pg_deeplake/topk/source.h"

#include <access/genam.h>
#include <access/transam.h>
#include <catalog/pg_type.h>
#include <nodes/makefuncs.h>
#include <nodes/supportnodes.h>
#include <utils/memutils.h>

PG_FUNCTION_INFO_V1(deeplake_bm25_similarity);
PG_FUNCTION_INFO_V1(deeplake_bm25_similarity_in);
PG_FUNCTION_INFO_V1(deeplake_bm25_similarity_support);

typedef struct {
    Oid table;
    DeeplakeBm25Scorer *scorer; /* NULL: without an index */
} TableScorer;

struct DeeplakeScores {
    MemoryContext context;
    Oid index;
    char *query;
    int query_size;
    TableScorer *tables;
    int n_tables, n_allocated, last;
};

DeeplakeScores *
deeplake_scores_new(Oid index, const char *query, int query_size)
{
    DeeplakeScores *scores = palloc0(sizeof(*scores));

    scores->context = CurrentMemoryContext;
    scores->index = index;
    scores->query = palloc(query_size + 1);
    memcpy(scores->query, query, query_size);
    scores->query[query_size] = '\0';
    scores->query_size = query_size;
    scores->n_allocated = 4;
    scores->tables = palloc(sizeof(TableScorer) * scores->n_allocated);
    return scores;
}

/* Rows of one table come one after the other as a rule. */
static TableScorer *
find_table(DeeplakeScores *scores, Oid table)
{
    for (int i = 0; i < scores->n_tables; i++) {
        int at = (scores->last + i) % scores->n_tables;
        if (scores->tables[at].table == table) {
            scores->last = at;
            return &scores->tables[at];
        }
    }

    MemoryContext old = MemoryContextSwitchTo(scores->context);
    Oid oid = deeplake_source_child_index(scores->index, table);
    DeeplakeBm25Scorer *scorer = NULL;
    if (OidIsValid(oid)) {
        Relation index = index_open(oid, AccessShareLock);
        scorer = deeplake_bm25_scorer(index, scores->query, scores->query_size);
        index_close(index, AccessShareLock);
    }
    if (scores->n_tables == scores->n_allocated) {
        scores->n_allocated *= 2;
        scores->tables = repalloc(scores->tables, sizeof(TableScorer) * scores->n_allocated);
    }
    scores->last = scores->n_tables++;
    scores->tables[scores->last] = (TableScorer){table, scorer};
    MemoryContextSwitchTo(old);
    return &scores->tables[scores->last];
}

bool
deeplake_scores_of(DeeplakeScores *scores, Oid table, const char *document, int document_size,
    float4 *ret_score)
{
    TableScorer *of_table = find_table(scores, table);

    *ret_score = 0;
    if (of_table->scorer)
        *ret_score = deeplake_bm25_score(of_table->scorer, document, document_size);
    return of_table->scorer != NULL;
}

/* --- as SQL calls them --- */

/* The query that this call of the function is prepared for, from one row to the next. */
typedef struct {
    MemoryContext context;
    DeeplakeScores *scores;
    bool said;
} Call;

static Call *
call_of(FunctionCallInfo fcinfo)
{
    if (!fcinfo->flinfo->fn_extra) {
        Call *call = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(*call));
        call->context = AllocSetContextCreate(
            fcinfo->flinfo->fn_mcxt, "deeplake bm25 query", ALLOCSET_SMALL_SIZES);
        fcinfo->flinfo->fn_extra = call;
    }
    return fcinfo->flinfo->fn_extra;
}

static void
say_once(Call *call)
{
    if (call->said)
        return;
    call->said = true;
    ereport(NOTICE,
        (errmsg("text <#> text is 0 without statistics: there is no bm25 index"),
            errhint("CREATE INDEX … USING deeplake_index (column) WITH (index_type = 'bm25'), "
                    "and put the table's column on the left.")));
}

/* What has no index: two values, or a column without one. */
Datum
deeplake_bm25_similarity(PG_FUNCTION_ARGS)
{
    say_once(call_of(fcinfo));
    PG_RETURN_FLOAT4(0);
}

/* (document text, query text, index regclass, row's table oid) */
Datum
deeplake_bm25_similarity_in(PG_FUNCTION_ARGS)
{
    Call *call = call_of(fcinfo);
    text *document = PG_GETARG_TEXT_PP(DEEPLAKE_CALL_DOCUMENT);
    text *query = PG_GETARG_TEXT_PP(DEEPLAKE_CALL_QUERY);
    int size = (int)VARSIZE_ANY_EXHDR(query);
    float4 score;

    if (!call->scores || call->scores->query_size != size ||
        memcmp(call->scores->query, VARDATA_ANY(query), size) != 0) {
        deeplake_source_check_call(fcinfo);
        call->scores = NULL;
        MemoryContextReset(call->context);
        MemoryContext old = MemoryContextSwitchTo(call->context);
        call->scores =
            deeplake_scores_new(PG_GETARG_OID(DEEPLAKE_CALL_INDEX), VARDATA_ANY(query), size);
        MemoryContextSwitchTo(old);
    }
    if (!deeplake_scores_of(call->scores, PG_GETARG_OID(DEEPLAKE_CALL_ROW_TABLE),
            VARDATA_ANY(document), (int)VARSIZE_ANY_EXHDR(document), &score))
        say_once(call);

    PG_FREE_IF_COPY(document, DEEPLAKE_CALL_DOCUMENT);
    PG_FREE_IF_COPY(query, DEEPLAKE_CALL_QUERY);
    PG_RETURN_FLOAT4(score);
}

/* Planner support: the call with the index, where there is one. */
Datum
deeplake_bm25_similarity_support(PG_FUNCTION_ARGS)
{
    Node *request = (Node *)PG_GETARG_POINTER(0);
    DeeplakeSource source;

    if (!IsA(request, SupportRequestSimplify))
        PG_RETURN_POINTER(NULL);
    SupportRequestSimplify *simplify = (SupportRequestSimplify *)request;
    Node *document = linitial(simplify->fcall->args);
    Node *query = lsecond(simplify->fcall->args);
    if (!deeplake_source_find(simplify->root, document, &source))
        PG_RETURN_POINTER(NULL);
    Oid index = deeplake_source_index(&source);
    if (!OidIsValid(index))
        PG_RETURN_POINTER(NULL);

    Const *oid = makeConst(
        REGCLASSOID, -1, InvalidOid, sizeof(Oid), ObjectIdGetDatum(index), false, true);
    PG_RETURN_POINTER(deeplake_source_call(simplify->fcall->funcid,
        "deeplake_bm25_similarity_in", list_make4(document, query, oid, source.row_table)));
}

bool
deeplake_is_bm25_call(Node *expression)
{
    FmgrInfo function;

    if (!IsA(expression, FuncExpr))
        return false;
    FuncExpr *call = (FuncExpr *)expression;
    if (call->funcid < FirstNormalObjectId || call->funcformat != COERCE_SQL_SYNTAX ||
        list_length(call->args) != 4)
        return false;
    fmgr_info(call->funcid, &function);
    return function.fn_addr == deeplake_bm25_similarity_in;
}

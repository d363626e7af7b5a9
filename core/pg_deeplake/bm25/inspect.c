/* SPDX-License-Identifier: Apache-2.0 */

/* SQL functions that show what an index has, whatever the planner thinks of it. They look past
 * the rights on rows, so only the index's owner may call them. */

#include "core/pg_deeplake/bm25.h"

#include <access/genam.h>
#include <access/relation.h>
#include <catalog/pg_class.h>
#include <funcapi.h>
#include <mb/pg_wchar.h>
#include <miscadmin.h>
#include <utils/acl.h>
#include <utils/builtins.h>
#include <utils/rel.h>

/* An index of type bm25 that belongs to the current user. */
static Relation
open_index(Oid oid)
{
    Relation index = relation_open(oid, AccessShareLock);

    if (index->rd_rel->relkind != RELKIND_INDEX || !deeplake_index_is_ours(index) ||
        deeplake_index_type(index) != DEEPLAKE_INDEX_BM25)
        ereport(ERROR,
            (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                errmsg("\"%s\" is not an index of type bm25", RelationGetRelationName(index)),
                errhint("CREATE INDEX … USING deeplake_index (…) WITH (index_type = bm25).")));
#if PG_VERSION_NUM >= 160000
    if (!object_ownercheck(RelationRelationId, oid, GetUserId()))
#else
    if (!pg_class_ownercheck(oid, GetUserId()))
#endif
        aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_INDEX, RelationGetRelationName(index));
    return index;
}

PG_FUNCTION_INFO_V1(deeplake_bm25_statistics_sql);

/* deeplake_bm25_statistics(index regclass) */
Datum
deeplake_bm25_statistics_sql(PG_FUNCTION_ARGS)
{
    Relation index = open_index(PG_GETARG_OID(0));
    DeeplakeBm25Statistics statistics;
    TupleDesc descriptor;
    Datum values[6];
    bool is_null[6] = {false};

    if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "deeplake_bm25_statistics must return a record");
    deeplake_bm25_statistics(index, &statistics);
    values[0] = Int64GetDatum(statistics.n_documents);
    values[1] = Int64GetDatum(statistics.n_tokens);
    values[2] = Int32GetDatum(statistics.n_segments);
    values[3] = Int64GetDatum(statistics.n_pending);
    values[4] = Int64GetDatum(statistics.n_dead);
    values[5] = Int64GetDatum(statistics.n_nulls);
    relation_close(index, AccessShareLock);
    PG_RETURN_DATUM(
        HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, is_null)));
}

static void
put(ReturnSetInfo *result, ItemPointer tid, float4 score, bool has_score)
{
    Datum values[2] = {PointerGetDatum(tid), Float4GetDatum(score)};
    bool is_null[2] = {false, !has_score};

    tuplestore_putvalues(result->setResult, result->setDesc, values, is_null);
    CHECK_FOR_INTERRUPTS();
}

PG_FUNCTION_INFO_V1(deeplake_bm25_entries);

/* deeplake_bm25_entries(index regclass, query text, n_wanted bigint, n_most bigint) */
Datum
deeplake_bm25_entries(PG_FUNCTION_ARGS)
{
    Relation index = open_index(PG_GETARG_OID(0));
    text *query = PG_GETARG_TEXT_PP(1);
    ReturnSetInfo *result = (ReturnSetInfo *)fcinfo->resultinfo;
    DeeplakeBm25Scan *scan;
    int64 n_left = PG_GETARG_INT64(3);
    ItemPointerData tid;
    float4 score;

    InitMaterializedSRF(fcinfo, 0);
    scan = deeplake_bm25_scan_begin(
        index, VARDATA_ANY(query), (int)VARSIZE_ANY_EXHDR(query), PG_GETARG_INT64(2));
    for (; n_left > 0 && deeplake_bm25_scan_next(scan, &tid, &score); n_left--)
        put(result, &tid, score, true);
    for (; n_left > 0 && deeplake_bm25_scan_next_null(scan, &tid); n_left--)
        put(result, &tid, 0, false);
    deeplake_bm25_scan_end(scan);
    relation_close(index, AccessShareLock);
    return (Datum)0;
}

PG_FUNCTION_INFO_V1(deeplake_bm25_score_sql);

/* deeplake_bm25_score(index regclass, query text, document text) */
Datum
deeplake_bm25_score_sql(PG_FUNCTION_ARGS)
{
    Relation index = open_index(PG_GETARG_OID(0));
    text *query = PG_GETARG_TEXT_PP(1), *document = PG_GETARG_TEXT_PP(2);
    DeeplakeBm25Scorer *scorer =
        deeplake_bm25_scorer(index, VARDATA_ANY(query), (int)VARSIZE_ANY_EXHDR(query));
    float4 score =
        deeplake_bm25_score(scorer, VARDATA_ANY(document), (int)VARSIZE_ANY_EXHDR(document));

    relation_close(index, AccessShareLock);
    PG_RETURN_FLOAT4(score);
}

static void
put_token(const char *token, int size, void *data)
{
    ReturnSetInfo *result = data;
    Datum value = PointerGetDatum(cstring_to_text_with_len(token, size));
    bool is_null = false;

    tuplestore_putvalues(result->setResult, result->setDesc, &value, &is_null);
    pfree(DatumGetPointer(value));
}

/* Words of 'unicode' are UTF-8, whatever the database's encoding. */
static void
put_utf8_token(const char *token, int size, void *data)
{
    char *copy = pnstrdup(token, size);
    char *shown = pg_any_to_server(copy, size, PG_UTF8);

    put_token(shown, (int)strlen(shown), data);
    if (shown != copy)
        pfree(shown);
    pfree(copy);
}

PG_FUNCTION_INFO_V1(deeplake_bm25_tokens);

/* deeplake_bm25_tokens(tokenizer text, document text) */
Datum
deeplake_bm25_tokens(PG_FUNCTION_ARGS)
{
    const char *tokenizer = text_to_cstring(PG_GETARG_TEXT_PP(0));
    text *document = PG_GETARG_TEXT_PP(1);
    bool is_unicode = pg_strcasecmp(tokenizer, "unicode") == 0;
    bool is_utf8 = is_unicode && GetDatabaseEncoding() != PG_SQL_ASCII;

    InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
    deeplake_bm25_tokenize(tokenizer, VARDATA_ANY(document), (int)VARSIZE_ANY_EXHDR(document),
        is_utf8 ? put_utf8_token : put_token, fcinfo->resultinfo);
    return (Datum)0;
}

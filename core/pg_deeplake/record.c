/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pg_deeplake/record.h"

#include <access/htup_details.h>
#include <funcapi.h>
#include <math.h>
#include <utils/typcache.h>

#define N_PLAIN 2
#define N_WEIGHTED 4
#define DEFAULT_WEIGHT 0.5 /* of the constructor without weights */

PG_FUNCTION_INFO_V1(deeplake_hybrid_record);
PG_FUNCTION_INFO_V1(deeplake_hybrid_to_weighted);
PG_FUNCTION_INFO_V1(deeplake_hybrid_to_plain);

void
deeplake_record_read(HeapTupleHeader record, DeeplakeRecord *ret_record)
{
    TupleDesc descriptor = lookup_rowtype_tupdesc(
        HeapTupleHeaderGetTypeId(record), HeapTupleHeaderGetTypMod(record));
    int n_columns = descriptor->natts;
    Datum *values = palloc0(sizeof(Datum) * (size_t)Max(n_columns, N_WEIGHTED));
    bool *nulls = palloc0(sizeof(bool) * (size_t)Max(n_columns, N_WEIGHTED));
    HeapTupleData tuple = {
        .t_len = HeapTupleHeaderGetDatumLength(record),
        .t_tableOid = InvalidOid,
        .t_data = record,
    };

    ItemPointerSetInvalid(&tuple.t_self);
    heap_deform_tuple(&tuple, descriptor, values, nulls);
    ReleaseTupleDesc(descriptor);

    bool is_weighted = n_columns >= N_WEIGHTED;
    *ret_record = (DeeplakeRecord){
        .embedding = values[0],
        .text = values[1],
        .embedding_weight = is_weighted ? DatumGetFloat8(values[2]) : DEEPLAKE_RECORD_WEIGHT,
        .text_weight = is_weighted ? DatumGetFloat8(values[3]) : DEEPLAKE_RECORD_WEIGHT,
        .embedding_is_null = nulls[0],
        .text_is_null = nulls[1],
        .weight_is_null = is_weighted && (nulls[2] || nulls[3]),
    };
    pfree(values);
    pfree(nulls);
}

/* The result type of this call, looked up once. */
static TupleDesc
result_descriptor(FunctionCallInfo fcinfo)
{
    TupleDesc descriptor = fcinfo->flinfo->fn_extra;

    if (descriptor)
        return descriptor;
    if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "a hybrid record must have a composite type");

    MemoryContext caller = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
    descriptor = BlessTupleDesc(CreateTupleDescCopy(descriptor));
    MemoryContextSwitchTo(caller);
    fcinfo->flinfo->fn_extra = descriptor;
    return descriptor;
}

static Datum
make_record(FunctionCallInfo fcinfo, const DeeplakeRecord *record)
{
    TupleDesc descriptor = result_descriptor(fcinfo);
    Datum values[N_WEIGHTED] = {record->embedding, record->text,
        Float8GetDatum(record->embedding_weight), Float8GetDatum(record->text_weight)};
    bool nulls[N_WEIGHTED] = {record->embedding_is_null, record->text_is_null,
        record->weight_is_null, record->weight_is_null};

    if (descriptor->natts != N_PLAIN && descriptor->natts != N_WEIGHTED)
        elog(ERROR, "a hybrid record has %d columns", descriptor->natts);
    return HeapTupleGetDatum(heap_form_tuple(descriptor, values, nulls));
}

static float8
checked_weight(float8 weight)
{
    if (isnan(weight) || isinf(weight))
        ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a weight must be finite")));
    return weight;
}

/* (float4[], text) and (float4[], text, float8, float8); strict. */
Datum
deeplake_hybrid_record(PG_FUNCTION_ARGS)
{
    bool has_weights = PG_NARGS() == N_WEIGHTED;
    DeeplakeRecord record = {
        .embedding = PG_GETARG_DATUM(0),
        .text = PG_GETARG_DATUM(1),
        .embedding_weight = has_weights ? checked_weight(PG_GETARG_FLOAT8(2)) : DEFAULT_WEIGHT,
        .text_weight = has_weights ? checked_weight(PG_GETARG_FLOAT8(3)) : DEFAULT_WEIGHT,
    };

    PG_RETURN_DATUM(make_record(fcinfo, &record));
}

Datum
deeplake_hybrid_to_weighted(PG_FUNCTION_ARGS)
{
    DeeplakeRecord record;

    deeplake_record_read(PG_GETARG_HEAPTUPLEHEADER(0), &record);
    PG_RETURN_DATUM(make_record(fcinfo, &record));
}

Datum
deeplake_hybrid_to_plain(PG_FUNCTION_ARGS)
{
    DeeplakeRecord record;

    deeplake_record_read(PG_GETARG_HEAPTUPLEHEADER(0), &record);
    PG_RETURN_DATUM(make_record(fcinfo, &record));
}

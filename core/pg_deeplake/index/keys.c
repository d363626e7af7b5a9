/* SPDX-License-Identifier: Apache-2.0 */

/* GIN's support functions for values that are one key each: numbers, uuid, text.
 *
 *   smallint, integer, bigint   the key is the bigint, so that any may be compared to any
 *   real, double precision      the key is the double precision
 *   numeric, uuid               the key is the value
 *   text                        the key is a hash of it by its collation: a text of any length
 *                               has an entry, and the rows are rechecked
 *
 * A strategy is 1..5 (< <= = >= >) with the column's own type at the right, or ten times a
 * KeyOperand more, since GIN tells a support function nothing else of the operand. */

#include "core/pg_deeplake/module.h"

#include <access/gin.h>
#include <access/stratnum.h>
#include <common/hashfn.h>
#include <utils/builtins.h>
#include <utils/float.h>
#include <utils/fmgrprotos.h>
#include <utils/numeric.h>
#include <utils/uuid.h>

typedef enum {
    KEY_OPERAND_INT2 = 1,
    KEY_OPERAND_INT4,
    KEY_OPERAND_INT8,
    KEY_OPERAND_FLOAT4,
    KEY_OPERAND_FLOAT8,
    KEY_OPERAND_NUMERIC,
    KEY_OPERAND_SAME,
} KeyOperand;

#define STRATEGY_COMPARISON(strategy) ((strategy) % 10)
#define STRATEGY_OPERAND(strategy, own)                                                        \
    ((strategy) < 10 ? (own) : (KeyOperand)((strategy) / 10))

static Datum
widen(Datum value, KeyOperand operand)
{
    switch (operand) {
    case KEY_OPERAND_INT2:
        return Int64GetDatum(DatumGetInt16(value));
    case KEY_OPERAND_INT4:
        return Int64GetDatum(DatumGetInt32(value));
    case KEY_OPERAND_FLOAT4:
        return Float8GetDatum(DatumGetFloat4(value));
    case KEY_OPERAND_NUMERIC:
        return PointerGetDatum(PG_DETOAST_DATUM(value));
    case KEY_OPERAND_INT8:
    case KEY_OPERAND_FLOAT8:
    case KEY_OPERAND_SAME:
        return value;
    }
    pg_unreachable();
}

/* Below or at every key: where a search for what is smaller begins. */
static Datum
least(KeyOperand operand)
{
    switch (operand) {
    case KEY_OPERAND_INT2:
    case KEY_OPERAND_INT4:
    case KEY_OPERAND_INT8:
        return Int64GetDatum(PG_INT64_MIN);
    case KEY_OPERAND_FLOAT4:
    case KEY_OPERAND_FLOAT8:
        return Float8GetDatum(-get_float8_infinity());
    case KEY_OPERAND_NUMERIC:
        return DirectFunctionCall3(numeric_in, CStringGetDatum("-Infinity"),
            ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
    case KEY_OPERAND_SAME:
        break;
    }
    pg_unreachable();
}

static Datum
one_key(FunctionCallInfo fcinfo, Datum key)
{
    int32 *ret_n_keys = (int32 *)PG_GETARG_POINTER(1);
    Datum *keys = palloc(sizeof(Datum));

    keys[0] = key;
    *ret_n_keys = 1;
    PG_RETURN_POINTER(keys);
}

/* A search that is not for equality is for all keys from one on, until compare_keys says that
 * it is over; the bound goes along as its extra data. */
static Datum
query_number(FunctionCallInfo fcinfo, KeyOperand own)
{
    int strategy = PG_GETARG_UINT16(2);
    int comparison = STRATEGY_COMPARISON(strategy);
    Datum bound = widen(PG_GETARG_DATUM(0), STRATEGY_OPERAND(strategy, own));
    bool **ret_partial = (bool **)PG_GETARG_POINTER(3);
    Pointer **ret_extra = (Pointer **)PG_GETARG_POINTER(4);

    if (comparison == BTEqualStrategyNumber)
        return one_key(fcinfo, bound);

    Datum *kept = palloc(sizeof(Datum));
    *kept = bound;
    *ret_partial = palloc(sizeof(bool));
    **ret_partial = true;
    *ret_extra = palloc(sizeof(Pointer));
    **ret_extra = (Pointer)kept;
    bool upwards = comparison >= BTGreaterEqualStrategyNumber;
    return one_key(fcinfo, upwards ? bound : least(own));
}

/* GIN's comparePartial: 0 for a match, positive when no later key can match. */
static Datum
compare_keys(FunctionCallInfo fcinfo, PGFunction compare)
{
    int comparison = STRATEGY_COMPARISON(PG_GETARG_UINT16(2));
    Datum bound = *(Datum *)PG_GETARG_POINTER(3);
    int32 order = DatumGetInt32(DirectFunctionCall2(compare, PG_GETARG_DATUM(1), bound));
    int32 result = 0;

    switch (comparison) {
    case BTLessStrategyNumber:
        result = order < 0 ? 0 : 1;
        break;
    case BTLessEqualStrategyNumber:
        result = order <= 0 ? 0 : 1;
        break;
    case BTGreaterStrategyNumber:
        result = order > 0 ? 0 : -1;
        break;
    case BTGreaterEqualStrategyNumber:
        break; /* the search began there */
    default:
        elog(ERROR, "unknown strategy %d of a partial match", comparison);
    }
    PG_RETURN_INT32(result);
}

#define NUMBER(type, operand, compare)                                                         \
    PG_FUNCTION_INFO_V1(deeplake_index_value_##type);                                          \
    Datum deeplake_index_value_##type(PG_FUNCTION_ARGS)                                        \
    {                                                                                          \
        return one_key(fcinfo, widen(PG_GETARG_DATUM(0), operand));                            \
    }                                                                                          \
    PG_FUNCTION_INFO_V1(deeplake_index_query_##type);                                          \
    Datum deeplake_index_query_##type(PG_FUNCTION_ARGS)                                        \
    {                                                                                          \
        return query_number(fcinfo, operand);                                                  \
    }                                                                                          \
    PG_FUNCTION_INFO_V1(deeplake_index_compare_##type);                                        \
    Datum deeplake_index_compare_##type(PG_FUNCTION_ARGS)                                      \
    {                                                                                          \
        return compare_keys(fcinfo, compare);                                                  \
    }

NUMBER(int2, KEY_OPERAND_INT2, btint8cmp)
NUMBER(int4, KEY_OPERAND_INT4, btint8cmp)
NUMBER(int8, KEY_OPERAND_INT8, btint8cmp)
NUMBER(float4, KEY_OPERAND_FLOAT4, btfloat8cmp)
NUMBER(float8, KEY_OPERAND_FLOAT8, btfloat8cmp)
NUMBER(numeric, KEY_OPERAND_NUMERIC, numeric_cmp)

PG_FUNCTION_INFO_V1(deeplake_index_value_uuid);
PG_FUNCTION_INFO_V1(deeplake_index_query_uuid);
PG_FUNCTION_INFO_V1(deeplake_index_value_text);
PG_FUNCTION_INFO_V1(deeplake_index_query_text);
PG_FUNCTION_INFO_V1(deeplake_index_consistent_exact);
PG_FUNCTION_INFO_V1(deeplake_index_consistent_recheck);

Datum
deeplake_index_value_uuid(PG_FUNCTION_ARGS)
{
    return one_key(fcinfo, PG_GETARG_DATUM(0));
}

Datum
deeplake_index_query_uuid(PG_FUNCTION_ARGS)
{
    return one_key(fcinfo, PG_GETARG_DATUM(0));
}

/* By the collation, since texts may be equal by it that differ in bytes. */
static Datum
text_key(FunctionCallInfo fcinfo)
{
    return DirectFunctionCall2Coll(
        hashtextextended, PG_GET_COLLATION(), PG_GETARG_DATUM(0), Int64GetDatum(0));
}

Datum
deeplake_index_value_text(PG_FUNCTION_ARGS)
{
    return one_key(fcinfo, text_key(fcinfo));
}

Datum
deeplake_index_query_text(PG_FUNCTION_ARGS)
{
    return one_key(fcinfo, text_key(fcinfo));
}

/* The one key is there, or nobody would ask: (check, strategy, query, n_keys, extra, recheck).
 */
Datum
deeplake_index_consistent_exact(PG_FUNCTION_ARGS)
{
    *(bool *)PG_GETARG_POINTER(5) = false;
    PG_RETURN_BOOL(((bool *)PG_GETARG_POINTER(0))[0]);
}

Datum
deeplake_index_consistent_recheck(PG_FUNCTION_ARGS)
{
    *(bool *)PG_GETARG_POINTER(5) = true;
    PG_RETURN_BOOL(((bool *)PG_GETARG_POINTER(0))[0]);
}

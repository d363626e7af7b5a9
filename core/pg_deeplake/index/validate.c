/* SPDX-License-Identifier: Apache-2.0 */

/* amvalidate: whether an operator class can work: searches need GIN's support functions, and
 * every operator and function has the signature it will be called with. */

#include "core/pg_deeplake/index/kinds.h"

#include <access/amvalidate.h>
#include <access/gin.h>
#include <access/htup_details.h>
#include <catalog/pg_amop.h>
#include <catalog/pg_amproc.h>
#include <catalog/pg_opclass.h>
#include <catalog/pg_type.h>
#include <utils/builtins.h>
#include <utils/catcache.h>
#include <utils/lsyscache.h>
#include <utils/regproc.h>
#include <utils/syscache.h>

static bool
invalid(Oid operator_class, const char *what, const char *which)
{
    ereport(INFO, (errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
                      errmsg("operator class %u of access method deeplake_index: %s %s",
                          operator_class, which, what)));
    return false;
}

static bool
function_fits(Form_pg_amproc function, Oid input, Oid key)
{
    Oid oid = function->amproc;

    switch (function->amprocnum) {
    case GIN_COMPARE_PROC:
        return check_amproc_signature(oid, INT4OID, false, 2, 2, key, key);
    case GIN_EXTRACTVALUE_PROC:
        return check_amproc_signature(
            oid, INTERNALOID, false, 2, 3, input, INTERNALOID, INTERNALOID);
    case GIN_EXTRACTQUERY_PROC:
        return check_amproc_signature(oid, INTERNALOID, false, 5, 7, input, INTERNALOID,
            INT2OID, INTERNALOID, INTERNALOID, INTERNALOID, INTERNALOID);
    case GIN_CONSISTENT_PROC:
        return check_amproc_signature(oid, BOOLOID, false, 6, 8, INTERNALOID, INT2OID, input,
            INT4OID, INTERNALOID, INTERNALOID, INTERNALOID, INTERNALOID);
    case GIN_COMPARE_PARTIAL_PROC:
        return check_amproc_signature(
            oid, INT4OID, false, 4, 4, key, key, INT2OID, INTERNALOID);
    case GIN_TRICONSISTENT_PROC:
        return check_amproc_signature(oid, CHAROID, false, 7, 7, INTERNALOID, INT2OID, input,
            INT4OID, INTERNALOID, INTERNALOID, INTERNALOID);
    case GIN_OPTIONS_PROC:
        return check_amoptsproc_signature(oid);
    default:
        return false;
    }
}

static bool
functions_fit(Oid operator_class, CatCList *functions, Oid input, Oid key, uint32 *ret_numbers)
{
    bool valid = true;

    *ret_numbers = 0;
    for (int i = 0; i < functions->n_members; i++) {
        Form_pg_amproc function = (Form_pg_amproc)GETSTRUCT(&functions->members[i]->tuple);
        if (function->amproclefttype != input || function->amprocrighttype != input)
            continue; /* of another class of the family */
        if (!function_fits(function, input, key))
            valid = invalid(operator_class, "is no support function of this signature",
                format_procedure(function->amproc));
        *ret_numbers |= 1U << function->amprocnum;
    }
    return valid;
}

static bool
operators_fit(Oid operator_class, CatCList *operators, Oid input, bool *ret_searches)
{
    bool valid = true;

    *ret_searches = false;
    for (int i = 0; i < operators->n_members; i++) {
        Form_pg_amop member = (Form_pg_amop)GETSTRUCT(&operators->members[i]->tuple);
        bool orders = member->amoppurpose == AMOP_ORDER;
        Oid result = orders ? get_op_rettype(member->amopopr) : BOOLOID;
        if (member->amoplefttype != input)
            continue;
        if (!check_amop_signature(
                member->amopopr, result, member->amoplefttype, member->amoprighttype))
            valid = invalid(
                operator_class, "has another signature", format_operator(member->amopopr));
        if (orders && !opfamily_can_sort_type(member->amopsortfamily, result))
            valid = invalid(operator_class, "has a result that its family cannot sort",
                format_operator(member->amopopr));
        *ret_searches = *ret_searches || !orders;
    }
    return valid;
}

bool
deeplake_index_validate(Oid operator_class)
{
    HeapTuple tuple = SearchSysCache1(CLAOID, ObjectIdGetDatum(operator_class));
    if (!HeapTupleIsValid(tuple))
        elog(ERROR, "cache lookup failed for operator class %u", operator_class);
    Form_pg_opclass class = (Form_pg_opclass)GETSTRUCT(tuple);
    Oid input = class->opcintype;
    Oid key = OidIsValid(class->opckeytype) ? class->opckeytype : input;
    Datum family = ObjectIdGetDatum(class->opcfamily);
    CatCList *operators = SearchSysCacheList1(AMOPSTRATEGY, family);
    CatCList *functions = SearchSysCacheList1(AMPROCNUM, family);
    uint32 numbers;
    bool searches;

    bool valid = functions_fit(operator_class, functions, input, key, &numbers);
    valid = operators_fit(operator_class, operators, input, &searches) && valid;
    uint32 needed = 1U << GIN_EXTRACTVALUE_PROC | 1U << GIN_EXTRACTQUERY_PROC;
    uint32 either = 1U << GIN_CONSISTENT_PROC | 1U << GIN_TRICONSISTENT_PROC;
    /* float4[] and the hybrid record have comparisons that only a scan of the table answers. */
    bool by_gin = input != FLOAT4ARRAYOID && get_typtype(input) != TYPTYPE_COMPOSITE;
    if (searches && by_gin && ((numbers & needed) != needed || !(numbers & either)))
        valid = invalid(operator_class, "lacks support functions 2, 3, and 4 or 6",
            NameStr(class->opcname));

    ReleaseCatCacheList(functions);
    ReleaseCatCacheList(operators);
    ReleaseSysCache(tuple);
    return valid;
}

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg_deeplake/record.h: the types deeplake_hybrid_record and
 * deeplake_hybrid_record_weighted: a vector and a text, as the left side of <#> has them, and
 * with a weight for each, as the right side has them. */

#include "core/pg_deeplake/module.h"

#include <access/htup.h>

/* What is NULL has is_null set, a weight too: a row of the type can be made without the
 * constructors. */
typedef struct {
    Datum embedding; /* float4[], toasted perhaps; into the record */
    Datum text;
    float8 embedding_weight;
    float8 text_weight;
    bool embedding_is_null, text_is_null, weight_is_null;
} DeeplakeRecord;

#define DEEPLAKE_RECORD_WEIGHT 1.0 /* of both sides, where the type has none */

/* A value of either type. Points into it: the caller keeps it. */
void deeplake_record_read(HeapTupleHeader record, DeeplakeRecord *ret_record);

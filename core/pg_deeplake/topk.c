/* SPDX-License-Identifier: Apache-2.0 */

#include "core/pg_deeplake/topk.h"

#include "core/pg_deeplake/module.h"

PG_FUNCTION_INFO_V1(deeplake_bm25_similarity);
PG_FUNCTION_INFO_V1(deeplake_hybrid_search);

Datum
deeplake_bm25_similarity(PG_FUNCTION_ARGS)
{
    PG_RETURN_FLOAT4(0);
}

Datum
deeplake_hybrid_search(PG_FUNCTION_ARGS)
{
    PG_RETURN_FLOAT4(0);
}

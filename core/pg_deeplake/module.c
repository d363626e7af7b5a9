/* SPDX-License-Identifier: Apache-2.0 */

#include "core/pg_deeplake/module.h"
#include "core/pg_deeplake/index.h"
#include "core/pg_deeplake/topk.h"

#include <utils/guc.h>

PG_MODULE_MAGIC;

int deeplake_hybrid_fusion = DEEPLAKE_FUSION_SOFTMAX;
char *deeplake_root_path;

static const struct config_enum_entry fusions[] = {
    {"softmax", DEEPLAKE_FUSION_SOFTMAX, false},
    {"minmax", DEEPLAKE_FUSION_MINMAX, false},
    {"rrf", DEEPLAKE_FUSION_RRF, false},
    {NULL, 0, false},
};

PG_FUNCTION_INFO_V1(deeplake_planner_support);

void _PG_init(void);

void
_PG_init(void)
{
    DefineCustomEnumVariable("deeplake.hybrid_fusion",
        "How the scores of a hybrid search's two sides become one.", NULL,
        &deeplake_hybrid_fusion, DEEPLAKE_FUSION_SOFTMAX, fusions, PGC_USERSET, 0, NULL, NULL,
        NULL);
    DefineCustomStringVariable("deeplake.root_path",
        "Accepted for compatibility: tables are stored where the server stores its own.", NULL,
        &deeplake_root_path, "", PGC_USERSET, 0, NULL, NULL, NULL);
    deeplake_index_install();
    deeplake_topk_install();
    MarkGUCPrefixReserved("deeplake");
}

/* The planner asks it while it simplifies expressions, before it looks for paths: so the
 * library is loaded, and its hook there, for the first query of a session too that has the
 * operator, preloaded or not. It has nothing to say. */
Datum
deeplake_planner_support(PG_FUNCTION_ARGS)
{
    PG_RETURN_POINTER(NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg_deeplake/module.h: what every file of the extension begins with.
 *
 * Runs inside the server: memory comes from palloc, errors leave by ereport and longjmp, and a
 * backend has one thread. Nothing here is shared with the rest of the tree.
 *
 * The library is loaded by session_preload_libraries or, without that, while the first query
 * with the operator <#> is planned (deeplake_planner_support).
 */

#include <postgres.h>

#include <fmgr.h>

/* deeplake.hybrid_fusion */
typedef enum {
    DEEPLAKE_FUSION_SOFTMAX,
    DEEPLAKE_FUSION_MINMAX,
    DEEPLAKE_FUSION_RRF,
} DeeplakeFusion;

extern int deeplake_hybrid_fusion; /* of DeeplakeFusion */
extern char *deeplake_root_path;

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg_deeplake/module.h: what every file of the extension begins with.
 *
 * Runs inside the server: memory comes from palloc, errors leave by ereport and longjmp, and a
 * backend has one thread. Nothing here is shared with the rest of the tree.
 *
 * The library is preloaded (session_preload_libraries) where queries are to use "Deeplake
 * TopK"; without it, it is loaded by the first call of one of its functions, and everything
 * gives the same rows by scan and sort.
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

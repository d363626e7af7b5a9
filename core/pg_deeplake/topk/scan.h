/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg_deeplake/topk/scan.h: the plan node "Deeplake TopK", as the executor runs it.
 *
 * custom_exprs: the document, the query. custom_private: the index's OID, the limit hint (0:
 * none), whether NULLs come first. custom_scan_tlist: columns of the table, and the score last.
 */

#include "core/pg_deeplake/module.h"

#include <nodes/extensible.h>

#define DEEPLAKE_TOPK_NAME "Deeplake TopK"

extern const CustomScanMethods deeplake_topk_scan_methods;

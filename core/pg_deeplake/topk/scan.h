/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg_deeplake/topk/scan.h: the plan node "Deeplake TopK", as the executor runs it. What
 * its plan has is in topk/state.h.
 */

#include "core/pg_deeplake/module.h"

#include <nodes/extensible.h>

#define DEEPLAKE_TOPK_NAME "Deeplake TopK"

extern const CustomScanMethods deeplake_topk_scan_methods;

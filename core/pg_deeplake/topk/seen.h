/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg_deeplake/topk/seen.h: a set of TIDs: one bit per line pointer of the pages in it. */

#include "core/pg_deeplake/module.h"

#include <storage/itemptr.h>

typedef struct DeeplakeSeen DeeplakeSeen;

/* In the current memory context. */
DeeplakeSeen *deeplake_seen_new(void);
void deeplake_seen_free(DeeplakeSeen *seen);
/* FALSE: it is as large as work_mem allows, and has not taken it. */
bool deeplake_seen_add(DeeplakeSeen *seen, ItemPointer tid);
bool deeplake_seen_has(DeeplakeSeen *seen, ItemPointer tid);

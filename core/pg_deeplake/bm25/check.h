/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg_deeplake/bm25/check.h: an index against itself and against its table. */

#include "core/pg_deeplake/bm25.h"

/* Every page, every posting and every bound; then each row that a new snapshot sees is in the
 * index once, with its length and its terms. In memory: 24 bytes per row, 12 more per document
 * of the largest segment. Returns the number of living entries. */
int64 deeplake_bm25_check(Relation heap, Relation index);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg_deeplake/bm25/build.h: rows into an index: all at once, or one. */

#include "core/pg_deeplake/bm25.h"

IndexBuildResult *deeplake_bm25_build(Relation heap, Relation index, IndexInfo *info);
void deeplake_bm25_build_empty(Relation index);
bool deeplake_bm25_insert(Relation index, Datum *values, bool *is_null, ItemPointer tid,
    Relation heap, IndexUniqueCheck unique, bool is_unchanged, IndexInfo *info);

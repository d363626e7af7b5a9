/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg_deeplake/bm25/merge.h: what an index consists of, changed: pending documents become a
 * segment, segments become one, and the pages of what was are used again.
 *
 * The caller of each holds the merge lock. Readers are not held up: they have the metapage as
 * it was when they began, and pages stay as they are until no snapshot is old enough to read
 * them.
 */

#include "core/pg_deeplake/bm25/page.h"

/* So many segments of one level become one of the next. */
#define DEEPLAKE_BM25_FANOUT 8

/* The level of a segment with so many documents. */
uint32 deeplake_bm25_level(uint32 n_documents);

/* One change of the metapage: the segments with ids old go, segment comes (unless its id is 0),
 * and the sealed chain goes where that is said. Ends what the writer announced. */
void deeplake_bm25_replace(Relation index, const uint32 *old, uint32 n_old,
    const DeeplakeBm25Segment *segment, bool is_sealed_done);

/* Turns the pending documents into a segment. */
void deeplake_bm25_flush(Relation index);
/* Merges where a level is full, and where there are hardly places for more. */
void deeplake_bm25_merge_levels(Relation index);
/* Merges all into one segment without dead documents, unless it is so already. */
void deeplake_bm25_merge_all(Relation index);
/* Writes those segments anew of which more than a tenth is dead. */
void deeplake_bm25_merge_dead(Relation index);
/* Puts pages into the free space map. */
void deeplake_bm25_free(Relation index, const BlockNumber *blocks, Size n_blocks);
/* Puts those there that nobody can read any more. */
void deeplake_bm25_recycle(Relation index);
/* The same by looking at every page: finds those that a crash left, too. Returns how many. */
BlockNumber deeplake_bm25_recycle_all(Relation index);

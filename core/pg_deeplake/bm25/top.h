/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg_deeplake/bm25/top.h: the best so far. */

#include "core/pg_deeplake/bm25/query.h"

typedef struct {
    float4 score;
    ItemPointerData tid;
} DeeplakeBm25Hit;

/* Best first; equal scores by TID. */
static inline bool
deeplake_bm25_is_before(const DeeplakeBm25Hit *a, const DeeplakeBm25Hit *b)
{
    if (a->score != b->score)
        return a->score > b->score;
    return ItemPointerCompare(unconstify(ItemPointerData *, &a->tid),
               unconstify(ItemPointerData *, &b->tid)) < 0;
}

/* A heap of the best, with the worst of them first. */
typedef struct {
    DeeplakeBm25Hit *hits;
    Size n, n_wanted;
    bool has_floor;
    DeeplakeBm25Hit floor; /* only what comes after it is wanted */
    /* What is bounded by less cannot be among them any more: a little less than the worst
     * score, for bounds are summed in another order than scores, which are rounded to float4.
     * Negative while there is room. */
    double barrier;
} DeeplakeBm25Top;

void deeplake_bm25_top_offer(DeeplakeBm25Top *top, const DeeplakeBm25Hit *hit);

/* Offers what one segment of the corpus has (match.c). */
void
deeplake_bm25_match_segment(DeeplakeBm25Corpus *corpus, uint32 segment, DeeplakeBm25Top *top);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg_deeplake/topk/fusion.h: how the scores of a hybrid search's two sides become
 * comparable. A side is measured by the scores of the search's candidates, and gives a value to
 * any score: also to that of a row that is no candidate.
 *
 *   softmax  exp(score − highest) / Σ over the candidates of the same
 *   minmax   (score − lowest) / (highest − lowest), 0 below the lowest; 1 where they are equal
 *   rrf      1 / (60 + rank), rank = 1 + the candidates that score higher; a text that matches
 *            nothing has no rank, and 0
 */

#include "core/pg_deeplake/module.h"

typedef struct {
    DeeplakeFusion fusion;
    bool is_text;
    float4 *scores; /* descending */
    int64 n_scores;
    float8 total; /* softmax: the denominator */
} DeeplakeFusionSide;

/* Takes scores, in any order. */
void deeplake_fusion_side(DeeplakeFusionSide *side, DeeplakeFusion fusion, bool is_text,
    float4 *scores, int64 n_scores);
/* 0 where there are no candidates. */
float8 deeplake_fusion_value(const DeeplakeFusionSide *side, float4 score);

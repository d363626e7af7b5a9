/* SPDX-License-Identifier: Apache-2.0 */

#include "core/pg_deeplake/topk/fusion.h"

#include <math.h>

/* Of reciprocal rank fusion, as everybody has it. */
#define RRF_CONSTANT 60.0

static int
compare_descending(const void *left, const void *right)
{
    float4 a = *(const float4 *)left;
    float4 b = *(const float4 *)right;
    return a < b ? 1 : a > b ? -1 : 0;
}

void
deeplake_fusion_side(DeeplakeFusionSide *side, DeeplakeFusion fusion, bool is_text,
    float4 *scores, int64 n_scores)
{
    *side = (DeeplakeFusionSide){
        .fusion = fusion, .is_text = is_text, .scores = scores, .n_scores = n_scores};
    if (n_scores > 1)
        qsort(scores, (size_t)n_scores, sizeof(*scores), compare_descending);
    for (int64 i = 0; i < n_scores; i++)
        side->total += exp((float8)scores[i] - scores[0]);
}

static float8
minmax(const DeeplakeFusionSide *side, float4 score)
{
    float8 highest = side->scores[0];
    float8 lowest = side->scores[side->n_scores - 1];

    if (score < lowest)
        return 0;
    return highest > lowest ? (score - lowest) / (highest - lowest) : 1;
}

static float8
reciprocal_rank(const DeeplakeFusionSide *side, float4 score)
{
    int64 low = 0, high = side->n_scores;

    if (side->is_text && !(score > 0))
        return 0;
    while (low < high) {
        int64 middle = low + (high - low) / 2;
        if (side->scores[middle] > score)
            low = middle + 1;
        else
            high = middle;
    }
    return 1 / (RRF_CONSTANT + 1 + (float8)low);
}

float8
deeplake_fusion_value(const DeeplakeFusionSide *side, float4 score)
{
    if (side->n_scores == 0)
        return 0;
    switch (side->fusion) {
    case DEEPLAKE_FUSION_SOFTMAX:
        return exp((float8)score - side->scores[0]) / side->total;
    case DEEPLAKE_FUSION_MINMAX:
        return minmax(side, score);
    case DEEPLAKE_FUSION_RRF:
        return reciprocal_rank(side, score);
    }
    pg_unreachable();
}

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg_deeplake/vector.h: arrays of float4 as vectors, and how similar two of them are.
 *
 * similarity = Σ a·b / (|a| · |b|), in [-1, 1]; a vector has similarity 1 with itself, exactly.
 * One that has no direction (all elements 0, or one of them NaN or infinite) has similarity 0
 * with everything: NaN would come first under DESC.
 */

#include "core/pg_deeplake/module.h"

#include <utils/array.h>

/* Points into the array, which must stay. */
typedef struct {
    const float4 *elements; /* n_vectors × n_elements, row-major */
    int n_dimensions;       /* of the array: 0 (empty), 1 or 2 */
    int n_vectors;          /* 1 where it has one dimension; 0 where it is empty */
    int n_elements;         /* of each vector */
} DeeplakeVector;

/* Raises an ERROR where there are more than two dimensions, or an element is NULL. */
void deeplake_vector_read(ArrayType *array, DeeplakeVector *ret_vector);

float4 deeplake_vector_cosine(const float4 *left, const float4 *right, int n_elements);

/* Of arrays: what <#> means. MaxSim where the left one has two dimensions. Raises an ERROR
 * where the vectors have different lengths. */
float4 deeplake_vector_similarity(const DeeplakeVector *left, const DeeplakeVector *right);

/* For each vector of query the best similarity that one of document's has; their sum. */
float4 deeplake_vector_maxsim(const DeeplakeVector *document, const DeeplakeVector *query);

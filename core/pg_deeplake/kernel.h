/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg_deeplake/kernel.h: sums over the elements of two vectors, as wide as the processor.
 *
 * Knows nothing of the server, so that a test can hold every width against the others.
 *
 * Sums are double: a product of two floats is exact there and can neither overflow nor vanish,
 * and what the widths sum in different order differs far below what a float shows. Vectors
 * that lie in a table cost more to fetch than to sum, so float would gain little.
 */

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    double product;     /* Σ left · right */
    double left_square; /* Σ left² */
    double right_square;
} DeeplakeSums;

/* Neither pointer needs to be aligned beyond its floats. */
void deeplake_kernel_sums(
    const float *left, const float *right, size_t n_elements, DeeplakeSums *ret_sums);
double deeplake_kernel_product(const float *left, const float *right, size_t n_elements);

typedef enum {
    DEEPLAKE_KERNEL_SCALAR,
    DEEPLAKE_KERNEL_AVX2, /* AVX-512 was tried: converting to double is as slow there */
} DeeplakeKernel;

/* From now on this one; without a call the first use takes the widest. FALSE, and no change:
 * this processor does not have it. */
bool deeplake_kernel_select(DeeplakeKernel kernel);

/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pg_deeplake/kernel.h"

#include <glib.h>
#include <math.h>

#define N_MAX 300

static const char *const names[] = {"scalar", "AVX2"};

/* Odd addresses, and lengths on both sides of every width. */
static void
test_matches_long_double(gconstpointer data)
{
    DeeplakeKernel kernel = GPOINTER_TO_UINT(data);
    g_autoptr(GRand) random = g_rand_new_with_seed(1);
    float left[N_MAX + 1], right[N_MAX + 1];

    if (!deeplake_kernel_select(kernel)) {
        g_test_skip("this processor does not have it");
        return;
    }
    for (size_t n = 0; n < N_MAX; n++) {
        long double product = 0, left_square = 0, right_square = 0;
        size_t shift = n % 2;
        for (size_t i = 0; i < n; i++) {
            left[i + shift] = (float)g_rand_double_range(random, -1e3, 1e3);
            right[i + shift] = (float)g_rand_double_range(random, -1e-3, 1e-3);
            product += (long double)left[i + shift] * right[i + shift];
            left_square += (long double)left[i + shift] * left[i + shift];
            right_square += (long double)right[i + shift] * right[i + shift];
        }

        DeeplakeSums sums = {-1, -1, -1};
        deeplake_kernel_sums(left + shift, right + shift, n, &sums);
        double allowed = 1e-13 * (double)sqrtl(left_square * right_square);
        g_assert_cmpfloat_with_epsilon(sums.product, (double)product, allowed + 1e-300);
        g_assert_cmpfloat_with_epsilon(
            sums.left_square, (double)left_square, 1e-13 * (double)left_square + 1e-300);
        g_assert_cmpfloat_with_epsilon(
            sums.right_square, (double)right_square, 1e-13 * (double)right_square + 1e-300);
        g_assert_cmpfloat_with_epsilon(deeplake_kernel_product(left + shift, right + shift, n),
            (double)product, allowed + 1e-300);
    }
}

/* So that a vector is exactly as similar to itself as it can be. */
static void
test_a_vector_with_itself_has_three_equal_sums(gconstpointer data)
{
    DeeplakeKernel kernel = GPOINTER_TO_UINT(data);
    g_autoptr(GRand) random = g_rand_new_with_seed(2);
    float vector[N_MAX];

    if (!deeplake_kernel_select(kernel)) {
        g_test_skip("this processor does not have it");
        return;
    }
    for (size_t n = 1; n < N_MAX; n++) {
        vector[n - 1] = (float)g_rand_double(random);
        DeeplakeSums sums;
        deeplake_kernel_sums(vector, vector, n, &sums);
        g_assert_cmpfloat(sums.product, ==, sums.left_square);
        g_assert_cmpfloat(sums.product, ==, sums.right_square);
    }
}

/* What lies behind the last element is not read: it may be the end of a page. */
static void
test_nothing_beyond_the_end_counts(gconstpointer data)
{
    DeeplakeKernel kernel = GPOINTER_TO_UINT(data);

    if (!deeplake_kernel_select(kernel)) {
        g_test_skip("this processor does not have it");
        return;
    }
    for (size_t n = 0; n < 64; n++) {
        float *vector = g_new(float, n + 1); /* the sanitizer guards what is behind NaN */
        for (size_t i = 0; i < n; i++)
            vector[i] = 1;
        vector[n] = NAN;
        g_assert_cmpfloat(deeplake_kernel_product(vector, vector, n), ==, (double)n);
        DeeplakeSums sums;
        deeplake_kernel_sums(vector, vector, n, &sums);
        g_assert_cmpfloat(sums.product, ==, (double)n);
        g_free(vector);
    }
}

int
main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *prefix = g_strconcat("/core/pg_deeplake/kernel/", names[i], NULL);
        g_autofree char *sums = g_strconcat(prefix, "/matches-long-double", NULL);
        g_autofree char *itself = g_strconcat(prefix, "/three-equal-sums-with-itself", NULL);
        g_autofree char *end = g_strconcat(prefix, "/nothing-beyond-the-end-counts", NULL);
        g_test_add_data_func(sums, GUINT_TO_POINTER(i), test_matches_long_double);
        g_test_add_data_func(
            itself, GUINT_TO_POINTER(i), test_a_vector_with_itself_has_three_equal_sums);
        g_test_add_data_func(end, GUINT_TO_POINTER(i), test_nothing_beyond_the_end_counts);
    }
    return g_test_run();
}

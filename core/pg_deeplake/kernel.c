/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pg_deeplake/kernel.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

typedef void (*SumsFunction)(const float *, const float *, size_t, DeeplakeSums *);
typedef double (*ProductFunction)(const float *, const float *, size_t);

static void first_sums(const float *, const float *, size_t, DeeplakeSums *);
static double first_product(const float *, const float *, size_t);

/* A process has one thread here, and a second would store the same. */
static SumsFunction sums = first_sums;
static ProductFunction product = first_product;

static void
scalar_sums(const float *left, const float *right, size_t n_elements, DeeplakeSums *ret_sums)
{
    double product_sum = 0, left_square = 0, right_square = 0;

    for (size_t i = 0; i < n_elements; i++) {
        double a = left[i], b = right[i];
        product_sum += a * b;
        left_square += a * a;
        right_square += b * b;
    }
    *ret_sums = (DeeplakeSums){product_sum, left_square, right_square};
}

static double
scalar_product(const float *left, const float *right, size_t n_elements)
{
    double sum = 0;

    for (size_t i = 0; i < n_elements; i++)
        sum += (double)left[i] * (double)right[i];
    return sum;
}

#ifdef __x86_64__

#define AVX2 __attribute__((target("avx2,fma")))

AVX2 static inline double
avx2_total(__m256d a, __m256d b)
{
    __m256d both = _mm256_add_pd(a, b);
    __m128d half = _mm_add_pd(_mm256_castpd256_pd128(both), _mm256_extractf128_pd(both, 1));

    return _mm_cvtsd_f64(_mm_add_sd(half, _mm_unpackhi_pd(half, half)));
}

/* Two sums of each kind, since a fused multiply-add takes longer than the next may wait. */
AVX2 static void
avx2_sums(const float *left, const float *right, size_t n_elements, DeeplakeSums *ret_sums)
{
    __m256d ab0 = _mm256_setzero_pd(), ab1 = ab0, aa0 = ab0, aa1 = ab0, bb0 = ab0, bb1 = ab0;
    size_t i = 0;

    for (; i + 8 <= n_elements; i += 8) {
        __m256d a0 = _mm256_cvtps_pd(_mm_loadu_ps(left + i));
        __m256d a1 = _mm256_cvtps_pd(_mm_loadu_ps(left + i + 4));
        __m256d b0 = _mm256_cvtps_pd(_mm_loadu_ps(right + i));
        __m256d b1 = _mm256_cvtps_pd(_mm_loadu_ps(right + i + 4));
        ab0 = _mm256_fmadd_pd(a0, b0, ab0);
        ab1 = _mm256_fmadd_pd(a1, b1, ab1);
        aa0 = _mm256_fmadd_pd(a0, a0, aa0);
        aa1 = _mm256_fmadd_pd(a1, a1, aa1);
        bb0 = _mm256_fmadd_pd(b0, b0, bb0);
        bb1 = _mm256_fmadd_pd(b1, b1, bb1);
    }

    scalar_sums(left + i, right + i, n_elements - i, ret_sums);
    ret_sums->product += avx2_total(ab0, ab1);
    ret_sums->left_square += avx2_total(aa0, aa1);
    ret_sums->right_square += avx2_total(bb0, bb1);
}

AVX2 static double
avx2_product(const float *left, const float *right, size_t n_elements)
{
    __m256d sum0 = _mm256_setzero_pd(), sum1 = sum0, sum2 = sum0, sum3 = sum0;
    size_t i = 0;

    for (; i + 16 <= n_elements; i += 16) {
        sum0 = _mm256_fmadd_pd(_mm256_cvtps_pd(_mm_loadu_ps(left + i)),
            _mm256_cvtps_pd(_mm_loadu_ps(right + i)), sum0);
        sum1 = _mm256_fmadd_pd(_mm256_cvtps_pd(_mm_loadu_ps(left + i + 4)),
            _mm256_cvtps_pd(_mm_loadu_ps(right + i + 4)), sum1);
        sum2 = _mm256_fmadd_pd(_mm256_cvtps_pd(_mm_loadu_ps(left + i + 8)),
            _mm256_cvtps_pd(_mm_loadu_ps(right + i + 8)), sum2);
        sum3 = _mm256_fmadd_pd(_mm256_cvtps_pd(_mm_loadu_ps(left + i + 12)),
            _mm256_cvtps_pd(_mm_loadu_ps(right + i + 12)), sum3);
    }
    return avx2_total(_mm256_add_pd(sum0, sum1), _mm256_add_pd(sum2, sum3)) +
           scalar_product(left + i, right + i, n_elements - i);
}

#endif

bool
deeplake_kernel_select(DeeplakeKernel kernel)
{
    switch (kernel) {
    case DEEPLAKE_KERNEL_SCALAR:
        sums = scalar_sums;
        product = scalar_product;
        return true;
#ifdef __x86_64__
    case DEEPLAKE_KERNEL_AVX2:
        if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
            return false;
        sums = avx2_sums;
        product = avx2_product;
        return true;
#else
    case DEEPLAKE_KERNEL_AVX2:
        return false;
#endif
    }
    return false;
}

static void
select_widest(void)
{
    if (!deeplake_kernel_select(DEEPLAKE_KERNEL_AVX2))
        deeplake_kernel_select(DEEPLAKE_KERNEL_SCALAR);
}

static void
first_sums(const float *left, const float *right, size_t n_elements, DeeplakeSums *ret_sums)
{
    select_widest();
    sums(left, right, n_elements, ret_sums);
}

static double
first_product(const float *left, const float *right, size_t n_elements)
{
    select_widest();
    return product(left, right, n_elements);
}

void
deeplake_kernel_sums(
    const float *left, const float *right, size_t n_elements, DeeplakeSums *ret_sums)
{
    sums(left, right, n_elements, ret_sums);
}

double
deeplake_kernel_product(const float *left, const float *right, size_t n_elements)
{
    return product(left, right, n_elements);
}

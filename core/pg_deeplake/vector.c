/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pg_deeplake/vector.h"
#include "core/pg_deeplake/kernel.h"

#include <math.h>
#include <miscadmin.h>

StaticAssertDecl(sizeof(float4) == sizeof(float), "float4 is float");

PG_FUNCTION_INFO_V1(deeplake_similarity);
PG_FUNCTION_INFO_V1(deeplake_cosine_similarity);
PG_FUNCTION_INFO_V1(deeplake_maxsim);
PG_FUNCTION_INFO_V1(deeplake_vector_lt);
PG_FUNCTION_INFO_V1(deeplake_vector_le);
PG_FUNCTION_INFO_V1(deeplake_vector_eq);
PG_FUNCTION_INFO_V1(deeplake_vector_ne);
PG_FUNCTION_INFO_V1(deeplake_vector_ge);
PG_FUNCTION_INFO_V1(deeplake_vector_gt);
PG_FUNCTION_INFO_V1(deeplake_vector_compare);

void
deeplake_vector_read(ArrayType *array, DeeplakeVector *ret_vector)
{
    int n_dimensions = ARR_NDIM(array);
    const int *lengths = ARR_DIMS(array);

    if (n_dimensions > 2)
        ereport(
            ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
                       errmsg("a vector has one dimension, several have two; this array has %d",
                           n_dimensions)));
    if (ARR_HASNULL(array) && array_contains_nulls(array))
        ereport(ERROR,
            (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("an element of a vector is NULL"),
                errhint("Leave the whole vector NULL where it is not known.")));

    ret_vector->elements = (const float4 *)ARR_DATA_PTR(array);
    ret_vector->n_dimensions = n_dimensions;
    ret_vector->n_vectors = n_dimensions == 2 ? lengths[0] : n_dimensions;
    ret_vector->n_elements = n_dimensions ? lengths[n_dimensions - 1] : 0;
}

/* Rounds once, at the end. Also FALSE for NaN. */
static float4
quotient(double product, double left_square, double right_square)
{
    double both = left_square * right_square;

    if (!(both > 0) || isinf(both))
        return 0;
    return (float4)(product / sqrt(both));
}

float4
deeplake_vector_cosine(const float4 *left, const float4 *right, int n_elements)
{
    DeeplakeSums sums;

    deeplake_kernel_sums(left, right, (size_t)n_elements, &sums);
    return quotient(sums.product, sums.left_square, sums.right_square);
}

static void
refuse_lengths(int left, int right)
{
    ereport(ERROR,
        (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
            errmsg("vectors of different length: %d elements on the left, %d on the right",
                left, right),
            errhint("Query with a vector of the model that made those in the table.")));
}

static double *
squares_of(const DeeplakeVector *vector)
{
    double *squares = palloc(sizeof(double) * (size_t)vector->n_vectors);

    for (int i = 0; i < vector->n_vectors; i++) {
        const float4 *one = vector->elements + (size_t)i * (size_t)vector->n_elements;
        squares[i] = deeplake_kernel_product(one, one, (size_t)vector->n_elements);
    }
    return squares;
}

float4
deeplake_vector_maxsim(const DeeplakeVector *document, const DeeplakeVector *query)
{
    double sum = 0;

    if (document->n_vectors == 0 || query->n_vectors == 0)
        return 0;
    if (document->n_elements != query->n_elements)
        refuse_lengths(document->n_elements, query->n_elements);

    size_t n_elements = (size_t)query->n_elements;
    double *squares = squares_of(document);
    for (int i = 0; i < query->n_vectors; i++) {
        const float4 *wanted = query->elements + (size_t)i * n_elements;
        double square = deeplake_kernel_product(wanted, wanted, n_elements);
        float4 best = -1;

        CHECK_FOR_INTERRUPTS();
        for (int k = 0; k < document->n_vectors; k++) {
            const float4 *one = document->elements + (size_t)k * n_elements;
            double product = deeplake_kernel_product(one, wanted, n_elements);
            best = Max(best, quotient(product, squares[k], square));
        }
        sum += best;
    }
    pfree(squares);
    return (float4)sum;
}

float4
deeplake_vector_similarity(const DeeplakeVector *left, const DeeplakeVector *right)
{
    if (left->n_dimensions == 2)
        return deeplake_vector_maxsim(left, right);
    if (right->n_dimensions == 2)
        ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
                           errmsg("one vector on the left, several on the right"),
                           errhint("MaxSim wants a two-dimensional array on the left.")));
    if (left->n_elements != right->n_elements)
        refuse_lengths(left->n_elements, right->n_elements);
    return deeplake_vector_cosine(left->elements, right->elements, left->n_elements);
}

/* --- as SQL calls them --- */

typedef float4 (*PairFunction)(const DeeplakeVector *left, const DeeplakeVector *right);

/* Both arguments, by function. The copies that detoasting made go at once: building an index
 * calls this for every row in one memory context. */
static Datum
of_arguments(FunctionCallInfo fcinfo, PairFunction function)
{
    ArrayType *left = PG_GETARG_ARRAYTYPE_P(0);
    ArrayType *right = PG_GETARG_ARRAYTYPE_P(1);
    DeeplakeVector left_vector, right_vector;

    deeplake_vector_read(left, &left_vector);
    deeplake_vector_read(right, &right_vector);
    float4 result = function(&left_vector, &right_vector);
    PG_FREE_IF_COPY(left, 0);
    PG_FREE_IF_COPY(right, 1);
    PG_RETURN_FLOAT4(result);
}

/* <#> */
Datum
deeplake_similarity(PG_FUNCTION_ARGS)
{
    return of_arguments(fcinfo, deeplake_vector_similarity);
}

static float4
cosine_of_one_each(const DeeplakeVector *left, const DeeplakeVector *right)
{
    if (left->n_dimensions == 2 || right->n_dimensions == 2)
        ereport(ERROR,
            (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
                errmsg("cosine similarity is of one vector with another, not of several"),
                errhint("Use deeplake_maxsim, or the operator <#>.")));
    return deeplake_vector_similarity(left, right);
}

Datum
deeplake_cosine_similarity(PG_FUNCTION_ARGS)
{
    return of_arguments(fcinfo, cosine_of_one_each);
}

Datum
deeplake_maxsim(PG_FUNCTION_ARGS)
{
    return of_arguments(fcinfo, deeplake_vector_maxsim);
}

/* --- element by element --- */

/* How many pairs of elements are so. NaN is equal to nothing, as IEEE 754 has it. */
typedef struct {
    int n_elements, n_less, n_equal, n_greater;
} Comparison;

static Comparison
compare(FunctionCallInfo fcinfo)
{
    ArrayType *left = PG_GETARG_ARRAYTYPE_P(0);
    ArrayType *right = PG_GETARG_ARRAYTYPE_P(1);
    DeeplakeVector a, b;
    Comparison comparison = {0};

    deeplake_vector_read(left, &a);
    deeplake_vector_read(right, &b);
    if (a.n_elements != b.n_elements || a.n_vectors != b.n_vectors)
        refuse_lengths(a.n_elements * a.n_vectors, b.n_elements * b.n_vectors);

    comparison.n_elements = a.n_elements * a.n_vectors;
    for (int i = 0; i < comparison.n_elements; i++) {
        comparison.n_less += a.elements[i] < b.elements[i];
        comparison.n_equal += a.elements[i] == b.elements[i];
        comparison.n_greater += a.elements[i] > b.elements[i];
    }
    PG_FREE_IF_COPY(left, 0);
    PG_FREE_IF_COPY(right, 1);
    return comparison;
}

Datum
deeplake_vector_lt(PG_FUNCTION_ARGS)
{
    Comparison all = compare(fcinfo);

    PG_RETURN_BOOL(all.n_less == all.n_elements);
}

Datum
deeplake_vector_le(PG_FUNCTION_ARGS)
{
    Comparison all = compare(fcinfo);

    PG_RETURN_BOOL(all.n_less + all.n_equal == all.n_elements);
}

Datum
deeplake_vector_eq(PG_FUNCTION_ARGS)
{
    Comparison all = compare(fcinfo);

    PG_RETURN_BOOL(all.n_equal == all.n_elements);
}

Datum
deeplake_vector_ne(PG_FUNCTION_ARGS)
{
    Comparison all = compare(fcinfo);

    PG_RETURN_BOOL(all.n_equal == 0);
}

Datum
deeplake_vector_ge(PG_FUNCTION_ARGS)
{
    Comparison all = compare(fcinfo);

    PG_RETURN_BOOL(all.n_greater + all.n_equal == all.n_elements);
}

Datum
deeplake_vector_gt(PG_FUNCTION_ARGS)
{
    Comparison all = compare(fcinfo);

    PG_RETURN_BOOL(all.n_greater == all.n_elements);
}

Datum
deeplake_vector_compare(PG_FUNCTION_ARGS)
{
    Comparison all = compare(fcinfo);

    if (all.n_equal == all.n_elements)
        PG_RETURN_INT32(0);
    PG_RETURN_INT32(all.n_less == all.n_elements ? -1 : 1);
}

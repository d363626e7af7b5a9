/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/core/pg/canned.h"

#include "core/pg/result.h"
#include <string.h>

typedef struct {
    LakeTransport base;
    CannedAnswer answer;
    gpointer user_data;
} CannedTransport;

static void
free_transport(LakeTransport *transport)
{
    g_free(transport);
}

static LakeResult *
run(LakeTransport *transport, LakeTransportUse use, LakeStatement *statement,
    GCancellable *cancellable, GError **error)
{
    CannedTransport *canned = (CannedTransport *)transport;

    return canned->answer(statement, canned->user_data, error);
}

static LakeResult *
run_all(LakeTransport *transport, LakeTransportUse use, LakeStatement *const *statements,
    guint n_statements, GCancellable *cancellable, GError **error)
{
    return run(transport, use, statements[n_statements - 1], cancellable, error);
}

static const LakeTransportClass canned_class = {
    .name = "canned",
    .free = free_transport,
    .run = run,
    .run_all = run_all,
};

LakeTransport *
canned_transport_new(CannedAnswer answer, gpointer user_data)
{
    CannedTransport *canned = g_new0(CannedTransport, 1);

    canned->base.class = &canned_class;
    canned->answer = answer;
    canned->user_data = user_data;
    return &canned->base;
}

LakeResult *
canned_result_new(guint n_columns, const char *const *values, gsize n_values)
{
    PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    g_autofree PGresAttDesc *columns = g_new0(PGresAttDesc, n_columns);

    g_assert_nonnull(result);
    for (guint i = 0; i < n_columns; i++)
        columns[i] = (PGresAttDesc){.name = (char *)"column", .typid = 25, .typlen = -1};
    g_assert_true(PQsetResultAttrs(result, (int)n_columns, columns));
    for (gsize i = 0; i < n_values; i++)
        g_assert_true(PQsetvalue(result, (int)(i / n_columns), (int)(i % n_columns),
            (char *)values[i], values[i] ? (int)strlen(values[i]) : -1));
    return lake_pg_result_new(result);
}

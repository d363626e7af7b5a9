/* SPDX-License-Identifier: Apache-2.0 */

/* tests/fuzz/answer.c: any bytes as what the service answers: rows of as many values as there
 * are columns, or an error that says what cannot be understood. Taken at once and row by row,
 * they are the same. The first byte has a bit for each of eight columns that are bytes. */

#include "core/api/answer.h"
#include "core/error.h"
#include "tests/fuzz/driver.h"

#include <string.h>

static void
check_error(const GError *error)
{
    CHECK(error && error->domain == LAKE_ERROR && error->code == LAKE_ERROR_FAILED);
    CHECK(strstr(error->message, "cannot be understood"));
}

static void
check_values(const LakeResult *result, guint row, guint n_columns)
{
    CHECK(lake_result_n_columns(result) == n_columns);
    for (guint column = 0; column < n_columns; column++) {
        const char *text = lake_result_text(result, row, column);
        gsize length = lake_result_length(result, row, column);

        CHECK(lake_result_column_name(result, column));
        CHECK(text ? text[length] == '\0' : length == 0);
    }
}

static void
check_json(const LakeResult *row)
{
    for (guint column = 0; column < lake_result_n_columns(row); column++) {
        gsize n_bytes = 0;
        const char *json = lake_result_json(row, 0, column, &n_bytes);
        CHECK(!json == !lake_result_text(row, 0, column));
        CHECK(!json || n_bytes > 0);
    }
}

/* How many rows there are; -1: not all are rows. */
static gint64
run_row_by_row(LakeSpool *body)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(LakeApiAnswer) answer = lake_api_answer_new(body, &error);
    gint64 n_rows = 0;

    if (!answer) {
        check_error(error);
        return -1;
    }
    guint n_columns = lake_result_n_columns(lake_api_answer_columns(answer));
    for (const LakeResult *row; (row = lake_api_answer_next_row(answer, &error)); n_rows++) {
        CHECK(lake_result_n_rows(row) == 1);
        check_values(row, 0, n_columns);
        check_json(row);
    }
    if (!error)
        return n_rows;
    check_error(error);
    return -1;
}

/* -1 as above, or because of values that are no bytes. */
static gint64
run_at_once(LakeSpool *body, guint8 are_bytes)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(LakeStatement) statement = lake_statement_new("SELECT");
    g_autoptr(LakeApiAnswer) answer = lake_api_answer_new(body, &error);

    for (guint i = 0; i < 8; i++)
        if (are_bytes & 1U << i)
            lake_statement_expect_bytes(statement, i);
    g_autoptr(LakeResult) result =
        answer ? lake_api_answer_take(answer, statement, G_MAXUINT, &error) : NULL;
    if (!result) {
        check_error(error);
        return -1;
    }
    guint n_columns = lake_result_n_columns(lake_api_answer_columns(answer));
    for (guint row = 0; row < lake_result_n_rows(result); row++)
        check_values(result, row, n_columns);
    return lake_result_n_rows(result);
}

int
LLVMFuzzerTestOneInput(const guint8 *data, size_t n_bytes)
{
    g_autoptr(LakeSpool) body = lake_spool_new(g_get_tmp_dir());

    if (n_bytes == 0)
        return 0;
    CHECK(lake_spool_append(body, data + 1, n_bytes - 1, NULL));
    gint64 n_rows = run_row_by_row(body);
    gint64 n_at_once = run_at_once(body, data[0]);
    CHECK(n_at_once == n_rows || (data[0] && n_at_once == -1));
    return 0;
}

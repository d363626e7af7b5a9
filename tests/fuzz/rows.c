/* SPDX-License-Identifier: Apache-2.0 */

/* tests/fuzz/rows.c: any bytes as a file of rows of each form: it gives rows of whole columns,
 * or an error that names a line. The first byte chooses the form, and whether there is a
 * schema. */

#include "core/error.h"
#include "core/ingest/normaliser.h"
#include "tests/fuzz/driver.h"

#include <string.h>

static const char *const paths[] = {"a.jsonl", "a.json", "a.csv", "a.tsv"};

static void
check_error(const GError *error)
{
    CHECK(error && error->domain == LAKE_ERROR && error->code == LAKE_ERROR_BAD_INPUT);
    CHECK(g_utf8_validate(error->message, -1, NULL));
    CHECK(strstr(error->message, "line "));
}

static void
run(const char *path, LakeSpool *content, LakeSchema *schema)
{
    const LakeNormaliser *kind = &lake_ingest_records;
    LakeNormaliserInput input = {
        .file_id = "id", .path = path, .content = content, .settings = {.schema = schema}};
    g_autoptr(GError) error = NULL;
    guint n_columns;

    gpointer state = kind->open(&input, NULL, &error);
    if (!state) {
        check_error(error);
        return;
    }
    const LakeColumn *columns = kind->columns_of(state, &n_columns);
    g_autoptr(LakeRows) rows = lake_rows_new(columns, n_columns);
    gboolean is_good = TRUE;
    for (gboolean is_done = FALSE; is_good && !is_done;)
        is_good = kind->next_row(state, rows, &is_done, NULL, &error);
    if (is_good)
        fuzz_check_rows(rows);
    else
        check_error(error);
    kind->close(state);
}

int
LLVMFuzzerTestOneInput(const guint8 *data, size_t n_bytes)
{
    static const char types[] = "{\"a\":\"TEXT\",\"b\":\"INT32\",\"c\":\"EMBEDDING\","
                                "\"d\":\"BINARY\",\"e\":\"JSONB\",\"f\":\"FLOAT32\"}";
    const char *const texts[LAKE_SCHEMA_N_TEXTS] = {"\"rows\"", types};
    g_autoptr(LakeSpool) content = lake_spool_new(g_get_tmp_dir());
    LakeSchema *schema = NULL;

    if (n_bytes == 0)
        return 0;
    CHECK(lake_spool_append(content, data + 1, n_bytes - 1, NULL));
    if (data[0] & 4)
        CHECK(lake_schema_parse(texts, &schema, NULL));
    run(paths[data[0] & 3], content, schema);
    lake_schema_unref(schema);
    return 0;
}

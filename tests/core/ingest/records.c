/* SPDX-License-Identifier: Apache-2.0 */
#include "core/error.h"
#include "core/ingest/normaliser.h"

#include <string.h>

#define SAMPLE_BYTES (1024 * 1024)

static gboolean
parse(const char *columns, LakeSchema **ret_schema)
{
    const char *const texts[LAKE_SCHEMA_N_TEXTS] = {"\"rows\"", columns};

    return lake_schema_parse(texts, ret_schema, NULL);
}

/* The columns of a file of rows, "name TYPE, …", once all of it was read; NULL: refused. */
static char *
read_columns(const char *path, const char *text, LakeSchema *schema, const LakeTable *table,
    guint *ret_n_rows, GError **error)
{
    const LakeNormaliser *kind = &lake_ingest_records;
    g_autoptr(LakeSpool) content = lake_spool_new(g_get_tmp_dir());
    LakeNormaliserInput input = {.file_id = "id",
        .path = path,
        .content = content,
        .settings = {.schema = schema},
        .table = table};
    g_autoptr(GString) found = g_string_new(NULL);
    gboolean is_good = TRUE;
    guint n_columns;

    g_assert_true(lake_spool_append(content, text, strlen(text), NULL));
    gpointer state = kind->open(&input, NULL, error);
    if (!state)
        return NULL;
    const LakeColumn *columns = kind->columns_of(state, &n_columns);
    g_autoptr(LakeRows) rows = lake_rows_new(columns, n_columns);
    for (guint i = 0; i < n_columns; i++)
        g_string_append_printf(found, "%s%s %s", i > 0 ? ", " : "", columns[i].name,
            lake_type_info(columns[i].type)->schema_name);
    for (gboolean is_done = FALSE; is_good && !is_done;)
        is_good = kind->next_row(state, rows, &is_done, NULL, error);
    *ret_n_rows = is_good ? lake_rows_count(rows) : 0;
    kind->close(state);
    return is_good ? g_strdup(found->str) : NULL;
}

static void
test_columns_in_the_order_they_appear(void)
{
    g_autoptr(GError) error = NULL;
    guint n_rows;
    g_autofree char *lines = read_columns(
        "a.jsonl", "{\"b\":1}\n{\"a\":\"x\",\"b\":2.5}\n{}\n", NULL, NULL, &n_rows, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(lines, ==, "file_id TEXT, b FLOAT64, a TEXT");
    g_assert_cmpuint(n_rows, ==, 3);

    g_autofree char *csv =
        read_columns("a.csv", "b,a,c\n1,007,\n", NULL, NULL, &n_rows, &error);
    g_assert_cmpstr(csv, ==, "file_id TEXT, b INT64, a TEXT, c TEXT");
    g_assert_cmpuint(n_rows, ==, 1);

    g_autofree char *empty = read_columns("a.csv", "", NULL, NULL, &n_rows, &error);
    g_assert_cmpstr(empty, ==, "file_id TEXT");
    g_assert_cmpuint(n_rows, ==, 0);
}

static void
test_the_schema_comes_first(void)
{
    g_autoptr(LakeSchema) schema = NULL;
    g_autoptr(GError) error = NULL;
    guint n_rows;

    g_assert_true(parse("{\"c\": \"IMAGE\", \"a\": \"FLOAT32\"}", &schema));
    g_autofree char *found =
        read_columns("a.jsonl", "{\"a\":1,\"b\":true}\n", schema, NULL, &n_rows, &error);
    g_assert_cmpstr(found, ==, "file_id TEXT, c IMAGE, a FLOAT32, b BOOL");
}

static LakeTable *
new_table(LakeType type, const char *sql_type)
{
    LakeTable *table = g_new0(LakeTable, 1);
    LakeTableColumn *column = g_new0(LakeTableColumn, 1);

    table->name = g_strdup("t");
    table->columns = g_ptr_array_new();
    column->name = (char *)"a";
    column->sql_type = (char *)sql_type;
    column->type = type;
    g_ptr_array_add(table->columns, column);
    return table;
}

static void
free_table(LakeTable *table)
{
    g_free(table->columns->pdata[0]);
    g_ptr_array_unref(table->columns);
    g_free(table->name);
    g_free(table);
}

static void
test_the_tables_types_count(void)
{
    LakeTable *table = new_table(LAKE_TYPE_FLOAT64, "double precision");
    LakeTable *other = new_table(LAKE_TYPE_OTHER, "numeric");
    g_autoptr(LakeSchema) schema = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(GError) contradiction = NULL;
    g_autoptr(GError) unknown = NULL;
    guint n_rows;

    g_autofree char *found = read_columns("a.csv", "a\n1\n", NULL, table, &n_rows, &error);
    g_assert_cmpstr(found, ==, "file_id TEXT, a FLOAT64");
    g_assert_true(parse("{\"a\": \"INT64\"}", &schema));
    g_assert_null(read_columns("a.csv", "a\n1\n", schema, table, &n_rows, &contradiction));
    g_assert_nonnull(strstr(contradiction->message, "schema says INT64"));
    g_assert_null(read_columns("a.csv", "a\n1\n", NULL, other, &n_rows, &unknown));
    g_assert_nonnull(strstr(unknown->message, "numeric"));
    free_table(table);
    free_table(other);
}

/* A row that begins with the sample's last byte is part of it, the next is not. */
static void
test_where_the_sample_ends(void)
{
    for (gsize begin = SAMPLE_BYTES - 1; begin <= SAMPLE_BYTES; begin++) {
        g_autofree char *filler = g_strnfill(begin - strlen("{\"a\":\"\"}\n"), 'x');
        g_autofree char *text =
            g_strdup_printf("{\"a\":\"%s\"}\n{\"a\":\"\",\"b\":1}\n", filler);
        g_autoptr(GError) error = NULL;
        guint n_rows;
        g_autofree char *found = read_columns("a.jsonl", text, NULL, NULL, &n_rows, &error);

        if (begin < SAMPLE_BYTES) {
            g_assert_no_error(error);
            g_assert_cmpstr(found, ==, "file_id TEXT, a TEXT, b INT64");
        } else {
            g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
            g_assert_nonnull(strstr(error->message, "line 2: the column \"b\""));
            g_assert_nonnull(strstr(lake_error_facts(error)->hint, "schema"));
        }
    }
}

static void
test_settings_are_the_schema(void)
{
    LakeIngestSettings settings = {0};
    g_autofree char *none = lake_ingest_records.settings_json(&settings);

    g_assert_cmpstr(none, ==, "{\"schema\":{}}");
    g_assert_true(parse("{\"b\": \"json\", \"a\": \"TEXT\"}", &settings.schema));
    g_autofree char *some = lake_ingest_records.settings_json(&settings);
    g_assert_cmpstr(some, ==, "{\"schema\":{\"b\":\"JSONB\",\"a\":\"TEXT\"}}");
    lake_ingest_settings_clear(&settings);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/ingest/records/columns-in-the-order-they-appear",
        test_columns_in_the_order_they_appear);
    g_test_add_func("/core/ingest/records/the-schema-comes-first", test_the_schema_comes_first);
    g_test_add_func("/core/ingest/records/the-tables-types-count", test_the_tables_types_count);
    g_test_add_func("/core/ingest/records/where-the-sample-ends", test_where_the_sample_ends);
    g_test_add_func(
        "/core/ingest/records/settings-are-the-schema", test_settings_are_the_schema);
    return g_test_run();
}

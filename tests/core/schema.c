/* SPDX-License-Identifier: Apache-2.0 */
#include "core/schema.h"

#include "core/error.h"
#include <string.h>

static gboolean
parse(const char *format, const char *columns, const char *indexes, LakeSchema **ret_schema,
    GError **error)
{
    const char *const texts[LAKE_SCHEMA_N_TEXTS] = {format, columns, indexes};

    return lake_schema_parse(texts, ret_schema, error);
}

static void
test_what_is_asked_for(void)
{
    g_autoptr(LakeSchema) schema = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_true(parse("\"rows\"", "{\"b\": \"int64\", \"a\": \"IMAGE\"}",
        "{\"a\": \"\", \"b\": \"btree\", \"c\": {\"index_type\": \"bm25\"}}", &schema, &error));
    g_assert_no_error(error);
    g_assert_cmpint(lake_schema_format(schema), ==, LAKE_FORMAT_ROWS);
    g_assert_cmpuint(schema->n_columns, ==, 2);
    g_assert_cmpstr(schema->columns[0].name, ==, "b");
    g_assert_cmpint(lake_schema_column(schema, "b")->type, ==, LAKE_TYPE_INT64);
    g_assert_cmpint(lake_schema_column(schema, "a")->type, ==, LAKE_TYPE_IMAGE);
    g_assert_null(lake_schema_column(schema, "B"));
    g_assert_cmpuint(schema->n_indexes, ==, 3);
    g_assert_null(schema->indexes[0].method);
    g_assert_cmpstr(schema->indexes[1].method, ==, "btree");
    g_assert_cmpstr(schema->indexes[2].column, ==, "c");
    g_assert_cmpstr(schema->indexes[2].method, ==, "bm25");
}

static void
test_nothing_is_no_schema(void)
{
    static const char *const formats[] = {NULL, "\"files\""};
    static const char *const indexes[] = {NULL, "[]", "{}"};

    for (gsize i = 0; i < G_N_ELEMENTS(formats); i++)
        for (gsize k = 0; k < G_N_ELEMENTS(indexes); k++) {
            LakeSchema *schema = NULL;
            g_assert_true(parse(formats[i], NULL, indexes[k], &schema, NULL));
            g_assert_null(schema);
        }
    g_assert_cmpint(lake_schema_format(NULL), ==, LAKE_FORMAT_FILES);
    g_assert_null(lake_schema_column(NULL, "a"));
}

static void
test_files_take_files(void)
{
    g_autoptr(LakeSchema) schema = NULL;

    g_assert_true(parse(NULL, "{\"path\": \"FILE\"}", "[\"text\"]", &schema, NULL));
    g_assert_cmpint(lake_schema_format(schema), ==, LAKE_FORMAT_FILES);
    g_assert_cmpuint(schema->n_columns, ==, 0);
    g_assert_cmpuint(schema->n_indexes, ==, 1);
}

/* FILE says what a drop zone takes: the hint says where such files go. */
static void
test_file_is_no_type_of_a_row(void)
{
    LakeSchema *schema = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_false(parse("\"rows\"", "{\"photo\": \"file\"}", NULL, &schema, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
    g_assert_nonnull(strstr(error->message, "\"photo\" is a FILE"));
    g_assert_nonnull(
        strstr(lake_error_facts(error)->hint, "drop zone of the format \"files\""));
}

static void
test_folders_of_a_data_set(void)
{
    static const struct {
        const char *format, *columns, *images_dir, *masks_dir, *word;
    } bad[] = {
        {"\"coco_panoptic\"", NULL, NULL, NULL, "needs images_dir"},
        {"\"coco_panoptic\"", NULL, "\"/a\"", NULL, "needs masks_dir"},
        {"\"coco_panoptic\"", NULL, "\"a\"", "\"/b\"", "images_dir must be the absolute"},
        {"\"coco_panoptic\"", NULL, "\"/a\"", "7", "masks_dir must be the absolute"},
        {"\"coco_panoptic\"", NULL, "\"\"", "\"/b\"", "images_dir must be the absolute"},
        {"\"rows\"", NULL, "\"/a\"", "\"/b\"", "images_dir goes with"},
        {NULL, NULL, NULL, "\"/b\"", "masks_dir goes with"},
        {"\"coco_panoptic\"", "{\"a\": \"INT64\"}", "\"/a\"", "\"/b\"", "must be \"FILE\""},
    };
    const char *const good[LAKE_SCHEMA_N_TEXTS] = {"\"coco_panoptic\"", "{\"a\": \"FILE\"}",
        "[\"image_id\"]", "\"/no such folder/\\u00e4\"", "\"/b\""};
    g_autoptr(LakeSchema) schema = NULL;
    g_autoptr(GError) none = NULL;

    g_assert_true(lake_schema_parse(good, &schema, &none));
    g_assert_cmpint(lake_schema_format(schema), ==, LAKE_FORMAT_COCO_PANOPTIC);
    g_assert_cmpstr(schema->images_dir, ==, "/no such folder/ä");
    g_assert_cmpstr(schema->masks_dir, ==, "/b");
    g_assert_cmpuint(schema->n_columns, ==, 0);
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        const char *const texts[LAKE_SCHEMA_N_TEXTS] = {
            bad[i].format, bad[i].columns, NULL, bad[i].images_dir, bad[i].masks_dir};
        LakeSchema *wrong = NULL;
        g_autoptr(GError) error = NULL;

        g_assert_false(lake_schema_parse(texts, &wrong, &error));
        g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
        g_assert_nonnull(lake_error_facts(error)->hint);
        if (!strstr(error->message, bad[i].word))
            g_error("\"%s\" does not say \"%s\"", error->message, bad[i].word);
    }
}

static void
test_refusals(void)
{
    static const struct {
        const char *format, *columns, *indexes, *word;
    } bad[] = {
        {"\"row\"", NULL, NULL, "format"},
        {"1", NULL, NULL, "format"},
        {"{\"name\": \"rows\"}", NULL, NULL, "format"},
        {NULL, "{\"a\": \"INT64\"}", NULL, "FILE"},
        {"\"rows\"", "[]", NULL, "object"},
        {"\"rows\"", "{\"a\": \"INTEGER\"}", NULL, "INTEGER"},
        {"\"rows\"", "{\"a\": \"OTHER\"}", NULL, "OTHER"},
        {"\"rows\"", "{\"a\": \"FILE\"}", NULL, "FILE"},
        {"\"rows\"", "{\"a\": 1}", NULL, "string"},
        {"\"rows\"", "{\"\": \"TEXT\"}", NULL, "name"},
        {"\"rows\"", "{\"file_id\": \"TEXT\"}", NULL, "file_id"},
        {"\"rows\"", "{\"a\": \"TEXT\", \"a\": \"INT64\"}", NULL, "twice"},
        {"\"rows\"", "{\"id\": \"TEXT\", \"_id\": \"INT64\"}", NULL, "_id"},
        {"\"rows\"", "{\"a\"", NULL, "JSON"},
        {NULL, NULL, "\"text\"", "index"},
        {NULL, NULL, "[1]", "index"},
        {NULL, NULL, "[\"\"]", "index"},
        {NULL, NULL, "{\"a\": 1}", "index"},
        {NULL, NULL, "{\"a\": {\"type\": \"bm25\"}}", "index"},
        {NULL, NULL, "[\"a\", \"a\"]", "twice"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        LakeSchema *schema = NULL;
        g_autoptr(GError) error = NULL;
        g_assert_false(parse(bad[i].format, bad[i].columns, bad[i].indexes, &schema, &error));
        g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
        g_assert_null(schema);
        if (!strstr(error->message, bad[i].word))
            g_error("\"%s\" does not say \"%s\"", error->message, bad[i].word);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/schema/what-is-asked-for", test_what_is_asked_for);
    g_test_add_func("/core/schema/nothing-is-no-schema", test_nothing_is_no_schema);
    g_test_add_func("/core/schema/files-take-files", test_files_take_files);
    g_test_add_func("/core/schema/file-is-no-type-of-a-row", test_file_is_no_type_of_a_row);
    g_test_add_func("/core/schema/folders-of-a-data-set", test_folders_of_a_data_set);
    g_test_add_func("/core/schema/refusals", test_refusals);
    return g_test_run();
}

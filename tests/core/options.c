/* SPDX-License-Identifier: Apache-2.0 */
#include "core/options.h"

#include "core/error.h"
#include <string.h>

static const LakeIngestSettings defaults = {
    .chunk_size = 1000,
    .chunk_overlap = 200,
    .pdf_dpi = 300,
    .pdf_max_pages = 20000,
    .segment_seconds = 10,
};

static void
test_named_ones_count(void)
{
    static const char text[] =
        "{\"chunk_size\": 5e2, \"segment_seconds\": 4, \"pdf_dpi\": null, \"schema\": {}}";
    LakeIngestSettings settings = defaults;
    g_autoptr(GError) error = NULL;

    g_assert_true(lake_options_parse(text, strlen(text), &settings, &error));
    g_assert_no_error(error);
    g_assert_cmpint(settings.chunk_size, ==, 500);
    g_assert_cmpint(settings.segment_seconds, ==, 4);
    g_assert_cmpint(settings.chunk_overlap, ==, 200);
    g_assert_cmpint(settings.pdf_dpi, ==, 300);
    g_assert_cmpint(settings.pdf_max_pages, ==, 20000);
    lake_ingest_settings_clear(&settings);
}

/* Each option by itself: what another text said of the others stays. */
static void
test_a_schema_is_put_together(void)
{
    static const char first[] = "{\"format\": \"rows\", \"schema\": {\"a\": \"INT32\"}}";
    static const char second[] = "{\"index\": {\"a\": \"btree\"}, \"schema\": null}";
    LakeIngestSettings base = defaults;
    g_autoptr(GError) error = NULL;

    g_assert_true(lake_options_parse(first, strlen(first), &base, &error));
    LakeIngestSettings settings = base;
    g_assert_true(lake_options_parse(second, strlen(second), &settings, &error));
    g_assert_no_error(error);
    g_assert_cmpint(lake_schema_format(settings.schema), ==, LAKE_FORMAT_ROWS);
    g_assert_cmpint(lake_schema_column(settings.schema, "a")->type, ==, LAKE_TYPE_INT32);
    g_assert_cmpuint(settings.schema->n_indexes, ==, 1);
    g_assert_cmpuint(base.schema->n_indexes, ==, 0);

    LakeIngestSettings again = defaults;
    g_autofree char *shown = lake_options_to_json(&settings);
    g_assert_true(lake_options_parse(shown, strlen(shown), &again, &error));
    g_autofree char *shown_again = lake_options_to_json(&again);
    g_assert_cmpstr(shown, ==, shown_again);
    lake_ingest_settings_clear(&again);
    lake_ingest_settings_clear(&settings);
    lake_ingest_settings_clear(&base);
}

/* What others might not be allowed to name. */
static void
test_folders_are_told_and_shown(void)
{
    static const char text[] = "{\"masks_dir\": \"/b\", \"format\": \"coco_panoptic\","
                               " \"images_dir\": \"/a\"}";
    LakeOptions *options = lake_options_new(NULL, &defaults);
    LakeIngestSettings settings = defaults;

    g_assert_true(lake_options_names_folders(options, text, strlen(text)));
    g_assert_false(lake_options_names_folders(options, "", 0));
    g_assert_false(lake_options_names_folders(options, "{}", 2));
    g_assert_false(lake_options_names_folders(options, text, strlen(text) - 1));
    lake_options_free(options);

    g_assert_true(lake_options_parse(text, strlen(text), &settings, NULL));
    g_autofree char *shown = lake_options_to_json(&settings);
    g_assert_nonnull(strstr(shown, "\"images_dir\": \"/a\""));
    g_assert_nonnull(strstr(shown, "\"masks_dir\": \"/b\""));
    lake_ingest_settings_clear(&settings);
}

static void
test_nothing_is_nothing(void)
{
    static const char *const texts[] = {"", " \n", "{}", "{\"index\": []}"};

    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        LakeIngestSettings settings = defaults;
        g_assert_true(lake_options_parse(texts[i], strlen(texts[i]), &settings, NULL));
        g_assert_cmpmem(&settings, sizeof settings, &defaults, sizeof defaults);
    }
}

static void
test_what_is_shown_can_be_written(void)
{
    LakeIngestSettings shown = {7, 3, 11, 20000, 2};
    LakeIngestSettings settings = defaults;
    g_autofree char *text = lake_options_to_json(&shown);

    g_assert_true(lake_options_parse(text, strlen(text), &settings, NULL));
    g_assert_cmpmem(&settings, sizeof settings, &shown, sizeof shown);
}

static void
test_wrong_ones_change_nothing(void)
{
    static const struct {
        const char *text, *word;
    } wrong[] = {
        {"{\"pdf_dpi\": 72, \"chunk_sise\": 1}", "chunk_size"},
        {"{\"pdf_dpi\": 72, \"colour\": 1}", "unknown option \"colour\""},
        {"{\"pdf_dpi\": 72, \"chunk_size\": true}", "whole number"},
        {"{\"pdf_dpi\": 72, \"chunk_size\": 200}", "chunk_overlap"},
        {"{\"pdf_dpi\": 72, \"chunk_size\": 1e300}", "at most"},
        {"{\"pdf_dpi\": 72, \"chunk_overlap\": -1}", "at least 0"},
        {"{\"pdf_dpi\": 72, \"pdf_dpi\": 72}", "twice"},
        {"{\"pdf_dpi\": 72, \"schema\": {\"a\": 1}}", "string"},
        {"{\"pdf_dpi\": 72} x", "not JSON"},
        {"{\"pdf_dpi\": 72,\n\n}", "line 3"},
        {"\"pdf_dpi\"", "object"},
        {"{\"pdf_dpi\": 72, \"index\": 1}", "index"},
        {"{\"pdf_dpi\": 72, \"format\": {}}", "format"},
        {"{\"pdf_dpi\": 72, \"schema\": {\"a\": \"INT64\"}}", "FILE"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        LakeIngestSettings settings = defaults;
        g_autoptr(GError) error = NULL;

        g_assert_false(
            lake_options_parse(wrong[i].text, strlen(wrong[i].text), &settings, &error));
        g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
        g_assert_nonnull(strstr(error->message, wrong[i].word));
        g_assert_cmpmem(&settings, sizeof settings, &defaults, sizeof defaults);
    }
}

static void
test_bytes_after_a_nul_are_not_overlooked(void)
{
    static const char text[] = "{\"pdf_dpi\": 72}\0{";
    LakeIngestSettings settings = defaults;

    g_assert_false(lake_options_parse(text, sizeof text - 1, &settings, NULL));
    g_assert_false(lake_options_parse("\0", 1, &settings, NULL));
    g_assert_cmpint(settings.pdf_dpi, ==, 300);
}

static void
test_length_is_bounded(void)
{
    g_autofree char *text = g_strnfill(LAKE_OPTIONS_MAX_BYTES + 1, ' ');
    LakeIngestSettings settings = defaults;

    g_assert_true(lake_options_parse(text, LAKE_OPTIONS_MAX_BYTES, &settings, NULL));
    g_assert_false(lake_options_parse(text, LAKE_OPTIONS_MAX_BYTES + 1, &settings, NULL));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/options/named-ones-count", test_named_ones_count);
    g_test_add_func("/core/options/a-schema-is-put-together", test_a_schema_is_put_together);
    g_test_add_func(
        "/core/options/folders-are-told-and-shown", test_folders_are_told_and_shown);
    g_test_add_func("/core/options/nothing-is-nothing", test_nothing_is_nothing);
    g_test_add_func(
        "/core/options/what-is-shown-can-be-written", test_what_is_shown_can_be_written);
    g_test_add_func("/core/options/wrong-ones-change-nothing", test_wrong_ones_change_nothing);
    g_test_add_func("/core/options/bytes-after-a-nul-are-not-overlooked",
        test_bytes_after_a_nul_are_not_overlooked);
    g_test_add_func("/core/options/length-is-bounded", test_length_is_bounded);
    return g_test_run();
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "core/error.h"
#include "core/ingest/normaliser.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define JPEG "\xff\xd8\xff\xe0"
#define PNG "\x89PNG\r\n\x1a\n"

/* Two images and their masks, in folders of their own. */
typedef struct {
    char *path;
    LakeSchema *schema;
} Fixture;

static const struct {
    const char *name, *content;
} made[] = {
    {"images/1.jpg", JPEG "one"},
    {"images/sub/2.jpg", JPEG "two"},
    {"masks/1.png", PNG "one"},
    {"masks/2.png", PNG "two"},
    {"images/page.jpg", "<html>not found"},
    {"images/empty.jpg", ""},
};

static const char *const folders[] = {"images", "images/sub", "masks"};

static void
set_up(Fixture *fixture, gconstpointer data)
{
    fixture->path = g_dir_make_tmp("deeplakefs-coco-XXXXXX", NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(folders); i++) {
        g_autofree char *path = g_build_filename(fixture->path, folders[i], NULL);
        g_assert_cmpint(g_mkdir(path, 0755), ==, 0);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(made); i++) {
        g_autofree char *path = g_build_filename(fixture->path, made[i].name, NULL);
        g_assert_true(g_file_set_contents(path, made[i].content, -1, NULL));
    }
    g_autofree char *images = g_strdup_printf("\"%s/images\"", fixture->path);
    g_autofree char *masks = g_strdup_printf("\"%s/masks\"", fixture->path);
    const char *const texts[LAKE_SCHEMA_N_TEXTS] = {
        [LAKE_SCHEMA_FORMAT] = "\"coco_panoptic\"",
        [LAKE_SCHEMA_IMAGES_DIR] = images,
        [LAKE_SCHEMA_MASKS_DIR] = masks,
    };
    g_assert_true(lake_schema_parse(texts, &fixture->schema, NULL));
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
    for (gsize i = 0; i < G_N_ELEMENTS(made); i++) {
        g_autofree char *path = g_build_filename(fixture->path, made[i].name, NULL);
        (void)g_remove(path);
    }
    for (gsize i = G_N_ELEMENTS(folders); i > 0; i--) {
        g_autofree char *path = g_build_filename(fixture->path, folders[i - 1], NULL);
        (void)g_rmdir(path);
    }
    (void)g_rmdir(fixture->path);
    g_free(fixture->path);
    lake_schema_unref(fixture->schema);
}

/* NULL: refused. */
static LakeRows *
ingest(const Fixture *fixture, const char *path, const char *text, const LakeTable *table,
    GError **error)
{
    const LakeNormaliser *kind = &lake_ingest_coco;
    g_autoptr(LakeSpool) content = lake_spool_new(g_get_tmp_dir());
    LakeNormaliserInput input = {
        .file_id = "id",
        .path = path,
        .content = content,
        .settings = {.schema = fixture->schema},
        .table = table,
    };
    gboolean is_good = TRUE;
    guint n_columns;

    g_assert_true(lake_spool_append(content, text, strlen(text), NULL));
    gpointer state = kind->open(&input, NULL, error);
    if (!state)
        return NULL;
    const LakeColumn *columns = kind->columns_of(state, &n_columns);
    g_autoptr(LakeRows) rows = lake_rows_new(columns, n_columns);
    for (gboolean is_done = FALSE; is_good && !is_done;)
        is_good = kind->next_row(state, rows, &is_done, NULL, error);
    LakeNormaliserFacts facts = {0};
    kind->facts(state, &facts);
    if (is_good)
        g_assert_cmpint(facts.n_rows_total, ==, lake_rows_count(rows));
    g_free(facts.encoding);
    kind->close(state);
    return is_good ? g_steal_pointer(&rows) : NULL;
}

/* The values of a column, each in "…" with what is no letter as its byte; NULL as null. */
static char *
values(const LakeRows *rows, guint column)
{
    const GByteArray *elements = lake_rows_elements(rows, column);
    GString *text = g_string_new(NULL);

    for (guint at = 0; at < elements->len;) {
        guint32 field;
        memcpy(&field, elements->data + at, sizeof field);
        gint32 n_bytes = (gint32)g_ntohl(field);
        at += sizeof field;
        if (text->len)
            g_string_append_c(text, ' ');
        if (n_bytes < 0) {
            g_string_append(text, "null");
            continue;
        }
        for (gint32 i = 0; i < n_bytes; i++, at++) {
            guchar byte = elements->data[at];
            if (g_ascii_isgraph(byte))
                g_string_append_c(text, (char)byte);
            else
                g_string_append_printf(text, "\\%x", byte);
        }
    }
    return g_string_free(text, FALSE);
}

static void
assert_column(const LakeRows *rows, guint column, const char *expected)
{
    g_autofree char *found = values(rows, column);

    g_assert_cmpstr(found, ==, expected);
}

#define IMAGES                                                                                 \
    "\"images\":[{\"id\":2,\"file_name\":\"sub/2.jpg\",\"width\":3,\"height\":4,"              \
    "\"license\":[{}]},{\"file_name\":\"1.jpg\",\"id\":1,\"height\":null}]"
#define ANNOTATIONS                                                                            \
    "\"annotations\":[{\"segments_info\":[{\"id\":7,\"bbox\":[1,2]}],\"image_id\":1,"          \
    "\"file_name\":\"1.png\"},{\"image_id\":2,\"file_name\":\"\\u0032.png\","                  \
    "\"segments_info\":[]}]"
#define CATEGORIES "\"categories\":[{\"id\":1}]"

static void
assert_both_rows(const LakeRows *rows)
{
    g_assert_cmpuint(lake_rows_count(rows), ==, 2);
    assert_column(rows, 0, "id id");
    assert_column(rows, 1, "\\0\\0\\0\\0\\0\\0\\0\\1 \\0\\0\\0\\0\\0\\0\\0\\2");
    assert_column(rows, 2, "\\ff\\d8\\ff\\e0one \\ff\\d8\\ff\\e0two");
    assert_column(rows, 3, "\\89PNG\\d\\a\\1a\\aone \\89PNG\\d\\a\\1a\\atwo");
    assert_column(rows, 4, "null \\0\\0\\0\\0\\0\\0\\0\\3");
    assert_column(rows, 5, "null \\0\\0\\0\\0\\0\\0\\0\\4");
    assert_column(rows, 6, "1.jpg sub/2.jpg");
    assert_column(rows, 7, "[{\"id\":7,\"bbox\":[1,2]}] []");
}

static void
test_lists_in_any_order(Fixture *fixture, gconstpointer data)
{
    static const char *const texts[] = {
        "{" IMAGES "," ANNOTATIONS "," CATEGORIES "}",
        "\xef\xbb\xbf{" CATEGORIES ",\n" ANNOTATIONS ", " IMAGES " }\n",
        "{\"info\":{\"a\":[]},\"licenses\":[{\"id\":1},2]," ANNOTATIONS "," CATEGORIES
        "," IMAGES "}",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(LakeRows) rows = ingest(fixture, "a.JSON", texts[i], NULL, &error);

        g_assert_no_error(error);
        assert_both_rows(rows);
        assert_column(rows, 8, "[{\"id\":1}] [{\"id\":1}]");
    }
}

static void
test_what_may_be_missing(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(LakeRows) rows =
        ingest(fixture, "a.json", "{" IMAGES "," ANNOTATIONS "}", NULL, &error);
    g_autoptr(LakeRows) none =
        ingest(fixture, "a.json", "{\"images\":[],\"annotations\":[ ]}", NULL, &error);
    /* An image that no annotation names. */
    g_autoptr(LakeRows) unused = ingest(fixture, "a.json",
        "{\"images\":[{\"id\":9,\"file_name\":\"no.jpg\"}],\"annotations\":[]}", NULL, &error);

    g_assert_no_error(error);
    assert_both_rows(rows);
    assert_column(rows, 8, "null null");
    g_assert_cmpuint(lake_rows_count(none), ==, 0);
    g_assert_cmpuint(lake_rows_count(unused), ==, 0);
}

#define IMAGE(file) "{\"images\":[{\"id\":1,\"file_name\":\"" file "\"}],"
#define ANNOTATION(file)                                                                       \
    "\"annotations\":[{\"image_id\":1,\"segments_info\":[],\"file_name\":\"" file "\"}]}"
#define ENTRY(text) "{\"images\":[],\"annotations\":[" text "]}"

static void
test_refusals(Fixture *fixture, gconstpointer data)
{
    static const struct {
        const char *text, *word;
    } bad[] = {
        {"", "empty"},
        {"[]", "byte 0: expected {"},
        {"{\"images\":[]", "ends before its JSON does"},
        {"{\"images\":[]}", "no list \"annotations\""},
        {"{\"annotations\":[]}", "no list \"images\""},
        {"{\"images\":[],\"images\":[],\"annotations\":[]}", "\"images\" is there twice"},
        {"{\"images\":{},\"annotations\":[]}", "byte 10: expected ["},
        {"{\"images\":[],\"annotations\":[]} x", "byte 31: something follows"},
        {"{\"images\":[NaN],\"annotations\":[]}", "images[0]: byte 11: this must be an object"},
        {"{\"images\":[],\"info\":[NaN],\"annotations\":[]}", "byte 21: expected a value"},
        {"{\"images\":[],\"categories\":{},\"annotations\":[]}", "\"categories\" must be"},
        {"{\"images\":[],,", "expected a name"},
        {"{\"images\":[{\"id\":1,\"file_name\":\"\xff\"}],\"annotations\":[]}", "not UTF-8"},
        {"{\"images\":[{\"file_name\":\"a\"}],\"annotations\":[]}", "id is missing"},
        {"{\"images\":[{\"id\":\"1\",\"file_name\":\"a\"}],\"annotations\":[]}",
            "images[0], byte 11: id must be a whole number"},
        {"{\"images\":[{\"id\":99999999999999999999,\"file_name\":\"a\"}]}",
            "id must be a whole number"},
        {"{\"images\":[{\"id\":1,\"width\":1.5,\"file_name\":\"a\"}]}", "width must be"},
        {"{\"images\":[{\"id\":1,\"height\":-1,\"file_name\":\"a\"}]}", "height must be"},
        {"{\"images\":[{\"id\":1}]}", "file_name is missing"},
        {"{\"images\":[{\"id\":1,\"file_name\":\"a\"},{\"id\":2,\"file_name\":\"b\"},"
         "{\"id\":1,\"file_name\":\"c\"}],\"annotations\":[]}",
            "images[2], byte 61: images[0] has the same id, 1"},
        {ENTRY("{\"segments_info\":[],\"file_name\":\"1.png\"}"), "image_id is missing"},
        {ENTRY("{\"image_id\":1.5,\"segments_info\":[],\"file_name\":\"1.png\"}"),
            "image_id must be"},
        {ENTRY("{\"image_id\":1,\"file_name\":\"1.png\"}"),
            "annotations[0], byte 28: segments_info is missing"},
        {ENTRY("{\"image_id\":1,\"segments_info\":{},\"file_name\":\"1.png\"}"),
            "segments_info must be an array"},
        {ENTRY("{\"image_id\":1,\"segments_info\":[]}"), "file_name is missing"},
        {ENTRY("{\"image_id\":5,\"segments_info\":[],\"file_name\":\"1.png\"}"),
            "annotations[0]: \"images\" has none with the id 5"},
        {IMAGE("1.jpg") ANNOTATION("3.png"), "/masks/3.png: No such file"},
        {IMAGE("3.jpg") ANNOTATION("1.png"), "/images/3.jpg: No such file"},
        {IMAGE("../masks/1.png") ANNOTATION("1.png"), "leads out"},
        {IMAGE("/etc/passwd") ANNOTATION("1.png"), "leads out"},
        {IMAGE("sub") ANNOTATION("1.png"), "no regular file"},
        {IMAGE("page.jpg") ANNOTATION("1.png"), "page.jpg of images_dir: its content is HTML"},
        {IMAGE("empty.jpg") ANNOTATION("1.png"), "empty.jpg of images_dir: its content is an"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(ingest(fixture, "a.json", bad[i].text, NULL, &error));
        g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
        g_assert_cmpint(lake_error_facts(error)->class, ==, LAKE_ERROR_CLASS_INGEST);
        if (!strstr(error->message, bad[i].word))
            g_error("\"%s\" does not say \"%s\"", error->message, bad[i].word);
    }
}

static void
assert_too_big(const Fixture *fixture, const char *text, const char *word)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(ingest(fixture, "a.json", text, NULL, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_TOO_BIG);
    if (!strstr(error->message, word))
        g_error("\"%s\" does not say \"%s\"", error->message, word);
}

static void
test_limits(Fixture *fixture, gconstpointer data)
{
    g_autofree char *filler = g_strnfill(1024 * 1024, ' ');
    g_autofree char *at_most = g_strdup_printf(
        "{" IMAGES "," ANNOTATIONS ",\"categories\":[%s]}", filler + strlen("[]"));
    g_autofree char *beyond = g_strdup_printf(
        "{" IMAGES "," ANNOTATIONS ",\"categories\":[%s]}", filler + strlen("["));
    g_autofree char *image = g_build_filename(fixture->path, "images/1.jpg", NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(LakeRows) rows = ingest(fixture, "a.json", at_most, NULL, &error);

    g_assert_no_error(error);
    g_assert_cmpuint(lake_rows_count(rows), ==, 2);
    assert_too_big(fixture, beyond, "\"categories\" has more than 1048576 bytes");
    if (truncate(image, LAKE_ROWS_VALUE_MAX_BYTES + 1) != 0) {
        g_test_skip("no file of 1 GiB with a hole can be made");
        return;
    }
    assert_too_big(
        fixture, "{" IMAGES "," ANNOTATIONS "}", "1.jpg of images_dir: the file has");
}

static void
test_other_files_are_refused(Fixture *fixture, gconstpointer data)
{
    static const char *const paths[] = {"a.jpg", "a.jsonl", "json", "a.json.gz"};

    for (gsize i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(ingest(fixture, paths[i], "{" IMAGES "," ANNOTATIONS "}", NULL, &error));
        g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
        g_assert_nonnull(strstr(error->message, "coco_panoptic"));
        g_assert_nonnull(strstr(lake_error_facts(error)->hint, "images_dir"));
    }
}

static void
test_a_table_of_other_types(Fixture *fixture, gconstpointer data)
{
    LakeTableColumn width = {
        .name = (char *)"width", .sql_type = (char *)"text", .type = LAKE_TYPE_TEXT};
    LakeTable table = {.name = (char *)"t", .columns = g_ptr_array_new()};
    g_autoptr(GError) error = NULL;
    g_autoptr(GError) none = NULL;

    g_ptr_array_add(table.columns, &width);
    g_assert_null(ingest(fixture, "a.json", "{" IMAGES "," ANNOTATIONS "}", &table, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
    g_assert_nonnull(strstr(error->message, "\"width\" of the table is text"));
    width.type = LAKE_TYPE_INT64;
    g_autoptr(LakeRows) rows =
        ingest(fixture, "a.json", "{" IMAGES "," ANNOTATIONS "}", &table, &none);
    g_assert_no_error(none);
    assert_both_rows(rows);
    g_ptr_array_unref(table.columns);
}

/* Some windows long, in which entries lie across the ends. */
static void
test_long_files(Fixture *fixture, gconstpointer data)
{
    const guint n_entries = 20000;
    g_autoptr(GString) text = g_string_new("{\"annotations\":[");
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < n_entries; i++)
        g_string_append_printf(text,
            "%s{\"image_id\":%u,\"segments_info\":[{\"area\":%u}],\"file_name\":\"1.png\"}",
            i > 0 ? "," : "", n_entries - i, i);
    g_string_append(text, "],\"images\":[");
    for (guint i = 1; i <= n_entries; i++)
        g_string_append_printf(text, "%s{\"id\":%u,\"file_name\":\"1.jpg\",\"width\":%u}",
            i > 1 ? "," : "", i, 2 * i);
    g_string_append(text, "]}");
    g_autoptr(LakeRows) rows = ingest(fixture, "a.json", text->str, NULL, &error);

    g_assert_no_error(error);
    g_assert_cmpuint(lake_rows_count(rows), ==, n_entries);
    const GByteArray *ids = lake_rows_elements(rows, 1);
    const GByteArray *widths = lake_rows_elements(rows, 4);
    for (guint i = 0; i < n_entries; i++) {
        gint64 id;
        gint64 width;
        memcpy(&id, ids->data + i * 12 + 4, sizeof id);
        memcpy(&width, widths->data + i * 12 + 4, sizeof width);
        g_assert_cmpint(GINT64_FROM_BE(id), ==, n_entries - i);
        g_assert_cmpint(GINT64_FROM_BE(width), ==, 2 * (n_entries - i));
    }
}

static void
test_an_interrupt(Fixture *fixture, gconstpointer data)
{
    const LakeNormaliser *kind = &lake_ingest_coco;
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(LakeSpool) content = lake_spool_new(g_get_tmp_dir());
    g_autoptr(GError) error = NULL;
    LakeNormaliserInput input = {.file_id = "id",
        .path = "a.json",
        .content = content,
        .settings = {.schema = fixture->schema}};

    g_assert_true(lake_spool_append(content, "{" IMAGES "}", strlen("{" IMAGES "}"), NULL));
    g_cancellable_cancel(cancellable);
    g_assert_null(kind->open(&input, cancellable, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_CANCELLED);
}

/* As jsonb prints it, so that what is there already is known by its text. */
static void
test_settings(void)
{
    const char *const texts[LAKE_SCHEMA_N_TEXTS] = {
        [LAKE_SCHEMA_FORMAT] = "\"coco_panoptic\"",
        [LAKE_SCHEMA_IMAGES_DIR] = "\"/a \\\"b\\\"\"",
        [LAKE_SCHEMA_MASKS_DIR] = "\"/m\"",
    };
    LakeIngestSettings settings = {0};

    g_assert_true(lake_schema_parse(texts, &settings.schema, NULL));
    g_assert_true(lake_ingest_kind_for("a.json", &settings) == &lake_ingest_coco);
    g_autofree char *json = lake_ingest_coco.settings_json(&settings);
    g_assert_cmpstr(json, ==,
        "{\"format\": \"coco_panoptic\", \"masks_dir\": \"/m\", "
        "\"images_dir\": \"/a \\\"b\\\"\"}");
    lake_ingest_settings_clear(&settings);
}

#define ADD(name, test)                                                                        \
    g_test_add("/core/ingest/coco/" name, Fixture, NULL, set_up, test, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("lists-come-in-any-order", test_lists_in_any_order);
    ADD("sizes-and-categories-may-be-missing", test_what_may_be_missing);
    ADD("refusals-say-where-and-what", test_refusals);
    ADD("limits-are-too-big", test_limits);
    ADD("other-files-are-refused", test_other_files_are_refused);
    ADD("a-table-of-other-types-is-refused", test_a_table_of_other_types);
    ADD("long-files-are-read-in-windows", test_long_files);
    ADD("an-interrupt-ends-it", test_an_interrupt);
    g_test_add_func("/core/ingest/coco/settings-are-written-as-jsonb-does", test_settings);
    return g_test_run();
}

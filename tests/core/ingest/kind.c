/* SPDX-License-Identifier: Apache-2.0 */
#include "core/error.h"
#include "core/ingest/normaliser.h"

#include <string.h>

static void
test_kind_of(void)
{
    static const char *const pairs[][2] = {
        {"a.txt", "text"},
        {"a.md", "text"},
        {"a.csv", "text"},
        {"a.json", "text"},
        {"a.xml", "text"},
        {"a.html", "text"},
        {"A.TXT", "text"},
        {"b/c.d/e.Html", "text"},
        {"two.tar.md", "text"},
        {"a.mp4", "video"},
        {"a.mov", "video"},
        {"a.avi", "video"},
        {"a.mkv", "video"},
        {"a.WebM", "video"},
        {"a.jpg", "image"},
        {"a.JPEG", "image"},
        {"a.png", "image"},
        {"a.gif", "image"},
        {"a.bmp", "image"},
        {"a.webp", "image"},
        {"a.pdf", "pdf"},
        {"a.m4a", "other"},
        {"a.tiff", "other"},
        {"a.htm", "other"},
        {"a.txt.gz", "other"},
        {"a.txtx", "other"},
        {"a.", "other"},
        {"txt", "other"},
        {"folder.txt/file", "other"},
        {".txt", "other"},
        {"", "other"},
        {"a.bin", "other"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(pairs); i++) {
        g_test_message("%s", pairs[i][0]);
        g_assert_cmpstr(lake_ingest_kind_of(pairs[i][0])->kind, ==, pairs[i][1]);
    }
}

static void
test_kind_named(void)
{
    g_assert_true(lake_ingest_kind_named("text") == &lake_ingest_text);
    g_assert_true(lake_ingest_kind_named("other") == &lake_ingest_other);
    g_assert_true(lake_ingest_kind_named("pdf") == &lake_ingest_pdf);
    g_assert_true(lake_ingest_kind_named("video") == &lake_ingest_video);
    g_assert_true(lake_ingest_kind_named("image") == &lake_ingest_image);
    g_assert_true(lake_ingest_kind_named("rows") == &lake_ingest_records);
    g_assert_true(lake_ingest_kind_named("coco_panoptic") == &lake_ingest_coco);
    g_assert_null(lake_ingest_kind_named("Text"));
    g_assert_null(lake_ingest_kind_named(""));
}

static void
assert_columns(const LakeNormaliser *kind, const LakeColumn *expected, guint n_expected)
{
    g_assert_cmpuint(kind->n_columns, ==, n_expected);
    for (guint i = 0; i < n_expected; i++) {
        g_assert_cmpstr(kind->columns[i].name, ==, expected[i].name);
        g_assert_cmpint(kind->columns[i].type, ==, expected[i].type);
    }
}

static void
test_columns(void)
{
    static const LakeColumn text[] = {
        {"file_id", LAKE_TYPE_TEXT},
        {"chunk_index", LAKE_TYPE_INT32},
        {"text", LAKE_TYPE_TEXT},
    };
    static const LakeColumn other[] = {
        {"file_id", LAKE_TYPE_TEXT},
        {"data", LAKE_TYPE_BINARY},
        {"filename", LAKE_TYPE_TEXT},
    };

    static const LakeColumn video[] = {
        {"file_id", LAKE_TYPE_TEXT},
        {"chunk_index", LAKE_TYPE_INT32},
        {"start_time", LAKE_TYPE_FLOAT64},
        {"end_time", LAKE_TYPE_FLOAT64},
        {"video_data", LAKE_TYPE_VIDEO},
        {"thumbnail", LAKE_TYPE_IMAGE},
        {"text", LAKE_TYPE_TEXT},
    };
    static const LakeColumn image[] = {
        {"file_id", LAKE_TYPE_TEXT},
        {"image", LAKE_TYPE_IMAGE},
        {"filename", LAKE_TYPE_TEXT},
        {"text", LAKE_TYPE_TEXT},
    };
    static const LakeColumn pdf[] = {
        {"file_id", LAKE_TYPE_TEXT},
        {"page_index", LAKE_TYPE_INT32},
        {"image", LAKE_TYPE_IMAGE},
        {"text", LAKE_TYPE_TEXT},
    };

    assert_columns(&lake_ingest_video, video, G_N_ELEMENTS(video));
    assert_columns(&lake_ingest_image, image, G_N_ELEMENTS(image));
    assert_columns(&lake_ingest_pdf, pdf, G_N_ELEMENTS(pdf));
    assert_columns(&lake_ingest_text, text, G_N_ELEMENTS(text));
    assert_columns(&lake_ingest_other, other, G_N_ELEMENTS(other));
}

static void
test_temporary(void)
{
    static const char *const temporary[] = {
        ".a.txt.Xy12Zz",
        ".~tmp~/a.txt",
        "d/.hidden/e/a.txt",
        "d/.nfs0001",
        "d/a.txt~",
        "~",
        "a.part",
        "a.txt.tmp",
        "a//.b",
        ".",
    };
    static const char *const lasting[] = {
        "a.txt",
        "d.tmp/a.txt",
        "d.part/e~/a",
        "a.part1",
        "tmp",
        "a.TMP",
        "d/a.b.c",
        "",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(temporary); i++) {
        g_test_message("%s", temporary[i]);
        g_assert_true(lake_ingest_is_temporary(temporary[i]));
    }
    for (gsize i = 0; i < G_N_ELEMENTS(lasting); i++) {
        g_test_message("%s", lasting[i]);
        g_assert_false(lake_ingest_is_temporary(lasting[i]));
    }
}

static void
test_settings(void)
{
    static const LakeIngestSettings good[] = {
        {1000, 200},
        {1, 0},
        {2, 1},
        {LAKE_ROWS_VALUE_MAX_BYTES / 4, 0},
    };
    static const LakeIngestSettings bad[] = {
        {0, 0},
        {-1, 0},
        {G_MAXINT64, 0},
        {LAKE_ROWS_VALUE_MAX_BYTES / 4 + 1, 0},
        {1000, 1000},
        {1000, 1001},
        {1000, -1},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(good); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_true(lake_ingest_settings_check(&good[i], &error));
        g_assert_no_error(error);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_false(lake_ingest_settings_check(&bad[i], &error));
        g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
        g_assert_cmpint(lake_error_facts(error)->class, ==, LAKE_ERROR_CLASS_INGEST);
    }
}

/* The row of content as the kind other. */
static LakeRows *
normalise_other(LakeSpool *content, GError **error)
{
    const LakeNormaliser *kind = &lake_ingest_other;
    LakeNormaliserInput input = {"an-id", "d/a.bin", content, {1000, 200}};
    g_autoptr(LakeRows) rows = lake_rows_new(kind->columns, kind->n_columns);
    LakeNormaliserFacts facts = {0};
    gboolean is_done = FALSE;

    gpointer state = kind->open(&input, NULL, error);
    if (!state)
        return NULL;
    g_assert_true(kind->next_row(state, rows, &is_done, NULL, error));
    g_assert_false(is_done);
    g_assert_true(kind->next_row(state, rows, &is_done, NULL, error));
    g_assert_true(is_done);
    kind->facts(state, &facts);
    kind->close(state);

    g_assert_null(facts.encoding);
    g_assert_cmpint(facts.n_rows_total, ==, 1);
    g_assert_cmpuint(lake_rows_count(rows), ==, 1);
    return g_steal_pointer(&rows);
}

static LakeSpool *
new_spool(gsize n_bytes)
{
    LakeSpool *spool = lake_spool_new(g_get_tmp_dir());
    g_autofree char *bytes = g_strnfill(n_bytes, '\xee');

    g_assert_true(lake_spool_append(spool, bytes, n_bytes, NULL));
    return spool;
}

static void
test_other_small(void)
{
    static const gsize sizes[] = {0, 1, 1024 * 1024};

    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autoptr(LakeSpool) spool = new_spool(sizes[i]);
        g_autofree char *bytes = g_strnfill(sizes[i], '\xee');
        g_autoptr(LakeRows) rows = normalise_other(spool, NULL);
        guint32 length_field = g_htonl((guint32)sizes[i]);

        g_assert_false(lake_rows_has_spool(rows));
        const GByteArray *id = lake_rows_elements(rows, 0);
        const GByteArray *data = lake_rows_elements(rows, 1);
        const GByteArray *name = lake_rows_elements(rows, 2);
        g_assert_cmpmem(id->data, id->len, "\0\0\0\5an-id", 9);
        g_assert_cmpmem(name->data, name->len, "\0\0\0\7d/a.bin", 11);
        g_assert_cmpmem(data->data, 4, &length_field, 4);
        g_assert_cmpmem(data->data + 4, data->len - 4, bytes, sizes[i]);
    }
}

static void
test_other_large(void)
{
    g_autoptr(LakeSpool) spool = new_spool(1024 * 1024 + 1);
    g_autoptr(LakeRows) rows = normalise_other(spool, NULL);

    g_assert_true(lake_rows_has_spool(rows));
    g_assert_cmpuint(lake_rows_bytes(rows), <, 1000);
}

static void
test_other_too_big(void)
{
    g_autoptr(LakeSpool) spool = lake_spool_new(g_get_tmp_dir());
    g_autoptr(GError) error = NULL;

    if (!lake_spool_truncate(spool, LAKE_ROWS_VALUE_MAX_BYTES + 1, &error)) {
        g_test_skip(error->message);
        return;
    }
    g_assert_null(normalise_other(spool, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_TOO_BIG);
    g_assert_nonnull(strstr(error->message, "1073676288"));
    g_assert_nonnull(strstr(error->message, "1073676287"));
    g_assert_nonnull(lake_error_facts(error)->hint);
}

static void
test_settings_json(void)
{
    LakeIngestSettings settings = {
        .chunk_size = 500,
        .chunk_overlap = 100,
        .pdf_dpi = 150,
        .pdf_max_pages = 7,
        .segment_seconds = 20,
    };
    g_autofree char *video = lake_ingest_video.settings_json(&settings);
    g_autofree char *image = lake_ingest_image.settings_json(&settings);
    g_autofree char *pdf = lake_ingest_pdf.settings_json(&settings);
    g_autofree char *text = lake_ingest_text.settings_json(&settings);
    g_autofree char *other = lake_ingest_other.settings_json(&settings);

    g_assert_cmpstr(text, ==, "{\"chunk_size\": 500, \"chunk_overlap\": 100}");
    g_assert_cmpstr(other, ==, "{}");
    g_assert_cmpstr(image, ==, "{}");
    g_assert_cmpstr(video, ==, "{\"segment_seconds\": 20}");
    g_assert_cmpstr(pdf, ==, "{\"pdf_dpi\": 150}"); /* a limit shapes no rows */
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/ingest/kind/extension-decides-in-any-case", test_kind_of);
    g_test_add_func("/core/ingest/kind/name-of-the-ledger-finds-it", test_kind_named);
    g_test_add_func("/core/ingest/kind/columns-are-the-specification-s", test_columns);
    g_test_add_func("/core/ingest/kind/temporary-names", test_temporary);
    g_test_add_func("/core/ingest/kind/settings-that-cannot-be-are-refused", test_settings);
    g_test_add_func("/core/ingest/kind/settings-are-written-as-jsonb-does", test_settings_json);
    g_test_add_func("/core/ingest/other/one-row-holds-all-bytes", test_other_small);
    g_test_add_func("/core/ingest/other/large-content-stays-in-its-spool", test_other_large);
    g_test_add_func("/core/ingest/other/beyond-a-value-is-too-big", test_other_too_big);
    return g_test_run();
}

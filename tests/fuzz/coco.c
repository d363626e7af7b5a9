/* SPDX-License-Identifier: Apache-2.0 */

/* tests/fuzz/coco.c: any bytes as the annotations of a panoptic data set: they give rows of
 * whole columns, or an error that says what to do. Images and masks are one file, "a". */

#include "core/error.h"
#include "core/ingest/normaliser.h"
#include "tests/fuzz/driver.h"

#include <glib/gstdio.h>
#include <string.h>

static void
check_error(const GError *error)
{
    CHECK(error && error->domain == LAKE_ERROR && error->code == LAKE_ERROR_BAD_INPUT);
    CHECK(g_utf8_validate(error->message, -1, NULL));
}

static void
run(LakeSpool *content, LakeSchema *schema)
{
    const LakeNormaliser *kind = &lake_ingest_coco;
    LakeNormaliserInput input = {
        .file_id = "id", .path = "a.json", .content = content, .settings = {.schema = schema}};
    LakeNormaliserFacts known = {0};
    g_autoptr(GError) error = NULL;
    gboolean is_good = TRUE;

    gpointer state = kind->open(&input, NULL, &error);
    if (!state) {
        check_error(error);
        return;
    }
    g_autoptr(LakeRows) rows = lake_rows_new(kind->columns, kind->n_columns);
    for (gboolean is_done = FALSE; is_good && !is_done;)
        is_good = kind->next_row(state, rows, &is_done, NULL, &error);
    kind->facts(state, &known);
    if (is_good) {
        CHECK(lake_rows_count(rows) == (guint)known.n_rows_total);
        fuzz_check_rows(rows);
    } else {
        check_error(error);
    }
    g_free(known.encoding);
    kind->close(state);
}

int
LLVMFuzzerTestOneInput(const guint8 *data, size_t n_bytes)
{
    g_autoptr(LakeSpool) content = lake_spool_new(g_get_tmp_dir());
    g_autofree char *folder = g_dir_make_tmp("deeplakefs-fuzz-XXXXXX", NULL);
    g_autofree char *file = g_build_filename(folder, "a", NULL);
    g_autofree char *json = g_strdup_printf("\"%s\"", folder);
    const char *const texts[LAKE_SCHEMA_N_TEXTS] = {
        [LAKE_SCHEMA_FORMAT] = "\"coco_panoptic\"",
        [LAKE_SCHEMA_IMAGES_DIR] = json,
        [LAKE_SCHEMA_MASKS_DIR] = json,
    };
    LakeSchema *schema = NULL;

    CHECK(g_file_set_contents(file, "\xff\xd8\xff", 3, NULL));
    CHECK(lake_schema_parse(texts, &schema, NULL));
    CHECK(lake_spool_append(content, data, n_bytes, NULL));
    run(content, schema);
    lake_schema_unref(schema);
    (void)g_remove(file);
    (void)g_rmdir(folder);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/* tests/fuzz/image.c: any bytes as an image: refused for a reason, or taken and comes out as
 * it went in. */

#include "core/error.h"
#include "core/ingest/image/formats.h"
#include "core/ingest/normaliser.h"
#include "core/ingest/sniff.h"
#include "tests/fuzz/driver.h"

#include <string.h>

static const LakeImageCheck checks[] = {lake_image_bmp_check, lake_image_gif_check,
    lake_image_jpeg_check, lake_image_png_check, lake_image_webp_check};

static void
check_refusal(const GError *error)
{
    CHECK(error && error->domain == LAKE_ERROR && error->code == LAKE_ERROR_BAD_INPUT);
    CHECK(lake_error_facts(error)->class == LAKE_ERROR_CLASS_INGEST);
    CHECK(g_utf8_validate(error->message, -1, NULL));
    CHECK(lake_error_facts(error)->hint);
}

static void
run_check(LakeSpool *content, LakeImageCheck check)
{
    g_auto(LakeImageBytes) bytes;

    lake_image_bytes_init(&bytes, content, NULL);
    gboolean is_good = check(&bytes);
    CHECK((bytes.error == NULL) == is_good);
    if (!is_good)
        check_refusal(bytes.error);
}

static void
ingest(LakeSpool *content, const guint8 *data, gsize n_bytes)
{
    const LakeNormaliser *kind = &lake_ingest_image;
    LakeNormaliserInput input = {.file_id = "id", .path = "a.jpg", .content = content};
    g_autoptr(LakeRows) rows = lake_rows_new(kind->columns, kind->n_columns);
    g_autoptr(GError) error = NULL;
    gboolean is_done = FALSE;

    gpointer state = kind->open(&input, NULL, &error);
    if (!state) {
        check_refusal(error);
        return;
    }
    CHECK(kind->next_row(state, rows, &is_done, NULL, NULL) && !is_done);
    kind->close(state);

    const GByteArray *image = lake_rows_elements(rows, 1);
    CHECK(image->len == 4 + n_bytes);
    CHECK(memcmp(image->data + 4, data, n_bytes) == 0);
}

int
LLVMFuzzerTestOneInput(const guint8 *data, size_t n_bytes)
{
    static const guint8 nothing[1] = {0};
    g_autoptr(LakeSpool) content = lake_spool_new(g_get_tmp_dir());

    if (n_bytes == 0)
        data = nothing;
    CHECK(lake_spool_append(content, data, n_bytes, NULL));
    lake_ingest_sniff(data, n_bytes);
    ingest(content, data, n_bytes);
    for (gsize i = 0; i < G_N_ELEMENTS(checks); i++)
        run_check(content, checks[i]);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/* core/ingest/coco.c: the kind coco_panoptic: a data set in the form of COCO's panoptic
 * segmentation; one row per entry of "annotations", with its image and its mask.
 *
 * The file that is copied has the annotations; images and masks are read from the folders that
 * the options name, each when its row is made. So a data set of 19 GB needs no room in staging,
 * and memory for a few rows; the transaction is open meanwhile. That the files are there is
 * found out before it begins (core/ingest/coco/contents.c).
 *
 * The columns are the specification's. segments_info and categories are text, for it parses
 * them itself, and they are as the file has them. */

#include "core/error.h"
#include "core/ingest/coco/contents.h"
#include "core/ingest/coco/stream.h"
#include "core/ingest/normaliser.h"
#include "core/ingest/sniff.h"

#include <cjson/cJSON.h>
#include <string.h>

typedef struct {
    const LakeNormaliserInput *input;
    LakeLocalFolder *images, *masks;
    LakeCocoContents *contents;
    LakeCocoStream annotations; /* in their list */
    GArray *members;            /* of LakeJsonScanMember: the annotation at hand */
    GString *mask_name, *image_name;
    gint64 n_rows;
    gboolean is_done;
} Coco;

static const LakeColumn columns[] = {
    {"file_id", LAKE_TYPE_TEXT},
    {"image_id", LAKE_TYPE_INT64},
    {"image", LAKE_TYPE_IMAGE},
    {"mask", LAKE_TYPE_SEGMENT_MASK},
    {"width", LAKE_TYPE_INT64},
    {"height", LAKE_TYPE_INT64},
    {"filename", LAKE_TYPE_TEXT},
    {"segments_info", LAKE_TYPE_TEXT},
    {"categories", LAKE_TYPE_TEXT},
};

static void
close_coco(gpointer state)
{
    Coco *coco = state;

    lake_coco_stream_clear(&coco->annotations);
    lake_coco_contents_free(coco->contents);
    lake_local_folder_free(coco->images);
    lake_local_folder_free(coco->masks);
    g_array_unref(coco->members);
    g_string_free(coco->mask_name, TRUE);
    g_string_free(coco->image_name, TRUE);
    g_free(coco);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Coco, close_coco)

/* --- opening --- */

static gboolean
check_name(const char *path, GError **error)
{
    g_autofree char *lower = g_ascii_strdown(path, -1);

    if (g_str_has_suffix(lower, ".json"))
        return TRUE;
    lake_error_bad_input(error, LAKE_ERROR_CLASS_INGEST,
        "this drop zone has the format \"coco_panoptic\", and takes .json files of "
        "annotations");
    if (error)
        lake_error_hint(*error,
            "images and masks are read from images_dir and masks_dir; copy other files into "
            "another drop zone");
    return FALSE;
}

/* What is there already may have been made by other kinds, and by others. */
static gboolean
check_table(const LakeTable *table, GError **error)
{
    for (guint i = 0; table && i < G_N_ELEMENTS(columns); i++) {
        const LakeTableColumn *there = lake_table_column(table, columns[i].name);
        const LakeTypeInfo *info = lake_type_info(columns[i].type);

        if (!there || lake_type_info(there->type)->base_oid == info->base_oid)
            continue;
        lake_error_bad_input(error, LAKE_ERROR_CLASS_INGEST,
            "the column \"%s\" of the table is %s, but in rows of coco_panoptic it is %s",
            there->name, there->sql_type, info->schema_name);
        if (error)
            lake_error_hint(*error, "copy it into the drop zone of another table");
        return FALSE;
    }
    return TRUE;
}

static LakeLocalFolder *
open_folder(const char *option, const char *path, GError **error)
{
    LakeLocalFolder *folder = lake_local_folder_open(path, error);

    if (!folder)
        g_prefix_error(error, "%s: ", option);
    return folder;
}

static gpointer
open_coco(const LakeNormaliserInput *input, GCancellable *cancellable, GError **error)
{
    const LakeSchema *schema = input->settings.schema;
    g_autoptr(Coco) coco = g_new0(Coco, 1);

    coco->input = input;
    coco->members = g_array_new(FALSE, FALSE, sizeof(LakeJsonScanMember));
    coco->mask_name = g_string_new(NULL);
    coco->image_name = g_string_new(NULL);
    if (!check_name(input->path, error) || !check_table(input->table, error))
        return NULL;
    coco->images = open_folder("images_dir", schema->images_dir, error);
    if (!coco->images)
        return NULL;
    coco->masks = open_folder("masks_dir", schema->masks_dir, error);
    if (!coco->masks)
        return NULL;
    coco->contents =
        lake_coco_contents_read(input->content, coco->images, coco->masks, cancellable, error);
    if (!coco->contents)
        return NULL;

    lake_coco_stream_init(
        &coco->annotations, input->content, lake_coco_contents_annotations(coco->contents));
    if (!lake_coco_stream_expect(&coco->annotations, '[', error))
        return NULL;
    coco->is_done = lake_coco_contents_n_annotations(coco->contents) == 0;
    return g_steal_pointer(&coco);
}

static const LakeColumn *
columns_of(gpointer state, guint *ret_n_columns)
{
    *ret_n_columns = G_N_ELEMENTS(columns);
    return columns;
}

/* --- rows --- */

/* By its first bytes: a page with an error, as a download may leave it, is no image. */
static gboolean
check_image(LakeSpool *content, GError **error)
{
    guint8 first[LAKE_INGEST_SNIFF_BYTES];
    gssize n_read = lake_spool_read(content, 0, first, sizeof first, error);

    if (n_read < 0)
        return FALSE;
    const char *name = lake_ingest_sniff(first, (gsize)n_read);
    if (name && g_str_has_suffix(name, " image"))
        return TRUE;
    lake_error_bad_input(error, LAKE_ERROR_CLASS_INGEST, "its content is %s, not an image",
        name ? name : "of no known kind");
    if (error)
        lake_error_hint(*error, "fetch that file again, and copy the annotations again");
    return FALSE;
}

static gboolean
add_file(LakeRows *rows, LakeLocalFolder *folder, const char *option, const char *name,
    GError **error)
{
    g_autoptr(LakeSpool) content = lake_local_folder_open_file(folder, name, error);

    if (!content)
        return FALSE;
    if (lake_ingest_check_value(lake_spool_size(content), error) &&
        check_image(content, error) && lake_rows_add_content(rows, content, error))
        return TRUE;
    g_prefix_error(error, "the file %s of %s: ", name, option);
    return FALSE;
}

static void
add_size(LakeRows *rows, gint64 size)
{
    if (size < 0)
        lake_rows_add_null(rows);
    else
        lake_rows_add_int64(rows, size);
}

static gboolean
add_row(Coco *coco, LakeRows *rows, const LakeCocoAnnotation *annotation,
    const LakeCocoImage *image, GError **error)
{
    const GString *categories = lake_coco_contents_categories(coco->contents);
    const char *file_id = coco->input->file_id;

    lake_rows_add_text(rows, file_id, strlen(file_id));
    lake_rows_add_int64(rows, annotation->image_id);
    if (!add_file(rows, coco->images, "images_dir", image->file_name->str, error) ||
        !add_file(rows, coco->masks, "masks_dir", annotation->file_name->str, error))
        return FALSE;
    add_size(rows, image->width);
    add_size(rows, image->height);
    lake_rows_add_text(rows, image->file_name->str, image->file_name->len);
    lake_rows_add_text(rows, annotation->segments_info.text, annotation->segments_info.n_bytes);
    if (categories)
        lake_rows_add_text(rows, categories->str, categories->len);
    else
        lake_rows_add_null(rows);
    return TRUE;
}

/* The next one that is well, as it was when the contents were read. */
static gboolean
read_annotation(Coco *coco, LakeCocoAnnotation *annotation, GError **error)
{
    LakeCocoStream *stream = &coco->annotations;
    gboolean has_ended;

    if (coco->n_rows > 0 && !lake_coco_stream_separate(stream, ']', &has_ended, error))
        return FALSE;
    if (!lake_coco_stream_object(stream, coco->members, error))
        return FALSE;
    const char *reason = lake_coco_annotation_read(coco->members, annotation);
    return !reason || lake_coco_refuse(error, "annotations", coco->n_rows,
                          lake_coco_stream_offset(stream), reason);
}

static gboolean
next_row(gpointer state, LakeRows *rows, gboolean *ret_done, GCancellable *cancellable,
    GError **error)
{
    Coco *coco = state;
    LakeCocoAnnotation annotation = {.file_name = coco->mask_name};
    LakeCocoImage image = {.file_name = coco->image_name};

    *ret_done = coco->is_done;
    if (coco->is_done)
        return TRUE;
    if (g_cancellable_is_cancelled(cancellable)) {
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_CANCELLED, "interrupted");
        return FALSE;
    }
    if (!read_annotation(coco, &annotation, error))
        return FALSE;
    if (!lake_coco_contents_image(coco->contents, annotation.image_id, &image, error) ||
        !add_row(coco, rows, &annotation, &image, error)) {
        g_prefix_error(error, "annotations[%" G_GINT64_FORMAT "]: ", coco->n_rows);
        return FALSE;
    }
    coco->n_rows++;
    coco->is_done = coco->n_rows == lake_coco_contents_n_annotations(coco->contents);
    return TRUE;
}

static void
facts(gpointer state, LakeNormaliserFacts *ret_facts)
{
    Coco *coco = state;

    ret_facts->encoding = g_strdup("UTF-8");
    ret_facts->n_rows_total = lake_coco_contents_n_annotations(coco->contents);
}

static void
append_member(GString *json, const char *name, const char *value)
{
    cJSON *string = cJSON_CreateString(value);
    char *printed = cJSON_PrintUnformatted(string);

    g_string_append_printf(json, "%s\"%s\": %s", json->len > 1 ? ", " : "", name, printed);
    cJSON_free(printed);
    cJSON_Delete(string);
}

/* As jsonb writes it: short names first. */
static char *
settings_json(const LakeIngestSettings *settings)
{
    GString *json = g_string_new("{");

    append_member(json, "format", "coco_panoptic");
    append_member(json, "masks_dir", settings->schema->masks_dir);
    append_member(json, "images_dir", settings->schema->images_dir);
    g_string_append_c(json, '}');
    return g_string_free(json, FALSE);
}

const LakeNormaliser lake_ingest_coco = {
    .kind = "coco_panoptic",
    .columns = columns,
    .n_columns = G_N_ELEMENTS(columns),
    .reads_other_files = TRUE,
    .open = open_coco,
    .columns_of = columns_of,
    .next_row = next_row,
    .facts = facts,
    .close = close_coco,
    .settings_json = settings_json,
};

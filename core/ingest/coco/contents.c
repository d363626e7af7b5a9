/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/coco/contents.h"

#include "core/error.h"
#include "core/ingest/coco/stream.h"
#include <string.h>

typedef struct {
    gint64 id;
    gint64 offset;   /* of its entry in the file */
    guint32 n_bytes; /* a value has at most LAKE_RECORD_MAX_BYTES */
    guint32 index;   /* in "images" */
} Image;

struct LakeCocoContents {
    LakeSpool *content; /* borrowed */
    GArray *images;     /* of Image, by id once all was read */
    gint64 annotations; /* offset; -1: not found yet */
    gint64 n_annotations;
    GString *categories; /* NULL: none */
    gboolean has_images;
    GArray *members;  /* of LakeJsonScanMember; for whoever reads an entry */
    GByteArray *text; /* of the image at hand */
};

/* What is needed while it is read. */
typedef struct {
    LakeCocoContents *contents;
    LakeCocoStream stream;
    LakeLocalFolder *images, *masks; /* borrowed */
    GArray *image_ids;               /* of gint64, in the order of the annotations */
    GString *file_name;
    GCancellable *cancellable;
} Reading;

void
lake_coco_contents_free(LakeCocoContents *contents)
{
    if (!contents)
        return;
    g_array_unref(contents->images);
    g_array_unref(contents->members);
    g_byte_array_unref(contents->text);
    if (contents->categories)
        g_string_free(contents->categories, TRUE);
    g_free(contents);
}

static void
reading_clear(Reading *reading)
{
    lake_coco_stream_clear(&reading->stream);
    g_array_unref(reading->image_ids);
    g_string_free(reading->file_name, TRUE);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Reading, reading_clear)

gboolean
lake_coco_refuse(
    GError **error, const char *list, gint64 index, gint64 offset, const char *reason)
{
    lake_error_bad_input(error, LAKE_ERROR_CLASS_INGEST,
        "%s[%" G_GINT64_FORMAT "], byte %" G_GINT64_FORMAT ": %s", list, index, offset, reason);
    if (error)
        lake_error_hint(*error, "correct the entry, or leave it out, and copy the file again");
    return FALSE;
}

/* What an entry names, by its place. */
static void
prefix_place(GError **error, const char *list, gint64 index)
{
    g_prefix_error(error, "%s[%" G_GINT64_FORMAT "]: ", list, index);
}

static gboolean
check_cancelled(GCancellable *cancellable, GError **error)
{
    if (!g_cancellable_is_cancelled(cancellable))
        return TRUE;
    lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_CANCELLED, "interrupted");
    return FALSE;
}

static gboolean
refuse_many(GError **error, const char *list)
{
    lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_TOO_BIG,
        "\"%s\" has more than %d entries", list, LAKE_COCO_IMAGES_MAX);
    if (error)
        lake_error_hint(*error, "split the data set into several annotations files");
    return FALSE;
}

/* --- one after the other --- */

/* Takes what comes next in a list, whose index is given. */
typedef gboolean (*Taker)(Reading *reading, gint64 index, GError **error);

static gboolean
each(Reading *reading, Taker take, gint64 *ret_n, GError **error)
{
    LakeCocoStream *stream = &reading->stream;
    gint64 index = 0;
    int found;

    if (!lake_coco_stream_expect(stream, '[', error) ||
        !lake_coco_stream_peek(stream, &found, error))
        return FALSE;
    gboolean has_ended = found == ']';
    if (has_ended)
        lake_coco_stream_pass(stream);
    for (; !has_ended; index++)
        if (!check_cancelled(reading->cancellable, error) || !take(reading, index, error) ||
            !lake_coco_stream_separate(stream, ']', &has_ended, error))
            return FALSE;
    *ret_n = index;
    return TRUE;
}

static gboolean
take_any(Reading *reading, gint64 index, GError **error)
{
    LakeJsonScanValue value;

    return lake_coco_stream_value(&reading->stream, &value, error);
}

static gboolean
take_image(Reading *reading, gint64 index, GError **error)
{
    LakeCocoContents *contents = reading->contents;
    LakeCocoImage image = {.file_name = reading->file_name};

    if (!lake_coco_stream_object(&reading->stream, contents->members, error)) {
        prefix_place(error, "images", index);
        return FALSE;
    }
    gint64 offset = lake_coco_stream_offset(&reading->stream);
    const char *reason = lake_coco_image_read(contents->members, &image);
    if (reason)
        return lake_coco_refuse(error, "images", index, offset, reason);
    if (index >= LAKE_COCO_IMAGES_MAX)
        return refuse_many(error, "images");
    Image found = {image.id, offset, (guint32)reading->stream.n_bytes, (guint32)index};
    g_array_append_val(contents->images, found);
    return TRUE;
}

static gboolean
take_annotation(Reading *reading, gint64 index, GError **error)
{
    LakeCocoContents *contents = reading->contents;
    LakeCocoAnnotation annotation = {.file_name = reading->file_name};

    if (!lake_coco_stream_object(&reading->stream, contents->members, error)) {
        prefix_place(error, "annotations", index);
        return FALSE;
    }
    const char *reason = lake_coco_annotation_read(contents->members, &annotation);
    if (reason)
        return lake_coco_refuse(
            error, "annotations", index, lake_coco_stream_offset(&reading->stream), reason);
    if (index >= LAKE_COCO_IMAGES_MAX)
        return refuse_many(error, "annotations");
    if (!lake_local_folder_has_file(reading->masks, annotation.file_name->str, error)) {
        prefix_place(error, "annotations", index);
        return FALSE;
    }
    g_array_append_val(reading->image_ids, annotation.image_id);
    return TRUE;
}

/* --- what the file has --- */

static gboolean
take_images(Reading *reading, GError **error)
{
    gint64 n_images;

    reading->contents->has_images = TRUE;
    return each(reading, take_image, &n_images, error);
}

static gboolean
take_annotations(Reading *reading, GError **error)
{
    LakeCocoContents *contents = reading->contents;
    int found;

    if (!lake_coco_stream_peek(&reading->stream, &found, error))
        return FALSE;
    contents->annotations = lake_coco_stream_offset(&reading->stream);
    return each(reading, take_annotation, &contents->n_annotations, error);
}

static gboolean
take_categories(Reading *reading, GError **error)
{
    LakeJsonScanValue value;

    if (!lake_coco_stream_value(&reading->stream, &value, error))
        return FALSE;
    gint64 offset = lake_coco_stream_offset(&reading->stream);
    if (value.kind == LAKE_JSON_SCAN_NULL)
        return TRUE;
    if (value.kind != LAKE_JSON_SCAN_ARRAY)
        return lake_error_bad_input(error, LAKE_ERROR_CLASS_INGEST,
            "byte %" G_GINT64_FORMAT ": \"categories\" must be an array", offset);
    if (value.n_bytes > LAKE_COCO_CATEGORIES_MAX) {
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_TOO_BIG,
            "\"categories\" has more than %d bytes, which every row would repeat",
            LAKE_COCO_CATEGORIES_MAX);
        return FALSE;
    }
    reading->contents->categories = g_string_new_len(value.text, (gssize)value.n_bytes);
    return TRUE;
}

/* What no row has ("info", "licenses"), which may be large all the same. */
static gboolean
take_other(Reading *reading, GError **error)
{
    gint64 n_elements;
    int found;

    if (!lake_coco_stream_peek(&reading->stream, &found, error))
        return FALSE;
    return found == '[' ? each(reading, take_any, &n_elements, error)
                        : take_any(reading, 0, error);
}

static const struct {
    const char *name;
    gboolean (*take)(Reading *reading, GError **error);
} lists[] = {
    {"images", take_images},
    {"annotations", take_annotations},
    {"categories", take_categories},
};

/* A member of the file's object; had: 1 << each of the lists that was there. */
static gboolean
take_member(Reading *reading, guint *had, GError **error)
{
    LakeJsonScanValue key;
    guint which = 0;
    int found;

    if (!lake_coco_stream_peek(&reading->stream, &found, error))
        return FALSE;
    if (found != '"')
        return lake_error_bad_input(error, LAKE_ERROR_CLASS_INGEST,
            "byte %" G_GINT64_FORMAT ": expected a name in double quotes",
            lake_coco_stream_offset(&reading->stream));
    if (!lake_coco_stream_value(&reading->stream, &key, error))
        return FALSE;
    while (which < G_N_ELEMENTS(lists) &&
           (strlen(lists[which].name) != key.n_bytes ||
               memcmp(lists[which].name, key.text, key.n_bytes) != 0))
        which++;
    if (*had & 1U << which && which < G_N_ELEMENTS(lists))
        return lake_error_bad_input(error, LAKE_ERROR_CLASS_INGEST,
            "byte %" G_GINT64_FORMAT ": \"%s\" is there twice",
            lake_coco_stream_offset(&reading->stream), lists[which].name);
    *had |= 1U << which;
    if (!lake_coco_stream_expect(&reading->stream, ':', error))
        return FALSE;
    return which < G_N_ELEMENTS(lists) ? lists[which].take(reading, error)
                                       : take_other(reading, error);
}

static gboolean
check_end(Reading *reading, GError **error)
{
    int found;

    if (!lake_coco_stream_peek(&reading->stream, &found, error))
        return FALSE;
    return found < 0 || lake_error_bad_input(error, LAKE_ERROR_CLASS_INGEST,
                            "byte %" G_GINT64_FORMAT ": something follows the file's object",
                            lake_coco_stream_offset(&reading->stream));
}

static gboolean
check_lists(const LakeCocoContents *contents, GError **error)
{
    const char *missing = contents->annotations < 0 ? "annotations"
                          : !contents->has_images   ? "images"
                                                    : NULL;
    if (!missing)
        return TRUE;
    lake_error_bad_input(error, LAKE_ERROR_CLASS_INGEST,
        "there is no list \"%s\": this is no annotations file", missing);
    if (error)
        lake_error_hint(*error, "copy the file with the panoptic annotations, such as "
                                "panoptic_train2017.json");
    return FALSE;
}

static gboolean
read_all(Reading *reading, GError **error)
{
    LakeCocoStream *stream = &reading->stream;
    guint had = 0;
    int found;

    if (!lake_coco_stream_peek(stream, &found, error))
        return FALSE;
    if (found < 0) {
        lake_error_bad_input(error, LAKE_ERROR_CLASS_INGEST,
            "the file is empty, not the annotations of a data set");
        if (error)
            lake_error_hint(*error, "Copy the file again from where it is whole.");
        return FALSE;
    }
    if (!lake_coco_stream_expect(stream, '{', error) ||
        !lake_coco_stream_peek(stream, &found, error))
        return FALSE;
    gboolean has_ended = found == '}';
    if (has_ended)
        lake_coco_stream_pass(stream);
    while (!has_ended)
        if (!take_member(reading, &had, error) ||
            !lake_coco_stream_separate(stream, '}', &has_ended, error))
            return FALSE;
    return check_end(reading, error) && check_lists(reading->contents, error);
}

/* --- images by their ids --- */

static gint
compare_images(gconstpointer a, gconstpointer b)
{
    const Image *left = a;
    const Image *right = b;

    if (left->id != right->id)
        return left->id < right->id ? -1 : 1;
    return (left->index > right->index) - (left->index < right->index);
}

static gboolean
sort_images(LakeCocoContents *contents, GError **error)
{
    g_array_sort(contents->images, compare_images);
    for (guint i = 1; i < contents->images->len; i++) {
        const Image *before = &g_array_index(contents->images, Image, i - 1);
        const Image *image = &g_array_index(contents->images, Image, i);

        if (before->id != image->id)
            continue;
        g_autofree char *reason = g_strdup_printf(
            "images[%u] has the same id, %" G_GINT64_FORMAT, before->index, image->id);
        return lake_coco_refuse(error, "images", image->index, image->offset, reason);
    }
    return TRUE;
}

static const Image *
find_image(const LakeCocoContents *contents, gint64 id)
{
    guint low = 0;
    guint high = contents->images->len;

    while (low < high) {
        guint middle = low + (high - low) / 2;
        const Image *image = &g_array_index(contents->images, Image, middle);

        if (image->id == id)
            return image;
        if (image->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static gboolean
read_image(const LakeCocoContents *contents, const Image *image, LakeCocoImage *ret_image,
    GError **error)
{
    g_byte_array_set_size(contents->text, image->n_bytes);
    gssize n_read = lake_spool_read(
        contents->content, image->offset, contents->text->data, image->n_bytes, error);
    if (n_read < 0)
        return FALSE;

    LakeJsonScan json = {.at = (const char *)contents->text->data,
        .end = (const char *)contents->text->data + n_read};
    g_array_set_size(contents->members, 0);
    const char *reason = lake_json_scan_object(&json, contents->members) != LAKE_JSON_SCAN_GOOD
                             ? "it was changed while it was read"
                             : lake_coco_image_read(contents->members, ret_image);
    return !reason || lake_coco_refuse(error, "images", image->index, image->offset, reason);
}

gboolean
lake_coco_contents_image(
    const LakeCocoContents *contents, gint64 id, LakeCocoImage *ret_image, GError **error)
{
    const Image *image = find_image(contents, id);

    if (!image)
        return lake_error_bad_input(error, LAKE_ERROR_CLASS_INGEST,
            "\"images\" has none with the id %" G_GINT64_FORMAT, id);
    return read_image(contents, image, ret_image, error);
}

/* Images that no annotation names make no row, and need not be there. */
static gboolean
check_images(Reading *reading, GError **error)
{
    LakeCocoImage image = {.file_name = reading->file_name};

    for (guint i = 0; i < reading->image_ids->len; i++) {
        gint64 id = g_array_index(reading->image_ids, gint64, i);

        if (!check_cancelled(reading->cancellable, error))
            return FALSE;
        if (!lake_coco_contents_image(reading->contents, id, &image, error) ||
            !lake_local_folder_has_file(reading->images, image.file_name->str, error)) {
            prefix_place(error, "annotations", i);
            return FALSE;
        }
    }
    return TRUE;
}

/* --- all of it --- */

LakeCocoContents *
lake_coco_contents_read(LakeSpool *content, LakeLocalFolder *images, LakeLocalFolder *masks,
    GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeCocoContents) contents = g_new0(LakeCocoContents, 1);

    contents->content = content;
    contents->annotations = -1;
    contents->images = g_array_new(FALSE, FALSE, sizeof(Image));
    contents->members = g_array_new(FALSE, FALSE, sizeof(LakeJsonScanMember));
    contents->text = g_byte_array_new();
    g_auto(Reading) reading = {
        .contents = contents,
        .images = images,
        .masks = masks,
        .image_ids = g_array_new(FALSE, FALSE, sizeof(gint64)),
        .file_name = g_string_new(NULL),
        .cancellable = cancellable,
    };
    lake_coco_stream_init(&reading.stream, content, 0);
    if (!read_all(&reading, error) || !sort_images(contents, error) ||
        !check_images(&reading, error))
        return NULL;
    return g_steal_pointer(&contents);
}

gint64
lake_coco_contents_annotations(const LakeCocoContents *contents)
{
    return contents->annotations;
}

gint64
lake_coco_contents_n_annotations(const LakeCocoContents *contents)
{
    return contents->n_annotations;
}

const GString *
lake_coco_contents_categories(const LakeCocoContents *contents)
{
    return contents->categories;
}

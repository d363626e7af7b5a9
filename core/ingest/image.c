/* SPDX-License-Identifier: Apache-2.0 */

/* core/ingest/image.c: the kind image: one row with the image as it is.
 *
 * The first bytes decide which format it is, whatever the name says, and that format's check
 * (core/ingest/image/formats.h) whether it is whole. Nothing is decoded. */

#include "core/error.h"
#include "core/ingest/image/formats.h"
#include "core/ingest/normaliser.h"
#include "core/ingest/sniff.h"

#include <string.h>

typedef struct {
    const LakeNormaliserInput *input;
    char *notes;
    gboolean is_done;
} ImageReader;

typedef struct {
    const char *name; /* as sniffed */
    const char *extensions[2];
    LakeImageCheck check;
} Format;

static const Format formats[] = {
    {"a JPEG image", {"jpg", "jpeg"}, lake_image_jpeg_check},
    {"a PNG image", {"png"}, lake_image_png_check},
    {"a GIF image", {"gif"}, lake_image_gif_check},
    {"a BMP image", {"bmp"}, lake_image_bmp_check},
    {"a WebP image", {"webp"}, lake_image_webp_check},
};

static const char *const extensions[] = {"jpg", "jpeg", "png", "gif", "bmp", "webp", NULL};

static const LakeColumn columns[] = {
    {"file_id", LAKE_TYPE_TEXT},
    {"image", LAKE_TYPE_IMAGE},
    {"filename", LAKE_TYPE_TEXT},
    {"text", LAKE_TYPE_TEXT},
};

static void
close_image(gpointer state)
{
    ImageReader *reader = state;

    g_free(reader->notes);
    g_free(reader);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImageReader, close_image)

static void
set_empty(GError **error)
{
    lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_BAD_INPUT,
        "the file is empty, not an image");
    if (error)
        lake_error_hint(*error, "Copy the image again from where it is whole.");
}

static void
set_stranger(const char *name, const guint8 *bytes, gsize n_bytes, GError **error)
{
    g_autoptr(GString) what =
        g_string_new(name ? "its content is " : "it begins with the bytes");

    if (name)
        g_string_append(what, name);
    for (gsize i = 0; !name && i < MIN(n_bytes, 8); i++)
        g_string_append_printf(what, " %02x", bytes[i]);
    lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_BAD_INPUT,
        "not a JPEG, PNG, GIF, BMP or WebP image: %s", what->str);
    if (error)
        lake_error_hint(*error, "Give the file the extension of what it is, or one of no kind "
                                "(such as .bin) to keep "
                                "its bytes as they are.");
}

/* The format of the content by its first bytes; NULL with an error. */
static const Format *
recognise(LakeImageBytes *bytes, GError **error)
{
    gsize n_bytes;
    const guint8 *first = lake_image_bytes_peek(bytes, 0, &n_bytes);

    if (bytes->error) {
        g_propagate_error(error, g_steal_pointer(&bytes->error));
        return NULL;
    }

    if (n_bytes == 0) {
        set_empty(error);
        return NULL;
    }

    const char *name = lake_ingest_sniff(first, n_bytes);
    for (gsize i = 0; name && i < G_N_ELEMENTS(formats); i++)
        if (strcmp(formats[i].name, name) == 0)
            return &formats[i];
    set_stranger(name, first, n_bytes, error);
    return NULL;
}

static gboolean
is_named(const Format *format, const char *path)
{
    const char *dot = strrchr(path, '.');

    for (gsize i = 0; dot && i < G_N_ELEMENTS(format->extensions); i++)
        if (format->extensions[i] && g_ascii_strcasecmp(dot + 1, format->extensions[i]) == 0)
            return TRUE;
    return FALSE;
}

/* Recognises and checks; the format, or NULL with an error. */
static const Format *
examine(const ImageReader *reader, GCancellable *cancellable, GError **error)
{
    g_auto(LakeImageBytes) bytes;

    lake_image_bytes_init(&bytes, reader->input->content, cancellable);
    const Format *format = recognise(&bytes, error);
    if (!format || format->check(&bytes))
        return format;

    if (bytes.error->code == LAKE_ERROR_BAD_INPUT)
        g_prefix_error(&bytes.error, "it begins as %s does, but is ", format->name);
    g_propagate_error(error, g_steal_pointer(&bytes.error));
    return NULL;
}

static gpointer
open_image(const LakeNormaliserInput *input, GCancellable *cancellable, GError **error)
{
    g_autoptr(ImageReader) reader = g_new0(ImageReader, 1);

    if (!lake_ingest_check_value(lake_spool_size(input->content), error))
        return NULL;
    reader->input = input;
    const Format *format = examine(reader, cancellable, error);
    if (!format)
        return NULL;
    if (!is_named(format, input->path))
        reader->notes = g_strdup_printf("is %s, whatever its name says", format->name);
    return g_steal_pointer(&reader);
}

static gboolean
next_row(gpointer state, LakeRows *rows, gboolean *ret_done, GCancellable *cancellable,
    GError **error)
{
    ImageReader *reader = state;
    const LakeNormaliserInput *input = reader->input;

    *ret_done = reader->is_done;
    if (reader->is_done)
        return TRUE;

    lake_rows_add_text(rows, input->file_id, strlen(input->file_id));
    if (!lake_rows_add_content(rows, input->content, error))
        return FALSE;
    lake_rows_add_text(rows, input->path, strlen(input->path));
    lake_rows_add_null(rows);
    reader->is_done = TRUE;
    return TRUE;
}

static void
facts(gpointer state, LakeNormaliserFacts *ret_facts)
{
    const ImageReader *reader = state;

    ret_facts->notes = g_strdup(reader->notes);
    ret_facts->n_rows_total = 1;
}

static char *
settings_json(const LakeIngestSettings *settings)
{
    return g_strdup("{}");
}

const LakeNormaliser lake_ingest_image = {
    .kind = "image",
    .columns = columns,
    .n_columns = G_N_ELEMENTS(columns),
    .extensions = extensions,
    .refuses_empty = TRUE,
    .open = open_image,
    .next_row = next_row,
    .facts = facts,
    .close = close_image,
    .settings_json = settings_json,
};

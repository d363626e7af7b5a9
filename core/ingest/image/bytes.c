/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/image/bytes.h"

#include "core/error.h"

void
lake_image_bytes_init(LakeImageBytes *bytes, LakeSpool *content, GCancellable *cancellable)
{
    *bytes = (LakeImageBytes){
        .content = content,
        .size_bytes = lake_spool_size(content),
        .window = g_malloc(LAKE_IMAGE_BYTES_WINDOW),
        .cancellable = cancellable,
    };
}

void
lake_image_bytes_clear(LakeImageBytes *bytes)
{
    g_clear_pointer(&bytes->window, g_free);
    g_clear_error(&bytes->error);
}

/* Moves the window to begin at offset. */
static gboolean
load(LakeImageBytes *bytes, gint64 offset)
{
    bytes->n_bytes = 0;
    if (g_cancellable_is_cancelled(bytes->cancellable)) {
        lake_error_set(
            &bytes->error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_CANCELLED, "interrupted");
        return FALSE;
    }

    gssize n_read = lake_spool_read(
        bytes->content, offset, bytes->window, LAKE_IMAGE_BYTES_WINDOW, &bytes->error);
    if (n_read < 0)
        return FALSE;
    bytes->begins = offset;
    bytes->n_bytes = (gsize)n_read;
    return TRUE;
}

static gsize
n_at(const LakeImageBytes *bytes, gint64 offset)
{
    gint64 end = bytes->begins + (gint64)bytes->n_bytes;

    return offset >= bytes->begins && offset < end ? (gsize)(end - offset) : 0;
}

const guint8 *
lake_image_bytes_peek(LakeImageBytes *bytes, gint64 offset, gsize *ret_n_bytes)
{
    *ret_n_bytes = 0;
    if (bytes->error)
        return NULL;
    if (n_at(bytes, offset) == 0 && (offset >= bytes->size_bytes || !load(bytes, offset)))
        return NULL;

    *ret_n_bytes = n_at(bytes, offset);
    return bytes->window + (offset - bytes->begins);
}

gboolean
lake_image_bytes_reach(LakeImageBytes *bytes, gint64 offset, gint64 n_bytes, const char *what)
{
    if (bytes->error)
        return FALSE;
    if (n_bytes <= bytes->size_bytes - offset)
        return TRUE;
    return lake_image_bytes_cut(bytes,
        "%s at byte offset %" G_GINT64_FORMAT " is to reach byte offset %" G_GINT64_FORMAT
        ", but the file has %" G_GINT64_FORMAT " bytes",
        what, offset, offset + n_bytes, bytes->size_bytes);
}

const guint8 *
lake_image_bytes_get(LakeImageBytes *bytes, gint64 offset, gsize n_bytes, const char *what)
{
    g_return_val_if_fail(n_bytes <= LAKE_IMAGE_BYTES_WINDOW, NULL);

    if (!lake_image_bytes_reach(bytes, offset, (gint64)n_bytes, what))
        return NULL;
    if (n_at(bytes, offset) < n_bytes) {
        if (!load(bytes, offset))
            return NULL;
        if (n_at(bytes, offset) < n_bytes) {
            lake_error_set(&bytes->error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_FAILED,
                "the file became shorter while it was read");
            return NULL;
        }
    }
    return bytes->window + (offset - bytes->begins);
}

gboolean
lake_image_bytes_fail(LakeImageBytes *bytes, const char *format, ...)
{
    va_list arguments;

    if (bytes->error)
        return FALSE;
    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);

    lake_error_set(
        &bytes->error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_BAD_INPUT, "broken: %s", message);
    lake_error_hint(bytes->error,
        "Save the image anew, or give the file another extension to keep its bytes as they "
        "are.");
    return FALSE;
}

gboolean
lake_image_bytes_cut(LakeImageBytes *bytes, const char *format, ...)
{
    va_list arguments;

    if (bytes->error)
        return FALSE;
    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);

    lake_error_set(
        &bytes->error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_BAD_INPUT, "cut off: %s", message);
    lake_error_hint(bytes->error, "Copy the image again from where it is whole, or give the "
                                  "file another extension to keep "
                                  "its bytes as they are.");
    return FALSE;
}

gboolean
lake_image_bytes_check_sides(LakeImageBytes *bytes, gint64 width, gint64 height)
{
    if (bytes->error)
        return FALSE;
    return (width > 0 && height > 0) ||
           lake_image_bytes_fail(bytes,
               "its header says %" G_GINT64_FORMAT " x %" G_GINT64_FORMAT " pixels", width,
               height);
}

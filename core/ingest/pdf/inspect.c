/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/pdf/inspect.h"

#include "core/error.h"

/* Each makes up to a thousand bytes of one. Two are seen in real files. */
#define PACKINGS_MAX 2
/* Coefficients (JPEG, progressive: 2 bytes each) and samples (JPEG 2000: 4 bytes each) that the
 * libraries hold at once. */
#define SAMPLES_MAX ((gint64)256 * 1024 * 1024)
#define UNPACKED_MAX_BYTES ((gsize)128 * 1024 * 1024) /* of an image packed twice */

typedef enum { IMAGE_NONE, IMAGE_JPEG, IMAGE_JPEG_2000 } ImageFormat;

typedef struct {
    gint64 width;
    gint64 height;
    gint64 n_components;
} ImageSize;

static ImageFormat
format_of(fz_context *context, pdf_obj *filter)
{
    if (pdf_name_eq(context, filter, PDF_NAME(DCTDecode)) ||
        pdf_name_eq(context, filter, PDF_NAME(DCT)))
        return IMAGE_JPEG;
    if (pdf_name_eq(context, filter, PDF_NAME(JPXDecode)))
        return IMAGE_JPEG_2000;
    return IMAGE_NONE;
}

/* Whether it can make many bytes of few. */
static gboolean
is_packing(fz_context *context, pdf_obj *filter)
{
    return !pdf_name_eq(context, filter, PDF_NAME(ASCIIHexDecode)) &&
           !pdf_name_eq(context, filter, PDF_NAME(AHx)) &&
           !pdf_name_eq(context, filter, PDF_NAME(ASCII85Decode)) &&
           !pdf_name_eq(context, filter, PDF_NAME(A85)) &&
           !pdf_name_eq(context, filter, PDF_NAME(Crypt));
}

/* Skips to the frame header of a JPEG. TRUE: all of it is held while it is decoded, as it comes
 * in several passes; then *ret_size is how much that is. Throws at the end of the stream. */
static gboolean
read_jpeg(fz_context *context, fz_stream *stream, ImageSize *ret_size)
{
    gboolean is_progressive = FALSE;

    for (;;) {
        int marker = fz_read_byte(context, stream);
        if (marker == EOF)
            return FALSE;
        if (marker != 0xff)
            continue;
        while (marker == 0xff)
            marker = fz_read_byte(context, stream);
        if (marker <= 0x01 || (marker >= 0xd0 && marker <= 0xd8))
            continue;
        if (marker == 0xd9)
            return FALSE;

        guint n_left = fz_read_uint16(context, stream);
        if (marker == 0xda)
            return is_progressive || fz_read_byte(context, stream) < ret_size->n_components;
        if (n_left < 2)
            return FALSE;
        n_left -= 2;
        if ((marker & 0xf0) == 0xc0 && marker != 0xc4 && marker != 0xc8 && marker != 0xcc &&
            n_left >= 6) {
            fz_read_byte(context, stream);
            ret_size->height = fz_read_uint16(context, stream);
            ret_size->width = fz_read_uint16(context, stream);
            ret_size->n_components = fz_read_byte(context, stream);
            is_progressive = (marker & 3) == 2;
            n_left -= 6;
        }
        fz_skip(context, stream, n_left);
    }
}

/* Skips to the SIZ marker, which is the first of a codestream. */
static gboolean
read_jpeg_2000(fz_context *context, fz_stream *stream, ImageSize *ret_size)
{
    guint32 last = 0;
    int byte;

    while (last != 0xff4fff51) {
        byte = fz_read_byte(context, stream);
        if (byte == EOF)
            return FALSE;
        last = last << 8 | (guint32)byte;
    }

    fz_skip(context, stream, 4); /* its length, and the profile */
    gint64 right = fz_read_uint32(context, stream);
    gint64 bottom = fz_read_uint32(context, stream);
    ret_size->width = right - (gint64)fz_read_uint32(context, stream);
    ret_size->height = bottom - (gint64)fz_read_uint32(context, stream);
    fz_skip(context, stream, 16); /* the tiles */
    ret_size->n_components = fz_read_uint16(context, stream);
    return TRUE;
}

static gboolean
is_too_big(const ImageSize *size)
{
    if (size->width <= 0 || size->height <= 0 || size->n_components <= 0)
        return FALSE; /* the library says so itself */
    return size->width > SAMPLES_MAX / size->height ||
           size->width * size->height > SAMPLES_MAX / size->n_components;
}

/* The image as its library gets it. Throws. */
static fz_stream *
open_image(fz_context *context, pdf_document *document, int number, gboolean is_packed)
{
    fz_compressed_buffer *image = NULL;
    fz_stream *stream = NULL;

    if (!is_packed)
        return pdf_open_raw_stream_number(context, document, number);

    fz_var(stream);
    image = pdf_load_compressed_stream(context, document, number, UNPACKED_MAX_BYTES);
    fz_try(context) stream = fz_open_buffer(context, image->buffer);
    fz_always(context) fz_drop_compressed_buffer(context, image);
    fz_catch(context) fz_rethrow(context);
    return stream;
}

/* Throws where the image cannot be read. */
static gboolean
is_bomb(fz_context *context, pdf_document *document, int number, ImageFormat format,
    gboolean is_packed, ImageSize *ret_size)
{
    fz_stream *stream = open_image(context, document, number, is_packed);
    gboolean is_known = FALSE;

    fz_var(is_known);
    fz_try(context)
    {
        is_known = format == IMAGE_JPEG ? read_jpeg(context, stream, ret_size)
                                        : read_jpeg_2000(context, stream, ret_size);
    }
    fz_always(context) fz_drop_stream(context, stream);
    fz_catch(context) fz_rethrow(context);
    return is_known && is_too_big(ret_size);
}

static void
note_absurd(LakePdfThread *thread, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_vsnprintf(thread->said, sizeof thread->said, format, arguments);
    va_end(arguments);
    thread->is_absurd = TRUE;
}

/* Throws. */
static void
inspect_stream(LakePdf *pdf, LakePdfThread *thread, int number, pdf_obj *stream)
{
    fz_context *context = pdf->context;
    pdf_obj *filters = pdf_dict_geta(context, stream, PDF_NAME(Filter), PDF_NAME(F));
    gboolean is_array = pdf_is_array(context, filters) != 0;
    int n_filters = is_array ? pdf_array_len(context, filters) : filters != NULL;
    int n_packings = 0;
    ImageFormat format = IMAGE_NONE;
    ImageSize size = {0};

    for (int i = 0; i < n_filters; i++) {
        pdf_obj *filter = is_array ? pdf_array_get(context, filters, i) : filters;
        if (format != IMAGE_NONE)
            note_absurd(thread, "object %d is an image inside of something else", number);
        n_packings += is_packing(context, filter);
        format = format_of(context, filter);
    }
    if (n_packings > PACKINGS_MAX)
        note_absurd(thread, "object %d is compressed %d times over", number, n_packings);
    else if (!thread->is_absurd && format != IMAGE_NONE &&
             is_bomb(context, pdf->document, number, format, n_filters > 1, &size))
        note_absurd(thread,
            "object %d is an image of %" G_GINT64_FORMAT " x %" G_GINT64_FORMAT
            " pixels, too many to be decoded",
            number, size.width, size.height);
}

/* Throws ABORT, and where an object is broken, which is nothing of ours: MuPDF will find it, or
 * nobody will ever ask for it. */
static void
inspect_object(LakePdf *pdf, LakePdfThread *thread, int number)
{
    fz_context *context = pdf->context;
    const pdf_xref_entry *entry = pdf_get_xref_entry_no_null(context, pdf->document, number);
    int found_number, generation, try_repair;
    int64_t stream_offset = entry->stm_ofs;
    pdf_obj *object = NULL;

    /* Streams cannot lie in streams, where the others ('o') are. */
    if (entry->type != 'n')
        return;
    if (entry->obj) {
        object = pdf_keep_obj(context, entry->obj);
    } else {
        fz_seek(context, pdf->document->file, entry->ofs, SEEK_SET);
        object = pdf_parse_ind_obj(context, pdf->document, pdf->document->file, &found_number,
            &generation, &stream_offset, &try_repair);
    }

    fz_try(context)
    {
        if (stream_offset && pdf_is_dict(context, object))
            inspect_stream(pdf, thread, number, object);
    }
    fz_always(context) pdf_drop_obj(context, object);
    fz_catch(context) fz_rethrow(context);
}

/* FALSE: stopped. */
static gboolean
inspect_quietly(LakePdf *pdf, LakePdfThread *thread, int number)
{
    fz_context *context = pdf->context;
    gboolean is_stopped = FALSE;

    fz_var(is_stopped);
    fz_try(context) inspect_object(pdf, thread, number);
    fz_catch(context) is_stopped = fz_caught(context) == FZ_ERROR_ABORT;
    return !is_stopped;
}

gboolean
lake_pdf_inspect(LakePdf *pdf, LakePdfThread *thread, GError **error)
{
    int n_objects = pdf_xref_len(pdf->context, pdf->document);
    gboolean goes_on = TRUE;

    for (int i = 1; i < n_objects && goes_on && !thread->is_absurd; i++)
        goes_on = inspect_quietly(pdf, thread, i);
    if (goes_on && !thread->is_absurd) {
        thread->is_out_of_memory = FALSE;
        thread->said[0] = '\0';
        return TRUE;
    }
    return lake_pdf_thread_fail(thread, error, "the PDF cannot be read in bounded memory");
}

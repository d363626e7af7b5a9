/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/pdf/page.h"

#include "core/error.h"
#include "core/ingest/pdf/guard.h"
#include "core/ingest/png.h"

#include <math.h>
#include <string.h>

/* Pixels that are drawn at once. The usual page is one band: every further one walks through
 * the whole page once more, and may unpack its images again. */
#define BAND_MAX_BYTES (48 * 1024 * 1024)
/* A larger image waits in a file. */
#define IMAGE_IN_MEMORY_MAX_BYTES (4 * 1024 * 1024)
#define POINTS_PER_INCH 72

/* A page on its way. */
typedef struct {
    LakePdf *pdf;
    LakePdfPage *page;
    LakePdfThread thread;
    fz_separations *separations; /* NULL unless colours are mixed as inks are */
    fz_display_list *list;
    fz_rect bounds;   /* points */
    double dpi;       /* that it is rendered at */
    fz_matrix matrix; /* points to pixels */
    fz_irect box;     /* pixels */
} Drawing;

LakePdfPage *
lake_pdf_page_new(int index, int dpi, const char *staging_dir)
{
    LakePdfPage *page = g_new0(LakePdfPage, 1);

    page->index = index;
    page->dpi = dpi;
    page->staging_dir = staging_dir;
    return page;
}

void
lake_pdf_page_free(LakePdfPage *page)
{
    if (!page)
        return;
    g_clear_pointer(&page->image, g_byte_array_unref);
    g_clear_pointer(&page->image_spool, lake_spool_unref);
    if (page->text)
        g_string_free(page->text, TRUE);
    g_free(page->note);
    g_free(page);
}

/* Inks beyond the four, and overprinting, are mixed to what they look like; as mutool does.
 * Throws. */
static fz_separations *
find_separations(fz_context *context, fz_page *page)
{
    fz_separations *separations = fz_page_separations(context, page);

    if (!separations)
        return fz_page_uses_overprint(context, page) ? fz_new_separations(context, 0) : NULL;
    int n = fz_count_separations(context, separations);
    for (int i = 0; i < n; i++)
        fz_set_separation_behavior(context, separations, i, FZ_SEPARATION_COMPOSITE);
    return separations;
}

/* Throws. */
static void
read_list(Drawing *drawing, fz_page *page)
{
    fz_context *context = drawing->thread.context;
    fz_device *device = NULL;

    fz_var(device);
    drawing->bounds = fz_bound_page(context, page);
    drawing->separations = find_separations(context, page);
    drawing->list = fz_new_display_list(context, drawing->bounds);
    fz_try(context)
    {
        device = fz_new_list_device(context, drawing->list);
        fz_run_page(context, page, device, fz_identity, &drawing->thread.cookie);
        fz_close_device(context, device);
    }
    fz_always(context) fz_drop_device(context, device);
    fz_catch(context) fz_rethrow(context);
    /* Where it was stopped fz_run_page says nothing of it. */
    lake_pdf_thread_check(&drawing->thread);
}

/* What needs the document: the page becomes a list of what is to be drawn. */
static gboolean
interpret(Drawing *drawing)
{
    fz_context *context = drawing->thread.context;
    LakePdf *pdf = drawing->pdf;
    fz_page *page = NULL;
    gboolean is_read = FALSE;

    fz_var(page);
    fz_var(is_read);
    g_mutex_lock(&pdf->mutex);
    pdf->stop = drawing->thread.stop;
    fz_try(context)
    {
        /* Not fz_load_page, which believes the file in how many there are. */
        page = fz_load_chapter_page(context, &pdf->document->super, 0, drawing->page->index);
        read_list(drawing, page);
        is_read = TRUE;
    }
    fz_always(context) fz_drop_page(context, page);
    fz_catch(context) is_read = FALSE;
    pdf->stop = NULL;
    g_mutex_unlock(&pdf->mutex);
    return is_read;
}

static fz_irect
box_at(const Drawing *drawing, double dpi)
{
    float scale = (float)dpi / POINTS_PER_INCH;
    fz_irect box = fz_round_rect(fz_transform_rect(drawing->bounds, fz_scale(scale, scale)));

    /* So that a page of a hair's breadth is there, too. */
    box.x1 = MAX(box.x1, box.x0 + 1);
    box.y1 = MAX(box.y1, box.y0 + 1);
    return box;
}

static gboolean
fits(fz_irect box)
{
    gint64 width = (gint64)box.x1 - box.x0;
    gint64 height = (gint64)box.y1 - box.y0;

    return width <= LAKE_PNG_SIDE_MAX && height <= LAKE_PNG_SIDE_MAX &&
           width * height <= LAKE_PDF_PIXELS_MAX;
}

/* The highest whole number that fits; below 1, halves of halves. */
static double
find_dpi(const Drawing *drawing)
{
    int low = 0;
    int high = drawing->page->dpi;
    double dpi = 1;

    if (fits(box_at(drawing, high)))
        return high;
    while (high - low > 1) {
        int middle = low + (high - low) / 2;
        if (fits(box_at(drawing, middle)))
            low = middle;
        else
            high = middle;
    }
    if (low > 0)
        return low;
    do
        dpi /= 2;
    while (!fits(box_at(drawing, dpi)));
    return dpi;
}

/* In floating point, for the size that did not fit in anything else. */
static void
note_lower_dpi(Drawing *drawing)
{
    LakePdfPage *page = drawing->page;
    double scale = (double)page->dpi / POINTS_PER_INCH;
    double width = ((double)drawing->bounds.x1 - (double)drawing->bounds.x0) * scale;
    double height = ((double)drawing->bounds.y1 - (double)drawing->bounds.y0) * scale;

    if (width * height > (double)LAKE_PDF_PIXELS_MAX)
        page->note = g_strdup_printf(
            "page %d is rendered at %g DPI: at %d DPI it would have %.0f megapixels, and a "
            "page has at most %d",
            page->index + 1, drawing->dpi, page->dpi, width * height / 1e6,
            (int)(LAKE_PDF_PIXELS_MAX / 1000000));
    else
        page->note = g_strdup_printf(
            "page %d is rendered at %g DPI: at %d DPI it would be %.0f x %.0f pixels, and a "
            "side has at most %d",
            page->index + 1, drawing->dpi, page->dpi, width, height, LAKE_PNG_SIDE_MAX);
}

static void
choose_size(Drawing *drawing)
{
    drawing->dpi = find_dpi(drawing);
    float scale = (float)drawing->dpi / POINTS_PER_INCH;
    drawing->matrix = fz_scale(scale, scale);
    drawing->box = box_at(drawing, drawing->dpi);
    if (drawing->dpi < drawing->page->dpi)
        note_lower_dpi(drawing);
}

/* Throws. The text of the page, line by line. */
static fz_buffer *
print_text(Drawing *drawing, fz_stext_page *text)
{
    fz_context *context = drawing->thread.context;
    fz_stext_options options = {.flags = FZ_STEXT_MEDIABOX_CLIP};
    fz_device *device = NULL;
    fz_buffer *buffer = NULL;
    fz_output *output = NULL;

    fz_var(device);
    fz_var(buffer);
    fz_var(output);
    fz_try(context)
    {
        device = fz_new_stext_device(context, text, &options);
        fz_run_display_list(context, drawing->list, device, fz_identity, fz_infinite_rect,
            &drawing->thread.cookie);
        fz_close_device(context, device);
        lake_pdf_thread_check(&drawing->thread);
        buffer = fz_new_buffer(context, 4096);
        output = fz_new_output_with_buffer(context, buffer);
        fz_print_stext_page_as_text(context, output, text);
        fz_close_output(context, output);
    }
    fz_always(context)
    {
        fz_drop_output(context, output);
        fz_drop_device(context, device);
    }
    fz_catch(context)
    {
        fz_drop_buffer(context, buffer);
        fz_rethrow(context);
    }
    return buffer;
}

/* Valid UTF-8 without NUL. */
static GString *
clean_text(const char *bytes, gsize n_bytes)
{
    GString *text = g_string_sized_new(n_bytes);

    for (const char *end = bytes + n_bytes; bytes < end; bytes++) {
        const char *nul = memchr(bytes, '\0', (gsize)(end - bytes));
        gsize n_piece = (gsize)((nul ? nul : end) - bytes);
        g_string_append_len(text, bytes, (gssize)n_piece);
        bytes += n_piece;
    }
    if (!g_utf8_validate_len(text->str, text->len, NULL)) {
        g_autofree char *valid = g_utf8_make_valid(text->str, (gssize)text->len);
        g_string_assign(text, valid);
    }
    return text;
}

static gboolean
extract_text(Drawing *drawing)
{
    fz_context *context = drawing->thread.context;
    fz_stext_page *text = NULL;
    fz_buffer *buffer = NULL;
    gboolean is_done = FALSE;

    fz_var(text);
    fz_var(buffer);
    fz_var(is_done);
    fz_try(context)
    {
        unsigned char *bytes;

        text = fz_new_stext_page(context, drawing->bounds);
        buffer = print_text(drawing, text);
        gsize n_bytes = fz_buffer_storage(context, buffer, &bytes);
        drawing->page->text = clean_text((char *)bytes, n_bytes);
        is_done = TRUE;
    }
    fz_always(context)
    {
        fz_drop_buffer(context, buffer);
        fz_drop_stext_page(context, text);
    }
    fz_catch(context) is_done = FALSE;
    return is_done;
}

/* Throws. */
static void
draw_band(Drawing *drawing, fz_pixmap *band)
{
    fz_context *context = drawing->thread.context;
    fz_device *device = NULL;
    fz_irect box = fz_pixmap_bbox(context, band);

    fz_var(device);
    fz_clear_pixmap_with_value(context, band, 255);
    fz_try(context)
    {
        device = fz_new_draw_device(context, fz_identity, band);
        lake_pdf_guard(&drawing->thread, device, fz_rect_from_irect(box));
        fz_run_display_list(context, drawing->list, device, drawing->matrix,
            fz_rect_from_irect(box), &drawing->thread.cookie);
        fz_close_device(context, device);
    }
    fz_always(context) fz_drop_device(context, device);
    fz_catch(context) fz_rethrow(context);
    lake_pdf_thread_check(&drawing->thread);
}

/* One band after the other into png. FALSE with *error unset: MuPDF's failure. */
static gboolean
draw_bands(Drawing *drawing, LakePng *png, GError **error)
{
    fz_context *context = drawing->thread.context;
    gint64 row_bytes = (gint64)(drawing->box.x1 - drawing->box.x0) * 3;
    gint64 band_height = MAX(1, BAND_MAX_BYTES / row_bytes);
    fz_irect box = drawing->box;
    fz_pixmap *band = NULL;
    gboolean is_done = FALSE;

    fz_var(band);
    fz_var(is_done);
    fz_try(context)
    {
        gboolean goes_on = TRUE;
        box.y1 = (int)MIN(box.y1, box.y0 + band_height);
        band = fz_new_pixmap_with_bbox(
            context, fz_device_rgb(context), box, drawing->separations, 0);
        for (int y = box.y0; y < drawing->box.y1 && goes_on; y += (int)band_height) {
            band->y = y;
            draw_band(drawing, band);
            goes_on = lake_png_add_rows(png, band->samples, (gsize)band->stride,
                (guint32)MIN(band->h, drawing->box.y1 - y), error);
        }
        is_done = goes_on;
    }
    fz_always(context) fz_drop_pixmap(context, band);
    fz_catch(context) is_done = FALSE;
    return is_done;
}

/* Takes the PNG file's bytes. */
static gboolean
keep(const void *bytes, gsize n_bytes, gpointer user_data, GError **error)
{
    LakePdfPage *page = user_data;

    if (!page->image_spool && page->image->len + n_bytes > IMAGE_IN_MEMORY_MAX_BYTES) {
        page->image_spool = lake_spool_new(page->staging_dir);
        if (!lake_spool_append(page->image_spool, page->image->data, page->image->len, error))
            return FALSE;
        g_clear_pointer(&page->image, g_byte_array_unref);
    }
    if (page->image_spool)
        return lake_spool_append(page->image_spool, bytes, n_bytes, error);
    g_byte_array_append(page->image, bytes, (guint)n_bytes);
    return TRUE;
}

static gboolean
draw(Drawing *drawing, GError **error)
{
    guint32 dots_per_metre = (guint32)MAX(1, round(drawing->dpi / 0.0254));
    g_autoptr(LakePng) png = lake_png_new((guint32)(drawing->box.x1 - drawing->box.x0),
        (guint32)(drawing->box.y1 - drawing->box.y0), dots_per_metre, keep, drawing->page);

    drawing->page->image = g_byte_array_new();
    return draw_bands(drawing, png, error) && lake_png_finish(png, error);
}

/* A page that MuPDF could not follow in all: it goes on, and so do we, but not in silence. */
static void
note_complaints(Drawing *drawing)
{
    LakePdfThread *thread = &drawing->thread;
    g_autofree char *said = g_utf8_make_valid(thread->said, -1);
    g_autofree char *before = g_steal_pointer(&drawing->page->note);

    drawing->page->note = g_strdup_printf(
        "%s%spage %d is not complete: some of it cannot be read (MuPDF says: %s)",
        before ? before : "", before ? "\n" : "", drawing->page->index + 1,
        said[0] ? said : "nothing");
}

static gboolean
render(Drawing *drawing, GError **error)
{
    LakePdfThread *thread = &drawing->thread;
    GError *failure = NULL;
    gboolean is_done = interpret(drawing);

    if (is_done) {
        choose_size(drawing);
        is_done = extract_text(drawing) && draw(drawing, &failure);
    }
    /* Where memory ran out MuPDF may have gone on without the image that was too large. */
    if (is_done && !thread->is_out_of_memory && !thread->is_absurd) {
        if (thread->cookie.errors > 0)
            note_complaints(drawing);
        return TRUE;
    }
    if (failure) {
        g_propagate_error(error, failure);
        return FALSE;
    }
    return lake_pdf_thread_fail(
        thread, error, "page %d cannot be rendered", drawing->page->index + 1);
}

gboolean
lake_pdf_page_render(LakePdf *pdf, LakePdfPage *page, GCancellable *stop, GError **error)
{
    Drawing drawing = {.pdf = pdf, .page = page};

    if (!lake_pdf_thread_init(&drawing.thread, pdf, stop, error))
        return FALSE;
    gboolean is_done = render(&drawing, error);
    fz_drop_display_list(drawing.thread.context, drawing.list);
    fz_drop_separations(drawing.thread.context, drawing.separations);
    lake_pdf_thread_clear(&drawing.thread);
    return is_done;
}

/* SPDX-License-Identifier: Apache-2.0 */

/* core/ingest/pdf.c: the kind pdf: one row per page, with its image as PNG and its text.
 *
 * Pages are rendered on the workers. The document itself serves one of them at a time, which
 * takes a tenth of a page's time; the drawing and the compression, which are the rest, need it
 * no more. */

#include "core/error.h"
#include "core/ingest/normaliser.h"
#include "core/ingest/pdf/document.h"
#include "core/ingest/pdf/page.h"

#include <string.h>

#define PAGE_TIMEOUT_MS (120 * 1000)
#define NOTES_MAX 10

typedef struct {
    const LakeNormaliserInput *input;
    LakePdf *pdf;
    LakeIngestSequence *sequence;
    int n_pushed;
    int n_popped;
    GString *notes; /* lines without the last newline */
    guint n_notes;
} PdfReader;

static const LakeColumn columns[] = {
    {"file_id", LAKE_TYPE_TEXT},
    {"page_index", LAKE_TYPE_INT32},
    {"image", LAKE_TYPE_IMAGE},
    {"text", LAKE_TYPE_TEXT},
};

static const char *const extensions[] = {"pdf", NULL};

static gboolean
render_page(gpointer part, gpointer user_data, GCancellable *stop, GError **error)
{
    PdfReader *reader = user_data;

    return lake_pdf_page_render(reader->pdf, part, stop, error);
}

static void
free_page(gpointer part)
{
    lake_pdf_page_free(part);
}

static gpointer
open_pdf(const LakeNormaliserInput *input, GCancellable *cancellable, GError **error)
{
    g_autoptr(LakePdf) pdf = lake_pdf_document_open(
        input->content, input->settings.pdf_max_pages, cancellable, error);
    if (!pdf)
        return NULL;

    PdfReader *reader = g_new0(PdfReader, 1);
    reader->input = input;
    reader->pdf = g_steal_pointer(&pdf);
    reader->notes = g_string_new(NULL);
    reader->sequence = lake_ingest_sequence_new(
        input->workers, render_page, free_page, reader, PAGE_TIMEOUT_MS, cancellable);
    return reader;
}

static void
push_pages(PdfReader *reader)
{
    const LakeNormaliserInput *input = reader->input;

    while (reader->n_pushed < reader->pdf->n_pages &&
           !lake_ingest_sequence_is_full(reader->sequence))
        lake_ingest_sequence_push(
            reader->sequence, lake_pdf_page_new(reader->n_pushed++,
                                  (int)input->settings.pdf_dpi, input->staging_dir));
}

static void
add_note(PdfReader *reader, const char *note)
{
    if (++reader->n_notes <= NOTES_MAX)
        g_string_append_printf(reader->notes, "%s%s", reader->notes->len > 0 ? "\n" : "", note);
}

/* A PDF may turn out to be broken only when its last page is read. */
static gboolean
finish(PdfReader *reader, GError **error)
{
    LakePdf *pdf = reader->pdf;

    if (!lake_pdf_document_is_whole(pdf, error))
        return FALSE;
    if (lake_pdf_document_was_repaired(pdf))
        add_note(reader, "the PDF was damaged and has been repaired: compare its pages");
    if (pdf->n_claimed != pdf->n_pages) {
        g_autofree char *note =
            g_strdup_printf("the PDF says that it has %d pages; %d are there, and were taken",
                pdf->n_claimed, pdf->n_pages);
        add_note(reader, note);
    }
    return TRUE;
}

static void
add_row(PdfReader *reader, const LakePdfPage *page, LakeRows *rows)
{
    const char *file_id = reader->input->file_id;

    lake_rows_add_text(rows, file_id, strlen(file_id));
    lake_rows_add_int32(rows, page->index);
    if (page->image)
        lake_rows_add_bytes(rows, page->image->data, page->image->len);
    else
        lake_rows_add_spool(rows, page->image_spool);
    lake_rows_add_text(rows, page->text->str, page->text->len);
}

static gboolean
next_row(gpointer state, LakeRows *rows, gboolean *ret_done, GCancellable *cancellable,
    GError **error)
{
    PdfReader *reader = state;
    g_autoptr(LakePdfPage) page = NULL;

    *ret_done = reader->n_popped == reader->pdf->n_pages;
    if (*ret_done)
        return TRUE;

    push_pages(reader);
    page = lake_ingest_sequence_pop(reader->sequence, error);
    if (!page)
        return FALSE;
    push_pages(reader);
    if (reader->n_popped + 1 == reader->pdf->n_pages && !finish(reader, error))
        return FALSE;
    if (page->note)
        add_note(reader, page->note);
    reader->n_popped++;
    add_row(reader, page, rows);
    return TRUE;
}

static void
facts(gpointer state, LakeNormaliserFacts *ret_facts)
{
    PdfReader *reader = state;
    gint64 size_bytes = lake_spool_size(reader->input->content);
    guint n_more = reader->n_notes > NOTES_MAX ? reader->n_notes - NOTES_MAX : 0;

    ret_facts->n_rows_total = reader->pdf->n_pages;
    ret_facts->bytes_read =
        (gint64)((double)size_bytes * reader->n_popped / reader->pdf->n_pages);
    if (n_more > 0)
        ret_facts->notes = g_strdup_printf("%s\nand %u more", reader->notes->str, n_more);
    else if (reader->n_notes > 0)
        ret_facts->notes = g_strdup(reader->notes->str);
}

static void
close_pdf(gpointer state)
{
    PdfReader *reader = state;

    lake_ingest_sequence_free(reader->sequence);
    lake_pdf_document_free(reader->pdf);
    g_string_free(reader->notes, TRUE);
    g_free(reader);
}

static char *
settings_json(const LakeIngestSettings *settings)
{
    return g_strdup_printf("{\"pdf_dpi\": %" G_GINT64_FORMAT "}", settings->pdf_dpi);
}

const LakeNormaliser lake_ingest_pdf = {
    .kind = "pdf",
    .columns = columns,
    .n_columns = G_N_ELEMENTS(columns),
    .extensions = extensions,
    .refuses_empty = TRUE,
    .is_slow = TRUE,
    .open = open_pdf,
    .next_row = next_row,
    .facts = facts,
    .close = close_pdf,
    .settings_json = settings_json,
};

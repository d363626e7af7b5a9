/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/pdf/document.h: an opened PDF: MuPDF's memory, its locks, the file as its stream,
 * and which pages there are.
 *
 * MuPDF reports failures by longjmp. So a function that enters fz_try neither returns from it
 * nor owns anything there that has to be freed by scope, and nothing of ours calls back into
 * MuPDF from a callback. Its document is for one thread at a time, which holds the mutex;
 * display lists, fonts and images are for any, each with a context of its own.
 */

#include "core/ingest/pdf/memory.h"
#include "core/spool.h"

#include <mupdf/fitz.h>
#include <mupdf/pdf.h>

typedef struct {
    LakeSpool *content; /* borrowed */
    GMutex locks[FZ_LOCK_MAX];
    LakePdfMemory memory;
    gboolean has_end; /* the file's end is there, as far as one can see */

    fz_context *context; /* of whoever opens and closes; others take one of their own */

    GMutex mutex; /* guards the rest, and is held while document is used */
    pdf_document *document;
    GCancellable *stop; /* borrowed; of whoever uses document now */
    gint64 deadline_us; /* monotonic, until when it may read; 0: no limit */
    int n_pages;
    int n_claimed; /* pages, as the file says */
} LakePdf;

/* A context of MuPDF with what it had to say. */
typedef struct {
    fz_context *context;
    GCancellable *stop; /* borrowed; may be NULL */
    fz_cookie cookie;
    gulong handler; /* of stop */
    fz_rect box;    /* pixels that are drawn now; for guard.c, as the next */
    int (*begin_tile)(fz_context *context, fz_device *device, fz_rect area, fz_rect view,
        float x_step, float y_step, fz_matrix matrix, int id);
    gboolean is_out_of_memory;
    gboolean is_absurd; /* said has the reason, in our words */
    char said[256];     /* its first complaint */
} LakePdfThread;

/* Checks and opens. content is borrowed. NULL, class INGEST:
 *   BAD_INPUT  not a PDF, encrypted, broken, cut off
 *   TOO_BIG    more than max_pages pages, or more memory than a document may take */
LakePdf *lake_pdf_document_open(
    LakeSpool *content, gint64 max_pages, GCancellable *cancellable, GError **error);
/* After the last thread has ended. */
void lake_pdf_document_free(LakePdf *pdf);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakePdf, lake_pdf_document_free)

/* FALSE: parts of the file had to be guessed, and its end is missing: pages may be, too. */
gboolean lake_pdf_document_is_whole(LakePdf *pdf, GError **error);
/* TRUE: MuPDF had to mend the file, so far. */
gboolean lake_pdf_document_was_repaired(LakePdf *pdf);

/* Gives thread a context of its own. FALSE: out of memory. */
gboolean
lake_pdf_thread_init(LakePdfThread *thread, LakePdf *pdf, GCancellable *stop, GError **error);
void lake_pdf_thread_clear(LakePdfThread *thread);

/* Throws in the context when thread is not to go on. */
void lake_pdf_thread_check(LakePdfThread *thread);

/* Says why MuPDF gave up: CANCELLED, TOO_BIG, or BAD_INPUT with what, in our words, and then
 * what MuPDF said. Returns FALSE. */
gboolean lake_pdf_thread_fail(
    const LakePdfThread *thread, GError **error, const char *format, ...) G_GNUC_PRINTF(3, 4);

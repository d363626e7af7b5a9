/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/pdf/document.h"

#include "core/error.h"
#include "core/ingest/pdf/inspect.h"
#include "core/ingest/pdf/tree.h"
#include "core/ingest/sniff.h"

#include <stdlib.h>
#include <string.h>

#define STORE_MAX_BYTES (64 * 1024 * 1024) /* decoded fonts and images kept for later pages */
#define READ_BYTES 4096
/* What MuPDF gets at once. 128 bytes that are packed twice are 130 million: within a second it
 * asks for more, and can be told to stop. */
#define SLICE_BYTES 128
#define HEADER_BYTES 1024 /* within which "%PDF-" is found: Acrobat's own habit */
#define TAIL_BYTES 1024   /* likewise "%%EOF" */
#define PADDING_MAX_BYTES                                                                      \
    (1024 * 1024) /* of zeros behind the end, as block devices leave them */
#define OPEN_TIMEOUT_S 60

/* The file as MuPDF reads it. */
typedef struct {
    LakePdf *pdf;
    gint64 position; /* in the file, of bytes[0] */
    gint64 n_bytes;
    guint8 bytes[READ_BYTES];
} Reader;

static void
lock(void *user, int which)
{
    LakePdf *pdf = user;

    g_mutex_lock(&pdf->locks[which]);
}

static void
unlock(void *user, int which)
{
    LakePdf *pdf = user;

    g_mutex_unlock(&pdf->locks[which]);
}

static void
hear_error(void *user, const char *message)
{
    LakePdfThread *thread = user;

    /* "malloc of 9 bytes failed", "calloc (3 x 3 bytes) failed", "realloc (9 bytes) failed" */
    if (strstr(message, "alloc") && g_str_has_suffix(message, "failed"))
        thread->is_out_of_memory = TRUE;
    if (!thread->said[0])
        g_strlcpy(thread->said, message, sizeof thread->said);
}

static void
hear_warning(void *user, const char *message)
{
}

/* Nobody listens to this context, whose thread is over. */
static void
hear_nothing(void *user, const char *message)
{
}

static void
listen(LakePdfThread *thread)
{
    fz_set_error_callback(thread->context, hear_error, thread);
    fz_set_warning_callback(thread->context, hear_warning, thread);
    fz_set_user_context(thread->context, thread);
}

/* Every object and every stream is read through here, slice by slice: this is what ends an
 * endless one. */
static int
read_more(fz_context *context, fz_stream *stream, size_t n_wanted)
{
    Reader *reader = stream->state;
    LakePdf *pdf = reader->pdf;
    gint64 at = stream->pos - reader->position;

    if (g_cancellable_is_cancelled(pdf->stop) ||
        (pdf->deadline_us && g_get_monotonic_time() > pdf->deadline_us))
        fz_throw(context, FZ_ERROR_ABORT, "stopped");
    if (at < 0 || at >= reader->n_bytes) {
        reader->position = stream->pos;
        reader->n_bytes = lake_spool_read(
            pdf->content, reader->position, reader->bytes, sizeof reader->bytes, NULL);
        at = 0;
    }
    if (reader->n_bytes < 0)
        fz_throw(context, FZ_ERROR_GENERIC, "the staged file cannot be read");

    gint64 n_read = MIN(reader->n_bytes - at, SLICE_BYTES);
    stream->rp = reader->bytes + at;
    stream->wp = stream->rp + n_read;
    stream->pos += n_read;
    return n_read == 0 ? EOF : *stream->rp++;
}

static void
seek(fz_context *context, fz_stream *stream, int64_t offset, int whence)
{
    Reader *reader = stream->state;
    gint64 base = 0;

    /* MuPDF turns SEEK_CUR into SEEK_SET before it asks. */
    if (whence == SEEK_END)
        base = lake_spool_size(reader->pdf->content);
    if (offset < -base)
        fz_throw(context, FZ_ERROR_GENERIC, "a place before the beginning of the file");
    stream->pos = base + offset;
    stream->rp = stream->wp = reader->bytes;
}

static void
drop_reader(fz_context *context, void *state)
{
    fz_free(context, state);
}

/* Throws. */
static fz_stream *
new_stream(fz_context *context, LakePdf *pdf)
{
    Reader *reader = fz_malloc_struct(context, Reader);
    fz_stream *stream;

    reader->pdf = pdf;
    stream = fz_new_stream(context, reader, read_more, drop_reader);
    stream->seek = seek;
    return stream;
}

gboolean
lake_pdf_thread_fail(const LakePdfThread *thread, GError **error, const char *format, ...)
{
    g_autofree char *what = NULL;
    va_list arguments;

    va_start(arguments, format);
    what = g_strdup_vprintf(format, arguments);
    va_end(arguments);

    if (g_cancellable_is_cancelled(thread->stop)) {
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_CANCELLED, "interrupted");
    } else if (thread->is_absurd) {
        lake_error_bad_input(error, LAKE_ERROR_CLASS_INGEST, "%s: %s", what, thread->said);
    } else if (thread->is_out_of_memory) {
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_TOO_BIG,
            "%s: that takes more than %" G_GSIZE_FORMAT " MiB of memory", what,
            LAKE_PDF_MEMORY_MAX_BYTES / (1024 * 1024));
        if (error)
            lake_error_hint(
                *error, "make the images in it smaller, or a lower pdf_dpi may help");
    } else {
        g_autofree char *said = g_utf8_make_valid(thread->said, -1);
        lake_error_bad_input(error, LAKE_ERROR_CLASS_INGEST, "%s (MuPDF says: %s)", what,
            said[0] ? said : "nothing");
        if (error)
            lake_error_hint(*error, "save it anew with another program, or ingest it under "
                                    "another extension, as it is");
    }
    return FALSE;
}

void
lake_pdf_thread_check(LakePdfThread *thread)
{
    if (g_cancellable_is_cancelled(thread->stop))
        fz_throw(thread->context, FZ_ERROR_ABORT, "stopped");
}

/* Runs in the thread that cancels. MuPDF looks at it every now and then. */
static void
abort_it(GCancellable *stop, gpointer data)
{
    LakePdfThread *thread = data;

    g_atomic_int_set(&thread->cookie.abort, 1);
}

gboolean
lake_pdf_thread_init(LakePdfThread *thread, LakePdf *pdf, GCancellable *stop, GError **error)
{
    memset(thread, 0, sizeof *thread);
    thread->context = fz_clone_context(pdf->context);
    if (!thread->context) {
        thread->is_out_of_memory = TRUE;
        return lake_pdf_thread_fail(thread, error, "starting on a page");
    }
    listen(thread);
    thread->stop = stop;
    if (stop)
        thread->handler = g_cancellable_connect(stop, G_CALLBACK(abort_it), thread, NULL);
    return TRUE;
}

void
lake_pdf_thread_clear(LakePdfThread *thread)
{
    if (thread->stop)
        g_cancellable_disconnect(thread->stop, thread->handler);
    fz_drop_context(thread->context);
    thread->context = NULL;
}

static gboolean
refuse_other_kind(LakePdf *pdf, const guint8 *header, gsize n_bytes, GError **error)
{
    const char *known = lake_ingest_sniff(header, n_bytes);

    lake_error_bad_input(error, LAKE_ERROR_CLASS_INGEST, "the file is not a PDF: %s%s",
        known ? "it is " : "none of its first 1024 bytes say so", known ? known : "");
    if (error)
        lake_error_hint(*error, "give it the extension of what it is, or one of no kind (such "
                                "as .bin) to keep its bytes as they are");
    return FALSE;
}

static gboolean
refuse_cut_off(LakePdf *pdf, GError **error)
{
    lake_error_bad_input(error, LAKE_ERROR_CLASS_INGEST,
        "the PDF ends before its end, at byte %" G_GINT64_FORMAT
        ": it was not copied or saved completely",
        lake_spool_size(pdf->content));
    if (error)
        lake_error_hint(*error, "copy it again from where it is whole");
    return FALSE;
}

/* A file for the web says in its first bytes how long it is: "/Linearized 1 … /L 54321". TRUE
 * when it should be longer than it is. */
static gboolean
is_shorter_than_it_says(const char *header, gint64 n_bytes)
{
    const char *at = strstr(header, "/Linearized");
    const char *end = at ? strstr(at, ">>") : NULL;

    if (!end)
        return FALSE;
    for (at = strstr(at, "/L"); at && at < end; at = strstr(at + 2, "/L"))
        if (g_ascii_isspace(at[2]) || g_ascii_isdigit(at[2]))
            return g_ascii_strtoll(at + 2, NULL, 10) > n_bytes;
    return FALSE;
}

/* FALSE: the file does not begin as a PDF does. */
static gboolean
check_header(LakePdf *pdf, GError **error)
{
    guint8 header[HEADER_BYTES + 1];
    gssize n_bytes = lake_spool_read(pdf->content, 0, header, HEADER_BYTES, error);

    if (n_bytes < 0)
        return FALSE;
    if (!g_strstr_len((char *)header, n_bytes, "%PDF-"))
        return refuse_other_kind(pdf, header, (gsize)n_bytes, error);

    for (gssize i = 0; i < n_bytes; i++)
        header[i] = header[i] ? header[i] : ' ';
    header[n_bytes] = '\0';
    if (is_shorter_than_it_says((char *)header, lake_spool_size(pdf->content)))
        return refuse_cut_off(pdf, error);
    return TRUE;
}

/* Where the bytes end that are not zero, or -1 with an error. */
static gint64
find_end(LakeSpool *content, GError **error)
{
    gint64 end = lake_spool_size(content);
    gint64 least = MAX(0, end - PADDING_MAX_BYTES);
    guint8 bytes[READ_BYTES];

    while (end > least) {
        gint64 begin = MAX(least, end - (gint64)sizeof bytes);
        gssize n_bytes = lake_spool_read(content, begin, bytes, (gsize)(end - begin), error);
        if (n_bytes < 0)
            return -1;
        while (n_bytes > 0 && bytes[n_bytes - 1] == 0)
            n_bytes--;
        end = begin + n_bytes;
        if (n_bytes > 0)
            break;
    }
    return end;
}

static gboolean
look_for_end(LakePdf *pdf, GError **error)
{
    char tail[TAIL_BYTES];
    gint64 end = find_end(pdf->content, error);

    if (end < 0)
        return FALSE;
    gint64 begin = MAX(0, end - TAIL_BYTES);
    gssize n_bytes = lake_spool_read(pdf->content, begin, tail, (gsize)(end - begin), error);
    if (n_bytes < 0)
        return FALSE;
    pdf->has_end = g_strstr_len(tail, n_bytes, "%%EOF") != NULL;
    return TRUE;
}

static gboolean
refuse_encrypted(GError **error)
{
    lake_error_bad_input(
        error, LAKE_ERROR_CLASS_INGEST, "the PDF is encrypted and asks for a password");
    if (error)
        lake_error_hint(*error, "decrypt it first, for example with: qpdf --decrypt "
                                "--password-file=FILE in.pdf out.pdf");
    return FALSE;
}

/* Opens what begins like a PDF. */
static gboolean
open_document(LakePdf *pdf, LakePdfThread *thread, GError **error)
{
    fz_context *context = pdf->context;
    fz_stream *stream = NULL;
    gboolean is_open = FALSE;
    gboolean is_locked = FALSE;

    fz_var(stream);
    fz_var(is_open);
    fz_var(is_locked);
    fz_try(context)
    {
        stream = new_stream(context, pdf);
        pdf->document = pdf_open_document_with_stream(context, stream);
        is_locked = pdf_needs_password(context, pdf->document) != 0;
        is_open = TRUE;
    }
    fz_always(context) fz_drop_stream(context, stream);
    fz_catch(context) is_open = FALSE;

    if (is_locked)
        return refuse_encrypted(error);
    if (is_open)
        return TRUE;
    if (!pdf->has_end && !g_cancellable_is_cancelled(thread->stop))
        return refuse_cut_off(pdf, error);
    return lake_pdf_thread_fail(thread, error, "the PDF is too broken to be read");
}

static gboolean
open_all(LakePdf *pdf, LakePdfThread *thread, gint64 max_pages, GError **error)
{
    return check_header(pdf, error) && look_for_end(pdf, error) &&
           open_document(pdf, thread, error) && lake_pdf_document_is_whole(pdf, error) &&
           lake_pdf_tree_load(pdf, thread, max_pages, error) &&
           lake_pdf_inspect(pdf, thread, error) && lake_pdf_document_is_whole(pdf, error);
}

LakePdf *
lake_pdf_document_open(
    LakeSpool *content, gint64 max_pages, GCancellable *cancellable, GError **error)
{
    g_autoptr(LakePdf) pdf = g_new0(LakePdf, 1);
    fz_alloc_context alloc;
    fz_locks_context locks = {pdf, lock, unlock};
    LakePdfThread thread = {.stop = cancellable};

    pdf->content = content;
    g_mutex_init(&pdf->mutex);
    for (guint i = 0; i < G_N_ELEMENTS(pdf->locks); i++)
        g_mutex_init(&pdf->locks[i]);
    lake_pdf_memory_init(&pdf->memory, &alloc);
    pdf->context = thread.context = fz_new_context(&alloc, &locks, STORE_MAX_BYTES);
    if (!pdf->context) {
        lake_error_set(
            error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_FAILED, "MuPDF could not be started");
        return NULL;
    }

    listen(&thread);
    g_mutex_lock(&pdf->mutex);
    pdf->stop = cancellable;
    pdf->deadline_us = g_get_monotonic_time() + OPEN_TIMEOUT_S * G_USEC_PER_SEC;
    gboolean is_open = open_all(pdf, &thread, max_pages, error);
    pdf->stop = NULL;
    pdf->deadline_us = 0;
    g_mutex_unlock(&pdf->mutex);

    fz_set_error_callback(pdf->context, hear_nothing, NULL);
    fz_set_warning_callback(pdf->context, hear_nothing, NULL);
    fz_set_user_context(pdf->context, NULL);
    return is_open ? g_steal_pointer(&pdf) : NULL;
}

void
lake_pdf_document_free(LakePdf *pdf)
{
    if (!pdf)
        return;
    if (pdf->document) {
        lake_pdf_tree_unload(pdf);
        pdf_drop_document(pdf->context, pdf->document);
    }
    fz_drop_context(pdf->context);
    lake_pdf_memory_clear(&pdf->memory);
    for (guint i = 0; i < G_N_ELEMENTS(pdf->locks); i++)
        g_mutex_clear(&pdf->locks[i]);
    g_mutex_clear(&pdf->mutex);
    g_free(pdf);
}

gboolean
lake_pdf_document_was_repaired(LakePdf *pdf)
{
    return pdf_was_repaired(pdf->context, pdf->document) != 0;
}

gboolean
lake_pdf_document_is_whole(LakePdf *pdf, GError **error)
{
    if (pdf->has_end || !lake_pdf_document_was_repaired(pdf))
        return TRUE;
    return refuse_cut_off(pdf, error);
}

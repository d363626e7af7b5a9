/* SPDX-License-Identifier: Apache-2.0 */

/* core/ingest/text.c: the kind text: windows of chunk_size characters (Unicode code points)
 * that advance by chunk_size - chunk_overlap, until the first that reaches the end of the text.
 *
 * One window and one block of the decoder are in memory. The text passes as it is: line ends
 * and composed characters stay what they were. */

#include "core/error.h"
#include "core/ingest/decode.h"
#include "core/ingest/normaliser.h"

#include <string.h>

typedef struct {
    const LakeNormaliserInput *input;
    LakeTextDecoder *decoder;
    gint64 step; /* from a window to the next, characters */
    gint64 n_rows;
    gint64 chunk_index; /* of the next row */
    GString *text;      /* decoded; windows before `start` are done with */
    gsize start;        /* where the next window begins, bytes */
    gint64 n_pending;   /* characters from there to the end of text */
} TextReader;

static const LakeColumn columns[] = {
    {"file_id", LAKE_TYPE_TEXT},
    {"chunk_index", LAKE_TYPE_INT32},
    {"text", LAKE_TYPE_TEXT},
};

static const char *const extensions[] = {"txt", "md", "csv", "json", "xml", "html", NULL};

static void
close_text(gpointer state)
{
    TextReader *reader = state;

    lake_text_decoder_free(reader->decoder);
    g_string_free(reader->text, TRUE);
    g_free(reader);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(TextReader, close_text)

static gint64
count_rows(gint64 n_characters, const LakeIngestSettings *settings)
{
    gint64 step = settings->chunk_size - settings->chunk_overlap;

    if (n_characters == 0)
        return 0;
    if (n_characters <= settings->chunk_size)
        return 1;
    return 1 + (n_characters - settings->chunk_size - 1) / step + 1;
}

static gpointer
open_text(const LakeNormaliserInput *input, GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeTextDecoder) decoder = NULL;

    if (!lake_ingest_settings_check(&input->settings, error))
        return NULL;
    decoder = lake_text_decoder_open(input->content, cancellable, error);
    if (!decoder)
        return NULL;

    gint64 n_characters = lake_text_decoder_n_characters(decoder);
    gint64 n_rows = count_rows(n_characters, &input->settings);
    if (n_rows > G_MAXINT32) {
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_TOO_BIG,
            "%" G_GINT64_FORMAT " characters make %" G_GINT64_FORMAT
            " chunks, but a file has at most %d: choose a larger chunk_size",
            n_characters, n_rows, G_MAXINT32);
        return NULL;
    }

    TextReader *reader = g_new0(TextReader, 1);
    reader->input = input;
    reader->decoder = g_steal_pointer(&decoder);
    reader->step = input->settings.chunk_size - input->settings.chunk_overlap;
    reader->n_rows = n_rows;
    reader->text = g_string_new(NULL);
    return reader;
}

/* Passes over up to *n_characters characters of text, takes them off *n_characters, and returns
 * their bytes. Characters are counted by the bytes that begin one, eight bytes at a time. */
static gsize
pass_characters(const char *text, gsize n_bytes, gint64 *n_characters)
{
    gsize i = 0;

    while (*n_characters >= 8 && i + 8 <= n_bytes) {
        guint64 word;
        memcpy(&word, text + i, sizeof word);
        word = (word >> 7) & ~(word >> 6) & 0x0101010101010101u;
        *n_characters -= 8 - (gint64)((word * 0x0101010101010101u) >> 56);
        i += 8;
    }
    for (; i < n_bytes; i++) {
        gboolean begins = ((guchar)text[i] & 0xc0) != 0x80;
        if (begins && *n_characters == 0)
            break;
        *n_characters -= begins;
    }
    return i;
}

static gint64
count_characters(const char *text, gsize n_bytes)
{
    gint64 n_left = G_MAXINT64;

    pass_characters(text, n_bytes, &n_left);
    return G_MAXINT64 - n_left;
}

/* Where n_characters after `at` end; both lie in what is pending. Where that is all ASCII there
 * is nothing to count. */
static gsize
skip_pending(const TextReader *reader, gsize at, gint64 n_characters)
{
    if (reader->n_pending == (gint64)(reader->text->len - reader->start))
        return at + (gsize)n_characters;
    return at + pass_characters(reader->text->str + at, reader->text->len - at, &n_characters);
}

/* Decodes until n_characters are pending. */
static gboolean
fill(TextReader *reader, gint64 n_characters, GCancellable *cancellable, GError **error)
{
    if (reader->n_pending >= n_characters)
        return TRUE;

    g_string_erase(reader->text, 0, (gssize)reader->start);
    reader->start = 0;
    while (reader->n_pending < n_characters) {
        gsize n_before = reader->text->len;
        if (!lake_text_decoder_read(reader->decoder, reader->text, cancellable, error))
            return FALSE;
        if (reader->text->len == n_before) {
            lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_FAILED,
                "the file changed while it was read");
            return FALSE;
        }
        reader->n_pending +=
            count_characters(reader->text->str + n_before, reader->text->len - n_before);
    }
    return TRUE;
}

static gboolean
next_row(gpointer state, LakeRows *rows, gboolean *ret_done, GCancellable *cancellable,
    GError **error)
{
    TextReader *reader = state;
    const LakeNormaliserInput *input = reader->input;

    *ret_done = reader->chunk_index == reader->n_rows;
    if (*ret_done)
        return TRUE;

    gint64 n_left =
        lake_text_decoder_n_characters(reader->decoder) - reader->chunk_index * reader->step;
    gint64 n_window = MIN(n_left, input->settings.chunk_size);
    gint64 n_step = MIN(n_window, reader->step);
    if (!fill(reader, n_window, cancellable, error))
        return FALSE;

    gsize next = skip_pending(reader, reader->start, n_step);
    gsize end = skip_pending(reader, next, n_window - n_step);
    lake_rows_add_text(rows, input->file_id, strlen(input->file_id));
    lake_rows_add_int32(rows, (gint32)reader->chunk_index);
    lake_rows_add_text(rows, reader->text->str + reader->start, end - reader->start);

    reader->start = next;
    reader->n_pending -= n_step;
    reader->chunk_index++;
    return TRUE;
}

static void
facts(gpointer state, LakeNormaliserFacts *ret_facts)
{
    TextReader *reader = state;

    ret_facts->encoding = g_strdup(lake_text_decoder_encoding(reader->decoder));
    ret_facts->n_rows_total = reader->n_rows;
}

/* As jsonb prints it, shorter keys first, so that the ledger's can be compared as text. */
static char *
settings_json(const LakeIngestSettings *settings)
{
    return g_strdup_printf("{\"chunk_size\": %" G_GINT64_FORMAT
                           ", \"chunk_overlap\": %" G_GINT64_FORMAT "}",
        settings->chunk_size, settings->chunk_overlap);
}

const LakeNormaliser lake_ingest_text = {
    .kind = "text",
    .columns = columns,
    .n_columns = G_N_ELEMENTS(columns),
    .extensions = extensions,
    .open = open_text,
    .next_row = next_row,
    .facts = facts,
    .close = close_text,
    .settings_json = settings_json,
};

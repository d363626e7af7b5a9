/* SPDX-License-Identifier: Apache-2.0 */
#include "core/query/kept.h"

#include "core/error.h"
#include "core/query/format.h"

#include <string.h>

#define WINDOW_BYTES (256 * 1024)
/* Two lengths of 19 digits, a space and a line feed. */
#define LENGTHS_MAX_BYTES 40

void
lake_kept_append(GString *into, const GString *json, const GString *csv)
{
    g_string_append_printf(
        into, "%" G_GSIZE_FORMAT " %" G_GSIZE_FORMAT "\n", json->len, csv->len);
    g_string_append_len(into, json->str, (gssize)json->len);
    g_string_append_len(into, csv->str, (gssize)csv->len);
}

/* A part of the kept result in memory, and what was made of it. */
typedef struct {
    LakeSpool *kept; /* borrowed */
    LakeSpool *into; /* borrowed */
    gint64 offset;   /* of the window */
    gsize position;  /* in the window: what comes next */
    gsize n_window;
    char *window;
    GString *piece;
} Reading;

static void
clear_reading(Reading *reading)
{
    g_free(reading->window);
    g_string_free(reading->piece, TRUE);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Reading, clear_reading)

static gboolean
move_window(Reading *reading, GError **error)
{
    gssize n_read;

    reading->offset += (gint64)reading->position;
    reading->position = 0;
    reading->n_window = 0;
    n_read =
        lake_spool_read(reading->kept, reading->offset, reading->window, WINDOW_BYTES, error);
    if (n_read < 0)
        return FALSE;
    reading->n_window = (gsize)n_read;
    return TRUE;
}

static gboolean
write_piece(Reading *reading, GError **error)
{
    if (!lake_spool_append(reading->into, reading->piece->str, reading->piece->len, error)) {
        g_prefix_error(error, "cannot keep the result: ");
        return FALSE;
    }
    g_string_truncate(reading->piece, 0);
    return TRUE;
}

/* Copies the next n_bytes to the piece, or passes over them. */
static gboolean
take_bytes(Reading *reading, gsize n_bytes, gboolean is_wanted, GError **error)
{
    while (n_bytes > 0) {
        if (reading->position == reading->n_window && !move_window(reading, error))
            return FALSE;

        gsize n_taken = MIN(n_bytes, reading->n_window - reading->position);
        if (n_taken == 0) {
            lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_FAILED,
                "the result that was kept of this statement ends too early");
            return FALSE;
        }
        if (is_wanted)
            g_string_append_len(
                reading->piece, reading->window + reading->position, (gssize)n_taken);
        reading->position += n_taken;
        n_bytes -= n_taken;
        if (reading->piece->len >= WINDOW_BYTES && !write_piece(reading, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean
parse_length(const char **text, const char *end, char stop, gsize *ret_n_bytes)
{
    const char *p = *text;
    guint64 n_bytes = 0;

    for (; p < end && g_ascii_isdigit(*p) && p - *text < 18; p++)
        n_bytes = n_bytes * 10 + (guint64)(*p - '0');
    if (p == *text || p == end || *p != stop)
        return FALSE;
    *text = p + 1;
    *ret_n_bytes = (gsize)n_bytes;
    return TRUE;
}

/* *ret_is_end: there is no further record. */
static gboolean
take_lengths(
    Reading *reading, gsize *ret_n_json, gsize *ret_n_csv, gboolean *ret_is_end, GError **error)
{
    if (reading->n_window - reading->position < LENGTHS_MAX_BYTES &&
        !move_window(reading, error))
        return FALSE;
    *ret_is_end = reading->position == reading->n_window;
    if (*ret_is_end)
        return TRUE;

    const char *text = reading->window + reading->position;
    const char *end = reading->window + reading->n_window;
    if (!parse_length(&text, end, ' ', ret_n_json) ||
        !parse_length(&text, end, '\n', ret_n_csv)) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_FAILED,
            "the result that was kept of this statement cannot be read");
        return FALSE;
    }
    reading->position = (gsize)(text - reading->window);
    return TRUE;
}

gboolean
lake_query_write_kept(LakeSpool *kept, LakeQueryFormat format, LakeSpool *into, GError **error)
{
    g_auto(Reading) reading = {.kept = kept,
        .into = into,
        .window = g_malloc(WINDOW_BYTES),
        .piece = g_string_sized_new(WINDOW_BYTES)};
    gboolean is_csv = format == LAKE_QUERY_CSV;
    gint64 n_rows = 0;

    for (;;) {
        gsize n_json, n_csv;
        gboolean is_end;

        if (!take_lengths(&reading, &n_json, &n_csv, &is_end, error))
            return FALSE;
        if (is_end)
            break;
        if (n_json > 0 && !is_csv)
            lake_query_format_begin_row(reading.piece, format, n_rows++);
        if (!take_bytes(&reading, n_json, !is_csv, error) ||
            !take_bytes(&reading, n_csv, is_csv, error))
            return FALSE;
        if (n_json > 0 && !is_csv)
            lake_query_format_end_row(reading.piece, format);
    }
    lake_query_format_end(reading.piece, format, n_rows);
    return write_piece(&reading, error);
}

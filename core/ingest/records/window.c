/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/records/window.h"

#include "core/error.h"
#include <string.h>

#define BLOCK_BYTES ((gsize)256 * 1024)

void
lake_record_window_init(LakeRecordWindow *window, LakeSpool *content)
{
    *window = (LakeRecordWindow){.content = content, .line = 1};
}

void
lake_record_window_clear(LakeRecordWindow *window)
{
    g_clear_pointer(&window->bytes, g_free);
}

static void
make_room(LakeRecordWindow *window, gsize n_bytes)
{
    gsize n_held = window->end - window->begin;

    if (window->begin > 0)
        memmove(window->bytes, window->bytes + window->begin, n_held);
    window->begin = 0;
    window->end = n_held;
    if (window->capacity < n_held + n_bytes + 1) {
        window->capacity = n_held + n_bytes + 1;
        window->bytes = g_realloc(window->bytes, window->capacity);
    }
}

gboolean
lake_record_window_more(LakeRecordWindow *window, GError **error)
{
    gsize n_held = window->end - window->begin;

    if (n_held >= LAKE_RECORD_MAX_BYTES) {
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_TOO_BIG,
            "line %" G_GUINT64_FORMAT ": the row that begins here has more than %d MiB",
            window->line, LAKE_RECORD_MAX_BYTES >> 20);
        if (error)
            lake_error_hint(
                *error, "is a quote or a bracket not closed? a row may have 100 MiB");
        return FALSE;
    }

    gsize n_wanted = MIN(MAX(BLOCK_BYTES, n_held), LAKE_RECORD_MAX_BYTES - n_held);
    make_room(window, n_wanted);
    gssize n_read = lake_spool_read(
        window->content, window->offset, window->bytes + window->end, n_wanted, error);
    if (n_read < 0)
        return FALSE;
    window->offset += n_read;
    window->end += (gsize)n_read;
    window->bytes[window->end] = '\0';
    window->is_at_end = n_read == 0;
    return TRUE;
}

static guint64
count_lines(const char *at, const char *end)
{
    guint64 n_lines = 0;

    for (; (at = memchr(at, '\n', (gsize)(end - at))); at++)
        n_lines++;
    return n_lines;
}

guint64
lake_record_window_line_of(const LakeRecordWindow *window, const char *at)
{
    return window->line + count_lines(window->bytes + window->begin, at);
}

void
lake_record_window_pass(LakeRecordWindow *window, gsize n_bytes)
{
    g_assert(n_bytes <= window->end - window->begin);
    if (n_bytes == 0)
        return;
    window->line = lake_record_window_line_of(window, window->bytes + window->begin + n_bytes);
    window->begin += n_bytes;
}

/* Eight bytes at a time; rows are ASCII more often than not. */
static gboolean
is_plain(const char *text, gsize n_bytes)
{
    gsize i = 0;

    for (; i + 8 <= n_bytes; i += 8) {
        guint64 word;
        memcpy(&word, text + i, sizeof word);
        /* A zero byte borrows into its highest bit, and no other does where all are ASCII. */
        if (((word - 0x0101010101010101u) | word) & 0x8080808080808080u)
            return FALSE;
    }
    for (; i < n_bytes; i++)
        if (text[i] <= 0)
            return FALSE;
    return TRUE;
}

gboolean
lake_record_is_text(const char *text, gsize n_bytes)
{
    return is_plain(text, n_bytes) || g_utf8_validate_len(text, n_bytes, NULL);
}

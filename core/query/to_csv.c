/* SPDX-License-Identifier: Apache-2.0 */
#include "core/query/to_csv.h"

#include "core/query/append.h"

#include <string.h>

/* A comma, a quote or a line break in it: such a value stands in quotes. */
static gboolean
has_special(const char *text, gsize n_bytes)
{
    gsize i = 0;

    for (; i + 8 <= n_bytes; i += 8) {
        guint64 word;
        memcpy(&word, text + i, 8);
        if (lake_append_find(word, ',') | lake_append_find(word, '"') |
            lake_append_find(word, '\n') | lake_append_find(word, '\r'))
            return TRUE;
    }
    for (; i < n_bytes; i++) {
        if (text[i] == ',' || text[i] == '"' || text[i] == '\n' || text[i] == '\r')
            return TRUE;
    }
    return FALSE;
}

static void
append_quoted(GString *into, const char *text, gsize n_bytes)
{
    const char *end = text + n_bytes;
    const char *quote;

    lake_append_char(into, '"');
    while ((quote = memchr(text, '"', (gsize)(end - text)))) {
        lake_append_raw(into, text, (gsize)(quote + 1 - text));
        lake_append_char(into, '"');
        text = quote + 1;
    }
    lake_append_raw(into, text, (gsize)(end - text));
    lake_append_char(into, '"');
}

static void
append_field(GString *into, const char *text, gsize n_bytes)
{
    /* A line of \. alone would end the data for COPY. */
    gboolean is_end_mark = n_bytes == 2 && memcmp(text, "\\.", 2) == 0;

    if (n_bytes == 0 || is_end_mark || has_special(text, n_bytes))
        append_quoted(into, text, n_bytes);
    else
        lake_append_raw(into, text, n_bytes);
}

void
lake_csv_append_record(
    GString *into, const char *const *texts, const gsize *lengths, guint n_columns)
{
    for (guint i = 0; i < n_columns; i++) {
        if (i > 0)
            lake_append_char(into, ',');
        if (texts[i])
            append_field(into, texts[i], lengths[i]);
    }
    if (n_columns > 0)
        lake_append_char(into, '\n');
}

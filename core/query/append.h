/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/query/append.h: what writers of results put into a GString, without a call per value:
 * a result has millions. One thread at a time per string.
 */

#include <glib.h>
#include <string.h>

#define LAKE_APPEND_ONES G_GUINT64_CONSTANT(0x0101010101010101)
#define LAKE_APPEND_HIGH (LAKE_APPEND_ONES * 0x80)

/* Room for n_bytes and a NUL at the end of into; what is written there counts after
 * lake_append_finish(). */
static inline char *
lake_append_reserve(GString *into, gsize n_bytes)
{
    if (G_UNLIKELY(into->allocated_len - into->len <= n_bytes)) {
        gsize len = into->len;
        g_string_set_size(into, len + n_bytes);
        into->len = len;
    }
    return into->str + into->len;
}

static inline void
lake_append_finish(GString *into, const char *end)
{
    into->len = (gsize)(end - into->str);
    into->str[into->len] = '\0';
}

static inline void
lake_append_raw(GString *into, const char *text, gsize n_bytes)
{
    char *out = lake_append_reserve(into, n_bytes);

    memcpy(out, text, n_bytes);
    lake_append_finish(into, out + n_bytes);
}

static inline void
lake_append_char(GString *into, char c)
{
    char *out = lake_append_reserve(into, 1);

    *out++ = c;
    lake_append_finish(into, out);
}

/* Not 0 when one of the word's eight bytes is c. */
static inline guint64
lake_append_find(guint64 word, char c)
{
    guint64 zero = word ^ (LAKE_APPEND_ONES * (guchar)c);

    return (zero - LAKE_APPEND_ONES) & ~zero & LAKE_APPEND_HIGH;
}

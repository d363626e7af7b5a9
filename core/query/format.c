/* SPDX-License-Identifier: Apache-2.0 */
#include "core/query/format.h"

typedef struct {
    const char *first; /* before the first row */
    const char *next;  /* before every other */
    const char *after; /* after each */
    const char *end;
    const char *end_of_none; /* instead, when there are no rows */
} Shape;

/* Records of CSV and of what is kept bring their ends along. */
static const Shape *
shape_of(LakeQueryFormat format)
{
    static const Shape array = {"[", ",\n ", "", "]\n", "[]\n"};
    static const Shape lines = {"", "", "\n", "", ""};
    static const Shape records = {"", "", "", "", ""};

    switch (format) {
    case LAKE_QUERY_JSON:
        return &array;
    case LAKE_QUERY_JSONL:
        return &lines;
    case LAKE_QUERY_CSV:
    case LAKE_QUERY_KEPT:
        return &records;
    }
    g_assert_not_reached();
}

void
lake_query_format_begin_row(GString *into, LakeQueryFormat format, gint64 n_rows)
{
    const Shape *shape = shape_of(format);

    g_string_append(into, n_rows > 0 ? shape->next : shape->first);
}

void
lake_query_format_end_row(GString *into, LakeQueryFormat format)
{
    g_string_append(into, shape_of(format)->after);
}

void
lake_query_format_end(GString *into, LakeQueryFormat format, gint64 n_rows)
{
    const Shape *shape = shape_of(format);

    g_string_append(into, n_rows > 0 ? shape->end : shape->end_of_none);
}

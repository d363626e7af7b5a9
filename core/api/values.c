/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/values.h"

#include <math.h>
#include <string.h>

#define ARRAY_DIMENSIONS_MAX 6 /* MAXDIM of PostgreSQL */

static gint32
read_int32(const guint8 *bytes)
{
    guint32 bits;

    memcpy(&bits, bytes, sizeof bits);
    return (gint32)GUINT32_FROM_BE(bits);
}

static gint64
read_int64(const guint8 *bytes)
{
    guint64 bits;

    memcpy(&bits, bytes, sizeof bits);
    return (gint64)GUINT64_FROM_BE(bits);
}

static double
read_float32(const guint8 *bytes)
{
    guint32 bits = (guint32)read_int32(bytes);
    float value;

    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

static double
read_float64(const guint8 *bytes)
{
    guint64 bits = (guint64)read_int64(bytes);
    double value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

/* format gives as many digits as bring the same number back. */
static void
append_float(GString *into, double value, const char *format)
{
    char digits[G_ASCII_DTOSTR_BUF_SIZE];

    if (isnan(value))
        g_string_append(into, "NaN");
    else if (isinf(value))
        g_string_append(into, value < 0 ? "-Infinity" : "Infinity");
    else
        g_string_append(into, g_ascii_formatd(digits, sizeof digits, format, value));
}

/* The elements of one dimension; returns what follows them. array_send() in PostgreSQL's
 * arrayfuncs.c writes this: the last dimension varies first, per element a length (-1: NULL)
 * and its bytes. */
static const guint8 *
append_dimension(GString *into, const guint8 *at, const gint32 *extents, gint32 n_dimensions)
{
    g_string_append_c(into, '{');
    for (gint32 i = 0; i < extents[0]; i++) {
        if (i > 0)
            g_string_append_c(into, ',');
        if (n_dimensions > 1) {
            at = append_dimension(into, at, extents + 1, n_dimensions - 1);
            continue;
        }
        const guint8 *bytes;
        gsize n_bytes;
        at = lake_api_values_next(at, &bytes, &n_bytes);
        if (bytes)
            append_float(into, read_float32(bytes), "%.9g");
        else
            g_string_append(into, "NULL");
    }
    g_string_append_c(into, '}');
    return at;
}

/* Dimensions, has-nulls, element type, then length and lower bound per dimension. */
static void
append_floats(GString *into, const guint8 *bytes)
{
    gint32 n_dimensions = read_int32(bytes);
    gint32 extents[ARRAY_DIMENSIONS_MAX];
    const guint8 *at = bytes + 12;

    g_assert(n_dimensions >= 0 && n_dimensions <= ARRAY_DIMENSIONS_MAX);
    for (gint32 i = 0; i < n_dimensions; i++, at += 8)
        extents[i] = read_int32(at);
    if (n_dimensions == 0)
        g_string_append(into, "{}");
    else
        append_dimension(into, at, extents, n_dimensions);
}

static void
append_hexadecimal(GString *into, const guint8 *bytes, gsize n_bytes)
{
    static const char digits[] = "0123456789abcdef";
    gsize at = into->len + 2;

    g_string_append(into, "\\x");
    g_string_set_size(into, at + 2 * n_bytes);
    for (gsize i = 0; i < n_bytes; i++) {
        into->str[at + 2 * i] = digits[bytes[i] >> 4];
        into->str[at + 2 * i + 1] = digits[bytes[i] & 15];
    }
}

void
lake_api_values_append(GString *into, LakeType type, const guint8 *bytes, gsize n_bytes)
{
    switch (type) {
    case LAKE_TYPE_TEXT:
    case LAKE_TYPE_OTHER:
        g_string_append_len(into, (const char *)bytes, (gssize)n_bytes);
        return;
    case LAKE_TYPE_INT32:
    case LAKE_TYPE_CLASS_LABEL:
        g_string_append_printf(into, "%" G_GINT32_FORMAT, read_int32(bytes));
        return;
    case LAKE_TYPE_INT64:
        g_string_append_printf(into, "%" G_GINT64_FORMAT, read_int64(bytes));
        return;
    case LAKE_TYPE_FLOAT32:
        append_float(into, read_float32(bytes), "%.9g");
        return;
    case LAKE_TYPE_FLOAT64:
        append_float(into, read_float64(bytes), "%.17g");
        return;
    case LAKE_TYPE_BOOL:
        g_string_append_c(into, *bytes ? 't' : 'f');
        return;
    case LAKE_TYPE_BINARY:
    case LAKE_TYPE_IMAGE:
    case LAKE_TYPE_VIDEO:
    case LAKE_TYPE_SEGMENT_MASK:
    case LAKE_TYPE_BINARY_MASK:
    case LAKE_TYPE_POLYGON:
    case LAKE_TYPE_MESH:
    case LAKE_TYPE_MEDICAL:
        append_hexadecimal(into, bytes, n_bytes);
        return;
    case LAKE_TYPE_EMBEDDING:
    case LAKE_TYPE_BOUNDING_BOX:
    case LAKE_TYPE_POINT:
        append_floats(into, bytes);
        return;
    case LAKE_TYPE_JSONB: /* behind the number of its format */
        g_string_append_len(into, (const char *)bytes + 1, (gssize)n_bytes - 1);
        return;
    }
    g_assert_not_reached();
}

gboolean
lake_api_values_is_bytes(LakeType type)
{
    return lake_type_info(type)->base_oid == lake_type_info(LAKE_TYPE_BINARY)->base_oid;
}

const guint8 *
lake_api_values_next(const guint8 *element, const guint8 **ret_bytes, gsize *ret_n_bytes)
{
    gint32 length = read_int32(element);

    *ret_bytes = length < 0 ? NULL : element + sizeof length;
    *ret_n_bytes = length < 0 ? 0 : (gsize)length;
    return element + sizeof length + *ret_n_bytes;
}

static void
append_quoted(GString *into, const char *text, gsize n_bytes)
{
    g_string_append_c(into, '"');
    for (gsize i = 0; i < n_bytes; i++) {
        if (text[i] == '"' || text[i] == '\\')
            g_string_append_c(into, '\\');
        g_string_append_c(into, text[i]);
    }
    g_string_append_c(into, '"');
}

void
lake_api_values_append_array(GString *into, const LakeRows *rows, guint column)
{
    const guint8 *at = lake_rows_elements(rows, column)->data;
    LakeType type = lake_rows_column(rows, column)->type;
    g_autoptr(GString) value = g_string_new(NULL);

    g_string_append_c(into, '{');
    for (guint i = 0; i < lake_rows_count(rows); i++) {
        const guint8 *bytes;
        gsize n_bytes;

        at = lake_api_values_next(at, &bytes, &n_bytes);
        if (i > 0)
            g_string_append_c(into, ',');
        if (!bytes) {
            g_string_append(into, "NULL");
            continue;
        }
        g_string_truncate(value, 0);
        lake_api_values_append(value, type, bytes, n_bytes);
        append_quoted(into, value->str, value->len);
    }
    g_string_append_c(into, '}');
}

void
lake_api_values_append_base64(GString *into, const guint8 *bytes, gsize n_bytes)
{
    gsize at = into->len;
    gint state = 0;
    gint save = 0;

    g_string_set_size(into, at + (n_bytes / 3 + 1) * 4 + 4);
    gsize n_written =
        g_base64_encode_step(bytes, n_bytes, FALSE, into->str + at, &state, &save);
    n_written += g_base64_encode_close(FALSE, into->str + at + n_written, &state, &save);
    g_string_truncate(into, at + n_written);
}

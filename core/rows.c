/* SPDX-License-Identifier: Apache-2.0 */
#include "core/rows.h"

#include "core/error.h"

#include <string.h>

#define PIECE_BYTES (64 * 1024) /* tuples are gathered up to this before they are sent */
#define SPOOL_PIECE_BYTES (1024 * 1024) /* of a spool at a time */

/* Lengths as they stand in a column's elements. The second never leaves this file: behind it
 * stands, in the value's place, the index of a spool. */
#define LENGTH_NULL (-1)
#define LENGTH_SPOOL (-2)

/* A value that stays in its spool. The size is what it had when it was added: the length is
 * sent before the bytes, so it has to hold. */
typedef struct {
    LakeSpool *spool;
    gint64 size_bytes;
} SpoolValue;

struct LakeRows {
    const LakeColumn *columns;
    guint n_columns;
    GByteArray **elements; /* n_columns of them */
    GArray *spools;        /* of SpoolValue, in the order they were added */
    guint next_column;     /* of the row begun */
    guint n_rows;          /* whole ones, without the staged */

    LakeSpool *staging; /* whole tuples, of n_staged rows; NULL: none */
    guint n_staged;

    LakeRowsWatch watch; /* may be NULL */
    gpointer watch_data;
};

static void
clear_spool_value(gpointer value)
{
    lake_spool_unref(((SpoolValue *)value)->spool);
}

LakeRows *
lake_rows_new(const LakeColumn *columns, guint n_columns)
{
    LakeRows *rows = g_new0(LakeRows, 1);

    rows->columns = columns;
    rows->n_columns = n_columns;
    rows->elements = g_new(GByteArray *, n_columns);
    for (guint i = 0; i < n_columns; i++)
        rows->elements[i] = g_byte_array_new();
    rows->spools = g_array_new(FALSE, FALSE, sizeof(SpoolValue));
    g_array_set_clear_func(rows->spools, clear_spool_value);
    return rows;
}

void
lake_rows_free(LakeRows *rows)
{
    if (!rows)
        return;

    for (guint i = 0; i < rows->n_columns; i++)
        g_byte_array_unref(rows->elements[i]);
    g_free(rows->elements);
    g_array_unref(rows->spools);
    if (rows->staging)
        lake_spool_unref(rows->staging);
    g_free(rows);
}

static void
end_element(LakeRows *rows)
{
    rows->next_column++;
    if (rows->next_column == rows->n_columns) {
        rows->next_column = 0;
        rows->n_rows++;
    }
}

/* Adds one element, its length field and its bytes, and steps to the next column. */
static void
add_element(LakeRows *rows, gint32 length, const void *bytes, gsize n_bytes)
{
    GByteArray *elements = rows->elements[rows->next_column];
    gint32 length_field = (gint32)g_htonl((guint32)length);

    g_byte_array_append(elements, (const guint8 *)&length_field, sizeof length_field);
    if (n_bytes > 0)
        g_byte_array_append(elements, bytes, (guint)n_bytes);

    end_element(rows);
}

void
lake_rows_add_null(LakeRows *rows)
{
    add_element(rows, LENGTH_NULL, NULL, 0);
}

void
lake_rows_add_int32(LakeRows *rows, gint32 value)
{
    guint32 bits = g_htonl((guint32)value);

    add_element(rows, sizeof bits, &bits, sizeof bits);
}

void
lake_rows_add_int64(LakeRows *rows, gint64 value)
{
    guint64 bits = GUINT64_TO_BE((guint64)value);

    add_element(rows, sizeof bits, &bits, sizeof bits);
}

void
lake_rows_add_float64(LakeRows *rows, double value)
{
    guint64 bits;

    G_STATIC_ASSERT(sizeof bits == sizeof value);
    memcpy(&bits, &value, sizeof bits);
    bits = GUINT64_TO_BE(bits);
    add_element(rows, sizeof bits, &bits, sizeof bits);
}

void
lake_rows_add_text(LakeRows *rows, const char *text, gsize n_bytes)
{
    lake_rows_add_bytes(rows, text, n_bytes);
}

void
lake_rows_add_bytes(LakeRows *rows, const void *bytes, gsize n_bytes)
{
    g_assert(n_bytes <= (gsize)LAKE_ROWS_VALUE_MAX_BYTES);
    add_element(rows, (gint32)n_bytes, bytes, n_bytes);
}

gboolean
lake_rows_add_content(LakeRows *rows, LakeSpool *content, GError **error)
{
    GByteArray *elements = rows->elements[rows->next_column];
    gint64 size_bytes = lake_spool_size(content);
    guint n_before = elements->len;
    guint32 length_field = g_htonl((guint32)size_bytes);

    if (size_bytes > LAKE_ROWS_CONTENT_MAX_BYTES) {
        lake_rows_add_spool(rows, content);
        return TRUE;
    }

    /* Straight to where it stays. */
    g_byte_array_set_size(elements, n_before + (guint)sizeof length_field + (guint)size_bytes);
    guint8 *at = elements->data + n_before;
    memcpy(at, &length_field, sizeof length_field);
    gssize n_read =
        lake_spool_read(content, 0, at + sizeof length_field, (gsize)size_bytes, error);
    if (n_read != size_bytes) {
        g_byte_array_set_size(elements, n_before);
        if (n_read >= 0)
            lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_FAILED,
                "the file became shorter while it was read");
        return FALSE;
    }
    end_element(rows);
    return TRUE;
}

void
lake_rows_add_spool(LakeRows *rows, LakeSpool *spool)
{
    SpoolValue value = {lake_spool_ref(spool), lake_spool_size(spool)};
    guint32 index = rows->spools->len;

    g_assert(value.size_bytes <= LAKE_ROWS_VALUE_MAX_BYTES);
    g_array_append_val(rows->spools, value);
    add_element(rows, LENGTH_SPOOL, &index, sizeof index);
}

guint
lake_rows_count(const LakeRows *rows)
{
    return rows->n_staged + rows->n_rows;
}

gsize
lake_rows_bytes(const LakeRows *rows)
{
    gsize n_bytes = 0;

    for (guint i = 0; i < rows->n_columns; i++)
        n_bytes += rows->elements[i]->len;
    return n_bytes;
}

gboolean
lake_rows_has_spool(const LakeRows *rows)
{
    return rows->spools->len > 0 || rows->n_staged > 0;
}

guint
lake_rows_n_spools(const LakeRows *rows)
{
    return rows->spools->len;
}

guint
lake_rows_n_columns(const LakeRows *rows)
{
    return rows->n_columns;
}

const LakeColumn *
lake_rows_column(const LakeRows *rows, guint column)
{
    g_assert(column < rows->n_columns);
    return &rows->columns[column];
}

/* Those in memory. */
static void
clear_held(LakeRows *rows)
{
    for (guint i = 0; i < rows->n_columns; i++)
        g_byte_array_set_size(rows->elements[i], 0);
    g_array_set_size(rows->spools, 0);
    rows->next_column = 0;
    rows->n_rows = 0;
}

void
lake_rows_clear(LakeRows *rows)
{
    clear_held(rows);
    g_clear_pointer(&rows->staging, lake_spool_unref);
    rows->n_staged = 0;
}

void
lake_rows_watch(LakeRows *rows, LakeRowsWatch watch, gpointer user_data)
{
    rows->watch = watch;
    rows->watch_data = user_data;
}

const GByteArray *
lake_rows_elements(const LakeRows *rows, guint column)
{
    g_assert(column < rows->n_columns);
    g_assert(!lake_rows_has_spool(rows));
    return rows->elements[column];
}

/* What write_copy is at. */
typedef struct {
    const LakeRows *rows;
    LakeRowsSink sink;
    gpointer user_data;
    GByteArray *piece;   /* gathered, not sent yet */
    const guint8 **next; /* per column: its next element */
    gint64 n_bytes;      /* in all, as far as the watch needs it */
    gint64 n_sent;
} Writer;

static gboolean
send(Writer *writer, const void *data, gsize n_bytes, GError **error)
{
    const LakeRows *rows = writer->rows;

    if (!writer->sink(data, n_bytes, writer->user_data, error))
        return FALSE;
    writer->n_sent += (gint64)n_bytes;
    if (rows->watch && writer->n_bytes > 0)
        rows->watch(MIN(1, (double)writer->n_sent / (double)writer->n_bytes), rows->watch_data);
    return TRUE;
}

static gboolean
flush_piece(Writer *writer, GError **error)
{
    if (writer->piece->len == 0)
        return TRUE;
    if (!send(writer, writer->piece->data, writer->piece->len, error))
        return FALSE;
    g_byte_array_set_size(writer->piece, 0);
    return TRUE;
}

/* Small values are gathered, large ones go as they are. */
static gboolean
put(Writer *writer, const void *data, gsize n_bytes, GError **error)
{
    if (writer->piece->len + n_bytes > PIECE_BYTES && !flush_piece(writer, error))
        return FALSE;
    if (n_bytes >= PIECE_BYTES)
        return send(writer, data, n_bytes, error);
    g_byte_array_append(writer->piece, data, (guint)n_bytes);
    return TRUE;
}

/* The first size_bytes of spool. */
static gboolean
put_spool_bytes(Writer *writer, LakeSpool *spool, gint64 size_bytes, GError **error)
{
    g_autofree guint8 *buffer = g_malloc(SPOOL_PIECE_BYTES);

    for (gint64 offset = 0; offset < size_bytes;) {
        gsize n_wanted = (gsize)MIN(SPOOL_PIECE_BYTES, size_bytes - offset);
        gssize n_read = lake_spool_read(spool, offset, buffer, n_wanted, error);
        if (n_read < 0)
            return FALSE;
        if (n_read == 0) {
            lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_FAILED,
                "a value of %" G_GINT64_FORMAT " bytes ended at byte %" G_GINT64_FORMAT
                " while it was sent",
                size_bytes, offset);
            return FALSE;
        }
        if (!put(writer, buffer, (gsize)n_read, error))
            return FALSE;
        offset += n_read;
    }
    return TRUE;
}

static gboolean
put_spool(Writer *writer, const SpoolValue *value, GError **error)
{
    gint32 length_field = (gint32)g_htonl((guint32)value->size_bytes);

    return put(writer, &length_field, sizeof length_field, error) &&
           put_spool_bytes(writer, value->spool, value->size_bytes, error);
}

static gboolean
put_next_value(Writer *writer, guint column, GError **error)
{
    const guint8 *element = writer->next[column];
    guint32 length_field;
    gsize n_bytes;

    memcpy(&length_field, element, sizeof length_field);
    gint32 length = (gint32)g_ntohl(length_field);

    if (length == LENGTH_SPOOL) {
        guint32 index;
        memcpy(&index, element + sizeof length_field, sizeof index);
        writer->next[column] = element + sizeof length_field + sizeof index;
        return put_spool(
            writer, &g_array_index(writer->rows->spools, SpoolValue, index), error);
    }

    n_bytes = sizeof length_field + (length == LENGTH_NULL ? 0 : (gsize)length);
    writer->next[column] = element + n_bytes;
    return put(writer, element, n_bytes, error);
}

/* Of what write_held() will send, but for the few bytes of each row's header. */
static gint64
count_bytes(const LakeRows *rows)
{
    gint64 n_bytes = (gint64)lake_rows_bytes(rows);

    for (guint i = 0; i < rows->spools->len; i++)
        n_bytes += g_array_index(rows->spools, SpoolValue, i).size_bytes;
    if (rows->staging)
        n_bytes += lake_spool_size(rows->staging);
    return n_bytes;
}

/* The rows in memory. */
static gboolean
put_held(Writer *writer, GError **error)
{
    const LakeRows *rows = writer->rows;
    guint16 n_columns_field = g_htons((guint16)rows->n_columns);

    g_assert(rows->next_column == 0);
    for (guint column = 0; column < rows->n_columns; column++)
        writer->next[column] = rows->elements[column]->data;

    for (guint row = 0; row < rows->n_rows; row++) {
        if (!put(writer, &n_columns_field, sizeof n_columns_field, error))
            return FALSE;
        for (guint column = 0; column < rows->n_columns; column++)
            if (!put_next_value(writer, column, error))
                return FALSE;
    }
    return flush_piece(writer, error);
}

gboolean
lake_rows_write_copy(
    const LakeRows *rows, LakeRowsSink sink, gpointer user_data, GError **error)
{
    g_autoptr(GByteArray) piece = g_byte_array_new();
    g_autofree const guint8 **next = g_new(const guint8 *, rows->n_columns);
    Writer writer = {rows, sink, user_data, piece, next, rows->watch ? count_bytes(rows) : 0};

    if (rows->staging &&
        !put_spool_bytes(&writer, rows->staging, lake_spool_size(rows->staging), error))
        return FALSE;
    return put_held(&writer, error);
}

static gboolean
append_to_staging(const void *data, gsize n_bytes, gpointer user_data, GError **error)
{
    return lake_spool_append(user_data, data, n_bytes, error);
}

gboolean
lake_rows_stage(LakeRows *rows, LakeSpool *staging, GError **error)
{
    g_autoptr(GByteArray) piece = g_byte_array_new();
    g_autofree const guint8 **next = g_new(const guint8 *, rows->n_columns);
    Writer writer = {rows, append_to_staging, staging, piece, next};

    g_assert(!rows->staging || rows->staging == staging);
    if (!put_held(&writer, error))
        return FALSE;
    if (!rows->staging)
        rows->staging = lake_spool_ref(staging);
    rows->n_staged += rows->n_rows;
    clear_held(rows);
    return TRUE;
}

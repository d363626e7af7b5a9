/* SPDX-License-Identifier: Apache-2.0 */

/* core/row/reader.c: the windows of a row's value. */

#include "core/row.h"

#include "core/row/windows.h"

struct LakeRowReader {
    LakeRowSource source;
    LakeRowWindows *windows;
    LakeCatalog *catalog;
    LakeRowTable *table;
    char **key;
    char *version;
    guint column;
};

static GBytes *
read_value(
    gpointer data, gint64 offset, gsize n_bytes, GCancellable *cancellable, GError **error)
{
    LakeRowReader *reader = data;

    return lake_row_read(reader->catalog, reader->table, (const char *const *)reader->key,
        reader->version, reader->column, offset, n_bytes, cancellable, error);
}

static gboolean
stream_value(gpointer data, gint64 offset, gsize n_bytes, LakeRowTakeFunc take,
    gpointer user_data, GCancellable *cancellable, GError **error)
{
    LakeRowReader *reader = data;

    return lake_row_read_pieces(reader->catalog, reader->table,
        (const char *const *)reader->key, reader->version, reader->column, offset, n_bytes,
        take, user_data, cancellable, error);
}

LakeRowReader *
lake_row_reader_new(LakeCatalog *catalog, LakeRowTable *table, const char *const *key,
    const char *version, guint index, gint64 size_bytes)
{
    LakeRowReader *reader = g_new0(LakeRowReader, 1);

    reader->catalog = catalog;
    reader->table = lake_row_table_ref(table);
    reader->key = g_strdupv((char **)key);
    reader->version = g_strdup(version);
    reader->column = index;
    reader->source.read = read_value;
    reader->source.stream = stream_value;
    reader->source.is_made = lake_row_table_form(table, index) != LAKE_ROW_BYTES;
    reader->windows = lake_row_windows_new(&reader->source, reader, size_bytes);
    return reader;
}

void
lake_row_reader_free(LakeRowReader *reader)
{
    if (!reader)
        return;
    lake_row_windows_free(reader->windows);
    lake_row_table_unref(reader->table);
    g_strfreev(reader->key);
    g_free(reader->version);
    g_free(reader);
}

GBytes *
lake_row_reader_read(LakeRowReader *reader, gint64 offset, gsize n_bytes, gboolean may_block,
    GCancellable *cancellable, GError **error)
{
    return lake_row_windows_read(
        reader->windows, offset, n_bytes, may_block, cancellable, error);
}

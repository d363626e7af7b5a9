/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/row.h: single rows of a table that has a primary key: which there are, what is in each,
 * and ranges of their values, however large.
 *
 * A key is its parts in PostgreSQL's text form, in the key's order, NULL-terminated. A row's
 * version names one state of it: whatever changes the row gives it another. Nothing is cached
 * here. Any thread; each call may ask the server and so may block.
 */

#include "core/catalog.h"

/* What a value is as a file. */
typedef enum {
    LAKE_ROW_TEXT,
    LAKE_ROW_JSON, /* json, jsonb, arrays, and the row itself */
    LAKE_ROW_BYTES,
} LakeRowForm;

/* The shape of a table. Immutable, counted by reference. */
typedef struct LakeRowTable LakeRowTable;

/*   NOT_FOUND  no such table, or it has no primary key */
LakeRowTable *lake_row_table_find(
    LakeCatalog *catalog, const char *name, GCancellable *cancellable, GError **error);
LakeRowTable *lake_row_table_ref(LakeRowTable *table);
void lake_row_table_unref(LakeRowTable *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeRowTable, lake_row_table_unref)
guint lake_row_table_n_key_parts(const LakeRowTable *table);
/* index: as in LakeRowValue. */
LakeRowForm lake_row_table_form(const LakeRowTable *table, guint index);

/* Up to n_max keys that come next in the key's order, of GStrv; after NULL: the first. Fewer
 * only at the end. */
GPtrArray *lake_row_list(LakeCatalog *catalog, LakeRowTable *table, const char *const *after,
    guint n_max, GCancellable *cancellable, GError **error);

/* One value that is not NULL. */
typedef struct {
    const char *column; /* borrowed from the table; NULL: the row itself as a JSON object */
    guint index;        /* for lake_row_read */
    LakeRowForm form;
    const char *extension; /* of a file that holds it: "txt", "png" …; constant */
    gint64 size_bytes;     /* exact */
} LakeRowValue;

typedef struct {
    char *version;
    GArray *values; /* of LakeRowValue, in the table's order; the row itself is the last, unless
                     it is too large */
} LakeRow;

void lake_row_free(LakeRow *row);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeRow, lake_row_free)

/*   NOT_FOUND  no such row; or the key is none, or not as lake_row_list spells it */
LakeRow *lake_row_find(LakeCatalog *catalog, LakeRowTable *table, const char *const *key,
    GCancellable *cancellable, GError **error);

/* Bytes of one value, text in UTF-8; fewer only at its end.
 *   FAILED  the row is not of that version any more, or gone; or its table was altered */
GBytes *lake_row_read(LakeCatalog *catalog, LakeRowTable *table, const char *const *key,
    const char *version, guint index, gint64 offset, gsize n_bytes, GCancellable *cancellable,
    GError **error);

/* The same in pieces of 256 KiB, of which the last may be shorter, as they come; take owns
 * them, and FALSE from it ends it. For a window that somebody reads on: the server makes what
 * is not stored as it is once for all of its pieces. */
typedef gboolean (*LakeRowTakeFunc)(GBytes *piece, gpointer user_data, GError **error);
gboolean lake_row_read_pieces(LakeCatalog *catalog, LakeRowTable *table, const char *const *key,
    const char *version, guint index, gint64 offset, gsize n_bytes, LakeRowTakeFunc take,
    gpointer user_data, GCancellable *cancellable, GError **error);

/*   NOT_FOUND  as lake_row_find; BAD_INPUT when other rows refer to it */
gboolean lake_row_delete(LakeCatalog *catalog, LakeRowTable *table, const char *const *key,
    GCancellable *cancellable, GError **error);

/* Reads one value of one version from any place, holding a few windows of it, and fetching the
 * next while the present one is read. A short read that goes on from none before fetches just
 * what it asks for. Any number of threads at once; core/row/windows.h says what all readers
 * hold together. */
typedef struct LakeRowReader LakeRowReader;

LakeRowReader *lake_row_reader_new(LakeCatalog *catalog, LakeRowTable *table,
    const char *const *key, const char *version, guint index, gint64 size_bytes);
/* Stops what is being fetched ahead. */
void lake_row_reader_free(LakeRowReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeRowReader, lake_row_reader_free)

/* Fewer than n_bytes only at the end. Errors as lake_row_read. may_block FALSE: NULL without an
 * error where the server would have to be asked. */
GBytes *lake_row_reader_read(LakeRowReader *reader, gint64 offset, gsize n_bytes,
    gboolean may_block, GCancellable *cancellable, GError **error);

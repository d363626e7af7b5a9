/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/rows.h: a bounded number of rows, held by column in PostgreSQL's binary form, on their
 * way to the server. Made by a normaliser, sent by core/pg/ as arrays (few rows) or as COPY
 * (many).
 *
 * One thread at a time.
 */

#include "core/spool.h"
#include "core/type.h"

typedef struct {
    const char *name; /* exact; quoted when it becomes SQL */
    LakeType type;
} LakeColumn;

typedef struct LakeRows LakeRows;

/* columns is borrowed and must outlive the rows. */
LakeRows *lake_rows_new(const LakeColumn *columns, guint n_columns);
void lake_rows_free(LakeRows *rows);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeRows, lake_rows_free)

/* Each adds the value of the next column of the row begun; values are copied. After the last
 * column the row is whole. text must be UTF-8 without NUL. */
void lake_rows_add_null(LakeRows *rows);
void lake_rows_add_int32(LakeRows *rows, gint32 value);
void lake_rows_add_int64(LakeRows *rows, gint64 value);
void lake_rows_add_float64(LakeRows *rows, double value);
void lake_rows_add_text(LakeRows *rows, const char *text, gsize n_bytes);
void lake_rows_add_bytes(LakeRows *rows, const void *bytes, gsize n_bytes);
/* All bytes of spool as a bytea, read only when they are sent. Rows that hold one can only
 * travel by COPY. At most LAKE_ROWS_VALUE_MAX_BYTES. */
void lake_rows_add_spool(LakeRows *rows, LakeSpool *spool);

/* PostgreSQL's MaxAllocSize (1 GiB - 1) less room for the row around the value. */
#define LAKE_ROWS_VALUE_MAX_BYTES ((gint64)0x3fffffff - 64 * 1024)

guint lake_rows_count(const LakeRows *rows);
gsize lake_rows_bytes(const LakeRows *rows); /* in memory; spools not counted */
gboolean lake_rows_has_spool(const LakeRows *rows);
guint lake_rows_n_columns(const LakeRows *rows);
const LakeColumn *lake_rows_column(const LakeRows *rows, guint column);

/* Forgets the rows, keeps the columns and the memory. */
void lake_rows_clear(LakeRows *rows);

/* One column's values, in row order: per value an int32 length in network order (-1: NULL),
 * then the bytes. Borrowed. Not for rows with spools. */
const GByteArray *lake_rows_elements(const LakeRows *rows, guint column);

/* Called with consecutive pieces of a COPY BINARY stream. */
typedef gboolean (*LakeRowsSink)(
    const void *data, gsize n_bytes, gpointer user_data, GError **error);

/* Writes the rows as COPY BINARY tuples (no header, no trailer) into sink, piece by piece. */
gboolean lake_rows_write_copy(
    const LakeRows *rows, LakeRowsSink sink, gpointer user_data, GError **error);

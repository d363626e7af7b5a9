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
/* All bytes of content as a bytea: up to LAKE_ROWS_CONTENT_MAX_BYTES read now, so that a small
 * file can travel in one statement; more as lake_rows_add_spool. FALSE: reading failed, and
 * nothing was added. */
#define LAKE_ROWS_CONTENT_MAX_BYTES (1024 * 1024)
gboolean lake_rows_add_content(LakeRows *rows, LakeSpool *content, GError **error);
/* All bytes of spool as a bytea, read only when they are sent. Rows that hold one can only
 * travel by COPY. At most LAKE_ROWS_VALUE_MAX_BYTES. */
void lake_rows_add_spool(LakeRows *rows, LakeSpool *spool);

/* PostgreSQL's MaxAllocSize (1 GiB - 1) less room for the row around the value. */
#define LAKE_ROWS_VALUE_MAX_BYTES ((gint64)0x3fffffff - 64 * 1024)

guint lake_rows_count(const LakeRows *rows); /* staged ones too */
gsize lake_rows_bytes(const LakeRows *rows); /* in memory; spools not counted */
/* Rows that hold spools, or were staged: they can only travel by COPY. */
gboolean lake_rows_has_spool(const LakeRows *rows);
guint lake_rows_n_spools(const LakeRows *rows); /* values that are spools, each an open file */
guint lake_rows_n_columns(const LakeRows *rows);
const LakeColumn *lake_rows_column(const LakeRows *rows, guint column);

/* Moves the rows that are held so far to the end of staging, in the form they are sent, and so
 * frees their memory. They stay rows of this object, before those that are added later. staging
 * takes no other bytes, and is the same one each time. */
gboolean lake_rows_stage(LakeRows *rows, LakeSpool *staging, GError **error);

/* Forgets the rows, staged ones too; keeps the columns and the memory. */
void lake_rows_clear(LakeRows *rows);

/* One column's values, in row order: per value an int32 length in network order (-1: NULL),
 * then the bytes. Borrowed. Not for rows with spools. */
const GByteArray *lake_rows_elements(const LakeRows *rows, guint column);

/* Called with consecutive pieces of a COPY BINARY stream. */
typedef gboolean (*LakeRowsSink)(
    const void *data, gsize n_bytes, gpointer user_data, GError **error);

/* Called while rows are written, from time to time: the share of them that the sink has. */
typedef void (*LakeRowsWatch)(double share, gpointer user_data);
void lake_rows_watch(LakeRows *rows, LakeRowsWatch watch, gpointer user_data);

/* Writes the rows as COPY BINARY tuples (no header, no trailer) into sink, piece by piece. */
gboolean lake_rows_write_copy(
    const LakeRows *rows, LakeRowsSink sink, gpointer user_data, GError **error);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/records/reader.h: a file of rows as one record after the other: JSON Lines, a
 * JSON array of objects, CSV or TSV, by its extension. UTF-8, with or without a byte order
 * mark. Holds one record and a block. One thread.
 */

#include "core/json_scan.h"
#include "core/spool.h"

typedef struct {
    const char *name; /* of its column */
    gsize name_bytes;
    LakeJsonScanValue value;
} LakeRecordItem;

typedef struct LakeRecordReader LakeRecordReader;

/* content is borrowed. BAD_INPUT: path is no file of rows by its extension. */
LakeRecordReader *lake_record_reader_new(LakeSpool *content, const char *path, GError **error);
/* NULL is allowed. */
void lake_record_reader_free(LakeRecordReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeRecordReader, lake_record_reader_free)

/* The next record's items (of LakeRecordItem, emptied first), which are good until the next
 * call; or *ret_done. A CSV file gives its line of names as a record of NULLs first. BAD_INPUT
 * and TOO_BIG name the line. */
gboolean lake_record_reader_next(
    LakeRecordReader *reader, GArray *items, gboolean *ret_done, GError **error);

/* Of the record at hand, or of something in it. */
guint64 lake_record_reader_line(const LakeRecordReader *reader);
guint64 lake_record_reader_line_of(const LakeRecordReader *reader, const char *at);

/* Bytes before the record at hand; of the whole file at its end. */
gint64 lake_record_reader_offset(const LakeRecordReader *reader);

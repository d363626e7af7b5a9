/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest.h: one file becomes rows.
 *
 * Kind from the name, rows from the kind's normaliser (core/ingest/normaliser.h), rows and
 * ledger entry in one transaction (core/ingest/commit.c). Any thread may call; memory is
 * bounded whatever the file's size.
 */

#include "core/ledger.h"

typedef struct {
    gint64 chunk_size;    /* characters, at least 1 */
    gint64 chunk_overlap; /* characters, less than chunk_size */
} LakeIngestSettings;

/* Called from the ingesting thread whenever a batch has gone; total is -1 while unknown. */
typedef void (*LakeIngestProgress)(gint64 rows_written, gint64 total, gpointer user_data);

typedef enum {
    LAKE_INGEST_UNKNOWN, /* whether the ledger has the path */
    LAKE_INGEST_NEW,   /* probably not there: saves a question when true, is right when false */
    LAKE_INGEST_KNOWN, /* probably there */
} LakeIngestExpectation;

typedef struct {
    const char *table; /* created with the first rows when it is missing */
    const char *path;  /* below the drop zone, '/' between parts; UTF-8 */
    LakeSpool *content;
    LakeFileAttributes attributes;
    const char *xattrs; /* JSON object or NULL */
    LakeIngestSettings settings;
    LakeIngestExpectation expectation;
    gboolean makes_folders;      /* enters the path's folders in the ledger; a mount has done so
                                    already */
    LakeIngestProgress progress; /* may be NULL */
    gpointer progress_data;
} LakeIngestFile;

/* Ingests one file: all of its rows and its ledger entry, or nothing.
 *
 * The same path with the same content and settings, its rows still there, changes attributes
 * only; other content replaces that file's rows. Returns the entry as committed; class INGEST:
 *   BAD_INPUT  not readable as its kind; or the table was not made by file ingest
 *   TOO_BIG    a value beyond LAKE_ROWS_VALUE_MAX_BYTES */
LakeLedgerEntry *lake_ingest_file(LakeCatalog *catalog, const LakeIngestFile *file,
    GCancellable *cancellable, GError **error);

/* Writes a file's original bytes into a spool, where its rows hold them.
 *   REFUSED    this kind does not keep them
 *   BAD_INPUT  the rows were changed since, and no longer give the size the ledger has */
gboolean lake_ingest_restore(LakeCatalog *catalog, const char *table,
    const LakeLedgerEntry *entry, LakeSpool *into, GCancellable *cancellable, GError **error);

/* TRUE when a file of this name (path below the zone) is never ingested: a part begins with a
 * dot, or the last one ends in .part, .tmp or ~ . */
gboolean lake_ingest_is_temporary(const char *path);

/* "text", "other" …: the kind that a file of this name is. */
const char *lake_ingest_kind_name(const char *path);

/* FALSE (BAD_INPUT) for chunk sizes that cannot be. */
gboolean lake_ingest_settings_check(const LakeIngestSettings *settings, GError **error);

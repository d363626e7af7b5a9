/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest.h: one file becomes rows.
 *
 * Kind from the name, rows from the kind's normaliser (core/ingest/normaliser.h), rows and
 * ledger entry in one transaction (core/ingest/commit.c). Any thread may call; memory is
 * bounded whatever the file's size.
 */

#include "core/ledger.h"
#include "core/schema.h"

/* The threads that make rows of pages and segments: one bounded number for all files. */
typedef struct LakeIngestWorkers LakeIngestWorkers;

/* n_workers threads, started when there is work for them. */
LakeIngestWorkers *lake_ingest_workers_new(guint n_workers);
/* After the last ingest has returned. NULL is allowed. */
void lake_ingest_workers_free(LakeIngestWorkers *workers);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeIngestWorkers, lake_ingest_workers_free)

typedef struct {
    gint64 chunk_size;      /* characters, at least 1 */
    gint64 chunk_overlap;   /* characters, less than chunk_size */
    gint64 pdf_dpi;         /* pixels per inch of a page's image */
    gint64 pdf_max_pages;   /* a PDF of more is refused */
    gint64 segment_seconds; /* nominal length of a video segment, at least 1 */
    LakeSchema *schema;     /* what files and rows are to be; NULL: files, by their kinds */
} LakeIngestSettings;

typedef enum {
    LAKE_INGEST_READING, /* the file is being made into rows, which are staged */
    LAKE_INGEST_SENDING, /* rows go to the server */
} LakeIngestPhase;

/* How far one ingest is. */
typedef struct {
    LakeIngestPhase phase;
    gint64 n_rows;     /* made, while reading; sent, while sending */
    gint64 total;      /* rows in all; -1 while unknown */
    gint64 bytes_done; /* of the file's bytes, as far as known; -1 otherwise */
    const char *kind;  /* the ledger's; constant; NULL: as before */
} LakeIngestState;

/* Called from the ingesting thread whenever some rows were made or sent. */
typedef void (*LakeIngestProgress)(const LakeIngestState *state, gpointer user_data);

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
    const char *xattrs;          /* JSON object or NULL */
    LakeIngestSettings settings; /* this up to staging_dir by lake_workspace_ingest() */
    const char *kind;            /* that the file is by its name and settings; constant */
    LakeIngestWorkers *workers;
    const char *staging_dir; /* where rows wait that take long to make */
    LakeIngestExpectation expectation;
    /* What the ledger had of it not long ago, where that was asked for many files at once;
     * borrowed; NULL: not asked. It saves questions, and is made sure of. */
    LakeLedgerEntry *known;
    /* Why no further files of this machine are read for whoever copies; NULL: they are.
     * Borrowed. */
    const GError *refuses_other_files;
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

/* FALSE for a kind that an empty file cannot be. */
gboolean lake_ingest_takes_empty(const char *path);

/* "text", "other" …: the kind that a file of this name is. */
const char *lake_ingest_kind_name(const char *path);
/* The same where the settings may say otherwise. Constant. */
const char *lake_ingest_kind_with(const char *path, const LakeIngestSettings *settings);

/* Whether files of this format make a column of this name, whatever is in them. */
gboolean lake_ingest_is_column(LakeFormat format, const char *name);

/* The extension, without its dot, of a file that begins so: "png", "mp4" …; "bin" when the
 * bytes do not say. No more than LAKE_INGEST_SNIFF_BYTES are looked at. Constant. */
#define LAKE_INGEST_SNIFF_BYTES 1024
const char *lake_ingest_sniff_extension(const void *bytes, gsize n_bytes);

/* Gives back the schema. */
void lake_ingest_settings_clear(LakeIngestSettings *settings);

/* FALSE (BAD_INPUT) for chunk sizes that cannot be. The others are numbers of at least 1. */
gboolean lake_ingest_settings_check(const LakeIngestSettings *settings, GError **error);

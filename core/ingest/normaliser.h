/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/normaliser.h: the contract of a file kind: bytes in, rows out.
 *
 * A kind is one file in this folder (`text.c` …) that defines one LakeNormaliser, and one line
 * in the table of kind.c. The rows carry every column of the kind but `id`, which the server
 * gives, in the order of the specification's chunking table. Rows are pulled: the caller
 * decides when, and so bounds the memory.
 *
 * A worked example, one row with the size of the file:
 *
 *     static const LakeColumn columns[] = {{"file_id", LAKE_TYPE_TEXT}, {"size",
 * LAKE_TYPE_INT64}};
 *
 *     static gboolean
 *     next_row(gpointer state, LakeRows *rows, gboolean *ret_done, GCancellable *c, GError
 * **error)
 *     {
 *         SizeReader *reader = state;
 *
 *         *ret_done = reader->is_done;
 *         if (reader->is_done)
 *             return TRUE;
 *         lake_rows_add_text(rows, reader->input->file_id, strlen(reader->input->file_id));
 *         lake_rows_add_int64(rows, lake_spool_size(reader->input->content));
 *         reader->is_done = TRUE;
 *         return TRUE;
 *     }
 *
 * One thread at a time per opened file. What it has to do on other threads goes through
 * input->workers (core/ingest/workers.h), and has ended when close() returns.
 */

#include "core/ingest.h"
#include "core/ingest/workers.h"

typedef struct {
    const char *file_id; /* UUID */
    const char *path;    /* below the drop zone */
    LakeSpool *content;  /* all bytes of the file */
    LakeIngestSettings settings;
    LakeIngestWorkers *workers; /* for what can be done on several cores */
    const char *staging_dir;    /* where spools for large values may lie */
    const LakeTable *table;     /* as it is now, for kinds with columns_of; NULL: none yet */
} LakeNormaliserInput;          /* borrowed; outlives the opened file */

typedef struct {
    char *encoding;      /* of text; owned; NULL elsewhere */
    char *notes;         /* what a user should know of the rows, one line each ("page 3 is
                            rendered at 212 DPI: …"); owned; NULL: nothing */
    gint64 n_rows_total; /* once known, else -1 */
    gint64 bytes_read;   /* of content, as far as it shows how much is left; else -1 */
} LakeNormaliserFacts;

typedef struct {
    const char *kind; /* "text": the ledger's kind */
    const LakeColumn *columns;
    guint n_columns;
    const char *const
        *extensions; /* lower case, without the dot; NULL-terminated; NULL: the rest */
    /* Its rows take long to make, or can fail after the first: they are staged on disk before
     * the server hears of the file, so that no lock and no connection is held meanwhile. */
    gboolean is_slow;
    gboolean refuses_empty; /* open() fails for a file without bytes */
    /* Its rows are made of further files of this machine, which its settings name: not for
     * everybody, and not to find out that they are there already. */
    gboolean reads_other_files;

    /* Checks and prepares. NULL with an error (class INGEST, BAD_INPUT …) when the content is
     * not of this kind. */
    gpointer (*open)(
        const LakeNormaliserInput *input, GCancellable *cancellable, GError **error);
    /* The columns that this file's rows have, instead of `columns`; file_id is the first.
     * Borrowed until close(). NULL: they are `columns`. */
    const LakeColumn *(*columns_of)(gpointer state, guint *ret_n_columns);
    /* Adds the next row to rows, or sets *ret_done and adds none. */
    gboolean (*next_row)(gpointer state, LakeRows *rows, gboolean *ret_done,
        GCancellable *cancellable, GError **error);
    /* What is known by now; complete after the last row. The caller clears it. */
    void (*facts)(gpointer state, LakeNormaliserFacts *ret_facts);
    void (*close)(gpointer state);
    /* The sizes that shaped the rows, as a JSON object for the ledger; caller frees. */
    char *(*settings_json)(const LakeIngestSettings *settings);
} LakeNormaliser;

/* For kinds whose file is one value: FALSE (TOO_BIG) when it is larger than a value can be. */
gboolean lake_ingest_check_value(gint64 size_bytes, GError **error);

/* The kind of a file by its extension (case-insensitive), or that of the format which the
 * settings name; never NULL. */
const LakeNormaliser *
lake_ingest_kind_for(const char *path, const LakeIngestSettings *settings);
/* By its extension alone. */
const LakeNormaliser *lake_ingest_kind_of(const char *path);
/* By the name in the ledger; NULL when unknown. */
const LakeNormaliser *lake_ingest_kind_named(const char *kind);

extern const LakeNormaliser lake_ingest_video;
extern const LakeNormaliser lake_ingest_image;
extern const LakeNormaliser lake_ingest_pdf;
extern const LakeNormaliser lake_ingest_records;
extern const LakeNormaliser lake_ingest_coco;
extern const LakeNormaliser lake_ingest_text;
extern const LakeNormaliser lake_ingest_other;

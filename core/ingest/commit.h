/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/commit.h: rows and ledger entry into the server, in one transaction. Knows
 * nothing of where the rows come from: that is the normalisers' side, so that later several
 * files can share one transaction.
 *
 * Three ways, the first that fits:
 *   one statement      a new path, few rows, the table is there: INSERT of the entry and, from
 *                      arrays, of the rows. One round trip.
 *   one statement      a known path with the same content: UPDATE of the attributes.
 *   a transaction      everything else: claims the path in the ledger, makes or widens the
 * table, deletes the rows that are replaced, COPYs the new ones.
 *
 * Two clients that write the same path wait for each other on its ledger entry; the later one
 * replaces. When the line is lost around a COMMIT, the ledger is asked whether it happened; of
 * a service also where its answer was not waited for.
 */

#include "core/ingest/normaliser.h"

typedef struct {
    LakeCatalog *catalog;
    const LakeIngestFile *file;
    const LakeNormaliser *kind;
    LakeLedgerEntry
        *entry;     /* file_id, size, attributes, settings … filled in; rows may not be yet */
    LakeRows *rows; /* all rows when is_complete, else the first of them */
    gboolean is_complete;
    /* More rows into a cleared `rows`; adds none at the end. For !is_complete. */
    gboolean (*next_rows)(
        gpointer source, LakeRows *rows, GCancellable *cancellable, GError **error);
    /* Encoding and such into the entry, after the last row. */
    void (*finish)(gpointer source, LakeLedgerEntry *entry);
    /* n_rows have been sent so far; of the rows at hand, this share (0 to 1). */
    void (*sent)(gpointer source, gint64 n_rows, double share);
    gpointer source;
    gboolean is_other; /* than what the ledger has: not worth comparing on the server */
    /* Set here, with an error: a column of the table has another type than that of the rows. */
    gboolean is_outdated;
    gboolean has_moved_on; /* set here: the first rows are not at hand any more */
    gboolean is_sent;      /* set here: so far that it may happen whatever is heard of it */
} LakeIngestCommit;

/* Where the path has this content already (entry->content_hash is set), with all of its rows:
 * sets the attributes alone. *ret_unchanged FALSE: it has not. Rows are not needed. */
gboolean lake_ingest_commit_unchanged(LakeIngestCommit *commit, gboolean *ret_unchanged,
    GCancellable *cancellable, GError **error);

/* On success entry is as committed, and *ret_unchanged says that the rows were there already.
 */
gboolean lake_ingest_commit(LakeIngestCommit *commit, gboolean *ret_unchanged,
    GCancellable *cancellable, GError **error);

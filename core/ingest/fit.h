/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/fit.h: the table that rows go into, made or widened for them within the
 * transaction that brings them. One thread.
 */

#include "core/ingest/commit.h"

typedef struct {
    LakeIngestCommit *commit; /* is_outdated is set */
    LakeTransaction *transaction;
    const char *table; /* quoted, qualified */
    GCancellable *cancellable;
    guint changes; /* set here; LakeChangeKind: beside the files of the drop zone */
} LakeIngestFit;

/* Creates or widens the table, one client at a time, once the rows are known to need it.
 *   BAD_INPUT  the table takes no files
 *   BUSY       a column has another type than that of the rows, which were made for the table
 *              as it was before */
gboolean lake_ingest_fit_make(LakeIngestFit *fit, GError **error);

/* FALSE in *ret_has where no row made the table yet, or it was dropped by SQL. */
gboolean lake_ingest_fit_has_files(LakeIngestFit *fit, gboolean *ret_has, GError **error);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/api/upload.h: rows on their way into a table by requests of bounded size, though they
 * must appear all at once.
 *
 * The rows are read as the stream of COPY BINARY that every other server gets, so whatever they
 * hold (values in spools, staged rows) is none of this file's business. Few rows go with the
 * transaction's own request. More are put into a table beside the ledger, deeplakefs_staging,
 * by several requests at once, each of them repeatable; the transaction then moves them. Values
 * of more than PART_BYTES go in parts. What an upload leaves there that was never committed is
 * removed by lake_api_upload_clear, or a day later by the next mount.
 *
 * One thread; its senders are its own.
 */

#include "core/api/session.h"

typedef struct LakeApiUpload LakeApiUpload;

/* table and staging are quoted and qualified; columns is borrowed. */
LakeApiUpload *lake_api_upload_new(LakeApiSession *session, const char *table,
    const char *staging, const LakeColumn *columns, guint n_columns, GCancellable *cancellable);

/* Any number of times. */
gboolean lake_api_upload_rows(LakeApiUpload *upload, const LakeRows *rows, GError **error);

/* Waits for all requests; adds to `into` (of LakeStatement) what moves the rows into the table.
 */
gboolean lake_api_upload_end(LakeApiUpload *upload, GPtrArray *into, GError **error);

/* Removes what is left in the staging table, unless the transaction was committed, and frees.
 * NULL is allowed. */
void lake_api_upload_free(LakeApiUpload *upload, gboolean is_committed);

/* The staging table, for CREATE TABLE; and removing what nobody will commit any more. */
LakeStatement *lake_api_upload_create_statement(const char *staging);
LakeStatement *lake_api_upload_clear_statement(const char *staging);

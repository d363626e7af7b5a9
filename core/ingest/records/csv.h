/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/records/csv.h: one record after the other of a CSV file (RFC 4180; lines may end
 * in LF alone), in memory that may end before the record does. Any thread.
 */

#include "core/json_scan.h"

typedef enum {
    LAKE_RECORD_CSV_GOOD,
    LAKE_RECORD_CSV_SHORT, /* the memory ended first */
    LAKE_RECORD_CSV_BAD,
} LakeRecordCsvStatus;

/* Passes over the record at `at`, and the end of its line; there is at least one byte, and a
 * NUL at `end`. fields (of LakeJsonScanValue, emptied first) are FIELDs, without quotes, or
 * NULL where nothing stands between two separators; they lie in the same memory, which is
 * changed where quotes are doubled.
 *
 * is_last: nothing follows the memory. Of a bad record *ret_at is where that shows. */
LakeRecordCsvStatus lake_record_csv_next(char *at, char *end, gboolean is_last, char separator,
    GArray *fields, char **ret_at, const char **ret_reason);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ledger/entry.h: an entry as the ledger's table has it. */

#include "core/ledger.h"

/* Which ledgers of the first version do not have. */
#define LAKE_LEDGER_LATER_COLUMN "notes"
/* JSON as its text, so that every server gives it as jsonb writes it. */
#define LAKE_LEDGER_ENTRY_COLUMNS                                                              \
    "path, kind, file_id, size_bytes, mtime_ns, mode, uid, gid, content_hash, n_rows,"         \
    " encoding, settings::text AS settings, xattrs::text AS xattrs, " LAKE_LEDGER_LATER_COLUMN

/* Of a result of these columns. */
LakeLedgerEntry *lake_ledger_entry_from_row(const LakeResult *result, guint row);

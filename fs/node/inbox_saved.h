/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* fs/node/inbox_saved.h: a file of ingest/ as the ledger and the rows have it. For
 * fs/node/inbox_file.c, which is the rest of it. Any thread.
 *
 * A name that others have removed is believed by the kernel for a while yet. Whoever comes by
 * it gets STALE, upon which the kernel asks for the name anew, and does again what it was asked
 * to: a file that is to be created is, and else there is none.
 */

#include "fs/node.h"

/* NULL with STALE where the ledger has no such file (any more), with NOT_FOUND where it was
 * removed here. Caller unrefs, and frees *ret_zone. */
LakeLedgerEntry *
fs_inbox_saved_find(FsNode *node, FsCall *call, char **ret_zone, GError **error);
/* The file's bytes from its rows; *entry becomes what they belong to. STALE as above. */
LakeSpool *fs_inbox_saved_restore(
    FsNode *node, FsCall *call, const char *zone, LakeLedgerEntry **entry, GError **error);

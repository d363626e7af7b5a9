/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ledger/key.h: what the changes of the ledger have in common: one entry by its key, and
 * what is to be said and found out afterwards. Any thread.
 */

#include "core/ledger.h"

/* A statement whose first three parameters are the key. */
LakeStatement *lake_ledger_key_statement(
    const char *table, const char *path, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* Locked by a statement of its own, so that those after it see what a concurrent change of the
 * same path has committed by then. */
LakeStatement *lake_ledger_key_lock(LakeCatalog *catalog, const char *table, const char *path);
LakeStatement *
lake_ledger_key_delete_rows(LakeCatalog *catalog, const char *table, const char *path);

/* Tells of a change of this path. kinds: further LakeChangeKind. */
void
lake_ledger_key_changed(LakeCatalog *catalog, const char *table, const char *path, guint kinds);

/* NOT_FOUND. */
void lake_ledger_key_set_not_found(const char *table, const char *path, GError **error);

/* After a change whose answer was lost: TRUE when what became of it can be seen. FALSE: failure
 * is another one, or the wait was cancelled. */
gboolean lake_ledger_key_is_lost(LakeCatalog *catalog, const char *table, const char *path,
    const GError *failure, GCancellable *cancellable);

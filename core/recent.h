/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/recent.h: what we did to the ledger moments ago, for servers whose reads may still show
 * what was there before (core/api/lag.h). core/ledger.c asks it first and corrects with it what
 * the server says, so that a file is there as soon as it was copied, and gone when removed.
 *
 * An entry is forgotten once the server is sure to have it. Any thread.
 */

#include "core/ledger.h"

typedef struct LakeRecent LakeRecent;

/* lag_ms: how long reads may be behind. */
LakeRecent *lake_recent_new(gint64 lag_ms);
/* NULL is allowed, here and below: then nothing is remembered. */
void lake_recent_free(LakeRecent *recent);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeRecent, lake_recent_free)

/* entry is how it was left; a reference is taken. */
void lake_recent_put(LakeRecent *recent, const char *table, LakeLedgerEntry *entry);
void lake_recent_remove(LakeRecent *recent, const char *table, const char *path);

/* Of changes that it cannot follow, and which readers wait for: all of the table; NULL: of
 * every one. */
void lake_recent_forget(LakeRecent *recent, const char *table);

/* Of what others have changed meanwhile, as the server says: this path. */
void lake_recent_forget_path(LakeRecent *recent, const char *table, const char *path);

/* TRUE when it knows of this path; *ret_entry NULL: that it was removed. */
gboolean lake_recent_find(
    LakeRecent *recent, const char *table, const char *path, LakeLedgerEntry **ret_entry);

/* Corrects a part of a folder's listing, sorted by name: what the server has after `after`
 * (NULL: from the start) up to its last entry, or, with is_end, to the folder's end. asked_us:
 * monotonic time when it was asked, however long it took to answer. */
void lake_recent_correct(LakeRecent *recent, const char *table, const char *folder,
    const char *after, gboolean is_end, gint64 asked_us, GPtrArray *entries);

/* Corrects the names of the drop zones, sorted (of char*). */
void lake_recent_correct_zones(LakeRecent *recent, gint64 asked_us, GPtrArray *zones);

/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/node/inbox_saved.h"

#include "core/error.h"
#include "fs/cache.h"
#include "fs/node/inbox.h"
#include "fs/node/inbox_commit.h"
#include <string.h>

/* A file that others replace again and again while it is read. */
#define RESTORE_ATTEMPTS_MAX 5

static void
set_stale(const char *zone, const char *path, GError **error)
{
    lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_STALE,
        "ingest/%s/%s was removed by others", zone, path);
}

LakeLedgerEntry *
fs_inbox_saved_find(FsNode *node, FsCall *call, char **ret_zone, GError **error)
{
    g_autofree char *path = NULL;
    g_autoptr(LakeLedgerEntry) entry = NULL;

    if (!fs_inbox_locate(node, ret_zone, &path, error) ||
        !fs_cache_find_entry(node->context->cache, call, *ret_zone, path, &entry, error))
        return NULL;
    if (entry && !entry->is_folder)
        return g_steal_pointer(&entry);
    set_stale(*ret_zone, path, error);
    return NULL;
}

/* The cache's entry is up to a second old, and the rows go away with the file that they were:
 * TRUE when the ledger has another file by now, which *entry then is. Where it has none,
 * *failure says so. */
static gboolean
was_replaced(
    FsNode *node, FsCall *call, const char *zone, LakeLedgerEntry **entry, GError **failure)
{
    FsCache *cache = node->context->cache;
    g_autoptr(GError) reason = NULL;
    g_autoptr(LakeLedgerEntry) now =
        lake_ledger_find(lake_workspace_catalog(node->context->workspace), zone, (*entry)->path,
            call->cancellable, &reason);

    if (g_error_matches(reason, LAKE_ERROR, LAKE_ERROR_NOT_FOUND)) {
        fs_cache_remove_entry(cache, zone, (*entry)->path);
        g_clear_error(failure);
        set_stale(zone, (*entry)->path, failure);
    }
    if (!now || now->is_folder || g_strcmp0(now->file_id, (*entry)->file_id) == 0)
        return FALSE;
    fs_cache_put_entry(cache, zone, now);
    lake_ledger_entry_unref(*entry);
    *entry = g_steal_pointer(&now);
    return TRUE;
}

LakeSpool *
fs_inbox_saved_restore(
    FsNode *node, FsCall *call, const char *zone, LakeLedgerEntry **entry, GError **error)
{
    if (!fs_call_may_block(call))
        return NULL;
    for (int attempt = 1;; attempt++) {
        g_autoptr(LakeSpool) content = fs_inbox_commit_new_spool(node);
        g_autoptr(GError) failure = NULL;

        if (lake_ingest_restore(lake_workspace_catalog(node->context->workspace), zone, *entry,
                content, call->cancellable, &failure))
            return g_steal_pointer(&content);
        if (attempt < RESTORE_ATTEMPTS_MAX &&
            g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_BAD_INPUT) &&
            was_replaced(node, call, zone, entry, &failure))
            continue;
        g_propagate_error(error, g_steal_pointer(&failure));
        return NULL;
    }
}

/* SPDX-License-Identifier: Apache-2.0 */

/* fs/node/inbox_list.c: what a folder of a drop zone lists: the ledger's entries, page by page,
 * and among them what the ledger does not have. */

#include "fs/cache.h"
#include "fs/failures.h"
#include "fs/node/inbox.h"

#include <string.h>

/* The names of what is not in the ledger: files being written, and reasons of refusals. */
static GPtrArray *
unsaved_names(FsNode *folder, const char *zone, const char *path)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) unsaved = fs_node_pinned_children(folder);
    g_autoptr(GPtrArray) refused = fs_failures_refused(folder->context->failures, zone, path);

    for (guint i = 0; i < unsaved->len; i++)
        g_ptr_array_add(names, fs_node_dup_name(unsaved->pdata[i]));
    for (guint i = 0; i < refused->len; i++)
        g_ptr_array_add(names, g_strconcat(refused->pdata[i], FS_INBOX_ERROR_SUFFIX, NULL));
    return names;
}

/* Those that belong on a page of the ledger's entries: after `after` and, where further pages
 * follow, not beyond the last entry. */
static void
add_unsaved(GPtrArray *listed, GPtrArray *names, const char *after, gboolean is_last)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    const FsListed *end = listed->len > 0 ? listed->pdata[listed->len - 1] : NULL;

    for (guint i = 0; i < listed->len; i++)
        g_hash_table_add(seen, ((FsListed *)listed->pdata[i])->name);
    for (guint i = 0; i < names->len; i++) {
        const char *name = names->pdata[i];
        gboolean is_here = (!after || strcmp(name, after) > 0) &&
                           (is_last || (end && strcmp(name, end->name) < 0));

        if (is_here && !g_hash_table_contains(seen, name)) {
            FsListed *item = fs_listed_new(name, FALSE);
            g_hash_table_add(seen, item->name);
            g_ptr_array_add(listed, item);
        }
    }
}

static gint
compare_listed(gconstpointer a, gconstpointer b)
{
    return strcmp((*(FsListed *const *)a)->name, (*(FsListed *const *)b)->name);
}

GPtrArray *
fs_inbox_folder_list(
    FsNode *folder, FsCall *call, const char *after, gboolean *ret_is_last, GError **error)
{
    g_autofree char *zone = NULL;
    g_autofree char *path = NULL;
    g_autoptr(GPtrArray) names = NULL;
    g_autoptr(GPtrArray) entries = NULL;
    GPtrArray *listed;

    if (!fs_inbox_locate(folder, &zone, &path, error))
        return NULL;
    /* Before the ledger is asked: what is saved in between is then in both, never in neither.
     */
    names = unsaved_names(folder, zone, path);
    entries = fs_cache_list_entries(
        folder->context->cache, call, zone, path, after, ret_is_last, error);
    if (!entries)
        return NULL;
    listed = g_ptr_array_new_with_free_func((GDestroyNotify)fs_listed_free);
    for (guint i = 0; i < entries->len; i++) {
        LakeLedgerEntry *entry = g_ptr_array_index(entries, i);
        FsListed *item = fs_listed_new(entry->name, entry->is_folder);

        item->entry = lake_ledger_entry_ref(entry);
        g_ptr_array_add(listed, item);
    }
    add_unsaved(listed, names, after, *ret_is_last);
    g_ptr_array_sort(listed, compare_listed);
    return listed;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "core/recent.h"

#include <string.h>

/* For clocks and answers that are under way: longer does no harm. */
#define MARGIN_MS 1000
/* And for listings that were asked for before that: with tries and empty answers a request
 * takes some seconds. */
#define KEEP_US (10 * G_TIME_SPAN_SECOND)

typedef struct {
    char *table;
    char *path;
    char *folder, *name;
    LakeLedgerEntry *entry; /* NULL: removed */
    gint64 until_us;
    GList link; /* in the order of all; its data is this */
} Known;

struct LakeRecent {
    gint64 lag_us;
    GMutex lock;
    GHashTable *known; /* of Known, which is its own key; guarded by lock */
    GQueue order;      /* of Known, the oldest first, by their own links; guarded by lock */
};

static guint
hash_known(gconstpointer key)
{
    const Known *known = key;

    return g_str_hash(known->table) * 31 + g_str_hash(known->path);
}

static gboolean
are_equal(gconstpointer a, gconstpointer b)
{
    const Known *left = a;
    const Known *right = b;

    return strcmp(left->path, right->path) == 0 && strcmp(left->table, right->table) == 0;
}

static void
known_free(gpointer data)
{
    Known *known = data;

    g_free(known->table);
    g_free(known->path);
    g_free(known->folder);
    g_free(known->name);
    lake_ledger_entry_unref(known->entry);
    g_free(known);
}

LakeRecent *
lake_recent_new(gint64 lag_ms)
{
    LakeRecent *recent = g_new0(LakeRecent, 1);

    recent->lag_us = (lag_ms + MARGIN_MS) * 1000;
    recent->known = g_hash_table_new_full(hash_known, are_equal, NULL, known_free);
    g_mutex_init(&recent->lock);
    return recent;
}

void
lake_recent_free(LakeRecent *recent)
{
    if (!recent)
        return;
    g_hash_table_unref(recent->known);
    g_mutex_clear(&recent->lock);
    g_free(recent);
}

/* With the lock held. */
static void
drop(LakeRecent *recent, Known *known)
{
    g_queue_unlink(&recent->order, &known->link);
    g_hash_table_remove(recent->known, known);
}

/* With the lock held: what the server had for long. */
static void
forget_old(LakeRecent *recent)
{
    gint64 now_us = g_get_monotonic_time();

    for (Known *known;
         (known = g_queue_peek_head(&recent->order)) && known->until_us + KEEP_US <= now_us;)
        drop(recent, known);
}

static void
remember(LakeRecent *recent, const char *table, const char *path, LakeLedgerEntry *entry)
{
    Known *known;

    if (!recent)
        return;
    known = g_new0(Known, 1);
    known->table = g_strdup(table);
    known->path = g_strdup(path);
    known->entry = entry ? lake_ledger_entry_ref(entry) : NULL;
    known->until_us = g_get_monotonic_time() + recent->lag_us;
    known->link.data = known;
    lake_ledger_split(path, &known->folder, &known->name);

    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&recent->lock);
    forget_old(recent);
    Known *former = g_hash_table_lookup(recent->known, known);
    if (former)
        drop(recent, former);
    g_hash_table_add(recent->known, known);
    g_queue_push_tail_link(&recent->order, &known->link);
}

void
lake_recent_put(LakeRecent *recent, const char *table, LakeLedgerEntry *entry)
{
    remember(recent, table, entry->path, entry);
}

void
lake_recent_remove(LakeRecent *recent, const char *table, const char *path)
{
    remember(recent, table, path, NULL);
}

void
lake_recent_forget(LakeRecent *recent, const char *table)
{
    if (!recent)
        return;

    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&recent->lock);
    for (GList *at = recent->order.head; at;) {
        Known *known = at->data;
        at = at->next;
        if (!table || strcmp(known->table, table) == 0)
            drop(recent, known);
    }
}

void
lake_recent_forget_path(LakeRecent *recent, const char *table, const char *path)
{
    const Known wanted = {.table = (char *)table, .path = (char *)path};

    if (!recent)
        return;

    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&recent->lock);
    Known *known = g_hash_table_lookup(recent->known, &wanted);
    if (known)
        drop(recent, known);
}

gboolean
lake_recent_find(
    LakeRecent *recent, const char *table, const char *path, LakeLedgerEntry **ret_entry)
{
    const Known wanted = {.table = (char *)table, .path = (char *)path};

    if (!recent)
        return FALSE;

    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&recent->lock);
    forget_old(recent);
    const Known *known = g_hash_table_lookup(recent->known, &wanted);
    if (!known || known->until_us <= g_get_monotonic_time())
        return FALSE;
    *ret_entry = known->entry ? lake_ledger_entry_ref(known->entry) : NULL;
    return TRUE;
}

/* --- listings --- */

static const char *
entry_name(gconstpointer item)
{
    return ((const LakeLedgerEntry *)item)->name;
}

static const char *
zone_name(gconstpointer item)
{
    return item;
}

/* Where name stands in a sorted list, or would stand. */
static guint
find_place(const GPtrArray *list, const char *(*name_of)(gconstpointer), const char *name,
    gboolean *ret_is_there)
{
    guint from = 0;
    guint to = list->len;

    while (from < to) {
        guint middle = (from + to) / 2;
        if (strcmp(name_of(list->pdata[middle]), name) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    *ret_is_there = from < list->len && strcmp(name_of(list->pdata[from]), name) == 0;
    return from;
}

/* Puts item, which is taken, in the place of what has its name; NULL: nothing is left there. */
static void
put_item(
    GPtrArray *list, const char *(*name_of)(gconstpointer), const char *name, gpointer item)
{
    gboolean is_there;
    guint place = find_place(list, name_of, name, &is_there);

    if (is_there)
        g_ptr_array_remove_index(list, place);
    if (item)
        g_ptr_array_insert(list, (gint)place, item);
}

void
lake_recent_correct(LakeRecent *recent, const char *table, const char *folder,
    const char *after, gboolean is_end, gint64 asked_us, GPtrArray *entries)
{
    g_autofree char *last = NULL;

    if (!recent)
        return;
    if (!is_end && entries->len > 0)
        last = g_strdup(entry_name(entries->pdata[entries->len - 1]));

    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&recent->lock);
    forget_old(recent);
    for (const GList *at = recent->order.head; at; at = at->next) {
        const Known *known = at->data;
        gboolean is_in = known->until_us > asked_us && strcmp(known->table, table) == 0 &&
                         strcmp(known->folder, folder) == 0 && *known->name &&
                         (!after || strcmp(known->name, after) > 0) &&
                         (!last || strcmp(known->name, last) <= 0);
        if (is_in)
            put_item(entries, entry_name, known->name,
                known->entry ? lake_ledger_entry_ref(known->entry) : NULL);
    }
}

void
lake_recent_correct_zones(LakeRecent *recent, gint64 asked_us, GPtrArray *zones)
{
    if (!recent)
        return;

    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&recent->lock);
    forget_old(recent);
    for (const GList *at = recent->order.head; at; at = at->next) {
        const Known *known = at->data;
        if (known->until_us > asked_us && *known->path == '\0')
            put_item(
                zones, zone_name, known->table, known->entry ? g_strdup(known->table) : NULL);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/cache.h"

#include "core/error.h"
#include <string.h>

/* A listing that took this many times less than it has aged may be read again. */
#define COST_FACTOR 20
#define AGE_MAX_US G_TIME_SPAN_SECOND
/* The same for one that is known to have changed, unless it is read in no time. */
#define CHANGED_COST_FACTOR 4
#define CHANGED_CHEAP_US (20 * G_TIME_SPAN_MILLISECOND)
/* Where it is not the files that take so long, but a server that is far or busy. */
#define FEW_ENTRIES 1000
#define CHANGED_FEW_MAX_US (G_TIME_SPAN_SECOND / 2)
/* Tables whose rows changed, one by one; beyond, all have. */
#define ROWS_CHANGED_MAX 1024
/* A folder that was not asked for this long goes: one in use is read anew every second. */
#define FOLDER_IDLE_US (10 * G_TIME_SPAN_SECOND)

/* One folder of a drop zone. */
typedef struct {
    GHashTable *entries; /* name → LakeLedgerEntry; "" is the zone itself */
    gboolean is_loaded;
    gboolean is_large; /* entries holds only what this mount has put */
    gint64 loaded_at_us;
    gint64 load_took_us;
    gint64 changed_at_us; /* by others */
    /* While it is being read: names that changed meanwhile, which the reading may have missed.
     */
    GHashTable *touched;
    guint n_loading;
    gboolean is_outdated; /* the zone was forgotten since a reading began that is under way */
} Folder;

struct FsCache {
    LakeCatalog *catalog;
    GMutex lock;         /* guards all below */
    GHashTable *folders; /* "zone//folder" → Folder */
    GPtrArray *tables;   /* of FsCacheTable, sorted; NULL: not read yet */
    gint64 tables_loaded_at_us;
    guint64 tables_generation; /* of changes that are known */
    GHashTable *rows_changes;  /* table → guint64*, of the last change of its rows */
    guint64 rows_all_changed;  /* the last of all tables */
    guint64 n_rows_changes;
};

static void
folder_free(gpointer data)
{
    Folder *folder = data;

    g_hash_table_unref(folder->entries);
    g_clear_pointer(&folder->touched, g_hash_table_unref);
    g_free(folder);
}

void
fs_cache_table_free(FsCacheTable *table)
{
    if (!table)
        return;
    g_free(table->name);
    g_free(table);
}

FsCache *
fs_cache_new(LakeCatalog *catalog)
{
    FsCache *cache = g_new0(FsCache, 1);

    cache->catalog = catalog;
    g_mutex_init(&cache->lock);
    cache->folders = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, folder_free);
    cache->rows_changes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return cache;
}

void
fs_cache_free(FsCache *cache)
{
    g_hash_table_unref(cache->folders);
    g_hash_table_unref(cache->rows_changes);
    g_clear_pointer(&cache->tables, g_ptr_array_unref);
    g_mutex_clear(&cache->lock);
    g_free(cache);
}

/* --- tables and drop zones --- */

static FsCacheTable *
table_copy(const FsCacheTable *table)
{
    FsCacheTable *copy = g_new(FsCacheTable, 1);

    *copy = *table;
    copy->name = g_strdup(table->name);
    return copy;
}

static gint
compare_tables(gconstpointer a, gconstpointer b)
{
    return strcmp((*(FsCacheTable *const *)a)->name, (*(FsCacheTable *const *)b)->name);
}

static FsCacheTable *
find_table(GPtrArray *tables, const char *name)
{
    FsCacheTable key = {.name = (char *)name};
    FsCacheTable *wanted = &key;
    gsize low = 0;
    gsize high = tables->len;

    while (low < high) {
        gsize middle = low + (high - low) / 2;
        if (compare_tables(&tables->pdata[middle], &wanted) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < tables->len && strcmp(((FsCacheTable *)tables->pdata[low])->name, name) == 0)
        return tables->pdata[low];
    return NULL;
}

static GPtrArray *
load_tables(FsCache *cache, FsCall *call, GError **error)
{
    g_autoptr(GPtrArray) names = lake_catalog_list(cache->catalog, call->cancellable, error);
    g_autoptr(GPtrArray) zones =
        names ? lake_ledger_zones(cache->catalog, call->cancellable, error) : NULL;
    GPtrArray *tables;

    if (!zones)
        return NULL;
    tables = g_ptr_array_new_with_free_func((GDestroyNotify)fs_cache_table_free);
    for (guint i = 0; i < names->len; i++) {
        const LakeTableName *name = g_ptr_array_index(names, i);
        FsCacheTable *table = g_new0(FsCacheTable, 1);

        table->name = g_strdup(name->name);
        table->has_table = TRUE;
        table->is_view = name->kind == LAKE_TABLE_VIEW;
        table->is_zone = !table->is_view;
        g_ptr_array_add(tables, table);
    }
    for (guint i = 0, n_tables = tables->len; i < zones->len; i++) {
        g_autoptr(GPtrArray) sorted = NULL;
        gboolean is_known = FALSE;

        /* Zones without a table are few; the tables are sorted up to n_tables. */
        for (guint j = 0; j < n_tables && !is_known; j++)
            is_known = strcmp(((FsCacheTable *)tables->pdata[j])->name, zones->pdata[i]) == 0;
        if (is_known)
            continue;
        FsCacheTable *zone = g_new0(FsCacheTable, 1);
        zone->name = g_strdup(zones->pdata[i]);
        zone->is_zone = TRUE;
        g_ptr_array_add(tables, zone);
    }
    g_ptr_array_sort(tables, compare_tables);
    return tables;
}

/* With the lock held. */
static gboolean
are_tables_fresh(const FsCache *cache)
{
    return cache->tables &&
           g_get_monotonic_time() - cache->tables_loaded_at_us < FS_CACHE_FRESH_US;
}

/* Reads them where they are not fresh; afterwards the lock is held, on success. */
static gboolean
lock_fresh_tables(FsCache *cache, FsCall *call, GError **error)
{
    g_mutex_lock(&cache->lock);
    while (!are_tables_fresh(cache)) {
        guint64 generation = cache->tables_generation;
        gint64 started_us = g_get_monotonic_time();
        GPtrArray *tables = NULL;

        g_mutex_unlock(&cache->lock);
        if (fs_call_may_block(call))
            tables = load_tables(cache, call, error);
        if (!tables)
            return FALSE;
        g_mutex_lock(&cache->lock);
        /* What this mount changed while it was read may be missing in it. */
        if (generation != cache->tables_generation) {
            g_ptr_array_unref(tables);
            continue;
        }
        g_clear_pointer(&cache->tables, g_ptr_array_unref);
        cache->tables = tables;
        cache->tables_loaded_at_us = started_us;
        return TRUE;
    }
    return TRUE;
}

gboolean
fs_cache_find_table(
    FsCache *cache, FsCall *call, const char *name, FsCacheTable **ret_found, GError **error)
{
    if (!lock_fresh_tables(cache, call, error))
        return FALSE;

    const FsCacheTable *found = find_table(cache->tables, name);
    *ret_found = found ? table_copy(found) : NULL;
    g_mutex_unlock(&cache->lock);
    return TRUE;
}

GPtrArray *
fs_cache_list_tables(FsCache *cache, FsCall *call, GError **error)
{
    GPtrArray *copy;

    if (!lock_fresh_tables(cache, call, error))
        return NULL;
    copy = g_ptr_array_new_with_free_func((GDestroyNotify)fs_cache_table_free);
    for (guint i = 0; i < cache->tables->len; i++)
        g_ptr_array_add(copy, table_copy(cache->tables->pdata[i]));
    g_mutex_unlock(&cache->lock);
    return copy;
}

void
fs_cache_tables_changed(FsCache *cache)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&cache->lock);

    cache->tables_generation++;
    g_clear_pointer(&cache->tables, g_ptr_array_unref);
}

void
fs_cache_note_table(FsCache *cache, const char *name)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&cache->lock);
    const FsCacheTable *known = cache->tables ? find_table(cache->tables, name) : NULL;

    if (known && known->has_table)
        return;
    cache->tables_generation++;
    g_clear_pointer(&cache->tables, g_ptr_array_unref);
}

/* --- ingested files and folders --- */

static char *
folder_key(const char *zone, const char *folder)
{
    /* A zone may have slashes anywhere; a folder never two in a row, nor one at its start. */
    return g_strconcat(zone, "//", folder, NULL);
}

static GHashTable *
new_entries(void)
{
    return g_hash_table_new_full(
        g_str_hash, g_str_equal, g_free, (GDestroyNotify)lake_ledger_entry_unref);
}

static gboolean
is_folder_idle(gpointer key, gpointer data, gpointer now_us)
{
    const Folder *folder = data;

    return folder->n_loading == 0 && *(gint64 *)now_us - folder->loaded_at_us > FOLDER_IDLE_US;
}

/* With the lock held. */
static Folder *
get_folder(FsCache *cache, const char *zone, const char *path)
{
    g_autofree char *key = folder_key(zone, path);
    Folder *folder = g_hash_table_lookup(cache->folders, key);

    if (!folder) {
        gint64 now_us = g_get_monotonic_time();

        g_hash_table_foreach_remove(cache->folders, is_folder_idle, &now_us);
        folder = g_new0(Folder, 1);
        folder->entries = new_entries();
        folder->loaded_at_us = now_us;
        g_hash_table_insert(cache->folders, g_steal_pointer(&key), folder);
    }
    return folder;
}

/* With the lock held. */
static gboolean
is_folder_outdated(const Folder *folder)
{
    return folder->changed_at_us >= folder->loaded_at_us;
}

/* With the lock held. How long one that is known to have changed is shown as it was. */
static gint64
outdated_max_us(const Folder *folder)
{
    gint64 most_us =
        g_hash_table_size(folder->entries) < FEW_ENTRIES ? CHANGED_FEW_MAX_US : G_MAXINT64;

    return folder->load_took_us < CHANGED_CHEAP_US
               ? 0
               : MIN(folder->load_took_us * CHANGED_COST_FACTOR, most_us);
}

/* With the lock held. */
static gboolean
is_folder_fresh(const Folder *folder)
{
    gint64 age_us = g_get_monotonic_time() - folder->loaded_at_us;

    if (is_folder_outdated(folder))
        return folder->is_loaded && age_us < outdated_max_us(folder);
    return folder->is_loaded &&
           age_us < CLAMP(folder->load_took_us * COST_FACTOR, FS_CACHE_FRESH_US, AGE_MAX_US);
}

static void
take_entries(GHashTable *into, GPtrArray *entries)
{
    for (guint i = 0; i < entries->len; i++) {
        LakeLedgerEntry *entry = entries->pdata[i];
        g_hash_table_insert(into, g_strdup(entry->name), entry);
    }
    g_ptr_array_set_free_func(entries, NULL);
}

/* The folder as the server has it; *ret_is_large when it is too much to hold. */
static GHashTable *
load_entries(FsCache *cache, FsCall *call, const char *zone, const char *path,
    gboolean *ret_is_large, GError **error)
{
    g_autoptr(GHashTable) loaded = new_entries();
    g_autoptr(GPtrArray) entries = lake_ledger_list(
        cache->catalog, zone, path, NULL, FS_CACHE_FOLDER_MAX + 1, call->cancellable, error);

    if (!entries)
        return NULL;
    *ret_is_large = entries->len > FS_CACHE_FOLDER_MAX;
    if (!*ret_is_large)
        take_entries(loaded, entries);
    if (!*path) {
        g_autoptr(GError) failure = NULL;
        LakeLedgerEntry *own =
            lake_ledger_find(cache->catalog, zone, "", call->cancellable, &failure);

        if (own)
            g_hash_table_insert(loaded, g_strdup(""), own);
        else if (!g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_NOT_FOUND)) {
            g_propagate_error(error, g_steal_pointer(&failure));
            return NULL;
        }
    }
    return g_steal_pointer(&loaded);
}

/* With the lock held: what was put or removed while it was read counts more than the reading.
 */
static void
merge_touched(Folder *folder, GHashTable *loaded)
{
    GHashTableIter iterator;
    gpointer name;

    g_hash_table_iter_init(&iterator, folder->touched);
    while (g_hash_table_iter_next(&iterator, &name, NULL)) {
        LakeLedgerEntry *own = g_hash_table_lookup(folder->entries, name);

        if (own)
            g_hash_table_insert(loaded, g_strdup(name), lake_ledger_entry_ref(own));
        else
            g_hash_table_remove(loaded, name);
    }
}

/* With the lock held. */
static void
install_entries(Folder *folder, GHashTable *loaded, gboolean is_large, gint64 started_us)
{
    /* One that began later was sooner done, and knows more. */
    if (folder->is_loaded && started_us < folder->loaded_at_us) {
        g_hash_table_unref(loaded);
        return;
    }
    merge_touched(folder, loaded);
    g_hash_table_unref(folder->entries);
    folder->entries = loaded;
    folder->is_loaded = !folder->is_outdated;
    folder->is_large = is_large;
    folder->loaded_at_us = started_us;
    folder->load_took_us = g_get_monotonic_time() - started_us;
}

/* Reads the folder where it is not fresh; afterwards the lock is held, on success. */
static gboolean
lock_fresh_folder(FsCache *cache, FsCall *call, const char *zone, const char *path,
    Folder **ret_folder, GError **error)
{
    g_mutex_lock(&cache->lock);
    Folder *folder = get_folder(cache, zone, path);
    *ret_folder = folder;
    if (is_folder_fresh(folder)) {
        call->is_outdated |= is_folder_outdated(folder);
        return TRUE;
    }
    if (!fs_call_may_block(call)) {
        g_mutex_unlock(&cache->lock);
        return FALSE;
    }
    if (folder->n_loading++ == 0)
        folder->touched = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_mutex_unlock(&cache->lock);

    gint64 started_us = g_get_monotonic_time();
    gboolean is_large = FALSE;
    GHashTable *loaded = load_entries(cache, call, zone, path, &is_large, error);

    g_mutex_lock(&cache->lock);
    if (loaded)
        install_entries(folder, loaded, is_large, started_us);
    if (--folder->n_loading == 0) {
        g_clear_pointer(&folder->touched, g_hash_table_unref);
        folder->is_outdated = FALSE;
    }
    if (loaded)
        call->is_outdated |= is_folder_outdated(folder);
    else
        g_mutex_unlock(&cache->lock);
    return loaded != NULL;
}

static gboolean
ask_for_entry(FsCache *cache, FsCall *call, const char *zone, const char *path,
    LakeLedgerEntry **ret_entry, GError **error)
{
    g_autoptr(GError) failure = NULL;

    *ret_entry = NULL;
    if (!fs_call_may_block(call))
        return FALSE;
    *ret_entry = lake_ledger_find(cache->catalog, zone, path, call->cancellable, &failure);
    if (*ret_entry || g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_NOT_FOUND))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

gboolean
fs_cache_find_entry(FsCache *cache, FsCall *call, const char *zone, const char *path,
    LakeLedgerEntry **ret_entry, GError **error)
{
    g_autofree char *folder_path = NULL;
    g_autofree char *name = NULL;
    Folder *folder;
    LakeLedgerEntry *entry;

    lake_ledger_split(path, &folder_path, &name);
    if (!lock_fresh_folder(cache, call, zone, folder_path, &folder, error))
        return FALSE;
    entry = g_hash_table_lookup(folder->entries, name);
    *ret_entry = entry ? lake_ledger_entry_ref(entry) : NULL;
    gboolean must_ask = folder->is_large && *name;
    g_mutex_unlock(&cache->lock);

    if (!must_ask)
        return TRUE;
    g_clear_pointer(ret_entry, lake_ledger_entry_unref);
    return ask_for_entry(cache, call, zone, path, ret_entry, error);
}

static gint
compare_entries(gconstpointer a, gconstpointer b)
{
    return strcmp((*(LakeLedgerEntry *const *)a)->name, (*(LakeLedgerEntry *const *)b)->name);
}

GPtrArray *
fs_cache_list_entries(FsCache *cache, FsCall *call, const char *zone, const char *folder_path,
    const char *after, gboolean *ret_is_last, GError **error)
{
    GPtrArray *entries;
    GHashTableIter iterator;
    Folder *folder;
    gpointer name;
    gpointer entry;

    if (!lock_fresh_folder(cache, call, zone, folder_path, &folder, error))
        return NULL;
    if (folder->is_large) {
        g_mutex_unlock(&cache->lock);
        if (!fs_call_may_block(call))
            return NULL;
        entries = lake_ledger_list(
            cache->catalog, zone, folder_path, after, 1000, call->cancellable, error);
        *ret_is_last = entries && entries->len < 1000;
        return entries;
    }
    entries = g_ptr_array_new_with_free_func((GDestroyNotify)lake_ledger_entry_unref);
    g_hash_table_iter_init(&iterator, folder->entries);
    while (g_hash_table_iter_next(&iterator, &name, &entry))
        if (*(const char *)name && (!after || strcmp(name, after) > 0))
            g_ptr_array_add(entries, lake_ledger_entry_ref(entry));
    g_mutex_unlock(&cache->lock);
    g_ptr_array_sort(entries, compare_entries);
    *ret_is_last = TRUE;
    return entries;
}

LakeIngestExpectation
fs_cache_expectation(FsCache *cache, const char *zone, const char *path)
{
    g_autofree char *folder_path = NULL;
    g_autofree char *name = NULL;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&cache->lock);
    const Folder *folder;

    lake_ledger_split(path, &folder_path, &name);
    folder = get_folder(cache, zone, folder_path);
    if (g_hash_table_contains(folder->entries, name))
        return LAKE_INGEST_KNOWN;
    return folder->is_loaded && !folder->is_large ? LAKE_INGEST_NEW : LAKE_INGEST_UNKNOWN;
}

/* With the lock held. */
static Folder *
touch(FsCache *cache, const char *zone, const char *folder_path, const char *name)
{
    Folder *folder = get_folder(cache, zone, folder_path);

    if (folder->touched)
        g_hash_table_add(folder->touched, g_strdup(name));
    return folder;
}

/* Not the zone itself, which stays known however large it is. */
static gboolean
is_named(gpointer name, gpointer entry, gpointer user_data)
{
    return *(const char *)name != '\0';
}

void
fs_cache_put_entry(FsCache *cache, const char *zone, LakeLedgerEntry *entry)
{
    g_autofree char *folder_path = NULL;
    g_autofree char *name = NULL;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&cache->lock);

    lake_ledger_split(entry->path, &folder_path, &name);
    Folder *folder = touch(cache, zone, folder_path, name);
    /* Of a folder too large to hold, only the reading of it needs to know. */
    if (!folder->is_large || folder->touched)
        g_hash_table_insert(folder->entries, g_strdup(name), lake_ledger_entry_ref(entry));
    if (folder->is_loaded && !folder->is_large &&
        g_hash_table_size(folder->entries) > FS_CACHE_FOLDER_MAX) {
        folder->is_large = TRUE;
        g_hash_table_foreach_remove(folder->entries, is_named, NULL);
    }
}

void
fs_cache_remove_entry(FsCache *cache, const char *zone, const char *path)
{
    g_autofree char *folder_path = NULL;
    g_autofree char *name = NULL;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&cache->lock);

    lake_ledger_split(path, &folder_path, &name);
    Folder *folder = touch(cache, zone, folder_path, name);
    g_hash_table_remove(folder->entries, name);
}

static gboolean
is_in_zone(const char *key, const char *prefix)
{
    return !prefix || g_str_has_prefix(key, prefix);
}

void
fs_cache_zone_changed(FsCache *cache, const char *zone)
{
    g_autofree char *prefix = zone ? folder_key(zone, "") : NULL;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&cache->lock);
    gint64 now_us = g_get_monotonic_time();
    GHashTableIter iterator;
    gpointer key;
    gpointer folder;

    g_hash_table_iter_init(&iterator, cache->folders);
    while (g_hash_table_iter_next(&iterator, &key, &folder))
        if (is_in_zone(key, prefix))
            ((Folder *)folder)->changed_at_us = now_us;
}

void
fs_cache_forget_zone(FsCache *cache, const char *zone)
{
    g_autofree char *prefix = zone ? folder_key(zone, "") : NULL;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&cache->lock);
    GHashTableIter iterator;
    gpointer key;
    gpointer data;

    g_hash_table_iter_init(&iterator, cache->folders);
    while (g_hash_table_iter_next(&iterator, &key, &data)) {
        Folder *folder = data;

        if (!is_in_zone(key, prefix))
            continue;
        g_hash_table_remove_all(folder->entries);
        /* Without their entries these would be names that are gone. */
        if (folder->touched)
            g_hash_table_remove_all(folder->touched);
        /* A reading that is under way began before the change: whoever waits for it gets it,
         * and nobody after that. */
        folder->is_loaded = FALSE;
        folder->is_outdated = folder->n_loading > 0;
    }
}

/* --- rows --- */

void
fs_cache_rows_changed(FsCache *cache, const char *table)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&cache->lock);
    guint64 number = ++cache->n_rows_changes;

    if (table && g_hash_table_size(cache->rows_changes) < ROWS_CHANGED_MAX) {
        guint64 *last = g_new(guint64, 1);
        *last = number;
        g_hash_table_replace(cache->rows_changes, g_strdup(table), last);
        return;
    }
    cache->rows_all_changed = number;
    g_hash_table_remove_all(cache->rows_changes);
}

guint64
fs_cache_rows_changes(FsCache *cache, const char *table)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&cache->lock);
    const guint64 *last = g_hash_table_lookup(cache->rows_changes, table);

    return last ? *last : cache->rows_all_changed;
}

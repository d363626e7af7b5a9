/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/freshness.h"

#include "fs/cache.h"
#include "fs/name.h"
#include <signal.h>
#include <string.h>

/* A reply takes its time to the kernel, whose clock begins there. */
#define BELIEVED_US ((gint64)((FS_CACHE_KERNEL_SECONDS + 0.3) * G_TIME_SPAN_SECOND))
/* Absences beyond that are left to the kernel's timeout. */
#define ABSENCES_MAX 4096
/* Whoever announces a lot makes us look at everything only so often: a tenth of the time. */
#define REST_FACTOR 10
#define REST_MIN_US (10 * G_TIME_SPAN_MILLISECOND)
#define REST_MAX_US (500 * G_TIME_SPAN_MILLISECOND)

/* A name that is not there. */
typedef struct {
    FsNode *folder; /* referenced */
    char *name;
    gint64 told_at_us;
} Absence;

/* One of the two threads. What it shares is guarded by the freshness' lock. */
typedef struct {
    FsFreshness *freshness;
    gboolean is_own; /* of this mount's changes */
    GThread *thread;
    LakeChangeset *pending;
    guint64 n_queued, n_done; /* changes */
    gboolean is_busy;
} Lane;

struct FsFreshness {
    FsContext *context;
    FsNode *root; /* borrowed */
    const FsKernelCalls *calls;
    gpointer kernel;
    Lane own;
    Lane others;
    GMutex lock; /* guards the lanes, and what follows */
    GCond changed;
    gboolean is_ending;
    GQueue absences; /* of Absence, the oldest first */
};

/* --- what the kernel believes --- */

static gboolean
is_believed(const FsNode *node, gint64 now_us)
{
    double seconds = node->class->timeout_seconds;

    /* What is believed longer is the same for ever. */
    return seconds > 0 && seconds <= FS_CACHE_KERNEL_SECONDS && node->n_lookups > 0 &&
           !node->is_pinned && now_us - node->told_at_us < BELIEVED_US;
}

/* With the tree lock held. Adds node's descendants, with references. */
static void
collect_below(FsNode *node, gint64 now_us, GPtrArray *into)
{
    GHashTableIter iterator;
    gpointer child;

    if (!node->children)
        return;
    g_hash_table_iter_init(&iterator, node->children);
    while (g_hash_table_iter_next(&iterator, NULL, &child)) {
        if (is_believed(child, now_us))
            g_ptr_array_add(into, fs_node_ref(child));
        collect_below(child, now_us, into);
    }
}

static void
collect(FsNode *node, gboolean with_itself, gboolean with_rest, GPtrArray *into)
{
    gint64 now_us = g_get_monotonic_time();
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&node->context->tree_lock);

    if (with_itself && is_believed(node, now_us))
        g_ptr_array_add(into, fs_node_ref(node));
    if (with_rest)
        collect_below(node, now_us, into);
}

static FsNode *
table_node(FsFreshness *freshness, const char *table)
{
    g_autofree char *name = fs_name_from_table(table);

    return fs_node_child(freshness->root, name);
}

static FsNode *
zone_node(FsFreshness *freshness, const char *table)
{
    g_autofree char *name = fs_name_from_table(table);
    g_autoptr(FsNode) inbox = fs_node_child(freshness->root, "ingest");

    return inbox ? fs_node_child(inbox, name) : NULL;
}

/* Of a change of this mount, the kernel has changed the names itself that the request named. */
static void
collect_table(
    FsFreshness *freshness, const char *table, guint kinds, gboolean is_own, GPtrArray *into)
{
    g_autoptr(FsNode) folder = table_node(freshness, table);
    g_autoptr(FsNode) zone = zone_node(freshness, table);

    if (folder)
        collect(folder, !is_own && (kinds & LAKE_CHANGE_TABLE) != 0,
            (kinds & LAKE_CHANGE_ROWS) != 0, into);
    if (zone)
        collect(zone, (kinds & LAKE_CHANGE_TABLE) != 0,
            !is_own && (kinds & LAKE_CHANGE_FILES) != 0, into);
}

static GPtrArray *
collect_set(FsFreshness *freshness, const LakeChangeset *set, gboolean is_own)
{
    GPtrArray *nodes = g_ptr_array_new_with_free_func((GDestroyNotify)fs_node_unref);
    GHashTableIter iterator;
    gpointer table;
    gpointer kinds;

    if (set->is_everything)
        collect(freshness->root, FALSE, TRUE, nodes);
    g_hash_table_iter_init(&iterator, set->tables);
    while (g_hash_table_iter_next(&iterator, &table, &kinds))
        collect_table(freshness, table, GPOINTER_TO_UINT(kinds), is_own, nodes);
    return nodes;
}

static void
expire(FsFreshness *freshness, FsNode *node)
{
    g_autoptr(FsNode) folder = fs_node_dup_parent(node);
    g_autofree char *name = fs_node_dup_name(node);
    gboolean is_read;

    if (folder)
        freshness->calls->expire_name(freshness->kernel, folder, name);
    g_mutex_lock(&node->context->tree_lock);
    is_read = node->n_results > 0;
    g_mutex_unlock(&node->context->tree_lock);
    /* What is being read keeps the size it has: the next who opens it gets another node. */
    if (!is_read)
        freshness->calls->expire_attributes(freshness->kernel, node);
}

/* --- absences --- */

static void
absence_free(gpointer data)
{
    Absence *absence = data;

    fs_node_unref(absence->folder);
    g_free(absence->name);
    g_free(absence);
}

/* With the lock held. Those too old or too many, for the caller to free. */
static GSList *
take_old_absences(FsFreshness *freshness, gint64 now_us)
{
    GSList *old = NULL;
    const Absence *first;

    while ((first = g_queue_peek_head(&freshness->absences)) &&
           (now_us - first->told_at_us > BELIEVED_US ||
               g_queue_get_length(&freshness->absences) > ABSENCES_MAX))
        old = g_slist_prepend(old, g_queue_pop_head(&freshness->absences));
    return old;
}

void
fs_freshness_note_absence(FsNode *folder, const char *name)
{
    FsFreshness *freshness = folder->context->freshness;
    Absence *absence;

    if (!freshness)
        return;
    absence = g_new(Absence, 1);
    absence->folder = fs_node_ref(folder);
    absence->name = g_strdup(name);
    absence->told_at_us = g_get_monotonic_time();
    g_mutex_lock(&freshness->lock);
    g_queue_push_tail(&freshness->absences, absence);
    GSList *old = take_old_absences(freshness, absence->told_at_us);
    g_mutex_unlock(&freshness->lock);
    g_slist_free_full(old, absence_free);
}

static gboolean
is_changed(const LakeChangeset *set, FsNode *folder)
{
    g_autoptr(FsNode) inbox = fs_node_dup_ancestor(folder, &fs_node_inbox);
    g_autofree char *path = inbox ? fs_node_dup_path(folder, inbox) : NULL;

    if (set->is_everything || !path)
        return set->is_everything;
    path[strcspn(path, "/")] = '\0';
    g_autofree char *zone = fs_name_to_table(path, NULL);
    gpointer kinds = zone ? g_hash_table_lookup(set->tables, zone) : NULL;
    return (GPOINTER_TO_UINT(kinds) & LAKE_CHANGE_FILES) != 0;
}

static void
expire_absences(FsFreshness *freshness, const LakeChangeset *set)
{
    g_autoptr(GPtrArray) copies = g_ptr_array_new_with_free_func(absence_free);

    g_mutex_lock(&freshness->lock);
    for (GList *item = freshness->absences.head; item; item = item->next) {
        const Absence *absence = item->data;
        Absence *copy = g_new(Absence, 1);

        *copy = *absence;
        copy->folder = fs_node_ref(absence->folder);
        copy->name = g_strdup(absence->name);
        g_ptr_array_add(copies, copy);
    }
    g_mutex_unlock(&freshness->lock);
    for (guint i = 0; i < copies->len; i++) {
        const Absence *absence = copies->pdata[i];
        if (is_changed(set, absence->folder))
            freshness->calls->expire_name(freshness->kernel, absence->folder, absence->name);
    }
}

/* --- what we believe --- */

static void
forget_table(FsContext *context, const char *table, guint kinds)
{
    if (kinds & LAKE_CHANGE_TABLE)
        fs_cache_tables_changed(context->cache);
    if (kinds & LAKE_CHANGE_FILES) {
        fs_cache_zone_changed(context->cache, table);
        lake_options_forget(lake_workspace_options(context->workspace), table);
    }
    if (kinds & (LAKE_CHANGE_ROWS | LAKE_CHANGE_TABLE))
        fs_cache_rows_changed(context->cache, table);
}

static void
forget_set(FsContext *context, const LakeChangeset *set)
{
    GHashTableIter iterator;
    gpointer table;
    gpointer kinds;

    if (set->is_everything)
        forget_table(context, NULL, LAKE_CHANGE_ALL);
    g_hash_table_iter_init(&iterator, set->tables);
    while (g_hash_table_iter_next(&iterator, &table, &kinds))
        forget_table(context, table, GPOINTER_TO_UINT(kinds));
}

/* --- the lanes --- */

static gboolean
is_ending(FsFreshness *freshness)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&freshness->lock);

    return freshness->is_ending;
}

/* By their names, since a rename here has moved the nodes, and the kernel knows it of the
 * tables alone. */
static void
expire_zones(FsFreshness *freshness, const LakeChangeset *set)
{
    g_autoptr(FsNode) inbox = fs_node_child(freshness->root, "ingest");
    GHashTableIter iterator;
    gpointer table;
    gpointer kinds;

    g_hash_table_iter_init(&iterator, set->tables);
    while (inbox && g_hash_table_iter_next(&iterator, &table, &kinds)) {
        g_autofree char *name = fs_name_from_table(table);
        if (GPOINTER_TO_UINT(kinds) & LAKE_CHANGE_TABLE)
            freshness->calls->expire_name(freshness->kernel, inbox, name);
    }
}

static void
apply(Lane *lane, const LakeChangeset *set)
{
    FsFreshness *freshness = lane->freshness;

    /* First ours: what the kernel forgets it asks us for. */
    if (!lane->is_own)
        forget_set(freshness->context, set);
    g_autoptr(GPtrArray) nodes = collect_set(freshness, set, lane->is_own);
    for (guint i = 0; i < nodes->len && !is_ending(freshness); i++)
        expire(freshness, nodes->pdata[i]);
    if (lane->is_own)
        expire_zones(freshness, set);
    if (!lane->is_own || set->is_everything)
        expire_absences(freshness, set);
}

/* With the lock held. */
static void
rest(Lane *lane, gint64 took_us)
{
    FsFreshness *freshness = lane->freshness;
    gint64 until =
        g_get_monotonic_time() + CLAMP(took_us * REST_FACTOR, REST_MIN_US, REST_MAX_US);

    while (!freshness->is_ending)
        if (!g_cond_wait_until(&freshness->changed, &freshness->lock, until))
            return;
}

static gpointer
run_lane(gpointer data)
{
    Lane *lane = data;
    FsFreshness *freshness = lane->freshness;

    g_mutex_lock(&freshness->lock);
    while (!freshness->is_ending) {
        if (lake_changeset_is_empty(lane->pending)) {
            g_cond_wait(&freshness->changed, &freshness->lock);
            continue;
        }
        g_autoptr(LakeChangeset) set = lane->pending;
        guint64 n_taken = lane->n_queued;
        gint64 started_us = g_get_monotonic_time();

        lane->pending = lake_changeset_new();
        lane->is_busy = TRUE;
        g_mutex_unlock(&freshness->lock);
        apply(lane, set);
        g_mutex_lock(&freshness->lock);
        lane->is_busy = FALSE;
        lane->n_done = n_taken;
        g_cond_broadcast(&freshness->changed);
        if (!lane->is_own)
            rest(lane, g_get_monotonic_time() - started_us);
    }
    g_mutex_unlock(&freshness->lock);
    return NULL;
}

static void
queue(Lane *lane, const LakeChangeset *set)
{
    FsFreshness *freshness = lane->freshness;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&freshness->lock);

    lake_changeset_merge(lane->pending, set);
    lane->n_queued++;
    g_cond_broadcast(&freshness->changed);
}

/* Whether the kernel is to be told at all: copies of many files should cost nothing here. */
static gboolean
is_anything_believed(FsFreshness *freshness, const LakeChangeset *set)
{
    g_autoptr(GPtrArray) nodes = collect_set(freshness, set, TRUE);

    return nodes->len > 0;
}

/* On the thread of the request that made the change. Of the files in drop zones the nodes there
 * keep account themselves, but of what a query did, nobody. */
static void
on_noted(const char *table, guint kinds, gpointer user_data)
{
    FsFreshness *freshness = user_data;
    FsContext *context = freshness->context;
    guint elsewhere = kinds & (LAKE_CHANGE_TABLE | LAKE_CHANGE_ROWS);

    if (!elsewhere)
        return;
    forget_table(context, table, table ? elsewhere : kinds);
    if (!table)
        fs_cache_forget_zone(context->cache, NULL);

    g_autoptr(LakeChangeset) set = lake_changeset_new();
    lake_changeset_add(set, table, elsewhere);
    if (!table || is_anything_believed(freshness, set))
        queue(&freshness->own, set);
}

static void
on_heard(const LakeChangeset *set, gpointer user_data)
{
    queue(&((FsFreshness *)user_data)->others, set);
}

void
fs_freshness_wait(FsContext *context)
{
    FsFreshness *freshness = context->freshness;
    gint64 until = g_get_monotonic_time() + BELIEVED_US;

    if (!freshness)
        return;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&freshness->lock);
    guint64 n_wanted = freshness->own.n_queued;
    while (freshness->own.n_done < n_wanted && !freshness->is_ending)
        if (!g_cond_wait_until(&freshness->changed, &freshness->lock, until))
            return;
}

void
fs_freshness_table_touched(FsContext *context, const char *table)
{
    FsFreshness *freshness = context->freshness;
    g_autoptr(FsNode) folder = freshness ? table_node(freshness, table) : NULL;

    if (!folder)
        return;
    g_mutex_lock(&context->tree_lock);
    gboolean is_known = folder->n_lookups > 0;
    g_mutex_unlock(&context->tree_lock);
    if (is_known)
        freshness->calls->expire_attributes(freshness->kernel, folder);
}

/* --- beginning and end --- */

static void
start_lane(FsFreshness *freshness, Lane *lane, gboolean is_own)
{
    sigset_t all;
    sigset_t former;

    lane->freshness = freshness;
    lane->is_own = is_own;
    lane->pending = lake_changeset_new();
    /* Signals are for the threads that expect them. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &former);
    lane->thread = g_thread_new(is_own ? "own-changes" : "others-changes", run_lane, lane);
    pthread_sigmask(SIG_SETMASK, &former, NULL);
}

void
fs_freshness_begin(
    FsContext *context, FsNode *root, const FsKernelCalls *calls, gpointer kernel)
{
    static const LakeChangesWatch watch = {.noted = on_noted, .heard = on_heard};
    FsFreshness *freshness = g_new0(FsFreshness, 1);

    freshness->context = context;
    freshness->root = root;
    freshness->calls = calls;
    freshness->kernel = kernel;
    g_mutex_init(&freshness->lock);
    g_cond_init(&freshness->changed);
    g_queue_init(&freshness->absences);
    start_lane(freshness, &freshness->own, TRUE);
    start_lane(freshness, &freshness->others, FALSE);
    context->freshness = freshness;
    lake_changes_watch(lake_workspace_changes(context->workspace), &watch, freshness);
}

void
fs_freshness_end(FsContext *context)
{
    FsFreshness *freshness = context->freshness;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&freshness->lock);

    freshness->is_ending = TRUE;
    g_cond_broadcast(&freshness->changed);
}

gboolean
fs_freshness_is_idle(FsContext *context)
{
    FsFreshness *freshness = context->freshness;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&freshness->lock);

    return !freshness->own.is_busy && !freshness->others.is_busy;
}

void
fs_freshness_free(FsContext *context)
{
    FsFreshness *freshness = context->freshness;

    if (!freshness)
        return;
    lake_changes_unwatch(lake_workspace_changes(context->workspace));
    g_thread_join(freshness->own.thread);
    g_thread_join(freshness->others.thread);
    context->freshness = NULL;
    lake_changeset_free(freshness->own.pending);
    lake_changeset_free(freshness->others.pending);
    g_queue_clear_full(&freshness->absences, absence_free);
    g_mutex_clear(&freshness->lock);
    g_cond_clear(&freshness->changed);
    g_free(freshness);
}

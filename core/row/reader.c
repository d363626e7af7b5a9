/* SPDX-License-Identifier: Apache-2.0 */

/* core/row/reader.c: one value, window by window for whoever reads on, and no more than was
 * asked for where somebody reads a little here and there. A window that somebody fetches is
 * waited for by others; no lock is held while the server is asked. */

#include "core/row.h"

#include "core/error.h"
#include <string.h>

/* Of bytes the server takes out just the window; text and JSON it makes anew, as a whole, for
 * each: so of these there are few. */
#define WINDOW_BYTES ((gint64)2 * 1024 * 1024)
#define MADE_WINDOW_BYTES ((gint64)16 * 1024 * 1024)
/* The one that is read, the next, and the one before: the kernel's reads overtake each other.
 */
#define N_SLOTS 3
/* The latest reads, of which one may go on: as many as a player has tracks. */
#define N_RECENT 4
#define SHORT_BYTES (WINDOW_BYTES / 4)         /* beyond it a window costs little more */
#define LOOK_US (50 * G_TIME_SPAN_MILLISECOND) /* a waiter looks whether it was cancelled */

typedef struct {
    gint64 index;  /* of the window; -1: empty */
    GBytes *bytes; /* NULL while it is being fetched */
    guint64 used;  /* when last asked for */
} Slot;

struct LakeRowReader {
    LakeCatalog *catalog;
    LakeRowTable *table;
    char **key;
    char *version;
    guint column;
    gint64 size_bytes;
    gint64 window_bytes;
    GCancellable *stop; /* of what is fetched ahead */
    GMutex lock;        /* guards what follows */
    GCond changed;
    Slot slots[N_SLOTS];
    guint64 clock;
    gint64 last_index;
    gint64 recent[N_RECENT]; /* where each ended; -1: none */
    guint next_recent;
    GThread *ahead; /* the thread that fetches ahead; joined before the next and at the end */
    gint64 ahead_index;
    gboolean is_ahead_running;
};

LakeRowReader *
lake_row_reader_new(LakeCatalog *catalog, LakeRowTable *table, const char *const *key,
    const char *version, guint index, gint64 size_bytes)
{
    LakeRowReader *reader = g_new0(LakeRowReader, 1);

    reader->catalog = catalog;
    reader->table = lake_row_table_ref(table);
    reader->key = g_strdupv((char **)key);
    reader->version = g_strdup(version);
    reader->column = index;
    reader->size_bytes = size_bytes;
    reader->window_bytes =
        lake_row_table_form(table, index) == LAKE_ROW_BYTES ? WINDOW_BYTES : MADE_WINDOW_BYTES;
    reader->last_index = -1;
    reader->stop = g_cancellable_new();
    g_mutex_init(&reader->lock);
    g_cond_init(&reader->changed);
    for (guint i = 0; i < N_SLOTS; i++)
        reader->slots[i].index = -1;
    for (guint i = 0; i < N_RECENT; i++)
        reader->recent[i] = -1;
    return reader;
}

void
lake_row_reader_free(LakeRowReader *reader)
{
    if (!reader)
        return;
    g_cancellable_cancel(reader->stop);
    if (reader->ahead)
        g_thread_join(reader->ahead);
    for (guint i = 0; i < N_SLOTS; i++)
        g_clear_pointer(&reader->slots[i].bytes, g_bytes_unref);
    g_object_unref(reader->stop);
    g_mutex_clear(&reader->lock);
    g_cond_clear(&reader->changed);
    lake_row_table_unref(reader->table);
    g_strfreev(reader->key);
    g_free(reader->version);
    g_free(reader);
}

/* With the lock held. */
static Slot *
find_slot(LakeRowReader *reader, gint64 index)
{
    for (guint i = 0; i < N_SLOTS; i++)
        if (reader->slots[i].index == index)
            return &reader->slots[i];
    return NULL;
}

/* With the lock held: the slot that was not asked for longest, made this window's; NULL when
 * all are being fetched. */
static Slot *
claim_slot(LakeRowReader *reader, gint64 index)
{
    Slot *oldest = NULL;

    for (guint i = 0; i < N_SLOTS; i++) {
        Slot *slot = &reader->slots[i];
        gboolean is_busy = slot->index >= 0 && !slot->bytes;
        if (!is_busy && (!oldest || slot->used < oldest->used))
            oldest = slot;
    }
    if (!oldest)
        return NULL;
    g_clear_pointer(&oldest->bytes, g_bytes_unref);
    oldest->index = index;
    oldest->used = ++reader->clock;
    return oldest;
}

/* Without the lock. */
static GBytes *
fetch(
    LakeRowReader *reader, gint64 start, gint64 end, GCancellable *cancellable, GError **error)
{
    gsize n_wanted = (gsize)(end - start);
    g_autoptr(GBytes) bytes =
        lake_row_read(reader->catalog, reader->table, (const char *const *)reader->key,
            reader->version, reader->column, start, n_wanted, cancellable, error);

    if (!bytes || g_bytes_get_size(bytes) == n_wanted)
        return g_steal_pointer(&bytes);
    lake_error_set(error, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_FAILED,
        "the server gave %zu bytes of a value where there were %zu", g_bytes_get_size(bytes),
        n_wanted);
    return NULL;
}

/* Into a slot that was claimed for it; without the lock. */
static GBytes *
fetch_window(LakeRowReader *reader, gint64 index, GCancellable *cancellable, GError **error)
{
    gint64 start = index * reader->window_bytes;
    gint64 end = MIN(start + reader->window_bytes, reader->size_bytes);
    GBytes *bytes = fetch(reader, start, end, cancellable, error);

    g_mutex_lock(&reader->lock);
    Slot *slot = find_slot(reader, index);
    if (bytes)
        slot->bytes = g_bytes_ref(bytes);
    else
        slot->index = -1;
    g_cond_broadcast(&reader->changed);
    g_mutex_unlock(&reader->lock);
    return bytes;
}

/* An error here is met again by whoever reads that far. */
static gpointer
run_ahead(gpointer data)
{
    LakeRowReader *reader = data;
    GBytes *bytes = fetch_window(reader, reader->ahead_index, reader->stop, NULL);

    g_clear_pointer(&bytes, g_bytes_unref);
    g_mutex_lock(&reader->lock);
    reader->is_ahead_running = FALSE;
    g_mutex_unlock(&reader->lock);
    return NULL;
}

/* With the lock held: begins to fetch the next window for whoever reads on end. */
static void
look_ahead(LakeRowReader *reader, gint64 index)
{
    gboolean is_on_end = index == reader->last_index + 1;
    gint64 next = index + 1;

    if (index == reader->last_index)
        return;
    reader->last_index = index;
    if (!is_on_end || next * reader->window_bytes >= reader->size_bytes ||
        reader->is_ahead_running || find_slot(reader, next) || !claim_slot(reader, next))
        return;
    if (reader->ahead)
        g_thread_join(reader->ahead); /* it has nothing left to do */
    reader->ahead_index = next;
    reader->ahead = g_thread_try_new("row-ahead", run_ahead, reader, NULL);
    reader->is_ahead_running = reader->ahead != NULL;
    /* No more threads to be had: whoever reads on fetches it. */
    if (!reader->ahead)
        find_slot(reader, next)->index = -1;
}

/* With the lock held, and let go while others fetch. */
static gboolean
wait_for_others(LakeRowReader *reader, GCancellable *cancellable, GError **error)
{
    g_cond_wait_until(&reader->changed, &reader->lock, g_get_monotonic_time() + LOOK_US);
    if (!g_cancellable_is_cancelled(cancellable))
        return TRUE;
    lake_error_set(
        error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_CANCELLED, "reading was interrupted");
    return FALSE;
}

/* The whole window, with a reference. */
static GBytes *
window(LakeRowReader *reader, gint64 index, gboolean may_block, GCancellable *cancellable,
    GError **error)
{
    g_mutex_lock(&reader->lock);
    for (;;) {
        Slot *slot = find_slot(reader, index);
        if (slot && slot->bytes) {
            GBytes *bytes = g_bytes_ref(slot->bytes);
            slot->used = ++reader->clock;
            look_ahead(reader, index);
            g_mutex_unlock(&reader->lock);
            return bytes;
        }
        if (!may_block)
            break;
        if (!slot && claim_slot(reader, index)) {
            g_mutex_unlock(&reader->lock);
            g_autoptr(GBytes) bytes = fetch_window(reader, index, cancellable, error);
            if (!bytes)
                return NULL;
            g_mutex_lock(&reader->lock);
            look_ahead(reader, index);
            g_mutex_unlock(&reader->lock);
            return g_steal_pointer(&bytes);
        }
        if (!wait_for_others(reader, cancellable, error))
            break;
    }
    g_mutex_unlock(&reader->lock);
    return NULL;
}

/* With the lock held: whether the read goes on in the window of a recent one, or where that one
 * ended. */
static gboolean
goes_on(const LakeRowReader *reader, gint64 offset)
{
    for (guint i = 0; i < N_RECENT; i++) {
        gint64 end = reader->recent[i];

        if (end == offset ||
            (end > 0 && (end - 1) / reader->window_bytes == offset / reader->window_bytes))
            return TRUE;
    }
    return FALSE;
}

/* Whether it is a short read, away from all others, whose window would most likely be fetched
 * for it alone. Of what is made anew the window costs no more than the read. */
static gboolean
is_alone(LakeRowReader *reader, gint64 offset, gint64 end)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&reader->lock);

    return reader->window_bytes == WINDOW_BYTES && offset > 0 && end - offset <= SHORT_BYTES &&
           !find_slot(reader, offset / WINDOW_BYTES) && !goes_on(reader, offset);
}

static void
note_end(LakeRowReader *reader, gint64 end)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&reader->lock);

    reader->recent[reader->next_recent++ % N_RECENT] = end;
}

static GBytes *
read_windows(LakeRowReader *reader, gint64 offset, gint64 end, gboolean may_block,
    GCancellable *cancellable, GError **error)
{
    g_autoptr(GByteArray) joined = NULL;

    while (offset < end) {
        gint64 index = offset / reader->window_bytes;
        gint64 stop = MIN(end, (index + 1) * reader->window_bytes);
        g_autoptr(GBytes) bytes = window(reader, index, may_block, cancellable, error);
        if (!bytes)
            return NULL;

        gsize at = (gsize)(offset - index * reader->window_bytes);
        gsize n = (gsize)(stop - offset);
        if (!joined && stop == end)
            return g_bytes_new_from_bytes(bytes, at, n);
        if (!joined)
            joined = g_byte_array_sized_new((guint)(end - offset));
        g_byte_array_append(
            joined, (const guint8 *)g_bytes_get_data(bytes, NULL) + at, (guint)n);
        offset = stop;
    }
    return g_byte_array_free_to_bytes(g_steal_pointer(&joined));
}

GBytes *
lake_row_reader_read(LakeRowReader *reader, gint64 offset, gsize n_bytes, gboolean may_block,
    GCancellable *cancellable, GError **error)
{
    gint64 end = MIN(reader->size_bytes, offset + (gint64)n_bytes);
    GBytes *bytes;

    if (offset >= end)
        return g_bytes_new(NULL, 0);
    if (may_block && is_alone(reader, offset, end))
        bytes = fetch(reader, offset, end, cancellable, error);
    else
        bytes = read_windows(reader, offset, end, may_block, cancellable, error);
    if (bytes)
        note_end(reader, end);
    return bytes;
}

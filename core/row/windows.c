/* SPDX-License-Identifier: Apache-2.0 */

/* A window that is wanted and not there is fetched by a thread of its value's, which goes on to
 * the next while somebody reads on; who waits for it gets each piece as it comes. While that
 * thread is at one place, who reads at another fetches the window himself. */

#include "core/row/windows.h"

#include "core/error.h"

#define MIB ((gint64)1024 * 1024)
#define WINDOW_BYTES (2 * MIB)
#define MADE_WINDOW_BYTES (16 * MIB)
/* Windows that are fetched ahead by one statement, which costs the server a fifth less than
 * one for each, as far as there is room. */
#define RUN_WINDOWS 3
/* The one that is read, the next, and the one before: the kernel's reads overtake each other.
 */
#define N_SLOTS 3
/* Of all values: a daemon that needs about 20 MiB for the rest stays below 64. */
#define HELD_MAX_BYTES (24 * MIB)
#define HELD_MAX_AHEAD_BYTES (16 * MIB)
#define IDLE_US G_TIME_SPAN_SECOND
/* The latest reads, of which one may go on: as many as a player has tracks. */
#define N_RECENT 4
#define SHORT_BYTES (WINDOW_BYTES / 4)         /* beyond it a window costs little more */
#define LOOK_US (50 * G_TIME_SPAN_MILLISECOND) /* a waiter looks whether it was cancelled */
/* Until what is under way at the end is cancelled, which costs a connection. */
#define GRACE_US (100 * G_TIME_SPAN_MILLISECOND)

/* A run of windows, mostly of one. Neither index nor size changes while it is busy. */
typedef struct {
    gint64 index; /* of the first window; -1: empty */
    gint64 n_windows;
    gint64 start;
    gint64 n_bytes;    /* when it is whole */
    GPtrArray *pieces; /* of GBytes: those that have come */
    gint64 n_come;     /* bytes of them */
    gboolean is_busy;  /* it is being fetched */
    guint n_waiting;   /* for its bytes; they would never get them if others took the slot */
    gint64 used_us;    /* when last asked for */
} Slot;

struct LakeRowWindows {
    const LakeRowSource *source;
    gpointer data;
    gint64 size_bytes;
    gint64 window_bytes;
    GCancellable *stop; /* of what the thread fetches */

    GCond changed;
    GList link; /* in all */
    Slot slots[N_SLOTS];
    gint64 last_index; /* of the window that was read last */
    gboolean is_on_end;
    gint64 wanted;           /* what to fetch next; -1: nothing */
    gint64 recent[N_RECENT]; /* where each read ended; -1: none */
    guint next_recent;
    GThread *thread; /* joined before the next, and at the end */
    Slot *fetched;   /* by it */
    gboolean is_running;
    gboolean is_closing;
    GError *failure; /* what ended the thread's last fetch that failed; told to who waited */
    gint64 failed_index;
};

/* Guards all of every LakeRowWindows but its first five members, and what follows. Held for
 * some pointers' time. */
static GMutex lock;
static GQueue all;
static gint64 held_bytes;

LakeRowWindows *
lake_row_windows_new(const LakeRowSource *source, gpointer data, gint64 size_bytes)
{
    LakeRowWindows *windows = g_new0(LakeRowWindows, 1);

    windows->source = source;
    windows->data = data;
    windows->size_bytes = size_bytes;
    windows->window_bytes = source->is_made ? MADE_WINDOW_BYTES : WINDOW_BYTES;
    windows->stop = g_cancellable_new();
    g_cond_init(&windows->changed);
    windows->last_index = -1;
    windows->wanted = -1;
    windows->failed_index = -1;
    for (guint i = 0; i < N_SLOTS; i++) {
        windows->slots[i].index = -1;
        windows->slots[i].pieces =
            g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    }
    for (guint i = 0; i < N_RECENT; i++)
        windows->recent[i] = -1;
    windows->link.data = windows;
    g_mutex_lock(&lock);
    g_queue_push_tail_link(&all, &windows->link);
    g_mutex_unlock(&lock);
    return windows;
}

gint64
lake_row_windows_held_bytes(void)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);

    return held_bytes;
}

/* --- slots; all with the lock held --- */

static void
empty_slot(Slot *slot)
{
    if (slot->index < 0)
        return;
    held_bytes -= slot->n_bytes;
    slot->index = -1;
    slot->is_busy = FALSE;
    g_ptr_array_set_size(slot->pieces, 0);
}

static Slot *
find_slot(LakeRowWindows *windows, gint64 index)
{
    for (guint i = 0; i < N_SLOTS; i++) {
        Slot *slot = &windows->slots[i];
        if (slot->index >= 0 && index >= slot->index && index < slot->index + slot->n_windows)
            return slot;
    }
    return NULL;
}

static gboolean
is_needed(const Slot *slot)
{
    return slot->is_busy || slot->n_waiting > 0;
}

/* That was not asked for longest; NULL when all are needed. */
static Slot *
oldest_slot(LakeRowWindows *windows)
{
    Slot *oldest = NULL;

    for (guint i = 0; i < N_SLOTS; i++) {
        Slot *slot = &windows->slots[i];
        if (slot->index < 0)
            return slot;
        if (!is_needed(slot) && (!oldest || slot->used_us < oldest->used_us))
            oldest = slot;
    }
    return oldest;
}

static void
empty_idle(void)
{
    gint64 before_us = g_get_monotonic_time() - IDLE_US;

    for (GList *item = all.head; item; item = item->next) {
        LakeRowWindows *windows = item->data;
        for (guint i = 0; i < N_SLOTS; i++)
            if (!is_needed(&windows->slots[i]) && windows->slots[i].used_us < before_us)
                empty_slot(&windows->slots[i]);
    }
}

/* How many windows from this one on are to be fetched at once. */
static gint64
run_length(LakeRowWindows *windows, gint64 index, gboolean is_ahead)
{
    gint64 n = 1;

    if (!is_ahead || windows->source->is_made)
        return n;
    while (n < RUN_WINDOWS && (index + n) * WINDOW_BYTES < windows->size_bytes &&
           held_bytes + (n + 1) * WINDOW_BYTES <= HELD_MAX_AHEAD_BYTES &&
           !find_slot(windows, index + n))
        n++;
    return n;
}

/* A slot for what is going to be fetched now, from a window on; NULL when there is no room.
 * What is made anew has no other way than by a window that somebody waits for. */
static Slot *
claim_slot(LakeRowWindows *windows, gint64 index, gboolean is_ahead)
{
    gint64 max_bytes = is_ahead ? HELD_MAX_AHEAD_BYTES : HELD_MAX_BYTES;
    Slot *slot = oldest_slot(windows);

    if (!slot)
        return NULL;
    empty_slot(slot);
    gint64 n_windows = run_length(windows, index, is_ahead);
    gint64 start = index * windows->window_bytes;
    gint64 n_bytes = MIN(n_windows * windows->window_bytes, windows->size_bytes - start);
    if (held_bytes + n_bytes > max_bytes)
        empty_idle();
    if (held_bytes + n_bytes > max_bytes && (is_ahead || !windows->source->is_made))
        return NULL;
    slot->index = index;
    slot->n_windows = n_windows;
    slot->start = start;
    slot->n_bytes = n_bytes;
    slot->n_come = 0;
    slot->is_busy = TRUE;
    slot->used_us = g_get_monotonic_time();
    held_bytes += n_bytes;
    if (windows->failed_index == index)
        windows->failed_index = -1;
    return slot;
}

/* References to the bytes from offset to end, where all of them have come. */
static gboolean
add_parts(const Slot *slot, gint64 offset, gint64 end, GPtrArray *parts)
{
    if (end - slot->start > slot->n_come)
        return FALSE;
    while (offset < end) {
        gint64 at = offset - slot->start;
        gint64 from = at % LAKE_ROW_PIECE_BYTES;
        gint64 n = MIN(LAKE_ROW_PIECE_BYTES - from, end - offset);
        GBytes *piece = slot->pieces->pdata[at / LAKE_ROW_PIECE_BYTES];

        g_ptr_array_add(parts, g_bytes_new_from_bytes(piece, (gsize)from, (gsize)n));
        offset += n;
    }
    return TRUE;
}

/* --- fetching --- */

typedef struct {
    LakeRowWindows *windows;
    Slot *slot;
    gint64 n_come;
} Fetch;

static gboolean
take_piece(GBytes *piece, gpointer user_data, GError **error)
{
    Fetch *fetch = user_data;
    Slot *slot = fetch->slot;
    gsize n_bytes = g_bytes_get_size(piece);
    gint64 n_expected = MIN(LAKE_ROW_PIECE_BYTES, slot->n_bytes - fetch->n_come);

    if (n_expected == 0 || (gint64)n_bytes != n_expected) {
        g_bytes_unref(piece);
        lake_error_set(error, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_FAILED,
            "the server gave %zu bytes of a value where there were %" G_GINT64_FORMAT, n_bytes,
            n_expected);
        return FALSE;
    }
    fetch->n_come += n_expected;
    g_mutex_lock(&lock);
    g_ptr_array_add(slot->pieces, piece);
    slot->n_come = fetch->n_come;
    g_cond_broadcast(&fetch->windows->changed);
    g_mutex_unlock(&lock);
    return TRUE;
}

/* What the slot was claimed for; without the lock. */
static gboolean
fetch_run(LakeRowWindows *windows, Slot *slot, GCancellable *cancellable, GError **error)
{
    Fetch fetch = {windows, slot, 0};

    if (!windows->source->stream(windows->data, slot->start, (gsize)slot->n_bytes, take_piece,
            &fetch, cancellable, error))
        return FALSE;
    if (fetch.n_come == slot->n_bytes)
        return TRUE;
    lake_error_set(error, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_FAILED,
        "the server gave %" G_GINT64_FORMAT " bytes of a value where there were "
        "%" G_GINT64_FORMAT,
        fetch.n_come, slot->n_bytes);
    return FALSE;
}

/* With the lock held, after fetch_run(). */
static void
end_fetch(LakeRowWindows *windows, Slot *slot, gboolean is_kept)
{
    slot->is_busy = FALSE;
    if (!is_kept)
        empty_slot(slot);
    g_cond_broadcast(&windows->changed);
}

/* With the lock held: claims a slot for what is wanted next. */
static gboolean
claim_wanted(LakeRowWindows *windows)
{
    gint64 index = windows->wanted;

    windows->wanted = -1;
    if (index < 0 || windows->is_closing ||
        index * windows->window_bytes >= windows->size_bytes || find_slot(windows, index))
        return FALSE;
    windows->fetched = claim_slot(windows, index, TRUE);
    return windows->fetched != NULL;
}

/* With the lock held: who reads on is beyond it by now, and nobody waits for it. */
static gboolean
is_passed(const LakeRowWindows *windows, const Slot *slot)
{
    return windows->is_on_end && slot->n_waiting == 0 &&
           windows->last_index >= slot->index + slot->n_windows;
}

static gpointer
run_thread(gpointer data)
{
    LakeRowWindows *windows = data;
    gboolean goes_on;

    do {
        Slot *slot = windows->fetched;
        gint64 index = slot->index;
        GError *failure = NULL;
        gboolean is_good = fetch_run(windows, slot, windows->stop, &failure);

        g_mutex_lock(&lock);
        if (!is_good) {
            g_clear_error(&windows->failure);
            windows->failure = failure;
            windows->failed_index = index;
        }
        end_fetch(windows, slot, is_good && !is_passed(windows, slot));
        goes_on = is_good && claim_wanted(windows);
        windows->is_running = goes_on;
        g_mutex_unlock(&lock);
    } while (goes_on);
    return NULL;
}

/* With the lock held: fetches what the slot was claimed for in the thread. FALSE when there are
 * no threads to be had. */
static gboolean
start_thread(LakeRowWindows *windows, Slot *slot)
{
    if (windows->thread)
        g_thread_join(windows->thread); /* it has nothing left to do */
    windows->fetched = slot;
    windows->thread = g_thread_try_new("row-window", run_thread, windows, NULL);
    windows->is_running = windows->thread != NULL;
    return windows->is_running;
}

void
lake_row_windows_free(LakeRowWindows *windows)
{
    if (!windows)
        return;

    gint64 until_us = g_get_monotonic_time() + GRACE_US;
    g_mutex_lock(&lock);
    windows->is_closing = TRUE;
    while (windows->is_running && g_cond_wait_until(&windows->changed, &lock, until_us))
        continue;
    g_mutex_unlock(&lock);
    g_cancellable_cancel(windows->stop);
    if (windows->thread)
        g_thread_join(windows->thread);

    g_mutex_lock(&lock);
    g_queue_unlink(&all, &windows->link);
    for (guint i = 0; i < N_SLOTS; i++)
        empty_slot(&windows->slots[i]);
    g_mutex_unlock(&lock);
    for (guint i = 0; i < N_SLOTS; i++)
        g_ptr_array_unref(windows->slots[i].pieces);
    g_object_unref(windows->stop);
    g_clear_error(&windows->failure);
    g_cond_clear(&windows->changed);
    g_free(windows);
}

/* --- reading --- */

/* With the lock held: what lies before the slot. The kernel has it by now, also from those of
 * its reads that others overtook. */
static void
empty_passed(LakeRowWindows *windows, const Slot *slot)
{
    for (guint i = 0; i < N_SLOTS; i++) {
        Slot *other = &windows->slots[i];
        if (other->index < slot->index && !is_needed(other))
            empty_slot(other);
    }
}

/* With the lock held: who reads on end, and not only a first few bytes, wants the next. */
static void
look_ahead(LakeRowWindows *windows, const Slot *slot, gint64 end)
{
    gint64 index = (end - 1) / windows->window_bytes;

    if (index != windows->last_index)
        windows->is_on_end = index == windows->last_index + 1;
    windows->last_index = index;
    if (!windows->is_on_end || end - slot->start < SHORT_BYTES)
        return;
    empty_passed(windows, slot);
    windows->wanted = slot->index + slot->n_windows;
    /* Without a thread, whoever reads on fetches it. */
    if (!windows->is_running && claim_wanted(windows) &&
        !start_thread(windows, windows->fetched))
        empty_slot(windows->fetched);
}

/* With the lock held, and let go while others fetch. */
static gboolean
wait_for_others(LakeRowWindows *windows, Slot *slot, GCancellable *cancellable, GError **error)
{
    slot->n_waiting++;
    g_cond_wait_until(&windows->changed, &lock, g_get_monotonic_time() + LOOK_US);
    slot->n_waiting--;
    if (!g_cancellable_is_cancelled(cancellable))
        return TRUE;
    lake_error_set(
        error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_CANCELLED, "reading was interrupted");
    return FALSE;
}

/* Without the lock: just these bytes. */
static GBytes *
read_alone(LakeRowWindows *windows, gint64 offset, gint64 end, GCancellable *cancellable,
    GError **error)
{
    gsize n_wanted = (gsize)(end - offset);
    g_autoptr(GBytes) bytes =
        windows->source->read(windows->data, offset, n_wanted, cancellable, error);

    if (!bytes || g_bytes_get_size(bytes) == n_wanted)
        return g_steal_pointer(&bytes);
    lake_error_set(error, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_FAILED,
        "the server gave %zu bytes of a value where there were %zu", g_bytes_get_size(bytes),
        n_wanted);
    return NULL;
}

typedef enum {
    PRESENT,
    ABSENT, /* and nothing is to be done about it, or *error says what went wrong */
    NO_ROOM,
} Outcome;

/* With the lock held, and let go meanwhile: fetches a window that is not there. */
static Outcome
bring(LakeRowWindows *windows, gint64 index, GCancellable *cancellable, GError **error)
{
    Slot *slot = claim_slot(windows, index, FALSE);

    if (!slot)
        return NO_ROOM;
    if (!windows->is_running && start_thread(windows, slot))
        return PRESENT;
    g_mutex_unlock(&lock);
    gboolean is_good = fetch_run(windows, slot, cancellable, error);
    g_mutex_lock(&lock);
    end_fetch(windows, slot, is_good);
    return is_good ? PRESENT : ABSENT;
}

/* With the lock held, and let go meanwhile: adds the bytes from offset to end, which lie in one
 * window, to parts. */
static Outcome
add_from_window(LakeRowWindows *windows, gint64 offset, gint64 end, GPtrArray *parts,
    gboolean may_block, GCancellable *cancellable, GError **error)
{
    gint64 index = offset / windows->window_bytes;
    gint64 awaited = -1;

    for (;;) {
        Slot *slot = find_slot(windows, index);

        if (slot && add_parts(slot, offset, end, parts)) {
            slot->used_us = g_get_monotonic_time();
            look_ahead(windows, slot, end);
            return PRESENT;
        }
        if (!may_block)
            return ABSENT;
        if (slot) {
            awaited = slot->index;
            if (!wait_for_others(windows, slot, cancellable, error))
                return ABSENT;
        } else if (awaited >= 0 && windows->failed_index == awaited) {
            g_propagate_error(error, g_error_copy(windows->failure));
            return ABSENT;
        } else {
            Outcome outcome = bring(windows, index, cancellable, error);
            if (outcome != PRESENT)
                return outcome;
        }
    }
}

static GBytes *
join(const GPtrArray *parts, gsize n_bytes)
{
    if (parts->len == 1)
        return g_bytes_ref(parts->pdata[0]);

    GByteArray *joined = g_byte_array_sized_new((guint)n_bytes);
    for (guint i = 0; i < parts->len; i++) {
        gsize n;
        const guint8 *bytes = g_bytes_get_data(parts->pdata[i], &n);
        g_byte_array_append(joined, bytes, (guint)n);
    }
    return g_byte_array_free_to_bytes(joined);
}

static GBytes *
read_windows(LakeRowWindows *windows, gint64 offset, gint64 end, gboolean may_block,
    GCancellable *cancellable, GError **error)
{
    g_autoptr(GPtrArray) parts = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    gint64 at = offset;

    while (at < end) {
        gint64 stop = MIN(end, (at / windows->window_bytes + 1) * windows->window_bytes);

        g_mutex_lock(&lock);
        Outcome outcome =
            add_from_window(windows, at, stop, parts, may_block, cancellable, error);
        g_mutex_unlock(&lock);
        if (outcome == ABSENT)
            return NULL;
        if (outcome == NO_ROOM) {
            GBytes *bytes = read_alone(windows, at, stop, cancellable, error);
            if (!bytes)
                return NULL;
            g_ptr_array_add(parts, bytes);
        }
        at = stop;
    }
    return join(parts, (gsize)(end - offset));
}

/* With the lock held: whether the read goes on in the window of a recent one, or where that one
 * ended. */
static gboolean
goes_on(const LakeRowWindows *windows, gint64 offset)
{
    for (guint i = 0; i < N_RECENT; i++) {
        gint64 end = windows->recent[i];

        if (end == offset ||
            (end > 0 && (end - 1) / windows->window_bytes == offset / windows->window_bytes))
            return TRUE;
    }
    return FALSE;
}

/* Whether it is a short read, away from all others, whose window would most likely be fetched
 * for it alone. Of what is made anew the window costs no more than the read. */
static gboolean
is_alone(LakeRowWindows *windows, gint64 offset, gint64 end)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);

    return !windows->source->is_made && offset > 0 && end - offset <= SHORT_BYTES &&
           !find_slot(windows, offset / windows->window_bytes) && !goes_on(windows, offset);
}

static void
note_end(LakeRowWindows *windows, gint64 end)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&lock);

    windows->recent[windows->next_recent++ % N_RECENT] = end;
}

GBytes *
lake_row_windows_read(LakeRowWindows *windows, gint64 offset, gsize n_bytes, gboolean may_block,
    GCancellable *cancellable, GError **error)
{
    gint64 end = MIN(windows->size_bytes, offset + (gint64)n_bytes);
    GBytes *bytes;

    if (offset >= end)
        return g_bytes_new(NULL, 0);
    if (may_block && is_alone(windows, offset, end))
        bytes = read_alone(windows, offset, end, cancellable, error);
    else
        bytes = read_windows(windows, offset, end, may_block, cancellable, error);
    if (bytes)
        note_end(windows, end);
    return bytes;
}

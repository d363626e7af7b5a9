/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/workers.h"

#include "core/error.h"

/* The threads are not given parts, but turns: a reference to a sequence, whose first waiting
 * part is done then. So a sequence that is freed need not wait for its turn behind the parts of
 * other files; a turn that comes too late finds nothing to do. */
struct LakeIngestWorkers {
    GThreadPool *threads; /* of LakeIngestSequence, referenced */
    guint n_workers;
};

typedef enum { ITEM_WAITING, ITEM_RUNNING, ITEM_DONE } ItemStatus;

typedef struct {
    gpointer part;
    ItemStatus status;
    gint64 begun_us; /* monotonic; of a running one */
} Item;

struct LakeIngestSequence {
    gint n_references; /* its owner and its turns; atomic */
    LakeIngestWorkers *workers;
    LakeIngestWork work;
    GDestroyNotify part_free;
    gpointer user_data;
    gint64 part_timeout_us; /* 0: no limit */
    GCancellable *parent;   /* may be NULL */
    gulong parent_handler;
    GCancellable *stop;

    GMutex mutex;    /* guards all below, and the status of the items */
    GCond changed;   /* an item has begun or ended, or stop was cancelled */
    GQueue pending;  /* of Item, in the order they were pushed */
    guint n_running; /* of them */
    GError *failure; /* the first */
};

static void
sequence_unref(LakeIngestSequence *sequence)
{
    if (!g_atomic_int_dec_and_test(&sequence->n_references))
        return;
    g_clear_error(&sequence->failure);
    g_clear_object(&sequence->parent);
    g_object_unref(sequence->stop);
    g_cond_clear(&sequence->changed);
    g_mutex_clear(&sequence->mutex);
    g_free(sequence);
}

/* The mutex is held. TRUE: it was this one that made the sequence fail. */
static gboolean
note_failure(LakeIngestSequence *sequence, GError *failure)
{
    if (sequence->failure) {
        g_error_free(failure);
        return FALSE;
    }
    sequence->failure = failure;
    return TRUE;
}

/* The first part that waits, which runs from here on; NULL: there is none, or nobody waits for
 * it any more. */
static Item *
begin_item(LakeIngestSequence *sequence)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sequence->mutex);
    GList *link = sequence->pending.head;

    if (g_cancellable_is_cancelled(sequence->stop))
        return NULL;
    while (link && ((Item *)link->data)->status != ITEM_WAITING)
        link = link->next;
    if (!link)
        return NULL;

    Item *item = link->data;
    item->status = ITEM_RUNNING;
    item->begun_us = g_get_monotonic_time();
    sequence->n_running++;
    /* Whoever waits with a time limit has to count from now on. */
    g_cond_broadcast(&sequence->changed);
    return item;
}

static void
run_item(LakeIngestSequence *sequence, Item *item)
{
    GError *failure = NULL;
    gboolean has_failed = FALSE;

    if (!sequence->work(item->part, sequence->user_data, sequence->stop, &failure)) {
        g_assert(failure);
        g_mutex_lock(&sequence->mutex);
        has_failed = note_failure(sequence, failure);
        g_mutex_unlock(&sequence->mutex);
    }
    /* Not under the lock: cancelling runs what others have connected. */
    if (has_failed)
        g_cancellable_cancel(sequence->stop);

    /* After this the item may be popped, and what the owner lent us be gone. */
    g_mutex_lock(&sequence->mutex);
    item->status = ITEM_DONE;
    sequence->n_running--;
    g_cond_broadcast(&sequence->changed);
    g_mutex_unlock(&sequence->mutex);
}

static void
take_turn(gpointer data, gpointer user_data)
{
    LakeIngestSequence *sequence = data;
    Item *item = begin_item(sequence);

    if (item)
        run_item(sequence, item);
    sequence_unref(sequence);
}

LakeIngestWorkers *
lake_ingest_workers_new(guint n_workers)
{
    LakeIngestWorkers *workers = g_new0(LakeIngestWorkers, 1);

    /* Not exclusive: threads come when there is work, and cannot fail to be made here. */
    workers->threads = g_thread_pool_new(take_turn, NULL, (int)n_workers, FALSE, NULL);
    workers->n_workers = n_workers;
    return workers;
}

void
lake_ingest_workers_free(LakeIngestWorkers *workers)
{
    if (!workers)
        return;
    g_thread_pool_free(workers->threads, FALSE, TRUE);
    g_free(workers);
}

/* Runs in the thread that cancels. */
static void
pass_on(GCancellable *parent, gpointer data)
{
    g_cancellable_cancel(data);
}

static void
wake(GCancellable *stop, gpointer data)
{
    LakeIngestSequence *sequence = data;

    g_mutex_lock(&sequence->mutex);
    g_cond_broadcast(&sequence->changed);
    g_mutex_unlock(&sequence->mutex);
}

LakeIngestSequence *
lake_ingest_sequence_new(LakeIngestWorkers *workers, LakeIngestWork work,
    GDestroyNotify part_free, gpointer user_data, gint64 part_timeout_ms,
    GCancellable *cancellable)
{
    LakeIngestSequence *sequence = g_new0(LakeIngestSequence, 1);

    sequence->n_references = 1;
    sequence->workers = workers;
    sequence->work = work;
    sequence->part_free = part_free;
    sequence->user_data = user_data;
    sequence->part_timeout_us = part_timeout_ms * 1000;
    sequence->stop = g_cancellable_new();
    g_mutex_init(&sequence->mutex);
    g_cond_init(&sequence->changed);
    g_queue_init(&sequence->pending);
    g_cancellable_connect(sequence->stop, G_CALLBACK(wake), sequence, NULL);
    if (cancellable) {
        sequence->parent = g_object_ref(cancellable);
        sequence->parent_handler = g_cancellable_connect(
            cancellable, G_CALLBACK(pass_on), g_object_ref(sequence->stop), g_object_unref);
    }
    return sequence;
}

static void
free_item(LakeIngestSequence *sequence, Item *item)
{
    if (item->part)
        sequence->part_free(item->part);
    g_free(item);
}

void
lake_ingest_sequence_free(LakeIngestSequence *sequence)
{
    if (!sequence)
        return;

    if (sequence->parent)
        g_cancellable_disconnect(sequence->parent, sequence->parent_handler);
    g_cancellable_cancel(sequence->stop);

    g_mutex_lock(&sequence->mutex);
    while (sequence->n_running > 0)
        g_cond_wait(&sequence->changed, &sequence->mutex);
    for (Item *item; (item = g_queue_pop_head(&sequence->pending)) != NULL;)
        free_item(sequence, item);
    g_mutex_unlock(&sequence->mutex);
    sequence_unref(sequence);
}

gboolean
lake_ingest_sequence_is_full(LakeIngestSequence *sequence)
{
    /* One more than run at once: it is there when the first of them ends. */
    return lake_ingest_sequence_n_pending(sequence) > sequence->workers->n_workers;
}

guint
lake_ingest_sequence_n_pending(LakeIngestSequence *sequence)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sequence->mutex);

    return sequence->pending.length;
}

void
lake_ingest_sequence_push(LakeIngestSequence *sequence, gpointer part)
{
    Item *item = g_new0(Item, 1);

    item->part = part;
    g_mutex_lock(&sequence->mutex);
    g_queue_push_tail(&sequence->pending, item);
    g_mutex_unlock(&sequence->mutex);
    g_atomic_int_inc(&sequence->n_references);
    /* It fails where no thread can be made. The turn stays in the queue, but there may be
     * nobody to take it: this thread does a part itself. */
    if (!g_thread_pool_push(sequence->workers->threads, sequence, NULL)) {
        g_atomic_int_inc(&sequence->n_references);
        take_turn(sequence, NULL);
    }
}

/* The mutex is held. When the first part that now runs will have run too long; 0: none does. */
static gint64
find_deadline(LakeIngestSequence *sequence)
{
    gint64 deadline_us = 0;

    if (sequence->part_timeout_us == 0)
        return 0;
    for (const GList *link = sequence->pending.head; link; link = link->next) {
        const Item *item = link->data;
        gint64 end_us = item->begun_us + sequence->part_timeout_us;
        if (item->status == ITEM_RUNNING && (deadline_us == 0 || end_us < deadline_us))
            deadline_us = end_us;
    }
    return deadline_us;
}

/* The mutex is held. Waits for something to happen; FALSE: a part has run too long. */
static gboolean
wait_for_change(LakeIngestSequence *sequence)
{
    gint64 deadline_us = find_deadline(sequence);

    if (deadline_us == 0) {
        g_cond_wait(&sequence->changed, &sequence->mutex);
        return TRUE;
    }
    if (g_cond_wait_until(&sequence->changed, &sequence->mutex, deadline_us))
        return TRUE;
    /* It may have ended at the last moment. */
    deadline_us = find_deadline(sequence);
    return deadline_us == 0 || g_get_monotonic_time() < deadline_us;
}

static GError *
too_long(const LakeIngestSequence *sequence)
{
    GError *failure = NULL;

    lake_error_set(&failure, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_BAD_INPUT,
        "a part of it took longer than %" G_GINT64_FORMAT " s and was given up",
        sequence->part_timeout_us / G_USEC_PER_SEC);
    lake_error_hint(failure, "is the file what it says it is? Simplify it, or split it");
    return failure;
}

static GError *
interrupted(void)
{
    GError *failure = NULL;

    lake_error_set(&failure, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_CANCELLED, "interrupted");
    return failure;
}

/* The mutex is held. Until the first part has ended, or the sequence is not to go on; TRUE: one
 * ran too long. */
static gboolean
wait_for_head(LakeIngestSequence *sequence)
{
    const Item *head = g_queue_peek_head(&sequence->pending);

    while (head->status != ITEM_DONE && !sequence->failure &&
           !g_cancellable_is_cancelled(sequence->stop))
        if (!wait_for_change(sequence))
            return note_failure(sequence, too_long(sequence));
    return FALSE;
}

gpointer
lake_ingest_sequence_pop(LakeIngestSequence *sequence, GError **error)
{
    gpointer part = NULL;

    g_mutex_lock(&sequence->mutex);
    gboolean is_too_long = wait_for_head(sequence);
    /* Parts that stop because they are told to say CANCELLED; that is not why it failed. */
    if (!sequence->failure && g_cancellable_is_cancelled(sequence->stop))
        note_failure(sequence, interrupted());
    if (sequence->failure) {
        g_propagate_error(error, g_error_copy(sequence->failure));
    } else {
        Item *head = g_queue_pop_head(&sequence->pending);
        part = g_steal_pointer(&head->part);
        free_item(sequence, head);
    }
    g_mutex_unlock(&sequence->mutex);

    if (is_too_long)
        g_cancellable_cancel(sequence->stop);
    return part;
}

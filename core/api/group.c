/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/group.h"

#include "core/api/encode.h"
#include "core/error.h"

#define N_SENDERS 4       /* requests at once; one of five is left for others */
#define STATEMENTS_MAX 64 /* of a group: what one that fails makes go by itself */
#define BYTES_MAX (4 << 20)

typedef enum { WAITING, UNDER_WAY, DONE, ALONE, FAILED } State;

/* Someone's change, on his stack. */
typedef struct {
    LakeStatement *statement;
    GCancellable *cancellable; /* NULL: none */
    gsize n_bytes;             /* about */
    State state;
    GError *failure;
} Item;

/* Changes that go in one request. */
typedef struct {
    GPtrArray *items;          /* of Item */
    GCancellable *cancellable; /* when all of them are: one alone does not end it for others */
} Batch;

struct LakeApiGroup {
    LakeApiSession *session;
    GMutex lock;
    GCond changed;
    GQueue waiting;       /* of Item; guarded by lock, as the items' states */
    GPtrArray *under_way; /* of Batch; guarded by lock; one for each sender */
};

LakeApiGroup *
lake_api_group_new(LakeApiSession *session)
{
    LakeApiGroup *group = g_new0(LakeApiGroup, 1);

    group->session = session;
    g_mutex_init(&group->lock);
    g_cond_init(&group->changed);
    g_queue_init(&group->waiting);
    group->under_way = g_ptr_array_new();
    return group;
}

void
lake_api_group_free(LakeApiGroup *group)
{
    if (!group)
        return;
    g_assert(group->under_way->len == 0 && g_queue_is_empty(&group->waiting));
    g_ptr_array_unref(group->under_way);
    g_mutex_clear(&group->lock);
    g_cond_clear(&group->changed);
    g_free(group);
}

static gsize
size_of(const LakeStatement *statement)
{
    gsize n_bytes = 1024;

    for (guint i = 0; i < statement->parameters->len; i++) {
        const LakeParameter *parameter =
            &g_array_index(statement->parameters, LakeParameter, i);
        if (parameter->rows)
            n_bytes += lake_rows_elements(parameter->rows, parameter->column)->len;
    }
    return n_bytes;
}

/* With the lock held. */
static GPtrArray *
take_items(LakeApiGroup *group)
{
    GPtrArray *items = g_ptr_array_new();
    gsize n_bytes = 0;

    for (Item *item; items->len < STATEMENTS_MAX &&
                     (item = g_queue_peek_head(&group->waiting)) &&
                     (items->len == 0 || n_bytes + item->n_bytes <= BYTES_MAX);) {
        g_queue_pop_head(&group->waiting);
        item->state = UNDER_WAY;
        n_bytes += item->n_bytes;
        g_ptr_array_add(items, item);
    }
    return items;
}

static gboolean
send_batch(LakeApiGroup *group, const Batch *batch, GError **error)
{
    const GPtrArray *items = batch->items;
    g_autofree LakeStatement **statements = g_new(LakeStatement *, items->len);
    g_autoptr(GString) sql = g_string_new(NULL);
    g_autoptr(GString) body = g_string_new(NULL);

    for (guint i = 0; i < items->len; i++)
        statements[i] = ((Item *)items->pdata[i])->statement;
    lake_api_encode_block(sql, statements, items->len);
    lake_api_encode_sql(body, sql->str, group->session->statement_timeout_ms);
    LakeApiChange change = {
        .body = body,
        .scope = LAKE_SCOPE_ROWS,
        .is_block = TRUE,
        .timeout_ms = group->session->statement_timeout_ms,
    };
    g_autoptr(LakeApiAnswer) answer =
        lake_api_session_change(group->session, &change, batch->cancellable, error);
    return answer != NULL;
}

/* What the server itself says undid all of it, unless it speaks of a connection that broke; and
 * what is too large it has not looked at. Of anything else it is not known. */
static gboolean
is_undone(const GError *failure)
{
    return lake_transport_is_undone(failure) ||
           g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_TOO_BIG);
}

static void
end_batch(const Batch *batch, const GError *failure)
{
    for (guint i = 0; i < batch->items->len; i++) {
        Item *item = batch->items->pdata[i];
        item->state = !failure ? DONE : is_undone(failure) ? ALONE : FAILED;
        if (item->state == FAILED)
            item->failure = g_error_copy(failure);
    }
}

/* With the lock held, which is let go while the request is under way. One change alone is sent
 * as others are: those that come meanwhile find a sender less, and gather. */
static void
send_group(LakeApiGroup *group)
{
    Batch batch = {.items = take_items(group), .cancellable = g_cancellable_new()};
    g_autoptr(GError) failure = NULL;

    g_ptr_array_add(group->under_way, &batch);
    g_mutex_unlock(&group->lock);
    (void)send_batch(group, &batch, &failure);
    g_mutex_lock(&group->lock);
    g_ptr_array_remove_fast(group->under_way, &batch);
    end_batch(&batch, failure);
    g_cond_broadcast(&group->changed);
    g_ptr_array_unref(batch.items);
    g_object_unref(batch.cancellable);
}

static gboolean
are_all_cancelled(const GPtrArray *items)
{
    for (guint i = 0; i < items->len; i++)
        if (!g_cancellable_is_cancelled(((const Item *)items->pdata[i])->cancellable))
            return FALSE;
    return TRUE;
}

/* One of them was cancelled: wakes those who wait, ends what nobody waits for. */
static void
look_around(GCancellable *cancellable, gpointer user_data)
{
    LakeApiGroup *group = user_data;
    g_autoptr(GPtrArray) unwanted = g_ptr_array_new_with_free_func(g_object_unref);

    g_mutex_lock(&group->lock);
    g_cond_broadcast(&group->changed);
    for (guint i = 0; i < group->under_way->len; i++) {
        const Batch *batch = group->under_way->pdata[i];
        if (are_all_cancelled(batch->items))
            g_ptr_array_add(unwanted, g_object_ref(batch->cancellable));
    }
    g_mutex_unlock(&group->lock);
    for (guint i = 0; i < unwanted->len; i++)
        g_cancellable_cancel(unwanted->pdata[i]);
}

/* Until the item is no longer waiting or under way. Whoever waits sends, while there are
 * senders to spare. */
static void
wait_for_item(LakeApiGroup *group, Item *item, GCancellable *cancellable)
{
    while (item->state == WAITING || item->state == UNDER_WAY) {
        if (item->state == WAITING && g_cancellable_is_cancelled(cancellable)) {
            g_queue_remove(&group->waiting, item);
            item->state = FAILED;
            lake_error_set(
                &item->failure, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_CANCELLED, "cancelled");
        } else if (item->state == WAITING && group->under_way->len < N_SENDERS) {
            send_group(group);
        } else {
            g_cond_wait(&group->changed, &group->lock);
        }
    }
}

gboolean
lake_api_group_run(LakeApiGroup *group, LakeStatement *statement, gboolean *ret_is_done,
    GCancellable *cancellable, GError **error)
{
    Item item = {
        .statement = statement, .cancellable = cancellable, .n_bytes = size_of(statement)};
    gulong handler = 0;

    *ret_is_done = FALSE;
    if (item.n_bytes > BYTES_MAX)
        return TRUE; /* nothing is won */

    if (cancellable)
        handler = g_cancellable_connect(cancellable, G_CALLBACK(look_around), group, NULL);
    g_mutex_lock(&group->lock);
    g_queue_push_tail(&group->waiting, &item);
    wait_for_item(group, &item, cancellable);
    g_mutex_unlock(&group->lock);
    if (cancellable)
        g_cancellable_disconnect(cancellable, handler);

    *ret_is_done = item.state == DONE;
    if (item.state != FAILED)
        return TRUE;
    g_propagate_error(error, item.failure);
    return FALSE;
}

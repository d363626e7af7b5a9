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
    gsize n_bytes; /* about */
    State state;
    GError *failure;
} Item;

struct LakeApiGroup {
    LakeApiSession *session;
    GMutex lock;
    GCond changed;
    GQueue waiting;  /* of Item; guarded by lock, as the items' states */
    guint n_senders; /* guarded by lock */
};

LakeApiGroup *
lake_api_group_new(LakeApiSession *session)
{
    LakeApiGroup *group = g_new0(LakeApiGroup, 1);

    group->session = session;
    g_mutex_init(&group->lock);
    g_cond_init(&group->changed);
    g_queue_init(&group->waiting);
    return group;
}

void
lake_api_group_free(LakeApiGroup *group)
{
    if (!group)
        return;
    g_assert(group->n_senders == 0 && g_queue_is_empty(&group->waiting));
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
send_items(LakeApiGroup *group, const GPtrArray *items, GError **error)
{
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
        .timeout_ms = group->session->statement_timeout_ms,
    };
    /* Not cancelled by one of them: the others would not know why. */
    g_autoptr(LakeApiAnswer) answer =
        lake_api_session_change(group->session, &change, NULL, error);
    return answer != NULL;
}

/* With the lock held, which is let go while the request is under way. */
static void
send_group(LakeApiGroup *group)
{
    g_autoptr(GPtrArray) items = take_items(group);
    g_autoptr(GError) failure = NULL;

    g_mutex_unlock(&group->lock);
    gboolean is_good = send_items(group, items, &failure);
    g_mutex_lock(&group->lock);
    /* What the server itself says undid all of it. Of anything else it is not known. */
    const LakeErrorFacts *facts = failure ? lake_error_facts(failure) : NULL;
    gboolean is_undone = facts && facts->sqlstate;
    for (guint i = 0; i < items->len; i++) {
        Item *item = items->pdata[i];
        item->state = is_good ? DONE : is_undone ? ALONE : FAILED;
        if (item->state == FAILED)
            item->failure = g_error_copy(failure);
    }
    g_cond_broadcast(&group->changed);
}

static void
wake_all(GCancellable *cancellable, gpointer user_data)
{
    LakeApiGroup *group = user_data;

    g_mutex_lock(&group->lock);
    g_cond_broadcast(&group->changed);
    g_mutex_unlock(&group->lock);
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
        } else if (item->state == WAITING && group->n_senders < N_SENDERS) {
            group->n_senders++;
            send_group(group);
            group->n_senders--;
            g_cond_broadcast(&group->changed);
        } else {
            g_cond_wait(&group->changed, &group->lock);
        }
    }
}

gboolean
lake_api_group_run(LakeApiGroup *group, LakeStatement *statement, gboolean *ret_is_done,
    GCancellable *cancellable, GError **error)
{
    Item item = {.statement = statement, .n_bytes = size_of(statement)};
    gulong handler = 0;

    if (cancellable)
        handler = g_cancellable_connect(cancellable, G_CALLBACK(wake_all), group, NULL);
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
